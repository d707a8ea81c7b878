#!/usr/bin/python3
"""Makes a root directory like a fresh Debian system's, without network: the essential packages, and
what the packages given depend on, copied from this system as it has them installed. What they forgot
to depend on is not there.

root.py ROOT [--with=PACKAGE]... DEB...
"""

import os
import re
import subprocess
import sys

DPKG = "/var/lib/dpkg"
TOP_LINKS = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"]


def output(*command, **kwargs):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **kwargs).stdout


def installed():
    """name -> (essential, [[alternative]...]) of this system, and who provides a name."""
    fields = r"${db:Status-Status}\t${Package}\t${Essential}\t${Pre-Depends}, ${Depends}\t${Provides}\n"
    packages, providers = {}, {}
    for line in output("dpkg-query", "-W", "-f", fields).splitlines():
        status, name, essential, depends, provides = line.split("\t")
        if status != "installed":
            continue
        packages[name] = (essential == "yes", parse(depends))
        for virtual in parse(provides):
            providers.setdefault(virtual[0], []).append(name)
    return packages, providers


def parse(field):
    """"a (>= 1) | b, c:any" as [["a", "b"], ["c"]]."""
    return [[re.split(r"[\s:(]", part.strip())[0] for part in group.split("|")]
            for group in field.split(",") if group.strip()]


def closure(debs, extra):
    packages, providers = installed()
    own = {output("dpkg-deb", "-f", deb, "Package").strip() for deb in debs}
    chosen, todo = set(), [[name] for name, (essential, _) in packages.items() if essential]
    todo += [[name] for name in extra]
    for deb in debs:
        for field in "Pre-Depends", "Depends":
            todo += parse(output("dpkg-deb", "-f", deb, field).replace("\n", " "))
    while todo:
        group = todo.pop()
        if any(name in own or name in chosen for name in group):
            continue
        real = [name for name in group if name in packages]
        real += [real_name for name in group for real_name in providers.get(name, [])]
        if not real:
            sys.exit("root.py: nothing installed here is " + " or ".join(group))
        if not any(name in chosen for name in real):
            chosen.add(real[0])
            todo += packages[real[0]][1]
    return sorted(chosen)


def copy_files(root, packages):
    for name in TOP_LINKS:
        if os.path.islink("/" + name):
            os.symlink(os.readlink("/" + name), os.path.join(root, name))
            os.makedirs(os.path.join(root, os.readlink("/" + name)), exist_ok=True)
    paths = set()
    for line in output("dpkg-query", "-L", *packages).splitlines():
        name = line[1:]
        if not line.startswith("/") or name in ("", ".") or name in TOP_LINKS or not os.path.lexists(line):
            continue
        if re.match(r"usr/share/(doc|locale|info|man/..[/_])|var/cache/man/.", name):
            continue
        paths.add(name)
    pack = subprocess.Popen(["tar", "-C", "/", "-c", "--no-recursion", "--null", "-T", "-"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    unpack = subprocess.Popen(["tar", "-C", root, "-x", "--keep-directory-symlink"], stdin=pack.stdout)
    pack.stdout.close()
    pack.stdin.write(b"\0".join(os.fsencode(path) for path in sorted(paths)))
    pack.stdin.close()
    if pack.wait() or unpack.wait():
        sys.exit("root.py: copying failed")


def copy_alternatives(root):
    os.makedirs(os.path.join(root, "etc/alternatives"), exist_ok=True)
    for directory in "usr/bin", "usr/sbin":
        for entry in os.scandir("/" + directory):
            if not entry.is_symlink() or not os.readlink(entry.path).startswith("/etc/alternatives/"):
                continue
            link = os.readlink(entry.path)
            target = os.readlink(link) if os.path.islink(link) else None
            if target and os.path.lexists(root + target) and not os.path.lexists(root + entry.path):
                os.symlink(link, root + entry.path)
                if not os.path.lexists(root + link):
                    os.symlink(target, root + link)


def copy_database(root, packages):
    base = root + DPKG
    for name in "info", "updates", "triggers", "alternatives", "parts":
        os.makedirs(os.path.join(base, name), exist_ok=True)
    with open(DPKG + "/status", encoding="utf-8") as status:
        paragraphs = status.read().split("\n\n")
    with open(base + "/status", "w", encoding="utf-8") as out:
        for paragraph in paragraphs:
            name = re.match(r"Package: (\S+)", paragraph)
            if name and name.group(1) in packages:
                out.write(paragraph.strip("\n") + "\n\n")
    for name in sorted(os.listdir(DPKG + "/info")):
        if name == "format" or re.sub(r"(:\w+)?\.\w+$", "", name) in packages:
            with open(f"{DPKG}/info/{name}", "rb") as one, open(f"{base}/info/{name}", "wb") as other:
                other.write(one.read())
                os.fchmod(other.fileno(), os.fstat(one.fileno()).st_mode & 0o777)
    for name in sorted(os.listdir(DPKG + "/triggers")):
        path = f"{DPKG}/triggers/{name}"
        if name in ("Lock", "Unincorp") or not os.path.isfile(path):
            continue
        with open(path, encoding="utf-8") as one, open(f"{base}/triggers/{name}", "w", encoding="utf-8") as other:
            other.writelines(line for line in one
                             if line.split()[-1].partition("/")[0].partition(":")[0] in packages)
    for name in "diversions", "statoverride", "arch":
        if os.path.exists(f"{DPKG}/{name}"):
            with open(f"{DPKG}/{name}", "rb") as one, open(f"{base}/{name}", "wb") as other:
                other.write(b"" if name == "statoverride" else one.read())


def main():
    extra = [arg.partition("=")[2] for arg in sys.argv[2:] if arg.startswith("--with=")]
    debs = [arg for arg in sys.argv[2:] if not arg.startswith("--")]
    root = os.path.abspath(sys.argv[1])
    os.makedirs(root, exist_ok=True)
    packages = closure(debs, extra)
    copy_files(root, packages)
    copy_alternatives(root)
    copy_database(root, set(packages))
    for name in "proc", "sys", "dev", "run", "tmp", "root", "var/tmp", "var/log", "var/cache/man":
        os.makedirs(os.path.join(root, name), exist_ok=True)
    for name in "passwd", "group":
        with open(f"/usr/share/base-passwd/{name}.master", "rb") as one, \
                open(f"{root}/etc/{name}", "wb") as other:
            other.write(one.read())
    subprocess.run(["ldconfig", "-r", root], check=True)
    print(f"{len(packages)} packages in {root}")


main()
