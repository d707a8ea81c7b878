# A program that joins a session can serve the faults of its processes; one that does not is told
# how to.
. "$(dirname "$0")/lib.sh"

refused 2 'PROGRAM is missing' join
refused 2 'PROGRAM is missing' join --
refused 2 'PROGRAM is missing' join 1234
refused 2 'PROGRAM is missing' join 1234 --
refused 2 "'--' is missing before PROGRAM; type 'userfault join 1234 -- true'" join 1234 true
refused 2 'did you mean --verbose' join --vrebose -- true
refused 2 'takes no value' join --verbose=1 -- true
refused 127 "no-such-program" join -- no-such-program
refused 125 "there is no session 'feed00000000beef'" join feed00000000beef -- true
refused 125 "there is no session ''" join '' -- true
refused 125 "there is no session '99999999999'" join 99999999999 -- true
refused 125 "there is no process 9999999" join 9999999 -- true
refused 125 "process $$ is in no session" join $$ -- true

what='a session that others began'
run "$HELPERS/ledger" good "$USERFAULT" join feed -- sh -c 'readlink "/proc/self/fd/${USERFAULT_SESSION%:*}"'
expect_status 0
expect_out '/memfd:userfault-session (deleted)'
run "$HELPERS/ledger" good "$USERFAULT" join --verbose feed -- sh -c 'exit 9'
expect_status 9
grep -q 'joining session feed00000000beef of the-program' "$dir/err" || fail "$what: $(cat "$dir/err")"

what='a session of another version'
run "$HELPERS/ledger" old sh -c 'exec "$0" join $PPID -- true' "$USERFAULT"
expect_status 125
expect_sentence 'was begun by another version of Userfault'

what='a file that is no session'
run "$HELPERS/ledger" foreign "$USERFAULT" join feed -- true
expect_status 125
expect_sentence "there is no session 'feed'"

what='two that begin alike'
run "$HELPERS/ledger" good "$HELPERS/ledger" good "$USERFAULT" join feed -- true
expect_status 125
expect_sentence "'feed' begins the names of 2 sessions"

mkfifo "$dir/fifo"

# Starts the program that waits: $address, $pid and descriptor 3.
begin() {
	rm -f "$dir/socket"
	"$USERFAULT" run "$@" -- "$HELPERS/elsewhere" wait "$dir/socket" >"$dir/fifo" &
	exec 3<"$dir/fifo"
	read -r address pid <&3
}

# It must have got its page.
served() {
	read -r byte <&3 || byte=nothing
	[ "$byte" = 7 ] || fail "$what: the page has $byte"
	wait
}

for trap in guard mprotect; do
	what="a handler that joins by pid, $trap"
	begin --trap=$trap
	run "$USERFAULT" join "$pid" -- "$HELPERS/elsewhere" serve "$dir/socket"
	expect_status 0
	served
done

what='a handler that joins by name'
begin
name=$("$USERFAULT" ps --json | /usr/bin/python3 -c '
import json, sys
print([s["id"] for s in json.load(sys.stdin)["sessions"] if int(sys.argv[1]) in s["members"]][0])' "$pid")
run "$USERFAULT" join "$name" -- "$HELPERS/elsewhere" serve "$dir/socket"
expect_status 0
served

what='a shell that joins'
begin
run "$USERFAULT" join "$pid" -- sh -c '"$0" serve "$1"; exit $?' "$HELPERS/elsewhere" "$dir/socket"
expect_status 0
served

# ENXIO is 6.
what='a handler in another session'
begin
run "$USERFAULT" run -- "$HELPERS/elsewhere" serve "$dir/socket"
expect_status 6
expect_sentence 'userfault join'
what='after one that was refused'
run "$USERFAULT" join "$pid" -- "$HELPERS/elsewhere" serve "$dir/socket"
expect_status 0
served

finish
