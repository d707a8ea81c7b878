#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Searches memory that is elsewhere, in as little memory as one likes.

remote_memory.py SOURCE TEXT     SOURCE: a file, nbd://HOST/EXPORT, rados:POOL/IMAGE
"""

import re
import sys

import userfault


def main(spec, text):
    with userfault.Pager(name="search") as pager, pager.open(spec).map(limit=64 << 20) as memory:
        with memory.view() as view:  # fetched as the search gets there, forgotten behind it
            for match in re.finditer(re.escape(text.encode()), view):
                print(f"{match.start():#x}")
            del match
        stats = memory.stats()
        print(f"{stats.faults} faults, {stats.ahead} pages came ahead of them, "
              f"p99 {stats.p99_ns / 1000:.0f} µs", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
