# Where Userfault cannot start, run says so before PROGRAM does, and doctor says it does not work.
. "$(dirname "$0")/lib.sh"

what='little address space'
run sh -c 'ulimit -v 65536; exec "$@"' sh "$USERFAULT" run -- echo started
expect_status 125
expect_out ''
expect_sentence "Userfault cannot start here: "

run sh -c 'ulimit -v 65536; exec "$@"' sh "$USERFAULT" run --stats --trap=mprotect -- echo started
expect_status 125
expect_out ''
expect_sentence "Userfault cannot start here: "

what='doctor with little address space'
run sh -c 'ulimit -v 65536; exec "$@"' sh "$USERFAULT" doctor
expect_status 1
grep -q '^Userfault does not work here: ' "$dir/out" || fail "$what: says $(cat "$dir/out")"

finish
