# fish completion for userfault. The commands, their options and values are read from --help, so that
# they are always those of the userfault at hand.

function __userfault_commands
    userfault --help 2>/dev/null </dev/null | string replace -rf '^  userfault ([a-z]+)( .*)?$' '$1'
end

# The command on the line, and nothing once a program to run has begun.
function __userfault_command
    set -l words (commandline -opc)
    for word in $words[2..-1]
        if not string match -q -- '-*' $word
            echo $word
            return
        end
    end
end

# Is it the program of run or join that is being typed?
function __userfault_in_program
    set -l words (commandline -opc)
    set -l command (__userfault_command)
    contains -- "$command" run join; or return 1
    contains -- -- $words; and return 0
    test "$command" = run; or return 1
    set -l rest $words[(math (contains -i -- run $words) + 1)..-1]
    for word in $rest
        string match -q -- '-*' $word; or return 0
    end
    return 1
end

function __userfault_option --argument-names option value text
    switch $option
        case --policy
            set value 'clock|2q|random'
        case --profile
            set value 'all|linux-4.11|linux-4.19|linux-5.4|linux-5.10|linux-5.15|linux-6.1|linux-6.6|linux-6.12'
        case --on-failure
            set value 'poison|kill|wait'
        case --log-format
            set value 'text|json'
    end
    if string match -q '*|*' -- $value
        for one in (string split '|' -- $value)
            printf '%s=%s\t%s\n' $option $one $text
        end
    else if test -n "$value"
        printf '%s=\t%s\n' $option $text
    else
        printf '%s\t%s\n' $option $text
    end
end

# "--option<TAB>what it does", and "--option=value" for each value that --help names.
function __userfault_options
    set -l command (__userfault_command)
    test -n "$command"; or return
    for line in (userfault $command --help 2>/dev/null </dev/null)
        set -l found (string match -r '^ {1,6}(--[^ ]+=[^ ]+)(?: +(.*))?$' -- $line)
        or set found (string match -r '^ {1,6}(-(?:[^ ]| [^ ])*)(?:  +(.*))?$' -- $line)
        or continue
        set -l text $found[3]
        for part in (string split ', ' -- $found[2])
            set -l option (string match -r '^(--[a-z0-9][a-z0-9-]*)(?:[= ]([^ ]+))?$' -- $part)
            or continue
            __userfault_option $option[2] "$option[3]" "$text"
        end
    end
end

# Is it the value of an option of which all values are known?
function __userfault_listed
    set -l option (string match -r -- '^--[a-z0-9-]+=' (commandline -ct)); or return 1
    __userfault_in_program; and return 1
    __userfault_options | string match -qr -- "^$option"'[^\t]'
end

complete -c userfault -n 'test -z (__userfault_command)' -f -a '(__userfault_commands)'
complete -c userfault -n 'test -z (__userfault_command)' -f -l help -d 'what it does'
complete -c userfault -n 'test -z (__userfault_command)' -f -l version -d 'which it is'
complete -c userfault -n 'test -n (__userfault_command); and not __userfault_in_program' -a '(__userfault_options)'
complete -c userfault -n __userfault_in_program -a '(__fish_complete_subcommand --fcs-skip=2)'
complete -c userfault -n __userfault_listed -f
