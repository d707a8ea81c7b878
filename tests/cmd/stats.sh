# The statistics tell what happened: of one process, of several, of none, of one that was killed.
. "$(dirname "$0")/lib.sh"

says() {
	grep -qE -e "$1" "$dir/err" || {
		fail "$what: stderr does not say '$1'"
		sed 's/^/	| /' "$dir/err"
	}
}

for trap in guard mprotect; do
	what="one process, $trap"
	run "$USERFAULT" run --stats --trap=$trap -- "$HELPERS/faults" 32 8 0
	expect_status 0
	expect_out done
	says "statistics of 1 process, $trap trap"
	says 'missing 32, write-protect 8, minor 0, read-write-protect 0$'
	says 'p50 [0-9.]+ [um]?s, p99 [0-9.]+ [um]?s, max [0-9.]+ [um]?s$'
	says 'pages filled +32,'
	says 'pages managed +32, bookkeeping [1-9][0-9]* KiB \([0-9.]+ bytes a page\)'
	says 'host mappings +[0-9]+ used of a budget of [1-9][0-9]*$'
done

what='two processes'
run "$USERFAULT" run --stats -- sh -c '"$0" 16 0 0 && "$0" 8 4 5' "$HELPERS/faults"
expect_status 5
says 'statistics of 2 processes,'
says 'missing 24, write-protect 4,'
says 'pages filled +24,'

what='no userfaultfd'
run "$USERFAULT" run --stats -- true
expect_status 0
expect_out ''
says '^userfault: no process of this run used a userfaultfd$'

what='a killed process'
run "$HELPERS/ends" "$USERFAULT" run --stats -- "$HELPERS/faults" 4 0 killed
expect_out 'killed KILL'
says 'missing 4,'

finish
