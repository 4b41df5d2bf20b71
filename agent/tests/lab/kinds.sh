#!/usr/bin/env bash
# Runs the tests of single kinds of resources on a throw-away host with real systemd, as root.
#
#   agent/tests/lab/kinds.sh VPS_LAB KINDS [PLATFORM]
#
# VPS_LAB is the script that makes hosts (up NAME IP, exec NAME ..., down NAME; see its help), KINDS the built integration
# test of muster-agent (target/debug/deps/kinds-...), PLATFORM the built unit tests of muster-platform
# (target/debug/deps/muster_platform-...), of which those run that ask a real system something.
set -euo pipefail

lab=$1 kinds=$(readlink -f "$2") platform=${3:+$(readlink -f "$3")}
net=${VPSLAB_NET:-10.77.0}
folder=$(dirname "$kinds")
failed=0

trap '"$lab" down kinds 2>/dev/null' EXIT
"$lab" down kinds 2>/dev/null || true
"$lab" up kinds "$net.81" --bind "$folder:$folder"
"$lab" exec kinds touch /etc/muster-test-host
if [ -n "$platform" ]; then
  "$lab" exec kinds timeout 60 "$platform" real_systemd || failed=1
fi
"$lab" exec kinds env MUSTER_TEST_HOST=1 timeout 600 "$kinds" machine:: --test-threads=4 || failed=1
exit $failed
