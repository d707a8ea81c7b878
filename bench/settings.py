# SPDX-License-Identifier: MIT
"""What the bench changes on the machine for a while, and puts back."""

import os
import re
import subprocess

from figures import MANY_PAGES, PAGE

def read_number(path, otherwise):
    try:
        with open(path, encoding='ascii') as file:
            return int(file.read())
    except (OSError, ValueError):
        return otherwise


def available_memory():
    """Bytes the machine and our control group leave us."""
    with open('/proc/meminfo', encoding='ascii') as file:
        found = re.search(r'MemAvailable: +(\d+) kB', file.read())
    available = int(found.group(1)) * 1024
    limit = read_number('/sys/fs/cgroup/memory.max', None)
    if limit is not None:
        available = min(available, limit - read_number('/sys/fs/cgroup/memory.current', 0))
    return available


def affordable_pages():
    pages = MANY_PAGES
    while pages > 20000 and pages * PAGE * 5 // 4 + (512 << 20) > available_memory():
        pages //= 2
    return max(pages, 20000)


def write_setting(path, value):
    with open(path, 'w', encoding='ascii') as file:
        file.write(f'{value}\n')


def read_setting(path):
    """The text of a one-line file, or '' when there is none to read."""
    try:
        with open(path, encoding='ascii') as file:
            return file.read().strip()
    except OSError:
        return ''


class HugePages:
    """The host's huge pages of 2 MiB: as many as there are, or more when we are root."""

    PLACE = '/sys/kernel/mm/hugepages/hugepages-2048kB/'

    def __init__(self, may_set):
        self.may_set = may_set
        self.before = None

    def free(self):
        return (read_number(self.PLACE + 'free_hugepages', 0) -
                read_number(self.PLACE + 'resv_hugepages', 0))

    def set_aside(self, pages):
        """Sees to it that so many are free. Returns why they are not, or None."""
        if not os.path.isdir(self.PLACE):
            return 'this kernel has no huge pages of 2 MiB'
        free = self.free()
        if free >= pages:
            return None
        if not self.may_set:
            return f'{free} huge pages are free, {pages} are needed (--quick sets none aside)'
        now = read_number(self.PLACE + 'nr_hugepages', 0)
        try:
            write_setting(self.PLACE + 'nr_hugepages', now + pages - free)
        except OSError as error:
            return (f'{free} huge pages are free, {pages} are needed, and no more can be set '
                    f'aside: {error.strerror}')
        self.before = now
        if self.free() < pages:
            self.restore()
            return f'this machine has no memory left for {pages} huge pages'
        return None

    def restore(self):
        if self.before is not None:
            write_setting(self.PLACE + 'nr_hugepages', self.before)
            self.before = None


class Swap:
    """Where the kernel swaps to: what is there, or a zram device of our own when we are root."""

    CONTROL = '/sys/class/zram-control/'

    def __init__(self, may_set):
        self.may_set = may_set
        self.kind = None
        self.device = None  # number of our zram device

    @staticmethod
    def chosen(path):
        """Of a setting that lists its choices, the one in brackets."""
        found = re.search(r'\[(\S+)\]', read_setting(path))
        return found.group(1) if found else '?'

    def describe(self):
        """In words, the swap that is on; None when there is none."""
        areas = [line.split() for line in read_setting('/proc/swaps').splitlines()[1:]]
        if not areas:
            return None
        name = os.path.basename(max(areas, key=lambda area: int(area[4]))[0])
        if name.startswith('zram'):
            return f"zram ({self.chosen(f'/sys/block/{name}/comp_algorithm')})"
        if read_setting('/sys/module/zswap/parameters/enabled') == 'Y':
            return f"{name} behind zswap ({read_setting('/sys/module/zswap/parameters/compressor')})"
        return name

    def provide(self, size):
        """Sees to it that there is swap. Returns why there is none, or None."""
        self.kind = self.describe()
        if self.kind:
            return None
        if not self.may_set:
            return 'there is no swap (--quick sets none up)'
        if not os.access(self.CONTROL + 'hot_add', os.R_OK):
            return 'there is no swap, and no zram for this user'
        try:
            self.set_up(4 * size)
        except (OSError, subprocess.CalledProcessError) as error:
            self.restore()
            return f'there is no swap, and zram cannot be set up: {error}'
        self.kind = self.describe() + ', set up for this measurement'
        return None

    def set_up(self, size):
        self.device = int(read_setting(self.CONTROL + 'hot_add'))
        block = f'/sys/block/zram{self.device}/'
        if 'zstd' in read_setting(block + 'comp_algorithm').replace('[', ' ').split():
            write_setting(block + 'comp_algorithm', 'zstd')
        write_setting(block + 'disksize', size)
        for command in (['mkswap'], ['swapon', '--priority', '32767']):
            subprocess.run(command + [f'/dev/zram{self.device}'], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def restore(self):
        if self.device is None:
            return
        subprocess.run(['swapoff', f'/dev/zram{self.device}'], check=False,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        write_setting(self.CONTROL + 'hot_remove', self.device)
        self.device = None


class MemoryGroup:
    """A memory control group of our own, which the kernel's side of a limit runs in."""

    def __init__(self):
        self.path = None

    @staticmethod
    def hierarchy():
        """Where groups with a memory limit can be made, and the name of the limit there."""
        with open('/proc/self/mountinfo', encoding='utf-8', errors='replace') as file:
            for line in file:
                left, _, right = line.partition(' - ')
                place, (kind, _, options) = left.split()[4], right.split()[:3]
                if kind == 'cgroup' and 'memory' in options.split(','):
                    return place, 'memory.limit_in_bytes'
                controllers = read_setting(f'{place}/cgroup.subtree_control').split()
                if kind == 'cgroup2' and 'memory' in controllers:
                    return place, 'memory.max'
        return None, None

    def make(self, limit):
        """Makes it. Returns why it cannot be made, or None."""
        place, setting = self.hierarchy()
        if not place:
            return 'there is no memory control group to make one in'
        path = os.path.join(place, f'userfault-bench-{os.getpid()}')
        try:
            os.mkdir(path)
            self.path = path
            write_setting(os.path.join(path, setting), limit)
        except OSError as error:
            self.restore()
            return f'a memory control group cannot be made: {error.strerror}'
        return None

    def enter(self):
        """Moves the calling process there."""
        write_setting(os.path.join(self.path, 'cgroup.procs'), os.getpid())

    def restore(self):
        if self.path:
            os.rmdir(self.path)
            self.path = None
