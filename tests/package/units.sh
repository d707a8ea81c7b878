#!/bin/sh
# The systemd units: nothing in them that systemd does not know, and a service that may do little.
# units.sh SERVICE SOCKET USERFAULT
set -u

command -v systemd-analyze >/dev/null || { echo "skipped: no systemd-analyze"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

# As it is installed, but for where the command is.
sed "s#^ExecStart=[^ ]*/userfault #ExecStart=$3 #" "$1" >"$dir/userfault-serve@.service"
cp "$2" "$dir/userfault-serve@.socket"
grep -q "^ExecStart=$3 serve " "$dir/userfault-serve@.service" || {
	echo "FAIL: ExecStart= in $1 is not 'BINDIR/userfault serve ...'"
	failed=1
}

cd "$dir" || exit 1
said=$(systemd-analyze verify --man=no --generators=no \
	./userfault-serve@name.service ./userfault-serve@name.socket 2>&1)
case $said in
*"Failed to initialize manager"* | *"Failed to lookup"*)
	echo "skipped: systemd-analyze does not work here: $said"
	exit 77
	;;
esac
[ -z "$said" ] || {
	echo "FAIL: systemd-analyze verify says:"
	echo "$said"
	failed=1
}
systemd-analyze security --offline=true --threshold=20 ./userfault-serve@.service >security 2>&1 || {
	echo "FAIL: the service is too exposed:"
	grep '✗' security
	tail -n 2 security
	failed=1
}
tail -n 1 security
exit "$failed"
