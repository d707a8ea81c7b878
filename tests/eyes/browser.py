"""The report in a real browser: its figures are those of --json, it is drawn, in light and in dark, wide and narrow."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

from chrome import Chrome, find

TRACE, MAKE = os.environ["TRACE"], os.environ["MAKE_TRACE"]
signal.alarm(170)
if not find():
    print("skipped: chromium is not installed")
    sys.exit(77)


def check(condition, *what):
    if not condition:
        sys.exit(f"not so: {str(what)[:3000]}")


HELPERS = """
window.drawn = (canvas) => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height), colours = new Set();
  for (let i = 0; i < data.length; i += 4) colours.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
  return colours.size;
};
window.luminance = (rgb) => {
  const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
window.rgb = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
window.contrast = (e) => {
  let ground = e;
  while (ground && /rgba\\(.*, 0\\)|transparent/.test(getComputedStyle(ground).backgroundColor)) ground = ground.parentElement;
  const style = getComputedStyle(e), colour = e instanceof SVGElement ? style.fill : style.color;
  const a = luminance(rgb(colour)), b = luminance(rgb(getComputedStyle(ground || document.documentElement).backgroundColor));
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
};
window.worst = () => [...document.querySelectorAll("body *")]
  .filter((e) => e.checkVisibility() && !e.classList.contains("skip") && !(e instanceof HTMLScriptElement) &&
    [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
  .map((e) => [contrast(e), e.tagName + " " + e.textContent.slice(0, 40)]).sort((a, b) => a[0] - b[0])[0];
window.tile = (name) => document.querySelector(`[data-figure=${name}]`).textContent;
"""


def quiet(chrome):
    for event in chrome.events:
        method, params = event.get("method", ""), event.get("params", {})
        check(method not in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"), event)
        if method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            check(url.startswith(("file:///", "data:")), "a request", url)
    files = {e["params"]["request"]["url"] for e in chrome.events if e.get("method") == "Network.requestWillBeSent"}
    check(len([u for u in files if u.startswith("file:")]) <= 1, files)


def seconds(text):
    value, unit = text.split()
    return float(value) * {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}[unit]


def look(chrome, page, told, serves):
    chrome.events.clear()
    chrome.show(1280, 900, False)
    chrome.open("file://" + page)
    ev = chrome.evaluate
    ev(HELPERS + "0")
    check(ev("document.documentElement.dataset.ready") == "yes" and ev("document.body.className") == "", "built")

    # The figures.
    latency = told["latency"]["handled"]
    check(ev("tile('faults')") == f"{told['faults']['total']:,}", ev("tile('faults')"))
    check(ev("tile('filled')") == f"{told['work']['pages_on_demand'] + told['work']['pages_ahead']:,}", "filled")
    for key in "p50", "p99", "max":
        check(abs(seconds(ev(f"tile('{key}')")) - latency[key]) <= 0.06 * latency[key], key, ev(f"tile('{key}')"))
    same = ev("JSON.stringify(JSON.parse(document.getElementById('data').textContent).figures)")
    check(json.loads(same) == told, "the data are those of --json")
    check(ev("document.getElementById('program').textContent") == told["program"], "program")
    charts = json.loads(ev("JSON.stringify(JSON.parse(document.getElementById('data').textContent).charts)"))
    for kind, n in told["faults"]["by_kind"].items():
        check(sum(charts["faults"][kind]) == n, kind)
    for state in "missing", "present", "removed", "evicted", "poisoned":
        check(charts["pages"][state][-1] == told["pages"][state], state)
    rows = ev("document.querySelectorAll('#threads tbody tr').length")
    threads = [t for t in told["threads"] if t["faults"]]
    check(rows == min(12, len(threads)), rows)
    check(ev("document.querySelectorAll('#waits-table tbody tr').length") == 12, "waits")
    check(bool(ev("!!document.getElementById('filling')")) == serves, "filling")

    # Drawn, and something in each chart.
    light = ev("drawn(document.getElementById('heat'))")
    check(light > 10, "heat map", light)
    for chart in ["histogram", "tail", "latency-time", "rate-time", "pages-time"] + (["fill-time"] if serves else []):
        check(ev(f"document.querySelectorAll('#{chart} :is(rect, polyline, polygon)').length") > 0, chart)
        outside = ev(f"[...document.querySelectorAll('#{chart} text')].filter(t => t.getBoundingClientRect().left < -1 || "
                     "t.getBoundingClientRect().right > innerWidth + 1).length")
        check(outside == 0, chart, outside)
    check("NaN" not in ev("document.body.innerHTML"), "NaN")

    # Sorting.
    first = "document.querySelector('#threads tbody tr').textContent"
    before = ev(first)
    ev("document.querySelector('#threads th button').click()")
    names = json.loads(ev("JSON.stringify([...document.querySelectorAll('#threads tbody tr td:first-child')].map(c => c.textContent))"))
    check(names == sorted(names) and ev("document.querySelector('#threads th').getAttribute('aria-sort')") == "ascending", names)
    ev("document.querySelector('#threads th:last-child button').click()")
    check(ev(first) == before or len(names) == 1, "sorted back")
    ev("document.querySelector('#waits .more').click()")
    check(ev("document.querySelectorAll('#waits-table tbody tr').length") == len(told["longest_waits"]), "all waits")

    # The keyboard tells what is in a cell; the totals of all cells are all faults.
    ev("document.getElementById('heat').focus()")
    for key in "ArrowDown", "ArrowRight", "PageDown", "PageDown", "PageUp", "End", "Home", "ArrowUp":
        chrome.call("Input.dispatchKeyEvent", type="keyDown", key=key)
    words = ev("document.getElementById('tip').textContent")
    check(re.match(r"0x[0-9a-f]+ – 0x[0-9a-f]+\n.+ to .+\n", words), words)
    check(ev("document.getElementById('heat-tip').textContent") == words, "read aloud")
    ev("document.getElementById('heat').blur()")
    check(ev("document.getElementById('tip').hidden"), "gone")
    box = json.loads(ev("JSON.stringify(document.getElementById('rate-time').getBoundingClientRect())"))
    ev("document.getElementById('rate-time').scrollIntoView({block: 'center', behavior: 'instant'})")
    box = json.loads(ev("JSON.stringify(document.getElementById('rate-time').getBoundingClientRect())"))
    chrome.call("Input.dispatchMouseEvent", type="mouseMoved", x=box["x"] + box["width"] / 2, y=box["y"] + box["height"] / 2)
    check("/s" in ev("document.getElementById('tip').textContent"), ev("document.getElementById('tip').textContent"))
    ev("scrollTo(0, 0)")

    # Light and dark: different, and readable; by the system's wish and by the switch.
    check(ev("luminance(rgb(getComputedStyle(document.body).backgroundColor))") > 0.9, "light")
    worst = ev("worst()")
    check(worst[0] >= 4.5, "contrast, light", worst)
    pixels = ev("document.getElementById('heat').toDataURL()")
    chrome.show(1280, 900, True)
    ev("new Promise(requestAnimationFrame)")
    check(ev("luminance(rgb(getComputedStyle(document.body).backgroundColor))") < 0.05, "dark")
    worst = ev("worst()")
    check(worst[0] >= 4.5, "contrast, dark", worst)
    check(ev("document.getElementById('heat').toDataURL()") != pixels and ev("drawn(document.getElementById('heat'))") > 10, "heat map, dark")
    ev("document.querySelector('input[value=light]').click()")
    check(ev("document.getElementById('heat').toDataURL()") == pixels, "the switch to light")
    ev("document.querySelector('input[value=auto]').click()")

    # Narrow: nothing sticks out.
    chrome.show(400, 800, False)
    ev("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    check(ev("document.documentElement.scrollWidth") == 400, "narrow", ev("document.documentElement.scrollWidth"))
    check(ev("drawn(document.getElementById('heat'))") > 10, "heat map, narrow")

    # What moves while it loads, by the browser's own measure.
    chrome.show(1280, 900, False)
    chrome.open("file://" + page)
    moved = ev("new Promise(r => { let sum = 0; new PerformanceObserver(l => l.getEntries().forEach(e => sum += e.value))"
               ".observe({type: 'layout-shift', buffered: true}); requestAnimationFrame(() => requestAnimationFrame(() => r(sum))); })")
    check(moved < 0.01, "layout shift", moved)
    quiet(chrome)


def cells(page_data):
    """Faults in all heat maps, decoded here."""
    import base64
    total = 0
    for heat in page_data["charts"]["maps"]:
        for name in "missing", "write_protect", "minor", "read_write_protect", "quick":
            values, value, shift = [], 0, 0
            for byte in base64.b64decode(heat["layers"].get(name, "")):
                value |= (byte & 127) << shift
                shift += 7
                if not byte & 128:
                    values.append(value)
                    value = shift = 0
            total += sum(values[1::2])
    return total


with tempfile.TemporaryDirectory(prefix="userfault-browser-") as folder:
    chrome = Chrome()
    try:
        for name, options in ("run", ["records=40000", "seed=7"]), ("serve", ["records=40000", "origin=pager", "seed=8"]):
            trace, page = f"{folder}/{name}.trace", f"{folder}/{name}.html"
            subprocess.run([MAKE, trace, *options], check=True)
            subprocess.run([TRACE, f"--html={page}", trace], check=True)
            told = json.loads(subprocess.run([TRACE, "--json", trace], check=True, capture_output=True).stdout)
            with open(page, encoding="utf-8") as f:
                text = f.read()
            check(not re.search(r"""(src|href)\s*=\s*["'](?!data:|#)""", text), "it needs nothing else")
            data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S).group(1))
            check(cells(data) == told["faults"]["total"], "cells", cells(data))
            look(chrome, page, told, name == "serve")

        # A trace in which nothing happened is a page as well.
        with open(trace, "r+b") as f:
            f.seek(24)
            f.write(bytes(8))
        subprocess.run([TRACE, f"--html={page}", trace], check=True)
        chrome.events.clear()
        chrome.open("file://" + page)
        check(chrome.evaluate("document.documentElement.dataset.ready") == "yes", "empty")
        quiet(chrome)
    finally:
        chrome.close()
