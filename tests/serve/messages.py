"""What a guest can say that is wrong: each is refused with a line that names the guest and the
cause, its descriptors are closed, and the guests that are there notice nothing."""
import json
import os
import select
import socket

from lib import *

memory = memory_file(pages=512)
SIZE = 512 * 4096
server = Server("--verbose", memory=memory)
living = Guest(server, "keep")
server.expect(r"guest 1 \(pid %d, uid %d\) is served: 2 MiB in 2 regions" % (living.pid, os.getuid()))
region = Region(SIZE)
ok = region.entry


def refused(words, text, fds=None, **how):
    s = say(server, text, [region.uffd] if fds is None else fds, **how)
    server.expect(r"a guest \(pid %d, uid %d\) is refused: .*%s" % (os.getpid(), os.getuid(), words))
    check(is_closed(s), words)


server.process.poll()
before = fds_of(server.server())

# Not JSON, not an array, not regions.
refused("does not begin with '\\['", "hello")
refused("does not begin with '\\['", '{"base_host_virt_addr": 4096}')
refused("does not begin with '\\['", "GET / HTTP/1.1\r\n\r\n")
refused("zero byte", b"[\0]")
refused("not JSON", "[{]")
refused("not JSON", '[{"size": 0x10}]')
refused("not JSON", "[1,]")
refused("size of region 0 is not a whole number", json.dumps([ok()]).replace(str(SIZE), "NaN"))
refused("not JSON", "[/* no comments */]")
refused("not JSON", "[{'size': 1}]")
refused("not JSON", b'[{"\xff": 1}]')
refused("not JSON", "[" * 100)
refused("there is no region", "[]")
refused("there is no region", " \n\t[ ] ")
refused("region 0 is not an object", "[1]")
refused("region 1 is not an object", [ok(), [ok()]])
refused("region 0 is not an object", "[null]")
refused("something follows the array", json.dumps([ok()]) + "x")
refused("something follows the array", json.dumps([ok()]) * 2)

# Names and numbers.
for name in "base_host_virt_addr", "size", "offset":
    entry = ok()
    del entry[name]
    refused(f"region 0 has no {name}", [entry])
    for wrong, words in (
        (-4096, "is negative"), (1.5, "is not a whole number"), ("4096", "is not a whole number"),
        (None, "is not a whole number"), (True, "is not a whole number"), ([], "is not a whole number"),
        (2**64, "(is too large|not JSON)"), (2**64 - 1, "is too large"), (10**40, "(is too large|not JSON)"),
    ):
        refused(f"{name} of region 0 {words}" if "JSON" not in words else words, [ok(**{name: wrong})])
refused("size of region 0 is not a whole number", json.dumps([ok()]).replace(str(SIZE), "2.097152e6"))
twice = json.dumps([ok()]).replace('"offset": 0', '"offset": 0, "offset": 4096')
refused("a name comes twice", twice)
refused("page_size and page_size_kib of region 0 differ", [ok(page_size_kib=2 << 20)])
refused("pages of 8192 bytes", [ok(page_size=8192)])
refused("pages of 0 bytes", [ok(page_size=0)])
refused("257 regions are more than 256", [ok()] * 257)

# Regions.
refused("region 0 is empty", [ok(size=0)])
refused("not made of whole pages", [ok(base_host_virt_addr=region.addr + 1)])
refused("not made of whole pages", [ok(size=SIZE - 1)])
refused("not made of whole pages of 2097152", [ok(base_host_virt_addr=(4 << 30) + 4096, page_size=2 << 20)])
refused("not a multiple of 4096", [ok(offset=100)])
refused("not in the range of addresses", [ok(base_host_virt_addr=2**64 - 4096 - 4096 * 10, size=4096 * 20)])
refused("not in the range of addresses", [ok(base_host_virt_addr=2**63)])
refused("not in the range of addresses", [ok(base_host_virt_addr=0)])
refused("exceeds the source, which has 2097152 bytes", [ok(offset=4096)])
refused("exceeds the source", [ok(offset=2**63)])
refused("exceeds the source", [ok(offset=2**64 - 8192)])
refused("exceeds the source", [ok(size=2**46)])
half = SIZE // 2
refused("regions 0 and 1 overlap", [ok(size=half), ok(base_host_virt_addr=region.addr + half - 4096, size=half)])
refused("regions 0 and 1 overlap", [ok(), ok()])
refused("regions 0 and 2 overlap", [ok(size=4096), ok(base_host_virt_addr=region.addr + half, size=half), ok(size=4096)])

# Descriptors.
refused("no descriptor came", [ok()], [])
refused("is no userfaultfd", [ok()], [0])
read_end, write_end = os.pipe()
refused("is no userfaultfd \\(pipe:", [ok()], [read_end])
with socket.socket() as other:
    refused("is no userfaultfd \\(socket:", [ok()], [other.fileno()])
with open("/dev/null") as null:
    refused("is no userfaultfd \\(/dev/null\\)", [ok()], [null.fileno()])
with select.epoll() as epoll:
    refused("is no userfaultfd \\(anon_inode:\\[eventpoll\\]\\)", [ok()], [epoll.fileno()])
fresh = open_uffd(initialised=False)
refused("has not had UFFDIO_API", [ok()], [fresh])
os.close(fresh)
name = "evil\nname\x1b[2J"
with open(path(name), "w") as f:
    refused("is no userfaultfd \\(.*evil\\?name\\?\\[2J\\)", [ok()], [f.fileno()])
refused("more than two descriptors", [ok()], [region.uffd] * 3)
refused("(more than two|too many) descriptors", [ok()], [region.uffd] * 200)
memfd = os.memfd_create("guest")
os.ftruncate(memfd, SIZE - 4096)
refused("exceeds the memory file, which has 2093056 bytes", [ok()], [region.uffd, memfd])
refused("is no memory file", [ok()], [region.uffd, read_end])
readonly = os.open(memory, os.O_RDONLY)
refused("not open for reading and writing", [ok()], [region.uffd, readonly])
refused("gone before its message was complete", "", [])
refused("gone before its message was complete", "[", [region.uffd])
refused("longer than 65536 bytes", "[" + " " * 70000, [region.uffd])
refused("longer than 65536 bytes", " " * 70000 + "[", [region.uffd])

# Unknown names are for VMMs to come; page sizes have two names, and one is right.
for entry in (ok(future={"a": [1, {"b": None}]}), ok(page_size_kib=4096),
              {k: v for k, v in ok(page_size_kib=4096).items() if k != "page_size"},
              {k: v for k, v in ok(page_size_kib=4).items() if k != "page_size"},
              {k: v for k, v in ok().items() if k != "page_size"}):
    good = Region(SIZE)
    entry["base_host_virt_addr"] = good.addr
    s = say(server, "\n " + json.dumps([entry]) + "\n", [good.uffd])
    number = server.expect(r"guest (\d+) \(pid \d+, uid \d+\) is served").group(1)
    s.close()
    good.close()
    # This process lives on; the guest ends when its memory is gone.

check(living.process.poll() is None, "the guest that was there is gone")
living.check()
living.ask("alive")
living.expect("^open$")
check(server.process.poll() is None)
check(fds_of(server.server()) <= before + 5 * 5 + 2, "descriptors are left open", before, fds_of(server.server()))
left_out = [line for line in server.lines if "left out" in line]
living.quit()
finish()
