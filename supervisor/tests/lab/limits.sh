#!/usr/bin/env bash
# Runs the tests of limits on throw-away hosts with real systemd, one kind of host after the other:
#   v1        cgroup v1, limits enforced: systemd scopes
#   v2        cgroup v2 without controllers: scopes that enforce nothing, which must be noticed and said
#   v1 user   cgroup v1, supervisor without root beside a user manager of systemd: nothing can be enforced
# and then checks that an application gets the supplementary groups of its user.
#
#   supervisor/tests/lab/limits.sh VPS_LAB TEST_BINARY
#
# VPS_LAB is the script that makes hosts (up NAME IP, exec NAME ..., down NAME; see its help), TEST_BINARY the built
# integration test of muster-supervisor (target/debug/deps/supervisor-...). Needs root, systemd-nspawn and Node.js.
set -euo pipefail

lab=$1 binary=$(readlink -f "$2")
net=${VPSLAB_NET:-10.77.0}
target=$(dirname "$(dirname "$binary")")
node=$(readlink -f "$(command -v node)")
failed=0

host() {   # host NAME LAST_OCTET [options]
  local name=$1 octet=$2; shift 2
  "$lab" down "$name" 2>/dev/null || true
  "$lab" up "$name" "$net.$octet" --bind "$target:$target" --bind "$node:/usr/local/bin/node" "$@"
}

tests() {  # tests NAME EXPECTED [command in front]
  local name=$1 expected=$2; shift 2
  echo "== $name $*: $expected"
  "$lab" exec "$name" "$@" env MUSTER_TEST_LIMITS_BY="$expected" \
    timeout 300 "$binary" limits:: --test-threads=2 || failed=1
}

trap '"$lab" down limits1 2>/dev/null; "$lab" down limits2 2>/dev/null' EXIT
unenforced="rlimits and polling; cpu not enforced; pids not enforced"

host limits1 71 --v1
tests limits1 "systemd scope"
"$lab" exec limits1 sh -c 'useradd -m walter && groupadd -f reading && usermod -aG reading walter && loginctl enable-linger walter'
# A bus of the user is there only with the package dbus-user-session; both ways nothing can be enforced here.
"$lab" exec limits1 sh -c 'for i in $(seq 50); do [ -S /run/user/$(id -u walter)/systemd/private ] && break; sleep 0.1; done'
tests limits1 "$unenforced" setpriv --reuid=walter --regid=walter --init-groups
echo "== groups of the application's user"
"$lab" exec limits1 env MUSTER_TEST_USER=walter:reading "$binary" users:: || failed=1

host limits2 72
tests limits2 "$unenforced"
exit $failed
