# SPDX-License-Identifier: MIT
"""The C libraries. Calls through them let go of the interpreter lock."""

from __future__ import annotations

import ctypes
import functools
import os
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_ssize_t, c_uint, c_uint32, c_uint64, c_void_p

__all__ = ["Error", "core", "pager", "libc", "check", "pager_check"]


class Error(OSError):
    """What a call of the library refused: errno, and the cause in a sentence."""


class Range(ctypes.Structure):
    _fields_ = [("start", c_uint64), ("len", c_uint64)]


class Api(ctypes.Structure):
    _fields_ = [("api", c_uint64), ("features", c_uint64), ("ioctls", c_uint64)]


class Register(ctypes.Structure):
    _fields_ = [("range", Range), ("mode", c_uint64), ("ioctls", c_uint64)]


class ZeroPage(ctypes.Structure):
    _fields_ = [("range", Range), ("mode", c_uint64), ("zeropage", ctypes.c_int64)]


class Poison(ctypes.Structure):
    _fields_ = [("range", Range), ("mode", c_uint64), ("updated", ctypes.c_int64)]


UF_IO_API, UF_IO_REGISTER, UF_IO_WAKE = 0xC018AA3F, 0xC020AA00, 0x8010AA02
UF_IO_ZEROPAGE, UF_IO_POISON = 0xC020AA04, 0xC020AA08
UF_API = 0xAA
UF_REGISTER_MODE_MISSING = 1
UF_EVENT_PAGEFAULT = 0x12
MSG_SIZE = 32


class PagerOptions(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t), ("name", c_char_p), ("in_flight", c_uint64), ("cache", c_uint64),
        ("bandwidth", c_uint64), ("deadline_ms", c_uint), ("on_failure", c_int),
        ("trace", c_char_p), ("log", c_void_p), ("log_arg", c_void_p),
    ]


class PagedOptions(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t), ("flags", c_uint), ("limit", c_uint64), ("spill", c_char_p),
        ("record", c_char_p), ("prefetch", c_char_p), ("name", c_char_p),
    ]


class PagedStats(ctypes.Structure):
    _fields_ = [(name, c_uint64) for name in (
        "faults", "filled", "zeros", "ahead", "evicted", "spilled", "failed", "resident",
        "p50_ns", "p99_ns", "max_ns")]


class SnapshotOptions(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("kind", c_char_p), ("bandwidth", c_uint64)]


class Tls(ctypes.Structure):
    _fields_ = [("certificate", c_char_p), ("key", c_char_p), ("ca", c_char_p), ("peer", c_char_p)]


READ_FN = ctypes.CFUNCTYPE(c_int, c_void_p, c_uint64, c_void_p, c_size_t)


def _load(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise ImportError(f"{name} cannot be loaded; is Userfault installed, and its library "
                          f"directory known to ldconfig? ({error})") from None


def _declare(library: ctypes.CDLL, calls: dict) -> ctypes.CDLL:
    for name, (result, *arguments) in calls.items():
        call = getattr(library, name)
        call.restype, call.argtypes = result, arguments
    return library


@functools.lru_cache(None)
def core() -> ctypes.CDLL:
    return _declare(_load("libuserfault.so.0"), {
        "uf_why": (c_char_p,),
        "uf_open": (c_int, c_int),
        "uf_ioctl": (c_int, c_int, ctypes.c_ulong, c_void_p),
        "uf_read": (c_ssize_t, c_int, c_void_p, c_size_t),
        "uf_close": (c_int, c_int),
        "uf_mmap": (c_void_p, c_void_p, c_size_t, c_int, c_int, c_int, ctypes.c_long, POINTER(c_int)),
        "uf_munmap": (c_int, c_void_p, c_size_t),
        "uf_madvise": (c_int, c_void_p, c_size_t, c_int),
        "uf_mcopy_atomic": (c_ssize_t, c_void_p, c_void_p, c_size_t),
    })


@functools.lru_cache(None)
def pager() -> ctypes.CDLL:
    return _declare(_load("libuserfault-pager.so.0"), {
        "uf_pager_why": (c_char_p,),
        "uf_pager_new": (c_int, POINTER(PagerOptions), POINTER(c_void_p)),
        "uf_pager_free": (None, c_void_p),
        "uf_source_open": (c_int, c_void_p, c_char_p, POINTER(c_void_p)),
        "uf_source_new": (c_int, c_void_p, c_uint64, c_uint32, c_uint, READ_FN, c_void_p,
                          POINTER(c_void_p)),
        "uf_source_size": (c_uint64, c_void_p),
        "uf_source_close": (c_int, c_void_p),
        "uf_pager_map": (c_int, c_void_p, c_void_p, c_uint64, c_size_t, POINTER(PagedOptions),
                         POINTER(c_void_p), POINTER(c_void_p)),
        "uf_pager_detach": (c_int, c_void_p),
        "uf_pager_wait": (c_int, c_void_p),
        "uf_pager_release": (c_int, c_void_p),
        "uf_paged_get_stats": (None, c_void_p, POINTER(PagedStats)),
        "uf_snapshot_begin": (c_int, c_void_p, c_void_p, c_size_t, c_char_p, POINTER(SnapshotOptions),
                              POINTER(c_void_p), POINTER(c_uint64)),
        "uf_snapshot_finish": (c_int, c_void_p),
        "uf_snapshot_cancel": (None, c_void_p),
        "uf_pager_send": (c_int, c_void_p, c_void_p, c_size_t, c_int, POINTER(Tls)),
        "uf_pager_receive": (c_int, c_void_p, c_int, POINTER(Tls), POINTER(PagedOptions),
                             POINTER(c_void_p), POINTER(c_size_t), POINTER(c_void_p)),
    })


@functools.lru_cache(None)
def libc() -> ctypes.CDLL:
    return _declare(ctypes.CDLL(None), {
        "memcpy": (c_void_p, c_void_p, c_void_p, c_size_t),
        "memcmp": (c_int, c_void_p, c_void_p, c_size_t),
    })


def _raise(number: int, why: bytes | None, what: str) -> None:
    text = why.decode("utf-8", "replace") if why else os.strerror(number)
    raise Error(number, f"{what}: {text}")


def check(result: int, what: str) -> int:
    """A result of the core, or the Error that it stands for."""
    if result < 0:
        _raise(-result, core().uf_why(), what)
    return result


def pager_check(result: int, what: str) -> int:
    if result < 0:
        _raise(-result, pager().uf_pager_why(), what)
    return result
