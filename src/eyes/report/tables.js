// Tables that can be sorted by any of their columns.

// columns: { name, value(row): what it is sorted by, cell(row): what is shown (value by default),
// text, mono, wide, bar }
function table(id, rows, columns, { sorted = -1, limit = 12, label } = {}) {
  const node = byId(id), body = el("tbody");
  let by = sorted, down = true, all = false;
  const heads = columns.map((column, i) => {
    const head = el("th", { scope: "col", class: column.text ? "text" : "" });
    if (!column.value) head.append(column.name);
    else
      head.append(el("button", { type: "button", onclick: () => {
        down = by === i ? !down : !column.text;
        by = i;
        fill();
      } }, column.name));
    return head;
  });
  const more = el("p", { class: "rest" });
  function fill() {
    const list = rows.slice();
    heads.forEach((head, i) => (i === by ? head.setAttribute("aria-sort", down ? "descending" : "ascending") : head.removeAttribute("aria-sort")));
    if (by >= 0) {
      const { value } = columns[by];
      list.sort((a, b) => {
        const x = value(a), y = value(b);
        return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
      });
    }
    body.replaceChildren(...list.slice(0, all ? list.length : limit).map((row) => el("tr", {}, ...columns.map((column) => {
      const content = column.cell ? column.cell(row) : column.value(row);
      const cell = el("td", { class: ["text", "mono", "wide", "bar"].filter((c) => column[c]).join(" ") }, content ?? "–");
      if (column.wide) cell.title = cell.textContent;
      return cell;
    }))));
    if (rows.length <= limit) return more.replaceChildren();
    more.replaceChildren(el("button", { type: "button", class: "more", onclick: () => {
      all = !all;
      fill();
    } }, all ? "Show fewer" : `Show all ${count(rows.length)}`));
  }
  node.replaceChildren(el("caption", { class: "visually-hidden" }, label || ""), el("thead", {}, el("tr", {}, ...heads)), body);
  node.parentElement.after(more);
  fill();
}

function bar(parts, most) {
  return el("span", {}, ...parts.filter(([, v]) => v).map(([name, v]) =>
    el("i", { style: `width:${((100 * v) / (most || 1)).toFixed(2)}%;background:var(--${name})` })));
}

const total = (faults) => sum(Object.values(faults));
const kindParts = (faults) => kinds.map((k) => [k, faults[k] || 0]);
const processNames = Object.fromEntries(figures.processes.map((p) => [p.process, p.name]));
const processName = (number) => processNames[number] || String(number);
const several = figures.process_count > 1;

function drawPercentiles() {
  const rows = Object.entries(figures.latency.by_kind).map(([k, l]) => ({ name: kindNames[k], colour: k, ...l }));
  if (rows.length !== 1) rows.push({ name: "all that a handler was asked for", ...figures.latency.handled });
  const extra = [["message_unread", "messages, unread"], ["fill", "fills on demand"], ["fetch", "fetches"]];
  for (const [key, name] of extra) if (figures.latency[key].sum) rows.push({ name, ...figures.latency[key], extra: true });
  table("percentiles", rows, [
    { name: "Kind", text: true, cell: (r) => (r.colour ? el("span", { class: "legend", style: "margin:0;min-height:0;color:inherit" }, swatch(r.colour, r.name)) : r.name) },
    { name: "Number", cell: (r) => count(r.count) },
    { name: "Median", cell: (r) => time(r.p50) },
    { name: "90 %", cell: (r) => time(r.p90) },
    { name: "99 %", cell: (r) => time(r.p99) },
    { name: "99.9 %", cell: (r) => time(r.p999) },
    { name: "Longest", cell: (r) => time(r.max) },
    { name: "Together", cell: (r) => time(r.sum) },
  ], { label: "Percentiles of waits by kind" });
}

function drawThreads() {
  const rows = figures.threads.filter((t) => total(t.faults)), most = Math.max(...rows.map((t) => total(t.faults)), 1);
  table("threads", rows, [
    { name: "Thread", text: true, value: (t) => t.name, cell: (t) => el("span", {}, t.name, t.thread && t.name !== `thread ${t.thread}` ? el("small", {}, ` ${t.thread}`) : "") },
    ...(several ? [{ name: serves ? "Guest" : "Process", text: true, value: (t) => processName(t.process) }] : []),
    { name: "Faults by kind", text: true, bar: true, cell: (t) => bar(kindParts(t.faults), most) },
    { name: "Faults", value: (t) => total(t.faults), cell: (t) => count(total(t.faults)) },
    { name: "Median", value: (t) => t.waits.p50, cell: (t) => (t.waits.count ? time(t.waits.p50) : "–") },
    { name: "99 %", value: (t) => t.waits.p99, cell: (t) => (t.waits.count ? time(t.waits.p99) : "–") },
    { name: "Longest", value: (t) => t.waits.max, cell: (t) => (t.waits.count ? time(t.waits.max) : "–") },
    { name: "Waited", value: (t) => t.waits.sum, cell: (t) => time(t.waits.sum) },
  ], { sorted: several ? 7 : 6, label: "Threads" });
}

function drawSites() {
  const rows = figures.call_sites, most = Math.max(...rows.map((s) => s.total), 1);
  if (!rows.length) return byId("sites-section").remove();
  const base = (path) => (path || "").split("/").pop();
  table("sites", rows, [
    { name: "Place", text: true, wide: true, value: (s) => s.name, cell: (s) => (s.function
      ? el("span", {}, s.function, " ", el("small", {}, s.file ? `${s.file}:${s.line}` : base(s.module))) : s.name) },
    { name: "Faults by kind", text: true, bar: true, cell: (s) => bar(kindParts(s.faults), most) },
    { name: "Faults", value: (s) => s.total, cell: (s) => count(s.total) },
    { name: "Part", value: (s) => s.total, cell: (s) => percent(s.total, figures.faults.total) },
    { name: "Median", value: (s) => s.waits.p50, cell: (s) => (s.waits.count ? time(s.waits.p50) : "–") },
    { name: "Waited", value: (s) => s.waits.sum, cell: (s) => time(s.waits.sum) },
  ], { sorted: 2, label: "Call sites" });
}

function drawRanges() {
  const rows = figures.ranges, most = Math.max(...rows.map((r) => total(r.faults)), 1);
  table("ranges", rows, [
    { name: "Address", text: true, mono: true, value: (r) => Number(r.address), cell: (r) => r.address },
    ...(several ? [{ name: serves ? "Guest" : "Process", text: true, value: (r) => processName(r.process) }] : []),
    { name: "Size", value: (r) => r.size, cell: (r) => bytes(r.size) },
    { name: "Faults by kind", text: true, bar: true, cell: (r) => bar(kindParts(r.faults), most) },
    { name: "Faults", value: (r) => total(r.faults), cell: (r) => count(total(r.faults)) },
    { name: "Pages hit", value: (r) => r.pages_touched, cell: (r) => count(r.pages_touched) },
    { name: "Filled", value: (r) => r.pages_filled, cell: (r) => count(r.pages_filled) },
    { name: "Removed", value: (r) => r.pages_removed, cell: (r) => count(r.pages_removed) },
    { name: "Evicted", value: (r) => r.pages_evicted, cell: (r) => count(r.pages_evicted) },
  ], { sorted: several ? 4 : 3, label: "Ranges" });
  const hot = figures.hottest_pages.filter((p) => p.faults > 1);
  if (!hot.length) return byId("hot-block").remove();
  table("hot", hot, [
    { name: "Page", text: true, mono: true, cell: (p) => p.address },
    ...(several ? [{ name: serves ? "Guest" : "Process", text: true, value: (p) => processName(p.process) }] : []),
    { name: "", text: true, bar: true, cell: (p) => bar([["missing", p.faults]], hot[0].faults) },
    { name: "Faults", value: (p) => p.faults, cell: (p) => count(p.faults) },
  ], { limit: 5, label: "Pages with the most faults" });
}

function drawSources() {
  const rows = figures.sources;
  if (!rows.length) return byId("sources").parentElement.remove();
  table("sources", rows, [
    { name: "Source", text: true, cell: (s) => (rows.length === 1 && serves ? figures.program : `source ${s.source}`) },
    { name: "Fetches on demand", value: (s) => s.on_demand, cell: (s) => count(s.on_demand) },
    { name: "Fetches ahead", value: (s) => s.ahead, cell: (s) => count(s.ahead) },
    { name: "Bytes on demand", value: (s) => s.bytes_on_demand, cell: (s) => bytes(s.bytes_on_demand) },
    { name: "Bytes ahead", value: (s) => s.bytes_ahead, cell: (s) => bytes(s.bytes_ahead) },
    { name: "Median", value: (s) => s.latency.p50, cell: (s) => time(s.latency.p50) },
    { name: "99 %", value: (s) => s.latency.p99, cell: (s) => time(s.latency.p99) },
    { name: "Longest", value: (s) => s.latency.max, cell: (s) => time(s.latency.max) },
    { name: "Failed", value: (s) => s.failed, cell: (s) => count(s.failed) },
  ], { label: "Sources" });
}

const waitParts = [["step1", "until the message was read"], ["step2", "until the fill began"], ["step3", "fill"], ["step4", "until the thread went on"]];

function partsOf(w) {
  if (w.read_after === null || w.filled_after === null) return [["absent", w.nanoseconds]];
  const fill = Math.max(w.fill_after, w.read_after);
  return [["step1", w.read_after], ["step2", fill - w.read_after],
    ["step3", Math.max(w.filled_after - fill, 0)], ["step4", Math.max(w.nanoseconds - Math.max(w.filled_after, fill), 0)]];
}

function drawWaits() {
  const rows = figures.longest_waits, most = rows.length ? rows[0].nanoseconds : 1;
  const unknown = rows.some((w) => w.read_after === null || w.filled_after === null);
  byId("waits-legend").replaceChildren(...waitParts.map(([name, text]) => swatch(name, text)), ...(unknown ? [swatch("absent", "not known")] : []));
  table("waits-table", rows, [
    { name: "Took", value: (w) => w.nanoseconds, cell: (w) => time(w.nanoseconds) },
    { name: "Where the time went", text: true, bar: true, cell: (w) => bar(partsOf(w), most) },
    { name: "At", value: (w) => w.at, cell: (w) => moment(w.at) },
    { name: "Thread", text: true, value: (w) => w.name },
    ...(several ? [{ name: serves ? "Guest" : "Process", text: true, value: (w) => processName(w.process) }] : []),
    { name: "Kind", text: true, value: (w) => kindNames[w.kind] },
    { name: "Address", text: true, mono: true, value: (w) => w.address },
  ], { sorted: 0, label: "Longest waits" });
}
