# The preload library: where it is looked for, how the program gets it.
. "$(dirname "$0")/lib.sh"

what='USERFAULT_PRELOAD'
run env USERFAULT_PRELOAD=/no/such/library.so "$USERFAULT" run -- true
expect_status 125
expect_sentence "USERFAULT_PRELOAD names '/no/such/library.so'"

what='a path that LD_PRELOAD cannot name'
mkdir "$dir/with space"
cp "$PRELOAD" "$dir/with space/library.so"
run env USERFAULT_PRELOAD="$dir/with space/library.so" "$USERFAULT" run -- true
expect_status 125
expect_sentence "a space or a colon"

if [ ! -e "$PRELOAD_INSTALLED" ]; then
	what='the command alone'
	cp "$USERFAULT" "$dir/userfault"
	run "$dir/userfault" run -- true
	expect_status 125
	expect_sentence "USERFAULT_PRELOAD"
fi

what='LD_PRELOAD'
run "$USERFAULT" run -- printenv LD_PRELOAD
expect_status 0
ours=$(cat "$dir/out")
[ -e "$ours" ] || fail "LD_PRELOAD is '$ours'"

what='LD_PRELOAD before'
cp "$PRELOAD" "$dir/other.so"
run env LD_PRELOAD="$dir/other.so" "$USERFAULT" run -- printenv LD_PRELOAD
expect_out "$ours:$dir/other.so"

what='a run within a run'
run "$USERFAULT" run -- "$USERFAULT" run -- printenv LD_PRELOAD
expect_out "$ours"

what='the settings'
run "$USERFAULT" run --trap=mprotect --profile=linux-5.13 -- \
	sh -c 'echo "$USERFAULT_TRAP $USERFAULT_PROFILE ${USERFAULT_VERBOSE-quiet}"'
expect_out 'mprotect linux-5.13 quiet'
run "$USERFAULT" run -- sh -c 'echo "$USERFAULT_TRAP $USERFAULT_PROFILE"'
expect_out 'auto all'

what='--verbose'
run "$USERFAULT" run --verbose -- true
expect_status 0
grep -q "^userfault: .*$ours" "$dir/err" || fail "$what: says $(cat "$dir/err")"

finish
