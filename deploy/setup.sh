# Set-up shared by ./run, ./virtscale and ./test. Sourced by bash, never run by itself.
#
# Whatever is in place is left alone, so the second time costs a fraction of a second. Every result
# appears complete or not at all: a virtual environment counts only once its stamp is written, and
# the stack's is switched by renaming a link. Interrupt it anywhere and run it again.
# shellcheck shell=bash

CHECKOUT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
PACKAGES=(servicekit collector scaler dispatcher guest_worker stack prometheus proto/virtscale locks)
SYSTEM_USER=virtscale
NEEDED_FREE_MB=1500

say() { printf '%s\n' "$*" >&2; }

# fail WHAT FIX: one sentence each, for a person.
fail() {
    printf 'error: %s\n  fix: %s\n' "$1" "$2" >&2
    exit 1
}

# step TEXT COMMAND...: runs it with its output in $LOG, showing that it is alive. The command stays
# in the foreground, so Ctrl-C and sudo's question for a password reach it as usual.
step() {
    local text=$1 rc=0 began=$SECONDS
    shift
    printf '\n== %s\n' "$text" >>"$LOG"
    exec 8> >(tick "$text" "$began")
    TICKER=$!
    # In a shell of its own: in this one a function's output is turned while it runs, and so a trap's
    # would be; and the shell keeps a copy of 8, so that the ticker would never end.
    ("$@") >>"$LOG" 2>&1 8>&- || rc=$?
    stop_ticker
    if [ "$rc" -ne 0 ]; then
        say "  $text: failed after $((SECONDS - began)) s"
        explain_failure "$text" "$rc"
    fi
    say "  $text: done in $((SECONDS - began)) s"
}

# Ends when its input does, which only this shell holds open: even kill -9 leaves no ticker behind.
tick() {
    local text=$1 began=$2 turn=0 rc
    trap '' INT
    [ -t 2 ] || say "  $text ..."
    while :; do
        if [ -t 2 ]; then
            printf '\r  %s ... %d s ' "$text" $((SECONDS - began)) >&2
        elif [ $turn -gt 0 ] && [ $((turn % 20)) -eq 0 ]; then
            say "  $text: still working after $((SECONDS - began)) s"
        fi
        turn=$((turn + 1))
        rc=0
        read -rt 1 || rc=$?
        [ "$rc" -gt 128 ] || return 0
    done
}

TICKER=
stop_ticker() {
    [ -n "$TICKER" ] || return 0
    exec 8>&-
    wait "$TICKER" 2>/dev/null || true
    TICKER=
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
}

# Turns the end of the log into the reader's next move.
explain_failure() {
    local text=$1 rc=$2 tail
    tail=$(tail -n 60 "$LOG" | sed -n "/^== /h;//!H;\$!d;x;p" | tail -n 60)
    if [ "$rc" -gt 128 ]; then
        say "interrupted; nothing half done will be used. Run the same command again to go on."
        exit "$rc"
    fi
    case $tail in
    *"No space left on device"* | *"enough free space"* | *"Disk quota exceeded"*)
        fail "$text: the disk is full" "free about $NEEDED_FREE_MB MB (df -h shows where) and run it again" ;;
    *"Temporary failure resolving"* | *"Could not resolve"* | *"Name or service not known"* | \
        *"Temporary failure in name resolution"* | *"Network is unreachable"* | *"onnection timed out"* | \
        *"Could not connect"* | *"Failed to establish a new connection"* | *"Connection refused"* | \
        *"Max retries exceeded"* | *"ConnectTimeoutError"* | *"ReadTimeoutError"*)
        fail "$text: no network; the package servers cannot be reached" \
            "check the connection, DNS and proxy of this machine (log: $LOG), then run it again" ;;
    *"Unable to locate package"* | *"has no installation candidate"*)
        printf '%s\n' "$tail" | grep -E 'Unable to locate|no installation candidate' >&2
        fail "$text: this release does not offer a package that is needed" \
            "use Debian 12 or Ubuntu 22.04 or newer, with the 'universe' component enabled on Ubuntu" ;;
    *"DO NOT MATCH THE HASHES"*)
        fail "$text: a download is not the file that the lock names" \
            "a mirror or proxy alters packages; use another one (log: $LOG)" ;;
    *"Could not get lock"*)
        fail "$text: another package manager is at work" "wait until it has finished, then run it again" ;;
    esac
    printf '%s\n' "$tail" | tail -n 12 | sed 's/^/    /' >&2
    fail "$text: exit code $rc" "see the lines above; the whole log is $LOG"
}

interrupted() {
    stop_ticker
    say "interrupted; nothing half done will be used. Run the same command again to go on."
    exit "$1"
}

trap_interruptions() {
    trap 'interrupted 130' INT
    trap 'interrupted 143' TERM
    trap 'interrupted 129' HUP
}

# --- The machine ------------------------------------------------------------------------------

check_machine() {
    local machine
    machine=$(uname -s)/$(uname -m)
    [ "$machine" = Linux/x86_64 ] || fail "unsupported machine: $machine" \
        "use a Linux machine with an x86-64 processor (the guest image is built for that)"
}

is_debian() { [ -x /usr/bin/dpkg-query ] && command -v apt-get >/dev/null; }

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# Prints the Python to build on. Debian's own under Debian: one in a home directory cannot be read by
# the user that the stack runs as.
find_python() {
    local name path
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        path=/usr/bin/$name
        if ! is_debian; then path=$(command -v "$name") || continue; fi
        if [ -x "$path" ] && is_new_enough "$path"; then
            printf '%s\n' "$path"
            return
        fi
    done
    return 1
}

python_packages() {
    local python name version=
    if python=$(find_python); then
        name=${python##*/}
    else
        version=$(. /etc/os-release && printf '%s' "${VERSION_ID:-}")
        name=python3
        # The default Python there is older than 3.11; a newer one is offered beside it.
        if [ -x /usr/bin/python3 ] || [ "$version" = 22.04 ]; then name=python3.11; fi
    fi
    printf '%s\n' "$name" "$name-venv" "$name-dev"
}

needed_packages() {
    sed -e 's/#.*//' -e '/^[[:space:]]*$/d' -e '/[[:space:]]tests: /d' -e 's/[[:space:]].*//' \
        "$CHECKOUT/deploy/debian-packages"
    python_packages
}

missing_packages() { not_installed "$(needed_packages | sort -u)"; }

# What only tests use and this distribution has: without it they say that they are skipped.
missing_test_packages() {
    local name
    for name in $(not_installed "$(sed -n 's/[[:space:]].*tests: .*//p' "$CHECKOUT/deploy/debian-packages" | sort -u)"); do
        apt-cache show "$name" >/dev/null 2>&1 && printf '%s\n' "$name"
    done
    return 0
}

not_installed() {
    local wanted=$1
    # shellcheck disable=SC2086  # one argument per package
    comm -23 <(printf '%s\n' "$wanted") <(
        dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
            sed -n 's/^installed //p' | sort -u
    )
}

# Without apt nothing can be installed for the user: says what is missing.
check_commands() {
    local name missing=()
    for name in gcc pkg-config libvirtd virsh qemu-system-x86_64 qemu-img prometheus promtool \
        mke2fs lz4 zstd; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$name" >/dev/null || missing+=("$name")
    done
    pkg-config --exists libvirt 2>/dev/null || missing+=("libvirt's headers (libvirt-devel)")
    find_python >/dev/null || missing+=("Python 3.11 or newer with venv and headers")
    [ ${#missing[@]} -eq 0 ] && return
    fail "this distribution has no apt-get, and these are missing: $(join_words "${missing[@]}")" \
        "install them with your package manager (deploy/debian-packages names Debian's packages), then run it again"
}

join_words() {
    local text
    text=$(printf ', %s' "$@")
    printf '%s' "${text:2}"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install_packages() {
    local missing=("$@")
    say "These Debian packages are missing and will be installed: $(join_words "${missing[@]}")"
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "packages are missing and there is no sudo here" \
            "as root run: apt-get install --no-install-recommends ${missing[*]}"
        say "sudo is used for that, and may ask for your password."
        sudo -v || fail "sudo refused" \
            "as root run: apt-get install --no-install-recommends ${missing[*]}"
    fi
    check_free_space /usr
    remember_new_daemons "${missing[@]}"
    # A set-up or upgrade that was cut off leaves packages unconfigured, and apt then refuses to work.
    step "Finishing interrupted package work" as_root dpkg --configure -a
    # Its failure alone proves nothing (one dead mirror among many): the installation will tell.
    step "Reading package lists" apt_quietly update_lists
    step "Installing ${#missing[@]} Debian packages" apt_quietly install "${missing[@]}"
    quiet_new_daemons
}

apt_quietly() {
    local command=$1
    shift
    local options=(-o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 -qq)
    if [ "$command" = update_lists ]; then
        as_root apt-get "${options[@]}" update || true
        return 0
    fi
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
        apt-get "${options[@]}" -y --no-install-recommends install "$@"
}

check_free_space() {
    local free
    free=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
    [ "${free:-0}" -ge "$NEEDED_FREE_MB" ] || fail "only $free MB are free on the disk of $1" \
        "free at least $NEEDED_FREE_MB MB there and run it again"
}

# Debian starts and enables the servers that it installs. The stack runs its own, on the same ports, so
# those that came with THIS set-up are stopped and disabled; the user's own are never touched. The note
# is written first, so that an interrupted set-up still does it the next time.
remember_new_daemons() {
    local package
    for package in "$@"; do
        case $package in
        prometheus | prometheus-alertmanager | victoria-metrics | postgresql) printf '%s\n' "$package" >>"$NOTES/new-daemons" ;;
        esac
    done
}

quiet_new_daemons() {
    local daemon
    [ -s "$NOTES/new-daemons" ] || return 0
    while read -r daemon; do
        [ -e "/lib/systemd/system/$daemon.service" ] || [ -e "/etc/init.d/$daemon" ] || continue
        step "Leaving Debian's own $daemon service off (the stack starts its own)" turn_off "$daemon"
    done <"$NOTES/new-daemons"
    rm -f "$NOTES/new-daemons"
}

turn_off() {
    if [ -d /run/systemd/system ]; then
        as_root systemctl disable --now "$1.service"
    else
        as_root update-rc.d "$1" disable || true
        as_root service "$1" stop || true
    fi
}

# --- Virtual environments ---------------------------------------------------------------------

lock_key() {
    {
        cat "$CHECKOUT/locks/$1.lock"
        "$PYTHON" -c 'import sys; print(sys.version_info[:2])'
    } | sha256sum | cut -c1-16
}

source_key() {
    (
        cd "$CHECKOUT" || exit 1
        find "${PACKAGES[@]}" pyproject.toml README.md LICENSE -name __pycache__ -prune -o -type f \
            -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16
    )
}

stamp_of() { cat "$1/.virtscale-stamp" 2>/dev/null || true; }

# build_venv DIRECTORY LOCK KEY: at its final path (a virtual environment cannot be moved), stamped last.
build_venv() {
    local directory=$1 lock=$2 key=$3
    check_free_space "$(dirname "$directory")"
    rm -rf "$directory"
    step "Creating a virtual environment in $directory" "$PYTHON" -m venv "$directory"
    step "Installing $(grep -c == "$CHECKOUT/locks/$lock.lock") locked Python packages" \
        pip_in "$directory" --require-hashes --no-deps -r "$CHECKOUT/locks/$lock.lock"
    printf '%s\n' "$key" >"$directory/.virtscale-stamp"
}

pip_in() {
    local directory=$1
    shift
    "$directory/bin/python" -m pip --disable-pip-version-check --no-input install \
        --no-warn-script-location --progress-bar off "$@"
}

# --- The stack --------------------------------------------------------------------------------

# resolve_state ARGUMENTS...: sets STATE from --state, $VIRTSCALE_STATE or the default.
resolve_state() {
    STATE=${VIRTSCALE_STATE:-}
    while [ $# -gt 0 ]; do
        case $1 in
        --state) STATE=${2:-} ;;
        --state=*) STATE=${1#--state=} ;;
        esac
        shift
    done
    if [ -z "$STATE" ]; then
        if [ "$(id -u)" = 0 ]; then
            STATE=/var/lib/virtscale
        else
            STATE=${XDG_STATE_HOME:-$HOME/.local/state}/virtscale
        fi
    fi
    case $STATE in /*) ;; *) STATE=$PWD/$STATE ;; esac
    export VIRTSCALE_STATE=$STATE
    VENV=$STATE/venv
}

# A running stack holds this lock; its virtual environment must not change under its feet.
is_stack_running() {
    [ -e "$STATE/run/up.lock" ] && ! flock --nonblock "$STATE/run/up.lock" true 2>/dev/null
}

is_stack_ready() {
    PYTHON=$(find_python) || return 1
    if is_debian; then [ -z "$(missing_packages)" ] || return 1; fi
    [ ! -e "$STATE/new-daemons" ] || return 1
    if [ "$(id -u)" = 0 ]; then id -u "$SYSTEM_USER" >/dev/null 2>&1 || return 1; fi
    [ "$(stamp_of "$VENV")" = "$(lock_key stack)" ] || return 1
    [ "$(cat "$VENV/.virtscale-source" 2>/dev/null)" = "$(source_key)" ]
}

# Leaves $VENV/bin/virtscale installed from this checkout. Call resolve_state first.
setup_stack() {
    umask 022
    check_machine
    is_stack_ready && return
    if is_stack_running && [ -x "$VENV/bin/virtscale" ]; then
        say "note: a stack is running from $VENV, so it is not updated now; stop it (virtscale down) to use the changes."
        return
    fi
    trap_interruptions
    make_state_directory
    exec 9>"$STATE/.setup.lock"
    flock --nonblock 9 || { say "Another set-up is at work; waiting for it."; flock 9; }
    if ! is_stack_ready; then setup_missing; fi
    exec 9>&-
    trap - INT TERM HUP
}

make_state_directory() {
    LOG=$STATE/setup.log
    NOTES=$STATE
    mkdir -p "$STATE" 2>/dev/null && [ -w "$STATE" ] || fail "cannot write to $STATE" \
        "choose a directory of yours with --state DIR or VIRTSCALE_STATE"
    : >"$LOG"
}

setup_missing() {
    local missing=() key
    say "Setting up virtscale in $STATE (log: $LOG)"
    if is_debian; then
        mapfile -t missing < <(missing_packages)
        [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
        quiet_new_daemons
    else
        check_commands
    fi
    PYTHON=$(find_python) || fail "no Python 3.11 or newer" "install one under /usr/bin"
    [ "$(id -u)" != 0 ] || make_system_user
    key=$(lock_key stack)
    if [ "$(stamp_of "$STATE/venv-$key")" != "$key" ]; then build_venv "$STATE/venv-$key" stack "$key"; fi
    install_project "$STATE/venv-$key"
    switch_venv "venv-$key"
    check_readable
}

# Nothing of the stack runs as root: the command drops to this user before it starts anything.
make_system_user() {
    id -u "$SYSTEM_USER" >/dev/null 2>&1 ||
        step "Creating the system user $SYSTEM_USER" useradd --system --user-group --no-create-home \
            --home-dir /var/lib/virtscale --shell /usr/sbin/nologin "$SYSTEM_USER"
    if getent group kvm >/dev/null; then usermod --append --groups kvm "$SYSTEM_USER"; fi
    chown "$SYSTEM_USER:$SYSTEM_USER" "$STATE"
    chmod 0750 "$STATE"
}

install_project() {
    local source
    source=$(source_key)
    [ "$(cat "$1/.virtscale-source" 2>/dev/null)" != "$source" ] || return 0
    rm -f "$1/.virtscale-source"
    step "Installing virtscale from $CHECKOUT" \
        pip_in "$1" --no-deps --no-build-isolation --force-reinstall "$CHECKOUT"
    printf '%s\n' "$source" >"$1/.virtscale-source"
}

switch_venv() {
    local directory
    # An older layout had a directory here; a link cannot be renamed over it.
    if [ -d "$VENV" ] && [ ! -L "$VENV" ]; then rm -rf "$VENV"; fi
    ln -sfn "$1" "$VENV.new"
    mv -fT "$VENV.new" "$VENV"
    for directory in "$STATE"/venv-*; do
        [ "$directory" = "$STATE/$1" ] || rm -rf "$directory"
    done
}

check_readable() {
    [ "$(id -u)" = 0 ] || return 0
    setpriv --reuid "$SYSTEM_USER" --regid "$SYSTEM_USER" --init-groups \
        "$VENV/bin/python" -c '' 2>>"$LOG" || fail \
        "the user $SYSTEM_USER, as whom the stack runs, cannot reach $STATE" \
        "choose a state directory whose parents everybody may enter (chmod o+x), with --state DIR"
}

# --- Tests ------------------------------------------------------------------------------------

# Leaves .venv in the checkout with everything that ./test needs.
setup_tests() {
    local missing=() key
    VENV=$CHECKOUT/.venv
    check_machine
    if is_debian; then mapfile -t missing < <(missing_packages && missing_test_packages); fi
    if [ ${#missing[@]} -eq 0 ] && PYTHON=$(find_python) && is_debian &&
        [ "$(stamp_of "$VENV")" = "$(lock_key dev)" ]; then
        return
    fi
    NOTES=$(mktemp -d)
    LOG=$NOTES/setup.log
    trap_interruptions
    if is_debian; then
        [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
        # Now that the package lists have been read.
        mapfile -t missing < <(missing_test_packages)
        [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
    else
        check_commands
    fi
    PYTHON=$(find_python) || fail "no Python 3.11 or newer" "install one under /usr/bin"
    key=$(lock_key dev)
    [ "$(stamp_of "$VENV")" = "$key" ] || build_venv "$VENV" dev "$key"
    rm -rf "$NOTES"
    trap - INT TERM HUP
}
