"""The command line, the socket, privileges, how it ends, what it records and traces."""
import json
import os
import pwd
import re
import signal
import socket
import stat
import subprocess

from lib import *

memory = memory_file(pages=1024)


def run(*options):
    done = subprocess.run([SERVE, *options], capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout, done.stderr


def refuses(status, words, *options):
    got, out, err = run(*options)
    check(got == status and out == "" and err.count("\n") == 1 and err.startswith("userfault: ") and
          re.search(words, err), options, got, out, err)


sock = path("s")
good = ["--socket", sock, "--memory", memory]
refuses(2, "--memory is missing", "--socket", sock)
refuses(2, "--socket is missing", "--memory", memory)
refuses(2, "did you mean --memory", "--memry", memory)
refuses(2, "--socket needs a value", "--socket")
refuses(2, "takes no argument, but was given 'x'", *good, "x")
refuses(2, "'die' is none of poison|kill|wait", *good, "--on-failure=die")
refuses(2, "'maybe' is none of yes|no", *good, "--keeper=maybe")
refuses(2, "is none of text|json", *good, "--log-format=xml")
refuses(2, "--cache: 'much' is no size", *good, "--cache=much")
refuses(2, "--deadline: 'soon' is no time", *good, "--deadline=soon")
refuses(2, "--deadline: '0' is no time", *good, "--deadline=0")
refuses(2, "--max-guests: '-1' is no number", *good, "--max-guests=-1")
refuses(2, "--mode: '999' is no mode", *good, "--mode=999")
refuses(2, "--source-option: 'x' is not NAME=VALUE", *good, "--source-option=x")
refuses(2, "contradict", *good, "--no-prefetch", "--prefetch=x")
refuses(2, "--metrics: '10.0.0.1:80' is neither", *good, "--metrics=10.0.0.1:80")
refuses(2, "--metrics: '99999' is neither", *good, "--metrics=99999")
refuses(2, "too long", "--memory", memory, "--socket", "/tmp/" + "x" * 120)
refuses(2, "no such user or group: 'nobody-here'", *good, "--owner=nobody-here")
refuses(125, "cannot listen on '/nowhere/s': No such file", "--memory", memory, "--socket", "/nowhere/s")
refuses(125, "is there and is no socket", "--memory", memory, "--socket", memory)
refuses(125, "--prefetch: .*nothing-there", *good, "--prefetch", path("nothing-there"))
refuses(125, "--prefetch: ", *good, "--prefetch", memory)
for keeper in "yes", "no":
    refuses(125, "--memory: .*nothing-there", "--socket", sock, "--memory", path("nothing-there"), "--keeper", keeper)
    check(not os.path.exists(sock), "a socket is left by one that could not begin")
status, out, err = run("--help")
check(status == 0 and err == "" and "--on-failure" in out and max(map(len, out.split("\n"))) <= 100)

# The socket: who may connect, one that was left, one that is in use.
server = Server("--mode=0640", memory=memory)
check(stat.S_IMODE(os.stat(server.socket).st_mode) == 0o640)
refuses(125, "another server listens on", "--memory", memory, "--socket", server.socket)
server.end()
check(os.path.exists(server.socket))
server = Server(memory=memory)
check(stat.S_IMODE(os.stat(server.socket).st_mode) == 0o600)
check(server.stop() == 0 and not os.path.exists(server.socket))
abstract = "@userfault-" + os.path.basename(directory)
server = Server("--socket", abstract, memory=memory, sock=None)
with socket.socket(socket.AF_UNIX) as s:
    s.connect("\0" + abstract[1:])
server.process.send_signal(signal.SIGTERM)
check(server.wait() == 0)

# Once: with the guest it ends.
for keeper in "yes", "no":
    server = Server("--once", "--keeper", keeper, memory=memory)
    guest = Guest(server)
    guest.check()
    if keeper == "yes":
        os.kill(server.server(), signal.SIGKILL)
        server.expect("has taken over 1 guest")
    guest.check()
    guest.quit()
    check(server.wait() == 0, "--once does not end")
    check(not os.path.exists(server.socket))

# SIGTERM: who has all of its memory goes on without; who has not is waited for.
for keeper in "yes", "no":
    server = Server("--keeper", keeper, memory=memory)
    guest = Guest(server, "keep", "events")
    guest.check()
    guest.ask("remove 10")
    guest.expect("removed")
    check(server.stop() == 0, "it waits for a guest that needs it no more")
    guest.check()
    guest.quit()
    server = Server("--keeper", keeper, "--no-prefetch", memory=memory)
    guest = Guest(server, "keep")
    guest.touch(10)
    server.process.send_signal(signal.SIGTERM)
    server.expect("takes no new guests, and ends when the 1 it has can do without it")
    try:
        connect(server).close()
        check(False, "it takes another guest")
    except ConnectionRefusedError:
        pass
    if keeper == "yes":
        os.kill(server.server(), signal.SIGKILL)
        server.expect("takes no new guests")
    guest.touch(100)
    check(server.process.poll() is None, "it does not wait for its guest")
    guest.check()
    check(server.wait() == 0)
    guest.quit()

# Asked twice: what is missing fails, and is not zero.
for how, option in (("poison", "--on-failure=poison"), ("kill", "--on-failure=kill")):
    server = Server("--no-prefetch", option, memory=memory)
    guest = Guest(server, "keep")
    guest.touch(10)
    server.process.send_signal(signal.SIGTERM)
    server.expect("takes no new guests")
    begin = time.monotonic()
    while server.process.poll() is None and time.monotonic() < begin + PATIENCE:
        if time.monotonic() > begin + 1.1:
            server.process.send_signal(signal.SIGTERM)
            begin += 2
        os.sched_yield()
    check(server.wait() == 0)
    if how == "kill":
        server.expect("is killed: serving ends before it has all")
        check(guest.process.wait(PATIENCE) == -signal.SIGKILL, "the guest lives on")
    else:
        count = int(server.expect(r"(\d+) pages are poisoned").group(1))
        guest.ask("check")
        _, bad, bus = map(int, guest.expect(r"touched (\d+) slowest \d+ bad (\d+) bus (\d+)").groups())
        check(bad == 0 and bus == count > 0, "wrong", bad, "SIGBUS", bus, "poisoned", count)
        guest.quit()

# A recording of the first guest, or of each; what was recorded is what the next one gets first.
server = Server("--record", path("order"), "--no-prefetch", memory=memory)
for n in 50, 10:
    guest = Guest(server)
    guest.touch(n)
    guest.quit()
    server.expect("has ended")
check(server.stop() == 0)
check(os.path.getsize(path("order")) > 64, "nothing was recorded")
server = Server("--prefetch", path("order"), "--record", path("order-%n"), memory=memory)
for n in 1, 2:
    guest = Guest(server)
    guest.check()
    guest.quit()
    server.expect("has ended")
    check(os.path.getsize(path(f"order-{n}")) > 64, f"nothing was recorded of guest {n}")
check(server.stop() == 0)

# A trace, over a takeover, and cut to its length at the end.
server = Server("--trace", path("trace"), "--trace-size=1M", memory=memory)
guest = Guest(server)
guest.touch(100)
os.kill(server.server(), signal.SIGKILL)
guest.check()
guest.quit()
server.expect("has ended")
check(server.stop() == 0)
size = os.path.getsize(path("trace"))
with open(path("trace"), "rb") as f:
    check(f.read(8) == b"UTRACE01", "the trace has another beginning")
check(size > 1000 and size < 1 << 20, "the trace has", size, "bytes")

# Lines for machines.
server = Server("--log-format=json", memory=memory, ready=False)
server.expect("serves")
guest = Guest(server)
guest.quit()
server.expect("has ended")
check(server.stop() == 0)
for line in server.lines:
    told = json.loads(line)
    check(set(told) == {"time", "level", "process", "pid", "message"}, told)
server = Server("--quiet", memory=memory, ready=False)


def listens():
    """Its file is there sooner."""
    with open("/proc/net/unix") as sockets:
        return any(words[-1] == server.socket and words[3] == "00010000" for words in map(str.split, sockets))


wait_for("that it listens", listens)
guest = Guest(server)
guest.check()
guest.quit()
server.stop()
check(server.lines == [], server.lines)

# It serves as somebody who may do nothing else.
if os.getuid() == 0:
    nobody = pwd.getpwnam("nobody")

    def status_of(pid):
        with open(f"/proc/{pid}/status") as f:
            return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)

    server = Server("--user=nobody", "--owner=root", "--metrics", "unix:" + path("metrics"), memory=memory)
    guest = Guest(server, "keep")
    guest.touch(10)
    for pid in server.members():
        told = status_of(pid)
        check(told["Uid"].split() == [str(nobody.pw_uid)] * 4 and told["Gid"].split() == [str(nobody.pw_gid)] * 4, told["Uid"])
        check(int(told["CapPrm"], 16) == int(told["CapEff"], 16) == int(told["CapAmb"], 16) == 0, told["CapPrm"])
        check(told["NoNewPrivs"] == "1")
    check(os.stat(server.socket).st_uid == 0)
    os.kill(server.server(), signal.SIGKILL)
    server.expect("has taken over 1 guest")
    keeper = server.keeper()
    os.kill(keeper, signal.SIGKILL)
    server.expect("new keeper .* of 1 guest")
    guest.check()
    guest.quit()
    server.expect("has ended")
    server.end()
    server = Server(memory=memory)
    told = status_of(server.server())
    check(int(told["CapEff"], 16) & ~0x26 == 0 and told["NoNewPrivs"] == "1", told["CapEff"])
    os.chmod(memory, 0o600)
    os.chown(memory, nobody.pw_uid, nobody.pw_gid)
    guest = Guest(server)
    guest.check()
    guest.quit()
    check(server.stop() == 0)
    os.chown(memory, 0, 0)
    refuses(125, "--memory: .*[Pp]ermission denied", "--user=nobody", "--memory", memory, "--socket", sock)
    refuses(2, "no user 'nobody-here'", *good, "--user=nobody-here")
else:
    refuses(125, "only root may become 'root'", *good, "--user=root")
finish()
