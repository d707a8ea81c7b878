// Charts drawn as SVG: a frame with axes, and what is in it. Colours are the style sheet's, so that
// they follow the theme by themselves.

const space = { left: 54, right: 10, top: 24, bottom: 24 };

// log: decades. Else 0 to a round number.
function scale(low, high, from, to, log) {
  if (!log) return (v) => from + ((v - low) / (high - low || 1)) * (to - from);
  const a = Math.log10(low), b = Math.log10(high);
  return (v) => from + ((Math.log10(Math.max(v, low)) - a) / (b - a || 1)) * (to - from);
}

// binary: at powers of two.
function ticks(low, high, n, binary) {
  const rough = (high - low) / n, power = 10 ** Math.floor(Math.log10(rough || 1));
  const round = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough) || 1;
  const step = binary ? 2 ** Math.ceil(Math.log2(rough || 1)) : round;
  const list = [];
  for (let v = Math.ceil(low / step) * step; v <= high * 1.0001; v += step) list.push(v);
  return list;
}

function decades(low, high) {
  const list = [];
  for (let p = Math.ceil(Math.log10(low) - 1e-9); p <= Math.log10(high) + 1e-9; p++) list.push(10 ** p);
  return list;
}

function outward(low, high) {
  return [10 ** Math.floor(Math.log10(Math.max(low, 1))), 10 ** Math.ceil(Math.log10(Math.max(high, 10)))];
}

function shortTime(ns) {
  return ns >= 1e9 ? `${trim(ns / 1e9)} s` : ns >= 1e6 ? `${trim(ns / 1e6)} ms` : ns >= 1e3 ? `${trim(ns / 1e3)} µs` : `${trim(ns)} ns`;
}

// An empty chart in `box`: { root, x, y, width, height }, x and y from values to pixels.
function frame(box, { label, x, y, bottom = true }) {
  const width = Math.max(box.clientWidth, 240), height = box.clientHeight;
  const right = width - space.right, base = height - (bottom ? space.bottom : 8);
  box.replaceChildren();
  const root = svg(box, "svg", {
    viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label, tabindex: 0,
  });
  const c = {
    root, left: space.left, right, top: space.top, base,
    x: scale(x.low, x.high, space.left, right, x.log),
    y: scale(y.low, y.high, base, space.top, y.log),
  };
  for (const v of y.log ? decades(y.low, y.high) : ticks(y.low, y.high, (base - space.top) / 44, y.binary)) {
    svg(root, "line", { class: "grid", x1: c.left, x2: right, y1: c.y(v), y2: c.y(v) });
    svg(root, "text", { x: c.left - 7, y: c.y(v) + 4, "text-anchor": "end" }, y.text(v));
  }
  svg(root, "line", { class: "axis", x1: c.left, x2: right, y1: base, y2: base });
  if (y.name) svg(root, "text", { x: 0, y: 10 }, y.name);
  if (bottom) {
    const many = Math.max(2, Math.floor((right - c.left) / 80));
    const marks = x.log ? decades(x.low, x.high) : ticks(x.low, x.high, many);
    const every = x.log ? Math.ceil(marks.length / (many * 1.4)) : 1;
    marks.forEach((v, i) => {
      if (i % every) return;
      const at = c.x(v), anchor = at > right - 16 ? "end" : at < c.left + 8 ? "start" : "middle";
      svg(root, "line", { class: "axis", x1: at, x2: at, y1: base, y2: base + 4 });
      svg(root, "text", { x: at, y: base + 17, "text-anchor": anchor }, x.text(v));
    });
  }
  return c;
}

// The pointer, or the arrow keys, choose one of n columns; `tell` says what is there.
function probe(c, n, edge, tell) {
  const line = svg(c.root, "line", { class: "cursor", y1: c.top, y2: c.base, visibility: "hidden" });
  let at = -1;
  function go(i, x, y) {
    const box = c.root.getBoundingClientRect(), middle = (edge(i) + edge(i + 1)) / 2;
    at = Math.max(0, Math.min(n - 1, i));
    line.setAttribute("x1", middle);
    line.setAttribute("x2", middle);
    line.setAttribute("visibility", "visible");
    showTip(tell(at), x ?? box.left + middle, y ?? box.top + 20);
  }
  function leave() {
    line.setAttribute("visibility", "hidden");
    hideTip();
  }
  c.root.onpointermove = (e) => {
    const box = c.root.getBoundingClientRect(), x = ((e.clientX - box.left) / box.width) * c.root.viewBox.baseVal.width;
    let i = 0;
    if (x < edge(0) || x > edge(n)) return leave();
    while (i < n - 1 && edge(i + 1) <= x) i++;
    go(i, e.clientX, e.clientY);
  };
  c.root.onpointerleave = leave;
  c.root.onblur = leave;
  c.root.onkeydown = (e) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -n, End: n }[e.key];
    if (!step) return;
    e.preventDefault();
    go(Math.max(0, Math.min(n - 1, at + step)));
  };
}

// ---- how long

function drawHistogram() {
  const { from, counts } = charts.histogram, names = kinds.filter((k) => counts[k]);
  const n = Math.max(from.length - 1, 0), totals = Array.from({ length: n }, (_, i) => sum(names.map((k) => counts[k][i])));
  const box = byId("histogram");
  if (!n) return void box.replaceChildren(el("p", { class: "muted" }, "No waits were recorded."));
  const low = Math.max(from[0], 1), high = Math.max(from[n], low * 4);
  const c = frame(box, {
    label: "How many faults took how long, by kind",
    x: { low, high, log: true, text: shortTime },
    y: { low: 0, high: Math.max(...totals) * 1.12, text: short, name: "faults" },
  });
  const edge = (i) => c.x(from[i]);
  for (let i = 0; i < n; i++) {
    let below = 0;
    const width = Math.max(edge(i + 1) - edge(i) - 1, 1);
    for (const k of names) {
      if (!counts[k][i]) continue;
      const top = c.y(below + counts[k][i]);
      svg(c.root, "rect", { x: edge(i), width, y: top, height: Math.max(c.y(below) - top, 0.75), fill: `var(--${k})` });
      below += counts[k][i];
    }
  }
  const all = figures.latency.handled;
  for (const [name, value, left] of [["median", all.p50, true], ["99 %", all.p99], ["longest", all.max]]) {
    if (!all.count) break;
    const x = c.x(value), end = left ? x > c.left + 50 : x > c.right - 70;
    svg(c.root, "line", { class: "mark", x1: x, x2: x, y1: c.top - 10, y2: c.base });
    svg(c.root, "text", { class: "strong", x: end ? x - 4 : x + 4, y: c.top - 3, "text-anchor": end ? "end" : "start" }, name);
  }
  probe(c, n, edge, (i) =>
    [`${time(from[i])} to ${time(from[i + 1])}`, `${plural(totals[i], "fault")}, ${percent(totals[i], sum(totals))}`,
      ...names.filter((k) => counts[k][i]).map((k) => `${kindNames[k]}: ${count(counts[k][i])}`)].join("\n"));
  byId("histogram-legend").replaceChildren(...names.map((k) => swatch(k, kindNames[k])));
}

// Which part of the faults took longer than x.
function drawTail() {
  const { from, counts } = charts.histogram, names = kinds.filter((k) => counts[k]);
  const n = Math.max(from.length - 1, 0), box = byId("tail");
  if (!n) return void box.replaceChildren();
  const most = Math.max(...names.map((k) => sum(counts[k])));
  const bottom = 10 ** Math.floor(Math.log10(1 / most)), low = Math.max(from[0], 1);
  const parts = Object.fromEntries(names.map((k) => {
    let left = sum(counts[k]);
    const all = left;
    return [k, [1, ...counts[k].map((v) => (left -= v) / all)]];
  }));
  const c = frame(box, {
    label: "Which part of the faults took longer",
    x: { low, high: Math.max(from[n], low * 4), log: true, text: shortTime },
    y: { low: bottom, high: 1, log: true, text: (v) => `${trim(v * 100)} %`, name: "took longer" },
  });
  for (const k of names) {
    const points = parts[k].map((p, i) => [p, from[i]]).filter(([p]) => p > 0);
    const d = points.map(([p, x]) => `${c.x(x).toFixed(1)},${c.y(p).toFixed(1)}`).join(" ");
    svg(c.root, "polyline", { points: d, fill: "none", stroke: `var(--${k})`, "stroke-width": 1.75, "stroke-linejoin": "round" });
    const [p, x] = points[points.length - 1];
    svg(c.root, "circle", { cx: c.x(x), cy: c.y(p), r: 2.5, fill: `var(--${k})` });
  }
  probe(c, n, (i) => c.x(from[i]), (i) =>
    [`Longer than ${time(from[i + 1])}:`, ...names.map((k) => `${kindNames[k]}: ${percent(Math.max(parts[k][i + 1], 0), 1)}`)].join("\n"));
}

// ---- over time

const binFrom = (i) => Math.min(i * charts.bin_ns, figures.nanoseconds);

function timeFrame(box, label, y, bottom = true) {
  return frame(box, { label, bottom, y, x: { low: 0, high: charts.bins * charts.bin_ns, text: tickMoment } });
}

function binText(i) {
  return `${moment(binFrom(i))} to ${moment(binFrom(i + 1))}`;
}

function drawLatencyOverTime() {
  const { p50, p99, max, bins } = charts, known = p50.map((v, i) => (v === null ? -1 : i)).filter((i) => i >= 0);
  const box = byId("latency-time");
  if (!known.length) return void box.replaceChildren(el("p", { class: "muted" }, "Nobody waited for a handler."));
  const [low, high] = outward(Math.min(...known.map((i) => p50[i])), Math.max(...max.filter((v) => v !== null)));
  const c = timeFrame(box, "Median, 99th percentile and longest wait over time", { low, high, log: true, text: shortTime, name: "wait" }, false);
  const edge = (i) => c.x(i * charts.bin_ns), middle = (i) => (edge(i) + edge(i + 1)) / 2;
  // A gap in the faults is a gap in the band.
  for (let i = 0; i < known.length;) {
    let end = i;
    while (end + 1 < known.length && known[end + 1] - known[end] <= 2) end++;
    const run = known.slice(i, end + 1);
    const up = run.map((b) => `${middle(b).toFixed(1)},${c.y(p99[b]).toFixed(1)}`);
    const down = run.map((b) => `${middle(b).toFixed(1)},${c.y(p50[b]).toFixed(1)}`);
    if (run.length === 1) {
      svg(c.root, "line", { x1: middle(run[0]), x2: middle(run[0]), y1: c.y(p50[run[0]]), y2: c.y(p99[run[0]]), stroke: "var(--muted)", opacity: 0.4, "stroke-width": 2 });
      svg(c.root, "circle", { cx: middle(run[0]), cy: c.y(p50[run[0]]), r: 1.5, fill: "var(--ink)" });
    } else {
      svg(c.root, "polygon", { points: [...up, ...down.slice().reverse()].join(" "), fill: "var(--muted)", opacity: 0.25 });
      svg(c.root, "polyline", { points: down.join(" "), fill: "none", stroke: "var(--ink)", "stroke-width": 1.5, "stroke-linejoin": "round" });
    }
    i = end + 1;
  }
  for (const b of known)
    svg(c.root, "circle", { cx: middle(b), cy: c.y(max[b]), r: 1.5, fill: "var(--muted)" });
  probe(c, bins, edge, (i) => p50[i] === null ? `${binText(i)}\nno waits`
    : `${binText(i)}\nmedian ${time(p50[i])}\n99th percentile ${time(p99[i])}\nlongest ${time(max[i])}`);
}

// Areas on top of each other; parts: [colour, name, values].
function drawStack(box, label, parts, y, tell) {
  const totals = Array.from({ length: charts.bins }, (_, i) => sum(parts.map((p) => p[2][i])));
  const c = timeFrame(box, label, { low: 0, high: Math.max(...totals, 1) * 1.05, ...y });
  const edge = (i) => c.x(i * charts.bin_ns);
  let below = totals.map(() => 0);
  for (const [fill, , values] of parts) {
    const above = below.map((v, i) => v + values[i]), up = [], down = [];
    if (!values.some((v) => v)) continue;
    for (let i = 0; i < charts.bins; i++) {
      up.push(`${edge(i).toFixed(1)},${c.y(above[i]).toFixed(1)}`, `${edge(i + 1).toFixed(1)},${c.y(above[i]).toFixed(1)}`);
      down.push(`${edge(i).toFixed(1)},${c.y(below[i]).toFixed(1)}`, `${edge(i + 1).toFixed(1)},${c.y(below[i]).toFixed(1)}`);
    }
    svg(c.root, "polygon", { points: [...up, ...down.reverse()].join(" "), fill: `var(--${fill})` });
    below = above;
  }
  probe(c, charts.bins, edge, (i) =>
    [binText(i), ...parts.filter((p) => p[2][i]).map((p) => `${p[1]}: ${tell(p[2][i])}`)].join("\n"));
}

function drawRate() {
  const second = charts.bin_ns / 1e9;
  const parts = kinds.map((k) => [k, kindNames[k], charts.faults[k].map((v) => v / second)]);
  drawStack(byId("rate-time"), "Faults per second over time, by kind", parts, { text: short, name: "faults/s" }, (v) => `${short(v)}/s`);
  byId("time-legend").replaceChildren(
    swatch("ink", "median, and up to the 99th percentile", "line"), swatch("muted", "longest", "dot"),
    ...kinds.map((k) => swatch(k, kindNames[k])));
}

const pageStates = [["present", "present", "present"], ["removed", "removed", "removed"], ["evicted", "evicted", "evicted"],
  ["poisoned", "poisoned", "poisoned"], ["absent", "missing", "missing, or not touched"]];

function drawPages() {
  const chosen = byId("pages-of").value, map = charts.maps.find((m) => String(m.process) === chosen);
  const values = map ? map.pages : charts.pages, size = figures.page_size;
  const states = pageStates.filter(([, key]) => values[key].some((v) => v));
  drawStack(byId("pages-time"), "State of the pages over time", states.map(([fill, key, name]) => [fill, name, values[key].map((v) => v * size)]),
    { text: (v) => (v ? bytes(v) : "0"), name: "memory", binary: true }, (v) => `${bytes(v)}, ${plural(v / size, "page")}`);
  byId("pages-legend").replaceChildren(...states.map(([fill, key, name]) => {
    const end = values[key][charts.bins - 1];
    return swatch(fill, `${name}: ${count(end)} (${bytes(end * size)}) at the end`);
  }));
}

function drawFills() {
  const second = charts.bin_ns / 1e9, size = figures.page_size;
  const rate = (list) => list.map((v) => (v * size) / second);
  drawStack(byId("fill-time"), "Memory filled per second, on demand and ahead",
    [["filled", "on demand", rate(charts.demand_pages)], ["ahead", "ahead", rate(charts.ahead_pages)]],
    { text: (v) => (v ? bytes(v) : "0"), name: "per second", binary: true }, (v) => `${bytes(v)}/s`);
  byId("fill-legend").replaceChildren(
    swatch("filled", `on demand: ${plural(figures.work.pages_on_demand, "page")}`),
    swatch("ahead", `ahead: ${plural(figures.work.pages_ahead, "page")}`));
}
