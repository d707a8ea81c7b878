// The report, put together.

function headline() {
  const { faults, latency, work, pages } = figures, all = latency.handled;
  const filled = work.pages_on_demand + work.pages_ahead;
  const tiles = [
    ["Faults", "faults", count(faults.total), `${short(faults.per_second)} per second`],
    ["Median wait", "p50", all.count ? time(all.p50) : "–", all.count ? `mean ${time(all.mean)}` : "nobody waited"],
    ["99th percentile", "p99", all.count ? time(all.p99) : "–", all.count ? `99.9 %: ${time(all.p999)}` : ""],
    ["Longest wait", "max", all.count ? time(all.max) : "–", all.count ? `${time(all.sum)} together` : ""],
    ["Pages filled", "filled", count(filled), work.pages_ahead ? `${percent(work.pages_ahead, filled)} ahead` : bytes(work.filled_bytes)],
    ["Present at the end", "present", bytes(pages.present * figures.page_size), pages.registered_bytes ? `of ${bytes(pages.registered_bytes)}` : ""],
  ];
  byId("headline").replaceChildren(...tiles.map(([name, key, value, more]) =>
    el("div", {}, el("dt", {}, name), el("dd", { class: "value", "data-figure": key }, value), el("dd", { class: "more" }, more || "\u00a0"))));
}

function top() {
  const when = new Date(figures.recorded * 1000).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
  const who = serves ? plural(figures.process_count, "guest") : plural(figures.process_count, "process", "processes");
  byId("program").textContent = figures.program || "Trace";
  byId("recorded").textContent = `Recorded by userfault ${figures.origin} on ${when} · ${time(figures.nanoseconds)} · ${who}${figures.thread_count ? `, ${plural(figures.thread_count, "thread")}` : ""}`;
  if (figures.notes.length) byId("notes").replaceChildren(...figures.notes.map((n) => el("li", {}, n)));
  else byId("notes-section").remove();
  byId("pages-lead").textContent = `What became of the memory that was registered${figures.pages_incomplete ? "; there is more of it than was followed, so this is not complete" : ""}.`;
  const lost = [[figures.records_lost, "lost because the file was full"], [figures.records_unfinished, "never finished"], [figures.records_unknown, "not understood"]]
    .filter(([n]) => n).map(([n, why]) => `, ${count(n)} ${why}`).join("");
  byId("footer").textContent = `Made by userfault trace ${figures.version} from ${plural(figures.records, "record")}${lost}. ` +
    "Percentiles are within 1 % of the recorded values, those of threads and call sites within 20 %.";
}

function choices() {
  const options = () => charts.maps.map((m) => el("option", { value: m.process }, m.name));
  byId("map").replaceChildren(...options());
  byId("pages-of").replaceChildren(el("option", { value: "" }, serves ? "all guests" : "all processes"), ...options());
  if (charts.maps.length < 2) {
    byId("map-choice").hidden = true;
    byId("pages-choice").parentElement.hidden = true;
  }
  byId("map").onchange = () => {
    chooseMap();
    drawHeat();
  };
  byId("pages-of").onchange = drawPages;
  const count = charts.maps.length;
  if (count < figures.process_count)
    byId("map-choice").append(` (the ${count} busiest of ${figures.process_count})`);
  for (const input of document.querySelectorAll("input[name=theme]"))
    input.onchange = () => {
      if (input.value === "auto") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = input.value;
      drawHeat();
    };
}

function draw() {
  hideTip();
  drawHeat();
  drawHistogram();
  drawTail();
  drawLatencyOverTime();
  drawRate();
  drawPages();
  if (byId("filling")) drawFills();
}

headline();
top();
choices();
if (!figures.work.pages_ahead && !figures.sources.length) byId("filling").remove();
else drawSources();
drawPercentiles();
drawThreads();
drawSites();
drawRanges();
drawWaits();
if (charts.maps.length) chooseMap();
draw();
document.body.className = "";

let waiting = 0, drawnAt = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === drawnAt) return;
  drawnAt = innerWidth;
  cancelAnimationFrame(waiting);
  waiting = requestAnimationFrame(draw);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawHeat);
matchMedia("print").addEventListener("change", draw);
document.documentElement.dataset.ready = "yes";
