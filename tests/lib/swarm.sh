# shellcheck shell=bash
# swarm.sh - what a test with tests/lib/swarm.py needs on disk and beside it: source it after registry.sh.
#
#   swarm_stage DIR PORT    a CA and certificates in DIR, a registry on PORT (REGISTRY_PID), DIR/controller.ini for a
#                           controller on PORT+1 ... PORT+4

swarm_stage() {
    local dir=$1 port=$2
    make_ca "$dir" && make_cert "$dir" api && make_cert "$dir" registry && start_registry "$dir" "$port" || return 1
    cat >"$dir/controller.ini" <<INI
state_dir = $dir/state
api_listen = 127.0.0.1:$((port + 1))
api_url = https://127.0.0.1:$((port + 1))
api_cert = $dir/api.pem
api_key = $dir/api.key
bus_control = tcp://127.0.0.1:$((port + 2))
bus_logs = tcp://127.0.0.1:$((port + 3))
admin = 127.0.0.1:$((port + 4))
default_domain = apps.test
[registry 127.0.0.1:$port]
ca = $dir/ca.pem
INI
}
