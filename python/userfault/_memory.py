# SPDX-License-Identifier: MIT
"""What all memory here has in common: how Python code reads and writes it."""

from __future__ import annotations

import ctypes
import io
import weakref
from types import TracebackType
from typing import Optional, Type, TypeVar, Union

from . import _lib

PAGE = 4096
Self = TypeVar("Self", bound="Memory")


class Memory:
    """A range of memory whose pages come when they are touched.

    memory[i] and memory[a:b] are an int and bytes, and can be assigned to if the memory is writable;
    read, readinto and write do the same with offsets, open gives a file object. While they wait for
    a page, other threads of the interpreter go on.
    """

    def __init__(self, address: int, length: int, writable: bool) -> None:
        self._address = address
        self._length = length
        self._writable = writable
        self._views = 0
        self._closed = False

    # What the kinds of memory differ in.

    def _prepare(self, offset: int, length: int) -> None:
        """Before Python code reads or writes there."""

    def _view_prepare(self, offset: int, length: int) -> None:
        """Before a view of it is given out, through which it is touched with the lock held."""

    def _release(self) -> None:
        """Ends it and unmaps the memory."""

    # Access

    def __len__(self) -> int:
        return self._length

    @property
    def address(self) -> int:
        """Where it is, for functions of C that run without the interpreter lock (those of
        ctypes.CDLL do); what touches an absent page with the lock held would wait for ever."""
        self._check()
        return self._address

    @property
    def writable(self) -> bool:
        return self._writable

    @property
    def closed(self) -> bool:
        return self._closed

    def _check(self, offset: int = 0, length: int = 0) -> None:
        if self._closed:
            raise ValueError("the memory is closed")
        if offset < 0 or length < 0 or offset + length > self._length:
            raise IndexError(f"{length} bytes at {offset} are not within the memory's {self._length}")

    def read(self, offset: int, length: int) -> bytes:
        """The bytes [offset, offset + length)."""
        self._check(offset, length)
        out = bytearray(length)
        self.readinto(out, offset)
        return bytes(out)

    def readinto(self, buffer: Union[bytearray, memoryview], offset: int = 0) -> int:
        """Fill a buffer with what is at offset; how many bytes there were."""
        with memoryview(buffer).cast("B") as target:
            length = min(len(target), max(self._length - offset, 0))
            self._check(offset, length)
            if length:
                self._prepare(offset, length)
                into = (ctypes.c_char * length).from_buffer(target)
                _lib.libc().memcpy(ctypes.addressof(into), self._address + offset, length)
                del into
        return length

    def write(self, offset: int, data: Union[bytes, bytearray, memoryview]) -> int:
        """Put data at offset."""
        data = bytes(data)
        if not self._writable:
            raise TypeError("the memory is not writable")
        self._check(offset, len(data))
        if data:
            self._prepare(offset, len(data))
            _lib.libc().memcpy(self._address + offset, data, len(data))
        return len(data)

    def touch(self, offset: int = 0, length: Optional[int] = None) -> None:
        """Wait until the pages of [offset, offset + length) are there."""
        length = self._length - offset if length is None else length
        self._check(offset, length)
        if length:
            self._prepare(offset, length)
            _lib.libc().memcmp(self._address + offset, self._address + offset, length)

    def view(self, offset: int = 0, length: Optional[int] = None) -> memoryview:
        """A buffer on [offset, offset + length), for all that takes one; nothing is copied.

        Code that uses it holds the interpreter lock. Where a Python function makes the pages, all
        of them are made first; memory with a limit, whose pages leave again, gives no view then.
        The memory cannot be closed while there is a view.
        """
        length = self._length - offset if length is None else length
        self._check(offset, length)
        if length:
            self._view_prepare(offset, length)
        array = (ctypes.c_char * length).from_address(self._address + offset)
        self._views += 1
        weakref.finalize(array, self._view_gone).atexit = False  # keeps the memory, too
        view = memoryview(array).cast("B")
        return view if self._writable else view.toreadonly()

    def _view_gone(self) -> None:
        self._views -= 1

    def open(self) -> io.BufferedReader:
        """A file object that reads it, for what takes one: zipfile, tarfile, csv..."""
        return io.BufferedReader(_File(self))

    def __getitem__(self, key: Union[int, slice]) -> Union[int, bytes]:
        if isinstance(key, slice):
            start, stop, step = key.indices(self._length)
            if step == 1:
                return self.read(start, max(stop - start, 0))
            indices = range(start, stop, step)
            if not indices:
                return b""
            low, high = min(indices[0], indices[-1]), max(indices[0], indices[-1])
            return self.read(low, high + 1 - low)[:: abs(step)][:: 1 if step > 0 else -1]
        return self.read(self._index(key), 1)[0]

    def __setitem__(self, key: Union[int, slice], value: Union[int, bytes, bytearray, memoryview]) -> None:
        if isinstance(key, slice):
            start, stop, step = key.indices(self._length)
            if step != 1 or len(value) != max(stop - start, 0):  # type: ignore[arg-type]
                raise ValueError("a slice is assigned as many bytes as it has, in order")
            self.write(start, value)  # type: ignore[arg-type]
        else:
            self.write(self._index(key), bytes((value,)))  # type: ignore[list-item]

    def _index(self, key: int) -> int:
        index = key + self._length if key < 0 else key
        if not 0 <= index < self._length:
            raise IndexError("memory index out of range")
        return index

    # The end

    def close(self) -> None:
        """Unmap it. BufferError: there are views of it."""
        if self._closed:
            return
        if self._views:
            raise BufferError("there are views of the memory; release them first")
        self._closed = True
        self._release()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self.close()


class _File(io.RawIOBase):
    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self._memory = memory
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._memory)}[whence]
        if at < 0:
            raise ValueError("there is nothing before the beginning")
        self._at = at
        return at

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def, override]
        if self._at >= len(self._memory):
            return 0
        count = self._memory.readinto(buffer, self._at)
        self._at += count
        return count
