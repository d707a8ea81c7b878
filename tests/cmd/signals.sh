# Signals reach PROGRAM, and the command ends as PROGRAM ended.
. "$(dirname "$0")/lib.sh"

ends() {
	wanted=$1
	shift
	what="$*"
	run "$HELPERS/ends" "$@"
	expect_out "$wanted"
}

for options in '' --stats; do
	for sig in TERM KILL INT HUP ABRT; do
		ends "killed $sig" "$USERFAULT" run $options -- sh -c "kill -$sig \$\$"
	done
	ends 'exited 3' "$USERFAULT" run $options -- sh -c 'exit 3'
done

# A signal for the command is one for PROGRAM. The helper tells each that comes, and ends by TERM.
mkfifo "$dir/told"
for options in '' --stats; do
	what="signals sent to the command $options"
	"$USERFAULT" run $options -- "$HELPERS/tell-signals" >"$dir/told" 2>"$dir/err" &
	pid=$!
	exec 4<"$dir/told"
	read -r line <&4
	[ "$line" = ready ] || fail "$what: the helper says '$line'"
	for sig in USR1 USR2 HUP INT QUIT WINCH ALRM RTMIN; do
		kill -s "$sig" "$pid"
		read -r line <&4
		[ "$line" = "$sig" ] || fail "$what: $sig came as '$line'"
	done
	kill -s TERM "$pid"
	status=0
	wait "$pid" || status=$?
	exec 4<&-
	[ "$status" -eq 143 ] || fail "$what: status $status at the end"
done

# Who kills the command kills PROGRAM: the pipe's other end closes.
what='SIGKILL to the command'
"$USERFAULT" run --stats -- "$HELPERS/tell-signals" >"$dir/told" 2>"$dir/err" &
pid=$!
exec 4<"$dir/told"
read -r line <&4
kill -s KILL "$pid"
wait "$pid" 2>/dev/null
rest=$(cat <&4)
[ -z "$rest" ] || fail "$what: PROGRAM said '$rest'"
exec 4<&-

finish
