#!/bin/sh
# Inside the root directory of deb.sh: install, use, remove. in-root.sh VERSION
set -u

failed=0
cd /root || exit 1

fail() {
	echo "FAIL: $*"
	failed=1
}

# check WHAT COMMAND...: it succeeds; its output is in out.
check() {
	what=$1
	shift
	"$@" >out 2>&1 </dev/null && return
	fail "$what: status $?: $(tail -n 5 out)"
}

says() {
	grep -qE -e "$1" out || fail "$what: its output has no '$1': $(head -n 5 out)"
}

# All files but those that change with any installation.
files() {
	find / -xdev \( -path /root -o -path /var/lib/dpkg -o -path /var/cache -o -path /var/log \
		-o -path /etc/ld.so.cache -o -path /var/lib/systemd -o -name __pycache__ ! -path "*/userfault/*" \) -prune -o -print |
		sort
}

cat >serve.sh <<'END'
# serve SOCKET: starts the server and waits for it to say that it serves.
serve() {
	rm -f said
	mkfifo said
	userfault serve --socket "$1" --memory memory 2>said &
	server=$!
	exec 3<said
	while read -r line <&3; do
		echo "$line"
		case $line in
		*" serves "*) return ;;
		esac
	done >serve.log
	fail "userfault serve does not serve: $(cat serve.log)"
}
END
. ./serve.sh

# What this system's own packages still had to do.
check "configuring the root directory" dpkg --configure --pending
files >before
check "installation" dpkg -i debs/*.deb
dpkg --audit | grep . && fail "dpkg --audit complains"

check "userfault --version" userfault --version
says "^userfault $1\$"
check "userfault doctor" userfault doctor
check "userfault doctor --json" userfault doctor --json
says '"version"|{'
check "userfault run" userfault run --stats -- ./faults 200 50 0
says '(^|[^0-9])200([^0-9]|$)'

head -c 1048576 /dev/urandom >memory
serve /run/serve.sock
python3 guest.py /run/serve.sock memory >out 2>&1
case $? in
0) ;;
77)
	# The kernel's is refused: both on Userfault.
	kill "$server"
	check "userfault serve on Userfault" userfault run -- sh -c '. ./serve.sh
		serve /run/serve2.sock
		python3 guest.py /run/serve2.sock memory
		status=$?
		kill "$server"
		exit $status'
	serve /run/serve.sock
	;;
*) fail "userfault serve: $(tail -n 5 out serve.log)" ;;
esac
check "userfault top --once" userfault top --once
check "userfault top --once --json" userfault top --once --json
says '^[[{]'
kill "$server" 2>/dev/null
wait "$server" 2>/dev/null

check "userfault pack" userfault pack memory memory.packed
[ -s memory.packed ] || fail "userfault pack wrote nothing"
check "userfault trace --help" userfault trace --help
check "python3" python3 -c 'import userfault; print(userfault.__version__)'
says "^$1\$"

for page in $(userfault --help | sed -nE 's/^  userfault ([a-z]+)( .*)?$/userfault-\1/p') userfault; do
	if command -v man >/dev/null; then
		check "man $page" man "$page"
		says '[A-Z]'
	else
		[ -f "/usr/share/man/man1/$page.1.gz" ] || fail "no manual page $page"
	fi
done
if command -v man >/dev/null; then
	check "man libuserfault" man 3 libuserfault
fi
for file in $(dpkg -L userfault userfault-nbd userfault-ceph libuserfault0 libuserfault-pager0 |
	grep -E '\.so|/bin/|/libexec/userfault/'); do
	[ -f "$file" ] || continue
	ldd "$file" >out 2>&1
	! grep -q 'not found' out || fail "$file: $(grep 'not found' out)"
done

check "removal" dpkg --purge $(for deb in debs/*.deb; do dpkg-deb -f "$deb" Package; done)
files >after
diff before after >out || fail "installing and removing leaves a difference: $(cat out)"
exit "$failed"
