# A record of faults, and what policies would have made of it.
. "$(dirname "$0")/lib.sh"

# made NAME < one access a line, PAGE or PAGEw: a record of one process.
made() {
	/usr/bin/python3 -c '
import struct, sys
accesses = sys.stdin.read().split()
with open(sys.argv[1], "wb") as f:
    f.write(struct.pack("<QIIQQ32x", 0x4543415254465555, 1, 12, len(accesses), len(accesses)))
    for i, a in enumerate(accesses):
        page = int(a.rstrip("w"))
        f.write(struct.pack("<QII", (4096 + page) * 4096 | a.endswith("w"), 7, i))
' "$dir/$1"
}

# The numbers of a policy: faults, evictions, write-backs.
numbers() {
	sed -n "s/^$1 *\([0-9]*\) *[0-9.]*% *\([0-9]*\) *\([0-9]*\) .*/\1 \2 \3/p" "$dir/out"
}

expect_numbers() {
	[ "$(numbers "$1")" = "$2" ] || {
		fail "$what: $1 has '$(numbers "$1")', not '$2'"
		sed 's/^/	| /' "$dir/out"
	}
}

what='all of it fits'
for i in 1 2 3; do seq 1 10; done | made fits
run "$USERFAULT" replay --limit=40K "$dir/fits"
expect_status 0
for policy in clock 2q random best; do
	expect_numbers $policy '10 0 0'
done
grep -q '^30 accesses to 10 pages of 1 process, room for 10 pages$' "$dir/out" ||
	fail "$what: says $(head -n 1 "$dir/out")"

what='the future is known'
echo 1w 2 3 1 2 4w 1 2 3 4 | made known
run "$USERFAULT" replay --limit=12K --policy=clock "$dir/known"
expect_status 0
expect_numbers best '5 2 1'
expect_numbers 2q ''

# A few pages are used all the time, and many once.
what='a scan'
/usr/bin/python3 -c '
for i in range(4000):
    print(i % 40)
    if i > 400: print(100 + i)
' | made scan
run "$USERFAULT" replay --limit=400K "$dir/scan"
expect_status 0
best=$(numbers best)
for policy in clock 2q random; do
	n=$(numbers $policy)
	[ "${n%% *}" -ge "${best%% *}" ] || fail "$what: $policy is better than best"
	[ "${n%% *}" -le 7599 ] || fail "$what: $policy has more faults than there are accesses"
done

# Twice as many pages as fit are wanted for good, by some more than by others; then a pass over more.
what='a scan that must not push out what is wanted'
/usr/bin/python3 -c '
x = 1
for i in range(40000):
    x = x * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
    r = x >> 33
    print(int(2 ** (r / 2 ** 31 * 10)))
    if 20000 < i < 26000: print(5000 + i)
' | made wanted
run "$USERFAULT" replay --limit=1M "$dir/wanted"
expect_status 0
clock=$(numbers clock) two=$(numbers 2q) random=$(numbers random)
[ "${two%% *}" -lt "${clock%% *}" ] || fail "$what: 2q has ${two%% *} faults, clock ${clock%% *}"
[ "${clock%% *}" -lt "${random%% *}" ] || fail "$what: clock has ${clock%% *} faults, random ${random%% *}"

what='a process of its own'
run "$USERFAULT" run --memory-limit=256K --swap=zstd --record-faults="$dir/trace" -- \
	"$HELPERS/limited" 256 1 2000 0
expect_status 0
expect_out done
run "$USERFAULT" replay "$dir/trace"
expect_status 0
grep -q 'accesses to 256 pages of 1 process, room for 128 pages$' "$dir/out" ||
	fail "$what: says $(head -n 1 "$dir/out")"
size=$(wc -c <"$dir/trace")
[ $(((size - 64) % 16)) -eq 0 ] && [ "$size" -gt $((256 * 16)) ] || fail "$what: the record has $size bytes"

what='two processes'
run "$USERFAULT" run --record-faults="$dir/trace" -- sh -c '"$0" 16 0 0 && "$0" 8 4 5' "$HELPERS/faults"
expect_status 5
run "$USERFAULT" replay --limit=1M "$dir/trace"
expect_status 0
grep -q '^28 accesses to 24 pages of 2 processes, room for 256 pages$' "$dir/out" ||
	fail "$what: says $(head -n 1 "$dir/out")"
expect_numbers clock '24 0 0'

what='a program that is not there leaves no record'
run "$USERFAULT" run --record-faults="$dir/none" -- "$dir/no-such-program"
expect_status 127
[ ! -e "$dir/none" ] || fail "$what: but there is one"

what='a record that is cut off'
head -c 200 "$dir/trace" >"$dir/cut"
refused 2 'is cut off' replay "$dir/cut"
what='a record without faults'
run "$USERFAULT" run --record-faults="$dir/empty" -- true
expect_status 0
refused 2 'has no faults in it' replay "$dir/empty"
: | made other
printf '\003' | dd of="$dir/other" bs=1 seek=8 conv=notrunc 2>"$dir/err"
refused 2 'another version' replay "$dir/other"

finish
