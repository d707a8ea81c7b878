"""What the server says to systemd, and takes from it: readiness, a listening socket, stored
descriptors that bring guests over a restart of everything, the watchdog."""
import array
import os
import signal
import socket

from lib import *

memory = memory_file(pages=1024)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(path("notify"))
notify.settimeout(PATIENCE)
store = {}
said = []


def hear():
    text, ancillary, _, _ = notify.recvmsg(65536, socket.CMSG_SPACE(4 * 16))
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % 4])
    told = dict(line.split("=", 1) for line in text.decode().strip().split("\n"))
    if told.get("FDSTORE") == "1":
        check(len(fds) == 1 and told["FDPOLL"] == "0", told, fds)
        if told["FDNAME"] in store:
            os.close(store[told["FDNAME"]])
        store[told["FDNAME"]] = fds[0]
    elif told.get("FDSTOREREMOVE") == "1":
        if told["FDNAME"] in store:
            os.close(store.pop(told["FDNAME"]))
    else:
        for fd in fds:
            os.close(fd)
    said.append(told)
    return told


def hear_until(what):
    while not what():
        hear()


def start(*options, fds=(), **env):
    """As systemd does: named descriptors from 3 on, for the process that it starts."""
    numbers = [fd for _, fd in fds]
    names = ":".join(name for name, _ in fds)
    # A shell puts them where they belong; dash knows descriptors of one digit only.
    script = "import os,sys; " \
        "fds=[int(a) for a in sys.argv[1].split(',') if a]; " \
        "high=[os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]; " \
        "[os.dup2(fd, 3 + i) for i, fd in enumerate(high)]; " \
        "[os.close(fd) for fd in high]; " \
        "os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[2], sys.argv[2:])"
    env = {**os.environ, "NOTIFY_SOCKET": path("notify"), **env}
    if fds:
        env.update(LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)
    return Server(*options, memory=memory, ready=False, env=env, pass_fds=numbers,
                  before=["/usr/bin/python3", "-c", script, ",".join(map(str, numbers))])


for keeper in "yes", "no":
    said.clear()
    # A socket of a socket unit; guests that came before the server are waiting in it.
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path("activated-" + keeper))
    listener.listen(10)
    server = start("--keeper", keeper, "--no-prefetch", fds=[("userfault.socket", listener.fileno())])
    server.expect("serves .* on " + path("activated-" + keeper))
    hear_until(lambda: any("READY" in told for told in said))
    check(int(said[-1]["MAINPID"]) == server.pid, said[-1])
    hear_until(lambda: any("STATUS" in told for told in said))
    server.socket, used = path("activated-" + keeper), server.socket
    check(not os.path.exists(used), "it listens on --socket, too")
    guests = [Guest(server, *how) for how in (("keep",), ("minor",))]
    for guest in guests:
        guest.touch(100)
    names = {"userfault-pager", "guest-1-file", "guest-1-uffd", "guest-1-process", "guest-2-file",
             "guest-2-uffd", "guest-2-memory", "guest-2-process"}
    hear_until(lambda: set(store) >= names)
    check(set(store) == names, set(store) ^ names)

    # Everything is killed, and started again with what was stored.
    server.socket, activated = used, server.socket
    server.end()
    for guest in guests:
        guest.ask("touch 200")
    said.clear()
    fds = list(store.items()) + [("userfault.socket", listener.fileno()), ("surprise", os.open("/dev/null", os.O_RDONLY))]
    server = start("--keeper", keeper, "--no-prefetch", fds=fds)
    server.expect("systemd hands over 'surprise', which is not known here")
    for guest in guests:
        guest.touched()
        guest.check()
    hear_until(lambda: any("READY" in told for told in said))
    guests[0].quit()
    hear_until(lambda: not any(name.startswith("guest-1-") for name in store))
    server.socket = activated
    third = Guest(server)
    third.check()
    hear_until(lambda: "guest-3-uffd" in store)
    for guest in guests[1], third:
        guest.quit()
    hear_until(lambda: set(store) == {"userfault-pager"})
    server.process.send_signal(signal.SIGTERM)
    check(server.wait() == 0)
    hear_until(lambda: any("STOPPING" in told for told in said))
    os.close(store.pop("userfault-pager"))
    server.socket = used
    server.end()
    listener.close()

# The watchdog is fed while the server goes round, and only then.
said.clear()
server = start(WATCHDOG_USEC="2000000")
server.expect("serves")
hear_until(lambda: sum("WATCHDOG" in told for told in said) >= 2)
stopped = server.server()
os.kill(stopped, signal.SIGSTOP)
notify.settimeout(3)
fed = 0
try:
    while fed < 20:
        fed += "WATCHDOG" in hear()
except TimeoutError:
    pass
check(fed < 8, "a server that stands still is called alive", fed)
notify.settimeout(PATIENCE)
os.kill(stopped, signal.SIGCONT)
said.clear()
hear_until(lambda: any("WATCHDOG" in told for told in said))
check(server.stop() == 0)

# A restart that is asked for.
said.clear()
server = start()
server.expect("serves")
hear_until(lambda: any("READY" in told for told in said))
said.clear()
server.process.send_signal(signal.SIGHUP)
hear_until(lambda: any("RELOADING" in told for told in said))
check("MONOTONIC_USEC" in said[-1])
hear_until(lambda: any("READY" in told for told in said))
check(server.stop() == 0)
finish()
