#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Reads one member of a zip file, and shows which pages of the file that took.

lazy_file.py ZIP [MEMBER]      without MEMBER: a list of them
"""

import os
import sys
import zipfile

import userfault


def main(name, member=None):
    fd, size = os.open(name, os.O_RDONLY), os.path.getsize(name)
    fetched = []

    def page(offset, length):
        fetched.append(offset // length)
        return os.pread(fd, length, offset)  # or over the network, or from a tape

    with userfault.Handler(size, page) as memory:
        with memory.open() as file, zipfile.ZipFile(file) as archive:
            if member is None:
                print("\n".join(archive.namelist()))
            else:
                sys.stdout.buffer.write(archive.read(member))
    print(f"{len(fetched)} of {-(-size // userfault.PAGE)} pages: {fetched}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
