"""What userfault trace says of a trace is what is in it; damaged and hostile files are refused or survived."""
import collections
import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile

TRACE, MAKE, FAULTING = os.environ["TRACE"], os.environ["MAKE_TRACE"], os.environ["FAULTING"]
HEADER, RECORD = struct.Struct("<QIIQQQQII192s64x"), struct.Struct("<QQQIIIHH")
WHYS = ["missing", "write_protect", "minor", "read_write_protect", "opened", "ordinary", "async", "back_from_swap"]
PROCESS, THREAD, MODULE, TEXT, RANGE, UNRANGE, FAULT, MESSAGE, FILL, WAKE, PROTECT, REMOVE, EVICT, FETCH = range(1, 15)
signal.alarm(170)
os.chdir(tempfile.mkdtemp(prefix="userfault-trace-"))


def check(condition, *what):
    if not condition:
        sys.exit(f"not so: {str(what)[:2000]}")


def run(*args, status=0):
    done = subprocess.run([TRACE, *args], capture_output=True, timeout=60)
    check(done.returncode == status, args, done.returncode, done.stderr)
    return done.stdout.decode() if status == 0 else done.stderr.decode()


def make(name, *options):
    subprocess.run([MAKE, name, *options], check=True)
    with open(name, "rb") as f:
        data = f.read()
    return data, list(RECORD.iter_unpack(data[HEADER.size:]))


def exact(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, max(0, round(q * len(values)) - 1))]


def near(got, values, q, part):
    # Between the neighbours of the quantile, and a bucket more.
    low, high = exact(values, max(q - 0.002, 0)), exact(values, min(q + 0.002, 1))
    return low * (1 - part) - 1 <= got <= high * (1 + part) + 1


# ---- the figures, counted again
def compare(name, *options):
    data, records = make(name, *options)
    told = json.loads(run("--json", name))
    by = collections.defaultdict(list)
    for r in records:
        by[r[7]].append(r)
    faults = by[FAULT]
    handled = [r[5] for r in faults if r[6] & 15 < 4]
    check(told["records"] == len(records) and told["faults"]["total"] == len(faults), told["records"])
    check(told["faults"]["handled"] == len(handled), told["faults"])
    kinds = collections.Counter(WHYS[r[6] & 15] for r in faults)
    check(told["faults"]["by_kind"] == kinds, told["faults"], kinds)
    latency = told["latency"]["handled"]
    check(latency["max"] == max(handled) and latency["sum"] == sum(handled) and latency["count"] == len(handled), latency)
    for key, q in ("p50", 0.5), ("p90", 0.9), ("p99", 0.99):
        check(near(latency[key], handled, q, 0.01), key, latency[key], exact(handled, q))
    times = [r[0] for r in records if r[7] > UNRANGE]
    ends = [r[0] + r[5] for r in records if r[7] > UNRANGE]
    check(told["nanoseconds"] == max(ends) - min([*times, 7200000000000]), told["nanoseconds"])
    threads = {(t["process"], t["thread"]): t for t in told["threads"]}
    for key, own in collections.Counter((r[3], r[4]) for r in faults).items():
        check(sum(threads[key]["faults"].values()) == own, key)
        waits = [r[5] for r in faults if (r[3], r[4]) == key and r[6] & 15 < 4]
        check(threads[key]["waits"]["sum"] == sum(waits) and near(threads[key]["waits"]["p50"], waits, 0.5, 0.2), key)
    pages = [r[2] // 4096 for r in by[FILL] if not r[6] & 0x20]
    ahead = sum(r[2] // 4096 for r in by[FILL] if r[6] & 0x10)
    work = told["work"]
    check(work["pages_ahead"] == ahead and work["pages_on_demand"] == sum(pages) - ahead, work)
    check(work["removed_pages"] == sum(r[2] // 4096 for r in by[REMOVE]), work)
    check(work["evicted_pages"] == sum(r[2] // 4096 for r in by[EVICT]), work)
    check(work["fetches"] == len(by[FETCH]) and work["messages"] == len(by[MESSAGE]), work)
    check(work["failed_fetches"] == sum(1 for r in by[FETCH] if r[6] & 0x20), work)
    # The states of all pages, followed page by page.
    state = {}
    for r in records:
        first, count = r[1] // 4096, r[2] // 4096
        if r[7] == FAULT and r[6] & 15 not in (0, 2) and not r[6] & 0x180:
            state[r[3], r[1] // 4096] = "present"
        elif r[7] in (FILL, REMOVE, EVICT):
            to = {FILL: "poisoned" if r[6] & 15 == 4 else "present", REMOVE: "removed", EVICT: "evicted"}[r[7]]
            state.update(((r[3], n), to) for n in range(first, first + count))
    counted = collections.Counter(state.values())
    for key in "present", "removed", "evicted", "poisoned":
        check(told["pages"][key] == counted[key], key, told["pages"], counted)
    registered = sum(r[2] for r in by[RANGE])
    check(told["pages"]["registered_bytes"] == registered, told["pages"])
    check(told["pages"]["missing"] == registered // 4096 - sum(counted.values()), told["pages"])
    # The longest waits and the hottest pages.
    longest = sorted((r[5] for r in faults if r[6] & 15 < 4), reverse=True)[:50]
    check([w["nanoseconds"] for w in told["longest_waits"]] == longest, "longest")
    hot = collections.Counter((r[3], r[1] // 4096 * 4096) for r in faults)
    check([p["faults"] for p in told["hottest_pages"]] == [n for _, n in hot.most_common(20)], "hottest")
    check(told["faults"]["distinct_pages"] == len(hot), "distinct")
    return data, records, told


data, records, told = compare("run.trace", "records=60000", "seed=3")
compare("pager.trace", "records=60000", "seed=5", "origin=pager")
check(make("again.trace", "records=60000", "seed=3")[0] == data, "the same for the same seed")

# Where the time of the longest wait went: its message and its fill are in the trace.
wait = told["longest_waits"][0]
fault = next(r for r in records if r[7] == FAULT and r[5] == wait["nanoseconds"] and hex(r[1]) == wait["address"])
inside = [r for r in records if r[3] == fault[3] and r[1] // 4096 == fault[1] // 4096 and fault[0] <= r[0] <= fault[0] + fault[5]]
message = next(r for r in inside if r[7] == MESSAGE)
fill = next(r for r in inside if r[7] in (FILL, PROTECT))
check(wait["read_after"] == message[0] + message[5] - fault[0], wait)
check(wait["fill_after"] == fill[0] - fault[0] and wait["filled_after"] == fill[0] + fill[5] - fault[0], wait)

# ---- the summary has the same figures
summary = run("run.trace")
for words in ["cache-server --threads 6", f"{told['faults']['by_kind']['missing']:,}", "worker-3", "write-protect",
              "LONGEST WAITS", "PAGES AT THE END"]:
    check(words in summary, words, summary)

# ---- call sites: a program with debug information, at its own addresses
symbols = subprocess.run(["nm", FAULTING], capture_output=True, text=True)
if symbols.returncode == 0:
    where = {line.split()[2]: int(line.split()[0], 16) for line in symbols.stdout.splitlines() if len(line.split()) == 3}
    sites = [where["touch_first"], where["touch_second"]]
    # Offsets in the file: code is mapped where the file has it in programs of this linker's kind.
    headers = open(FAULTING, "rb").read()
    phoff, phnum = struct.unpack_from("<Q", headers, 32)[0], struct.unpack_from("<H", headers, 56)[0]
    segments = [struct.unpack_from("<IIQQQQQQ", headers, phoff + 56 * i) for i in range(phnum)]

    def offset(vaddr):
        return next(vaddr - s[3] + s[2] for s in segments if s[0] == 1 and s[3] <= vaddr < s[3] + s[5])

    make("sites.trace", "records=4000", f"module={os.path.abspath(FAULTING)}", "sites=" + ",".join(hex(offset(s)) for s in sites))
    with open("sites.trace", "r+b") as f:  # recorded after the program was made
        f.seek(40)
        f.write(struct.pack("<Q", int((os.stat(FAULTING).st_mtime + 10) * 1e9)))
    names = {s["function"]: s for s in json.loads(run("--json", "sites.trace"))["call_sites"]}
    if os.environ["HAVE_LIBDW"] == "yes":
        check(set(names) == {"touch_first", "touch_second"}, names)
        check(names["touch_first"]["file"] == "faulting.c" and 0 < names["touch_first"]["line"] < names["touch_second"]["line"], names)
    with open("sites.trace", "r+b") as f:  # and before: then the file is another one
        f.seek(40)
        f.write(struct.pack("<Q", int(1e18)))
    for site in json.loads(run("--json", "sites.trace"))["call_sites"]:
        check(site["function"] is None and site["name"].startswith("faulting"), site)

# ---- trace events: whole JSON, slices of the right length on tracks with names
run("--perfetto=events.json", "run.trace")
with open("events.json") as f:
    events = json.load(f)["traceEvents"]
check({e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "process_name"} == {"cache-server", "cache-saver"}, "names")
slices = sorted((e["ts"], e["dur"], e["pid"], e["tid"]) for e in events if e.get("cat") == "fault")
begin = min(r[0] for r in records if r[7] > UNRANGE)
begin = min(begin, 7200000000000)
want = sorted(((r[0] - begin) / 1000, r[5] / 1000, r[3], r[4]) for r in records if r[7] == FAULT)
check(len(slices) == len(want), len(slices), len(want))
for got, expected in zip(slices, want):
    check(abs(got[0] - expected[0]) < 0.002 and abs(got[1] - expected[1]) < 0.002 and got[2:] == expected[2:], got, expected)
starts = {e["id"]: e for e in events if e["ph"] == "s"}
check(len(starts) == told["work"]["messages"], "an arrow from each fault to its message", len(starts))
for e in events:
    if e["ph"] in "tf":
        check(e["ts"] >= starts[e["id"]]["ts"], e)
counter = [e for e in events if e["ph"] == "C"]
check({e["name"] for e in counter} == {"faults/s", "resident pages"}, "counters")
step = max(told["nanoseconds"] // 4000, 1000000) / 1e9
check(abs(sum(e["args"]["value"] for e in counter if e["name"] == "faults/s") * step - len(want)) < len(want) * 0.02, "faults/s")
pager = [e for e in json.loads(run("--perfetto=-", "pager.trace"))["traceEvents"] if e["ph"] in "be"]
check(len(pager) > 1000 and len(pager) % 2 == 0, len(pager))

# ---- files that are none, or damaged
open("empty", "w").close()
for name, content, words in [
        ("text", b"no trace at all, only some text that is long enough" * 9, "no trace of Userfault"),
        ("short", data[:100], "within its header"),
        ("version", data[:8] + struct.pack("<I", 2) + data[12:], "format 2"),
        ("records", data[:12] + struct.pack("<I", 48) + data[16:], "format"),
        ("swapped", data[:8][::-1] + data[8:], "byte order"),
        ("origin", data[:48] + struct.pack("<I", 9) + data[52:], "damaged"),
        ("pagesize", data[:52] + struct.pack("<I", 0) + data[56:], "damaged")]:
    with open(name, "wb") as f:
        f.write(content)
    check(words in run(name, status=1), name, run(name, status=1))
check("no trace of Userfault" in run("empty", status=1) and "No such file" in run("absent", status=1), "empty")
check("not a regular file" in run("/dev/zero", status=1) and "not a regular file" in run(".", status=1), "device")
with open("cut", "wb") as f:
    f.write(data[:len(data) // 2])
cut = json.loads(run("--json", "cut"))
check(cut["ends_early"] and 29000 < cut["records"] < 30001, cut["records"])
with open("full", "wb") as f:
    f.write(data[:24] + struct.pack("<Q", len(records) + 123) + data[32:])
capacity = struct.unpack_from("<Q", data, 16)[0]
check(json.loads(run("--json", "full"))["records_lost"] == max(len(records) + 123 - capacity, 0), "lost")
with open("none", "wb") as f:
    f.write(data[:24] + struct.pack("<Q", 0) + data[32:HEADER.size])
check("nothing happened" in run("none"), "none")

# Hostile: every field whatever it likes; and a valid trace with bytes changed.
chance = random.Random(11)
nasty = [0, 1, 4095, 4096, 1 << 31, (1 << 47) - 1, 1 << 62, (1 << 63) - 1, (1 << 64) - 4096, (1 << 64) - 1]
for attempt in range(24):
    body = bytearray()
    for _ in range(1500):
        body += RECORD.pack(*(chance.choice(nasty) if chance.random() < 0.5 else chance.getrandbits(64) for _ in range(3)),
                            *(chance.choice([0, 1, 2, 7, (1 << 32) - 1]) for _ in range(3)),
                            chance.getrandbits(16), chance.choice(range(17)))
    if attempt % 2:
        body = bytearray(data[HEADER.size:HEADER.size + 60000])
        for _ in range(400):
            body[chance.randrange(len(body))] = chance.getrandbits(8)
    head = data[:24] + struct.pack("<Q", len(body) // 40) + data[32:48] + struct.pack("<I", 1 + attempt % 4 // 2) + data[52:56]
    with open("hostile", "wb") as f:
        f.write(head + bytes(chance.getrandbits(8) for _ in range(192)) + bytes(64) + body)
    json.loads(run("--json", "hostile"))
    check(not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", run("hostile")), "control characters")
    json.loads(run("--perfetto=-", "hostile"))
    page = run("--html=-", "hostile")
    check(len(page) < 2e6 and page.count("</script>") == 2, len(page))

# ---- where it is written to
run("--html=out.html", "run.trace")
check(0 < os.path.getsize("out.html") < 2e6 and not [n for n in os.listdir() if n.startswith("out.html.")], "out.html")
check("cannot be written" in run("--html=/proc/none/x.html", "run.trace", status=1), "unwritable")
check(subprocess.run(f"'{TRACE}' --json run.trace >/dev/full", shell=True, capture_output=True).returncode == 1, "full")
for args, words in [[[], "needs the file"], [["a", "b"], "one file"], [["--jsn", "a"], "did you mean --json"],
                    [["--html"], "needs a value"], [["--json", "--html=-", "a"], "only one"]]:
    check(words in run(*args, status=2), args)
check("Usage: userfault trace" in run("--help"), "help")

# ---- a large one, in bounded memory: twice the records, hardly more of it
if os.environ.get("LARGE"):
    make("large.trace", "records=10000000", "seconds=60")
    print(run("large.trace")[:400])
subprocess.run(["rm", "-r", os.getcwd()])
