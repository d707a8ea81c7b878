"""Servers and keepers that are killed, at any moment, while guests read their memory; an upgrade; a
server that keeps dying. Nothing is lost, and nobody waits for long."""
import os
import random
import shutil
import signal
import threading

from lib import *

PAGES = 4096
memory = memory_file(pages=PAGES)
server = Server("--verbose", "--no-prefetch", memory=memory)
guests = [Guest(server, *how) for how in ((), ("keep", "events"), ("minor",), ())]
for guest in guests:
    guest.touch(10)


def killed(pid):
    os.kill(pid, signal.SIGKILL)
    wait_for("its end", lambda: (stat_of(pid) or ("", "Z"))[1] == "Z")


def another(comm, than):
    return wait_for("another one", lambda: [pid for pid in server.find(comm) if pid != than])[0]


# The server is killed while nobody waits, and while everybody does.
pauses = []
for i in range(12):
    wait_for("a standby", lambda: server.find("uf-serve-next"))
    old = server.server()
    if i % 2:
        for guest in guests:
            guest.ask("touch 100")
    os.kill(old, signal.SIGKILL)
    if not i % 2:
        for guest in guests:
            guest.ask("touch 100")
    pauses += [guest.touched() for guest in guests]
    server.expect(r"was killed by signal 9 \(KILL\); another one takes over 4 guests")
    took = int(server.expect(r"has taken over 4 guests, (\d+) ms later").group(1))
    check(server.server() != old)
    print(f"takeover {i}: {took} ms, the longest wait {max(pauses[-4:]) / 1000:.1f} ms")
check(sorted(pauses)[len(pauses) // 2] < 50000, "half of all pauses are longer than 50 ms:", pauses)

# So fast that some die before they are ready.
for i in range(15):
    for guest in guests:
        guest.ask("touch 20")
    for pid in server.find("uf-serve") + (server.find("uf-serve-next") if i % 3 == 0 else []):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for guest in guests:
        guest.touched()

# REMOVE before and after a takeover: zero from then on.
guests[1].ask("remove 100")
guests[1].expect("removed 100")
killed(server.server())
guests[1].ask("check")
guests[1].touched()

# The keeper is killed: the server makes another, which holds everything.
for i in range(4):
    keeper = server.keeper()
    alive = server.server()
    guest = guests[i % 4]
    guest.ask("touch 30")
    os.kill(keeper, signal.SIGKILL)
    guest.touched()
    server.expect(r"new keeper \(pid \d+\) of 4 guests")
    keeper = another("uf-serve-keeper", keeper)
    check(server.server() == alive, "the server did not live on")
    wait_for("a standby", lambda: server.find("uf-serve-next"))
    if i % 2:
        killed(alive)
        guest.touch(10)
check(server.process.poll() is not None, "the first keeper is still there")

# New guests come as before, wherever the keeper comes from.
late = Guest(server)
late.check()
late.quit()

# A handshake that was half done is closed; the VMM tries again.
half = say(server, "[{", shutdown=False)
wait_for("the connection", lambda: fds_of(server.server()))
late = Guest(server, "pieces")
killed(server.server())
check(is_closed(half), "half a handshake is not closed")
late.check()
late.quit()
server.expect("guest .* has ended")

# All of them have all of their memory, and then nothing is left open.
for guest in guests:
    guest.check()
guests[1].ask("alive")
guests[1].expect("^open$")
for guest in guests:
    guest.quit()
for _ in guests:
    server.expect(r"has ended: its process is gone")
keeper, now = server.keeper(), server.server()
wait_for("the keeper to let go", lambda: fds_of(keeper) <= 12)
os.kill(keeper, signal.SIGTERM)
wait_for("the end", lambda: not server.members())
check(not os.path.exists(server.socket), "the socket is still there")
server.end()

# ---- an upgrade: the program is replaced, and all of its processes are the new one's

program = path("userfault-serve")
shutil.copy(SERVE, program)
env = dict(os.environ)
library = os.path.dirname(os.path.realpath(SERVE))
env["LD_LIBRARY_PATH"] = f"{library}:{os.environ.get('LD_LIBRARY_PATH', '')}"
server = Server("--verbose", "--no-prefetch", memory=memory, program=program, env=env)
guest = Guest(server, "keep")
guest.touch(100)
for i in range(3):
    wait_for("a standby", lambda: server.find("uf-serve-next"))
    old, keeper = server.server(), server.keeper()
    check(keeper == server.pid, "the keeper is another process")
    shutil.copy(SERVE, program + ".new")
    os.rename(program + ".new", program)
    guest.ask("touch 200")
    os.kill(server.pid, signal.SIGHUP)
    print(f"upgrade {i}: the longest wait {guest.touched() / 1000:.1f} ms")
    server.expect("upgrades to what is now")
    server.expect("has left for its successor")
    server.expect(r"\(pid \d+\) has taken over 1 guest,")
    for pid in (keeper, server.server()):
        check(not os.readlink(f"/proc/{pid}/exe").endswith("(deleted)"), "an old program still runs")
    check(server.server() != old and server.keeper() == keeper)

# One that cannot take over is not tried.
os.rename(program, program + ".good")
for text, words in (("#!/bin/sh\necho handover 99.1\n", "a version that cannot take this one's guests"),
                    ("#!/bin/sh\nexit 1\n", "cannot be run"), ("nonsense", "cannot be run")):
    with open(program, "w") as f:
        f.write(text)
    os.chmod(program, 0o755)
    old = server.server()
    os.kill(server.pid, signal.SIGHUP)
    server.expect("not upgraded: .*" + words)
    check(server.server() == old)
    guest.touch(10)
os.unlink(program)
os.kill(server.pid, signal.SIGHUP)
server.expect("not upgraded: .*cannot be run")
# Without its file, too, there is another server when one dies.
killed(server.server())
guest.touch(10)
guest.check()
guest.ask("alive")
guest.expect("^open$")
guest.quit()
server.expect("has ended: its process is gone")
check(server.stop() == 0)
server.end()

# ---- both at once: nobody is left, and the VMM's own duplicate keeps the guest waiting

server = Server("--verbose", memory=memory)
check(server.stop() == 0, "it does not end with no guests")
finish()
