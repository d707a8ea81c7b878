#!/usr/bin/python3
"""The Ceph source with a cluster of its own, which ceph.sh starts."""
import os
import signal
import subprocess
import sys
import tempfile

from remote import CHUNK, HERE, Source, check, make_image, pack, run, same_files

MODULE = os.environ["MODULE"]
ECANCELED, ETIMEDOUT, ENOENT, EBADMSG, EINVAL = -125, -110, -2, -74, -22
cluster = None


def ceph_sh(verb, *more):
    return subprocess.run(["sh", HERE + "/ceph.sh", verb, cluster, *more], text=True,
                          capture_output=True)


def rados(*arguments):
    return subprocess.run(["rados", "-c", cluster + "/ceph.conf", "-p", "guests", *arguments],
                          text=True, capture_output=True, check=True).stdout


def spec_of(name, more=""):
    return f"rados:guests/{name}?conf={cluster}/ceph.conf{more}"


def written(directory, name, size, order="forward", seed=1):
    image = make_image(directory + "/i", size, seed)
    s = Source(MODULE)
    s.ask("expect", image)
    answer = s.ask("write", spec_of(name), image, order)
    check(answer[1] == "0", f"writing {order}: {answer}")
    return s


def objects_of(name):
    return sorted(o for o in rados("ls").split() if o.startswith(name + "."))


def contents(directory):
    """Written in any order, all of it is there, and holes are stored nowhere."""
    for order in ("forward", "backward", "pages"):
        size = ((6 if order == "pages" else 26) << 20) + 5000
        s = written(directory, order, size, order)
        said = s.open(spec_of(order))
        check(said["size"] == size and said["chunk"] == CHUNK, said)
        check(s.extents()[1] > 512 << 10, f"zeros are not known: {s.extents()}")
        s.all_right()
        s.all_right("ahead")
        for offset, length in ((0, 4096), (4096 * 3, 8192), (size >> 12 << 12, 4096)):
            check(s.read(offset, length) == 0, "read")
        s.close()


def replace(directory):
    """The old image until commit, then the new one and nothing of the old; abandoned: nothing."""
    s = written(directory, "twice", 9 << 20, seed=1)
    before = objects_of("twice")
    other = make_image(directory + "/other", 5 << 20, seed=2)
    check(s.ask("abandon", spec_of("twice"), other)[1] == "0", "abandon")
    check(objects_of("twice") == before, "something was left of what was abandoned")
    s.open(spec_of("twice"))
    s.all_right()
    # Whoever still reads the old one is not given zeros for what is gone.
    check(s.ask("write", spec_of("twice"), other, "forward")[1] == "0", "write")
    after = objects_of("twice")
    check(len(after) == 3 and len(set(after) & set(before)) == 1, f"{before} became {after}")
    error = int(s.ask("all")[1])
    check(error == ENOENT, f"a replaced image: {error}")
    s.ask("close")
    s.ask("expect", other)
    s.open(spec_of("twice"))
    s.all_right()
    s.close()


def namespaces(directory):
    """Images of one name in several namespaces."""
    image = make_image(directory + "/i", 3 << 20)
    s = Source(MODULE)
    s.ask("expect", image)
    name = spec_of("spaced", "&namespace=one")
    check(s.ask("write", name, image, "forward")[1] == "0", "write")
    s.open(name)
    s.all_right()
    s.ask("close")
    check("no image" in s.refused(spec_of("spaced"))[1], "it is in all namespaces")
    s.end()


def damage(directory):
    """Corrupted, cut and missing objects, and headers, are errors and not wrong contents."""
    s = written(directory, "damaged", 20 << 20)
    s.open(spec_of("damaged"))
    objects = [o for o in objects_of("damaged") if not o.endswith("header")]
    check(len(objects) == 5, objects)
    got = directory + "/object"
    rados("get", objects[0], got)
    with open(got, "r+b") as f:
        data = f.read()
        f.seek(next(i for i, b in enumerate(data) if b))
        f.write(b"\0")
    rados("put", objects[0], got)
    check(int(s.ask("all")[1]) == EBADMSG, "a corrupt chunk")
    rados("truncate", objects[0], "4096")
    check(int(s.ask("all")[1]) == EBADMSG, "a truncated object")
    rados("rm", objects[0])
    check(int(s.ask("all")[1]) == ENOENT, "a missing object")
    s.ask("close")
    rados("get", "damaged.header", got)
    data = open(got, "rb").read()
    for bad, word in ((data[:70] + b"x" + data[71:], "damaged"), (data[:20], "damaged"),
                      (b"x" * 100, "Userfault")):
        with open(got, "wb") as f:
            f.write(bad)
        rados("put", "damaged.header", got)
        why = s.refused(spec_of("damaged"))[1]
        check(word in why, why)
    # Somebody else's object is not written over.
    answer = s.ask("write", spec_of("damaged"), directory + "/i", "forward")
    check(int(answer[1]) == EINVAL, answer)
    s.end()


def outage(directory):
    """An OSD that stops: canceled reads end, reads time out, and go on when it is back."""
    conf = directory + "/conf"
    with open(cluster + "/ceph.conf") as f, open(conf, "w") as g:
        g.write(f.read().replace("[mon]", "rados_osd_op_timeout = 1\n[mon]", 1))
    s = written(directory, "outage", 8 << 20)
    s.open(f"rados:guests/outage?conf={conf}")
    s.all_right("ahead")
    ceph_sh("pause")
    try:
        data = range(1, 9)
        for n in data:
            check(s.ask("begin", n, n * CHUNK, CHUNK)[1] == "0", "begin")
        for n in data:
            s.ask("cancel", n)
        ended = [int(s.ask("await", n)[2]) for n in data]
        check(set(ended) <= {ECANCELED, 0} and ECANCELED in ended, f"canceled: {ended}")
        error = int(s.ask("all")[1])
        check(error == ETIMEDOUT, f"{error} is not a timeout")
    finally:
        ceph_sh("resume")
    s.read_until(0, CHUNK)
    s.all_right()
    s.close()


def refusals(directory):
    """What cannot be opened says why."""
    s = Source(MODULE)
    check("no image" in s.refused(spec_of("none"))[1], "no image")
    code, why = s.refused(f"rados:nopool/a?conf={cluster}/ceph.conf")
    check(code == ENOENT and "no pool nopool" in why, why)
    code, why = s.refused(f"rados:guests/a?conf={directory}/none")
    check(code == ENOENT and directory in why, why)
    for spec in ("rados:guests", "rados:/a", "rados:guests/", spec_of("a", "&what=1")):
        code, why = s.refused(spec)
        check(code == EINVAL and "rados:POOL/IMAGE" in why, why)
    with open(directory + "/dead", "w") as f:
        f.write("[global]\nmon_host = [v2:127.0.0.1:1/0]\nclient_mount_timeout = 1\n"
                "auth_client_required = none\n")
    code, why = s.refused(f"rados:guests/a?conf={directory}/dead")
    check(code == ETIMEDOUT and "monitor" in why, why)
    with open(directory + "/empty", "w") as f:
        f.write("[global]\nauth_client_required = none\n")
    why = s.refused(f"rados:guests/a?conf={directory}/empty")[1]
    check("mon_host" in why, why)
    s.end()


def packing(directory):
    """userfault pack: to the cluster, and from it."""
    image = make_image(directory + "/i", (8 << 20) + 4096)
    pack("--verify", image, spec_of("packed"))
    pack("--verify", spec_of("packed"), directory + "/packed")
    pack("--to=raw", spec_of("packed"), directory + "/back")
    check(same_files(image, directory + "/back"), "it is something else")


def end(*_):
    sys.exit(1)


signal.signal(signal.SIGTERM, end)
with tempfile.TemporaryDirectory(prefix="uf-") as directory:
    cluster = directory + "/ceph"
    started = ceph_sh("start")
    if started.returncode:
        print(started.stdout + started.stderr)
        sys.exit(started.returncode)
    try:
        run([contents, replace, namespaces, damage, outage, refusals, packing])
    finally:
        ceph_sh("stop")
