# shellcheck shell=bash
# registry.sh - images and registries for tests: source it.
#
#   make_ca DIR [FILE]               DIR/ca.pem, DIR/ca.key (or FILE.pem ...): a new authority
#                                    "Berth test CA"
#   make_cert DIR NAME [SAN...]      DIR/NAME.pem, DIR/NAME.key signed by DIR's CA; SANs as openssl
#                                    writes them ("DNS:reg.test" "IP:127.0.0.1", which is the default)
#   make_htpasswd FILE USER PASSWORD bcrypt, as docker-registry wants it
#   make_image LAYOUT TAG OPTIONS... an image in an OCI layout; see make_image.py
#   start_registry DIR PORT [NAME=VALUE...]
#                                    a docker-registry on 127.0.0.1 (or REGISTRY_ADDRESS) :PORT over TLS with the
#                                    certificate DIR/registry.pem (made when missing), its storage in
#                                    DIR/data-PORT, log in DIR/registry-PORT.log; more settings as its
#                                    REGISTRY_* variables. REGISTRY_PID is its pid. Returns when it
#                                    answers, 1 when it does not.
#   push_image DIR LAYOUT TAG IMAGE [USER:PASSWORD]
#                                    copies LAYOUT's TAG to docker://IMAGE ("127.0.0.1:PORT/a/b:t")
#   wait_for SECONDS COMMAND...      until COMMAND succeeds; 1 when it never did
#   stop_pid PID                     ends a process that the test started, and waits for it
#
# DIR is the test's own temporary directory. What is started must be stopped in the test's trap.

REGISTRY_LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

make_ca() {
    local dir=$1 file=${2:-ca}
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
        -subj "/O=Berth tests/CN=Berth test CA" -addext "keyUsage=critical,keyCertSign,cRLSign" \
        -keyout "$dir/$file.key" -out "$dir/$file.pem" 2>"$dir/openssl.log" || { cat "$dir/openssl.log"; return 1; }
}

make_cert() {
    local dir=$1 name=$2 sans
    shift 2
    [ $# -gt 0 ] || set -- IP:127.0.0.1 DNS:localhost
    sans=$(IFS=,; echo "$*")
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" \
        -keyout "$dir/$name.key" -out "$dir/$name.csr" 2>"$dir/openssl.log" &&
        openssl x509 -req -in "$dir/$name.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 30 \
            -extfile <(echo "subjectAltName=$sans") -out "$dir/$name.pem" 2>>"$dir/openssl.log" ||
        { cat "$dir/openssl.log"; return 1; }
    rm -f "$dir/$name.csr"
}

make_htpasswd() {
    local salt
    salt=$(openssl rand -hex 11)
    # shellcheck disable=SC2016 # the dollar signs belong to bcrypt
    printf '%s:%s\n' "$2" "$(perl -e 'print crypt($ARGV[0], "\$2y\$05\$" . $ARGV[1])' "$3" "$salt")" >>"$1"
}

make_image() {
    python3 "$REGISTRY_LIB/make_image.py" "$@"
}

wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.05
    done
}

stop_pid() {
    [ -n "${1:-}" ] || return 0
    kill "$1" 2>/dev/null
    wait "$1" 2>/dev/null
    return 0
}

start_registry() {
    local dir=$1 port=$2 address=${REGISTRY_ADDRESS:-127.0.0.1}
    shift 2
    [ -e "$dir/registry.pem" ] || make_cert "$dir" registry || return 1
    mkdir -p "$dir/data-$port"
    cat >"$dir/registry-$port.yml" <<YAML
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: "$dir/data-$port"}, delete: {enabled: true}}
http: {addr: "$address:$port", tls: {certificate: "$dir/registry.pem", key: "$dir/registry.key"}}
YAML
    env OTEL_TRACES_EXPORTER=none "$@" docker-registry serve "$dir/registry-$port.yml" \
        >"$dir/registry-$port.log" 2>&1 &
    # shellcheck disable=SC2034 # for the caller
    REGISTRY_PID=$!
    wait_for 20 curl -s -o /dev/null --cacert "$dir/ca.pem" "https://$address:$port/v2/" ||
        { cat "$dir/registry-$port.log"; return 1; }
}

push_image() {
    local dir=$1 layout=$2 tag=$3 image=$4 certs="$1/skopeo-certs" creds=(--dest-no-creds)
    mkdir -p "$certs" && cp "$dir/ca.pem" "$certs/ca.crt"
    [ -z "${5:-}" ] || creds=(--dest-creds "$5")
    skopeo --insecure-policy copy -q --all --dest-cert-dir "$certs" "${creds[@]}" "oci:$layout:$tag" "docker://$image"
}
