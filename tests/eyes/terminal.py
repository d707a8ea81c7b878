"""A program in a terminal of its own, and what is on its screen: as much of a terminal as ncurses needs."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

SEQUENCE = re.compile(rb"\x1b\[([?>]?)([\d;]*)([@-~])|\x1b[()][0-9A-B]|\x1b[=>78DEMc]|\x1b\][^\x07]*\x07")


class Terminal:
    def __init__(self, command, columns=80, rows=24, **environment):
        self.columns, self.rows, self.pending, self.status = columns, rows, b"", None
        self.raw, self.closed = b"", False
        self.clear()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            for name in "NO_COLOR", "COLUMNS", "LINES":
                os.environ.pop(name, None)
            os.environ.update({"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment})
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execvp(command[0], command)

    def clear(self):
        self.cells = [[" "] * self.columns for _ in range(self.rows)]
        self.x = self.y = 0
        self.top, self.bottom = 0, self.rows - 1  # what scrolls
        self.last = " "

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.clear()
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def lines(self):
        return ["".join(row).rstrip() for row in self.cells]

    def text(self):
        return "\n".join(self.lines())

    # ---- what the program writes

    def put(self, character):
        if self.x >= self.columns:
            self.x, self.y = 0, min(self.y + 1, self.rows - 1)
        self.cells[self.y][self.x] = self.last = character
        self.x += 1

    def scroll(self, up):
        line = [" "] * self.columns
        if up:
            self.cells.pop(self.top)
            self.cells.insert(self.bottom, line)
        else:
            self.cells.pop(self.bottom)
            self.cells.insert(self.top, line)

    def feed_line(self):
        if self.y == self.bottom:
            self.scroll(True)
        else:
            self.y = min(self.y + 1, self.rows - 1)

    def control(self, private, numbers, final):
        n = [int(v) if v else 0 for v in numbers.split(b";")]
        one = max(n[0], 1)
        if private:
            return
        if final in b"Hf":
            self.y, self.x = min(one, self.rows) - 1, min(max(n[1] if len(n) > 1 else 1, 1), self.columns) - 1
        elif final == b"A":
            self.y = max(self.y - one, 0)
        elif final == b"B":
            self.y = min(self.y + one, self.rows - 1)
        elif final == b"C":
            self.x = min(self.x + one, self.columns - 1)
        elif final == b"D":
            self.x = max(min(self.x, self.columns) - one, 0)
        elif final == b"G":
            self.x = min(one, self.columns) - 1
        elif final == b"d":
            self.y = min(one, self.rows) - 1
        elif final == b"J":
            for y in range(self.rows):
                for x in range(self.columns):
                    if n[0] == 2 or (n[0] == 0 and (y, x) >= (self.y, self.x)) or (n[0] == 1 and (y, x) <= (self.y, self.x)):
                        self.cells[y][x] = " "
        elif final == b"K":
            for x in range(self.columns):
                if n[0] == 2 or (n[0] == 0 and x >= self.x) or (n[0] == 1 and x <= self.x):
                    self.cells[self.y][x] = " "
        elif final == b"X":
            for x in range(self.x, min(self.x + one, self.columns)):
                self.cells[self.y][x] = " "
        elif final == b"b":
            for _ in range(one):
                self.put(self.last)
        elif final in b"LM":
            for _ in range(one):
                line = [" "] * self.columns
                if final == b"L":
                    self.cells.pop(self.bottom)
                    self.cells.insert(self.y, line)
                else:
                    self.cells.pop(self.y)
                    self.cells.insert(self.bottom, line)
        elif final == b"r":
            self.top, self.bottom = one - 1, min(n[1] if len(n) > 1 and n[1] else self.rows, self.rows) - 1
            self.x = self.y = 0
        elif final in b"ST":
            for _ in range(one):
                self.scroll(final == b"S")
        elif final == b"P":
            row = self.cells[self.y]
            self.cells[self.y] = (row[:self.x] + row[self.x + one:] + [" "] * one)[:self.columns]
        elif final == b"@":
            row = self.cells[self.y]
            self.cells[self.y] = (row[:self.x] + [" "] * one + row[self.x:])[:self.columns]
        elif final not in b"mhlnt":
            raise SystemExit(f"the terminal does not know CSI {numbers!r} {final!r}")

    def take(self, data):
        self.raw += data
        data = self.pending + data
        i = 0
        while i < len(data):
            if data[i] == 0x1b:
                match = SEQUENCE.match(data, i)
                if not match:
                    break  # the rest of it is to come
                if match.group() == b"\x1bM":
                    if self.y == self.top:
                        self.scroll(False)
                    else:
                        self.y = max(self.y - 1, 0)
                elif match.group() in (b"\x1bD", b"\x1bE"):
                    self.feed_line()
                elif match.group(3):
                    self.control(match.group(1), match.group(2), match.group(3))
                i = match.end()
            elif data[i] < 0x20:
                if data[i] == 13:
                    self.x = 0
                elif data[i] == 10:
                    self.feed_line()
                elif data[i] == 8:
                    self.x = max(self.x - 1, 0)
                i += 1
            else:
                size = 1 if data[i] < 0x80 else 2 if data[i] < 0xe0 else 3 if data[i] < 0xf0 else 4
                if i + size > len(data):
                    break
                self.put(data[i:i + size].decode())
                i += size
        self.pending = data[i:]

    def pump(self, seconds):
        """Take what comes within that time; at once when something came. False: it has ended."""
        if self.closed or not select.select([self.fd], [], [], seconds)[0]:
            return not self.closed
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # the other side is closed
            data = b""
        if data:
            self.take(data)
        else:
            self.closed = True
        return bool(data)

    def expect(self, what, seconds=20):
        """Until the screen matches; `what` is a regular expression or a function of the screen."""
        test = what if callable(what) else (lambda text: re.search(what, text, re.M))
        end = time.monotonic() + seconds
        while True:
            found = test(self.text())
            if found:
                return found
            if time.monotonic() > end or not self.pump(0.5):
                raise SystemExit(f"expected {what}, and the screen is:\n{self.text()}")

    def press(self, keys):
        os.write(self.fd, keys.encode())

    def ends(self, seconds=20):
        """Its wait status."""
        end = time.monotonic() + seconds
        while self.pump(0.5):
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                raise SystemExit(f"it goes on:\n{self.text()}")
        return os.waitpid(self.pid, 0)[1]
