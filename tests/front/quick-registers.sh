#!/bin/sh
# What decides whether a system call is looked into must leave the vector registers alone: neither
# gate_quick nor what it calls may touch one.
# quick-registers.sh OBJDUMP LIBRARY
set -e
for function in gate_quick file_known cpu_copy_nofault; do
	code=$("$1" -d --no-show-raw-insn --disassemble="$function" "$2" | sed -n "/<$function>:/,\$p")
	[ -n "$code" ] || { echo "there is no $function" >&2; exit 1; }
	if echo "$code" | grep -E '%[xyz]mm|%st|%mm'; then
		echo "$function uses vector registers" >&2
		exit 1
	fi
	for called in $(echo "$code" | sed -n 's/.*\(call\|jmp\) .*<\([a-z_]*\)[@>].*/\2/p' | sort -u); do
		case $called in
		gate_quick | file_known | cpu_copy_nofault) ;;
		*)
			echo "$function calls $called" >&2
			exit 1
			;;
		esac
	done
done
