# Every wrong use is answered with one sentence and exit status 2; help and version are given.
. "$(dirname "$0")/lib.sh"

refused 2 "did you mean 'run'" rum
refused 2 "did you mean 'doctor'" docter --json
refused 2 "'run' and 'doctor'" frobnicate
refused 2 "userfault run -- /bin/true" /bin/true
refused 2 "unknown option --frobnicate" --frobnicate
refused 2 "did you mean --version" --versoin
refused 2 "unknown option -x" -x
refused 2 "PROGRAM is missing" run
refused 2 "PROGRAM is missing" run --stats
refused 2 "PROGRAM is missing" run --
refused 2 "PROGRAM is empty" run -- ''
refused 2 "did you mean --stats" run --stast true
refused 2 "unknown option --frobnicate" run --frobnicate=3 true
refused 2 "takes no value" run --stats=3 true
refused 2 "unknown option -x" run -x true
refused 2 "needs a value" run --trap
refused 2 "did you mean 'guard'" run --trap=gaurd true
refused 2 "auto, guard and mprotect" run --trap=magic true
refused 2 "auto, guard and mprotect" run --trap= true
refused 2 "unknown profile 'linux-99'; there are" run --profile=linux-99 true
refused 2 "unknown profile ''" run --profile= true
refused 2 "takes no argument" doctor now
refused 2 "unknown option --jsno, did you mean --json" doctor --jsno
refused 2 "takes no value" doctor --json=yes

what='userfault'
run "$USERFAULT"
expect_status 2
expect_out ''
grep -q 'userfault run' "$dir/err" || fail "userfault alone does not say how to use it"

helps() {
	what="userfault $*"
	run "$USERFAULT" "$@"
	expect_status 0
	[ -s "$dir/out" ] || fail "$what: no text"
	[ -s "$dir/err" ] && fail "$what: text on stderr"
}

helps --help
grep -q 'doctor' "$dir/out" || fail "$what: does not name doctor"
helps run --help
for word in --trap --profile --stats --verbose 'Exit status'; do
	grep -q -e "$word" "$dir/out" || fail "$what: does not name $word"
done
helps doctor --help
grep -q -e '--json' "$dir/out" || fail "$what: does not name --json"
helps --version
grep -Eqx 'userfault [0-9]+\.[0-9]+\.[0-9]+' "$dir/out" || fail "$what: says $(cat "$dir/out")"

# Options end where PROGRAM begins.
what='options of PROGRAM'
run "$USERFAULT" run echo --stats --help
expect_status 0
expect_out '--stats --help'

finish
