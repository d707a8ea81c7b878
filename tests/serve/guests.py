"""Guests that are not as they should be: connected for by a helper that has gone, forking, cutting
their memory file, flooding. They get what is theirs, and the others, too."""
import json
import os
import signal
import socket

from lib import *

memory = memory_file(pages=1024)


def killed(server):
    """Its server; another one has taken over."""
    os.kill(server.server(), signal.SIGKILL)
    server.expect("has taken over")
    server.expect_standby()


def status(server):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path("metrics"))
        s.sendall(b"GET /status HTTP/1.0\r\n\r\n")
        text = b""
        while part := s.recv(65536):
            text += part
    return json.loads(text.split(b"\r\n\r\n", 1)[1])


class GuestServer(Server):
    def __init__(self, *options):
        super().__init__("--verbose", "--no-prefetch", "--metrics", "unix:" + path("metrics"), *options,
                         memory=memory)
        self.expect_standby()

    def expect_standby(self):
        wait_for("a standby", lambda: self.find("uf-serve-next"))


# ---- a helper connects, and ends before a single page was touched: the guest lives, also over a
# takeover, and ends when its memory does
server = GuestServer()
guest = Guest(server, "helper")
server.expect(r"guest 1 \(pid \d+, uid \d+\) is served")
guest.touch(100)
server.expect(r"guest 1: the process that connected for it \(pid \d+\) is gone")
guest.touch(100)
killed(server)
guest.touch(100)
guest.check()
check(status(server)["totals"]["accepted"] == 1, "a guest that was taken over counts as another one:", status(server)["totals"]["accepted"])
guest.quit()
server.expect(rf"guest 1 \(pid \d+, uid {os.getuid()}\) has ended: its process is gone")

# ---- its memory file is cut while it is filled: it may fail, others and the server do not
other = Guest(server, "minor")
server.expect("guest 2 .* is served")
cutter = Guest(server, "minor")
server.expect("guest 3 .* is served")
before = server.server()
cutter.ask("cut 20")
other.check()
cutter.expect("^cut 20$")
check(server.server() == before, "the server died of a file that was cut")
cutter.ask("cut 20")
killed(server)
cutter.expect("^cut 20$")
cutter.quit()
server.expect("guest 3 .*has ended")
other.check()
other.quit()
server.expect("guest 2 .*has ended")

# ---- floods: who gives back and touches as fast as can be is served no more often, by far, than who
# waits for one page after the other
PAGES = 1024
quiet = Guest(server, "events")
server.expect(r"guest \d+ .* is served")
quiet.ask(f"remove {PAGES}")
quiet.expect("^removed")
floods = [Guest(server, "events") for _ in range(3)]
for flood in floods:
    server.expect(r"guest \d+ .* is served")
for flood in floods:
    flood.ask("flood")
quiet.check()
for flood in floods:
    flood.ask("stop")
counts = [int(flood.expect(r"^flooded (\d+)$").group(1)) for flood in floods]
print("floods of", counts, "pages while another guest had", PAGES)
check(max(counts) < 10 * PAGES, "a flood has far more than its share:", counts)
check(min(counts) > 0, "a flood was not served at all")
quiet.check()
for guest in floods + [quiet]:
    guest.quit()
    server.expect("has ended: its process is gone")

# ---- forks: the child's memory is served as its parent's is, whichever server it is
if os.geteuid() == 0:
    guest = Guest(server, "forks")
    server.expect(r"guest \d+ .* is served")
    guest.touch(100)
    for i in range(4):
        if i % 2:
            killed(server)
        guest.ask("fork")
        server.expect(r"guest \d+, child of \d+ is served, too")
        if i > 1:
            killed(server)
        guest.touched()
        server.expect(r"child of \d+ .*has ended: its process is gone")
    guest.check()
    guest.quit()
    server.expect("has ended: its process is gone")
else:
    print("skipped: FORK events are root's")

check(server.stop() == 0)

# ---- it is to be killed, and who connected for it is gone: what it misses is not left to read as zero
short = memory_file("short", pages=1024)
server = Server("--verbose", "--no-prefetch", "--on-failure=kill", "--deadline=200ms", memory=short, sock="short-socket")
guest = Guest(server, "helper", memory=memory)
server.expect("guest 1 .* is served")
guest.touch(50)
server.expect(r"guest 1: the process that connected for it \(pid \d+\) is gone")
os.truncate(short, 4096)
guest.ask("check")
_, _, bad, bus = map(int, guest.expect(r"touched (\d+) slowest (\d+) bad (\d+) bus (\d+)").groups())
check(bad == 0, f"{bad} pages are wrong")
check(bus > 0, "no page failed, though the source is gone")
server.expect(r"guest 1 cannot be killed: .*; the \d+ pages that it misses are poisoned")
guest.quit()
check(server.stop() == 0)
finish()
