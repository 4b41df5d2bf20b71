#!/bin/sh
# Installs the Muster agent on this host and lets it join its fleet.
#
# `muster node invite` prints the line that fetches this script from the controller, verified, and runs it as
#
#     echo TOKEN | sh install.sh https://CONTROLLER:8444/install
#
# in a private folder that also holds root.pem, the certificate everything is verified with. It may be run again at any
# time: what is in place stays, and a host that has joined keeps its identity.
#
# It runs from its last line on, so that a script that was cut off does nothing.
set -eu

LIBRARY=/usr/local/lib/muster
PROGRAMS="muster-agent muster-supervisor muster-keeper muster-pm2"

say() { echo "muster: $*" >&2; }
fail() {
    say "error: $*"
    exit 1
}

# fetch URL FILE: from the controller that root.pem vouches for, and from nobody else.
fetch() {
    if command -v curl >/dev/null; then
        curl -fsS --connect-timeout 20 --retry 2 --speed-limit 1000 --speed-time 60 \
            --cacert "$root" --capath "$roots" -o "$2" "$1"
    else
        wget -nv -t 2 -T 60 --ca-certificate="$root" --ca-directory="$roots" -O "$2" "$1"
    fi || fail "$1 could not be fetched; nothing was changed"
}

# The architecture in the words of the manifest.
architecture() {
    case $(uname -s)-$(uname -m) in
    Linux-x86_64 | Linux-amd64) set -- x86_64 ;;
    Linux-aarch64 | Linux-arm64) set -- aarch64 ;;
    *) fail "there is no agent for $(uname -s) on $(uname -m); it is built for Linux on x86_64 and aarch64" ;;
    esac
    # Some small hosts run a 32-bit system on such a kernel.
    if command -v getconf >/dev/null && [ "$(getconf LONG_BIT)" != 64 ]; then
        fail "this system is 32-bit; the agent is built for 64-bit systems"
    fi
    echo "$1"
}

# One program of the manifest into the work folder, unless its digest is another.
program() {
    line=$(grep "^program $2 $1 " "$work/manifest" || :)
    [ -n "$line" ] ||
        fail "the controller has no $1 for $2; put a build for it into the folder of its --agent-dir, as $2/$1"
    expected=${line##* }
    rest=${line% *}
    say "$1, ${rest##* } bytes"
    fetch "$base/$2/$1" "$work/$1"
    [ "$(sha256sum <"$work/$1")" = "$expected  -" ] ||
        fail "$1 is not what the manifest says: it was damaged on the way, or replaced meanwhile; nothing was changed, run the line again"
    chmod 755 "$work/$1"
}

main() {
    [ $# -eq 1 ] || fail "usage: echo TOKEN | sh install.sh https://CONTROLLER:8444/install"
    base=${1%/}
    [ -f root.pem ] || fail "root.pem is not here: run the whole line that \`muster node invite\` printed"
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "installing needs root: run the line as root"
        say "installing needs root: asking sudo"
        exec sudo sh "$0" "$1"
    fi
    [ -d /run/systemd/system ] ||
        fail "systemd does not run here; the agent is a unit of systemd (for trying it out without, see \`muster-agent join --rootless\`)"
    token=
    if [ ! -t 0 ]; then
        read -r token || :
    fi
    machine=$(architecture)

    root=$PWD/root.pem
    # On the disk where the programs will lie: they are moved into place, and /tmp may forbid running anything.
    umask 022
    mkdir -p "$LIBRARY"
    work=$(mktemp -d "$LIBRARY/.incoming.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' HUP INT TERM
    # An empty folder in the place of the system's certificates.
    roots=$work/roots
    mkdir "$roots"

    fetch "$base/manifest" "$work/manifest"
    [ "$(head -n 1 "$work/manifest")" = "muster-programs 1" ] && [ "$(tail -n 1 "$work/manifest")" = end ] ||
        fail "the list of programs is not understood; nothing was changed"
    for name in $PROGRAMS; do
        program "$name" "$machine"
    done
    rmdir "$roots"
    "$work/muster-agent" version >/dev/null ||
        fail "the programs do not run on this system; the controller needs a build for it (often one for an older C library)"
    echo "$token" | "$work/muster-agent" install --token-stdin --controller "${base%/install}"
}

main "$@"
