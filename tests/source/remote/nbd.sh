#!/bin/sh
# An NBD server on a unix socket, for tests and for trying things out.
#
#   nbd.sh start DIR FILE [ARGUMENT...]   nbdkit with FILE as its only export, and further arguments
#                                         of nbdkit's (--filter=delay rdelay=1ms). DIR is made if
#                                         need be. Prints the name of the source; it answers by then.
#                                         77: there is no nbdkit
#   nbd.sh stop DIR                       ends it; DIR goes if nothing else is in it
set -eu

usage() {
	echo "usage: nbd.sh start DIR FILE [ARGUMENT...] | stop DIR" >&2
	exit 2
}

start() {
	command -v nbdkit >/dev/null 2>&1 || {
		echo "nbd.sh: skipped: there is no nbdkit here"
		exit 77
	}
	mkdir -p "$1"
	dir=$(cd "$1" && pwd)
	file=$(realpath "$2")
	shift 2
	filters= rest=
	for argument; do
		case $argument in
		-*) filters="$filters $argument" ;;
		*) rest="$rest $argument" ;;
		esac
	done
	# Of a server that was killed.
	rm -f "$dir/nbd.sock" "$dir/nbd.pid"
	nbdkit -U "$dir/nbd.sock" -P "$dir/nbd.pid" $filters file "$file" $rest
	# It has gone to the background, and writes that file when it answers.
	timeout 30 sh -c 'until [ -s "$0" ]; do :; done' "$dir/nbd.pid"
	echo "nbd+unix:///?socket=$dir/nbd.sock"
}

stop() {
	if [ -s "$1/nbd.pid" ]; then
		pid=$(cat "$1/nbd.pid")
		if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$1/nbd.sock"; then
			kill -KILL "$pid"
			timeout 30 tail --pid="$pid" -f /dev/null
		fi
	fi
	rm -f "$1/nbd.pid" "$1/nbd.sock"
	rmdir "$1" 2>/dev/null || true
}

case ${1:-} in
start) [ $# -ge 3 ] || usage; shift; start "$@" ;;
stop) [ $# -eq 2 ] && [ -d "$2" ] || usage; stop "$(cd "$2" && pwd)" ;;
*) usage ;;
esac
