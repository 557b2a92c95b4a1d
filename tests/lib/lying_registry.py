#!/usr/bin/env python3
"""A registry that misbehaves on demand, over TLS, on Python's standard library.

    lying_registry.py LAYOUT CERT KEY PORT LOG

Serves LAYOUT (an OCI layout) as https://127.0.0.1:PORT/v2/CASE/..., whatever CASE is; CASE says how
it lies (see the methods of Lies). PORT+1 is "another host": token server and redirect target. PORT+2
speaks plain http. Each request is one line in LOG: port, method, path, status, Authorization, Range;
each TLS connection one line "connect PORT". Ends with its standard input.
"""
import base64
import json
import pathlib
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LAYOUT, CERT, KEY, PORT, LOG = sys.argv[1:6]
PORT = int(PORT)
OTHER = f"https://localhost:{PORT + 1}"
USER = "Basic " + base64.b64encode(b"bob:secret").decode()
log = open(LOG, "a", buffering=1)
counts = {}
lock = threading.Lock()


def nth(name):
    """How often this was called with the name, counting from 1."""
    with lock:
        counts[name] = counts.get(name, 0) + 1
        return counts[name]


def blob(digest):
    path = pathlib.Path(LAYOUT, "blobs", digest.replace(":", "/"))
    return path.read_bytes() if path.exists() else None


def tagged(tag):
    for manifest in json.loads(pathlib.Path(LAYOUT, "index.json").read_text())["manifests"]:
        if manifest["annotations"]["org.opencontainers.image.ref.name"] == tag:
            return manifest["digest"]
    return None


def is_layer(digest):
    return not (blob(digest) or b"{").startswith(b"{")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host, port, handler, tls):
        super().__init__((host, port), handler)
        self.tls = None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(CERT, KEY)

    def finish_request(self, request, client_address):
        if self.tls:
            log.write(f"connect {self.server_address[1]}\n")
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except (OSError, ssl.SSLError):
                return
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        pass


class Base(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        log.write(f"{self.server.server_address[1]} {self.command} {self.path} {status} "
                  f"{self.headers.get('Authorization', '-')} {self.headers.get('Range', '-')}\n")
        self.send_response(status)
        for name, value in headers.items():
            for item in value if isinstance(value, list) else [value]:
                self.send_header(name.replace("_", "-"), item)
        if "Content_Length" not in headers and "Transfer_Encoding" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def hang_up(self):
        self.close_connection = True


class Other(Base):
    """Token server, redirect target."""

    def do_GET(self):
        given = self.headers.get("Authorization")
        if self.path.startswith("/token"):
            if "account=" in self.path and given != USER:
                return self.answer(401, {"details": "incorrect username or password"})
            if "account=" not in self.path and "private" in self.path:
                return self.answer(200, {"token": "anonymous"})
            return self.answer(200, {"token": f"good-{nth('token')}", "expires_in": 300})
        if self.path.startswith("/blob/"):
            if given:  # a credential that came along is a leak
                return self.answer(400, {"errors": [{"message": "credentials leaked"}]})
            return self.answer(200, blob(self.path.split("/")[2]))
        self.answer(404)


class Lies(Base):
    """/v2/CASE/manifests|blobs/REFERENCE, by a method named after CASE."""

    def do_GET(self):
        _, _, case, *_, kind, name = self.path.split("/") if self.path.count("/") > 3 else [""] * 5
        if not case:
            return self.answer(404)
        if kind == "manifests":
            digest = name if ":" in name else tagged(name)
        else:
            digest = name
        body = blob(digest) if digest else None
        if body is None:
            return self.answer(404, {"errors": [{"code": "MANIFEST_UNKNOWN",
                                                 "message": "manifest unknown"}]})
        getattr(self, "case_" + case)(kind, digest, body)

    def honest(self, kind, digest, body):
        kinds = {"manifests": "application/vnd.oci.image.manifest.v1+json"}
        self.answer(200, body, Docker_Content_Digest=digest,
                    Content_Type=kinds.get(kind, "application/octet-stream"))

    case_good = honest

    # --- authentication

    def challenge(self, **more):
        self.answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]},
                    WWW_Authenticate=[
                        "Negotiate",
                        f'Bearer realm="{OTHER}/token",service="reg",scope="x"'], **more)

    def case_token(self, kind, digest, body):
        if not self.headers.get("Authorization", "").startswith("Bearer good-"):
            return self.challenge()
        self.honest(kind, digest, body)

    def case_private(self, kind, digest, body):
        self.case_token(kind, digest, body)

    def case_expiring(self, kind, digest, body):
        """Each token is good for one request."""
        given = self.headers.get("Authorization", "")
        if not given.startswith("Bearer good-") or nth(given) > 1:
            return self.challenge()
        self.honest(kind, digest, body)

    def case_plaintoken(self, kind, digest, body):
        self.answer(401, WWW_Authenticate=f'Bearer realm="http://localhost:{PORT + 2}/token"')

    # --- wrong content

    def case_manifest_changed(self, kind, digest, body):
        self.honest(kind, digest, body + b" " if kind == "manifests" else body)

    def case_manifest_damaged(self, kind, digest, body):
        """The same, but of a tag: only the digest header tells."""
        self.case_manifest_changed(kind, digest, body)

    def case_config_changed(self, kind, digest, body):
        self.honest(kind, digest, body[:-1] + b" " if kind == "blobs" else body)

    def case_blob_changed(self, kind, digest, body):
        self.honest(kind, digest, body[:-1] + b"!" if is_layer(digest) else body)

    def case_blob_short(self, kind, digest, body):
        self.honest(kind, digest, body[:-1] if is_layer(digest) else body)

    def case_blob_long(self, kind, digest, body):
        self.honest(kind, digest, body + b"!" if is_layer(digest) else body)

    def case_blob_endless(self, kind, digest, body):
        if not is_layer(digest):
            return self.honest(kind, digest, body)
        self.answer(200, Transfer_Encoding="chunked")
        for _ in range(10000):
            self.wfile.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    def case_html(self, kind, digest, body):
        self.answer(200, b"<html>Welcome to the hotel's network</html>", Content_Type="text/html")

    def case_schema1(self, kind, digest, body):
        self.answer(200, {"schemaVersion": 1, "name": "x", "fsLayers": []})

    def case_huge(self, kind, digest, body):
        self.answer(200, b'{"a":"' + b"x" * (5 << 20) + b'"}')

    def case_noplatform(self, kind, digest, body):
        entry = {"digest": digest, "size": 1}
        self.answer(200, {"schemaVersion": 2, "manifests": [
            {**entry, "platform": {"os": "windows", "architecture": "amd64"}},
            {**entry, "platform": {"os": "linux", "architecture": "s390x"}}]})

    # --- trouble

    def case_busy(self, kind, digest, body):
        if nth(f"busy {kind} {digest}") <= 2:
            return self.answer(429, {"errors": [{"message": "slow down"}]}, Retry_After="0")
        self.honest(kind, digest, body)

    def case_busyforever(self, kind, digest, body):
        self.answer(429, {"errors": [{"message": "pull rate limit"}]}, Retry_After="0")

    def case_broken(self, kind, digest, body):
        if nth(f"broken {kind} {digest}") <= 1:
            return self.answer(503)
        self.honest(kind, digest, body)

    def case_unauthorized_blob(self, kind, digest, body):
        if is_layer(digest):
            return self.answer(403, {"errors": [{"message": "denied"}]})
        self.honest(kind, digest, body)

    def rest(self, body):
        """(start, status, headers) as the Range header asks."""
        text = self.headers.get("Range")
        if not text:
            return 0, 200, {}
        start = int(text.removeprefix("bytes=").rstrip("-"))
        return start, 206, {"Content_Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}

    def case_cut(self, kind, digest, body):
        """Breaks after a part of the blob, three times."""
        if not is_layer(digest):
            return self.honest(kind, digest, body)
        start, status, headers = self.rest(body)
        part = body[start:]
        if nth("cut " + digest) <= 3:
            part = part[:len(part) // 2]
            self.hang_up()
        self.answer(status, part, Content_Length=str(len(body) - start), **headers)

    def case_cutnorange(self, kind, digest, body):
        """Breaks once, then sends all of it again."""
        if not is_layer(digest):
            return self.honest(kind, digest, body)
        part = body
        if nth("cutnorange " + digest) <= 1:
            part = body[:len(body) // 2]
            self.hang_up()
        self.answer(200, part, Content_Length=str(len(body)))

    def case_cutalways(self, kind, digest, body):
        """Breaks after a few bytes, always."""
        if not is_layer(digest):
            return self.honest(kind, digest, body)
        start, status, headers = self.rest(body)
        self.hang_up()
        self.answer(status, body[start:start + 10], Content_Length=str(len(body) - start), **headers)

    def case_wrongrange(self, kind, digest, body):
        """Breaks once, then sends another part than the one asked for."""
        if not is_layer(digest):
            return self.honest(kind, digest, body)
        if nth("wrongrange " + digest) <= 1:
            self.hang_up()
            return self.answer(200, body[:len(body) // 2], Content_Length=str(len(body)))
        self.answer(206, body[1:], Content_Range=f"bytes 1-{len(body) - 1}/{len(body)}")

    def case_half(self, kind, digest, body):
        """A mirror that dies in the middle of a layer."""
        if not is_layer(digest):
            return self.honest(kind, digest, body)
        if nth("half " + digest) > 1:
            return self.answer(404)
        self.hang_up()
        self.answer(200, body[:len(body) // 2], Content_Length=str(len(body)))

    def case_hang(self, kind, digest, body):
        if not is_layer(digest):
            return self.honest(kind, digest, body)
        self.answer(200, body[:10], Content_Length=str(len(body)))
        threading.Event().wait(60)

    # --- redirects

    def case_redirect(self, kind, digest, body):
        """As registries with an object store: authenticated here, fetched elsewhere."""
        if not self.headers.get("Authorization", "").startswith("Bearer good-"):
            return self.challenge()
        if kind == "blobs":
            return self.answer(307, Location=f"{OTHER}/blob/{digest}")
        self.honest(kind, digest, body)

    def case_downgrade(self, kind, digest, body):
        if kind == "blobs":
            return self.answer(307, Location=f"http://127.0.0.1:{PORT + 2}/blob/{digest}")
        self.honest(kind, digest, body)

    def case_metadata(self, kind, digest, body):
        """To where clouds tell a host its credentials."""
        self.answer(307, Location="https://169.254.169.254/latest/meta-data/")

    def case_metadatatoken(self, kind, digest, body):
        self.answer(401, WWW_Authenticate='Bearer realm="https://169.254.169.254/token"')

    def case_circle(self, kind, digest, body):
        self.answer(302, Location=self.path)


def main():
    for host, port, handler, tls in (
            ("127.0.0.1", PORT, Lies, True),
            ("127.0.0.2", PORT, Lies, True),  # a name that is not in the certificate
            ("127.0.0.1", PORT + 1, Other, True),
            ("127.0.0.1", PORT + 2, Other, False)):
        server = Server(host, port, handler, tls)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
