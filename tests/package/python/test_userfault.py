# SPDX-License-Identifier: MIT
"""The Python module: what it reads and writes, what it refuses, and that it never waits for itself."""

import ctypes
import errno
import faulthandler
import gc
import io
import mmap
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import weakref
import zipfile

import userfault

PAGE = userfault.PAGE
RANDOM, LIMIT = 400 * PAGE, 256 * PAGE  # bytes of a file that are not zero; in memory of them

# A thread that waits for a page with the lock held waits for ever: say where.
faulthandler.dump_traceback_later(100, exit=True)

libc = ctypes.CDLL(None)
libc.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


def numbers(offset, length):
    """Memory in which each 8 bytes say where they are."""
    return b"".join(at.to_bytes(8, "little") for at in range(offset, offset + length, 8))


class HandlerTest(unittest.TestCase):
    def test_contents(self):
        asked = []

        def function(offset, length):
            asked.append((offset, length))
            return numbers(offset, length)

        with userfault.Handler(1 << 30, function) as memory:
            self.assertEqual(len(memory), 1 << 30)
            self.assertEqual(memory[PAGE : PAGE + 8], PAGE.to_bytes(8, "little"))
            self.assertEqual(memory[3 * PAGE - 8 : 3 * PAGE + 8], numbers(3 * PAGE - 8, 16))
            self.assertEqual(memory[-8:], numbers((1 << 30) - 8, 8))
            self.assertEqual(memory[PAGE], 0)
            self.assertEqual(memory[PAGE + 1], PAGE >> 8)
            self.assertEqual(memory[0:32:8], bytes([0, 8, 16, 24]))
            self.assertEqual(memory[24::-8], bytes([24, 16, 8, 0]))
            self.assertEqual(memory[5:5], b"")
        self.assertEqual(asked, [(at, PAGE) for at in (PAGE, 2 * PAGE, 3 * PAGE, (1 << 30) - PAGE, 0)])

    def test_short_and_zero(self):
        with userfault.Handler(4 * PAGE, lambda offset, length: b"ab" if offset else None,
                               chunk=2 * PAGE) as memory:
            self.assertEqual(memory[: 2 * PAGE], bytes(2 * PAGE))
            self.assertEqual(memory[2 * PAGE :], b"ab" + bytes(2 * PAGE - 2))

    def test_write(self):
        with userfault.Handler(2 * PAGE, numbers) as memory:
            memory[1] = 255
            memory[PAGE - 1 : PAGE + 1] = b"xy"
            self.assertEqual(memory[:4], b"\0\xff\0\0")
            self.assertEqual(memory[PAGE - 1 : PAGE + 2], b"xy\x10")
            memory.discard(0, PAGE)
            self.assertEqual(memory[:4], bytes(4))
            with self.assertRaises(ValueError):
                memory[0:2] = b"x"
            with self.assertRaises(ValueError):
                memory.discard(1, 1)
        with userfault.Handler(PAGE, numbers, writable=False) as memory:
            with self.assertRaises(TypeError):
                memory[0] = 1
            with self.assertRaises(TypeError):
                memory.view()[0] = 1

    def test_exceptions(self):
        def function(offset, length):
            if offset == PAGE:
                raise KeyError("no such page")
            return b"x" * (length + 1 if offset > PAGE else length)

        with userfault.Handler(3 * PAGE, function) as memory:
            with self.assertRaisesRegex(KeyError, "no such page"):
                memory.read(0, 2 * PAGE)
            with self.assertRaisesRegex(ValueError, "4097 bytes for a chunk of 4096"):
                memory.touch(2 * PAGE)
            self.assertEqual(memory[0], ord("x"))
            for index in 3 * PAGE, -3 * PAGE - 1:
                with self.assertRaises(IndexError):
                    memory[index]
            self.assertEqual(memory.readinto(bytearray(9), 3 * PAGE), 0)
            with self.assertRaises(IndexError):
                memory.read(3 * PAGE - 1, 2)
        with self.assertRaises(ValueError):
            memory[0]
        memory.close()
        for length, chunk in (0, PAGE), (PAGE, 0), (PAGE, 3 * PAGE):
            with self.assertRaises(ValueError):
                userfault.Handler(length, numbers, chunk=chunk)
        with self.assertRaises(userfault.Error) as caught:
            userfault.Handler(1 << 62, numbers, chunk=1 << 40)
        self.assertEqual(caught.exception.errno, errno.ENOMEM)

    def test_view(self):
        with userfault.Handler(1 << 20, numbers) as memory:
            view = memory.view(PAGE, 2 * PAGE)
            self.assertEqual(bytes(view), numbers(PAGE, 2 * PAGE))
            self.assertEqual(view.cast("Q")[1], PAGE + 8)
            view[0] = 9
            self.assertEqual(memory[PAGE], 9)
            for refused in memory.close, memory.discard:
                with self.assertRaises(BufferError):
                    refused()
            part = view[:8]
            view.release()
            with self.assertRaises(BufferError):
                memory.close()
            del view, part

    def test_open(self):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("large", random.Random(1).randbytes(1 << 20))
            archive.writestr("small", "here")
        contents, asked = file.getvalue(), []

        def function(offset, length):
            asked.append(offset)
            return contents[offset : offset + length]

        with userfault.Handler(len(contents), function) as memory:
            with memory.open() as lazy, zipfile.ZipFile(lazy) as archive:
                self.assertEqual(archive.read("small"), b"here")
            self.assertLess(len(asked), 10)
            with memory.open() as lazy:
                self.assertEqual(lazy.read(), contents)

    def test_fault_of_c(self):
        """Faults of code that runs without the lock are served by the thread."""
        threads, here = set(), threading.get_ident()

        def function(offset, length):
            threads.add(threading.get_ident())
            return numbers(offset, length)

        with userfault.Handler(1 << 20, function) as memory:
            expected = numbers(0, 1 << 20)
            self.assertEqual(libc.memcmp(memory.address, expected, len(expected)), 0)
            self.assertEqual(len(threads), 1)
            self.assertNotIn(here, threads)

    def test_many_threads(self):
        """All ways at once, of Python and of C, on the same pages."""
        length = 1 << 20
        expected = numbers(0, length)
        with userfault.Handler(length, numbers) as memory:
            failures, start = [], threading.Barrier(6)

            def use(seed):
                rng = random.Random(seed)
                start.wait()
                for _ in range(300):
                    at = rng.randrange(length // 8) * 8
                    size = min(rng.randrange(1, 3 * PAGE), length - at)
                    if seed % 3 == 0:
                        good = libc.memcmp(memory.address + at, expected[at : at + size], size) == 0
                    elif seed % 3 == 1:
                        good = memory.read(at, size) == expected[at : at + size]
                    else:
                        good = memory.view(at, size) == expected[at : at + size]
                    if not good:
                        failures.append((seed, at, size))

            threads = [threading.Thread(target=use, args=(seed,)) for seed in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])
            gc.collect()

    def test_function_uses_other_memory(self):
        with userfault.Handler(1 << 20, numbers) as below, \
                userfault.Handler(1 << 20, lambda offset, length: below.read(offset, length)[::-1]) as above:
            self.assertEqual(above[:PAGE], numbers(0, PAGE)[::-1])
            self.assertEqual(libc.memcmp(above.address + PAGE, numbers(PAGE, PAGE)[::-1], PAGE), 0)

    def test_sigbus(self):
        """A fault of C whose page cannot be made: SIGBUS, with the traceback on stderr."""
        program = """if True:
            import ctypes, resource, userfault
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            def function(offset, length): raise KeyError("no such page")
            memory = userfault.Handler(4096, function)
            ctypes.CDLL(None).memcmp(ctypes.c_void_p(memory.address), b"12345678", ctypes.c_size_t(8))
        """
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, -7, done.stderr)
        self.assertIn("KeyError: 'no such page'", done.stderr)

    def test_end_of_the_interpreter(self):
        """Open memory and views are no reason to hang, nor to say anything."""
        program = """if True:
            import threading, userfault
            memory = userfault.Handler(1 << 20, lambda offset, length: b"x" * length)
            view = memory.view()
            assert view[5] == ord("x")
        """
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_forgotten(self):
        memory = userfault.Handler(PAGE, numbers)
        gone = weakref.ref(memory)
        self.assertEqual(memory[0], 0)
        del memory
        gc.collect()
        self.assertIsNone(gone())


class PagerTest(unittest.TestCase):
    def setUp(self):
        self.contents = random.Random(2).randbytes(RANDOM) + bytes(64 * PAGE) + b"end"
        self.file = tempfile.NamedTemporaryFile(prefix="userfault-test-")
        self.file.write(self.contents)
        self.file.flush()
        self.addCleanup(self.file.close)
        self.padded = self.contents.ljust(-(-len(self.contents) // PAGE) * PAGE, b"\0")

    def backends(self):
        yield None
        yield "own"
        with userfault.Pager() as pager:
            try:
                pager.open(self.file.name).map(length=PAGE, backend="kernel").close()
            except userfault.Error as error:
                self.assertIn(error.errno, (errno.EPERM, errno.ENOSYS))
                return
        yield "kernel"

    def test_file(self):
        for backend in self.backends():
            with self.subTest(backend=backend), userfault.Pager(name="python") as pager:
                with self.assertRaisesRegex(userfault.Error, "/none") as caught:
                    pager.open("/none")
                self.assertEqual(caught.exception.errno, errno.ENOENT)
                source = pager.open(self.file.name)
                self.assertGreaterEqual(len(source), len(self.contents))
                with source.map(length=len(self.contents), backend=backend) as memory:
                    self.assertEqual(memory[-3:], b"end")
                    view = memory.view()  # lazily: the pager needs no interpreter
                    self.assertEqual(bytes(view[5 * PAGE : 6 * PAGE]), self.contents[5 * PAGE : 6 * PAGE])
                    self.assertTrue(view.readonly)
                    with self.assertRaises(BufferError):
                        memory.close()
                    view.release()
                    del view
                    memory.wait()
                    self.assertEqual(memory[:], self.contents)
                    stats = memory.stats()
                    self.assertGreater(stats.filled, 0)
                    self.assertGreaterEqual(stats.max_ns, stats.p50_ns)
                with source.map(RANDOM, 2 * PAGE, backend=backend, writable=True) as memory:
                    memory[1] = 3
                    self.assertEqual(memory[:4], b"\0\3\0\0")
                self.file.seek(RANDOM)
                self.assertEqual(self.file.read(4), bytes(4))

    def test_limit(self):
        for backend in self.backends():
            with self.subTest(backend=backend), userfault.Pager() as pager:
                memory = pager.open(self.file.name).map(writable=True, limit=LIMIT, backend=backend)
                for at in range(0, RANDOM, PAGE):
                    memory[at] = at // PAGE % 251
                for at in range(0, RANDOM, PAGE):
                    self.assertEqual(memory.read(at, 64), bytes([at // PAGE % 251]) + self.contents[at + 1 : at + 64])
                self.assertLessEqual(memory.stats().resident, LIMIT // PAGE)
                self.assertGreater(memory.stats().spilled, 0)

    def test_record(self):
        with tempfile.TemporaryDirectory() as directory:
            record = os.path.join(directory, "order")
            with userfault.Pager() as pager:
                with pager.open(self.file.name).map(record=record, demand=True) as memory:
                    for page in 40, 3, 17:
                        memory[page * PAGE]
            self.assertGreater(os.path.getsize(record), 0)
            with userfault.Pager() as pager:
                with pager.open(self.file.name).map(prefetch=record) as memory:
                    self.assertEqual(memory[17 * PAGE], self.contents[17 * PAGE])

    def test_function(self):
        for backend in self.backends():
            asked = []

            def function(offset, length):
                asked.append((offset, length))
                return self.contents[offset : offset + length]

            with self.subTest(backend=backend), userfault.Pager() as pager:
                source = pager.source(function, len(self.padded), chunk=4 * PAGE, threads=2)
                with source.map(demand=True, backend=backend) as memory:
                    self.assertEqual(memory[PAGE : PAGE + 8], self.contents[PAGE : PAGE + 8])
                    self.assertEqual(memory.view(30 * PAGE, PAGE), self.contents[30 * PAGE : 31 * PAGE])
                    self.assertEqual(memory.read(0, len(self.contents)), self.contents)
                self.assertTrue(all(at % PAGE == 0 and size % PAGE == 0 for at, size in asked))
                with source.map(limit=LIMIT, backend=backend) as memory:
                    with self.assertRaises(BufferError):
                        memory.view()
                    self.assertEqual(memory.read(0, len(self.contents)), self.contents)

    def test_function_raises(self):
        """It is asked again; the page that it cannot make in time is poisoned."""
        attempts = []

        def function(offset, length):
            attempts.append(offset)
            if len(attempts) < 3:
                raise TimeoutError(errno.ETIMEDOUT, "not yet")
            return b"x" * length

        with userfault.Pager(deadline=30) as pager:
            source = pager.source(function, 4 * PAGE, chunk=4 * PAGE)
            with source.map(demand=True) as memory:
                self.assertEqual(memory[5], ord("x"))
            self.assertIsInstance(source.error, TimeoutError)
        self.assertGreaterEqual(len(attempts), 3)

    def test_kinds_do_not_mix(self):
        with userfault.Pager() as pager:
            pager.open(self.file.name)
            with self.assertRaisesRegex(ValueError, "pager of its own"):
                pager.source(numbers, PAGE)
        with userfault.Pager() as pager:
            pager.source(numbers, PAGE)
            with self.assertRaisesRegex(ValueError, "pager of its own"):
                pager.open(self.file.name)

    def test_busy_and_closed(self):
        pager = userfault.Pager()
        source = pager.open(self.file.name)
        memory = source.map()
        with self.assertRaises(userfault.Error) as caught:
            source.close()
        self.assertEqual(caught.exception.errno, errno.EBUSY)
        memory.close()
        source.close()
        pager.close()
        pager.close()
        for refused in (lambda: memory[0], lambda: len(source), lambda: pager.open("x"), memory.stats):
            with self.assertRaises(ValueError):
                refused()
        with self.assertRaises(ValueError):
            userfault.Pager(on_failure="panic")

    def test_end_of_the_interpreter(self):
        program = """if True:
            import sys, userfault
            pager = userfault.Pager()
            memory = pager.source(lambda offset, length: b"x" * length, 1 << 20).map()
            view = memory.view(0, 4096)
            assert view[5] == ord("x")
            other = userfault.Pager().open(sys.argv[1]).map()
        """
        done = subprocess.run([sys.executable, "-c", program, self.file.name],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


class SnapshotTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="userfault-test-")
        self.addCleanup(directory.cleanup)
        self.target = os.path.join(directory.name, "image")
        self.memory = mmap.mmap(-1, 2 << 20)
        self.memory[:] = numbers(0, len(self.memory))

    def test_of_one_instant(self):
        """A thread goes on writing: two counters, the second never ahead of the first."""
        stop = threading.Event()

        def count():
            n = 0
            while not stop.is_set():
                n += 1
                self.memory[:8] = self.memory[-8:] = n.to_bytes(8, "little")

        thread = threading.Thread(target=count)
        thread.start()
        try:
            with userfault.Pager() as pager:
                for kind in None, "raw":
                    with pager.snapshot(self.memory, self.target, kind=kind) as snapshot:
                        self.assertLess(snapshot.pause_ns, 10**9)
                        with self.assertRaises(BufferError):
                            self.memory.close()
                    with pager.open(self.target).map() as saved:
                        self.assertEqual(saved[8:-8], numbers(0, len(self.memory))[8:-8])
                        first, last = (int.from_bytes(saved[at : at + 8], "little")
                                       for at in (0, len(saved) - 8))
                        # Either slice may be assigned first, but there is one round between them at most.
                        self.assertLessEqual(abs(first - last), 1)
        finally:
            stop.set()
            thread.join()
        self.memory.close()

    def test_errors(self):
        with userfault.Pager() as pager:
            with self.assertRaises(RuntimeError):
                with pager.snapshot(self.memory, self.target) as snapshot:
                    raise RuntimeError
            self.assertFalse(os.path.exists(self.target))
            snapshot.cancel()
            with self.assertRaises(ValueError):
                snapshot.finish()
            with self.assertRaises(TypeError):
                pager.snapshot(bytes(PAGE), self.target)
            for call in (lambda: pager.snapshot(bytearray(PAGE + 1), self.target),
                         lambda: pager.snapshot(self.memory, self.target, kind="none")):
                with self.assertRaises(userfault.Error) as caught:
                    call()
                self.assertEqual(caught.exception.errno, errno.EINVAL)
            given_up = pager.snapshot(self.memory, self.target)
        with self.assertRaises(ValueError):
            given_up.finish()
        self.memory.close()

    def test_released(self):
        with userfault.Pager() as pager:
            with pager.snapshot(self.memory, self.target):
                pass
        expected = bytes(self.memory)
        for backend in "own", None:
            with userfault.Pager() as pager:
                memory = pager.open(self.target).map(writable=True, backend=backend)
                memory.release()
                with self.assertRaisesRegex(ValueError, "released"):
                    memory.wait()
            self.assertEqual(memory[:], expected)
            memory[0] = 7
            self.assertEqual(memory.view()[0], 7)
            again = self.target + ".again"
            with userfault.Pager() as pager:
                with pager.snapshot(memory, again):
                    with self.assertRaises(BufferError):
                        memory.close()
                with pager.open(again).map() as saved:
                    self.assertEqual(saved[:], b"\7" + expected[1:])
            memory.close()

    def test_python_function(self):
        """Memory of a Python function is released while its function runs in another thread."""
        with userfault.Pager() as pager:
            memory = pager.source(numbers, 64 * PAGE, chunk=16 * PAGE, threads=2).map(demand=True)
            memory.release()
            self.assertEqual(memory[:], numbers(0, 64 * PAGE))
            memory.close()


class MoveTest(unittest.TestCase):
    def setUp(self):
        self.memory = mmap.mmap(-1, 4 << 20)
        self.memory[:] = numbers(0, len(self.memory))
        self.ends = socket.socketpair()
        self.addCleanup(lambda: [end.close() for end in self.ends])

    def move(self, tls=None, other=None):
        """Both sides in this process: neither may hold the lock while it waits for the other."""
        errors = []

        def send():
            try:
                with userfault.Pager(name="sender") as pager:
                    pager.send(self.memory, self.ends[0], tls=tls)
            except OSError as error:
                errors.append(error)
            finally:
                self.ends[0].close()

        thread = threading.Thread(target=send)
        thread.start()
        try:
            with userfault.Pager(name="receiver") as pager:
                moved = pager.receive(self.ends[1], tls=other, writable=True)
                self.assertEqual(len(moved), len(self.memory))
                middle = len(moved) // 2
                self.assertEqual(moved[middle : middle + PAGE], numbers(middle, PAGE))
                moved[0] = 99
                moved.release()
        finally:
            self.ends[1].close()
            thread.join()
        self.assertEqual(errors, [])
        self.assertEqual((moved[0], moved[1:]), (99, numbers(0, len(self.memory))[1:]))
        moved.close()

    def test_in_clear(self):
        self.move()
        self.memory.close()

    def test_tls(self):
        if not shutil.which("openssl"):
            self.skipTest("openssl is not installed")
        with tempfile.TemporaryDirectory() as directory:
            certificate, key = os.path.join(directory, "cert"), os.path.join(directory, "key")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                            "-nodes", "-days", "1", "-subj", "/CN=here", "-addext", "subjectAltName=DNS:here",
                            "-keyout", key, "-out", certificate], check=True, capture_output=True)
            self.move(userfault.TLS(certificate, key, certificate, "here"),
                      userfault.TLS(certificate, key, certificate))
            self.ends = socket.socketpair()
            with self.assertRaises(userfault.Error) as caught:
                self.move(userfault.TLS(certificate, key, certificate, "there"),
                          userfault.TLS(certificate, key, certificate))
            self.assertIn(caught.exception.errno, (errno.EPIPE, errno.EPROTO))

    def test_errors(self):
        with userfault.Pager() as pager:
            with self.assertRaises(userfault.Error) as caught:
                pager.send(self.memory, self.ends[0], tls=userfault.TLS("/none", "/none", "/none"))
            self.assertEqual(caught.exception.errno, errno.EINVAL)
            self.ends[1].close()
            with self.assertRaises(userfault.Error) as caught:
                pager.send(self.memory, self.ends[0])
            self.assertEqual(caught.exception.errno, errno.EPIPE)
            with self.assertRaises(userfault.Error) as caught:
                pager.receive(self.ends[0])
            self.assertEqual(caught.exception.errno, errno.EPIPE)
        with userfault.Pager() as pager:
            pager.source(numbers, PAGE)
            with self.assertRaisesRegex(ValueError, "pager of its own"):
                pager.receive(self.ends[0])
        self.memory[0] = 1
        self.memory.close()


class ExampleTest(unittest.TestCase):
    directory = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 3, "examples", "python")

    def test_checkpoint(self):
        """Killed in the middle, it goes on from its last checkpoint, with the same result."""
        with tempfile.TemporaryDirectory() as directory:
            program = [sys.executable, "-B", os.path.join(self.directory, "checkpoint.py"),
                       os.path.join(directory, "state"), "100000"]
            with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as first:
                for line in first.stdout:
                    if line.startswith("saved at 101,"):
                        first.kill()
                        break
            second = subprocess.run(program, capture_output=True, text=True, timeout=60)
        self.assertEqual(second.stderr, "")
        going_on = int(re.match(r"going on at (\d+)\n", second.stdout)[1])
        self.assertTrue(97 < going_on <= 317, going_on)
        self.assertTrue(second.stdout.endswith("\n9592 primes below 100000\n"), second.stdout)

    def test_readers(self):
        with tempfile.TemporaryDirectory() as directory:
            name = os.path.join(directory, "file")
            with zipfile.ZipFile(name, "w") as archive:
                archive.writestr("large", random.Random(3).randbytes(1 << 20))
                archive.writestr("small", "here it is")
            lazy = subprocess.run([sys.executable, "-B", os.path.join(self.directory, "lazy_file.py"), name, "small"],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual((lazy.returncode, lazy.stdout), (0, "here it is"), lazy.stderr)
            search = subprocess.run([sys.executable, "-B", os.path.join(self.directory, "remote_memory.py"),
                                     name, "here it is"], capture_output=True, text=True, timeout=60)
            self.assertEqual(search.returncode, 0, search.stderr)
            with open(name, "rb") as file:
                self.assertEqual(search.stdout, f"{file.read().index(b'here it is'):#x}\n")


class HeaderTest(unittest.TestCase):
    """The structures are those of the header: a program of C prints their sizes and offsets."""

    def test_structures(self):
        include, compiler = os.environ.get("USERFAULT_INCLUDE"), os.environ.get("CC", "cc").split()
        if not include:
            self.skipTest("no USERFAULT_INCLUDE names the headers")
        from userfault import _lib
        pairs = {"uf_pager_options": _lib.PagerOptions, "uf_paged_options": _lib.PagedOptions,
                 "uf_paged_stats": _lib.PagedStats, "uf_snapshot_options": _lib.SnapshotOptions,
                 "uf_tls": _lib.Tls, "uf_zeropage": _lib.ZeroPage,
                 "uf_poison": _lib.Poison, "uf_register": _lib.Register, "uf_api": _lib.Api}
        lines = []
        for name, structure in pairs.items():
            lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
            for field in structure._fields_:
                lines.append(f'printf("{name}.{field[0]} %zu\\n", offsetof(struct {name}, {field[0]}));')
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "sizes")
            source = ("#include <stddef.h>\n#include <stdio.h>\n#include <userfault/abi.h>\n"
                      "#include <userfault/pager.h>\nint main(void) { " + "".join(lines) + " return 0; }\n")
            subprocess.run([*compiler, "-I", include, "-x", "c", "-", "-o", path],
                           input=source, text=True, check=True)
            told = dict(re.findall(r"(\S+) (\d+)", subprocess.run([path], capture_output=True, text=True).stdout))
        for name, structure in pairs.items():
            self.assertEqual(int(told[name]), ctypes.sizeof(structure), name)
            for field in structure._fields_:
                self.assertEqual(int(told[f"{name}.{field[0]}"]), getattr(structure, field[0]).offset, field[0])


if __name__ == "__main__":
    unittest.main()
