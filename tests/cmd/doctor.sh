# The doctor's diagnosis is right where the truth is known, in words and as JSON.
. "$(dirname "$0")/lib.sh"

python=/usr/bin/python3

# An expression about the JSON object d must be true.
json() {
	"$python" -c '
import json, sys
d = json.load(open(sys.argv[1]))
u = d["userfaultfd"]
sys.exit(not eval(sys.argv[2]))' "$dir/out" "$1" || {
		fail "$what: not true: $1"
		sed 's/^/	| /' "$dir/out"
	}
}

what='in words'
run "$USERFAULT" doctor
expect_status 0
[ -s "$dir/err" ] && fail "$what: stderr says $(cat "$dir/err")"
[ "$(wc -l <"$dir/out")" -lt 25 ] || fail "$what: too long"
awk 'length > 100 {exit 1}' "$dir/out" || fail "$what: a line is too wide"
grep -q "$(uname -r)" "$dir/out" || fail "$what: does not name the kernel"
grep -q 'Userfault works here' "$dir/out" || fail "$what: does not say that it works"

what='as JSON'
run "$USERFAULT" doctor --json
expect_status 0
json 'd["works"] is True and d["why"] is None'
json 'd["traps"]["mprotect"]["works"] is True'
json 'd["traps"]["chosen"] in ("guard", "mprotect")'
json 'd["traps"][d["traps"]["chosen"]]["works"] is True'
json 'd["mappings"]["limit"] == int(open("/proc/sys/vm/max_map_count").read())'
json '0 < d["mappings"]["budget"] <= d["mappings"]["limit"] // 2'
if [ -e /proc/sys/vm/unprivileged_userfaultfd ]; then
	json 'u["sysctl"] == int(open("/proc/sys/vm/unprivileged_userfaultfd").read())'
fi

what='denied by a filter with EPERM'
run "$DENY" -- "$USERFAULT" doctor --json
expect_status 0
json 'u["permitted"] == "no" and u["features"] is None and u["seccomp"] == 2'
json 'u["all_faults"] == {"permitted": False, "error": "EPERM", "refused_by": "seccomp"}'
json 'u["user_mode_only"] == {"permitted": False, "error": "EPERM", "refused_by": "seccomp"}'
json 'u["device"]["permitted"] is False'
run "$DENY" -- "$USERFAULT" doctor
grep -q 'refused (EPERM): a seccomp filter' "$dir/out" || fail "$what: the words do not say so"

if [ -e /proc/sys/vm/unprivileged_userfaultfd ]; then
	what='denied by a filter with ENOSYS'
	run "$DENY" --errno=ENOSYS -- "$USERFAULT" doctor --json
	json 'u["user_mode_only"] == {"permitted": False, "error": "ENOSYS", "refused_by": "seccomp"}'
fi

# What an ordinary user gets. Under a filter of somebody else's all is refused by that.
ordinary=
[ "$(id -u)" -ne 0 ] || ordinary='setpriv --reuid=65534 --clear-groups --'
sysctl=$(cat /proc/sys/vm/unprivileged_userfaultfd 2>/dev/null || echo none)
what='denied by the sysctl'
run $ordinary "$USERFAULT" doctor --json
expect_status 0
if [ "$sysctl" = 0 ] && grep -q '^Seccomp:	0' /proc/self/status; then
	json 'u["cap_sys_ptrace"] is False'
	json 'u["all_faults"] == {"permitted": False, "error": "EPERM", "refused_by": "sysctl"}'
	json 'u["user_mode_only"]["permitted"] is True'
fi

finish
