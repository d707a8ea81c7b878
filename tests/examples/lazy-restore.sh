#!/bin/sh
# A process has the memory of an image: raw, packed, and one that does not end with a page.
. "$(dirname "$0")/lib.sh"

head -c 5000000 /dev/urandom >"$dir/odd"
head -c 4194304 "$dir/odd" >"$dir/even"
"$PACK" --quiet "$dir/odd" "$dir/packed"

# The kernel's userfaultfd where it may be used, else Userfault's.
if ! "$EXAMPLE" "$dir/even" >"$dir/out" 2>&1; then
	grep -q '^lazy-restore: userfaultfd: ' "$dir/out" || fail "the example does not work"
	EXAMPLE="$USERFAULT run -- $EXAMPLE"
fi
for image in even odd packed; do
	original=$dir/$image
	[ "$image" = packed ] && original=$dir/odd
	$EXAMPLE "$dir/$image" >"$dir/out" 2>&1 || fail "$image: status $?"
	says '^the child had its first page after [0-9.]+ ms$'
	says "^its bytes add up to $(/usr/bin/python3 -c 'import sys; print(sum(open(sys.argv[1], "rb").read()))' "$original")\$"
	says '^[0-9]+ faults, the slowest took [0-9.]+ ms; [0-9]+ pages were there before$'
done

# An image that is damaged: the child gets SIGBUS, nobody hangs.
size=$(stat -c %s "$dir/packed")
dd if=/dev/zero of="$dir/packed" bs=1 seek=$((size / 2)) count=64 conv=notrunc status=none
! $EXAMPLE "$dir/packed" >"$dir/out" 2>&1 || fail "a damaged image was restored"
says '^lazy-restore: the child failed$'
! $EXAMPLE "$dir/none" >"$dir/out" 2>&1 || fail "there is no such image"
says '^lazy-restore: the image: .*/none cannot be opened'
