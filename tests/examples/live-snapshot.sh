#!/bin/sh
# Snapshots of a program that goes on; the example checks itself that each is of one instant.
. "$(dirname "$0")/lib.sh"

"$EXAMPLE" "$dir" 16 0 3 >"$dir/out" 2>&1 || fail "status $?"
for i in 1 2 3; do
	says "^$dir/bank.$i: paused for [0-9.]+ ms; [1-9][0-9]* transfers while it was written"
	"$PACK" --check "$dir/bank.$i" >/dev/null || fail "bank.$i is no image"
done
says "^$dir/bank.3: restored; [012] units were between two accounts, of at most 2\$"
# It is of this kind of memory, and no copy of what was there at the end.
"$PACK" --quiet --to=raw "$dir/bank.2" "$dir/raw"
[ "$(stat -c %s "$dir/raw")" -eq 16777216 ] || fail "the snapshot has another size"

! "$EXAMPLE" "$dir/none" 16 0 1 >"$dir/out" 2>&1 || fail "there is no such directory"
says '^live-snapshot: the snapshot cannot begin: .*/none/bank.1 cannot be written'
