#!/bin/sh
# SPDX-License-Identifier: MIT
# What adding a memory type touches: one new file, and one line of a list. Adds tests/types/extra.c to
# a copy of the sources, counts the difference, builds the copy and runs a program on the new type.
# lines.sh SOURCE-ROOT MESON
set -eu
root=$1 meson=$2
here=$root/tests/types
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cp -r "$root/src" "$root/include" "$scratch"
cp "$here/extra.c" "$scratch/src/types/extra.c"
echo extra >>"$scratch/src/types/list"

# Lines that differ in files that both have, and files that only the copy has.
difference=$(diff -r "$root/src" "$scratch/src" || true)
lines=$(printf '%s\n' "$difference" | grep -c '^[<>]' || true)
files=$(printf '%s\n' "$difference" | grep -c '^Only in ' || true)
if [ "$lines" -ne 1 ] || [ "$files" -ne 1 ]; then
	echo "adding a type touched $lines lines and $files new files:"
	printf '%s\n' "$difference"
	exit 1
fi

# The rooms' own build files, and no more than the core.
cp "$here/extra_use.c" "$scratch/use.c"
cat >"$scratch/meson.build" <<'END'
project('extra', 'c', default_options: ['c_std=gnu17', 'buildtype=plain'])
add_project_arguments('-D_GNU_SOURCE', '-O0', '-fno-stack-protector', language: 'c')
subdir('src/mm')
subdir('src/types')
subdir('src/uffd')
subdir('src/machine/host')
executable('use', 'use.c', mm_src, types_src, uffd_src, host_src,
  include_directories: include_directories('include', 'src'))
END
if ! "$meson" setup "$scratch/build" "$scratch" >"$scratch/log" 2>&1 ||
	! "$meson" compile -C "$scratch/build" >>"$scratch/log" 2>&1; then
	tail -n 40 "$scratch/log"
	exit 1
fi
"$scratch/build/use"
echo "a type of $(wc -l <"$here/extra.c") lines in 1 new file, and $lines line of src/types/list"
