"""A guest of userfault serve: sends its region and userfaultfd, and reads all of its memory.

guest.py SOCKET FILE: the memory is FILE's contents. Exit status 0, or 77 without userfaultfd.
"""

import ctypes
import fcntl
import json
import mmap
import os
import socket
import struct
import sys

SYS_USERFAULTFD = 323
UFFDIO_API, UFFDIO_REGISTER = 0xC018AA3F, 0xC020AA00
FEATURE_EVENT_REMOVE = 1 << 3


def main():
    path, name = sys.argv[1:]
    with open(name, "rb") as file:
        expected = file.read()
    libc = ctypes.CDLL(None, use_errno=True)
    uffd = libc.syscall(SYS_USERFAULTFD, os.O_CLOEXEC | os.O_NONBLOCK)
    if uffd < 0:
        print("no userfaultfd here:", os.strerror(ctypes.get_errno()))
        return 77
    fcntl.ioctl(uffd, UFFDIO_API, struct.pack("QQQ", 0xAA, FEATURE_EVENT_REMOVE, 0))
    memory = mmap.mmap(-1, len(expected), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(uffd, UFFDIO_REGISTER, struct.pack("QQQQ", address, len(expected), 1, 0))
    region = {"base_host_virt_addr": address, "size": len(expected), "offset": 0,
              "page_size": 4096, "page_size_kib": 4096}
    server = socket.socket(socket.AF_UNIX)
    server.connect(path)
    socket.send_fds(server, [json.dumps([region]).encode()], [uffd])
    if memory[:] != expected:
        print("the memory is not what the file contains")
        return 1
    print(f"{len(expected) // 4096} pages from the server")
    return 0


sys.exit(main())
