"""For the tests of userfault serve. In the environment: SERVE, the program; HELPERS, the directory
of guest and others; SOURCE, the tree."""
import array
import ctypes
import json
import mmap
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

SERVE, HELPERS = os.environ["SERVE"], os.environ["HELPERS"]
GUEST = os.path.join(HELPERS, "serve-guest")
PATIENCE = 60
for name in list(os.environ):
    if name.startswith("USERFAULT_") or name in ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "JOURNAL_STREAM"):
        del os.environ[name]

directory = tempfile.mkdtemp(prefix="userfault-serve-")
os.chmod(directory, 0o755)
running = []
failures = 0


def check(condition, *what):
    """A failure is told, and the test goes on."""
    global failures
    if not condition:
        failures += 1
        where = ", ".join(f"{f.name} {f.lineno}" for f in traceback.extract_stack()[:-1])
        print(f"FAIL: {where}:", *what, flush=True)
        for server in running:
            if isinstance(server, Server):
                print("    | " + "\n    | ".join(server.lines[-30:]), flush=True)
    return condition


def finish():
    for one in running:
        one.end()
    shutil.rmtree(directory, ignore_errors=True)
    sys.exit(1 if failures else 0)


def path(name):
    return os.path.join(directory, name)


def wait_for(what, condition, patience=PATIENCE):
    """Until condition() is true: what is looked at is not ours to be told of."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            check(False, "in vain:", what)
            finish()
        os.sched_yield()


def memory_file(name="memory", pages=512, seed=1):
    """A memory file in which each page differs; every fourth is zero."""
    rng = random.Random(seed)
    with open(path(name), "wb") as f:
        for i in range(pages):
            f.write(bytes(4096) if i % 4 == 3 else rng.randbytes(64) * 64)
    os.chmod(path(name), 0o644)
    return path(name)


def stat_of(pid):
    """comm, state and parent of a process, or None."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            text = f.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    comm = text[text.index("(") + 1 : text.rindex(")")]
    state, parent = text[text.rindex(")") + 2 :].split()[:2]
    return comm, state, int(parent)


def fds_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Lines:
    """What a process says, line by line."""

    def __init__(self, stream):
        self.lines, self.changed, self.seen, self.closed = [], threading.Condition(), 0, False
        threading.Thread(target=self.read, args=(stream,), daemon=True).start()

    def read(self, stream):
        for line in stream:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def expect(self, pattern, patience=PATIENCE):
        """The next line, after those that were expected before, with the pattern in it."""
        end = time.monotonic() + patience
        with self.changed:
            while True:
                while self.seen < len(self.lines):
                    line = self.lines[self.seen]
                    self.seen += 1
                    found = re.search(pattern, line)
                    if found:
                        return found
                left = end - time.monotonic()
                if left <= 0 or self.closed:
                    check(False, f"nobody says '{pattern}'; what is said:", *self.lines)
                    finish()
                self.changed.wait(left)


class Server(Lines):
    def __init__(self, *options, memory=None, sock="socket", program=None, ready=True, before=(), **popen):
        self.socket = path(sock) if sock else None
        self.memory = memory
        argv = [*before, program or SERVE]
        if sock:
            argv += ["--socket", self.socket]
        if memory:
            argv += ["--memory", memory]
        self.process = subprocess.Popen(
            argv + list(options), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, **popen
        )
        self.pid = self.process.pid
        self.others = set()
        super().__init__(self.process.stderr)
        running.append(self)
        if ready:
            self.expect(r" serves ")

    def members(self):
        """The processes that have our socket or a channel: all whose command line names it."""
        found = {}
        for pid in os.listdir("/proc"):
            if not pid.isdigit():
                continue
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            if self.socket.encode() in words and b"userfault-serve" in words[0]:
                stat = stat_of(pid)
                if stat and stat[1] != "Z":
                    found[int(pid)] = stat[0]
        return found

    def find(self, comm):
        return [pid for pid, name in self.members().items() if name == comm]

    def server(self):
        return wait_for("a server", lambda: self.find("uf-serve"))[0]

    def keeper(self):
        return wait_for("a keeper", lambda: self.find("uf-serve-keeper"))[0]

    def wait(self):
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            check(False, "it does not end")
            return None

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def end(self):
        """Nothing of it is left, whatever became of it: a keeper's death makes another keeper."""
        for _ in range(100):
            members = self.members() if self.socket else {}
            if self.process.poll() is None:
                members[self.pid] = ""
            if not members:
                return
            for pid in members:
                try:
                    os.kill(pid, signal.SIGSTOP)
                except ProcessLookupError:
                    pass
            for pid in members:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if self.pid in members:
                self.process.wait()


class Guest(Lines):
    def __init__(self, server, *how, before=(), here=True, memory=None, **popen):
        self.process = subprocess.Popen(
            [*before, GUEST, server.socket, memory or server.memory, *how],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, **popen,
        )
        super().__init__(self.process.stdout)
        running.append(self)
        if here:
            self.pid = int(self.expect(r"^here (\d+)$|^none$").group(1) or 0)
            if not self.pid:
                print("skipped: the kernel's userfaultfd cannot be used here")
                for one in running:
                    one.end()
                sys.exit(77)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def touch(self, n):
        """Of n pages more: the slowest in microseconds. All of them must be right."""
        self.ask(f"touch {n}")
        return self.touched()

    def check(self):
        self.ask("check")
        return self.touched()

    def touched(self):
        _, slowest, bad, bus = map(int, self.expect(r"touched (\d+) slowest (\d+) bad (\d+) bus (\d+)").groups())
        check(bad == 0 and bus == 0, f"{bad} pages are wrong, {bus} failed")
        return slowest

    def quit(self):
        self.process.stdin.close()
        return self.process.wait(PATIENCE)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


# ---- a userfaultfd of this process, to be sent by hand

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]
SYS_userfaultfd = 323 if os.uname().machine == "x86_64" else 282


def open_uffd(initialised=True):
    """As close(2) would have it: the caller closes it."""
    for flags in (os.O_CLOEXEC | os.O_NONBLOCK, os.O_CLOEXEC | os.O_NONBLOCK | 1):
        fd = libc.syscall(SYS_userfaultfd, flags)
        if fd >= 0:
            break
    if fd < 0:
        print("skipped: the kernel's userfaultfd cannot be used here")
        for one in running:
            one.end()
        sys.exit(77)
    if initialised:
        api = (ctypes.c_uint64 * 3)(0xAA, 0, 0)
        assert libc.ioctl(fd, 0xC018AA3F, api) == 0
    return fd


class Region:
    """Memory of this process that is registered and never touched: Python would wait for itself."""

    def __init__(self, size):
        self.size = size
        self.addr = libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, 0x22, -1, 0)
        self.uffd = open_uffd()
        reg = (ctypes.c_uint64 * 4)(self.addr, size, 1, 0)
        assert libc.ioctl(self.uffd, 0xC020AA00, reg) == 0

    def entry(self, **other):
        return {"base_host_virt_addr": self.addr, "size": self.size, "offset": 0, "page_size": 4096, **other}

    def close(self):
        os.close(self.uffd)
        libc.munmap(ctypes.c_void_p(self.addr), ctypes.c_size_t(self.size))


def connect(server):
    s = socket.socket(socket.AF_UNIX)
    s.connect(server.socket)
    s.settimeout(PATIENCE)
    return s


def say(server, text, fds=(), shutdown=True):
    """One message by hand; the connection."""
    s = connect(server)
    if not isinstance(text, (bytes, str)):
        text = json.dumps(text)
    if isinstance(text, str):
        text = text.encode()
    try:
        s.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
        if shutdown:
            s.shutdown(socket.SHUT_WR)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return s


def is_closed(s):
    """The other side closes it, and says nothing before."""
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True
    finally:
        s.close()
