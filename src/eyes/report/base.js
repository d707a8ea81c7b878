"use strict";
// What all of the report uses: its data, words for numbers, elements, colours.

const { figures, charts } = JSON.parse(document.getElementById("data").textContent);
const serves = figures.origin === "serve";

const kindNames = {
  missing: "missing", write_protect: "write-protect", minor: "minor", read_write_protect: "read-write-protect",
  opened: "opened", ordinary: "ordinary", async: "asynchronous", back_from_swap: "back from swap",
};
const handledKinds = ["missing", "write_protect", "minor", "read_write_protect"];
const kinds = Object.keys(kindNames).filter((k) => figures.faults.by_kind[k]);
const layerNames = {
  missing: "missing", write_protect: "write-protect", minor: "minor", read_write_protect: "read-write-protect",
  quick: "without a handler", filled: "filled on demand", ahead: "filled ahead", removed: "removed", evicted: "evicted",
};

const byId = (id) => document.getElementById(id);

function count(n) {
  return Math.round(n).toLocaleString("en-US");
}

function short(n) {
  const abs = Math.abs(n);
  if (abs >= 999.5e6) return trim(n / 1e9) + " G";
  if (abs >= 999.5e3) return trim(n / 1e6) + " M";
  if (abs >= 10e3) return trim(n / 1e3) + " k";
  return abs >= 100 || Number.isInteger(n) ? count(n) : trim(n);
}

function trim(x) {
  return String(Number(x.toPrecision(3)));
}

function time(ns) {
  if (ns === null || ns === undefined) return "–";
  if (ns < 1000) return `${Math.round(ns)} ns`;
  if (ns < 999.5e3) return `${ns < 1e4 ? (ns / 1e3).toFixed(1) : Math.round(ns / 1e3)} µs`;
  if (ns < 999.5e6) return `${ns < 1e7 ? (ns / 1e6).toFixed(1) : Math.round(ns / 1e6)} ms`;
  return `${ns < 1e11 ? (ns / 1e9).toFixed(2) : Math.round(ns / 1e9)} s`;
}

// A moment of the trace, as finely as its length calls for.
function moment(ns) {
  const span = figures.nanoseconds;
  const [unit, name] = span < 1e6 ? [1e3, "µs"] : span < 2e9 ? [1e6, "ms"] : [1e9, "s"];
  const digits = Math.max(0, Math.ceil(2.4 - Math.log10(span / unit)));
  return `${(ns / unit).toFixed(Math.min(digits, 6))} ${name}`;
}

function tickMoment(ns) {
  const span = figures.nanoseconds, [unit, name] = span < 1e6 ? [1e3, "µs"] : span < 2e9 ? [1e6, "ms"] : [1e9, "s"];
  return ns ? `${trim(ns / unit)} ${name}` : "0";
}

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  let unit = 0;
  for (; n >= 1023.95 && unit < 6; unit++) n /= 1024;
  return `${unit === 0 || Number.isInteger(n) ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}

function percent(part, whole) {
  if (!whole || !part) return "0 %";
  const p = (100 * part) / whole;
  return p < 0.1 ? "< 0.1 %" : `${p >= 99.95 || p < 9.95 ? Number(p.toFixed(1)) : Math.round(p)} %`;
}

function plural(n, one, many) {
  return `${count(n)} ${n === 1 ? one : many || one + "s"}`;
}

function sum(list) {
  return list.reduce((a, b) => a + b, 0);
}

function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") e.className = value;
    else if (key === "style") e.style.cssText = value;
    else if (key.startsWith("on")) e[key] = value;
    else e.setAttribute(key, value);
  }
  e.append(...children);
  return e;
}

function svg(parent, tag, attributes = {}, text) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  if (text !== undefined) e.textContent = text;
  parent.append(e);
  return e;
}

function swatch(colour, text, kind = "") {
  const i = el("i", { class: kind, style: kind === "line" ? `border-color:var(--${colour})` : `background:var(--${colour})` });
  return el("span", {}, i, text);
}

// What a colour of the style sheet is now, as [red, green, blue].
function colour(name) {
  const probe = document.body.appendChild(el("span", { style: `color:var(--${name})` }));
  const rgb = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
  probe.remove();
  return rgb;
}

// ---- the box that follows the pointer

const tip = byId("tip");

function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = x + 14 + width > innerWidth - 8 ? x - width - 14 : x + 14;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${Math.max(8, Math.min(y + 14, innerHeight - height - 8))}px`;
}

function hideTip() {
  tip.hidden = true;
}
