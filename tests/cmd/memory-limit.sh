# A program under a limit has its contents, and no more pages in memory than it may; without room for
# another page it is told so, and loses nothing.
. "$(dirname "$0")/lib.sh"

says() {
	grep -qE -e "$1" "$dir/err" || {
		fail "$what: stderr does not say '$1'"
		sed 's/^/	| /' "$dir/err"
	}
}

says_not() {
	if grep -qE -e "$1" "$dir/err"; then
		fail "$what: stderr says '$1'"
		sed 's/^/	| /' "$dir/err"
	fi
}

# Pages that several threads make at the same moment, and idle frames, may come on top.
slack=256

for trap in guard mprotect; do
	for swap in "$dir" "$dir/new-file" zstd; do
		for policy in clock 2q random; do
			what="half of the memory, $trap, $swap, $policy"
			run "$USERFAULT" run --stats --trap=$trap --memory-limit=1M --swap="$swap" \
				--policy=$policy -- "$HELPERS/limited" 512 3 1000 $((1024 + slack))
			expect_status 0
			expect_out done
			says 'pages out and in +[1-9][0-9]* left, [1-9][0-9]* came back; resident at most 2[0-9][0-9], swap at most [1-9][0-9]* KiB$'
			says_not 'refused'
		done
	done
done
[ -z "$(find "$dir" -name '*swap*' -o -name 'new-file*')" ] || fail "swap files are left behind"

what='little room'
run "$USERFAULT" run --stats --memory-limit=64K --swap=zstd -- \
	"$HELPERS/limited" 512 4 500 $((64 + slack))
expect_status 0
expect_out done

what='a limit that is never reached'
run "$USERFAULT" run --stats --memory-limit=1G -- "$HELPERS/limited" 64 2 100 0
expect_status 0
says_not 'pages out and in'

what='two processes with a limit each'
run "$USERFAULT" run --stats --memory-limit=512K --swap="$dir" -- sh -c \
	'"$0" 256 1 500 0 & "$0" 256 1 500 0; wait $!' "$HELPERS/limited"
expect_status 0
says 'statistics of 2 processes'
says 'resident at most 2[0-9][0-9],'

what='pages that are moved in'
run "$USERFAULT" run --memory-limit=1M --swap=zstd -- "$HELPERS/limited" moves 2048 $((1024 + slack))
expect_status 0
expect_out done

for swap in "$dir" zstd; do
	what="a forked child, $swap"
	run "$USERFAULT" run --stats --memory-limit=512K --swap="$swap" -- \
		"$HELPERS/limited" forks 256 2 500
	expect_status 0
	expect_out done
	says 'statistics of 2 processes'
done

# Nothing can leave.
what='no swap'
run "$USERFAULT" run --stats --memory-limit=1M --swap=none -- "$HELPERS/limited" refused 512
expect_status 0
expect_out "256 filled, then ENOMEM
SIGBUS
room again"
says '^userfault: there is no swap store: '
says 'memory limit +2 times nothing could leave'
[ "$(grep -c 'swap store' "$dir/err")" -eq 1 ] || fail "$what: said more than once"

what='a full store'
run "$USERFAULT" run --memory-limit=1M --swap="$dir:1M" -- "$HELPERS/limited" refused 4096
expect_status 0
[ "$(sed 1d "$dir/out")" = "SIGBUS
room again" ] || fail "$what: says $(cat "$dir/out")"
grep -qE '^(5[0-9][0-9]|6[0-9][0-9]) filled, then ENOMEM$' "$dir/out" || fail "$what: says $(cat "$dir/out")"
says '^userfault: the swap store is full: '

what='a full compressed store'
run "$USERFAULT" run --memory-limit=1M --swap=zstd:256K -- "$HELPERS/limited" refused 65536
expect_status 0
grep -qE '^[0-9]+ filled, then ENOMEM$' "$dir/out" || fail "$what: says $(cat "$dir/out")"
says '^userfault: the swap store is full: '

what='a limit on the size of files'
run sh -c 'ulimit -S -f 2048; exec "$@"' sh "$USERFAULT" run --memory-limit=1M --swap="$dir" -- \
	"$HELPERS/limited" refused 4096
expect_status 0
says '^userfault: the swap store is full: '

finish
