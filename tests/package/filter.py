#!/usr/bin/python3
"""The page server serves a guest with no other system calls than its systemd unit allows.

filter.py SERVICE USERFAULT
"""

import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile

ALLOW, KILL_PROCESS = 0x7FFF0000, 0x80000000


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def known_groups():
    try:
        told = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True,
                              check=True, timeout=60).stdout
    except (OSError, subprocess.CalledProcessError):
        skip("no systemd-analyze on this machine")
    groups, name = {}, None
    for line in told.splitlines():
        if line.startswith("@"):
            name = line.strip()
        elif name and line.startswith("    ") and not line.strip().startswith("#"):
            groups.setdefault(name, []).append(line.strip())
    return groups


def allowed_calls(unit):
    """As systemd reads the lines, in order; the first one allows."""
    groups, allowed = known_groups(), set()

    def calls(word):
        return set().union(*map(calls, groups[word])) if word.startswith("@") else {word}

    with open(unit, encoding="utf-8") as lines:
        for value in re.findall(r"^SystemCallFilter=(.*)$", lines.read(), re.M):
            named = set().union(*map(calls, value.lstrip("~").split()))
            allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed | calls("@default")


def load_filter(calls):
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    context = library.seccomp_init(ctypes.c_uint32(KILL_PROCESS))
    for call in sorted(calls):
        number = library.seccomp_syscall_resolve_name(call.encode())
        if number >= 0 and library.seccomp_rule_add(context, ALLOW, number, 0):
            sys.exit(f"the rule for {call} is refused")
    if library.seccomp_load(context):
        sys.exit("the filter is refused")


def main():
    unit, program = sys.argv[1:]
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        skip("no libseccomp on this machine")
    calls = allowed_calls(unit)
    guest = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guest.py")
    with tempfile.TemporaryDirectory() as directory:
        memory, socket = os.path.join(directory, "memory"), os.path.join(directory, "socket")
        with open(memory, "wb") as file:
            file.write(os.urandom(4 << 20))
        log = []
        with subprocess.Popen([program, "serve", "--socket", socket, "--memory", memory],
                              stderr=subprocess.PIPE, text=True,
                              preexec_fn=lambda: load_filter(calls)) as server:
            for line in server.stderr:
                log.append(line)
                if " serves " in line:
                    break
            done = subprocess.run([sys.executable, guest, socket, memory], timeout=60)
            server.send_signal(signal.SIGTERM)
            log += server.stderr.readlines()
            status = server.wait(60)
    print("".join(log), end="")
    if done.returncode == 77:
        skip("no userfaultfd of the kernel's for this user")
    # A server that was killed for a call is followed by another one.
    if done.returncode or status or any("takes over" in line for line in log):
        sys.exit(f"FAIL: the guest ended with {done.returncode}, the server with {status}")


main()
