#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Work that survives being killed: its memory is saved while it works, and comes back lazily.

checkpoint.py FILE [LIMIT]       counts the primes below LIMIT; kill it, and start it again
"""

import mmap
import os
import sys

import userfault

HEADER = 16  # limit and next candidate, 8 bytes each; a byte for each number follows


def number(memory, at):
    return int.from_bytes(memory[at : at + 8], "little")


def main(file, limit="100_000_000"):
    with userfault.Pager() as pager:
        if os.path.exists(file):
            memory = pager.open(file).map(writable=True)
            print(f"going on at {number(memory, 8)}", flush=True)
            memory.release()  # ours from now on, to be saved again
        else:
            limit = int(limit)
            memory = mmap.mmap(-1, -(-(HEADER + limit) // userfault.PAGE) * userfault.PAGE)
            memory[:HEADER] = limit.to_bytes(8, "little") + (2).to_bytes(8, "little")
        print(f"{count(pager, memory, file)} primes below {number(memory, 0)}")


def count(pager, memory, file):
    limit, snapshot = number(memory, 0), None
    struck = memory.view() if isinstance(memory, userfault.Memory) else memoryview(memory)
    for n in range(number(memory, 8), int(limit**0.5) + 1):
        if struck[HEADER + n]:
            continue
        struck[HEADER + n * n : HEADER + limit : n] = b"\1" * len(range(n * n, limit, n))
        memory[8:16] = (n + 1).to_bytes(8, "little")
        if snapshot:
            snapshot.finish()
        snapshot = pager.snapshot(memory, file)  # written while we go on with the next one
        print(f"saved at {n}, in {snapshot.pause_ns / 1000:.0f} µs", flush=True)
    if snapshot:
        snapshot.finish()
    return bytes(struck[HEADER + 2 : HEADER + limit]).count(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
