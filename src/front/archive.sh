#!/bin/sh
# Makes an archive of one object out of whole archives, with nothing global but what is exported: the
# names inside must not meet a program's own.
# archive.sh OUTPUT ARCHIVE...
set -e
output=$1
shift
object=$output.o
trap 'rm -f "$object"' EXIT
ld -r -o "$object" --whole-archive "$@"
objcopy --localize-hidden "$object"
rm -f "$output"
ar rcsD "$output" "$object"
