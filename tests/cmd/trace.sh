# run --trace: what is in the file, of whom, and what becomes of it.
. "$(dirname "$0")/lib.sh"

read_trace() {
	/usr/bin/python3 "$(dirname "$0")/read-trace.py" "$1" >"$dir/text" || {
		fail "$what: the trace is $(tail -n 1 "$dir/text")"
	}
}
# expect_lines N PATTERN: so many lines of the trace are like that.
expect_lines() {
	n=$(grep -c -e "$2" "$dir/text")
	[ "$n" -eq "$1" ] || {
		fail "$what: $n lines, not $1, are like '$2'"
		sed 's/^/	| /' "$dir/text" | head -n 60
	}
}

what='one process'
run "$USERFAULT" run --trace "$dir/trace" -- "$HELPERS/faults" 16 4 7
expect_status 7
expect_out done
read_trace "$dir/trace"
expect_lines 1 "^program $HELPERS/faults 16 4 7$"
expect_lines 1 '^process [0-9]* 0 faults$'
expect_lines 1 '^range .* 0x10000 3 0x0'
expect_lines 16 "^fault .* missing $HELPERS/faults$"
expect_lines 4 "^fault .* 0x11 wp $HELPERS/faults$"
expect_lines 20 '^message '
expect_lines 16 '^fill .* 0x1000 [0-9]* 0x0'
expect_lines 1 '^protect .* 0x4000 [0-9]* 0x0'
expect_lines 4 '^protect .* 0x1000 [0-9]* 0x1'
expect_lines 20 '^wake '
expect_lines 0 '^none'
# Who faults and who serves are two threads.
[ "$(grep '^fault' "$dir/text" | cut -d' ' -f3 | sort -u)" != \
  "$(grep '^fill' "$dir/text" | cut -d' ' -f3 | sort -u)" ] || fail "$what: one thread does all"

what='a static program'
run "$USERFAULT" run --trace="$dir/trace" -- "$HELPERS/faults-static" 16 4 0
expect_status 0
read_trace "$dir/trace"
expect_lines 16 "^fault .* missing $HELPERS/faults-static$"
expect_lines 4 "^fault .* wp $HELPERS/faults-static$"

what='a process that is killed'
run "$USERFAULT" run --trace "$dir/trace" -- "$HELPERS/faults" 8 2 killed
expect_status 137
read_trace "$dir/trace"
expect_lines 8 '^fault .* missing '
expect_lines 2 '^fault .* wp '

what='two processes'
run "$USERFAULT" run --trace "$dir/trace" -- sh -c '"$0" 16 0 0 && "$0" 8 0 5' "$HELPERS/faults"
expect_status 5
read_trace "$dir/trace"
expect_lines 2 '^process [0-9]* 0 faults$'
expect_lines 24 '^fault .* missing '
[ "$(grep '^fault' "$dir/text" | cut -d' ' -f2 | sort -u | wc -l)" -eq 2 ] ||
	fail "$what: faults are not of two"

what='a handler in another process'
run "$USERFAULT" run --trace "$dir/trace" -- sh -c '
	"$0" wait "$1/socket" >"$1/said" &
	until [ -s "$1/said" ]; do :; done
	"$0" serve "$1/socket"
	wait
' "$HELPERS/elsewhere" "$dir"
expect_status 0
read_trace "$dir/trace"
owner=$(sed -n 's/^fault \([0-9]*\) .*/\1/p' "$dir/text" | sort -u)
reader=$(sed -n 's/^message [0-9]* \([0-9]*\) .*/\1/p' "$dir/text" | sort -u)
[ -n "$reader" ] && [ "$reader" != "$owner" ] ||
	fail "$what: '$reader' reads the messages of '$owner'"

what='memory that leaves and comes back'
run "$USERFAULT" run --memory-limit=256K --swap=zstd --trace "$dir/trace" -- \
	"$HELPERS/limited" 256 1 2000 0
expect_status 0
read_trace "$dir/trace"
grep -q '^evict .* 0x[1-9a-f]' "$dir/text" || fail "$what: nothing leaves"
grep -q '^fetch .* 0x1000 ' "$dir/text" || fail "$what: nothing comes back"
grep -q '^fault .* back ' "$dir/text" || fail "$what: no fault brings it back"

what='no room for all'
run "$USERFAULT" run --trace "$dir/trace" --trace-size=64K -- "$HELPERS/faults" 2000 0 0
expect_status 0
expect_sentence '--trace-size makes room for more'
[ "$(wc -c <"$dir/trace")" -le 65536 ] || fail "$what: the file is larger"
read_trace "$dir/trace"

what='a process that outlives the program'
run "$USERFAULT" run --trace "$dir/trace" -- sh -c '
	{ "$0" 3000 3000 "after:$1/goon" >"$1/ready"; echo $? >"$1/late"; } 2>"$1/late-err" &
	until grep -q ready "$1/ready" || [ -s "$1/late" ]; do :; done 2>"$1/loop"
' "$HELPERS/faults" "$dir"
expect_status 0
read_trace "$dir/trace"
expect_lines 3000 '^fault .* missing '
: >"$dir/goon"
until [ -s "$dir/late" ]; do :; done
[ "$(cat "$dir/late")" = 0 ] || fail "$what: it ended with '$(cat "$dir/late" "$dir/late-err")'"
size=$(wc -c <"$dir/trace")
read_trace "$dir/trace"
expect_lines 0 '^fault .* wp '

what='a trace of nothing'
run "$USERFAULT" run --trace "$dir/trace" -- true
expect_status 0
read_trace "$dir/trace"
expect_lines 1 '^records 0 of 0$'

what='a full disk'
if [ "$(id -u)" -eq 0 ] && mkdir "$dir/small" &&
	mount -t tmpfs -o size=256k small "$dir/small" 2>"$dir/err"; then
	run "$USERFAULT" run --trace "$dir/small/trace" -- "$HELPERS/faults" 4000 0 3
	umount "$dir/small"
	expect_status 3
	expect_sentence 'no room on its disk'
fi

refused 2 "cannot be written" run --trace="$dir/none/trace" true
refused 2 "--trace-size: 'x' is no size" run --trace="$dir/trace" --trace-size=x true
refused 2 'less than 64K' run --trace="$dir/trace" --trace-size=1K true
refused 2 'name its file with --trace' run --trace-size=1M true

finish
