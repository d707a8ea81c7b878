"""Connections that are slow, many or never say anything; descriptors that run out; what a VMM learns
from its connection."""
import os
import resource
import signal
import socket
import subprocess
import time

from lib import *

memory = memory_file(pages=512)
server = Server("--verbose", "--on-failure=kill", memory=memory)
pid = server.server()
wait_for("its metrics and the like", lambda: server.find("uf-serve-next"))
guest = Guest(server, "keep", "pieces", "events")
guest.check()
guest.ask("alive")
guest.expect("^open$")
before = fds_of(pid)

# A hundred that say nothing, and one that does: it is served at once.
lazy = [connect(server) for _ in range(100)]
for s in lazy[:50]:
    s.send(b"[")
begin = time.monotonic()
other = Guest(server)
other.check()
check(time.monotonic() - begin < 4, "slow strangers delay a guest")
other.quit()
server.expect("guest 2 .*has ended")
for s in lazy:
    check(is_closed(s), "a connection that says nothing stays")
check(4 < time.monotonic() - begin < 15, "it took", time.monotonic() - begin)
for s in lazy:
    server.expect("refused: it does not say all of its message in time")
# More than may be without a message at a time: the oldest go.
lazy = [connect(server) for _ in range(300)]
for _ in range(300 - 256):
    server.expect("refused: it has not said all of its message, and others want to")
other = Guest(server)
other.check()
other.quit()
for s in lazy:
    s.close()
server.expect("guest 3 .*has ended")
wait_for("descriptors to be closed", lambda: fds_of(pid) <= before)

# A guest that says more is told nothing, and is served on.
region = Region(512 * 4096)
s = say(server, [region.entry()], [region.uffd], shutdown=False)
server.expect(r"guest 4 \(pid \d+, uid \d+\) is served")
s.send(b"hello?")
server.expect("guest 4: something follows its message")
check(is_closed(s))
region.close()

# (It lives on, as this process does.) A hundred guests, one after the other, and eight at a time.
for i in range(12):
    some = [Guest(server, *([], ["keep"], ["minor"], ["events"])[j % 4]) for j in range(8)]
    for one in some:
        one.ask("check")
    for one in some:
        one.touched()
        one.quit()
wait_for("descriptors to be closed", lambda: fds_of(pid) <= before + 3)
wait_for("the keeper to close its own", lambda: fds_of(server.pid) <= 20)
guest.check()
check(server.server() == pid, "the server did not live on")

# Two at most.
guest.quit()
os.kill(pid, signal.SIGKILL)
server.end()
server = Server("--verbose", "--max-guests=2", memory=memory)
two = [Guest(server, "keep") for _ in range(2)]
third = Guest(server, "keep", here=False)
server.expect("refused: there are 2 guests, which is --max-guests")
third.end()
two[0].quit()
server.expect("has ended")
third = Guest(server, "keep")
third.check()
for one in third, two[1]:
    one.quit()
check(server.stop() == 0)

# No descriptors: those that come wait until there are some, and those that are there notice nothing.
limit = 60
server = Server("--verbose", memory=memory,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
guests = []
while not any("no descriptors are left" in line for line in server.lines) and len(guests) < 40:
    guests.append(Guest(server, "keep"))
    wait_for("an answer", lambda: sum("is served" in line for line in server.lines) == len(guests)
             or any("no descriptors are left" in line for line in server.lines))
check(3 < len(guests) < 20, len(guests), "guests have", limit, "descriptors")
served = sum("is served" in line for line in server.lines)
check(served == len(guests) - 1, "not the last one waits:", served, len(guests))
for one in guests[:served]:
    one.check()
guests[-1].ask("check")
for one in guests[:2]:
    one.quit()
guests[-1].touched()
check(sum("is refused" in line for line in server.lines) == 0, "one was refused")
for one in guests[2:]:
    one.quit()
check(server.stop() == 0)
finish()
