#!/bin/sh
# Work moves from one process to another: over TLS with the certificates of docs/pager.md, in clear,
# and not at all to a stranger.
. "$(dirname "$0")/lib.sh"

command -v openssl >/dev/null || skip "openssl is not installed"
cd "$dir"
sed -n '/^```sh$/,/^```$/p' "$SOURCE/docs/pager.md" | grep -v '^```' >certificates.sh
sh -eu certificates.sh >log 2>&1 || {
	cat log
	fail "the commands of docs/pager.md make no certificates"
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=three \
	-keyout three.key -out three.pem 2>/dev/null

tls() {
	echo "--cert $1.pem --key $1.key --ca ca.pem"
}

# receive OPTION...: starts the receiving side; its port is in $port, what it says in received.
receive() {
	rm -f said
	mkfifo said
	"$EXAMPLE" receive 127.0.0.1:0 "$@" >said 2>&1 &
	receiver=$!
	children=$receiver
	exec 3<said
	read -r line <&3
	port=${line##* }
	case $line in
	"waiting at 127.0.0.1, port "[1-9]*) ;;
	*) fail "the receiver says: $line" ;;
	esac
}

finish() {
	cat <&3 >out
	status=0
	wait "$receiver" || status=$?
	children=
}

move() {
	receive $1
	"$EXAMPLE" send "127.0.0.1:$port" $2 10000000 >sent 2>&1 || fail "send: $(cat sent)"
	finish
	[ "$status" -eq 0 ] || fail "the receiver's status is $status"
	says '^going on at 10, [0-9.]+ ms after the connection$'
	says '^664579 primes below 10000000$'
	grep -qE '^9 MiB have moved in [0-9]+ ms$' sent || fail "the sender says: $(cat sent)"
}

move '' ''
move "$(tls two)" "$(tls one)"
move "$(tls two) --peer one" "$(tls one) --peer two"

# refused RECEIVER SENDER: neither side takes part.
refused() {
	receive $1
	! "$EXAMPLE" send "127.0.0.1:$port" $2 100000 >sent 2>&1 || fail "sent: $(cat sent)"
	finish
	[ "$status" -ne 0 ] || fail "received"
	! grep -q ' primes below ' out || fail "received"
}

refused "$(tls two)" "$(tls three)"
says "certificate is refused"
refused "$(tls three)" "$(tls one)"
grep -q 'certificate is refused' sent || fail "the sender says: $(cat sent)"
refused "$(tls two)" "$(tls one) --peer three"
refused "$(tls two)" ''

# The cause and the file are named; the memory is as it was.
for wrong in "--cert none.pem --key one.key --ca ca.pem" "--cert one.pem --key two.key --ca ca.pem" \
	"--cert one.pem --key one.key --ca one.key"; do
	receive $(tls two)
	! "$EXAMPLE" send "127.0.0.1:$port" $wrong 100000 >sent 2>&1 || fail "sent with $wrong"
	finish
	grep -qE '^move-memory: the memory has not moved, and is as it was: .* (none.pem|two.key|one.key) cannot be used: ' sent ||
		fail "the sender says: $(cat sent)"
done
