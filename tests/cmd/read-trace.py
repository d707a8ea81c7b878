#!/usr/bin/python3
"""read-trace.py FILE: a trace (src/trace/trace.h) as text, one record a line.

Says what is wrong with its form, and ends with 1: kinds, flags, texts, the length of the file, and
modules that come after the first fault in them.
"""

import struct
import sys

KINDS = ('none process thread module text range unrange fault message fill wake protect remove '
         'evict fetch').split()
WHYS = 'missing wp minor rwp opened ordinary async back'.split()
HEADER = struct.Struct('<QIIQQQQII192sQ56x')
RECORD = struct.Struct('<QQQIIIHH')


def text_of(record):
    return record[:24].split(b'\0')[0].decode()


def main():
    with open(sys.argv[1], 'rb') as f:
        data = f.read()
    (magic, version, size, capacity, count, mono, _, origin, page, program,
     _) = HEADER.unpack_from(data)
    assert magic == 0x3130454341525455 and version == 1 and size == RECORD.size, 'the header'
    assert origin == 1 and page == 4096 and mono, 'the header'
    print('program', program.split(b'\0')[0].decode())
    n = min(count, capacity)
    assert len(data) == HEADER.size + n * size, f'{len(data)} bytes for {n} records'
    modules, paths, named = [], {}, set()
    for i in range(n):
        record = data[HEADER.size + i * size:HEADER.size + (i + 1) * size]
        time, addr, arg, process, thread, value, flags, kind = RECORD.unpack(record)
        name = KINDS[kind]
        if name in ('process', 'thread'):
            print(name, process, thread, text_of(record))
            named.add((process, thread))
        elif name == 'module':
            assert value == i, 'the number of a module'
            modules.append((process, addr, addr + arg, time, value))
        elif name == 'text':
            assert value == len(paths.get(thread, '')), 'a hole in a path'
            paths[thread] = paths.get(thread, '') + text_of(record)
        elif name != 'none':
            assert (process, 0) in named and (process, thread) in named, f'record {i}: nameless'
            assert time >= mono, 'the time'
            more = ''
            if name == 'fault':
                where = [m for m in modules if m[0] == process and m[1] <= arg < m[2]]
                more = WHYS[flags & 15] + ' ' + (paths[where[-1][4]] if where else '?')
            print(name, process, thread, hex(addr), hex(arg), value, hex(flags), more)
    print('records', n, 'of', count)


try:
    main()
except AssertionError as wrong:
    print('wrong:', wrong)
    sys.exit(1)
