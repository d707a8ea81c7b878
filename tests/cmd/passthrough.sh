# Input, output, arguments, environment, status: all are PROGRAM's own, with and without --stats.
. "$(dirname "$0")/lib.sh"

each() {
	options=$*

	what="stdin and stdout $options"
	printf 'one\ntwo\n' >"$dir/in"
	run "$USERFAULT" run $options -- cat <"$dir/in"
	expect_status 0
	expect_out "$(cat "$dir/in")"

	what="arguments $options"
	run "$USERFAULT" run $options -- printf '<%s>' 'a b' '' '*' --stats
	expect_out '<a b><><*><--stats>'

	what="stderr $options"
	run "$USERFAULT" run $options -- sh -c 'echo oops >&2'
	grep -qx oops "$dir/err" || fail "$what"
	expect_out ''

	for code in 0 1 2 7 126 127 255; do
		what="status $code $options"
		run "$USERFAULT" run $options -- sh -c "exit $code"
		expect_status "$code"
	done

	what="another descriptor $options"
	run sh -c '"$@" 3>&1' sh "$USERFAULT" run $options -- sh -c 'echo through >&3'
	expect_out through

	what="a closed stdin $options"
	run sh -c '"$@" <&-' sh "$USERFAULT" run $options -- sh -c '[ ! -e /proc/$$/fd/0 ] && echo closed'
	expect_out closed

	what="environment $options"
	run env MARK=here "$USERFAULT" run $options -- printenv MARK
	expect_out here

	what="ignored signals $options"
	run sh -c 'trap "" HUP CHLD; exec "$@"' sh "$USERFAULT" run $options -- \
		awk '/^SigIgn/ {print $2}' /proc/self/status
	ignored=$(cat "$dir/out")
	run sh -c 'trap "" HUP CHLD; exec "$@"' sh awk '/^SigIgn/ {print $2}' /proc/self/status
	expect_out "$ignored"

	what="blocked signals $options"
	run "$USERFAULT" run $options -- awk '/^SigBlk/ {print $2}' /proc/self/status
	expect_out 0000000000000000
}

each
each --stats
each --trap=mprotect --verbose

what='the process is PROGRAM'
sh -c 'echo $$; exec "$@"' sh "$USERFAULT" run -- sh -c 'echo $$' >"$dir/out"
[ "$(sort -u "$dir/out" | wc -l)" -eq 1 ] || fail "$what: pids $(tr '\n' ' ' <"$dir/out")"

# With --stats: what PROGRAM closes is closed, although the command is still there.
what='a closed stdout'
mkfifo "$dir/go" "$dir/text"
"$USERFAULT" run --stats -- sh -c 'echo text; exec >&-; read -r word' \
	<"$dir/go" >"$dir/text" 2>"$dir/err" &
pid=$!
exec 4>"$dir/go"
got=$(cat "$dir/text") # ends only when everybody has closed it
[ "$got" = text ] || fail "$what: got '$got'"
echo word >&4
exec 4>&-
wait "$pid" || fail "$what: status $?"

finish
