"""What goes wrong in practice, and that it comes to what the options promise.

Where something goes wrong with the source while guests run, --on-failure decides: pages that cannot
be had are poisoned (and no others), or the guest is killed (and no others), or it waits until they
can be had. In no case does anybody see contents that are not right, or wait for ever.
"""
from lib import *

PLAIN = ('--kvm=no', '--writes=0')
DENSE = '7:0:0'  # no zeros, no repetitions: each page has to be fetched
FAST = ('--deadline', '300ms')


def dense(bed, pages):
    return bed.image(pages, DENSE)


def run_dense(server, *options, **others):
    return server.run(f'--image={DENSE}', *PLAIN, *options, **others)


def start_dense(server, *options, **others):
    return server.guest(f'--image={DENSE}', *PLAIN, *options, **others)


def ended_by_kill(guest):
    status = guest.process.wait(timeout=PATIENCE)
    if status != -signal.SIGKILL:
        raise Failure(f'the guest ended with {status} instead of SIGKILL: '
                      f'{guest.process.stderr.read()}')


def count(report, name):
    return int(report[name])


# ---- a file that is cut off under the server

def truncated_poison(bed):
    image = dense(bed, 512)
    server = bed.serve(image, '--on-failure', 'poison', *FAST)
    os.truncate(image, 256 * PAGE)
    report = run_dense(server, '--expect-poison=256-511', pages=512)
    if count(report, 'poisoned') != 256:
        raise Failure(f'{report["poisoned"]} pages were poisoned')
    # Given back, a page that could not be had is a page like any other.
    run_dense(server, '--expect-poison=256-511', '--balloon=80', '--passes=3', '--writes=20',
              pages=512)
    run_dense(server, pages=256)
    server.end()


def truncated_kill(bed):
    image = dense(bed, 512)
    server = bed.serve(image, '--on-failure', 'kill', *FAST)
    other = start_dense(server, '--seconds=2', pages=256)
    os.truncate(image, 256 * PAGE)
    ended_by_kill(start_dense(server, '--order=sequential', pages=512))
    other.result()
    run_dense(server, pages=256)
    server.end()


def truncated_wait(bed):
    image = dense(bed, 512)
    with open(image, 'rb') as file:
        contents = file.read()
    server = bed.serve(image, '--on-failure', 'wait', *FAST)
    os.truncate(image, 256 * PAGE)
    guest = start_dense(server, '--order=sequential', pages=512)
    server.wait_log('cannot|failed|wait')
    with open(image, 'r+b') as file:
        file.seek(256 * PAGE)
        file.write(contents[256 * PAGE:])
    guest.result()
    server.end()


# ---- images that are not whole

def flip(path, at):
    with open(path, 'r+b') as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x40]))


def refused(bed, memory, what):
    done = subprocess.run(bed.joined(USERFAULT, 'serve', '--socket', bed.path('socket'), '--memory',
                                     memory), stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=PATIENCE, check=False)
    if done.returncode != 125 or memory not in done.stderr:
        raise Failure(f'{what}: the server ended with {done.returncode}: {done.stderr.strip()}')


def packed_damaged(bed):
    """At any byte: it is refused, or pages are poisoned, or nobody needs the byte."""
    image = bed.pack(dense(bed, 512))
    size = os.path.getsize(image)
    rng = random.Random(option('seed', 1))
    poisoned = 0
    for _ in range(option('flips', 6)):
        at = rng.randrange(4096, size - 4096)
        flip(image, at)
        server = bed.serve(image, '--on-failure', 'poison', *FAST)
        report = run_dense(server, '--allow-poison', pages=512)
        poisoned += count(report, 'poisoned')
        if count(report, 'poisoned') == 512 * 2:
            raise Failure(f'one byte at {at} cost all pages')
        server.end()
        flip(image, at)
    if not poisoned:
        raise Failure('no damage was noticed')


def packed_damaged_kill(bed):
    image = bed.pack(dense(bed, 512))
    flip(image, os.path.getsize(image) // 2)
    server = bed.serve(image, '--on-failure', 'kill', *FAST)
    ended_by_kill(start_dense(server, pages=512))
    server.end()


def packed_cut_off(bed):
    image = bed.pack(dense(bed, 512))
    size = os.path.getsize(image)
    for left in (size - 1, size - 4096, size // 2, 100):
        os.truncate(image, left)
        if left >= 100:
            refused(bed, image, f'an image of {size} bytes cut off after {left}')


# ---- a server of the source that fails, stalls, dies

def nbd_errors_poison(bed):
    """Each page is tried for as long as the deadline says, hence few."""
    flag = bed.path('broken')
    _, name = bed.nbdkit('--filter=error', 'file', dense(bed, 512), 'error-pread-rate=100%',
                         f'error-file={flag}')
    server = bed.serve(name, '--on-failure', 'poison', *FAST)
    with open(flag, 'w', encoding='ascii'):
        pass
    report = run_dense(server, '--expect-poison=0-15', '--vcpus=4', '--check=none', pages=16)
    if count(report, 'poisoned') != 16:
        raise Failure(f'{report["poisoned"]} of 16 pages were poisoned')
    os.unlink(flag)
    run_dense(server, pages=512)
    server.end()


def nbd_errors_wait(bed):
    flag = bed.path('broken')
    _, name = bed.nbdkit('--filter=error', 'file', dense(bed, 512), 'error-pread-rate=100%',
                         f'error-file={flag}')
    server = bed.serve(name, '--on-failure', 'wait', *FAST)
    with open(flag, 'w', encoding='ascii'):
        pass
    guest = start_dense(server, pages=512)
    server.wait_log('cannot|failed|wait')
    os.unlink(flag)
    guest.result()
    server.end()


def nbd_errors_kill(bed):
    _, name = bed.nbdkit('--filter=error', 'file', dense(bed, 512), 'error-pread-rate=100%')
    server = bed.serve(name, '--on-failure', 'kill', *FAST)
    ended_by_kill(start_dense(server, pages=512))
    server.end()


def nbd_errors_now_and_then(bed):
    """What a retry cures nobody notices."""
    _, name = bed.nbdkit('--filter=error', 'file', dense(bed, 1024), 'error-pread-rate=30%')
    server = bed.serve(name, '--on-failure', 'poison')
    run_dense(server, '--vcpus=2', '--balloon=20', '--writes=10', pages=1024)
    server.end()


def nbd_restarted(bed):
    image = dense(bed, 1024)
    process, name = bed.nbdkit('--filter=delay', 'file', image, 'rdelay=2ms')
    path = name.split('socket=')[1]
    server = bed.serve(name, '--on-failure', 'wait', *FAST)
    guest = start_dense(server, '--order=sequential', '--balloon=20', '--passes=2', pages=1024)
    for _ in range(3):
        process.kill()
        process.wait()
        process, _ = bed.nbdkit('--filter=delay', 'file', image, 'rdelay=2ms', path=path)
    guest.result()
    run_dense(server, pages=1024)
    server.end()


def nbd_gone(bed):
    process, name = bed.nbdkit('file', dense(bed, 64))
    server = bed.serve(name, '--on-failure', 'poison', *FAST)
    process.kill()
    process.wait()
    report = run_dense(server, '--expect-poison=0-15', '--vcpus=4', '--check=none', pages=16)
    if count(report, 'poisoned') != 16:
        raise Failure(f'{report["poisoned"]} of 16 pages were poisoned')
    server.end()


# One thread a connection: several of nbdkit may trip over one that was closed, and abort it.

def nbd_stalls_poison(bed):
    process, name = bed.nbdkit('--threads=1', 'file', dense(bed, 64))
    server = bed.serve(name, '--on-failure', 'poison', *FAST)
    process.send_signal(signal.SIGSTOP)
    report = run_dense(server, '--expect-poison=0-15', '--vcpus=4', '--check=none', pages=16)
    process.send_signal(signal.SIGCONT)
    longest = float(report['longest_us']) / 1e6
    if longest > 5:
        raise Failure(f'with a deadline of 0.3 s somebody waited for {longest:.1f} s')
    run_dense(server, pages=64)
    server.end()


def nbd_stalls_kill(bed):
    process, name = bed.nbdkit('--threads=1', 'file', dense(bed, 64))
    server = bed.serve(name, '--on-failure', 'kill', *FAST)
    process.send_signal(signal.SIGSTOP)
    ended_by_kill(start_dense(server, pages=64))
    process.send_signal(signal.SIGCONT)
    run_dense(server, pages=64)
    server.end()


def nbd_stalls_wait(bed):
    process, name = bed.nbdkit('--threads=1', 'file', dense(bed, 64))
    server = bed.serve(name, '--on-failure', 'wait', *FAST)
    process.send_signal(signal.SIGSTOP)
    guest = start_dense(server, '--vcpus=4', pages=64)
    server.wait_log('goes on trying')
    process.send_signal(signal.SIGCONT)
    guest.result()
    server.end()


# ---- guests

def killed_guests(bed):
    """Some die in the middle; the others and the server's descriptors are as before."""
    server = bed.serve(bed.image(1024))
    server.run('--kvm=no', pages=64)
    pid = server.server()
    idle = wait_until('that the first guest is let go',
                      lambda: 'has ended' in server.log() and fds(pid))
    steady = server.guest('--kvm=no', '--seconds=2', '--balloon=20', pages=512)
    for _ in range(3):
        guests = [server.guest('--kvm=no', '--seconds=30', '--balloon=20', '--vcpus=2', pages=1024)
                  for _ in range(4)]
        wait_until('that a guest is served', lambda: fds(pid) > idle)
        for guest in guests:
            guest.process.kill()
            guest.process.wait()
    steady.result()
    wait_until(f'that {idle} descriptors are left', lambda: fds(pid) <= idle)
    server.run('--kvm=no', pages=1024)
    server.end()


def fds(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


def stopped_guests(bed):
    """Guests that are stopped, with events that nobody takes: the others go on."""
    server = bed.serve(bed.image(1024))
    stopped = [server.guest('--kvm=no', '--seconds=60', '--flood', '--vcpus=2', pages=1024)
               for _ in range(3)]
    for guest in stopped:
        guest.process.send_signal(signal.SIGSTOP)
    server.run('--kvm=no', '--balloon=30', pages=1024)
    for guest in stopped:
        guest.process.send_signal(signal.SIGCONT)
    server.run('--kvm=no', '--balloon=30', pages=1024)
    for guest in stopped:
        guest.process.kill()
    server.end()


def floods(bed):
    """REMOVE events as fast as they can be made: nobody is lost, others are not held up."""
    server = bed.serve(bed.image(1024))
    flood = [server.guest('--kvm=no', '--flood', '--vcpus=2', '--seconds=2', pages=1024)
             for _ in range(2)]
    began = time.monotonic()
    server.run('--kvm=no', '--balloon=30', '--passes=2', pages=1024)
    took = time.monotonic() - began
    for guest in flood:
        guest.result()
    if took > 20:
        raise Failure(f'another guest took {took:.1f} s meanwhile')
    server.end()


def forks(bed):
    server = bed.serve(bed.image(1024))
    report = server.run('--kvm=no', '--forks', '--balloon=20', '--seconds=1.5', '--vcpus=2',
                        pages=512)
    if not count(report, 'forks'):
        raise Failure('it never forked')
    server.end()


def moves(bed):
    server = bed.serve(bed.image(1024 + 64))
    report = server.run('--kvm=no', '--moves', '--balloon=20', '--seconds=1.5', '--vcpus=2',
                        pages=1024)
    if count(report, 'moves') < 10:
        raise Failure(f'memory was moved {report["moves"]} times')
    server.end()


def all_storms(bed):
    server = bed.serve(bed.image(256 + 64))
    server.run('--kvm=no', '--moves', '--forks', '--flood', '--seconds=1', '--vcpus=2',
               pages=256)
    server.end()


if __name__ == '__main__':
    raise SystemExit(main([truncated_poison, truncated_kill, truncated_wait, packed_damaged,
                           packed_damaged_kill, packed_cut_off, nbd_errors_poison,
                           nbd_errors_wait, nbd_errors_kill, nbd_errors_now_and_then,
                           nbd_restarted, nbd_gone, nbd_stalls_poison, nbd_stalls_kill,
                           nbd_stalls_wait, killed_guests, stopped_guests, floods, forks, moves,
                           all_storms]))
