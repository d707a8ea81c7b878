#!/bin/sh
# SPDX-License-Identifier: MIT
# A program that touches no userfaultfd sees and says under Userfault what it does alone, but for the
# session's descriptor, which it inherits.
# unnoticed.sh USERFAULT PROGRAM
alone=$("$2") || exit 1
under=$("$1" run -- "$2") || exit 1
[ "$(echo "$under" | grep -c memfd:userfault-session)" -le 1 ] || exit 1
under=$(echo "$under" | grep -v memfd:userfault-session)
[ -n "$alone" ] || exit 1
[ "$alone" = "$under" ] && exit 0
dir=$(mktemp -d) || exit 1
echo "$alone" > "$dir/alone"
echo "$under" > "$dir/under"
diff "$dir/alone" "$dir/under"
rm -r "$dir"
exit 1
