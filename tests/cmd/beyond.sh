# What no kernel offers is refused as a kernel does, and offered to who asks for it.
. "$(dirname "$0")/lib.sh"

ends() {
	what="$1, $3"
	run "$USERFAULT" run $3 -- "$HELPERS/beyond" "$1" /var/tmp
	expect_status 0
	expect_out "$2"
}

ends file 'Invalid argument' ''
ends file 'done' --file-faults
ends file 'Invalid argument' --move-any
ends move 'Invalid argument' ''
ends move 'done' --move-any
ends move 'Invalid argument' --file-faults

finish
