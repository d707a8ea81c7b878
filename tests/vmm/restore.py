"""Guests restored from each source, run, ballooned, and checked page by page."""
from lib import *

PLAIN = ('--kvm=no',)
# A virtual machine inside of another one takes its time for each page.
KVM = ('--kvm=yes', '--vcpus=2', '--regions=2', '--balloon=30')
BUSY = ('--kvm=no', '--vcpus=3', '--regions=3', '--balloon=40', '--writes=20', '--passes=2')


def check(bed, memory, *options, pages=2048, spec='1'):
    """Plain and in KVM, in the usual forms."""
    server = bed.serve(memory, *options)
    image = f'--image={spec}'
    report = server.run(image, *BUSY, pages=pages)
    if not int(report['removed']):
        raise Failure('nothing was removed')
    server.run(image, *PLAIN, '--order=sequential', '--reverse', '--regions=2', '--keep-socket',
               pages=pages)
    server.run(image, *PLAIN, '--touch=64', '--check=touched', '--offset=65536', pages=pages - 16)
    try:
        server.run(image, *KVM, pages=96)
    except Skipped as why:
        print(f'  without KVM: {why}')
    server.end()


def raw(bed):
    check(bed, bed.image(2048))


def demand_only(bed):
    check(bed, bed.image(512, '3:0:0'), '--no-prefetch', pages=512, spec='3:0:0')


def direct(bed):
    server = bed.serve(bed.image(1024), '--direct')
    server.run(*BUSY, pages=1024)
    server.end()


def packed(bed):
    check(bed, bed.pack(bed.image(2048)))


def nbd(bed):
    _, name = bed.nbdkit('file', bed.image(2048))
    check(bed, name)


def nbd_slow(bed):
    _, name = bed.nbdkit('--filter=delay', 'file', bed.image(1024), 'rdelay=2ms')
    server = bed.serve(name)
    server.run(*BUSY, pages=1024)
    server.end()


def rados(bed):
    conf = bed.rados()
    bed.command(USERFAULT, 'pack', bed.image(2048), f'rados:guests/image?conf={conf}')
    check(bed, f'rados:guests/image?conf={conf}')


def minor(bed):
    server = bed.serve(bed.image(1024))
    server.run(*BUSY, '--minor', pages=1024)
    server.run(*PLAIN, '--minor', '--order=sequential', pages=1024)
    try:
        server.run(*KVM, '--minor', pages=64)
    except Skipped as why:
        print(f'  without KVM: {why}')
    server.end()


HUGE = '/sys/kernel/mm/hugepages/hugepages-2048kB/'


class HugePages:
    """Pages of 2 MiB for as long as it is entered. Userfault brings its own."""

    def __init__(self, count):
        self.count = count
        self.before = None

    def number(self, name):
        with open(HUGE + name, encoding='ascii') as file:
            return int(file.read())

    def set(self, count):
        with open(HUGE + 'nr_hugepages', 'w', encoding='ascii') as file:
            file.write(str(count))

    def __enter__(self):
        if MODE == 'userfault':
            return
        if self.number('free_hugepages') - self.number('resv_hugepages') >= self.count:
            return
        try:
            self.before = self.number('nr_hugepages')
            self.set(self.before + self.count)
        except PermissionError as error:
            raise Skipped('there are too few pages of 2 MiB') from error
        if self.number('free_hugepages') - self.number('resv_hugepages') < self.count:
            self.__exit__()
            raise Skipped('the kernel finds too few pages of 2 MiB')

    def __exit__(self, *_):
        if self.before is not None:
            self.set(self.before)
            self.before = None


def huge(bed):
    image = bed.image(512 * 6)
    with HugePages(8):
        server = bed.serve(image)
        server.run(*PLAIN, '--huge', '--vcpus=2', '--regions=2', '--balloon=60', '--passes=2',
                   pages=512 * 6)
        try:
            server.run('--kvm=yes', '--huge', '--balloon=50', '--touch=32', '--check=touched',
                       pages=512 * 2)
        except Skipped as why:
            print(f'  without KVM: {why}')
        server.end()


def device(bed):
    server = bed.serve(bed.image(256))
    server.run(*BUSY, '--device', pages=256)
    server.end()


def recorded(bed):
    """What was recorded and is prefetched by is there before it is touched, mostly."""
    image = bed.image(4096, '1:10')
    order = bed.path('order')
    spec = ('--image=1:10', '--kvm=no', '--writes=0', '--seed=5', '--touch=1024', '--check=touched')
    server = bed.serve(image, '--record', order, '--no-prefetch')
    server.run(*spec, pages=4096)
    server.end()
    size = os.path.getsize(order)
    if size < 64 + 8:
        raise Failure(f'the order that was recorded has {size} bytes')
    server = bed.serve(image, '--prefetch', order)
    server.run(*spec, pages=4096)
    server.run('--image=1:10', *BUSY, pages=4096)
    server.end()


def thousand(bed):
    count = option('guests', 1000)
    server = bed.serve(bed.image(64))
    began = time.monotonic()
    report = server.run(*PLAIN, f'--guests={count}', '--balloon=20', '--quiet', pages=64)
    if int(report['good']) != count:
        raise Failure(f'{report["good"]} of {count} guests were all right')
    print(f'  {count} guests in {time.monotonic() - began:.1f} s')
    server.end()


def sixty_four(bed):
    server = bed.serve(bed.image(512))
    report = server.run(*PLAIN, '--guests=64', '--at-once=64', '--vcpus=2', '--balloon=20',
                        '--quiet', pages=512)
    if report['good'] != '64':
        raise Failure(f'{report["good"]} of 64 guests were all right')
    print(f'  64 guests at once in {report["seconds"]} s')
    server.end()


if __name__ == '__main__':
    raise SystemExit(main([raw, demand_only, direct, packed, nbd, nbd_slow, rados, minor, huge,
                           device, recorded, thousand, sixty_four]))
