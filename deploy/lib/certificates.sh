# shellcheck shell=bash
# certificates.sh - a certificate authority, certificates signed by it, random keys. Source it.
# What is there already is kept. Keys are readable by root only.

# make_authority BASE NAME: BASE.pem and BASE.key.
make_authority() {
    [ -e "$1.pem" ] && return
    (umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
        -subj "/O=Berth/CN=$2" -addext "keyUsage=critical,keyCertSign,cRLSign" \
        -keyout "$1.key" -out "$1.pem.tmp" 2>/dev/null && mv "$1.pem.tmp" "$1.pem")
}

# make_certificate CA BASE SAN...: BASE.pem and BASE.key for the first SAN's name and all SANs.
make_certificate() {
    local ca=$1 base=$2 sans
    shift 2
    [ -e "$base.pem" ] && return
    sans=$(IFS=,; echo "$*")
    (umask 077 && openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/O=Berth/CN=${1#*:}" \
        -keyout "$base.key" -out "$base.csr" 2>/dev/null &&
        openssl x509 -req -in "$base.csr" -CA "$ca.pem" -CAkey "$ca.key" -CAcreateserial -days 825 \
            -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$sans") \
            -out "$base.pem.tmp" 2>/dev/null && rm -f "$base.csr" && mv "$base.pem.tmp" "$base.pem")
}

# make_key FILE: 32 random bytes in hex.
make_key() {
    [ -e "$1" ] || (umask 077 && openssl rand -hex 32 >"$1.tmp" && mv "$1.tmp" "$1")
}
