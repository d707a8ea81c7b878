# A forked child has a copy of what its parent manages, wherever things are mapped this time.
. "$(dirname "$0")/lib.sh"

for trap in guard mprotect; do
	for round in 1 2 3 4 5 6 7 8 9 10; do
		what="round $round, $trap"
		run "$USERFAULT" run --trap=$trap -- "$HELPERS/forked"
		expect_status 0
		expect_out '8 8 8 8 unharmed'
		[ ! -s "$dir/err" ] || fail "$what: stderr says $(cat "$dir/err")"
	done
done

finish
