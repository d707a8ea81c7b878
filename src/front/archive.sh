#!/bin/sh
# Makes an archive of one object out of whole archives, and of what they need of a library, with
# nothing global but what is exported: the names inside must not meet a program's own.
# archive.sh OUTPUT LIBRARY ARCHIVE...
set -e
output=$1
library=$2
shift 2
object=$output.o
trap 'rm -f "$object"' EXIT
ld -r -o "$object" --whole-archive "$@" --no-whole-archive "$library"
objcopy --wildcard --keep-global-symbol='uf_*' "$object"
rm -f "$output"
ar rcsD "$output" "$object"
