# ps shows the sessions with their processes and the threads that wait, and is not led astray by
# what the ledger of a session can have in it.
. "$(dirname "$0")/lib.sh"

refused 2 "ps takes no argument, but was given 'all'" ps all
refused 2 "did you mean --mine" ps --mime
refused 2 "did you mean --json" ps --jsn
refused 2 "takes no value" ps --json=yes

shows() {
	grep -qE -e "$1" "$dir/out" || {
		fail "$what: stdout does not show '$1'"
		sed 's/^/	| /' "$dir/out"
	}
}

shows_not() {
	grep -qE -e "$1" "$dir/out" && {
		fail "$what: stdout shows '$1'"
		sed 's/^/	| /' "$dir/out"
	}
}

# No control character of somebody else's reaches the terminal.
clean() {
	[ "$(tr -d '\n\t -~' <"$dir/out" | wc -c)" -eq 0 ] || fail "$what: stdout has control characters"
	[ -s "$dir/err" ] && fail "$what: $(cat "$dir/err")"
}

what='a session'
run "$HELPERS/ledger" good "$USERFAULT" ps
expect_status 0
shows '^session feed00000000beef: the-program, begun 1 h 1 min ago, 1 process$'
shows '^ +[0-9]+  first\?\[2J +owner +guard +2 +31 +4096 +3 +77$'
shows '^ +thread 111 waits 5\.[0-9]* s at 0x7f0000001234$'
shows '^ +thread 112 waits 1 min 40 s for an event to be read$'
shows '^ +and 1 more$'
shows '^ +4\* contained +handler '
shows '^\* as its own pid namespace numbers it$'
shows_not departed
clean

what='a session as JSON'
run "$HELPERS/ledger" good "$USERFAULT" ps --json --mine
expect_status 0
clean
/usr/bin/python3 - "$dir/out" <<'PY' || fail "$what: see above"
import json, sys
all = json.load(open(sys.argv[1]))
s = [s for s in all["sessions"] if s["id"] == "feed00000000beef"][0]
assert s["program"] == "the-program" and not s["other_version"] and len(s["members"]) == 1, s
assert [p["command"] for p in s["processes"]] == ["first?[2J", "contained"], s
p = s["processes"][0]
assert p["pid"] == s["members"][0] and p["owner"] and not p["handler"], p
assert (p["userfaultfds"], p["ranges"], p["pages"], p["served"]) == (2, 31, 4096, 77), p
assert p["faults"]["missing"] == 12 and p["trap"] == "guard" and p["waiting"] == 3, p
fault, event = p["threads"]
assert (fault["tid"], fault["for"], fault["address"]) == (111, "fault", 0x7f0000001234), fault
assert 5e9 <= fault["nanoseconds"] < 60e9, fault
assert (event["tid"], event["for"], event["address"]) == (112, "event", None), event
assert s["processes"][1]["pid_of_other_namespace"] and not p["pid_of_other_namespace"], s
PY

what='a session of another version'
run "$HELPERS/ledger" old "$USERFAULT" ps
expect_status 0
shows '^session of another version of Userfault, held by process [0-9]+$'
clean

what='noise in the slots'
run "$HELPERS/ledger" hostile "$USERFAULT" ps
expect_status 0
shows '^session feed00000000beef: \?+, 1 process$'
clean
run "$HELPERS/ledger" hostile "$USERFAULT" ps --json
expect_status 0
clean

for other in foreign short; do
	what="a $other file"
	run "$HELPERS/ledger" $other "$USERFAULT" ps
	expect_status 0
	shows_not '^session feed'
	clean
done

# A machine of its own, with no other processes, where a user may have one.
alone='unshare --user --map-root-user --pid --fork --mount-proc'
if $alone true 2>/dev/null; then
	what='no sessions'
	run $alone "$USERFAULT" ps
	expect_status 0
	expect_out 'no sessions'
	run $alone "$USERFAULT" join -- true
	expect_status 125
	expect_sentence "there is no session; 'userfault run' begins one"
	what='a file that is no session'
	run $alone "$HELPERS/ledger" foreign "$USERFAULT" ps
	expect_out 'no sessions'
	what='nothing but a session'
	run $alone "$HELPERS/ledger" good "$HELPERS/ledger" good "$USERFAULT" ps
	[ "$(grep -c '^session feed' "$dir/out")" -eq 2 ] || fail "$what: not two sessions"
	what='two sessions'
	run $alone "$HELPERS/ledger" good "$HELPERS/ledger" good "$USERFAULT" join -- true
	expect_status 125
	expect_sentence 'there are 2 sessions; say which'
fi

what='a process that waits'
mkfifo "$dir/fifo"
"$USERFAULT" run -- "$HELPERS/elsewhere" wait "$dir/socket" >"$dir/fifo" &
exec 3<"$dir/fifo"
read -r address pid <&3
waits="thread $pid waits [0-9.]+ s at $address\$"
until "$USERFAULT" ps >"$dir/out" && grep -qE "$waits" "$dir/out"; do
	kill -0 "$pid" 2>/dev/null || {
		fail "$what: it ended"
		break
	}
done
run "$USERFAULT" ps
expect_status 0
shows "^ *$pid  elsewhere +owner +(guard|mprotect) +1 +1 +1 +1 +[0-9]+$"
kill -9 "$pid"
wait
run "$USERFAULT" ps
shows_not "^ *$pid "

finish
