"""/metrics is what Prometheus reads, with every name that the dashboard asks for; /status is JSON that
says the same; /healthz tells who asks that all is well."""
import http.client
import json
import math
import os
import re
import signal
import socket

from lib import *

memory = memory_file(name='me"mo\\ry', pages=1024)
server = Server("--metrics", "0", "--metrics-guests", "2", "--no-prefetch", memory=memory, ready=False)
port = int(server.expect(r" serves .*, metrics on 127\.0\.0\.1:(\d+)").group(1))


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def get(url, method="GET", where=None):
    c = UnixConnection(where) if where else http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    while True:
        try:
            c.request(method, url)
            break
        except ConnectionRefusedError:
            os.sched_yield()
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    return r.status, r.getheader("content-type"), text


def parse(text):
    """Prometheus's text format, strictly. Returns {name: (type, {labels: value})}."""
    metrics, family, seen = {}, None, set()
    check(text.endswith("\n"), "no newline at the end")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, words = re.fullmatch(r"# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (\S.*)", line).groups()
            check(name not in metrics, name, "comes twice")
            family = name
        elif line.startswith("# TYPE "):
            name, kind = re.fullmatch(r"# TYPE (\S+) (counter|gauge|histogram)", line).groups()
            check(name == family, "TYPE without HELP:", line)
            metrics[name] = (kind, {})
        else:
            found = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[^\"}]|\"(?:[^\"\\]|\\[\\\"n])*\")*)\})? (\S+)", line)
            check(found, "no sample:", line)
            name, labels, value = found.groups()
            pairs = re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)', labels or "")
            check(",".join(f'{k}="{v}"' for k, v in pairs) == (labels or ""), "labels:", labels)
            check(name == family or (metrics[family][0] == "histogram" and
                  name in (family + "_bucket", family + "_sum", family + "_count")), name, "is not in", family)
            check((name, labels) not in seen, line, "comes twice")
            seen.add((name, labels))
            metrics[family][1][(name, tuple(pairs))] = float(value)
            check(not math.isnan(float(value)), line)
            if metrics[family][0] == "counter":
                check(name.endswith("_total"), name, "is a counter, by another name")
    for name, (kind, samples) in metrics.items():
        if kind == "histogram":
            check_histogram(name, samples)
    return metrics


def check_histogram(name, samples):
    series = {}
    for (sample, labels), value in samples.items():
        rest = tuple(pair for pair in labels if pair[0] != "le")
        series.setdefault(rest, {"buckets": []})
        if sample.endswith("_bucket"):
            series[rest]["buckets"].append((float(dict(labels)["le"]), value))
        else:
            series[rest][sample[len(name):]] = value
    for one in series.values():
        bounds = [b for b, _ in one["buckets"]]
        counts = [n for _, n in one["buckets"]]
        check(bounds == sorted(set(bounds)) and bounds[-1] == math.inf, name, "bounds", bounds)
        check(counts == sorted(counts) and counts[-1] == one["_count"], name, "counts", counts)
        check((one["_sum"] > 0) == (one["_count"] > 0), name, "sum", one["_sum"])


def metrics(**how):
    status, kind, text = get("/metrics", **how)
    check(status == 200 and kind.startswith("text/plain; version=0.0.4"), status, kind)
    return parse(text)


def value(all, name, **labels):
    return sum(v for (sample, pairs), v in all[name][1].items()
               if sample in (name, name + "_count") and labels.items() <= dict(pairs).items())


def of_guests(all):
    """{metric: {guest: value}} of the counters."""
    return {name: {dict(pairs)["guest"]: v for (_, pairs), v in samples.items()}
            for name, (kind, samples) in all.items() if kind == "counter" and name.startswith("userfault_guest_")}


# Nobody is there.
empty = metrics()
check(value(empty, "userfault_pager_guests") == 0 and value(empty, "userfault_pager_keeper") == 1)
check(set(of_guests(empty)["userfault_guest_faults_total"]) == {"ended"})

guests = [Guest(server) for _ in range(4)]
for guest in guests:
    guest.touch(100)
all = metrics()
faults = of_guests(all)["userfault_guest_faults_total"]
check(set(faults) == {"1", "2", "other", "ended"}, faults)
check(faults["1"] > 0 and faults["other"] > faults["1"] and faults["ended"] == 0, faults)
check(value(all, "userfault_pager_guests") == 4 and value(all, "userfault_pager_guests_accepted_total") == 4)
pids = {dict(pairs)["guest"]: dict(pairs)["pid"] for (_, pairs) in all["userfault_guest_resident_pages"][1]}
check(pids == {"1": str(guests[0].pid), "2": str(guests[1].pid), "other": ""}, pids)
source = [dict(pairs) for (_, pairs) in all["userfault_source_healthy"][1]]
check([s["source"].replace('\\"', '"').replace("\\\\", "\\") for s in source] == [memory], source)
check(value(all, "userfault_source_size_bytes") == 1024 * 4096)
check(value(all, "userfault_guest_fault_latency_seconds", guest="1") > 0)
check(value(all, "process_open_fds") > 5 and value(all, "process_resident_memory_bytes") > 1 << 20)

# Two end: their counts are not lost, in sum or by a takeover.
total = {name: sum(v.values()) for name, v in of_guests(all).items()}
for guest in guests[:1] + guests[3:]:
    guest.quit()
    server.expect("has ended")
all = metrics()
check(value(all, "userfault_pager_guests_ended_total") == 2 and value(all, "userfault_pager_guests") == 2)
check(of_guests(all)["userfault_guest_faults_total"]["ended"] > 0)
check(set(of_guests(all)["userfault_guest_faults_total"]) == {"2", "3", "ended"})
for name, before in total.items():
    check(sum(of_guests(all)[name].values()) >= before, name, "went down")
os.kill(server.server(), signal.SIGKILL)
server.expect("has taken over 2 guests")
again = metrics()
for name, samples in of_guests(all).items():
    check(sum(of_guests(again)[name].values()) >= sum(samples.values()), name, "went down")
check(value(again, "userfault_pager_takeovers_total") == 1)
check(value(again, "userfault_guest_takeovers_total") == 2)
check(value(again, "userfault_pager_server_start_time_seconds") > value(again, "userfault_pager_start_time_seconds"))

# /status says the same.
status, kind, text = get("/status")
check(status == 200 and kind == "application/json")
told = json.loads(text)
check([g["number"] for g in told["guests"]] == [2, 3], told["guests"])
check([g["pid"] for g in told["guests"]] == [g.pid for g in guests[1:3]])
check(all["userfault_guest_resident_pages"][1] and told["guests"][0]["counts"]["faults"] > 0)
check(told["totals"]["ended"] == 2 and told["takeovers"] == 1 and told["healthy"] is True)
check(told["keeper"] == server.pid and told["pid"] == server.server() and told["socket"] == server.socket)
check(told["sources"][0]["source"] == memory and told["sources"][0]["bytes"] == 1024 * 4096)

# The rest of HTTP.
check(get("/healthz")[0] == 200 and get("/healthz")[2] == "ok\n")
check(get("/")[0] == 404 and get("/metrics/")[0] == 404)
check(get("/metrics", "POST")[0] == 405 and get("/metrics", "DELETE")[0] == 405)
status, kind, text = get("/metrics", "HEAD")
check(status == 200 and text == "")
lazy = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
for one in lazy:
    one.send(b"GET /metr")
check(get("/healthz")[0] == 200, "idle connections keep others out")
for one in lazy:
    one.close()

# The dashboard asks for what there is.
with open(os.path.join(os.environ["SOURCE"], "examples", "grafana-dashboard.json")) as f:
    dashboard = json.load(f)
names = set(again)
for name, (kind, _) in again.items():
    if kind == "histogram":
        names |= {name + "_bucket", name + "_sum", name + "_count"}
panels = [p for panel in dashboard["panels"] for p in [panel, *panel.get("panels", [])]]
asked = [t["expr"] for p in panels for t in p.get("targets", [])]
asked += [re.search(r"\((.*),", v["query"] if isinstance(v["query"], str) else v["query"]["query"]).group(1)
          for v in dashboard["templating"]["list"] if v["type"] == "query"]
check(len(asked) > 15, "the dashboard asks for little")
for expr in asked:
    wanted = re.findall(r"\b(?:userfault|process)_[a-z0-9_]+", expr)
    check(wanted, "asks for nothing of ours:", expr)
    for name in wanted:
        check(name in names, f"the dashboard asks for {name}, which is not there")
check(len({p["id"] for p in panels}) == len(panels), "two panels have one id")
shown = {name for expr in asked for name in re.findall(r"\b(?:userfault|process)_[a-z0-9_]+", expr)}
for name in ("userfault_guest_faults_total", "userfault_guest_waiting_threads", "userfault_source_errors_total",
             "userfault_guest_failed_pages_total", "userfault_pager_guests_refused_total",
             "userfault_pager_takeovers_total", "userfault_guest_fault_latency_seconds_bucket"):
    check(name in shown, "the dashboard does not show", name)

for guest in guests:
    if guest.process.poll() is None:
        guest.quit()
check(server.stop() == 0)

# On a unix socket, which goes when the server goes.
server = Server("--metrics", "unix:" + path("metrics"), memory=memory)
check(value(metrics(where=path("metrics")), "userfault_pager_guests") == 0)
check(os.stat(path("metrics")).st_mode & 0o777 == 0o600)
check(server.stop() == 0)
check(not os.path.exists(path("metrics")), "the socket of the metrics is left")
finish()
