#!/bin/bash
# What `make install` leaves in a prefix is what the documentation says, and works from there, also
# when the prefix has been moved.
#
# install.sh BUILD SOURCE PREFIX MESON
set -u

build=$1 source=$2 prefix=$3 meson=$4
export LC_ALL=C.UTF-8
unset LD_PRELOAD LD_LIBRARY_PATH PKG_CONFIG_PATH
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

fail() {
	echo "FAIL: $*"
	failed=1
}

check() {
	what=$1
	shift
	"$@" >"$dir/out" 2>&1 </dev/null && return
	fail "$what: status $?: $(tail -n 5 "$dir/out")"
}

says() {
	grep -qE -e "$1" "$dir/out" || fail "$what: its output has no '$1': $(head -n 5 "$dir/out")"
}

DESTDIR=$dir/dest "$meson" install -C "$build" --no-rebuild --quiet >"$dir/log" 2>&1 || {
	echo "FAIL: meson install: $(tail -n 5 "$dir/log")"
	exit 1
}
mv "$dir/dest$prefix" "$dir/moved"
[ -z "$(find "$dir/dest" -type f)" ] || fail "outside of $prefix: $(find "$dir/dest" -type f)"
cd "$dir/moved" || exit 1
userfault=$dir/moved/bin/userfault
commands=$("$userfault" --help | sed -nE 's/^  userfault ([a-z]+)( .*)?$/\1/p')
libdir=$(dirname "$(find . -name libuserfault.so)")

# ---- what is there

present() {
	[ -e "$1" ] || [ -e "$1.gz" ] || fail "no $1"
}

present bin/userfault
present libexec/userfault/userfault-host
for command in serve pack top trace; do
	present "libexec/userfault/userfault-$command"
done
for library in userfault userfault-pager; do
	for suffix in so so.0; do
		present "$libdir/lib$library.$suffix"
	done
	present "$libdir/pkgconfig/$library.pc"
	readelf -d "$libdir/lib$library.so" | grep -q "SONAME.*lib$library.so.0" ||
		fail "lib$library.so has no SONAME lib$library.so.0"
done
present "$libdir/libuserfault.a"
present "$libdir/userfault/libuserfault-preload.so"
for header in "$source"/include/userfault/*.h; do
	cmp -s "$header" "include/userfault/${header##*/}" || fail "no include/userfault/${header##*/}"
done
present share/bash-completion/completions/userfault
present share/zsh/site-functions/_userfault
present share/fish/vendor_completions.d/userfault.fish
present lib/systemd/system/userfault-serve@.service
present lib/systemd/system/userfault-serve@.socket
grep -q "^ExecStart=$prefix/bin/userfault serve " lib/systemd/system/userfault-serve@.service ||
	fail "the service does not start $prefix/bin/userfault"
if command -v scdoc >/dev/null; then
	for page in userfault $(printf 'userfault-%s ' $commands); do
		present "share/man/man1/$page.1"
	done
	for library in userfault userfault-pager; do
		present "share/man/man3/lib$library.3"
		for call in $(nm -D --defined-only "$libdir/lib$library.so" | sed -nE 's/.* (uf_[a-z_]+)@*.*/\1/p'); do
			present "share/man/man3/$call.3"
		done
	done
	if command -v man >/dev/null; then
		for page in share/man/man?/*; do
			page=${page##*/}
			man --warnings -M "$dir/moved/share/man" "${page##*.}" "${page%.*}" 2>&1 >/dev/null |
				grep . && fail "man complains of $page"
		done
	fi
fi
# Nothing of the build's own.
find . -type f -o -type l | grep -vE "^\./(bin/userfault|libexec/userfault/userfault-[a-z]+|\
share/(man/man[13]/(lib)?(userfault|uf_)[a-z_-]*\.[13]|bash-completion|zsh|fish|doc/userfault/|userfault/)|\
include/userfault/[a-z]+\.h|lib/systemd/system/userfault-|\
${libdir#./}/(libuserfault(-pager)?\.so[.0-9]*|libuserfault\.a|pkgconfig/userfault(-pager)?\.pc|\
userfault/(libuserfault-preload|source-[a-z]+)\.so))" >"$dir/other" && fail "unexpected: $(cat "$dir/other")"
! grep -rIl -e "$source" -e "$build" . | grep . || fail "the build's paths are in these files"

# ---- what it does

check "userfault doctor" "$userfault" doctor
for command in $commands; do
	check "userfault $command --help" "$userfault" "$command" --help
	says "^Usage: userfault $command"
done
cc -O1 -pthread -Iinclude -o "$dir/faults" "$source/tests/cmd/faults.c" || fail "faults.c"
check "userfault run" "$userfault" run --stats -- "$dir/faults" 200 50 0
for file in bin/userfault libexec/userfault/* "$libdir"/*.so "$libdir"/userfault/*.so; do
	ldd "$file" >"$dir/out" 2>&1
	! grep 'not found' "$dir/out" || fail "$file does not find its libraries"
done
head -c 1000000 /dev/urandom >"$dir/file"
check "userfault pack" "$userfault" pack "$dir/file" "$dir/packed"
[ -s "$dir/packed" ] || fail "userfault pack wrote nothing"

# ---- what it is built with

export PKG_CONFIG_PATH=$dir/moved/$libdir/pkgconfig
pc() {
	pkg-config --define-variable=prefix="$dir/moved" "$@"
}
version=$("$userfault" --version)
for package in userfault userfault-pager; do
	[ "userfault $(pc --modversion $package)" = "$version" ] || fail "$package.pc is not of $version"
done
awk '/^```c$/ {code = 1; next} /^```$/ {if (code) exit} code' "$source/README.md" >"$dir/squares.c"
flags=$(pc --cflags --libs userfault)
check "squares.c of README.md" cc "$dir/squares.c" -o "$dir/squares" $flags
check "squares" env LD_LIBRARY_PATH="$libdir" "$dir/squares"
says '^144 10000000000$'
flags="$(pc --cflags userfault) -Wl,-Bstatic $(pc --libs-only-L --libs-only-l userfault) -Wl,-Bdynamic -pthread -ldl"
check "squares.c with libuserfault.a" cc "$dir/squares.c" -o "$dir/squares-static" $flags
! readelf -d "$dir/squares-static" | grep userfault || fail "squares-static still needs libuserfault.so"
check "squares-static" "$dir/squares-static"
says '^144 10000000000$'
flags=$(pc --cflags --libs userfault-pager)
check "a program with the pager" cc -Wall -Wextra -Werror "$source/tests/package/pager-program.c" \
	-o "$dir/pager-program" $flags -Wl,-rpath-link,"$libdir"
# Found by the program's own path only: the pager's library finds the other one itself.
check "a program with the pager and a path" cc "$source/tests/package/pager-program.c" \
	-o "$dir/pager-program" $flags -Wl,-rpath-link,"$libdir" -Wl,-rpath,"$dir/moved/$libdir"
check "pager-program" "$dir/pager-program" "$dir/file"
says '^1003520 bytes$'
if command -v g++ >/dev/null; then
	flags=$(pc --cflags --libs userfault)
	check "C++" g++ -std=c++17 "$source/tests/front/header.cpp" -o "$dir/header" $flags
	check "a C++ program" env LD_LIBRARY_PATH="$libdir" "$dir/header"
fi
exit "$failed"
