"""kill -9 of the server and of its keeper, in turn at random moments, while guests run and balloon.

--kills=N   how many (12)      --seed=N   of what is random (1)
--balloon=N percent of its memory that a guest gives back
"""
from lib import *

KILLS = option('kills', 12)


BALLOON = option('balloon', 40)


def guests_of(server, seed):
    """Three at a time, of different kinds."""
    return server.guest('--kvm=no', '--vcpus=2', '--regions=2', f'--balloon={BALLOON}',
                        '--writes=20', '--seconds=1', f'--seed={seed}', pages=1024)


# What the log says when the place of one that was killed is taken. Before that, the death of the
# other would be that of both at once, of which nothing is promised.
REPLACED = {'uf-serve': 'has taken over', 'uf-serve-keeper': 'new keeper'}


def run_kills(bed, server, victims):
    """victims: names of processes, killed in turn. Guests come and go meanwhile."""
    rng = random.Random(option('seed', 1))
    running, done, longest = [], 0, 0.0
    for number in range(KILLS):
        while len(running) < 3:
            running.append(guests_of(server, rng.randrange(1 << 30)))
        name = victims[number % len(victims)]
        pid = server.pid(name)
        # Time passes: as much as a child needs for something that is not always the same.
        end = time.monotonic() + rng.random() * 0.12
        while time.monotonic() < end:
            os.sched_yield()
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        server.wait_more(REPLACED[name])
        for guest in [g for g in running if g.process.poll() is not None]:
            running.remove(guest)
            longest = max(longest, float(guest.result()['longest_us']))
            done += 1
    for guest in running:
        longest = max(longest, float(guest.result()['longest_us']))
        done += 1
    print(f'  {KILLS} kills of {" and ".join(victims)}; {done} guests, all pages right; longest '
          f'pause {longest / 1000:.1f} ms')
    server.run('--kvm=no', '--balloon=20', pages=1024)


def server_killed(bed):
    server = bed.serve(bed.image(1024))
    run_kills(bed, server, ['uf-serve'])
    server.end()


def keeper_killed(bed):
    server = bed.serve(bed.image(1024))
    run_kills(bed, server, ['uf-serve-keeper'])
    server.kill()


def both_killed(bed):
    """In turn, not at the same instant: then nobody has the descriptors."""
    server = bed.serve(bed.pack(bed.image(1024)))
    run_kills(bed, server, ['uf-serve', 'uf-serve-keeper'])
    server.kill()


def kvm_guest(bed):
    """A virtual machine's pause."""
    server = bed.serve(bed.image(256))
    try:
        guest = server.guest('--kvm=yes', '--seconds=2', f'--balloon={BALLOON}', pages=128)
        server.wait_more(' is served')
        for _ in range(3):
            pid = server.server()
            os.kill(pid, signal.SIGKILL)
            server.wait_more(REPLACED['uf-serve'])
        guest.result()
    finally:
        server.kill()


if __name__ == '__main__':
    raise SystemExit(main([server_killed, keeper_killed, both_killed, kvm_guest]))
