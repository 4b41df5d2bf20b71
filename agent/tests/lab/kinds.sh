#!/usr/bin/env bash
# Runs the tests of single kinds of resources on a throw-away host with real systemd, as root.
#
#   agent/tests/lab/kinds.sh VPS_LAB TEST_BINARY [FILTER]
#
# VPS_LAB is the script that makes hosts (up NAME IP, exec NAME ..., down NAME; see its help), TEST_BINARY the built
# integration test (target/debug/deps/kinds-...).
set -euo pipefail

lab=$1 binary=$(readlink -f "$2") filter=${3:-machine::}
net=${VPSLAB_NET:-10.77.0}
folder=$(dirname "$binary")

trap '"$lab" down kinds 2>/dev/null' EXIT
"$lab" down kinds 2>/dev/null || true
"$lab" up kinds "$net.81" --bind "$folder:$folder"
"$lab" exec kinds touch /etc/muster-test-host
"$lab" exec kinds env MUSTER_TEST_HOST=1 timeout 600 "$binary" "$filter" --test-threads=4
