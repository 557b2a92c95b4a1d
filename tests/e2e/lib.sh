# shellcheck shell=bash
# lib.sh - a whole cluster of the test's own, made by deploy/quickstart, and checks. Source it.
#
#   cluster_up [ARGUMENTS...]   quickstart in a directory of its own; sets DIR, URL, API, CLI, IMAGE, ...
#   cluster_down                stops and removes all of it (also done at exit)
#   berth ...                   the client, logged in as admin
#   check TEXT COMMAND...       prints "ok - TEXT" or "not ok - TEXT" with what the command said
#   check_not TEXT COMMAND...   the same, where the command must fail
#   add_image NAME OPTIONS...   makes an image (see tests/lib/make_image.py) and puts it into the registry
#   app_get APP PATH [CURL...]  asks APP.localhost through the router
#   status_of APP PATH          the status alone
#   daemon_pid NAME             pid of controller, cell, router or registry
#   finish                      last line of a test: exit 0 when every check held

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$ROOT/tests/lib/registry.sh"
BERTH_BUILD=${BERTH_BUILD:-$ROOT/build}
checks_failed=0

: "${E2E_DIR:=/var/lib/berth-e2e}" "${E2E_HTTP:=18080}" "${E2E_HTTPS:=18443}" "${E2E_API:=19443}" \
    "${E2E_REGISTRY:=17450}" "${E2E_BASE:=17400}"
E2E_ARGUMENTS=(--dir "$E2E_DIR" --name berthe2e --build-dir "$BERTH_BUILD" --http-port "$E2E_HTTP"
    --https-port "$E2E_HTTPS" --api-port "$E2E_API" --registry-port "$E2E_REGISTRY" --base-port "$E2E_BASE")

check() {
    local text=$1 said
    shift
    if said=$("$@" 2>&1); then
        echo "ok - $text"
    else
        echo "not ok - $text"
        printf '%s\n' "$said" | tail -15 | sed 's/^/    /'
        checks_failed=$((checks_failed + 1))
        return 1
    fi
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
    local result=$?
    if [ "$checks_failed" != 0 ] || [ $result != 0 ]; then
        local name
        for name in controller cell router; do
            echo "--- the end of $name.log"
            tail -25 "$E2E_DIR/log/$name.log" 2>/dev/null
        done
    fi
    "$ROOT/deploy/quickstart" "${E2E_ARGUMENTS[@]}" --purge >"$QUICKSTART_LOG" 2>&1 || tail -5 "$QUICKSTART_LOG"
    rm -f "$QUICKSTART_LOG"
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
    curl -s -m 20 -H "Host: $app.localhost" "$@" "http://127.0.0.1:$E2E_HTTP$path"
}
status_of() { app_get "$1" "$2" -o /dev/null -w '%{http_code}'; }
app_is() { [ "$(status_of "$1" "$2")" = "$3" ]; }

daemon_pid() { cat "$E2E_DIR/run/$1.child"; }

# running APP N: N instances of its web process run.
running() { berth app "$1" | grep -q "^instances: *$2/"; }
app_guid() { berth app "$1" --guid; }
containers() { find "$E2E_DIR/cell/containers" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | wc -l; }
