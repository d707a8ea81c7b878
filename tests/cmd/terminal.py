"""Keys of a terminal reach PROGRAM once, with --stats, too, and the command ends as PROGRAM does."""
import os
import pty
import signal
import sys

USERFAULT, TELL = os.environ["USERFAULT"], os.path.join(os.environ["HELPERS"], "tell-signals")
signal.alarm(60)


def start(options, program):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(USERFAULT, [USERFAULT, "run", *options, "--", *program])
    return pid, os.fdopen(terminal, "rb", buffering=0)


def expect(terminal, words, text=b""):
    while not text.endswith(words):
        try:
            byte = terminal.read(1)
        except OSError:  # the terminal's other side is closed
            byte = b""
        if not byte:
            sys.exit(f"expected {words!r}, got {text!r}")
        text += byte
    return text


for options in [], ["--stats"]:
    # It tells each signal that comes. In between a signal from here shows that no second one came.
    pid, terminal = start(options, [TELL])
    expect(terminal, b"ready\r\n")
    # Often, as a second one that comes soon enough is one with the first.
    for key, name in [(b"\x03", b"INT"), (b"\x1c", b"QUIT")] * 50:
        os.write(terminal.fileno(), key)
        expect(terminal, name + b"\r\n")
        os.kill(pid, signal.SIGUSR1)
        told = expect(terminal, b"USR1\r\n")
        if name in told:
            sys.exit(f"{options}: the terminal's {name.decode()} came twice")
    os.kill(pid, signal.SIGTERM)
    if os.WTERMSIG(os.waitpid(pid, 0)[1]) != signal.SIGTERM:
        sys.exit(f"{options}: did not end by SIGTERM")

    pid, terminal = start(options, ["sh", "-c", "echo ready; exec cat"])
    expect(terminal, b"ready\r\n")
    os.write(terminal.fileno(), b"\x03")
    if os.WTERMSIG(os.waitpid(pid, 0)[1]) != signal.SIGINT:
        sys.exit(f"{options}: did not end by SIGINT")
