# A program that gains privileges ignores LD_PRELOAD, so it is refused.
. "$(dirname "$0")/lib.sh"

if grep -q '^NoNewPrivs:	1' /proc/self/status; then
	echo "nothing can gain privileges here (no_new_privs is set)"
	exit 77
fi
program=$dir/program
if [ "$(id -u)" -eq 0 ]; then
	cp "$HELPERS/ends" "$program"
	chown 65534 "$program"
	chmod 4755 "$program"
else
	program=$(command -v su) && [ -u "$program" ] || {
		echo "no setuid program at hand"
		exit 77
	}
fi
refused 126 "other privileges than yours" run -- "$program"

# One's own setuid program gains nothing.
own=$dir/own
cp "$HELPERS/ends" "$own"
chmod u+s "$own"
what='own setuid program'
run "$USERFAULT" run -- "$own" true
expect_status 0
expect_out 'exited 0'

finish
