"""All of it over Userfault's own userfaultfd, with the kernel's denied: guests under `userfault run`,
keeper and server under `userfault join`, takeovers; and a server that is not in the session."""
import os
import signal
import subprocess

from lib import *

USERFAULT, DENY = os.environ["USERFAULT"], os.environ["DENY"]
memory = memory_file(pages=1024)
doctor = subprocess.run([USERFAULT, "run", "--", "true"], capture_output=True, text=True)
if doctor.returncode:
    print("skipped: Userfault cannot work here:", doctor.stderr)
    sys.exit(77)

# One guest begins the session, and waits for the server; the server joins.
waiting = subprocess.Popen([DENY, USERFAULT, "run", "--", "cat"], stdin=subprocess.PIPE)
running.append(type("Waiting", (), {"end": lambda self: (waiting.stdin.close(), waiting.wait())})())
session = str(waiting.pid)


def joined():
    """Is it in the session by now?"""
    try:
        return any("userfault-session" in os.readlink(f"/proc/{session}/fd/{fd}") for fd in os.listdir(f"/proc/{session}/fd")) \
            and "cat" == stat_of(session)[0]
    except OSError:
        return False


wait_for("the session", joined)
into = [DENY, USERFAULT, "join", session, "--"]
server = Server("--verbose", "--no-prefetch", "--on-failure=poison", memory=memory, before=into)
guests = [Guest(server, *how, before=into) for how in (("keep",), ("events",), ("minor",))]
for guest in guests:
    guest.touch(50)
guests[1].ask("remove 20")
guests[1].expect("removed")
for i in range(3):
    wait_for("a standby", lambda: server.find("uf-serve-next"))
    for guest in guests:
        guest.ask("touch 50")
    os.kill(server.server(), signal.SIGKILL)
    for guest in guests:
        guest.touched()
    server.expect(r"has taken over 3 guests")
keeper = server.keeper()
os.kill(keeper, signal.SIGKILL)
server.expect(r"new keeper \(pid \d+\) of 3 guests")
wait_for("a standby", lambda: server.find("uf-serve-next"))
os.kill(server.server(), signal.SIGKILL)
for guest in guests:
    guest.check()
    guest.quit()
for _ in guests:
    server.expect("has ended")
os.kill(server.keeper(), signal.SIGTERM)
wait_for("the end", lambda: not server.members())

# One that is elsewhere says what to do.
outside = Server("--verbose", memory=memory)
guest = Guest(outside, "keep", before=into)
outside.expect("is refused: its userfaultfd is of a session of Userfault that this server is not in; "
               "start the server with 'userfault join'")
guest.ask("closed")
guest.expect("closed")
check(outside.stop() == 0)
finish()
