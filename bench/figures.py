# SPDX-License-Identifier: MIT
"""What the bench measures: the lines of its table, by groups."""

import re
import tempfile

PAGE = 4096
MANY_PAGES = 1_000_000


def show(value, unit):
    """A value as a person reads it: three significant digits or so, in a fitting unit."""
    if value is None:
        return '-'
    for step_up in ({'ns': 'us', 'us': 'ms', 'ms': 's'},) * 2:
        if unit in step_up and value >= 10000:
            value, unit = value / 1000, step_up[unit]
    if unit in ('mappings', 'pages', 'ops/s', 'reads/s', 'faults/s'):
        return f'{value:,.0f}' + {'ops/s': ' op/s', 'reads/s': '/s', 'faults/s': '/s'}.get(unit, '')
    digits = 0 if value >= 1000 else 1 if value >= 10 else 2
    return f'{value:.{digits}f} {unit}'


class Figure:
    """One line of the table, and what is asked of it."""

    def __init__(self, line, label, at_most=None, at_least=None, limit=None, unit='',
                 floor=(), kernel_from=None, userfault_only=False, against=None):
        self.line = line
        self.label = label
        self.at_most = at_most          # ratio
        self.at_least = at_least        # ratio
        self.limit = limit              # Userfault's own value, in unit
        self.unit = unit
        self.floor = floor              # names of floors that add up
        self.kernel_from = kernel_from  # (measurement, line) the kernel's value is taken from
        self.userfault_only = userfault_only
        self.against = against          # the line that the ioctl's value is on

    def target(self):
        if self.at_most is not None:
            return f'<= {self.at_most:.2f}'
        if self.at_least is not None:
            return f'>= {self.at_least:.2f}'
        if self.limit is not None:
            return f'<= {show(self.limit, self.unit)}'
        return ''

    def verdict(self, ratio, own):
        if self.limit is not None:
            met = None if own is None else own <= self.limit
        elif ratio is None or not self.target():
            met = None
        elif self.at_most is not None:
            met = ratio <= self.at_most
        else:
            met = ratio >= self.at_least
        return '' if met is None else 'ok' if met else 'MISSES'


class Measurement:
    """One command line that yields figures."""

    def __init__(self, name, group, command, figures, *, uffd=True, library=False,
                 one_cpu=False, parse=None, extra=(), rounds=None, timeout=120,
                 huge_pages=0, emulate=False, limit=0, pairs=0):
        self.name = name
        self.group = group
        self.command = command
        self.figures = figures
        self.uffd = uffd          # needs userfaultfd
        self.library = library    # links the library: there is no kernel run
        self.one_cpu = one_cpu
        self.parse = parse or parse_lines
        self.extra = extra        # what `userfault run` is told besides
        self.rounds = rounds      # at most so many
        self.timeout = timeout
        self.huge_pages = huge_pages  # that the host must have free
        self.emulate = emulate    # Userfault is to do without them; there is no kernel run
        self.limit = limit        # bytes that the program may have in memory
        self.pairs = pairs        # runs on each side, compared in pairs; 0: as many as asked for


class Failure(Exception):
    """A program that did not do what it is here for."""


class OutOfMemory(Exception):
    """The kernel found nothing to swap out and ended the program: under a limit that happens."""


class Refused(Exception):
    """The kernel grants this user too little for the program."""


def parse_lines(output, _errors):
    """Lines of the form: name value unit."""
    values = {}
    for line in output.splitlines():
        words = line.split()
        if len(words) == 3:
            values[words[0]] = (float(words[1]), words[2])
    return values


def parse_stress(output, errors):
    """The bogo-ops rate in real time: the fifth number of stress-ng's metrics line."""
    found = re.search(r'userfaultfd +\d+ +[\d.]+ +[\d.]+ +[\d.]+ +([\d.]+) +[\d.]+',
                      output + errors)
    return {'rate': (float(found.group(1)), 'ops/s')} if found else {}


def parse_many(output, errors):
    """Bookkeeping per page is known to Userfault alone, which says it among its statistics."""
    values = parse_lines(output, errors)
    found = re.search(r'bookkeeping \d+ KiB \(([\d.]+) bytes a page\)', errors)
    if found:
        values['many-sigbus-bookkeeping'] = (float(found.group(1)), 'B/page')
    return values


def parse_thrash(output, errors):
    """The kernel's major faults are counted by the program, Userfault's are among its statistics."""
    values = parse_lines(output, errors)
    found = re.search(r'(\d+) came back', errors)
    if found and 'thrash-time' in values:
        seconds = values['thrash-time'][0]
        values['thrash-faults'] = (int(found.group(1)) / seconds, 'faults/s')
    return values


class Sizes:
    """How much is done in one run. The quick sizes try the programs; their figures say little."""

    def __init__(self, quick, pages):
        self.fault = ['512', '20'] if quick else ['4096', '1500']   # pages, ms
        self.inline = ['1024', '3'] if quick else ['8192', '9']     # pages, passes
        self.bulk = 16 if quick else 256                            # MiB
        self.rounds = '2' if quick else '5'                         # inside one run
        self.seconds = '1' if quick else '5'                        # of stress-ng
        self.scale = '1' if quick else '5'                          # of plain and floors
        self.many = min(pages, 50000) if quick else pages
        self.few = 5000 if quick else 20000
        self.huge = ['4', '20'] if quick else ['24', '1000']        # pages, ms
        self.thrash = 16 if quick else 256                          # MiB
        self.thrash_time = '200' if quick else '3000'               # ms
        self.fork = 64 if quick else 1024                           # MiB
        self.shut = '500' if quick else '10000'                     # times
        self.pairs = 1 if quick else 31


def fault_measurements(sizes):
    """What a fault costs: placed by the scheduler, and on one and on two CPUs."""
    trap = ('floor-segv', 'floor-memcpy-warm', 'floor-syscall')
    protect = ('floor-segv', 'floor-syscall')
    ways = (('missing', 'read', 'blocking read'), ('missing', 'poll', 'poll + read'),
            ('missing', 'epoll', 'epoll_wait + read'), ('wp', 'read', 'blocking read'))
    result = []
    for kind, wait, how in ways:
        what = 'missing fault' if kind == 'missing' else 'write-protect fault'
        at_most = 0.20 if kind == 'missing' else 0.40
        floor = trap if kind == 'missing' else protect
        line = f'{kind}-{wait}'
        command = ['fault', kind, wait] + sizes.fault
        result.append(Measurement(line, kind, command, [
            Figure(line, f'{what}, {how}', at_most=at_most, floor=floor),
            Figure(f'{line}-p99', '  99th percentile'),
            Figure(f'{line}-first', '  first pass over the range'),
        ]))
        result.append(Measurement(f'{line}-two-cpus', kind, command + ['two'], [
            Figure(line, '  each thread on a CPU of its own', at_most=at_most, floor=floor)]))
        if wait == 'read':
            result.append(Measurement(f'{line}-one-cpu', kind, command, [
                Figure(line, '  both threads on one CPU', floor=floor)], one_cpu=True))
    return result


def file_fault_measurements(sizes):
    """The same on pages of a memory file."""
    trap = ('floor-segv', 'floor-shmem-one', 'floor-syscall')
    minor = ('floor-segv', 'floor-syscall')
    ways = (('missing', 'shmem', 'missing fault, shmem, blocking read', 0.20, trap),
            ('minor', 'shmem', 'minor fault, shmem, blocking read', 0.20, minor),
            ('missing', 'shmem-private', 'missing fault, private shmem, blocking read', None,
             ('floor-segv', 'floor-memcpy-warm', 'floor-syscall')))
    result = []
    for kind, memory, label, at_most, floor in ways:
        line = f'{kind}-{memory}-read'
        command = ['fault', f'{kind}:{memory}', 'read'] + sizes.fault
        result += [
            Measurement(line, 'shmem', command, [
                Figure(line, label, at_most=at_most, floor=floor),
                Figure(f'{line}-p99', '  99th percentile'),
                Figure(f'{line}-first', '  first pass over the range'),
            ]),
            Measurement(f'{line}-two-cpus', 'shmem', command + ['two'], [
                Figure(line, '  each thread on a CPU of its own', at_most=at_most, floor=floor)]),
            Measurement(f'{line}-one-cpu', 'shmem', command, [
                Figure(line, '  both threads on one CPU', floor=floor)], one_cpu=True),
        ]
    return result


def huge_measurements(sizes):
    """2 MiB at once: Userfault with the host's huge pages, and with ordinary memory instead."""
    result = []
    for memory, label in (('hugetlb', 'missing fault, hugetlb (2 MiB), blocking read'),
                          ('hugetlb-shared', 'missing fault, shared hugetlb, blocking read')):
        line = f'missing-{memory}-read'
        command = ['fault', f'missing:{memory}', 'read'] + sizes.huge
        result += [
            Measurement(line, 'hugetlb', command, [
                Figure(line, label, at_most=1.0),
                Figure(f'{line}-first', '  first pass over the range'),
            ], huge_pages=int(sizes.huge[0]) + 4),  # some to work with
            Measurement(f'{line}-emulated', 'hugetlb', command, [
                Figure(line, '  emulated', at_most=1.0, kernel_from=(line, line)),
                Figure(f'{line}-first', '  first pass over the range',
                       kernel_from=(line, f'{line}-first')),
            ], emulate=True),
        ]
    return result


def inline_measurements(sizes):
    floor = ('floor-segv', 'floor-memcpy-warm', 'floor-syscall')
    return [
        Measurement('sigbus', 'inline', ['sigbus'] + sizes.inline, [
            Figure('sigbus', 'SIGBUS mode, inline UFFDIO_COPY', floor=floor),
            Figure('sigbus-p99', '  99th percentile'),
            Figure('sigbus-first', '  first pass over the range'),
        ]),
        Measurement('callback', 'inline', ['callback'] + sizes.inline, [
            Figure('callback', "library's callback (kernel: SIGBUS mode)", at_most=1.0,
                   floor=floor, kernel_from=('sigbus', 'sigbus')),
            Figure('callback-p99', '  99th percentile', kernel_from=('sigbus', 'sigbus-p99')),
            Figure('callback-first', '  first pass over the range',
                   kernel_from=('sigbus', 'sigbus-first')),
        ], library=True),
    ]


def copy_measurement(sizes, operation, memory, label, floor):
    figures = []
    emptied = 'MADV_REMOVE' if memory == 'shmem' and operation == 'copy' else 'MADV_DONTNEED'
    for when, words in (('fresh', 'new range'), ('again', f'after {emptied}')):
        for touch in ('read', 'write'):
            line = f'{operation}-{when}-{touch}'
            figures += [
                Figure(line, f'{label} by 2 MiB + {touch}, {words}, per page', at_most=1.0,
                       floor=floor),
                Figure(f'{line}-fill', f'  of which UFFDIO_{operation.upper()}'),
                Figure(f'{line}-touch', '  of which the touch'),
            ]
    name = operation if memory == 'anon' else f'{operation}-{memory}'
    return Measurement(name, 'copy', ['copy', operation, memory, str(sizes.bulk), sizes.rounds],
                       figures)


def bulk_measurements(sizes):
    size = str(sizes.bulk)
    cold = ('floor-memcpy-cold',)
    return [
        copy_measurement(sizes, 'copy', 'anon', 'COPY', cold),
        copy_measurement(sizes, 'copy', 'shmem', 'COPY, shmem',
                         ('floor-shmem-many', 'floor-shmem-map')),
        copy_measurement(sizes, 'continue', 'shmem', 'CONTINUE, shmem', ('floor-shmem-map',)),
        Measurement('arm', 'arm', ['arm', 'anon', size, sizes.rounds], [
            Figure('arm-own', 'arm write-protect, own contents, per page', at_most=1.0),
            Figure('disarm-own', '  and lift it'),
            Figure('arm-filled', 'arm write-protect, filled pages, per page', at_most=1.0),
            Figure('disarm-filled', '  and lift it'),
        ]),
        Measurement('arm-shmem', 'arm', ['arm', 'shmem', size, sizes.rounds], [
            Figure('arm-pages', 'arm write-protect, shmem, every other page empty', at_most=1.0),
            Figure('disarm-pages', '  and lift it', at_most=1.0),
            Figure('arm-blocks', 'arm write-protect, shmem, every other 2 MiB empty',
                   at_most=1.0),
            Figure('disarm-blocks', '  and lift it', at_most=1.0),
        ]),
        Measurement('populated', 'populated', ['populated', size, sizes.rounds], [
            Figure('register-populated', f'REGISTER of {size} MiB with contents'),
            Figure('populated-read', '  then read, per page'),
            Figure('populated-write', '  then write, per page'),
        ]),
    ]


def stress_measurements(sizes):
    def stress(count, at_least, *more):
        return Measurement(
            f'stress-ng-{count}', 'stress-ng',
            ['stress-ng', '--temp-path', tempfile.gettempdir(), '--userfaultfd', str(count),
             '-t', sizes.seconds, '--metrics', *more],
            [Figure('rate', ' '.join(['stress-ng --userfaultfd', str(count), *more]),
                    at_least=at_least)], parse=parse_stress)

    return [stress(1, 5.0), stress(2, 0.7, '--verify')]


def many_measurements(sizes, map_limit):
    cold = ('floor-segv', 'floor-memcpy-cold', 'floor-syscall')

    def figures(engine, label):
        name = f'many-{engine}'
        return [
            Figure(f'{name}-few', f'{label} among {sizes.few:,} pages', floor=cold),
            Figure(f'{name}-many', f'{label} among {sizes.many:,} pages', floor=cold),
            Figure(f'{name}-growth', '  growth from few to many', limit=1.5, unit='x'),
            Figure(f'{name}-maps', '  host mappings at the end', limit=map_limit // 2,
                   unit='mappings'),
        ]

    memory = [
        Figure('many-sigbus-retouch', '  second touch, random order'),
        Figure('many-sigbus-bookkeeping', '  page table and bookkeeping', limit=16,
               unit='B/page', userfault_only=True),
        Figure('many-sigbus-host-tables', "  host's page tables"),
        Figure('many-sigbus-rss', '  resident at the end'),
    ]
    counts = [str(sizes.many), str(sizes.few)]
    # With a reader the kernel needs a minute for a million faults: once must do.
    return [
        Measurement('many-sigbus', 'many', ['many', 'sigbus'] + counts,
                    figures('sigbus', 'inline fault') + memory, parse=parse_many,
                    extra=['--stats']),
        Measurement('many-read', 'many', ['many', 'read'] + counts,
                    figures('read', 'fault with a reader'), rounds=1, timeout=600),
    ]


def limit_measurements(sizes):
    half = sizes.thrash // 2
    floor = ('floor-compress', 'floor-decompress')
    return [Measurement(
        'thrash', 'limit', ['thrash', str(sizes.thrash), sizes.thrash_time], [
            Figure('thrash-faults', 'random reads, half in memory: pages brought back',
                   floor=floor),
            Figure('thrash-reads', '  reads'),
        ], parse=parse_thrash, limit=half << 20,
        extra=['--stats', f'--memory-limit={half}M', '--swap=zstd'])]


def road_measurements(sizes):
    roads = (('mcopy', 'SIGBUS handler: uf_mcopy_atomic, not UFFDIO_COPY'),
             ('remap', 'one page: uf_remap_pages, not UFFDIO_MOVE'),
             ('remap-bulk', '2 MiB, per page: uf_remap_pages, not UFFDIO_MOVE'),
             ('write', '64 single pages, per page: one uf_write, not 64 UFFDIO_COPY'),
             ('write-fault', 'fault with a reader: uf_write, not UFFDIO_COPY'),
             ('page', 'callback: returns the page, not uf_fill_copy'))
    return [Measurement('roads', 'roads', ['roads'] + sizes.inline,
                        [Figure(line, label, against=f'{line}-ioctl') for line, label in roads],
                        library=True)]


def remote_measurements(sizes):
    """The handler is another process."""
    floor = ('floor-segv', 'floor-memcpy-warm', 'floor-syscall')
    ways = (('fork', 'read', 'missing fault, forked handler, blocking read'),
            ('rights', 'read', 'missing fault, descriptor sent, blocking read'),
            ('rights', 'poll', 'missing fault, descriptor sent, poll + read'))
    result = []
    for how, wait, label in ways:
        line = f'remote-{how}-{wait}'
        command = ['remote', how, wait] + sizes.fault
        result += [
            Measurement(line, 'remote', command, [
                Figure(line, label, at_most=0.40, floor=floor),
                Figure(f'{line}-p99', '  99th percentile'),
                Figure(f'{line}-first', '  first pass over the range'),
            ], timeout=30),
            Measurement(f'{line}-two-cpus', 'remote', command + ['two'], [
                Figure(line, '  each process on a CPU of its own', at_most=0.40, floor=floor)],
                        timeout=30),
        ]
    return result


def fork_measurements(sizes):
    size = str(sizes.fork)
    return [
        Measurement('fork', 'fork', ['fork', size, sizes.rounds], [
            Figure('fork-both', f'fork with {size} MiB of filled pages, until both run',
                   at_most=1.5),
            Figure('fork-parent-copy', '  then a copied page: the parent writes', at_most=2.0),
            Figure('fork-child-copy', '  then a copied page: the child writes', at_most=2.0),
        ]),
        Measurement('shut', 'shut', ['shut', sizes.shut], [
            Figure('shut', 'write-protect a page of another running process', limit=25000,
                   unit='ns'),
            Figure('shut-p99', '  99th percentile'),
            Figure('shut-lift', '  and lift it'),
        ]),
    ]


def quiet_measurements(sizes):
    """Single figures of a few percent: many short runs of either side in turns."""
    parts = (('calls', '50', 'a million reads and writes of one byte'),
             ('memory', '300', 'malloc and free, small and large'),
             ('threads', '25', 'starting threads, and two that take turns'))
    return [Measurement(f'quiet-{part}', 'plain',
                        ['quiet', part, '1' if sizes.scale == '1' else scale],
                        [Figure(f'quiet-{part}', label, at_most=1.03)],
                        uffd=False, pairs=sizes.pairs)
            for part, scale, label in parts]


def plain_measurements(sizes):
    starts = 'i=0; while [ $i -lt 50 ]; do /bin/true; i=$((i + 1)); done'
    return [
        Measurement('plain', 'plain', ['plain', sizes.scale], [
            Figure('plain-total', 'a program without userfaultfd', at_most=1.05),
            Figure('plain-malloc', '  malloc and free'),
            Figure('plain-mmap', '  mmap, mprotect, mremap, munmap'),
            Figure('plain-pipe', '  pipe and poll'),
            Figure('plain-file', '  file read and write'),
            Figure('plain-signal', '  signals and masks'),
            Figure('plain-thread', '  thread creation'),
        ], uffd=False),
        Measurement('start', 'plain', ['sh', '-c', starts],
                    [Figure('elapsed', 'a shell that starts 50 processes')], uffd=False),
    ]


GROUPS = ('missing', 'wp', 'shmem', 'hugetlb', 'inline', 'copy', 'arm', 'populated', 'stress-ng',
          'many', 'limit', 'roads', 'remote', 'fork', 'shut', 'plain')


def all_measurements(sizes, map_limit):
    return (fault_measurements(sizes) + file_fault_measurements(sizes) +
            huge_measurements(sizes) + inline_measurements(sizes) + bulk_measurements(sizes) +
            stress_measurements(sizes) + many_measurements(sizes, map_limit) +
            limit_measurements(sizes) + road_measurements(sizes) + remote_measurements(sizes) +
            fork_measurements(sizes) + plain_measurements(sizes) + quiet_measurements(sizes))


FLOOR_LABELS = {
    'floor-segv': 'empty SIGSEGV round trip',
    'floor-syscall': 'system call',
    'floor-clock': 'reading the clock (in every sample)',
    'floor-memcpy-warm': 'memcpy of 4 KiB, in cache',
    'floor-memcpy-cold': 'memcpy of 4 KiB, out of cache',
    'floor-first-touch': 'native first touch of an anonymous page',
    'floor-shmem-one': 'write of a new page to shmem',
    'floor-shmem-many': 'write of new pages to shmem by 2 MiB, per page',
    'floor-shmem-map': 'native touch of pages of shmem, per page',
    'floor-wakeup-one-cpu': 'thread wake-up, same CPU',
    'floor-wakeup-two-cpus': 'thread wake-up, other CPU',
    'floor-spin': 'hand-over to a spinning thread',
}
ZSTD_LABELS = {
    'floor-compress': 'zstd, level -1: compressing a page',
    'floor-decompress': 'zstd, level -1: decompressing it',
}
