#!/usr/bin/python3
"""The NBD source with real servers: nbdkit and qemu-nbd."""
import os
import shutil
import signal
import socket
import subprocess
import threading

from remote import CHUNK, Source, check, make_image, need, pack, run, same_files

MODULE = os.environ["MODULE"]
ENOTCONN, ECANCELED, ENOSPC, EROFS = -107, -125, -28, -30


class Server:
    """nbdkit as it is given; it answers when this has returned."""

    def __init__(self, directory, *arguments, socket_name="s"):
        self.socket = os.path.join(directory, socket_name)
        self.pid_file = self.socket + ".pid"
        self.arguments = arguments
        self.start()

    def start(self):
        for path in (self.socket, self.pid_file):
            if os.path.exists(path):
                os.unlink(path)
        self.process = subprocess.Popen(["nbdkit", "-f", "--exit-with-parent", "-U", self.socket,
                                         "-P", self.pid_file, *self.arguments])
        # That file is written when it answers.
        while not os.path.exists(self.pid_file):
            check(self.process.poll() is None, f"nbdkit ended: {self.arguments}")
            os.sched_yield()
        self.spec = f"nbd+unix:///?socket={self.socket}"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def signal(self, number):
        self.process.send_signal(number)


def with_server(directory, *arguments):
    server = Server(directory, *arguments)
    return server, Source(MODULE)


def contents(directory):
    """All of it, its tail, its holes; one read, also of pages within a chunk."""
    image = make_image(directory + "/i", (24 << 20) + 5000)
    server, s = with_server(directory, "file", image)
    try:
        s.ask("expect", image)
        said = s.open(server.spec)
        check(said["size"] == (24 << 20) + 5000 and said["chunk"] == CHUNK, said)
        check(said["depth"] > 16, "nbdkit allows several connections")
        ranges, zero = s.extents()
        check(ranges > 10 and zero > 2 << 20, f"holes are not known: {ranges} {zero}")
        s.all_right()
        s.all_right("ahead")
        for offset, length in ((0, 4096), (4096 * 3, 8192), (24 << 20, 8192)):
            check(s.read(offset, length) == 0, "read")
        s.close()
    finally:
        server.kill()


def qemu(directory):
    """A server that allows one client, and a file in its own format."""
    if not shutil.which("qemu-nbd"):
        print("skipped qemu: there is no qemu-nbd here")
        return
    image = make_image(directory + "/i", 8 << 20)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", image, directory + "/q"],
                   check=True)
    path, pid_file = directory + "/s", directory + "/p"
    server = subprocess.Popen(["qemu-nbd", "-k", path, "--pid-file", pid_file, "-f", "qcow2", "-r",
                               "-x", "memory", "--persistent", directory + "/q"])
    s = Source(MODULE)
    try:
        while not os.path.exists(pid_file):
            check(server.poll() is None, "qemu-nbd ended")
            os.sched_yield()
        s.ask("expect", image)
        s.open(f"nbd+unix:///memory?socket={path}")
        check(s.extents()[1] > 1 << 20, "holes are not known")
        s.all_right("ahead")
        s.ask("close")
        why = s.refused(f"nbd+unix:///other?socket={path}")[1]
        check("other" in why, why)
        s.end()
    finally:
        server.kill()
        server.wait()


def block_sizes(directory):
    """Servers with blocks smaller, and larger, than what is asked for."""
    image = make_image(directory + "/i", 4 << 20)
    for number, (least, likes, most) in enumerate((
            ("512", "4096", "8192"), ("1", "1024", "2048"), ("64k", "64k", "1M"),
            ("4096", "1M", "32M"))):
        server = Server(directory, "--filter=blocksize-policy", "file", image,
                        f"blocksize-minimum={least}", f"blocksize-preferred={likes}",
                        f"blocksize-maximum={most}", "blocksize-error-policy=error",
                        socket_name=f"s{number}")
        s = Source(MODULE)
        try:
            s.ask("expect", image)
            chunk = s.open(server.spec)["chunk"]
            check(chunk == {0: 8192, 1: 4096, 2: CHUNK, 3: 1 << 20}[number], chunk)
            s.all_right()
            for offset in range(0, 1 << 20, 36 << 10):
                check(s.read(offset, 4096) == 0, "a page")
            s.close()
        finally:
            server.kill()


def many_holes(directory):
    """Every other page, and a server that says nothing of holes."""
    image = directory + "/i"
    with open(image, "wb") as f:
        for page in range(0, 2048, 2):
            f.seek(page * 4096)
            f.write(bytes([page % 255 + 1]) * 4096)
        f.truncate(8 << 20)
    for arguments, zero in (((), 4 << 20), (("--filter=noextents",), 0)):
        server, s = with_server(directory, *arguments, "file", image)
        try:
            s.ask("expect", image)
            s.open(server.spec)
            check(s.extents()[1] == zero, f"{s.extents()} zero, not {zero}")
            s.all_right()
            s.close()
        finally:
            server.kill()


def restart(directory):
    """Killed with requests under way, and started again."""
    image = make_image(directory + "/i", 16 << 20)
    server, s = with_server(directory, "--filter=delay", "file", image, "rdelay=1")
    try:
        s.ask("expect", image)
        s.open(server.spec)
        for n in range(1, 20):
            s.ask("begin", n, n * CHUNK, CHUNK, *(["ahead"] if n % 4 == 0 else []))
        server.kill()
        for n in range(1, 20):
            answer = s.ask("await", n)
            check(answer[2] == str(ENOTCONN), f"a request of a killed server: {answer}")
        check(s.read(0, 4096) != 0, "read from nobody")
        server.arguments = ("file", image)
        server.start()
        s.read_until(0, CHUNK)
        s.all_right("ahead")
        # Another image behind the same name is not taken for this one.
        server.kill()
        server.arguments = ("memory", "1M")
        server.start()
        s.ask("repair")
        for _ in range(100000):
            error = s.read(0, 4096)
            check(error != 0, "another image was read")
            if error == -116:
                break
            s.ask("repair")
        check(error == -116, f"{error} is not ESTALE")
        s.close()
    finally:
        server.kill()


def kills(directory):
    """Killed again and again with requests under way: they end, and what is read then is right."""
    image = make_image(directory + "/i", 16 << 20)
    server, s = with_server(directory, "--filter=delay", "file", image, "rdelay=2ms")
    try:
        s.ask("expect", image)
        s.open(server.spec)
        for _ in range(15):
            for n in range(1, 30):
                s.ask("begin", n, n * CHUNK, CHUNK)
            server.kill()
            server.start()
            for n in range(1, 30):
                answer = s.ask("await", n)
                check(answer[2] in ("0", str(ENOTCONN)), f"a request of a killed server: {answer}")
            s.read_until(0, CHUNK)
        s.all_right("ahead")
        s.close()
    finally:
        server.kill()


def errors(directory):
    """A server that fails some reads: reported, and the others are right."""
    image = make_image(directory + "/i", 8 << 20)
    trigger = directory + "/fail"
    server, s = with_server(directory, "--filter=error", "file", image, "error-pread=EIO",
                            "error-pread-rate=100%", f"error-file={trigger}")
    try:
        s.ask("expect", image)
        s.open(server.spec)
        check(s.read(0, CHUNK) == 0, "before")
        open(trigger, "w").close()
        check(s.read(0, CHUNK) == -5, "EIO is not reported")
        os.unlink(trigger)
        check(s.read(0, CHUNK) == 0, "after")
        s.close()
    finally:
        server.kill()


def stall(directory):
    """A server that stops answering: canceled requests end, and so does closing."""
    image = make_image(directory + "/i", 8 << 20)
    # One thread a connection: several may trip over one that was closed, and abort the server.
    server, s = with_server(directory, "--threads=1", "file", image)
    try:
        s.ask("expect", image)
        s.open(server.spec)
        server.signal(signal.SIGSTOP)
        for n in range(1, 9):
            s.ask("begin", n, n * CHUNK, CHUNK, *(["ahead"] if n % 2 else []))
        for n in range(1, 9):
            s.ask("cancel", n)
        for n in range(1, 9):
            answer = s.ask("await", n)
            check(answer[2] == str(ECANCELED), f"canceled: {answer}")
        server.signal(signal.SIGCONT)
        s.read_until(0, CHUNK)
        s.all_right()
        server.signal(signal.SIGSTOP)
        s.close()
        server.signal(signal.SIGCONT)
    finally:
        server.kill()


def cancels(directory):
    """Requests that are canceled at once, of a slow server that does answer."""
    image = make_image(directory + "/i", 8 << 20)
    server, s = with_server(directory, "--filter=delay", "file", image, "rdelay=20ms")
    try:
        s.ask("expect", image)
        s.open(server.spec)
        for n in range(1, 40):
            s.tell("begin", n, (n % 32) * CHUNK, CHUNK)
            s.tell("cancel", n) if n % 2 else None
        for n in range(1, 40):
            s.tell("await", n)
        for n in range(1, 40):
            check(s.heard()[1] == "0", "begin")
            check(s.heard()[1] == "0", "cancel") if n % 2 else None
        for n in range(1, 40):
            answer = s.heard()
            check(answer[2] in (("0", str(ECANCELED)) if n % 2 else ("0",)) and
                  answer[3] != "wrong", answer)
        s.all_right()
        s.close()
    finally:
        server.kill()


def one_connection(directory):
    """Demand is answered while a server with one connection is kept busy with prefetch."""
    image = make_image(directory + "/i", 16 << 20)
    server, s = with_server(directory, "--filter=delay", "--filter=multi-conn", "file", image,
                            "rdelay=1ms", "multi-conn-mode=disable")
    try:
        s.ask("expect", image)
        check(s.open(server.spec)["depth"] < 16, "one connection has the depth of several")
        answer = s.ask("busy", 300)
        check(answer[1] == "0" and answer[3] == "0" and int(answer[7]) > 10, answer)
        s.close()
    finally:
        server.kill()


def refusals(directory):
    """What cannot be opened says why."""
    s = Source(MODULE)
    code, why = s.refused(f"nbd+unix:///?socket={directory}/none")
    check("No such file" in why, why)
    code, why = s.refused("nbd:nonsense")
    check(why, why)
    code, why = s.refused("nbd://127.0.0.1:1/x")
    check("refused" in why, why)
    code, why = s.refused(f"nbd+unix:///?socket={directory}/none&connections=99")
    check("connections" in why, why)
    # Speaks, but no NBD.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(directory + "/l")
        listener.listen()

        def talk():
            peer = listener.accept()[0]
            peer.sendall(b"220 mail.example.org ESMTP\r\n" * 20)
            peer.close()

        talker = threading.Thread(target=talk)
        talker.start()
        code, why = s.refused(f"nbd+unix:///?socket={directory}/l")
        talker.join()
        check("magic" in why or "server" in why, why)
    server = Server(directory, "memory", "0")
    try:
        check("empty" in s.refused(server.spec)[1], "an empty export")
    finally:
        server.kill()
    s.end()


def tls(directory):
    """With a shared key; without it, and in clear, the refusal says so."""
    keys = directory + "/keys"
    with open(keys, "w") as f:
        f.write("guest:" + "5a" * 32 + "\n")
    with open(directory + "/other", "w") as f:
        f.write("guest:" + "a5" * 32 + "\n")
    image = make_image(directory + "/i", 4 << 20)
    supported = "tls=yes" in subprocess.run(["nbdkit", "--dump-config"], capture_output=True,
                                            text=True).stdout
    if not supported:
        print("skipped tls: this nbdkit has none")
        return
    server, s = with_server(directory, "--tls=require", f"--tls-psk={keys}", "file", image)
    try:
        s.ask("expect", image)
        spec = f"nbds+unix://guest@/?socket={server.socket}"
        s.open(spec + f"&tls-psk-file={keys}")
        s.all_right("ahead")
        s.ask("close")
        s.open(spec, f"tls-psk-file={keys}")
        check(s.read(0, 4096) == 0, "the key as an option")
        s.ask("close")
        check("TLS" in s.refused(server.spec)[1], "in clear")
        why = s.refused(spec + f"&tls-psk-file={directory}/other")[1]
        check("gnutls" in why or "TLS" in why, why)
        s.end()
    finally:
        server.kill()


def writing(directory):
    """In any order; what is left out becomes zero, whatever was there."""
    image = make_image(directory + "/i", (8 << 20) + 5000, seed=3)
    size = (8 << 20) + 8192
    for filters in ((), ("--filter=nozero",)):
        for order in ("forward", "backward", "pages"):
            target = make_image(directory + "/t", size, seed=4)
            with open(target, "r+b") as f:
                f.seek(100 << 12)
                f.write(b"old" * 100000)
            server, s = with_server(directory, *filters, "file", target)
            try:
                answer = s.ask("write", server.spec, image, order)
                check(answer[1] == "0", f"{order}: {answer}")
                s.end()
            finally:
                server.kill()
            with open(image, "rb") as a, open(target, "rb") as b:
                check(a.read() == b.read((8 << 20) + 5000), f"{order} wrote something else")
    s = Source(MODULE)
    server = Server(directory, "memory", "1M", socket_name="small")
    try:
        answer = s.ask("write", server.spec, image, "forward")
        check(int(answer[1]) == ENOSPC and "larger" in answer, answer)
    finally:
        server.kill()
    server = Server(directory, "-r", "memory", "16M", socket_name="ro")
    try:
        answer = s.ask("write", server.spec, image, "forward")
        check(int(answer[1]) == EROFS and "read-only" in answer, answer)
    finally:
        server.kill()
    s.end()


def packing(directory):
    """userfault pack: to a server, from it, and from a packed image to it."""
    image = make_image(directory + "/i", 8 << 20)
    make_image(directory + "/t", 8 << 20, seed=9)
    server = Server(directory, "file", directory + "/t")
    try:
        pack("--verify", image, server.spec)
        check(same_files(image, directory + "/t"), "it wrote something else")
        pack("--verify", server.spec, directory + "/packed")
        pack("--verify", directory + "/packed", server.spec)
        pack("--to=raw", server.spec, directory + "/back")
        check(same_files(image, directory + "/back"), "it read something else")
    finally:
        server.kill()


need("nbdkit")
run([contents, qemu, block_sizes, many_holes, restart, kills, errors, stall, cancels, one_connection,
     refusals, tls, writing, packing])
