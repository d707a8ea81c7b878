#!/bin/sh
# SPDX-License-Identifier: MIT
# The library and its archive define uf_* for others, and nothing else: no function of libc's is
# interposed, no name of a program's own is met.
# exports.sh SHARED-LIBRARY ARCHIVE
names() {
	nm "$@" | awk 'NF == 3 && $2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort
}
shared=$(names -D --defined-only "$1") || exit 1
archive=$(names -g --defined-only "$2") || exit 1
echo "$shared" | grep -q '^uf_open$' || { echo "$1 does not export uf_open"; exit 1; }
[ "$shared" = "$archive" ] || { echo "the archive defines: $archive"; exit 1; }
other=$(echo "$shared" | grep -v '^uf_')
[ -z "$other" ] || { echo "exported besides uf_*: $other"; exit 1; }
