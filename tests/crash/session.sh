#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs a program of this suite in a session of its own, and looks at what it leaves in the ledger.
#
#     session.sh SLOTS MIB [OPTION of userfault run]... -- PROGRAM [ARGUMENT]...
set -u

slots=$1 mib=$2
shift 2
options=
while [ "$1" != -- ]; do
	options="$options $1"
	shift
done
shift
export CRASH_NO_SKIP=1 slots mib
# shellcheck disable=SC2086 # options are words
exec "$USERFAULT" run $options -- sh -c '
	"$@" || exit
	exec env -u LD_PRELOAD "$LEDGER_CHECK" --slots "$slots" --mib "$mib"' sh "$@"
