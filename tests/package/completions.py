#!/usr/bin/python3
"""The completions of one shell offer what the commands take: every command, each option that a
command's --help names, nothing that it refuses, and the values of those that name them.

completions.py SHELL USERFAULT COMPLETIONS (the shell's file)
"""

import os
import re
import shutil
import subprocess
import sys

SHELL, PROGRAM, FILE = sys.argv[1:]
failures = []

BASH = r"""
source "$FILE"
COMP_WORDS=(userfault)
# As readline splits words: = is one of its own.
for word in "$@"; do
	case $word in
	--*=*) COMP_WORDS+=("${word%%=*}" =); [ -z "${word#*=}" ] || COMP_WORDS+=("${word#*=}") ;;
	*) COMP_WORDS+=("$word") ;;
	esac
done
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
[ "${COMP_WORDS[COMP_CWORD]}" != = ] || IS_VALUE=1
_userfault
printf '%s\n' "${COMPREPLY[@]}"
"""
# What _arguments is told is what zsh offers.
ZSH = r"""
service=userfault
compdef() { }
_describe() { print -l -- "${(@P)argv[-1]}" }
_arguments() {
	if [[ $1 == -C ]]; then
		state=$STATE line=($COMMAND)
	else
		print -l -- "$@"
	fi
}
STATE=command
(( $# <= 1 )) || STATE=arguments COMMAND=$1
source $FILE
"""


def run(words):
    """The lines of a shell that completes the last of words."""
    env = dict(os.environ, FILE=FILE, LC_ALL="C.UTF-8")
    env["PATH"] = os.path.dirname(os.path.abspath(PROGRAM)) + ":" + env["PATH"]
    if SHELL == "bash":
        command = ["bash", "--norc", "-c", BASH, "bash", *words]
    elif SHELL == "zsh":
        command = ["zsh", "-f", "-c", ZSH, "zsh", *words]
    else:
        line = " ".join(["userfault", *words])
        command = ["fish", "--no-config", "-c", f'source {FILE}; complete -C "{line}"']
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    if done.stderr:
        failures.append(f"{words}: {SHELL} said {done.stderr.strip()}")
    return done.stdout.splitlines()


def offered_options(command):
    lines = run([command, "--"])
    return {m.group() for m in (re.search(r"--[a-z0-9][a-z0-9-]*", line) for line in lines) if m}


def offered_values(command, option):
    if SHELL == "bash":
        return set(run([command, option + "="]))
    if SHELL == "fish":
        return {line.split("\t")[0].partition("=")[2] for line in run([command, option + "="])
                if line.startswith("--")}  # fish offers files, too
    for line in run([command, option + "="]):
        m = re.match(r"\*" + option + r"=\[.*\]:[^:]*:\(([^)]*)\)$", line)
        if m:
            return set(m.group(1).split())
    return set()


def help_of(*command):
    done = subprocess.run([PROGRAM, *command, "--help"], capture_output=True, text=True, timeout=60)
    return done.stdout if done.returncode == 0 else None


def refuses(command, option):
    """Does the command not know it? A last option that none knows keeps it from doing anything."""
    done = subprocess.run([PROGRAM, command, option, "--no-such-option", "--no-such-option"],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    return re.search(r"(unknown option|unrecognized option) '?" + option + r"\b", done.stderr) is not None


def check_values(command, text):
    for option, values in re.findall(r"^ {1,6}(--[a-z-]+)[= ]([a-z0-9-]+(?:\|[a-z0-9-]+)+)", text, re.M):
        if offered_values(command, option) != set(values.split("|")):
            failures.append(f"{command} {option}: {sorted(offered_values(command, option))} offered")
    for option in re.findall(r"^ {1,6}(--profile)=", text, re.M):
        values = offered_values(command, option)
        if len(values) < 5:
            failures.append(f"{command} {option}: only {sorted(values)} offered")
        for value in values:
            done = subprocess.run([PROGRAM, command, f"{option}={value}", "--no-such-option"],
                                  capture_output=True, text=True, timeout=60)
            if "--no-such-option" not in done.stderr:
                failures.append(f"{command} {option}={value} is offered: {done.stderr.strip()}")


def main():
    if not shutil.which(SHELL):
        print(f"skipped: no {SHELL} on this machine")
        return 77
    commands = re.findall(r"^  userfault ([a-z]+)\b", help_of(), re.M)
    offered = {line.split("\t")[0] for line in run([""])} - {"--help", "--version"}
    if len(commands) < 5 or offered != set(commands):
        failures.append(f"the commands {sorted(offered)} are offered, there are {sorted(commands)}")
    checked = 0
    for command in commands:
        text = help_of(command)
        if text is None:
            print(f"{command}: not built")
            continue
        named = set(re.findall(r"(?<![\w-])--[a-z0-9][a-z0-9-]*", "\n".join(
            line.split("  ")[1] if line.startswith("  ") else "" for line in text.splitlines())))
        named = {option for option in named if not refuses(command, option)}
        offered = offered_options(command)
        if named - offered:
            failures.append(f"{command}: not offered are {sorted(named - offered)}")
        for option in offered:
            if refuses(command, option):
                failures.append(f"{command}: {option} is offered and refused")
        check_values(command, text)
        checked += len(offered)
    if checked < 20:
        failures.append(f"only {checked} options seen")
    for failure in failures:
        print("FAIL:", failure)
    print(f"{checked} options of {len(commands)} commands")
    return 1 if failures else 0


sys.exit(main())
