#!/bin/bash
# Makes a fresh Debian a machine of this cluster. The Vagrantfile runs it as
# root: `provision.sh build` on `development`, `provision.sh node IP` on the
# machines that serve. It can be run again at any time.
set -euo pipefail

# Where the workspace is, and what is built is put: the synced folder.
SHARED=/vagrant

main() {
    case "${1:-}" in
    build)
        install_toolchain
        build_dist
        ;;
    node)
        install_node "${2:?which IP? provision.sh node IP}"
        ;;
    *)
        echo "usage: provision.sh build | provision.sh node IP" >&2
        return 2
        ;;
    esac
}

# Debian's own Rust is too old: rustup is in Debian, the toolchain from it.
install_toolchain() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -q -y --no-install-recommends \
        ca-certificates curl gcc git libc6-dev rustup
    sudo -u vagrant -H rustup toolchain install stable --profile minimal \
        --target wasm32-wasip1 --target wasm32-wasip2
    sudo -u vagrant -H rustup default stable
}

# Compiled outside of the synced folder, which is slow and knows no hard links;
# only what is finished goes to dist/, each file in one step.
build_dist() {
    local target=/var/tmp/ace-target
    install -d -o vagrant -g vagrant "$target"
    sudo -u vagrant -H env CARGO_TARGET_DIR="$target" bash -c "
        set -euo pipefail
        cd '$SHARED'
        cargo build --release --locked --package host
        cargo build --release --locked --package guest --target wasm32-wasip2
    "
    install -d "$SHARED/dist"
    put "$target/wasm32-wasip2/release/guest.wasm" "$SHARED/dist/guest.wasm"
    put "$target/release/host" "$SHARED/dist/host"
    write_cookie
}

# A cookie for this cluster alone, unless there is one.
write_cookie() {
    local cookie="$SHARED/dist/cookie"
    if [[ ! -s "$cookie" ]]; then
        (umask 077 && head -c 16 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$cookie.new")
        mv "$cookie.new" "$cookie"
    fi
}

# These machines only run what `development` has built.
install_node() {
    local ip=$1
    if [[ ! -x "$SHARED/dist/host" || ! -s "$SHARED/dist/cookie" ]]; then
        echo "$SHARED/dist is not built yet: run \`vagrant up development\` first" >&2
        return 1
    fi
    install -d -m 0755 /etc/host
    printf 'NODE_NAME=example@%s\n' "$ip" >/etc/host/node.env
    if ! getent passwd host >/dev/null; then
        useradd --system --user-group --no-create-home --shell /usr/sbin/nologin host
    fi
    install -m 0640 -g host "$SHARED/dist/cookie" /etc/host/cookie
    install -D -m 0644 "$SHARED/README.md" /usr/local/share/doc/host/README.md
    install -m 0644 "$SHARED/deploy/host.service" /etc/systemd/system/host.service
    systemctl daemon-reload
    systemctl enable host.service
    systemctl restart host.service
}

# Copy $1 to $2 so that no reader sees half of it.
put() {
    install -m 0755 "$1" "$2.new"
    mv "$2.new" "$2"
}

main "$@"
