# bash completion for userfault. The commands, their options and values are read from --help, so that
# they are always those of the userfault at hand.

# What --help says, as lines "--option value", where value is what stands behind the = or the space.
_userfault_options() {
	"$@" --help 2>/dev/null </dev/null | sed -nE '/^ {1,6}-/ {s/^ +//; s/  .*//; s/^(--[^ ]+=[^ ]+) .*/\1/; s/, -/\n-/g; p}' |
		sed -nE 's/^(--[[:alnum:]][[:alnum:]-]*)([= ]([^ ]+))?$/\1 \3/p'
}

_userfault_commands() {
	"$1" --help 2>/dev/null </dev/null | sed -nE 's/^  userfault ([a-z]+)( .*)?$/\1/p'
}

# What may stand behind OPTION=, given how --help calls it.
_userfault_values() {
	local option=$1 value=$2 cur=$3

	case $option in
	--policy) value='clock|2q|random' ;;
	--swap) value='zstd|none' ;;
	--profile) value='all|linux-4.11|linux-4.19|linux-5.4|linux-5.10|linux-5.15|linux-6.1|linux-6.6|linux-6.12' ;;
	--on-failure) value='poison|kill|wait' ;;
	--log-format) value='text|json' ;;
	--user | --owner) COMPREPLY=($(compgen -u -- "$cur")) && return ;;
	esac
	case $value in
	*\|*) COMPREPLY=($(compgen -W "${value//|/ }" -- "$cur")) ;;
	esac
	case $option,$value in
	*,DIR* | *,*DIRECTORY*) COMPREPLY+=($(compgen -d -- "$cur")) ;;
	--swap,* | *,*FILE* | *,*PATH* | *,*TRACE* | *,*ORDER* | *,*TARGET* | *,*SOURCE* | *,*SOCKET*)
		COMPREPLY+=($(compgen -f -- "$cur"))
		;;
	esac
}

_userfault() {
	# "--option=value" is three words where = separates words.
	local program=${COMP_WORDS[0]} cur=${COMP_WORDS[COMP_CWORD]} option= command= i at word value
	local takes=' '

	COMPREPLY=()
	if [ "$cur" = = ]; then
		option=${COMP_WORDS[COMP_CWORD - 1]} cur=
	elif [ "$COMP_CWORD" -ge 2 ] && [ "${COMP_WORDS[COMP_CWORD - 1]}" = = ]; then
		option=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-*) ;;
		*)
			command=${COMP_WORDS[i]}
			break
			;;
		esac
	done
	if [ -z "$command" ]; then
		COMPREPLY=($(compgen -W "$(_userfault_commands "$program") --help --version" -- "$cur"))
		return
	fi

	local options
	options=$(_userfault_options "$program" "$command")
	while read -r word value; do
		[ -z "$value" ] || takes+="$word "
	done <<<"$options"

	# Does the program of run and join begin before the word to complete?
	case $command in
	run | join)
		for ((at = i + 1; at < COMP_CWORD; at++)); do
			word=${COMP_WORDS[at]}
			if [ "$word" = -- ]; then
				at=$((at + 1))
			elif [[ $word == -* ]]; then
				[ "${COMP_WORDS[at + 1]}" = = ] && at=$((at + 2))
				[ "${COMP_WORDS[at]}" = = ] || [[ $takes != *" $word "* ]] ||
					[ "${COMP_WORDS[at - 1]}" = = ] || at=$((at + 1))
				continue
			elif [ "$command" = join ]; then
				continue
			fi
			if [ "$at" -ge "$COMP_CWORD" ]; then
				COMPREPLY=($(compgen -c -- "$cur"))
			elif declare -F _command_offset >/dev/null; then
				_command_offset "$at"
			else
				COMPREPLY=($(compgen -f -- "$cur"))
			fi
			return
		done
		;;
	esac

	word=${COMP_WORDS[COMP_CWORD - 1]}
	if [ -z "$option" ] && [[ $takes == *" $word "* ]]; then
		option=$word
	fi
	if [ -n "$option" ]; then
		value=$(sed -n "s/^$option //p" <<<"$options")
		_userfault_values "$option" "$value" "$cur"
		return
	fi
	if [[ $cur == -* ]]; then
		while read -r word value; do
			[ -z "$value" ] || word+==
			COMPREPLY+=($(compgen -W "$word" -- "$cur"))
		done <<<"$options"
		[[ ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2>/dev/null
		return
	fi
	case $command in
	run) COMPREPLY=($(compgen -c -- "$cur")) ;;
	*) COMPREPLY=($(compgen -f -- "$cur")) ;;
	esac
}

complete -o filenames -o bashdefault -F _userfault userfault
