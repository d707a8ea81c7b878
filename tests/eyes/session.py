"""A program under userfault run: its trace, and what userfault top shows of it while it runs."""
import json
import os
import signal
import subprocess
import sys
import tempfile

USERFAULT, TOP = os.environ["USERFAULT"], os.environ["TOP"]
FAULTS, LEDGER = (os.path.join(os.environ["HELPERS"], name) for name in ("faults", "ledger"))
signal.alarm(100)


def check(condition, *what):
    if not condition:
        sys.exit(f"not so: {str(what)[:2000]}")


def said(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    check(done.returncode == 0, command, done)
    return done.stdout


# ---- a ledger with known contents
top = json.loads(said(LEDGER, "good", TOP, "--once", "--json", "--interval=0.1", "--session=feed00000000beef"))
check(len(top["sessions"]) == 1 and not top["pagers"], top)
session = top["sessions"][0]
check(session["program"] == "the-program", session)
first = session["processes"][0]
check(first["role"] == "owner" and first["counts"]["faults"]["missing"] == 12 and first["waiting"] == 3, first)
check(first["registered_bytes"] == 4096 * 4096 and first["longest_waiting"] >= 100e9, first)
fault, event = first["waiters"]
check((fault["tid"], fault["for"], fault["address"]) == (111, "page", "0x7f0000001234"), fault)
check((event["for"], event["address"]) == ("event", None), event)
table = said(LEDGER, "good", TOP, "--once", "--interval=0.1", "--session=feed")
check("session feed00000000beef: the-program, begun 1 h 1 min ago, 2 processes" in table, table)
check("waits for 100s" in table or "waits for 2min" in table, table)

with tempfile.TemporaryDirectory(prefix="userfault-session-") as folder:
    # ---- while it runs: it has had its missing faults, and waits before the others
    trace, go_on = f"{folder}/trace", f"{folder}/go-on"
    program = subprocess.Popen([USERFAULT, "run", f"--trace={trace}", "--", FAULTS, "600", "200", f"after:{go_on}"],
                               stdout=subprocess.PIPE, text=True)
    check(program.stdout.readline() == "ready\n", "it begins")
    top = json.loads(said(USERFAULT, "top", "--once", "--json", "--interval=0.1"))
    seen = [p for s in top["sessions"] for p in s["processes"] if s["program"] == "faults" and p["pid"]]
    mine = [p for p in seen if p["counts"]["faults"] == {"missing": 600, "write_protect": 0, "minor": 0, "read_write_protect": 0}]
    check(mine, seen, [(s["program"], [p["name"] for p in s["processes"]]) for s in top["sessions"]])
    check(mine and mine[0]["counts"]["filled_pages"] == 600 and mine[0]["latency"]["p50_of_all"] > 100, seen)
    check(mine[0]["per_second"]["faults"] == 0 and mine[0]["latency"]["p50"] is None, mine)
    with open(go_on, "w"):
        pass
    check(program.wait() == 0, "it ends")

    # ---- its trace
    told = json.loads(said(USERFAULT, "trace", "--json", trace))
    check(told["origin"] == "run" and told["faults"]["by_kind"]["missing"] == 600, told["faults"])
    check(told["faults"]["by_kind"]["write_protect"] == 200, told["faults"])
    check(told["work"]["messages"] == 800 and told["work"]["fills"]["copy"]["pages"] == 600, told["work"])
    check(told["pages"]["present"] >= 600 or told["pages"]["registered_bytes"] == 0, told["pages"])
    check(told["latency"]["message_unread"]["count"] == 800 and told["longest_waits"][0]["read_after"], told["latency"])
    check(sum(s["total"] for s in told["call_sites"]) >= 800, told["call_sites"])
    check(all(s["module"] and s["module"].endswith("/faults") for s in told["call_sites"][:2]), told["call_sites"])
    if os.environ["HAVE_LIBDW"] == "yes":
        check(told["call_sites"][0]["function"], told["call_sites"])
    check("faults" in said(USERFAULT, "trace", trace), "summary")
