"""What the tests with the mini VMM share: servers, sources, guests, and sessions of Userfault.

A test is a function; what it is given is a Bed, which starts processes and ends them all. MODE in
the environment is 'kernel' or 'userfault': in the latter every server and every guest is in one
session of Userfault, with the kernel's userfaultfd denied. SERVER=plain takes the plain handler for
the server, to see whether guests and their checks are right.
"""
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

MODE = os.environ.get('MODE', 'kernel')
SERVER = os.environ.get('SERVER', 'serve')
TOOLS = os.environ.get('TOOLS', '.')
BUILD = os.environ.get('BUILD_ROOT', '.')
CEPH = os.environ.get('CEPH', '')
USERFAULT = os.path.join(BUILD, 'userfault')
DENY = os.path.join(BUILD, 'examples', 'deny-userfaultfd')
PATIENCE = 40.0  # seconds, before something counts as never happening

PAGE = 4096
CHUNK = 65536
EXIT_WEDGED = 3
EXIT_SKIP = 77


class Failure(Exception):
    pass


class Skipped(Exception):
    pass


def tool(name):
    return os.path.join(TOOLS, name)


def need(program):
    if not shutil.which(program):
        raise Skipped(f'{program} is not installed')


def need_module(name):
    if not os.path.exists(os.path.join(BUILD, f'source-{name}.so')):
        raise Skipped(f'the source {name} was not built')


def wait_until(what, condition):
    """Until condition() is true: for what sends no event that could be waited for."""
    end = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f'{what} did not happen in {PATIENCE:.0f} s')
        os.sched_yield()


def stat_of(pid):
    """comm, state and session of a process, or None."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as file:
            text = file.read()
    except OSError:
        return None
    comm = text[text.index('(') + 1:text.rindex(')')]
    rest = text[text.rindex(')') + 2:].split()
    return comm, rest[0], int(rest[3])


def listens(path):
    with open('/proc/net/unix', encoding='ascii', errors='replace') as sockets:
        for line in sockets:
            words = line.split()
            if words[-1] == path and words[3] == '00010000':
                return True
    return False


class Guests:
    """A mini VMM, or several, under way."""

    def __init__(self, process):
        self.process = process

    def result(self, status=0):
        """Its report as a dictionary; a list if there were several."""
        try:
            out, err = self.process.communicate(timeout=4 * PATIENCE)
        except subprocess.TimeoutExpired as expired:
            raise Failure('a guest never ended') from expired
        got = self.process.returncode
        if got == EXIT_SKIP:
            raise Skipped(err.strip())
        if got != status:
            raise Failure(f'a guest ended with {got} instead of {status}: {(out + err).strip()}')
        if err and status == 0:
            raise Failure(f'a guest complained: {err.strip()}')
        reports = [dict(word.split('=', 1) for word in line.split()[1:])
                   for line in out.splitlines()]
        return reports[-1] if reports else {}


class Server:
    """userfault serve with its keeper, or the plain handler."""

    def __init__(self, bed, memory, *options):
        self.bed = bed
        self.socket = bed.path('socket')
        if SERVER == 'plain':
            argv = [tool('plain-handler'), f'--socket={self.socket}', f'--memory={memory}']
        else:
            argv = bed.joined(USERFAULT, 'serve', '--verbose', '--socket', self.socket, '--memory',
                              memory, *options)
        self.log_path = bed.path('log')
        with open(self.log_path, 'w', encoding='utf-8') as log:
            self.process = bed.start(argv, stdout=log, stderr=log, start_new_session=True)
        self.session = self.process.pid
        self.seen = {}  # how much of the log was looked through, for what
        wait_until('that the server listens', self.ready)

    def ready(self):
        if self.process.poll() is not None:
            raise Failure(f'the server ended: {self.log()}')
        if SERVER == 'plain':
            return listens(self.socket)
        return ': serves ' in self.log()

    def log(self):
        with open(self.log_path, encoding='utf-8', errors='replace') as log:
            return log.read()

    def wait_more(self, text):
        """A line with this text that was not there when this was last asked for it."""
        seen, lines = self.seen.get(text, 0), []

        def more():
            with open(self.log_path, 'rb') as log:
                log.seek(seen)
                lines[:] = log.read().split(b'\n')
            return any(text.encode() in line for line in lines[:-1])

        wait_until(f'"{text}" in the server\'s log', more)
        for line in lines[:-1]:
            self.seen[text] = self.seen.get(text, 0) + len(line) + 1

    def wait_log(self, pattern):
        found = re.compile(pattern)
        return wait_until(f'"{pattern}" in the server\'s log', lambda: found.search(self.log()))

    def pids(self, name=None):
        """Its processes: of this name, or all."""
        found = []
        for entry in os.listdir('/proc'):
            stat = stat_of(entry) if entry.isdigit() else None
            if stat and stat[2] == self.session and stat[1] not in 'ZX' and \
                    name in (None, stat[0]):
                found.append(int(entry))
        return sorted(found)

    def pid(self, name):
        return wait_until(f'that there is a {name}', lambda: self.pids(name))[0]

    def server(self):
        return self.pid('plain-handler' if SERVER == 'plain' else 'uf-serve')

    def keeper(self):
        return self.pid('uf-serve-keeper')

    def guest(self, *options, pages=256, **others):
        return self.bed.guest(self, f'--pages={pages}', *options, **others)

    def run(self, *options, status=0, **others):
        return self.guest(*options, **others).result(status)

    def end(self):
        """SIGTERM; it must end by itself."""
        self.process.send_signal(signal.SIGTERM)
        wait_until('the end of the server', lambda: not self.pids())

    def kill(self):
        """All of them, none of which is to replace another meanwhile."""
        while self.pids():
            for how in (signal.SIGSTOP, signal.SIGKILL):
                for pid in self.pids():
                    try:
                        os.kill(pid, how)
                    except ProcessLookupError:
                        pass


class Bed:
    """Where a test lies: a directory, and processes."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='vmm-')
        self.processes = []
        self.servers = []
        self.ceph = None
        self.session = None
        self.count = 0
        if MODE == 'userfault':
            self.session = self.start([DENY, USERFAULT, 'run', '--', 'cat'],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.session.stdin.write(b'\n')
            self.session.stdin.flush()
            self.session.stdout.read(1)

    def path(self, name):
        self.count += 1
        return os.path.join(self.dir, f'{self.count}-{name}')

    def start(self, argv, **options):
        options.setdefault('stdin', subprocess.DEVNULL)
        process = subprocess.Popen(argv, **options)  # pylint: disable=consider-using-with
        self.processes.append(process)
        return process

    def joined(self, *argv):
        if self.session is None:
            return list(argv)
        return [DENY, USERFAULT, 'join', str(self.session.pid), '--', *argv]

    def image(self, pages, spec='1'):
        path = self.path('image')
        subprocess.run([tool('make-image'), f'--pages={pages}', f'--image={spec}', path], check=True)
        return path

    def pack(self, image, *options):
        path = self.path('packed')
        self.command(USERFAULT, 'pack', *options, image, path)
        return path

    def command(self, *argv):
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        if done.returncode == EXIT_SKIP:
            raise Skipped((done.stdout + done.stderr).strip())
        if done.returncode:
            raise Failure(f'{" ".join(argv)} ended with {done.returncode}: {done.stderr.strip()}')
        return done.stdout

    def nbdkit(self, *arguments, path=None):
        """An NBD server: the process, and the name of what it serves."""
        need('nbdkit')
        need_module('nbd')
        path = path or self.path('nbd')
        if os.path.exists(path):
            os.unlink(path)
        with open(self.path('nbdkit'), 'wb') as log:
            process = self.start(['nbdkit', '-f', '-U', path, *arguments], stderr=log)
        wait_until('that nbdkit listens', lambda: process.poll() is not None or listens(path))
        if process.poll() is not None:
            raise Failure(f'nbdkit ended with {process.returncode}')
        return process, f'nbd+unix:///?socket={path}'

    def rados(self):
        """A Ceph cluster of this test's own: the file of its settings."""
        need('ceph-mon')
        need_module('rados')
        self.ceph = self.path('ceph')
        self.command('sh', CEPH, 'start', self.ceph)
        return os.path.join(self.ceph, 'ceph.conf')

    def serve(self, memory, *options):
        server = Server(self, memory, *options)
        self.servers.append(server)
        return server

    def guest(self, server, *options, **others):
        argv = self.joined(tool('mini-vmm'), f'--socket={server.socket}', '--timeout=20', *options)
        return Guests(self.start(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 **others))

    def close(self):
        for server in self.servers:
            server.kill()
        for process in reversed(self.processes):
            if process.poll() is None:
                process.kill()
            process.wait()
        if self.ceph:
            subprocess.run(['sh', CEPH, 'stop', self.ceph], check=False, capture_output=True)
        shutil.rmtree(self.dir, ignore_errors=True)


def run_one(name, function):
    bed = Bed()
    began = time.monotonic()
    try:
        function(bed)
        print(f'ok {name}, {time.monotonic() - began:.2f} s', flush=True)
        return None
    except Skipped as why:
        print(f'skipped {name}: {why}', flush=True)
        return EXIT_SKIP
    except Failure as why:
        print(f'FAILED {name}: {why}', flush=True)
        for server in bed.servers:
            print('server\'s log, its end:\n' + server.log()[-3000:], flush=True)
        return 1
    finally:
        bed.close()


def main(tests):
    """Runs those that are named on the command line, or all; a test's name is its function's."""
    if MODE == 'kernel' and not kernel_has_it():
        print('there is no userfaultfd of the kernel\'s that faults in the kernel can use')
        return EXIT_SKIP
    wanted = [a for a in sys.argv[1:] if not a.startswith('-')]
    results = []
    for test in tests:
        if not wanted or test.__name__ in wanted:
            results.append(run_one(test.__name__, test))
    if 1 in results:
        return 1
    if results and all(result == EXIT_SKIP for result in results):
        return EXIT_SKIP
    return 0


def kernel_has_it():
    """What the mini VMM needs: a plain attempt with a server that is not there."""
    path = '/nonexistent/socket'
    done = subprocess.run([tool('mini-vmm'), f'--socket={path}', '--pages=1'], check=False,
                          capture_output=True)
    return done.returncode != EXIT_SKIP


def option(name, default):
    """The value of --name=VALUE on the command line."""
    for argument in sys.argv[1:]:
        if argument.startswith(f'--{name}='):
            return type(default)(argument.split('=', 1)[1])
    return default


__all__ = ['BUILD', 'Bed', 'CHUNK', 'EXIT_WEDGED', 'Failure', 'MODE', 'PAGE', 'PATIENCE', 'SERVER', 'Server',
           'Skipped', 'USERFAULT', 'main', 'need', 'option', 'os', 'random', 're', 'select',
           'signal', 'socket', 'stat_of', 'subprocess', 'time', 'tool', 'wait_until']
