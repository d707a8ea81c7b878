# SPDX-License-Identifier: MIT
"""The pager: memory whose pages it fetches, in threads of its own."""

from __future__ import annotations

import atexit
import ctypes
import errno
import os
import sys
import weakref
from types import TracebackType
from typing import Callable, Dict, NamedTuple, Optional, Set, Type, Union

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
        for paged in list(pager._paged):
            paged._views = 0
        pager.close()


def _path(value: Union[str, os.PathLike, None]) -> Optional[bytes]:
    return None if value is None else os.fsencode(value)


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
        _lib.pager_check(_lib.pager().uf_pager_new(ctypes.byref(options), ctypes.byref(self._handle)),
                         "starting a pager")
        _open.add(self)

    def _pointer(self) -> ctypes.c_void_p:
        if not self._handle:
            raise ValueError("the pager is closed")
        return self._handle

    def _of_python(self, python: bool) -> None:
        # A fetch of the one kind may be waited for by a thread that the other kind needs.
        if any((source._callback is not None) != python for source in self._sources):
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

    def close(self) -> None:
        """Ends it, with its memory and sources. BufferError: there are views of memory."""
        if not self._handle:
            return
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
        if backend not in _BACKENDS:
            raise ValueError("backend is 'kernel', 'own' or None")
        length = max(len(self) - offset, 0) if length is None else length
        if length <= 0:
            raise ValueError("nothing to map: memory has a length of 1 byte at least")
        flags = (_WRITABLE if writable else 0) | (_DEMAND if demand else 0) | _BACKENDS[backend]
        options = _lib.PagedOptions(
            size=ctypes.sizeof(_lib.PagedOptions), flags=flags, limit=limit, spill=_path(spill),
            record=_path(record), prefetch=_path(prefetch), name=_path(name))
        address, handle = ctypes.c_void_p(), ctypes.c_void_p()
        _lib.pager_check(_lib.pager().uf_pager_map(
            self._pager._pointer(), self._handle, offset, -(-length // PAGE) * PAGE,
            ctypes.byref(options), ctypes.byref(address), ctypes.byref(handle)),
            f"mapping {length} bytes")
        assert address.value is not None
        return Paged(self, handle, address.value, length, writable, limit != 0)

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
    """Memory that a pager fills. Made by Source.map."""

    def __init__(self, source: Source, handle: ctypes.c_void_p, address: int, length: int,
                 writable: bool, limited: bool) -> None:
        super().__init__(address, length, writable)
        self._source, self._handle, self._limited = source, handle, limited
        source._pager._paged.add(self)

    def _view_prepare(self, offset: int, length: int) -> None:
        # The pager's threads need no interpreter for any other source: they fill the page while
        # whoever reads the view waits with the lock held.
        if self._source._callback is None:
            return
        if self._limited:
            raise BufferError("memory with a limit, filled by a Python function, has no views: a page "
                              "that has left could never come back while the interpreter waits for it")
        self.touch(offset, length)

    def wait(self) -> None:
        """Until every page is there. Error with EIO: some had to be given up."""
        while True:
            self._check()
            result = _lib.pager().uf_pager_wait(self._handle)
            if result != -errno.EINTR:
                _lib.pager_check(result, "waiting for all pages")
                return

    def stats(self) -> Stats:
        self._check()
        out = _lib.PagedStats()
        _lib.pager().uf_paged_get_stats(self._handle, ctypes.byref(out))
        return Stats(*(getattr(out, name) for name in Stats._fields))

    def _release(self) -> None:
        self._source._pager._paged.discard(self)
        _lib.pager_check(_lib.pager().uf_pager_detach(self._handle), "detaching")
