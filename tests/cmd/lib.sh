# lib.sh - for the tests of the command. In the environment: USERFAULT, the command; HELPERS, the
# directory of the helper programs; DENY, the launcher that denies userfaultfd.

set -u
unset USERFAULT_PRELOAD USERFAULT_TRAP USERFAULT_PROFILE USERFAULT_SESSION USERFAULT_VERBOSE LD_PRELOAD
unset USERFAULT_MEMORY_LIMIT USERFAULT_SWAP USERFAULT_POLICY USERFAULT_RECORD
unset USERFAULT_FILE_FAULTS USERFAULT_MOVE_ANY USERFAULT_RAW_CALLS USERFAULT_HOST USERFAULT_HOSTED
unset USERFAULT_HUGE USERFAULT_SESSION USERFAULT_TRACE USERFAULT_INJECT
LC_ALL=C
export LC_ALL

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

fail() {
	echo "FAIL: $*"
	failed=1
}

# Run a command; its status, stdout and stderr are in $status, $dir/out and $dir/err.
run() {
	status=0
	"$@" >"$dir/out" 2>"$dir/err" || status=$?
}

# The last run: has this status.
expect_status() {
	[ "$status" -eq "$1" ] || {
		fail "$what: status $status, not $1"
		sed 's/^/	| /' "$dir/err"
	}
}

expect_out() {
	[ "$(cat "$dir/out")" = "$1" ] || fail "$what: stdout is '$(cat "$dir/out")', not '$1'"
}

# stderr is one sentence from the command, with these words in it.
expect_sentence() {
	[ "$(wc -l <"$dir/err")" -eq 1 ] || fail "$what: stderr is not one line: $(cat "$dir/err")"
	grep -q '^userfault: ' "$dir/err" || fail "$what: stderr is not the command's: $(cat "$dir/err")"
	grep -qF -e "$1" "$dir/err" || fail "$what: stderr does not say '$1': $(cat "$dir/err")"
}

# refused STATUS WORDS ARGUMENT...: the command is given the arguments and refuses.
refused() {
	wanted=$1 words=$2
	shift 2
	what="userfault $*"
	run "$USERFAULT" "$@"
	expect_status "$wanted"
	expect_sentence "$words"
	expect_out ''
}

finish() {
	exit "$failed"
}
