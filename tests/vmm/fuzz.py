"""Thousands of messages that are not what a VMM sends.

--messages=N  how many (3000)      --seed=N  of what is random (1)
"""
import re

from lib import *


def usage(server):
    """Descriptors, and KiB of memory of its own, of all the server's processes."""
    fds = memory = 0
    for pid in server.pids():
        fds += len(os.listdir(f'/proc/{pid}/fd'))
        with open(f'/proc/{pid}/smaps_rollup', encoding='ascii') as file:
            for line in file:
                if line.startswith(('Pss_Anon', 'Pss_Shmem')):
                    memory += int(line.split()[1])
    return fds, memory


def send(bed, server, messages, seed):
    argv = bed.joined(tool('fuzz-handshake'), f'--socket={server.socket}',
                      f'--messages={messages}', f'--seed={seed}')
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=1800, check=False)
    if done.returncode:
        raise Failure(f'the fuzzer: {done.stderr.strip()}')


def nonsense(bed):
    messages, seed = option('messages', 3000), option('seed', 1)
    server = bed.serve(bed.image(256))
    steady = server.guest('--kvm=no', '--balloon=20', '--seconds=2', pages=256)
    pids = (server.server(), server.keeper()) if SERVER == 'serve' else None
    send(bed, server, max(messages // 10, 300), seed + 1)
    steady.result()
    server.run('--kvm=no', pages=256)
    # What a server that has seen all of it needs.
    fds, memory = usage(server)
    began = time.monotonic()
    send(bed, server, messages, seed)
    took = time.monotonic() - began
    try:
        wait_until(f'that {fds} descriptors are left of {usage(server)[0]}',
                   lambda: usage(server)[0] <= fds)
    except Failure as why:
        left = set(re.findall(r'(guest \d+) \(.*is served', server.log())) - set(
            re.findall(r'(guest \d+) \(.*has ended', server.log()))
        raise Failure(f'{why}; there are {usage(server)[0]}, and {sorted(left)} have not ended') \
            from None
    after = usage(server)
    if after[1] > memory + 4096:
        raise Failure(f'its memory grew from {memory} to {after[1]} KiB')
    if pids and (server.server(), server.keeper()) != pids:
        raise Failure(f'processes died: {server.log()[-2000:]}')
    server.run('--kvm=no', '--balloon=20', pages=256)
    print(f'  {messages} messages in {took:.1f} s; {fds} descriptors before and {after[0]} after, '
          f'{memory} and {after[1]} KiB')
    server.end()


if __name__ == '__main__':
    raise SystemExit(main([nonsense]))
