# Every wrong use is answered with one sentence and exit status 2; help and version are given.
. "$(dirname "$0")/lib.sh"

refused 2 "did you mean 'run'" rum
refused 2 "did you mean 'doctor'" docter --json
refused 2 "userfault --help" frobnicate
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
refused 2 "'12x' is no size" run --memory-limit=12x true
refused 2 "'' is no size" run --memory-limit= true
refused 2 "'-1' is no size" run --memory-limit=-1 true
refused 2 "is no size" run --memory-limit=99999999999G true
refused 2 "is not enough for one instruction" run --memory-limit=4K true
refused 2 "did you mean --memory-limit" run --memory-limt=4M true
refused 2 "did you mean 'clock'" run --policy=clok true
refused 2 "there are clock, 2q, random" run --policy=whatever true
refused 2 "needs a directory" run --swap= true
refused 2 "is no directory" run --swap="$0" true
refused 2 "No such file or directory" run --swap="$dir/no/such" true
refused 2 "no file can be made at '/proc/swap'" run --swap=/proc/swap true
refused 2 "'many' is no size" run --swap=zstd:many true
refused 2 "'none'" run --swap=zstd:0 true
refused 2 "cannot be written" run --record-faults="$dir/no/such" true
refused 2 "takes no value" run --file-faults=yes true
refused 2 "takes no value" run --move-any=yes true
refused 2 "takes no value" run --fork-events=yes true
refused 2 "TRACE is missing" replay
refused 2 "one TRACE at a time" replay "$0" "$0"
refused 2 "is no record of faults" replay "$0"
refused 2 "is no record of faults" replay /dev/null
refused 2 "No such file or directory" replay "$dir/none"
refused 2 "did you mean '2q'" replay --policy=2k "$0"
refused 2 "'x' is no size" replay --limit=x "$0"
refused 2 "is not a page" replay --limit=12 "$0"
refused 2 "unknown option --limits, did you mean --limit" replay --limits=4M "$0"
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
for word in --trap --profile --memory-limit --swap --policy --record-faults --file-faults --move-any --fork-events --no-raw-calls --stats --verbose 'Exit status'; do
	grep -q -e "$word" "$dir/out" || fail "$what: does not name $word"
done
helps replay --help
for word in --limit --policy TRACE 'Exit status'; do
	grep -q -e "$word" "$dir/out" || fail "$what: does not name $word"
done
helps join --help
for word in SESSION PID --verbose 'Exit status'; do
	grep -q -e "$word" "$dir/out" || fail "$what: does not name $word"
done
helps ps --help
for word in --mine --json 'Exit status'; do
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
