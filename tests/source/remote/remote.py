"""What the tests of sources on servers share: an image, a driven source, and checks."""
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
CHUNK = 256 << 10


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            skip(f"there is no {program} here")


def check(ok, what):
    if not ok:
        raise AssertionError(what)


def make_image(path, size, seed=1):
    """A third of it holes, of odd lengths."""
    r = random.Random(seed)
    block = r.randbytes(1 << 20)
    with open(path, "wb") as f:
        at = 0
        while at < size:
            run = min(r.randrange(1, 400) * 4096, size - at)
            if r.random() < 0.66:
                start = r.randrange(1 << 16)
                data = (block[start:] + block[:start]) * (run // len(block) + 1)
                f.seek(at)
                f.write(data[:run])
            at += run
        f.truncate(size)
    return path


class Source:
    """tests/source/remote/drive.c, and what it answers."""

    def __init__(self, module):
        self.process = subprocess.Popen([os.environ["DRIVE"], module], text=True, bufsize=1,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def tell(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")

    def heard(self):
        line = self.process.stdout.readline().split()
        check(line and line[0] != "failed:", f"the source failed: {line}")
        return line

    def ask(self, *words):
        self.tell(*words)
        return self.heard()

    def open(self, spec, *options):
        answer = self.ask("open", spec, *options)
        check(answer[1] == "0", f"{spec} does not open: {answer}")
        return dict(zip(answer[2::2], map(int, answer[3::2])))

    def refused(self, spec, *options):
        answer = self.ask("open", spec, *options)
        check(answer[1] != "0", f"{spec} should not open")
        return int(answer[1]), " ".join(answer[2:])

    def all_right(self, *how):
        answer = self.ask("all", *how)
        check(answer[1] == "0" and answer[3] == "0", f"reading all: {answer}")
        return int(answer[5])

    def extents(self):
        answer = self.ask("extents")
        check(answer[5] == "0", f"what is said to be zero is not: {answer}")
        return int(answer[1]), int(answer[3])

    def read(self, offset, length, *how):
        answer = self.ask("begin", 0, offset, length, *how)
        check(answer[1] == "0", f"fetch: {answer}")
        answer = self.ask("await", 0)
        check(answer[3] != "wrong", f"wrong contents at {offset}")
        return int(answer[2])

    def read_until(self, offset, length, repair=True):
        """As the engine does: with repair, until it succeeds."""
        for _ in range(100000):
            error = self.read(offset, length)
            if error == 0:
                return
            check(error in (-107, -5, -110, -104, -32, -111, -2), f"an odd error: {error}")
            if repair:
                self.ask("repair")
        check(False, "it never came back")

    def close(self):
        self.ask("close")
        self.process.stdin.close()
        check(self.process.wait(60) == 0, "the driver failed")

    def end(self):
        self.process.kill()
        self.process.wait()


def pack(*arguments):
    """userfault pack, which says nothing unless it fails."""
    done = subprocess.run([os.environ["PACK"], "--quiet", *arguments], text=True,
                          capture_output=True)
    check(done.returncode == 0, f"pack {arguments}: {done.stderr}")


def same_files(a, b):
    with open(a, "rb") as one, open(b, "rb") as other:
        return one.read() == other.read()


def run(tests):
    """Each gets a directory of its own; all are run, also after one has failed."""
    failed = 0
    for test in tests:
        with tempfile.TemporaryDirectory(prefix="uf-") as directory:
            begun = time.monotonic()
            try:
                test(directory)
                print(f"ok {test.__name__} {time.monotonic() - begun:.1f} s", flush=True)
            except Exception:
                failed += 1
                print(f"FAILED {test.__name__}", flush=True)
                traceback.print_exc(file=sys.stdout)
    sys.exit(1 if failed else 0)
