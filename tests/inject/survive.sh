# Handlers and --inject: the right one survives everything, and something was injected indeed; the
# wrong one does not.
. "$LIB"

# survives COUNT SPEC HOW...: and this count of the statistics is not 0.
survives() {
	counted=$1 spec=$2
	shift 2
	what="$* with $spec"
	run "$USERFAULT" run --stats "--inject=$spec" -- "$HELPERS/survive" "$@"
	expect_status 0
	expect_out right
	grep -A1 '^  injected' "$dir/err" | grep -q "$counted [1-9]" ||
		fail "$what: nothing of '$counted': $(grep -A1 '^  injected' "$dir/err")"
}

survives errors copy:EAGAIN:20% copy
survives errors fill:EAGAIN:20% zeropage
survives errors fill:EAGAIN:20% continue
survives errors fill:ENOMEM:20% move
survives errors move:EBUSY:20% move
survives errors writeprotect:EAGAIN:30%,writeprotect:ENOMEM,register:ENOMEM:50% protect
survives storms event-storm:5%,seed=3 copy
survives storms event-storm protect
survives 'partial fills' partial-copy:50% copy
survives 'partial fills' partial-copy:50% continue
survives 'partial fills' partial-copy:every=2 move
survives 'empty reads' read:EAGAIN:30% copy
survives 'empty reads' read:EAGAIN:30% copy edge
survives 'spurious wakes' spurious-wake:30% copy
survives 'spurious wakes' spurious-wake:30% protect
survives 'messages twice' dup-message:30% zeropage edge
survives 'messages twice' dup-message:30% protect
survives delays delay:p99=1ms copy
survives delays delay:read:20us:50%,delay:ioctl:p50=20us move

all=fill:EAGAIN,fill:ENOMEM,move:EBUSY,partial-copy,spurious-wake,dup-message,event-storm,read:EAGAIN
for how in copy zeropage continue move protect; do
	survives 'spurious wakes' "$all,seed=7" "$how"
	survives 'spurious wakes' "$all,seed=8" "$how" edge
done

what='a handler that takes EAGAIN for a failure'
run "$USERFAULT" run --inject=copy:EAGAIN:20% -- "$HELPERS/survive" copy wrong
expect_status 3
expect_out 'gave up'
what='the same, and nothing is injected'
run "$USERFAULT" run -- "$HELPERS/survive" copy wrong
expect_status 0

finish
