# shellcheck shell=bash
# lib.sh - a whole cluster of the test's own, made by deploy/quickstart, and checks. Source it.
#
#   cluster_up [ARGUMENTS...]   quickstart in a directory of its own; sets DIR, URL, API, CLI, IMAGE, ...
#   cluster_down                stops and removes all of it (also done at exit)
#   berth ...                   the client, logged in as admin
#   check TEXT COMMAND...       prints "ok - TEXT" or "not ok - TEXT" with what the command said
#   check_not TEXT COMMAND...   the same, where the command must fail
#   add_image NAME OPTIONS...   makes an image (see tests/lib/make_image.py) and puts it into the registry
#   app_get APP PATH [CURL...]  asks APP.apps.localhost through the router
#   status_of APP PATH          the status alone
#   daemon_pid NAME             pid of controller, cell, router or registry
#   is_up NAME                  whether the daemon says that it is healthy
#   crash NAME                  kill -9; its supervisor starts it again after a second
#   hold_down NAME, let_up NAME kill -9 and kept down, by stopping its supervisor; up again
#   restart_daemon NAME         as an operator does after a change of DIR/etc/NAME.ini
#   no_sanitizer_report         when the programs were built with sanitizers: they found nothing
#   finish                      last line of a test: exit 0 when every check held
#
# A test that may run beside others sets E2E_DIR, E2E_NAME, the ports and, for its containers, E2E_CELL
# before it sources this. E2E_CELL is more of the cell's configuration, E2E_CONTROLLER of the controller's.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$ROOT/tests/lib/registry.sh"
BERTH_BUILD=${BERTH_BUILD:-$ROOT/build}
checks_failed=0

: "${E2E_DIR:=/var/lib/berth-e2e}" "${E2E_HTTP:=18080}" "${E2E_HTTPS:=18443}" "${E2E_API:=19443}" \
    "${E2E_REGISTRY:=17450}" "${E2E_BASE:=17400}" "${E2E_NAME:=berthe2e}" "${E2E_CELL:=}" \
    "${E2E_CONTROLLER:=}"
E2E_ARGUMENTS=(--dir "$E2E_DIR" --name "$E2E_NAME" --build-dir "$BERTH_BUILD" --http-port "$E2E_HTTP"
    --https-port "$E2E_HTTPS" --api-port "$E2E_API" --registry-port "$E2E_REGISTRY" --base-port "$E2E_BASE")

# In this shell: what COMMAND sets stays.
check() {
    local check_text=$1 check_said check_result
    shift
    CHECK_SAID=$(mktemp) check_said=$CHECK_SAID
    "$@" >"$check_said" 2>&1
    check_result=$?
    if [ $check_result = 0 ]; then
        echo "ok - $check_text"
    else
        echo "not ok - $check_text"
        tail -15 "$check_said" | sed 's/^/    /'
        checks_failed=$((checks_failed + 1))
    fi
    rm -f "$check_said"
    return $check_result
}

check_not() {
    local text=$1
    shift
    check "$text" not "$@"
}
not() { ! "$@"; }

finish() {
    [ $checks_failed = 0 ]
    exit
}

cluster_up() {
    QUICKSTART_LOG=$(mktemp)
    # What an interrupted run left behind.
    "$ROOT/deploy/quickstart" "${E2E_ARGUMENTS[@]}" --purge >"$QUICKSTART_LOG" 2>&1
    trap cluster_down EXIT
    mkdir -p -m 0700 "$E2E_DIR/etc"
    [ -z "$E2E_CELL" ] || printf '%s\n' "$E2E_CELL" >"$E2E_DIR/etc/cell.local.ini"
    [ -z "$E2E_CONTROLLER" ] || printf '%s\n' "$E2E_CONTROLLER" >"$E2E_DIR/etc/controller.local.ini"
    trap 'exit 1' INT TERM
    quickstart "$@"
}

# quickstart ARGUMENTS...: runs it (again); its output is in QUICKSTART_LOG.
quickstart() {
    "$ROOT/deploy/quickstart" "${E2E_ARGUMENTS[@]}" "$@" >"$QUICKSTART_LOG" 2>&1 ||
        { tail -60 "$QUICKSTART_LOG"; return 1; }
    local line
    while read -r line; do
        case $line in
            url=*) URL=${line#*=} ;;
            api=*) API=${line#*=} ;;
            password_file=*) PASSWORD_FILE=${line#*=} ;;
            image=*) IMAGE=${line#*=} ;;
            cli=*) CLI=${line#*=} ;;
        esac
    done < <(tail -12 "$QUICKSTART_LOG")
    DIR=$E2E_DIR CA=$E2E_DIR/etc/ca.pem
}

cluster_down() {
    local result=$? name
    if [ "$checks_failed" != 0 ] || [ $result != 0 ]; then
        for name in controller cell router; do
            echo "--- the end of $name.log"
            tail -25 "$E2E_DIR/log/$name.log" 2>/dev/null
        done
        echo "--- the router's routes, the cell's instances"
        curl -s -m 5 "http://127.0.0.1:$((E2E_BASE + 4))/routes" "http://127.0.0.1:$((E2E_BASE + 3))/instances"
    fi
    for name in controller cell router; do let_up $name; done
    "$ROOT/deploy/quickstart" "${E2E_ARGUMENTS[@]}" --purge >"$QUICKSTART_LOG" 2>&1 || tail -5 "$QUICKSTART_LOG"
    rm -f "$QUICKSTART_LOG" "${CHECK_SAID:-}" # the latter when it was interrupted
    return $result
}

berth() { "$CLI" "$@"; }

add_image() {
    local name=$1 layout result
    shift
    layout=$(mktemp -d)
    make_image "$layout" latest "$@" >/dev/null &&
        skopeo --insecure-policy copy -q --all --dest-cert-dir "$DIR/sample/certs" --dest-no-creds \
            "oci:$layout:latest" "docker://127.0.0.1:$E2E_REGISTRY/$name"
    result=$?
    rm -rf "$layout"
    return $result
}

app_get() {
    local app=$1 path=$2
    shift 2
    curl -s -m 20 -H "Host: $app.apps.localhost" "$@" "http://127.0.0.1:$E2E_HTTP$path"
}
status_of() { app_get "$1" "$2" -o /dev/null -w '%{http_code}'; }
app_is() { [ "$(status_of "$1" "$2")" = "$3" ]; }

# --- daemons -----------------------------------------------------------------------------------------

daemon_pid() { cat "$E2E_DIR/run/$1.child"; }
daemon_comm() { cat "/proc/$(daemon_pid "$1")/comm" 2>/dev/null; }

# Admin addresses are base + 2 .. 4, as deploy/quickstart gives them.
is_up() {
    local port
    case $1 in controller) port=2 ;; cell) port=3 ;; router) port=4 ;; esac
    curl -sf -m 2 -o /dev/null "http://127.0.0.1:$((E2E_BASE + port))/healthz"
}

crash() { kill -KILL "$(daemon_pid "$1")"; }
# Its supervisor put another process in the place of pid.
is_replaced() {
    local now
    now=$(daemon_pid "$1") && [ "$now" != "$2" ] && [[ $(daemon_comm "$1") == berth-* ]]
}
supervisor_pid() { cat "$E2E_DIR/run/$1.pid" 2>/dev/null; }
hold_down() {
    kill -STOP "$(supervisor_pid "$1")" && crash "$1"
}
let_up() {
    local pid
    pid=$(supervisor_pid "$1") && kill -CONT "$pid" 2>/dev/null
    return 0
}
restart_daemon() {
    local was
    was=$(daemon_pid "$1")
    kill -TERM "$was" && wait_for 30 is_replaced "$1" "$was" && wait_for 20 is_up "$1"
}

# Reports of AddressSanitizer, LeakSanitizer and UBSan in the daemons' logs; leaks are told at their end.
no_sanitizer_report() {
    ! grep -hE -A25 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$E2E_DIR"/log/{controller,cell,router}.log
}

# --- apps --------------------------------------------------------------------------------------------


# running APP N: N instances of its web process run.
running() { berth app "$1" | grep -q "^instances: *$2/"; }
app_guid() { berth app "$1" --guid; }
containers() { find "$E2E_DIR/cell/containers" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | wc -l; }
