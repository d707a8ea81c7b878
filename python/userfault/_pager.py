# SPDX-License-Identifier: MIT
"""The pager: memory whose pages it fetches, saves and moves, in threads of its own."""

from __future__ import annotations

import atexit
import ctypes
import errno
import os
import socket as sockets
import sys
import weakref
from types import TracebackType
from typing import Any, Callable, Dict, NamedTuple, Optional, Set, Type, Union

from . import _lib
from ._memory import PAGE, Memory

_FAILURES = {"poison": 0, "kill": 1, "wait": 2}
_BACKENDS: Dict[Optional[str], int] = {None: 0, "kernel": 4, "own": 8}
_WRITABLE, _DEMAND = 1, 2

_open: "weakref.WeakSet[Pager]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    # Threads of a pager must not call into an interpreter that has gone.
    for pager in list(_open):
        for snapshot in list(pager._snapshots):
            snapshot.cancel()
        for paged in list(pager._paged):
            paged._views = 0
        pager.close()


def _path(value: Union[str, os.PathLike, None]) -> Optional[bytes]:
    return None if value is None else os.fsencode(value)


def _paged_options(*, writable: bool, demand: bool, backend: Optional[str], name: Optional[str],
                   **others: Any) -> _lib.PagedOptions:
    if backend not in _BACKENDS:
        raise ValueError("backend is 'kernel', 'own' or None")
    flags = (_WRITABLE if writable else 0) | (_DEMAND if demand else 0) | _BACKENDS[backend]
    return _lib.PagedOptions(size=ctypes.sizeof(_lib.PagedOptions), flags=flags, name=_path(name), **others)


class _Range:
    """Memory that is saved or sent: a Memory, or what has a buffer that can be written to. It cannot
    be closed until this is."""

    def __init__(self, memory: Any) -> None:
        self._memory = self._array = None
        if isinstance(memory, Memory):
            self.address, self.length = memory.address, -(-len(memory) // PAGE) * PAGE
            self._memory = memory
            memory._views += 1
            return
        with memoryview(memory) as view:
            if view.readonly:
                raise TypeError("memory that can be written to is needed: an mmap, a Paged that was released")
            self.length = view.nbytes
        self._array = (ctypes.c_char * self.length).from_buffer(memory)
        self.address = ctypes.addressof(self._array)

    def close(self) -> None:
        if self._memory is not None:
            self._memory._views -= 1
        self._memory = self._array = None


class TLS(NamedTuple):
    """Files in PEM: a certificate, its key, and who signs the other side's; peer is the name that the
    other's has to have (None: any that ca signed)."""

    certificate: Union[str, os.PathLike]
    key: Union[str, os.PathLike]
    ca: Union[str, os.PathLike]
    peer: Optional[str] = None

    def _pointer(self) -> Any:
        return ctypes.byref(_lib.Tls(*map(_path, self)))


class Stats(NamedTuple):
    """Counts of pages, and times from a fault's message to its page in nanoseconds."""

    faults: int
    filled: int
    zeros: int
    ahead: int
    evicted: int
    spilled: int
    failed: int
    resident: int
    p50_ns: int
    p99_ns: int
    max_ns: int


class Pager:
    """The engine, with sources and the memory that is filled from them.

    in_flight: bytes being fetched at a time; cache: bytes kept of what was dear to fetch; bandwidth:
    bytes per second for what nobody waits for yet; deadline: seconds until a page that cannot be
    fetched is given up; on_failure: "poison" (who touches it gets SIGBUS), "kill" or "wait"; trace: a
    file for `userfault trace`; name: as `userfault top` shows it. Errors go to stderr.
    """

    def __init__(self, *, name: Optional[str] = None, in_flight: int = 0, cache: int = 0,
                 bandwidth: int = 0, deadline: float = 0, on_failure: str = "poison",
                 trace: Union[str, os.PathLike, None] = None) -> None:
        if on_failure not in _FAILURES:
            raise ValueError(f"on_failure is one of {', '.join(_FAILURES)}")
        options = _lib.PagerOptions(
            size=ctypes.sizeof(_lib.PagerOptions), name=_path(name), in_flight=in_flight, cache=cache,
            bandwidth=bandwidth, deadline_ms=round(deadline * 1000), on_failure=_FAILURES[on_failure],
            trace=_path(trace))
        self._handle = ctypes.c_void_p()
        self._sources: Set[Source] = set()
        self._paged: Set[Paged] = set()
        self._snapshots: Set[Snapshot] = set()
        _lib.pager_check(_lib.pager().uf_pager_new(ctypes.byref(options), ctypes.byref(self._handle)),
                         "starting a pager")
        _open.add(self)

    def _pointer(self) -> ctypes.c_void_p:
        if not self._handle:
            raise ValueError("the pager is closed")
        return self._handle

    def _of_python(self, python: bool) -> None:
        # A fetch of the one kind may be waited for by a thread that the other kind needs.
        kinds = {source._callback is not None for source in self._sources}
        kinds |= {paged._python for paged in self._paged}
        if (not python) in kinds:
            raise ValueError("a Python function as a source takes a pager of its own, "
                             "which has no sources of other kinds")

    def open(self, spec: Union[str, os.PathLike]) -> Source:
        """A file (raw, or an image of `userfault pack`), nbd://HOST[:PORT]/EXPORT,
        nbd+unix:///EXPORT?socket=PATH, rados:POOL/IMAGE[?conf=FILE]."""
        self._of_python(False)
        handle = ctypes.c_void_p()
        _lib.pager_check(_lib.pager().uf_source_open(self._pointer(), os.fsencode(spec),
                                                     ctypes.byref(handle)), f"opening {spec}")
        return Source(self, handle, None)

    def source(self, function: Callable[[int, int], Union[bytes, bytearray, memoryview, None]], size: int,
               *, chunk: int = 65536, threads: int = 1) -> Source:
        """Contents that a Python function makes: function(offset, length) gives the bytes of [offset,
        offset + length), fewer at the end of the source, None for zeroes. It runs in a thread of the
        pager's; OSError and what else it raises makes the fetch fail, which is tried again until the
        deadline. The last such exception is the source's error."""
        self._of_python(True)
        self._pointer()
        source = Source.__new__(Source)
        source.error = None
        weak = weakref.ref(source)

        def read(_: object, offset: int, buffer: int, length: int) -> int:
            try:
                data = function(offset, length)
                data = b"" if data is None else bytes(data)
                if len(data) > length:
                    raise ValueError(f"{len(data)} bytes where {length} are wanted")
                ctypes.memmove(buffer, data, len(data))
                ctypes.memset(buffer + len(data), 0, length - len(data))
                return 0
            except BaseException as error:  # nothing may pass through the caller, which is C
                target = weak()
                if target is not None:
                    target.error = error
                number = getattr(error, "errno", None)
                return -number if isinstance(number, int) and 0 < number < 4096 else -errno.EIO

        handle, callback = ctypes.c_void_p(), _lib.READ_FN(read)
        _lib.pager_check(_lib.pager().uf_source_new(self._pointer(), size, chunk, threads, callback,
                                                    None, ctypes.byref(handle)), "making a source")
        source._start(self, handle, callback)
        return source

    def snapshot(self, memory: Any, target: Union[str, os.PathLike], *, kind: Optional[str] = None,
                 bandwidth: int = 0) -> Snapshot:
        """Begins to save what memory contains at this instant, while it is in use, to target, from
        where open has it back.

        memory: an mmap.mmap(-1, ...), something else with a buffer of whole pages that can be written
        to, or a Paged that was released; it cannot be closed meanwhile. kind: "packed", "raw", "nbd",
        "rados" (None: what the target's name says; of a file, packed). bandwidth: bytes per second.
        """
        options = _lib.SnapshotOptions(size=ctypes.sizeof(_lib.SnapshotOptions), kind=_path(kind),
                                       bandwidth=bandwidth)
        handle, pause, pages = ctypes.c_void_p(), ctypes.c_uint64(), _Range(memory)
        try:
            _lib.pager_check(_lib.pager().uf_snapshot_begin(
                self._pointer(), pages.address, pages.length, os.fsencode(target), ctypes.byref(options),
                ctypes.byref(handle), ctypes.byref(pause)), "beginning a snapshot")
        except BaseException:
            pages.close()
            raise
        return Snapshot(self, handle, pages, pause.value)

    def send(self, memory: Any, socket: Union[sockets.socket, int], *, tls: Optional[TLS] = None) -> None:
        """Sends what memory (as for snapshot) contains now over a connected stream socket, to another
        process's receive. Returns when the other side has all of it; other threads go on. Error with
        EPIPE: the other side is gone, and the memory is as it was."""
        pages = _Range(memory)
        try:
            _lib.pager_check(_lib.pager().uf_pager_send(
                self._pointer(), pages.address, pages.length, _descriptor(socket),
                tls._pointer() if tls else None), "sending memory")
        finally:
            pages.close()

    def receive(self, socket: Union[sockets.socket, int], *, tls: Optional[TLS] = None,
                writable: bool = False, demand: bool = False, backend: Optional[str] = None,
                name: Optional[str] = None) -> Paged:
        """Memory that another process sends. It can be used at once: what is touched comes first, the
        rest in order (demand: when it is waited for). The socket may be closed."""
        self._of_python(False)
        options = _paged_options(writable=writable, demand=demand, backend=backend, name=name)
        address, length, handle = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_void_p()
        _lib.pager_check(_lib.pager().uf_pager_receive(
            self._pointer(), _descriptor(socket), tls._pointer() if tls else None, ctypes.byref(options),
            ctypes.byref(address), ctypes.byref(length), ctypes.byref(handle)), "receiving memory")
        assert address.value is not None
        return Paged(self, handle, address.value, length.value, writable)

    def close(self) -> None:
        """Ends it, with its memory and sources; snapshots are given up. BufferError: there are views
        of memory."""
        if not self._handle:
            return
        for snapshot in list(self._snapshots):
            snapshot.cancel()
        for paged in list(self._paged):
            paged.close()
        for source in list(self._sources):
            source.close()
        _lib.pager().uf_pager_free(self._handle)
        self._handle = ctypes.c_void_p()
        _open.discard(self)

    def __enter__(self) -> Pager:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) and not sys.is_finalizing():
            self.close()


def _descriptor(socket: Union[sockets.socket, int]) -> int:
    return socket if isinstance(socket, int) else socket.fileno()


class Snapshot:
    """Memory that is being saved. Made by Pager.snapshot. As a context manager it is finished at the
    end, or given up if there is an exception."""

    def __init__(self, pager: Pager, handle: ctypes.c_void_p, pages: _Range, pause_ns: int) -> None:
        self._pager, self._handle, self._pages = pager, handle, pages
        self.pause_ns = pause_ns  #: how long those who write to the memory were held up for the instant
        pager._snapshots.add(self)

    def _take(self) -> ctypes.c_void_p:
        if not self._handle:
            raise ValueError("the snapshot has ended")
        handle, self._handle = self._handle, ctypes.c_void_p()
        self._pager._snapshots.discard(self)
        return handle

    def finish(self) -> None:
        """Wait until it is complete, in its place and on the disk. Error: there is none."""
        handle = self._take()
        try:
            _lib.pager_check(_lib.pager().uf_snapshot_finish(handle), "finishing a snapshot")
        finally:
            self._pages.close()

    def cancel(self) -> None:
        """Give it up; nothing is left. Nothing happens if it has ended."""
        if not self._handle:
            return
        _lib.pager().uf_snapshot_cancel(self._take())
        self._pages.close()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        if kind is not None:
            self.cancel()
        elif self._handle:
            self.finish()


class Source:
    """Where contents come from. Made by Pager.open and Pager.source."""

    error: Optional[BaseException] = None
    _handle: ctypes.c_void_p

    def __init__(self, pager: Pager, handle: ctypes.c_void_p, callback: Optional[ctypes._CFuncPtr]) -> None:
        self._start(pager, handle, callback)

    def _start(self, pager: Pager, handle: ctypes.c_void_p, callback: Optional[ctypes._CFuncPtr]) -> None:
        self._pager, self._handle, self._callback = pager, handle, callback
        pager._sources.add(self)

    def __len__(self) -> int:
        if not self._handle:
            raise ValueError("the source is closed")
        return _lib.pager().uf_source_size(self._handle)

    def map(self, offset: int = 0, length: Optional[int] = None, *, writable: bool = False,
            demand: bool = False, backend: Optional[str] = None, limit: int = 0,
            spill: Union[str, os.PathLike, None] = None, record: Union[str, os.PathLike, None] = None,
            prefetch: Union[str, os.PathLike, None] = None, name: Optional[str] = None) -> Paged:
        """Memory with the source's contents from offset, a multiple of 4096, to its end or of length.

        writable: changes are the program's own; demand: nothing is prefetched; backend: "kernel" or
        "own" (None: the kernel's userfaultfd where it may be used); limit: bytes in memory at a time;
        spill: directory for changed pages that leave; record, prefetch: files of orders of first
        touches, to write and to go by.
        """
        length = max(len(self) - offset, 0) if length is None else length
        if length <= 0:
            raise ValueError("nothing to map: memory has a length of 1 byte at least")
        options = _paged_options(writable=writable, demand=demand, backend=backend, name=name, limit=limit,
                                 spill=_path(spill), record=_path(record), prefetch=_path(prefetch))
        address, handle = ctypes.c_void_p(), ctypes.c_void_p()
        _lib.pager_check(_lib.pager().uf_pager_map(
            self._pager._pointer(), self._handle, offset, -(-length // PAGE) * PAGE,
            ctypes.byref(options), ctypes.byref(address), ctypes.byref(handle)),
            f"mapping {length} bytes")
        assert address.value is not None
        return Paged(self._pager, handle, address.value, length, writable,
                     python=self._callback is not None, limited=limit != 0)

    def close(self) -> None:
        """After the last memory that is filled from it; else Error with EBUSY."""
        if not self._handle:
            return
        _lib.pager_check(_lib.pager().uf_source_close(self._handle), "closing a source")
        self._handle = ctypes.c_void_p()
        self._pager._sources.discard(self)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self.close()


class Paged(Memory):
    """Memory that a pager fills. Made by Source.map and Pager.receive."""

    def __init__(self, pager: Pager, handle: ctypes.c_void_p, address: int, length: int,
                 writable: bool, *, python: bool = False, limited: bool = False) -> None:
        super().__init__(address, length, writable)
        self._pager, self._handle, self._python, self._limited = pager, handle, python, limited
        pager._paged.add(self)

    def _served(self) -> ctypes.c_void_p:
        self._check()
        if not self._handle:
            raise ValueError("the memory was released: no pager serves it")
        return self._handle

    def _view_prepare(self, offset: int, length: int) -> None:
        # The pager's threads need no interpreter for any other source: they fill the page while
        # whoever reads the view waits with the lock held.
        if not self._python or not self._handle:
            return
        if self._limited:
            raise BufferError("memory with a limit, filled by a Python function, has no views: a page "
                              "that has left could never come back while the interpreter waits for it")
        self.touch(offset, length)

    def wait(self) -> None:
        """Until every page is there. Error with EIO: some had to be given up."""
        self._until(_lib.pager().uf_pager_wait, "waiting for all pages")

    def release(self) -> None:
        """As wait; then no pager serves it any more, and it can be saved (Pager.snapshot) and sent
        (Pager.send). It outlives pager and source."""
        self._until(_lib.pager().uf_pager_release, "releasing memory")
        self._handle = ctypes.c_void_p()
        self._pager._paged.discard(self)

    def _until(self, call: Callable[[ctypes.c_void_p], int], what: str) -> None:
        while True:
            result = call(self._served())
            if result != -errno.EINTR:
                _lib.pager_check(result, what)
                return

    def stats(self) -> Stats:
        out = _lib.PagedStats()
        _lib.pager().uf_paged_get_stats(self._served(), ctypes.byref(out))
        return Stats(*(getattr(out, name) for name in Stats._fields))

    def _release(self) -> None:
        if self._handle:
            self._pager._paged.discard(self)
            _lib.pager_check(_lib.pager().uf_pager_detach(self._handle), "detaching")
        else:
            length = -(-self._length // PAGE) * PAGE
            _lib.check(_lib.core().uf_munmap(self._address, length), "unmapping")

    def __del__(self) -> None:
        # Nobody else will: what is served, its pager ends.
        if not getattr(self, "_handle", True) and not self._closed and not sys.is_finalizing():
            self.close()
