# run --inject: words that are wrong, and what --stats says in the end.
. "$(dirname "$0")/lib.sh"

refused 2 "did you mean 'copy'?" run --inject=copi:EAGAIN true
refused 2 "did you mean 'spurious-wake'?" run --inject=seed=1,spurious-wke:1% true
refused 2 "did you mean 'EAGAIN'?" run --inject=copy:EAGIN true
refused 2 "'zeropage' needs an error" run --inject=zeropage true
refused 2 'would be a lie' run --inject=copy:EEXIST true
refused 2 "'zeropage' cannot fail with 'EBUSY'" run --inject=zeropage:EBUSY true
refused 2 "'register' cannot fail with 'EAGAIN'" run --inject=register:EAGAIN true
refused 2 "'read:EAGAIN', not 'ENOMEM'" run --inject=read:ENOMEM true
refused 2 'UFFDIO_WAKE does not fail' run --inject=wake:EAGAIN true
refused 2 "'5' does not say how often" run --inject=copy:EAGAIN:5 true
refused 2 "'101%' does not say how often" run --inject=dup-message:101% true
refused 2 "'every=0' does not say how often" run --inject=event-storm:every=0 true
refused 2 "'2%' does not say how often" run --inject=copy:EAGAIN:1%:2% true
refused 2 'a delay needs a time' run --inject=delay:copy true
refused 2 "'20s' is no part of a delay" run --inject=delay:20s true
refused 2 "'5' is no part of a delay" run --inject=delay:read:5 true
refused 2 'less than its p50' run --inject=delay:p50=2ms:p99=1ms true
refused 2 "'seed=x' needs a number" run --inject=seed=x true
refused 2 'before, between or behind the commas' run --inject= true
refused 2 'before, between or behind the commas' run --inject=seed=1, true

# Every second COPY fails, and is not tried again: the helper gives up.
what='every second COPY'
run "$USERFAULT" run --stats --inject=copy:EAGAIN:every=2 -- "$HELPERS/faults" 4 0 0
expect_status 1
grep -q '^COPY: Resource temporarily unavailable$' "$dir/err" || fail "$what: $(head -n 3 "$dir/err")"
grep -q '^  injected  *errors 1, storms 0,' "$dir/err" || fail "$what: $(grep injected "$dir/err")"

what='with a profile'
run "$USERFAULT" run --stats --profile=linux-5.4 --inject=delay:copy:1us:every=3 -- \
	"$HELPERS/faults" 9 0 0
expect_status 1
run "$USERFAULT" run --stats --profile=linux-5.13 --inject=delay:copy:1us:every=3 -- \
	"$HELPERS/faults" 9 0 0
expect_status 0
grep -q ' delays 3$' "$dir/err" || fail "$what: $(grep delays "$dir/err")"

# A time is no percentage.
what='a delay of every fault'
run "$USERFAULT" run --stats --inject=delay:1ms -- "$HELPERS/faults" 9 0 0
expect_status 0
grep -q ' delays 9$' "$dir/err" || fail "$what: $(grep delays "$dir/err")"

what='nothing is said where nothing was asked for'
run "$USERFAULT" run --stats -- "$HELPERS/faults" 4 0 0
! grep -q injected "$dir/err" || fail "$what"

what='words that the command has not seen'
USERFAULT_INJECT=nonsense run "$USERFAULT" run -- "$HELPERS/faults" 4 0 0
expect_status 1
grep -q 'USERFAULT_INJECT cannot be understood' "$dir/err" || fail "$what: $(cat "$dir/err")"

finish
