#!/usr/bin/env bash
# host.sh VERB ...: what deploy/cluster does on one host, as root. It is sent there with each call, in a directory
# of its own, along with the files that the call needs.
#
#   facts [PORT:ROLE...]             key=value lines about the host; PORTs that ROLE is going to need
#   package                          installs berth.deb beside this
#   node-key KIND NAME [ID]          prints a node's new key, made with master.key beside this
#   init ORG SPACE                   the controller's first run
#   plan ROLE, apply ROLE            files of ROLE become those of the manifest beside this; the role's service is
#                                    started, restarted or reloaded if need be. plan: says what apply would do
#   retire ROLE                      the role is this host's no longer
#   empty SECONDS                    the cell's instances go elsewhere, then it is down
#   drain ROLE                       down and to stay so until "undrain ROLE"
#   page PORT PATH [ADDRESS]         an admin page
#   password, forget-password        the admin's first password
#   backup                           prints a copy of the database
#   restore [force]                  berth.db beside this becomes the database
#   revoke ID...                     nodes that may speak no more
#   stop                             all daemons and containers
#   purge                            and everything else of Berth
set -u
umask 022 # what is secret says so itself
HERE=$(cd "$(dirname "$0")" && pwd)
STATE=/var/lib/berth-deploy # what was installed by us, and from what each daemon was started
ETC=/etc/berth
DATABASE=/var/lib/berth/controller
ROLES="controller cell router"
LOCK_WAIT=180 # s
START_WAIT=60 # s for a daemon to say that it is healthy

fail() { printf '%s\n' "$*" >&2; exit 1; }
say() { printf '%s\n' "$*"; }

# Two runs at a time would undo each other's work. What a killed run began here goes on to its end.
lock() {
    exec 9>/run/berth-deploy.lock
    flock -w $LOCK_WAIT 9 || fail "another deploy/cluster has been at work on this host for $LOCK_WAIT s"
}

unit() { echo "berth-$1.service"; }
is_active() { systemctl -q is-active "$(unit "$1")"; }
is_drained() { [ -e "$STATE/drained.$1" ]; }

# page PORT PATH [ADDRESS]; 1 when it is not there. A status other than 200 is told first.
page() {
    local address=${3:-127.0.0.1} line status=
    (
        exec 3<>"/dev/tcp/$address/$1" || exit 1
        printf 'GET %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&3
        while read -r -t 10 line <&3 && line=${line%$'\r'} && [ -n "$line" ]; do
            [ -n "$status" ] || read -r _ status _ <<<"$line"
        done
        cat <&3
        [ "$status" = 200 ]
    ) 2>/dev/null
}

# ini FILE KEY: its last value before the first section.
ini() { sed -n "/^\[/q; s/^$2 *= *//p" "$1" | tail -n1; }
admin_page() { # ROLE PATH
    local address
    address=$(ini "$ETC/$1.ini" admin)
    page "${address##*:}" "$2" "${address%:*}"
}

# --- facts -----------------------------------------------------------------------------------

# Ports that somebody listens on, by port.
listening() {
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "0A" { split($2, a, ":"); print a[2] }' | sort -u |
        while read -r port; do echo $((16#$port)); done
}

version_of() { dpkg-query -W -f '${db:Status-Status} ${Version}' berth 2>/dev/null | sed -n 's/^installed //p'; }

facts() {
    local role wanted
    say "os=$(. /etc/os-release 2>/dev/null; echo "${ID:-unknown} ${VERSION_ID:-}")"
    say "architecture=$(dpkg --print-architecture)"
    say "systemd=$([ -d /run/systemd/system ] && echo yes || echo no)"
    say "memory_mb=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)"
    say "disk_used=$(df --output=pcent /var/lib 2>/dev/null | tail -n1 | tr -dc 0-9)"
    say "package=$(version_of)"
    say "package_sum=$(cat "$STATE/package" 2>/dev/null)"
    say "database=$([ -e "$DATABASE/berth.db" ] && echo yes)"
    say "clock=$(date +%s)"
    for role in $ROLES; do
        [ ! -e "$STATE/$role.manifest" ] || say "role_$role=yes"
        say "$role=$(systemctl is-active "$(unit $role)" 2>/dev/null)"
        ! is_drained $role || say "drained_$role=yes"
        [ ! -e "$ETC/$role.ini" ] || ! is_active $role ||
            say "health_$role=$(admin_page $role /healthz | tr -d '\n')"
    done
    local ports
    ports=$(listening)
    for wanted in "$@"; do
        role=${wanted#*:}
        # One that is on its way up or down may still have its ports.
        case $(systemctl is-active "$(unit "$role")" 2>/dev/null) in *activating | active | reloading) continue ;; esac
        ! grep -qx "${wanted%%:*}" <<<"$ports" || say "busy=${wanted%%:*} $role"
    done
    return 0
}

# --- package and keys -----------------------------------------------------------------------------------

package() {
    local sum log=$HERE/apt.log
    sum=$(sha256sum <"$HERE/berth.deb" | cut -d' ' -f1)
    mkdir -p -m 0700 "$STATE"
    [ -z "$(version_of)" ] || [ "$(cat "$STATE/package" 2>/dev/null)" != "$sum" ] || return 0
    # What an interrupted run left half done.
    dpkg --configure -a >"$log" 2>&1
    install() {
        DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends --allow-downgrades --reinstall \
            -o DPkg::Lock::Timeout=120 install "$HERE/berth.deb" </dev/null >>"$log" 2>&1
    }
    chmod 0755 "$HERE" && chmod 0644 "$HERE/berth.deb" # apt's own user reads it
    install || { apt-get -qq update >>"$log" 2>&1 && install; } ||
        { tail -n 15 "$log" >&2; fail "the package cannot be installed"; }
    echo "$sum" >"$STATE/package"
    say "installed berth $(version_of)"
}

node_key() {
    berth-controller --master_key_file="$HERE/master.key" --make_node_key="$1:$2" ${3:+"--node_id=$3"} \
        --out="$HERE/node.key" >/dev/null && cat "$HERE/node.key"
}

init() {
    install -d -m 0700 -o berth-controller -g berth-controller "$DATABASE"
    [ -e "$DATABASE/berth.db" ] && [ -e "$DATABASE/admin-password" -o -e "$STATE/password-told" ] && return 0
    runuser -u berth-controller -- berth-controller --config "$ETC/controller.ini" --init --org="$1" --space="$2" \
        >/dev/null || fail "the controller's first run failed"
    say "made the database"
}

password() { cat "$DATABASE/admin-password" 2>/dev/null || true; }
forget_password() { touch "$STATE/password-told" && rm -f "$DATABASE/admin-password"; }

# --- files and services -----------------------------------------------------------------------------------

sum_of() { [ ! -e "$1" ] || sha256sum <"$1" | cut -d' ' -f1; }

# Lines of a manifest: SHA256 MODE OWNER:GROUP PATH. The files beside it: files/PATH.
changed_files() {
    local sum mode owner path
    while read -r sum mode owner path; do
        [ "$(sum_of "$path") $(stat -c '0%a %U:%G' "$path" 2>/dev/null)" = "$sum $mode $owner" ] || echo "$path"
    done <"$HERE/manifest"
}

# Files that an earlier manifest of the role had.
stale_files() {
    [ -e "$STATE/$1.manifest" ] || return 0
    comm -23 <(cut -d' ' -f4- "$STATE/$1.manifest" | sort) <(cut -d' ' -f4- "$HERE/manifest" | sort)
}

# stamps_of ROLE: of files that were changed behind our back the stamps, which are not true then.
stamps_of() {
    local path
    while read -r path; do
        case $1:$path in
            host:*/fence.nft) echo fence.stamp ;;
            host:"$ETC"/local/*) printf '%s\n' {controller,cell,router}.restart ;;
            host:*) ;;
            *.pem | */api.key | */router.key) echo "$1.reload" ;;
            *) echo "$1.restart" ;;
        esac
    done | sort -u
}

put_files() {
    local sum mode owner path changed
    changed=$(changed_files)
    [ -z "$changed" ] || (cd "$STATE" && stamps_of "$1" <<<"$changed" | xargs -r rm -f)
    while read -r sum mode owner path; do
        grep -qxF "$path" <<<"$changed" || continue
        mkdir -p -m 0755 "$(dirname "$path")" &&
            install -m "$mode" -o "${owner%:*}" -g "${owner#*:}" "$HERE/files$path" "$path.new" &&
            mv "$path.new" "$path" || fail "cannot write $path"
        say "wrote $path"
    done <"$HERE/manifest"
    stale_files "$1" | while read -r path; do rm -f "$path" && say "removed $path"; done
    keep "$1.manifest" <"$HERE/manifest"
}

# What a role's daemon is started from, and what it reads again on SIGHUP.
restart_files() {
    echo "/usr/sbin/berth-$1"
    find "$ETC/local" -type f 2>/dev/null | sort
    cut -d' ' -f4- "$2" | grep -vE '\.pem$|/(api|router)\.key$'
}
reload_files() { cut -d' ' -f4- "$1" | grep -E '\.pem$|/(api|router)\.key$'; }
# stamp_of FILE...: of their contents. In a plan, those of the manifest stand for what would be there.
stamp_of() {
    local path
    while read -r path; do
        awk -v path="$path" '$4 == path { print $1 }' "$HERE/manifest" | grep . || sum_of "$path"
    done | sha256sum | cut -d' ' -f1
}

# keep NAME: standard input is what STATE/NAME says.
keep() {
    cat >"$STATE/$1.new" || fail "cannot write $STATE/$1"
    if cmp -s "$STATE/$1.new" "$STATE/$1"; then rm -f "$STATE/$1.new"; else mv "$STATE/$1.new" "$STATE/$1"; fi
}

# What is to be done with the role's daemon: nothing, start, restart or reload.
service_action() { # ROLE [UNTRUE-STAMPS]
    local role=$1 untrue=${2:-}
    if is_drained "$role"; then
        echo drained
    elif ! is_active "$role"; then
        echo start
    elif grep -qx "$role.restart" <<<"$untrue" ||
        [ "$(cat "$STATE/$role.restart" 2>/dev/null)" != "$(restart_files "$role" "$HERE/manifest" | stamp_of)" ]; then
        echo restart
    elif grep -qx "$role.reload" <<<"$untrue" ||
        [ "$(cat "$STATE/$role.reload" 2>/dev/null)" != "$(reload_files "$HERE/manifest" | stamp_of)" ]; then
        echo reload
    fi
}

wait_healthy() {
    local role=$1 end=$((SECONDS + START_WAIT))
    until is_active "$role" && admin_page "$role" /healthz >/dev/null; do
        [ $SECONDS -lt $end ] || {
            journalctl --no-pager -q -n 15 -o cat -u "$(unit "$role")" >&2
            fail "$role did not come up within $START_WAIT s$(admin_page "$role" /healthz | sed 's/^/: /'); see journalctl -u $(unit "$role")"
        }
        sleep 0.1
    done
}

serve() {
    local role=$1 action
    case $role in
        controller) [ -e "$DATABASE/berth.db" ] || fail "the controller has no database" ;;
    esac
    action=$(service_action "$role")
    [ "$action" != drained ] || { say "$role is drained: it stays down"; return; }
    systemctl -q is-enabled "$(unit "$role")" 2>/dev/null || systemctl -q enable "$(unit "$role")"
    case $action in
        start | restart)
            "berth-$role" --config "$ETC/$role.ini" --check-config >"$HERE/check" 2>&1 ||
                { cat "$HERE/check" >&2; fail "$role: the configuration is refused"; }
            systemctl "$action" "$(unit "$role")" || {
                journalctl --no-pager -q -n 15 -o cat -u "$(unit "$role")" >&2
                fail "$role does not $action: see journalctl -u $(unit "$role")"
            }
            ;;
        reload) systemctl reload "$(unit "$role")" || fail "$role does not reload" ;;
    esac
    wait_healthy "$role"
    restart_files "$role" "$HERE/manifest" | stamp_of | keep "$role.restart" || exit 1
    reload_files "$HERE/manifest" | stamp_of | keep "$role.reload" || exit 1
    [ -z "$action" ] || say "${action}ed $role"
}

fence() {
    local stamp
    stamp=$(stamp_of <<<"$ETC/fence.nft")
    systemctl -q is-enabled berth-fence.service 2>/dev/null || systemctl -q enable berth-fence.service
    if ! systemctl -q is-active berth-fence.service; then
        systemctl start berth-fence.service
    elif [ "$(cat "$STATE/fence.stamp" 2>/dev/null)" != "$stamp" ]; then
        systemctl reload berth-fence.service
    else
        return 0
    fi || fail "the fence cannot be loaded: see journalctl -u berth-fence"
    echo "$stamp" | keep fence.stamp || exit 1
    say "loaded the fence"
}

apply() {
    mkdir -p -m 0700 "$STATE" && mkdir -p -m 0755 "$ETC" || fail "cannot make $STATE"
    put_files "$1"
    case $1 in
        host) fence ;;
        controller) [ ! -e "$DATABASE/berth.db" ] || serve controller ;;
        *) serve "$1" ;;
    esac
}

plan() {
    local path action
    changed_files | while read -r path; do say "would write $path"; done
    stale_files "$1" | while read -r path; do say "would remove $path"; done
    [ "$1" != host ] || return 0
    action=$(service_action "$1" "$(changed_files | stamps_of "$1")")
    case $action in
        '') ;;
        drained) say "$1 is drained: it would stay down" ;;
        *) say "would $action $1" ;;
    esac
}

# --- away with it -----------------------------------------------------------------------------------

# The cell tells the controller, and ends when no instance is left. Its own time-out, which stops what is left, is
# longer than SECONDS: what has found no other place by then stays here and serves.
empty() {
    local end=$((SECONDS + $1)) left
    is_active cell || return 0
    systemctl kill --kill-who=main --signal=SIGUSR2 "$(unit cell)" || fail "the cell cannot be told to empty itself"
    flock -u 9 # a run after one that was killed waits with it, not for it
    until is_down cell; do
        [ $SECONDS -lt $end ] || {
            lock
            left=$(admin_page cell /instances | sed -n 's/.* app=\([^ ]*\).*/\1/p' | sort | uniq -c | awk '{ print $2 " (" $1 ")" }')
            stay_full && break
            fail "the cell is not empty after $1 s, and serves on. Apps that are still here (\"berth cell\" has their names):" $left
        }
        sleep 0.2
    done
    say "the cell is empty and down"
}
is_down() { case $(systemctl is-active "$(unit "$1")") in inactive | failed) return 0 ;; esac; return 1; }
# An agent that is killed starts again as any other, and finds its containers running. 0: it was empty just now.
stay_full() {
    systemctl kill --kill-who=main --signal=SIGKILL "$(unit cell)"
    ! is_down cell || return 0
    wait_healthy cell
    return 1
}

down() {
    systemctl -q disable "$(unit "$1")" 2>/dev/null
    systemctl stop "$(unit "$1")" 2>/dev/null
    ! is_active "$1" || fail "$1 does not stop"
}

drain() {
    mkdir -p -m 0700 "$STATE" && touch "$STATE/drained.$1" && down "$1" && say "$1 is down"
}

undrain() { [ ! -e "$STATE/drained.$1" ] || { rm -f "$STATE/drained.$1" && say "$1 is no longer drained"; }; }

forget() {
    cut -d' ' -f4- "$STATE/$1.manifest" 2>/dev/null | while read -r path; do rm -f "$path"; done
    rm -f "$STATE/$1".{manifest,restart,reload} "$STATE/drained.$1"
}

retire() {
    [ -e "$STATE/$1.manifest" ] || return 0
    down "$1"
    [ "$1" != cell ] || berth-cell --config "$ETC/cell.ini" --purge >/dev/null 2>&1 || fail "containers are left"
    forget "$1"
    say "$1 is not here any more"
}

stop_all() {
    local role
    for role in router cell controller; do
        [ -e "$STATE/$role.manifest" ] || continue
        ! is_active $role || say "stopped $role"
        down $role
        [ $role != cell ] || berth-cell --config "$ETC/cell.ini" --stop-containers >"$HERE/log" 2>&1 ||
            { tail -n5 "$HERE/log" >&2; fail "some containers could not be removed: run it again"; }
    done
}

purge() {
    stop_all
    [ ! -e "$ETC/cell.ini" ] || berth-cell --config "$ETC/cell.ini" --purge >/dev/null 2>&1
    if dpkg-query -W berth >/dev/null 2>&1; then
        dpkg --configure -a >/dev/null 2>&1 # what an interrupted run left half done
        DEBIAN_FRONTEND=noninteractive apt-get -qq -y purge berth </dev/null >"$HERE/log" 2>&1 ||
            { tail -n15 "$HERE/log" >&2; fail "the package cannot be removed"; }
    fi
    rm -rf --one-file-system "$STATE" "$ETC" /var/lib/berth /var/log/berth /run/berth /run/berth-deploy.lock
    say "removed Berth"
}

# --- the database -----------------------------------------------------------------------------------

backup() {
    berth-controller --config "$ETC/controller.ini" --backup="$HERE/copy.db" >"$HERE/log" 2>&1 ||
        { cat "$HERE/log" >&2; exit 1; }
    cat "$HERE/copy.db"
}

# It is tried as a controller's, with the keys and revoked nodes beside this, before it takes the place of another.
restore() {
    local own=berth-controller:berth-controller to=$DATABASE.new name
    [ ! -e "$DATABASE/berth.db" ] || [ "${1:-}" = force ] || fail "this host has a database already: --force replaces it"
    rm -rf "$to" && install -d -m 0700 -o berth-controller -g berth-controller "$to" || fail "cannot make $to"
    for name in berth.db secrets.key previous-secrets.key revoked; do
        [ ! -e "$HERE/$name" ] || install -m 0600 -o "${own%:*}" -g "${own#*:}" "$HERE/$name" "$to/$name" || fail "cannot write $to"
    done
    [ ! -e "$DATABASE/revoked" ] || { cat "$DATABASE/revoked" >>"$to/revoked" && chown "$own" "$to/revoked"; } || fail "cannot write $to"
    runuser -u berth-controller -- berth-controller --state_dir="$to" --secrets_key_file="$to/secrets.key" \
        $([ ! -e "$to/previous-secrets.key" ] || echo "--previous_secrets_key_file=$to/previous-secrets.key") \
        --check-store >"$HERE/check" 2>&1 || { cat "$HERE/check" >&2; rm -rf "$to"; fail "the backup's database is refused"; }
    rm -f "$to"/{secrets,previous-secrets}.key
    if [ -e "$DATABASE" ]; then
        systemctl stop "$(unit controller)"
        rm -rf "$DATABASE.before-restore" && mv "$DATABASE" "$DATABASE.before-restore" || fail "cannot move $DATABASE away"
    fi
    mv "$to" "$DATABASE" || fail "cannot write the database"
    mkdir -p -m 0700 "$STATE" && touch "$STATE/password-told"
    say "restored the database"
}

revoke() {
    local id
    for id in "$@"; do
        runuser -u berth-controller -- berth-controller --config "$ETC/controller.ini" --revoke_node="$id" \
            >/dev/null || fail "cannot revoke $id"
    done
    systemctl reload "$(unit controller)"
}

verb=${1:-}
shift
case $verb in
    facts | node-key | page | password) "${verb//-/_}" "$@" ;;
    plan) plan "$@" ;;
    package | init | apply | retire | empty | drain | undrain | forget-password | backup | restore | revoke | purge)
        lock
        "${verb//-/_}" "$@"
        ;;
    stop) lock && stop_all ;;
    *) fail "unknown verb $verb" ;;
esac
