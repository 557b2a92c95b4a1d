# shellcheck shell=bash
# services.sh - runs the quickstart's daemons: by a small supervisor each, or as systemd units. Source it.
#
# Uses DIR (state folder), SOURCE and USE_SYSTEMD of the script that sources it. A daemon that dies is
# started again after a second. DIR/run/NAME.pid is its supervisor's; its log is DIR/log/NAME.log. With systemd
# the units are the package's, deploy/systemd/, with what differs.

: "${UNIT_DIR:=/run/systemd/system}"

wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}

service_failed() {
    tail -20 "$DIR/log/$1.log" 2>/dev/null
    printf 'quickstart: %s did not come up: see %s/log/%s.log\n' "$1" "$DIR" "$1" >&2
    exit 1
}

# The supervisor's pid, if it is still this service's.
service_pid() {
    local pid
    pid=$(cat "$DIR/run/$1.pid" 2>/dev/null) || return 1
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "supervise $DIR $1 " || return 1
    echo "$pid"
}

# service_start NAME CONFIG COMMAND...: starts it, or restarts it when program or configuration changed.
service_start() {
    local name=$1 config=$2 stamp
    shift 2
    stamp=$(cat "$(command -v "$1")" "$config" | sha256sum)
    if [ -n "$USE_SYSTEMD" ]; then
        service_start_unit "$name" "$@"
        return
    fi
    if service_pid "$name" >/dev/null; then
        [ "$(cat "$DIR/run/$name.stamp" 2>/dev/null)" != "$stamp" ] || return 0
        service_stop "$name"
    fi
    echo "$stamp" >"$DIR/run/$name.stamp"
    setsid bash "$SOURCE/deploy/lib/supervise" "$DIR" "$name" "$@" </dev/null >>"$DIR/log/$name.log" 2>&1 &
    disown
    wait_until 5 service_pid "$name" || service_failed "$name"
}

# service_write_unit NAME COMMAND...: into UNIT_DIR. A daemon of ours gets the package's unit with what differs here:
# all belongs to root and lies beneath DIR. The sandbox is the same.
service_write_unit() {
    local name=$1 unit=$UNIT_DIR/berth-quickstart-$1.service
    local command
    command="$(command -v "$2") ${*:3}"
    if [ ! -e "$SOURCE/deploy/systemd/berth-$name.service" ]; then
        printf '[Unit]\nDescription=Berth quickstart: %s\n[Service]\nExecStart=%s\nRestart=always\nRestartSec=1\n' \
            "$name" "$command" >"$unit"
    else
        mkdir -p "$unit.d"
        cp "$SOURCE/deploy/systemd/berth-$name.service" "$unit"
        cat >"$unit.d/quickstart.conf" <<UNIT
[Unit]
AssertPathExists=
[Service]
ExecStart=
ExecStart=$command
User=root
Group=root
StateDirectory=
RuntimeDirectory=
LogsDirectory=
UNIT
        [ "$name" = cell ] || printf '%s\n' "ReadWritePaths=$DIR" PrivateTmp=no ProtectHome=no >>"$unit.d/quickstart.conf"
    fi
    mkdir -p "$UNIT_DIR/berth-quickstart-$name.service.d"
    printf '[Service]\nStandardError=append:%s\n' "$DIR/log/$name.log" >"$unit.d/log.conf"
}

service_start_unit() {
    service_write_unit "$@"
    systemctl daemon-reload
    systemctl restart "berth-quickstart-$1"
}

service_stop() {
    local name=$1 pid
    if [ -e "$UNIT_DIR/berth-quickstart-$name.service" ]; then
        systemctl stop "berth-quickstart-$name" || true
        rm -rf "$UNIT_DIR/berth-quickstart-$name.service" "$UNIT_DIR/berth-quickstart-$name.service.d"
        systemctl daemon-reload
    fi
    pid=$(service_pid "$name") || return 0
    kill -TERM "$pid"
    wait_until 40 service_is_gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
    rm -f "$DIR/run/$name.pid"
}

service_is_gone() { ! kill -0 "$1" 2>/dev/null; }
