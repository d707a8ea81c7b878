# The n-th operation is met or not by its number and the seed alone.
. "$LIB"

rules=fill:EAGAIN,fill:ENOMEM:5%,partial-copy:20%,event-storm,register:ENOMEM,writeprotect:ENOMEM

# sequence SPEC FILE
sequence() {
	what="a sequence with $1"
	run "$USERFAULT" run "--inject=$1" -- "$HELPERS/sequence"
	expect_status 0
	mv "$dir/out" "$dir/$2"
}

sequence "$rules,seed=9" first
sequence "$rules,seed=9" again
sequence "$rules,seed=10" other
cmp -s "$dir/first" "$dir/again" || fail 'the same seed gives another sequence'
! cmp -s "$dir/first" "$dir/other" || fail 'another seed gives the same sequence'

# Both ways to say that nothing was done, and part of it done; a lack of memory is always told.
for line in 'copy 11 -11' 'copy 11 21845' 'copy 11 4096' 'copy 11 8192' 'copy 11 12288' \
	'copy 12 -12' 'zeropage 11 -11' 'protect 11' 'protect 12' 'register 12' 'copy 0 16384'; do
	grep -qx -e "$line" "$dir/first" || fail "none of 1200 is '$line'"
done
! grep -q 'copy 12 21845' "$dir/first" || fail 'ENOMEM leaves the output field untouched'

# What others are injected changes nothing for this one.
sequence copy:EAGAIN:20%,seed=5 alone
sequence copy:EAGAIN:20%,zeropage:ENOMEM:30%,delay:zeropage:1us,seed=5 beside
grep copy "$dir/alone" >"$dir/alone-copies"
grep copy "$dir/beside" >"$dir/beside-copies"
cmp -s "$dir/alone-copies" "$dir/beside-copies" || fail 'copies depend on what else is injected'

sequence copy:EAGAIN:every=3 third
[ "$(grep copy "$dir/third" | sed -n '3~3p' | sort -u | grep -c 'copy 11')" -eq 2 ] ||
	fail 'every=3 does not meet every third'
[ "$(grep -c 'copy 11' "$dir/third")" -eq 100 ] || fail 'every=3 does not meet a third'

finish
