#!/bin/bash
# Builds the Debian packages from a copy of the tree, installs them into a root directory that has
# nothing but what they depend on, uses them there, and removes them again.
#
# deb.sh SOURCE [--twice]      --twice: build a second time, which must give the same bytes
set -u

source=$1 twice=${2-}
here=$(cd "$(dirname "$0")" && pwd)
export LC_ALL=C.UTF-8
unset LD_PRELOAD LD_LIBRARY_PATH MAKEFLAGS MAKELEVEL DESTDIR CC CFLAGS LDFLAGS

skip() {
	echo "skipped: $*"
	exit 77
}

for tool in dpkg-buildpackage dh dh_python3 dpkg-deb unshare chroot; do
	command -v "$tool" >/dev/null || skip "no $tool on this machine"
done
(cd "$source" && dpkg-checkbuilddeps) 2>&1 | grep -q . &&
	skip "$(cd "$source" && dpkg-checkbuilddeps 2>&1 | sed 's/.*: //')"
[ "$(id -u)" -eq 0 ] || skip "installing packages into a root directory takes root"
unshare --mount --pid --fork true 2>/dev/null || skip "no mount namespaces for this user"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

fail() {
	echo "FAIL: $*"
	failed=1
}

die() {
	echo "FAIL: $*"
	exit 1
}

# What git tracks or would, as it is in the work tree; all but build directories where there is no git.
copy_tree() {
	mkdir -p "$1"
	if git -C "$source" -c safe.directory='*' ls-files -z --cached --others --exclude-standard >"$dir/files" 2>/dev/null; then
		tar -C "$source" -c --ignore-failed-read --null -T "$dir/files" 2>/dev/null
	else
		tar -C "$source" -c --exclude='./build*' --exclude=./.git .
	fi | tar -C "$1" -x
}

build_packages() {
	copy_tree "$1/userfault"
	# Quickly: what is tested is what the packages are made of, not how fast that is.
	(cd "$1/userfault" && DEB_BUILD_OPTIONS="nocheck noautodbgsym parallel=2" \
		DEB_CFLAGS_MAINT_APPEND="-O1 -g0" \
		dpkg-buildpackage -b -us -uc >"$1/log" 2>&1) && return
	tail -n 40 "$1/log"
	die "the packages do not build"
}

build_packages "$dir"
project=$(sed -n "s/^  version: '\(.*\)',$/\1/p" "$source/meson.build")
debs=("$dir"/*.deb)
for deb in "${debs[@]}"; do
	[ "$(dpkg-deb -f "$deb" Version)" = "$project" ] ||
		fail "the version of $(basename "$deb") is not meson.build's $project"
done
echo "built $(printf '%s ' "${debs[@]##*/}")"

if [ "$twice" = --twice ]; then
	mkdir "$dir/again"
	build_packages "$dir/again"
	for deb in "${debs[@]}"; do
		cmp "$deb" "$dir/again/${deb##*/}" || fail "two builds of ${deb##*/} differ"
	done
fi

if command -v lintian >/dev/null; then
	lintian --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs \
		"$dir"/*.changes >"$dir/lintian" 2>&1 ||
		fail "lintian complains: $(cat "$dir/lintian")"
fi

root=$dir/root
with=()
dpkg-query -W man-db >/dev/null 2>&1 && with=(--with=man-db)
"$here/root.py" "$root" "${with[@]}" "${debs[@]}" || die "no root directory could be made"

# A program that needs userfaultfd, and a guest, for use in there.
cc -O1 -pthread -I"$source/include" -o "$root/root/faults" "$source/tests/cmd/faults.c" ||
	die "tests/cmd/faults.c does not compile"
cp "$here/guest.py" "$here/in-root.sh" "$root/root/"
mkdir "$root/root/debs"
cp "${debs[@]}" "$root/root/debs"

cat >"$dir/enter" <<'END'
mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && mount -t tmpfs tmpfs "$1/tmp" &&
	mount -t tmpfs tmpfs "$1/run" &&
	exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=xterm \
		chroot "$1" /bin/sh /root/in-root.sh "$2"
END
unshare --mount --pid --fork --kill-child sh "$dir/enter" "$root" "$project" || failed=1
exit "$failed"
