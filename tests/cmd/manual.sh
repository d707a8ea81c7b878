# Each call of the library and each command has a manual page under its name, with an example.
. "$(dirname "$0")/lib.sh"

[ -e "$MANUAL/userfault.1" ] || {
	echo "no manual pages: scdoc was not there when this was built"
	exit 77
}

page() {
	[ -e "$MANUAL/$1" ] || {
		fail "there is no page $1"
		return
	}
	alias=$(sed -n 's/^\.so man[13]\///p' "$MANUAL/$1")
	grep -q '^\.SH EXAMPLES\?' "$MANUAL/${alias:-$1}" || fail "$1 has no example"
	grep -q "${1%.*}" "$MANUAL/${alias:-$1}" || fail "$1 does not name ${1%.*}"
}

calls=$(sed -n 's/^[a-z].*[ *]\(uf_[a-z_]*\)(.*/\1/p' "$SOURCE/include/userfault/userfault.h")
[ "$(echo "$calls" | wc -l)" -ge 19 ] || fail "only these calls found in the header: $calls"
for call in $calls; do
	page "$call.3"
done
page userfault.1
page userfault-run.1
page userfault-doctor.1
page userfault-replay.1
page userfault-join.1
page userfault-ps.1
page userfault-serve.1
page userfault-pack.1
page userfault-top.1
page userfault-trace.1

finish
