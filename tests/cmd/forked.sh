# A forked child that touches what its parent manages ends with a sentence, wherever things are
# mapped this time.
. "$(dirname "$0")/lib.sh"

for trap in guard mprotect; do
	for round in 1 2 3 4 5 6 7 8 9 10; do
		what="round $round, $trap"
		run "$USERFAULT" run --trap=$trap -- "$HELPERS/forked"
		expect_status 0
		expect_out 'SEGV SEGV SEGV SEGV unharmed'
		[ "$(grep -c 'forked child cannot use it' "$dir/err")" -eq 4 ] ||
			fail "$what: stderr says $(cat "$dir/err")"
	done
done

finish
