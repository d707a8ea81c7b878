"""userfault top shows a pager whose counters move at known rates, takes keys, and leaves no traces."""
import json
import os
import re
import signal
import subprocess
import sys
import termios

from terminal import Terminal

TOP, LIVE = os.environ["TOP"], os.environ["LIVE"]
signal.alarm(110)


def check(condition, *what):
    if not condition:
        sys.exit(f"not so: {what}")


def once(*options):
    done = subprocess.run([TOP, "--once", "--interval=0.5", *options], capture_output=True, text=True)
    check(done.returncode == 0, done)
    return done.stdout


live = subprocess.Popen([LIVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
check(live.stdout.readline() == "ready\n", "make-live begins")
ours = f"--pid={live.pid}"


def tell(what):
    live.stdin.write(what + "\n")
    check(live.stdout.readline() == "done\n", what)


def about(value, expected, part=0.35):
    return abs(value - expected) <= part * expected


# ---- --once --json: every value
top = json.loads(once("--json", ours))
check(len(top["pagers"]) == 1 and not top["sessions"], top)
pager = top["pagers"][0]
check(pager["id"] == "feed00000000beef" and pager["name"] == "/run/test.sock" and pager["pid"] == live.pid, pager)
check(pager["takeovers"] == 1 and pager["in_flight_limit"] == 32 << 20, pager)
nbd, rados = pager["sources"]
check(nbd["healthy"] and nbd["errors"] == 7 and nbd["kind"] == "nbd" and about(nbd["fetches_per_second"], 500), nbd)
check(about(nbd["bytes_per_second"], 64 << 20) and not rados["healthy"], nbd, rados)
guests = {g["name"]: g for g in pager["guests"]}
check(sorted(guests) == ["guest-1", "guest-2", "guest-3"], guests)
first = guests["guest-1"]
check(about(first["per_second"]["faults"], 2000), first["per_second"])
check(about(first["per_second"]["near"], 6000) and about(first["per_second"]["ahead"], 20000), first["per_second"])
check(about(guests["guest-2"]["per_second"]["faults"], 1000), guests["guest-2"]["per_second"])
check(8192 <= first["latency"]["p50"] <= first["latency"]["p99"] <= 10240, first["latency"])
check(first["latency"]["histogram"] == [[8192, first["counts"]["faults"]]], first["latency"])
check(first["page_states"] == {"missing": 2560, "fetching": 0, "present": 1024, "removed": 512, "failed": 0, "evicted": 0}, first)
check(first["registered_bytes"] == 4096 * 4096 and first["resident_bytes"] == 1024 * 4096, first)
check(first["regions"] == [{"address": "0x7f0000000000", "size": 1 << 24, "offset": 0, "page_size": 4096, "minor": False}], first)
check(first["waiting"] == 2 and first["longest_waiting"] > 5e9, first)
by_address = {w["address"]: w for w in first["waiters"]}
known = by_address["0x7f0000123000"]
check(known["tid"] == live.pid and known["name"] == "make-live" and known["nanoseconds"] > 5e9, known)
check(by_address["0x7f0000456000"]["tid"] is None, by_address)

# ---- --once: a table
table = once(ours)
check(re.search(r"^guest-1 +%d +(1[3-9]|2[0-6])\d\d +9\.\dus +10us " % live.pid, table, re.M), table)
check("rados:broken/image: FAILING" in table and "nbd://test/image: healthy" in table, table)
check(re.search(r"thread %d make-live waits for \d+(\.\d)?s at 0x7f0000123000" % live.pid, table), table)
check("guest-" not in once("--session=0000"), "another session")
check("guest-1" in once("--session=feed"), "this session")

# ---- the live view
t = Terminal([TOP, "--interval=0.1", ours])
before = termios.tcgetattr(t.fd)
t.expect(r"^guest-1 +(1[3-9]|2[0-6])\d\d +9\.\dus")
t.expect(r"^NAME +FAULTS/S +P50 +P99 +DEMAND/S +AHEAD/S +WAIT +OLDEST +RESIDENT$")
t.expect(r"^  rados:broken/image: FAILING")
check(all(len(line) <= 80 for line in t.lines()), t.text())
check(b"\x1b[31m" in t.raw, "a failing source is red")


def rows(text):
    return re.findall(r"^(guest-\d)", text, re.M)


check(rows(t.text()) == ["guest-1", "guest-2", "guest-3"], t.text())
t.press("R")
t.expect(lambda text: rows(text) == ["guest-3", "guest-2", "guest-1"])
t.press("n")
t.expect(lambda text: rows(text) == ["guest-3", "guest-2", "guest-1"])
t.press("R")
t.expect(lambda text: rows(text) == ["guest-1", "guest-2", "guest-3"])
t.press("/-2\r")
t.expect(lambda text: rows(text) == ["guest-2"] and "only '-2'" in text)
t.press("/\r")
t.expect(lambda text: len(rows(text)) == 3)
t.press("\x1bOH\r")  # first row, its details
t.expect(r"^guest-1, pid \d+, running, of /run/test.sock")
t.expect(r"^%d +make-live +\d+(\.\d)?s  0x7f0000123000" % live.pid)
t.expect(r"^8\.2us-16us +█{24} +\d+")
t.expect(r"^present +█{6} +1024 +25\.0 %")
t.press("\x1b[6~" * 3)
t.expect(r"^takeovers +0$")
t.press("\x1b")
t.expect(r"^NAME ")
t.press("h")
t.expect(r"PgUp, PgDn +move")
t.press("h")
t.expect(r"^NAME ")
t.press(" ")
t.expect("PAUSED")
shown = t.expect(r"^guest-1 .*$").group()
tell("end")  # nothing that happens now is shown
t.press("j")
t.pump(0.4)
check(t.expect(r"^guest-1 .*$").group() == shown, "paused", t.text())
t.press(" ")
t.expect(lambda text: "PAUSED" not in text)
t.press("i0.2\r")
t.expect(r"every 0\.2 s")

# Another size: more columns, then hardly any.
t.resize(140, 40)
t.expect(r"^NAME +PID +FAULTS/S +P50 +P99 +DEMAND/S +NEAR/S +AHEAD/S +WAIT +OLDEST +RESIDENT OF")
t.resize(40, 10)
t.expect(r"^NAME +FAULTS/S")
t.resize(12, 3)
t.pump(0.5)
t.resize(80, 24)
t.expect(r"^guest-1 ")
t.press("q")
check(t.ends() == 0, "q ends it")
check(termios.tcgetattr(t.fd)[:4] == before[:4] or b"\x1b[?1049l" in t.raw[-200:], "the terminal is as before", t.raw[-200:])

# ---- without colours, without UTF-8, in a bare terminal; signals
t = Terminal([TOP, "--interval=0.1", ours], NO_COLOR="1", LC_ALL="C")
t.expect(r"^guest-1 +(1[3-9]|2[0-6])\d\d")
t.press("\r")
t.expect(r"^8\.2us-16us +#{24} ")
check(not re.search(rb"\x1b\[3\dm|\x1b\[[\d;]*38;", t.raw), "no colours")
os.kill(t.pid, signal.SIGTERM)
check(t.ends() == 0 and b"\x1b[?1049l" in t.raw[-200:], "SIGTERM ends it, and the screen is left", t.raw[-200:])
t = Terminal([TOP, ours], TERM="vt100")
t.expect(r"^guest-1 ")
t.press("\x03")
check(t.ends() == 0, "so does ^C")
t = Terminal([TOP, ours])
t.expect(r"^guest-1 ")
os.close(t.fd)
check(os.waitpid(t.pid, 0)[1] == 0, "a hangup ends it")
t = Terminal([TOP], TERM="no-such-terminal")
check(os.waitstatus_to_exitcode(t.ends()) == 2 and b"userfault top --once" in t.raw, "unknown terminal")

# ---- files that lie
tell("hostile")
liar = {g["number"]: g for g in json.loads(once("--json", ours))["pagers"][0]["guests"]}[2]
check(set(liar["name"]) == {"?"} and liar["waiting"] == 2**32 - 1, liar)
check(liar["resident_bytes"] <= liar["registered_bytes"] and len(liar["waiters"]) == 64, liar)
check("\x1b" not in once(ours), "no escape sequences")
t = Terminal([TOP, "--interval=0.1", ours])
t.expect(r"^\?{14}")
t.press("ng\r")
t.expect(r"^4294967295 +- +0ns  0xffffffffffffffff")
t.press("q")
check(t.ends() == 0, "with a liar")
tell("damage")
top = json.loads(once("--json", ours))
check(top["not_understood"] >= 1 and len(top["pagers"][0]["guests"]) == 2, top)

# ---- nothing to see, and wrong command lines
live.stdin.close()
live.wait()
check("no pagers and no sessions" in once("--pid=999999999"), "nothing")
for options, words in [["--json"], "--once"], [["--interval=x"], "seconds"], [["--pid=0"], "number of a process"], \
        [["--session=xyz"], "hexadecimal"], [["x"], "no argument"], [["--onc=1"], "no value"], [["--onec"], "did you mean --once"]:
    done = subprocess.run([TOP, *options], capture_output=True, text=True)
    check(done.returncode == 2 and words in done.stderr and not done.stdout, options, done)
done = subprocess.run([TOP], capture_output=True, text=True, stdin=subprocess.DEVNULL)
check(done.returncode == 2 and "userfault top --once" in done.stderr, done)
check("Usage: userfault top" in subprocess.run([TOP, "--help"], capture_output=True, text=True).stdout, "help")
