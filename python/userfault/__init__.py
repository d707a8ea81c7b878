# SPDX-License-Identifier: MIT
"""Memory whose pages come from elsewhere, when they are touched.

    import os, userfault

    fd = os.open("/bin/bash", os.O_RDONLY)
    with userfault.Handler(1 << 20, lambda offset, length: os.pread(fd, length, offset)) as memory:
        print(memory[:4])                       # only the first page is read

    with userfault.Pager() as pager:
        memory = pager.open("nbd://server/snapshot").map(limit=256 << 20)
        print(memory[1 << 30])

Handler is memory that a Python function fills. Pager fills memory from files, packed images, NBD
servers, Ceph, or a Python function, with prefetch, retries and a limit on memory. Pager.snapshot saves
memory that is in use, as it is at one instant; Pager.send and Pager.receive move it to another process.

Threads that wait for a page do not hold the interpreter lock here, or the function that makes the
page could never run: memory is read and written by methods, which let go of it. See Memory.view for
what takes a buffer.
"""

from ._handler import Handler
from ._lib import Error
from ._memory import PAGE, Memory
from ._pager import TLS, Paged, Pager, Snapshot, Source, Stats

__version__ = "0.1.0"
__all__ = ["PAGE", "TLS", "Error", "Handler", "Memory", "Paged", "Pager", "Snapshot", "Source", "Stats"]
