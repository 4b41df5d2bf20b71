#!/usr/bin/env bash
# Runs the agent's tests of real hosts inside a throw-away one: they change its firewall, its SSH server and its network.
#
#   agent/tests/lab/host.sh VPS_LAB TEST_BINARY AGENT_BINARY [FILTER]
#
# VPS_LAB is the script that makes hosts (up NAME IP, exec NAME ..., down NAME; see its help), TEST_BINARY the built unit
# tests of muster-agent (target/debug/deps/muster_agent-...), AGENT_BINARY the agent that timers start. Needs root and
# systemd-nspawn.
set -euo pipefail

lab=$1 binary=$(readlink -f "$2") agent=$(readlink -f "$3") filter=${4:-host_tests::}
net=${VPSLAB_NET:-10.77.0}
host=agent

"$lab" down $host 2>/dev/null || true
trap '"$lab" down $host' EXIT
"$lab" up $host "$net.81" --bind "$(dirname "$binary"):/muster-test/deps" --bind "$(dirname "$agent"):/muster-test/bin"
"$lab" exec $host apt-get -qq update
"$lab" exec $host env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
  nginx-light ufw stunnel4 haproxy openssl >/dev/null
"$lab" exec $host touch /etc/muster-test-host
# One at a time: they share the host.
"$lab" exec $host env MUSTER_TEST_HOST=1 MUSTER_TEST_AGENT="/muster-test/bin/$(basename "$agent")" RUST_BACKTRACE=1 \
  timeout 600 "/muster-test/deps/$(basename "$binary")" "$filter" --test-threads=1
