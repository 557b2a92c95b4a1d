# shellcheck shell=bash
# cell.sh - a berth-cell between a real registry and cell_driver, for tests: source it after registry.sh.
#
#   cell_stage PREFIX SUBNET PORT    DIR, a registry, the image "busybox" and the configuration; PORT
#                                    to PORT+3 are the daemons', PORT+10 and on the containers'
#   start_driver, start_cell         driver_pid, cell_pid; more arguments go to the cell
#   tell COMMAND                     to the driver (see cell_driver.c)
#   want GUID IMAGE COMMAND-JSON [MORE-JSON-MEMBERS]
#   heard REGEX, heard_since MARK REGEX, mark
#   image_json NAME                  DIR/NAME.json: what staging would have found out about it
#   check NAME COMMAND...            one line of the test's output
#   cell_cleanup                     for the test's trap; exits with the test's result

BUILD=${BERTH_BUILD:-build}
failed=0 cell_pid="" driver_pid="" registry_pid=""

check() {
    local name=$1
    shift
    if "$@" >/dev/null 2>&1; then
        echo "ok - $name"
    else
        echo "not ok - $name"
        failed=1
        return 1
    fi
}

cell_cleanup() {
    exec 3>&-
    stop_pid "$cell_pid"
    stop_pid "$driver_pid"
    "$BUILD/cell/berth-cell" --purge --config "$DIR/cell.ini" >"$DIR/purge.log" 2>&1 ||
        { echo "not ok - the purge leaves nothing"; cat "$DIR/purge.log"; failed=1; }
    stop_pid "$registry_pid"
    if grep -qE 'Sanitizer|runtime error:' "$DIR/cell.log" "$DIR/purge.log"; then
        echo "not ok - no sanitizer complains"
        grep -hE -A30 'Sanitizer|runtime error:' "$DIR/cell.log" "$DIR/purge.log" | head -60
        failed=1
    fi
    [ $failed = 0 ] || { echo "--- cell"; tail -60 "$DIR/cell.log"; echo "--- heard"; grep -v ' line [0-9]' "$DIR/heard" | tail -80; }
    rm -rf "$DIR"
    exit $failed
}

start_driver() {
    "$BUILD/tests/component/cell_driver" "$CONTROL" "$LOGS" "$DIR/key" <"$DIR/commands" >>"$DIR/heard" 2>&1 3>&- &
    driver_pid=$!
}

start_cell() {
    "$BUILD/cell/berth-cell" --config "$DIR/cell.ini" "$@" >>"$DIR/cell.log" 2>&1 3>&- &
    cell_pid=$!
}

tell() { echo "$*" >&3; }
heard() { grep -q -E -- "$1" "$DIR/heard"; }
mark() { wc -l <"$DIR/heard"; } # what comes after it: heard_since
heard_since() { tail -n +$(($1 + 1)) "$DIR/heard" | grep -q -E -- "$2"; }

want() {
    local guid=$1 image=$2 command=$3 more=${4:-}
    tell "want {\"guid\":\"$guid\",\"index\":0,\"process_guid\":\"p-1\",\"app_guid\":\"app-$guid\",\"memory_mb\":64,\"disk_mb\":64,\"command\":$command,\"image\":$(cat "$DIR/$image.json")${more:+,$more}}"
}

image_json() {
    local name=$1 certs="$DIR/skopeo-certs" from=docker://127.0.0.1:$REGISTRY/test/$1:1
    skopeo inspect --raw --cert-dir "$certs" --no-creds "$from" >"$DIR/manifest.json" &&
        skopeo inspect --raw --config --cert-dir "$certs" --no-creds "$from" >"$DIR/config.json" &&
        python3 - "$DIR" "$name" "$REGISTRY" >"$DIR/$name.json" <<'PY'
import hashlib, json, pathlib, sys
folder, name, port = sys.argv[1:]
raw = pathlib.Path(folder, "manifest.json").read_bytes()
diff_ids = json.loads(pathlib.Path(folder, "config.json").read_bytes())["rootfs"]["diff_ids"]
layers = [{"digest": l["digest"], "size": l["size"], "media_type": l["mediaType"], "diff_id": d}
          for l, d in zip(json.loads(raw)["layers"], diff_ids)]
print(json.dumps({"reference": f"127.0.0.1:{port}/test/{name}:1", "registry": f"127.0.0.1:{port}",
                  "repository": f"test/{name}", "digest": "sha256:" + hashlib.sha256(raw).hexdigest(), "layers": layers}))
PY
}

cell_stage() {
    local prefix=$1 subnet=$2 port=$3
    CONTROL=$port LOGS=$((port + 1)) ADMIN=$((port + 2)) REGISTRY=$((port + 3))
    DIR=$(mktemp -d "/tmp/$prefix-XXXXXX")
    chmod 711 "$DIR"
    mkfifo "$DIR/commands"
    : >"$DIR/heard"
    cat >"$DIR/cell.ini" <<INI
controller = tcp://127.0.0.1:$CONTROL
controller_logs = tcp://127.0.0.1:$LOGS
key_file = $DIR/key
name = cell-t
state_dir = $DIR/state
run_dir = $DIR/run
prefix = $prefix
subnet = $subnet
max_containers = 20
port_first = $((port + 10))
port_count = 40
admin = 127.0.0.1:$ADMIN
[registry 127.0.0.1:$REGISTRY]
ca = $DIR/ca.pem
INI
    exec 3<>"$DIR/commands" # keeps it open while drivers come and go
    make_ca "$DIR" && start_registry "$DIR" "$REGISTRY" || return 1
    registry_pid=$REGISTRY_PID
    make_image "$DIR/layout" 1 --busybox --random 3 --entrypoint '["/bin/sh"]' >/dev/null &&
        push_image "$DIR" "$DIR/layout" 1 "127.0.0.1:$REGISTRY/test/busybox:1" && image_json busybox
}
