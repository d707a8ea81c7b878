# SPDX-License-Identifier: MIT
"""Memory that a Python function fills, on Userfault's own userfaultfd.

Accesses of Python code call the function themselves, so that what it raises reaches who wanted the
page. Faults, of functions of C that run without the interpreter lock, are read from the descriptor by
a thread, which calls the function for them. It is no callback on the faulting thread: that runs in a
signal's handler, often on a stack of a few KiB, which is no place for the interpreter.
"""

from __future__ import annotations

import atexit
import ctypes
import errno
import os
import select
import sys
import threading
import weakref
from typing import Callable, Optional, Union

from . import _lib
from ._memory import PAGE, Memory

Contents = Union[bytes, bytearray, memoryview, None]

_open: "weakref.WeakSet[Handler]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    # A thread that faults when the interpreter has gone would wait for ever.
    for handler in list(_open):
        handler._views = 0
        handler.close()


class Handler(Memory):
    """length bytes of memory that function fills.

    function(offset, length) gives the contents of [offset, offset + length), at most length bytes
    (the rest is zero), or None for zeroes. It is called for one chunk at a time, a power of two from
    4096, when something of it is first touched; by several threads at once if need be, also twice for
    the same chunk. What it raises is raised by the access; a fault of C code gets SIGBUS instead.
    """

    def __init__(self, length: int, function: Callable[[int, int], Contents], *,
                 writable: bool = True, chunk: int = PAGE) -> None:
        if length <= 0:
            raise ValueError("memory has a length of 1 byte at least")
        if chunk < PAGE or chunk & (chunk - 1):
            raise ValueError(f"a chunk is a power of two from {PAGE}")
        self._function = function
        self._chunk = chunk
        self._mapped = -(-length // chunk) * chunk
        self._present = bytearray(self._mapped // chunk)
        self._thread: Optional[threading.Thread] = None
        core = _lib.core()
        error = ctypes.c_int()
        prot = 3 if writable else 1
        address = core.uf_mmap(None, self._mapped, prot, 0x22, -1, 0, ctypes.byref(error))
        if address in (None, ctypes.c_void_p(-1).value):
            _lib.check(error.value if error.value < 0 else -errno.ENOMEM, f"mapping {length} bytes")
        super().__init__(address, length, writable)
        self._fd = -1
        try:
            self._fd = _lib.check(core.uf_open(os.O_CLOEXEC | os.O_NONBLOCK), "opening a userfaultfd")
            self._ioctl(_lib.UF_IO_API, _lib.Api(_lib.UF_API, 0, 0), "UF_IO_API")
            self._ioctl(_lib.UF_IO_REGISTER, _lib.Register(
                _lib.Range(address, self._mapped), _lib.UF_REGISTER_MODE_MISSING, 0), "UF_IO_REGISTER")
        except BaseException:
            self._closed = True
            if self._fd >= 0:
                core.uf_close(self._fd)
            core.uf_munmap(address, self._mapped)
            raise
        self._stop, self._stopper = os.pipe()
        # The thread keeps nothing alive that is not closed: it knows the handler weakly.
        self._thread = threading.Thread(target=_serve, args=(weakref.ref(self), self._fd, self._stop),
                                        name="userfault", daemon=True)
        self._thread.start()
        _open.add(self)

    def discard(self, offset: int = 0, length: Optional[int] = None) -> None:
        """Forget the contents of whole chunks; function is asked again when they are touched."""
        length = self._mapped - offset if length is None else length
        if offset % self._chunk or (length % self._chunk and offset + length != self._length):
            raise ValueError(f"what is discarded is whole chunks of {self._chunk} bytes")
        length = -(-length // self._chunk) * self._chunk
        self._check(offset, min(length, self._length - offset))
        if self._views:
            raise BufferError("there are views of the memory; release them first")
        self._present[offset // self._chunk : (offset + length) // self._chunk] = bytes(length // self._chunk)
        _lib.check(_lib.core().uf_madvise(self._address + offset, length, 4), "discarding")

    def _ioctl(self, request: int, argument: ctypes.Structure, what: str) -> int:
        return _lib.check(_lib.core().uf_ioctl(self._fd, request, ctypes.byref(argument)), what)

    def _prepare(self, offset: int, length: int) -> None:
        for chunk in range(offset // self._chunk, (offset + length - 1) // self._chunk + 1):
            if not self._present[chunk]:
                self._make(chunk)

    def _view_prepare(self, offset: int, length: int) -> None:
        self._prepare(offset, length)

    def _make(self, chunk: int) -> None:
        start = chunk * self._chunk
        contents = self._function(start, self._chunk)
        at, core = self._address + start, _lib.core()
        data = b"" if contents is None else bytes(contents)
        if len(data) > self._chunk:
            raise ValueError(f"{len(data)} bytes for a chunk of {self._chunk}")
        full = -(-len(data) // PAGE) * PAGE
        done = 0
        while done < full:
            result = core.uf_mcopy_atomic(
                at + done, data[done:].ljust(full - done, b"\0") if done or len(data) < full else data,
                full - done)
            if result == -errno.EEXIST:
                result = PAGE  # somebody was faster
            if result != -errno.EAGAIN:
                done += _lib.check(result, f"filling {start:#x}")
        while done < self._chunk:
            zero = _lib.ZeroPage(_lib.Range(at + done, self._chunk - done), 0, 0)
            result = core.uf_ioctl(self._fd, _lib.UF_IO_ZEROPAGE, ctypes.byref(zero))
            if result == -errno.EEXIST:
                done += PAGE
            elif result == -errno.EAGAIN:
                done += max(zero.zeropage, 0)
            else:
                _lib.check(result, f"filling {start:#x}")
                done = self._chunk
        self._present[chunk] = 1

    def _fault(self, address: int) -> None:
        """Of a thread outside of the interpreter. The page may have come in the meantime."""
        chunk = (address - self._address) // self._chunk
        where = _lib.Range(self._address + chunk * self._chunk, self._chunk)
        try:
            self._make(chunk)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            _lib.core().uf_ioctl(self._fd, _lib.UF_IO_POISON, ctypes.byref(_lib.Poison(where, 0, 0)))
        _lib.core().uf_ioctl(self._fd, _lib.UF_IO_WAKE, ctypes.byref(where))

    def _release(self) -> None:
        _open.discard(self)
        os.close(self._stopper)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        os.close(self._stop)
        core = _lib.core()
        core.uf_close(self._fd)
        core.uf_munmap(self._address, self._mapped)

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and self._thread is not None:
            self.close()


def _serve(handler: "weakref.ref[Handler]", fd: int, stop: int) -> None:
    core, buffer = _lib.core(), ctypes.create_string_buffer(16 * _lib.MSG_SIZE)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.register(stop, select.POLLIN)
    while True:
        ready = dict(poll.poll())
        if stop in ready:
            return
        got = core.uf_read(fd, buffer, len(buffer))
        for at in range(0, max(got, 0), _lib.MSG_SIZE):
            message = buffer.raw[at : at + _lib.MSG_SIZE]
            served = handler()
            if served is not None and message[0] == _lib.UF_EVENT_PAGEFAULT:
                served._fault(int.from_bytes(message[16:24], "little"))
            del served
