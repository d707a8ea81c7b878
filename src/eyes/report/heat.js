// The map of addresses over time, on a canvas: bands of memory below each other, each with a line
// that says what it is.

const heat = { canvas: byId("heat"), layer: "kinds", map: null, cell: null, boxes: [], cursor: null };
const labelHeight = 19, bandGap = 9, axisHeight = 24;

// [layer][row * columns + column]
function unpack(map) {
  const layers = {};
  for (const [name, text] of Object.entries(map.layers)) {
    const data = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const cells = new Float64Array(map.rows * charts.map_columns);
    let at = 0, i = 0;
    const next = () => {
      let value = 0, shift = 1, byte;
      do {
        byte = data[i++];
        value += (byte & 127) * shift;
        shift *= 128;
      } while (byte & 128);
      return value;
    };
    while (i < data.length) {
      at += next();
      cells[at] = next();
    }
    layers[name] = cells;
  }
  return layers;
}

const faultLayers = ["missing", "write_protect", "minor", "read_write_protect", "quick"];

function shownLayers() {
  const all = heat.layer === "kinds" ? faultLayers : [heat.layer];
  return all.filter((name) => heat.cells[name]);
}

function chooseMap() {
  heat.map = charts.maps.find((m) => String(m.process) === byId("map").value) || charts.maps[0];
  heat.cells = heat.map ? unpack(heat.map) : {};
  heat.cursor = null;
  const names = Object.keys(layerNames).filter((name) => heat.cells[name]);
  const options = [["kinds", "faults by kind"], ...names.map((name) => [name, layerNames[name]])];
  if (!options.some(([name]) => name === heat.layer)) heat.layer = "kinds";
  byId("layers").replaceChildren(...options.map(([name, text]) => {
    const input = el("input", { type: "radio", name: "layer", value: name });
    input.checked = name === heat.layer;
    input.onchange = () => {
      heat.layer = name;
      drawHeat();
    };
    return el("label", {}, input, el("span", {}, text));
  }));
}

// Where each band is; the height of the whole.
function layOut(width) {
  const rows = heat.map.rows || 1, rowHeight = Math.max(2, Math.min(6, Math.round(430 / rows)));
  let y = 0;
  heat.boxes = heat.map.bands.map((band) => {
    const box = { band, top: y + labelHeight, height: band.rows * rowHeight, rowHeight };
    y = box.top + box.height + bandGap;
    return box;
  });
  heat.width = width;
  heat.height = y + axisHeight;
}

function hex(text) {
  return BigInt(text);
}

function bandName(band, width) {
  const size = bytes(Number(hex(band.to) - hex(band.from)));
  return `${band.from}${width > 500 ? ` – ${band.to}` : ""}  ·  ${size}${band.registered ? "" : "  ·  not registered"}`;
}

function mix(a, b, t) {
  return a.map((v, i) => Math.round(v + (b[i] - v) * t));
}

function strength(value, most) {
  return 0.22 + 0.78 * (Math.log1p(value) / Math.log1p(most));
}

function drawCells(context, box, layers, colours, ground, most) {
  const columns = charts.map_columns, image = context.createImageData(columns, box.band.rows);
  for (let row = 0; row < box.band.rows; row++)
    for (let column = 0; column < columns; column++) {
      const at = (box.band.row + row) * columns + column, to = (row * columns + column) * 4;
      let total = 0, best = 0, which = 0;
      layers.forEach((name, i) => {
        const v = heat.cells[name][at];
        total += v;
        if (v > best) [best, which] = [v, i];
      });
      const rgb = total ? mix(ground, colours[which], strength(total, most)) : ground;
      image.data.set([...rgb, 255], to);
    }
  const small = new OffscreenCanvas(columns, box.band.rows);
  small.getContext("2d").putImageData(image, 0, 0);
  context.drawImage(small, 0, box.top, heat.width, box.height);
}

function drawAxis(context, ink) {
  const y = heat.height - axisHeight, span = charts.bins * charts.bin_ns;
  context.fillStyle = ink;
  context.textAlign = "center";
  for (const v of ticks(0, span, Math.max(2, heat.width / 90))) {
    const x = (v / span) * heat.width;
    context.fillRect(Math.min(x, heat.width - 1), y, 1, 4);
    context.textAlign = x < 10 ? "left" : x > heat.width - 24 ? "right" : "center";
    context.fillText(tickMoment(v), x, y + 17);
  }
}

function drawHeat() {
  const { canvas } = heat, width = Math.max(canvas.parentElement.clientWidth, 240);
  if (!heat.map || !heat.map.bands.length) {
    canvas.parentElement.replaceChildren(el("p", { class: "muted" }, "No memory was touched."));
    byId("heat-legend").replaceChildren();
    return;
  }
  layOut(width);
  const dense = Math.min(devicePixelRatio || 1, 2), context = canvas.getContext("2d");
  canvas.width = Math.round(width * dense);
  canvas.height = Math.round(heat.height * dense);
  canvas.style.height = `${heat.height}px`;
  canvas.setAttribute("aria-label", `Addresses over time: ${heat.map.name}, ${plural(heat.map.bands.length, "band")} of memory. Arrow keys move.`);
  context.scale(dense, dense);
  context.imageSmoothingEnabled = false;
  context.font = `11.5px ${getComputedStyle(document.body).fontFamily}`;
  const layers = shownLayers(), colours = layers.map(colour), ground = colour("faint"), muted = `rgb(${colour("muted")})`;
  let most = 1;
  heat.map.rows && layers.length && heat.cells[layers[0]].forEach((_, at) => {
    most = Math.max(most, sum(layers.map((name) => heat.cells[name][at])));
  });
  for (const box of heat.boxes) {
    context.fillStyle = muted;
    context.textAlign = "left";
    context.fillText(bandName(box.band, width), 0, box.top - 6);
    drawCells(context, box, layers, colours, ground, most);
  }
  drawAxis(context, muted);
  if (heat.cursor) drawCursor(context);
  drawHeatLegend(layers, most);
}

function drawHeatLegend(layers, most) {
  const pages = !faultLayers.includes(layers[0]), unit = pages ? "page" : "fault";
  const ramp = (name) => el("i", { class: "ramp", style: `background:linear-gradient(to right,color-mix(in srgb,var(--${name}) 22%,var(--faint)),var(--${name}))` });
  const first = layers[0] || "missing";
  byId("heat-legend").replaceChildren(
    ...(layers.length > 1 ? layers.map((name) => swatch(name, layerNames[name])) : []),
    el("span", {}, ramp(first), `1 to ${plural(most, unit)} a cell`),
    ...(heat.map.elsewhere ? [el("span", {}, `${plural(heat.map.elsewhere, "record")} outside of these bands`)] : []));
}

function drawCursor(context) {
  const { index, row, column } = heat.cursor, box = heat.boxes[index], cellWidth = heat.width / charts.map_columns;
  context.strokeStyle = `rgb(${colour("ink")})`;
  context.lineWidth = 1.5;
  context.strokeRect(column * cellWidth - 1, box.top + row * box.rowHeight - 1, cellWidth + 2, box.rowHeight + 2);
}

function cellText() {
  const { index, row, column } = heat.cursor, { band } = heat.boxes[index], at = (band.row + row) * charts.map_columns + column;
  const from = hex(band.from), size = hex(band.to) - from, rows = BigInt(band.rows);
  const low = from + (size * BigInt(row)) / rows, high = from + (size * BigInt(row + 1)) / rows;
  const step = (charts.bins / charts.map_columns) * charts.bin_ns;
  const lines = Object.keys(layerNames).filter((name) => heat.cells[name] && heat.cells[name][at]).map((name) => {
    const n = heat.cells[name][at];
    return faultLayers.includes(name) ? `${layerNames[name]}: ${plural(n, "fault")}` : `${layerNames[name]}: ${plural(n, "page")}`;
  });
  return [`0x${low.toString(16)} – 0x${high.toString(16)}`, `${moment(column * step)} to ${moment((column + 1) * step)}`,
    ...(lines.length ? lines : ["nothing"])].join("\n");
}

function setCursor(cursor, x, y) {
  heat.cursor = cursor;
  drawHeat();
  if (!cursor) return hideTip();
  const rect = heat.canvas.getBoundingClientRect(), text = cellText();
  byId("heat-tip").textContent = x === undefined ? text : "";
  showTip(text, x ?? rect.left + ((cursor.column + 0.5) / charts.map_columns) * heat.width, y ?? rect.top + heat.boxes[cursor.index].top + cursor.row * heat.boxes[cursor.index].rowHeight);
}

function moveCursor(rows, columns) {
  const boxes = heat.boxes, cursor = heat.cursor || { index: 0, row: 0, column: 0 };
  let { index } = cursor, row = cursor.row + rows;
  if (row < 0 && index > 0) row = boxes[--index].band.rows - 1;
  else if (row >= boxes[index].band.rows && index + 1 < boxes.length) [index, row] = [index + 1, 0];
  setCursor({ index, row: Math.max(0, Math.min(boxes[index].band.rows - 1, row)), column: Math.max(0, Math.min(charts.map_columns - 1, cursor.column + columns)) });
}

heat.canvas.onpointermove = (e) => {
  const rect = heat.canvas.getBoundingClientRect(), x = e.clientX - rect.left, y = e.clientY - rect.top;
  const index = heat.boxes.findIndex((b) => y >= b.top && y < b.top + b.height), box = heat.boxes[index];
  if (!box || x < 0 || x >= heat.width) return heat.cursor && setCursor(null);
  const row = Math.min(box.band.rows - 1, Math.floor((y - box.top) / box.rowHeight));
  setCursor({ index, row, column: Math.min(charts.map_columns - 1, Math.floor((x / heat.width) * charts.map_columns)) }, e.clientX, e.clientY);
};
heat.canvas.onpointerleave = () => setCursor(null);
heat.canvas.onblur = () => setCursor(null);
heat.canvas.onkeydown = (e) => {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-20, 0], PageDown: [20, 0], Home: [0, -1e6], End: [0, 1e6] }[e.key];
  if (e.key === "Escape") setCursor(null);
  if (!step || !heat.boxes.length) return;
  e.preventDefault();
  moveCursor(...step);
};
