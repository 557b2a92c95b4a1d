#!/usr/bin/env python3
"""Bad requests to the API and to the router: each must get the right status, code and words.

    bad_requests.py API CA PASSWORD_FILE HOST ROUTER_PORT BUS_PORT

Prints "ok - ..." or "not ok - ..." for each; exit 1 when one was wrong. Changes nothing in the cluster but
for one app named victim, which is there before and after and answers at HOST.
"""
import base64
import json
import re
import socket
import ssl
import sys
import time

import cf

failed = 0
HUGE = 64 << 20  # far more than any body may have
ZERO_GUID = "00000000-0000-0000-0000-000000000000"


def report(name, wrong):
    global failed
    print(f"not ok - {name}\n    {wrong}" if wrong else f"ok - {name}", flush=True)
    failed += bool(wrong)


def one_of(wanted):
    return wanted if isinstance(wanted, tuple) else (wanted,)


def judge(answer, status, code, words):
    """What is wrong with an answer of the API, or None."""
    text = answer.text.decode(errors="replace")
    shown = f"{answer.status} {text[:300]}"
    if answer.status not in one_of(status):
        return f"wanted {status}, got {shown}"
    if answer.status >= 400 and code and answer.status != 413:  # refused before it was read, by libevent
        errors = (answer.json or {}).get("errors") if isinstance(answer.json, dict) else None
        if not errors or not errors[0].get("detail") or not errors[0].get("title"):
            return f"no error in Cloud Controller's form: {shown}"
        if errors[0]["code"] not in one_of(code):
            return f"wanted code {code}, got {shown}"
    return None if re.search(words, text, re.S) else f"wanted words like {words!r}, got {shown}"


class Bad:
    def __init__(self, url, ca, password_file, host, router_port, bus_port):
        self.host = host
        self.api = cf.Api(url, ca)
        self.password = open(password_file).read().strip()
        self.api.log_in("admin", self.password)
        self.router_port, self.bus_port = int(router_port), int(bus_port)
        self.space = self.api.list("/v3/spaces")[0]["guid"]
        self.app = self.api.list("/v3/apps?names=victim")[0]["guid"]

    def headers(self, **more):
        return {"Authorization": "bearer " + self.api.token, "Content-Type": "application/json", **more}

    def expect(self, name, method, path, body, status, code, words="", headers=None):
        begin = time.time()
        try:
            answer = self.api.raw(method, path, body, self.headers() if headers is None else headers)
        except cf.Unanswered as error:
            # What is too large may end the connection: the answer is lost when it is still being sent.
            return report(name, None if {413, 431} & set(one_of(status)) else f"no answer: {error}")
        slow = time.time() - begin
        report(name, judge(answer, status, code, words) or (f"took {slow:.1f} s" if slow > 5 else None))

    # --- tokens -------------------------------------------------------------------------------------

    def tokens(self):
        head, claims, signature = self.api.token.split(".")

        def encode(data):
            return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")

        def claimed(**changes):
            data = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
            return encode({**data, **changes})

        self.expect("no token", "GET", "/v3/apps", None, 401, 10002, "Authentication error", {})
        for name, value in (
                ("a token that is none", "bearer nonsense"),
                ("an empty token", "bearer "),
                ("another scheme", "Basic YWRtaW46YWRtaW4="),
                ("a token with another signature", f"bearer {head}.{claims}.{'A' * len(signature)}"),
                ("a token without a signature", f"bearer {head}.{claims}."),
                ("a token of algorithm none", f"bearer {encode({'alg': 'none', 'typ': 'JWT'})}.{claims}."),
                ("a token that says it has expired", f"bearer {head}.{claimed(exp=1000000000)}.{signature}"),
                ("a token prolonged by hand", f"bearer {head}.{claimed(exp=99999999999)}.{signature}"),
                ("a token of 100 kB", "bearer " + "a" * 100000),
                ("a token of dots", "bearer ....")):
            # Headers of 100 kB may be refused before anybody looks at the token.
            self.expect(name, "GET", "/v3/apps", None, (401, 400, 431) if "kB" in name else 401,
                        None if "kB" in name else 1000, "", {"Authorization": value})

    # --- paths, methods, queries ----------------------------------------------------------------------

    def paths(self):
        unknown = (404, 10000, "Unknown request")
        self.expect("an unknown path", "GET", "/v3/nonsense", None, *unknown)
        self.expect("an unknown path below a known one", "GET", f"/v3/apps/{self.app}/nonsense", None, *unknown)
        self.expect("a path with ..", "GET", "/v3/apps/../../../etc/passwd", None, (400, 404), None)
        self.expect("a path with %00", "GET", "/v3/apps/%00", None, (400, 404), (10010, 10000, 1004))
        self.expect("a path with half an escape", "GET", "/v3/apps/%f", None, (400, 404), (10010, 10000, 1004))
        self.expect("a path that is no UTF-8", "GET", "/v3/apps/%ff%fe", None, (400, 404), (10010, 10000, 1004))
        self.expect("an SQL sentence for a guid", "GET", "/v3/apps/'%20OR%201=1%20--", None, 404, 10010)
        self.expect("a guid of 4 kB", "GET", "/v3/apps/" + "a" * 4096, None, (404, 414), (10010, 10000))
        self.expect("a path of 200 kB", "GET", "/v3/apps/" + "a" * 200000, None, (400, 404, 413, 414, 431), None)
        self.expect("a known path, a method that it has not", "PUT", "/v3/apps", b"{}", (404, 405), 10000)
        self.expect("a method that does not exist", "BREW", "/v3/apps", None, (400, 404, 405, 501), None)
        for name, query in (("page 0", "page=0"), ("a negative page", "page=-1"), ("a page that is no number", "page=x"),
                            ("5001 a page", "per_page=5001"), ("0 a page", "per_page=0"),
                            ("an unknown parameter", "nonsense=1"), ("an unknown order", "order_by=nonsense"),
                            ("a parameter that is no UTF-8", "names=%ff%fe")):
            self.expect(name, "GET", "/v3/apps?" + query, None, 400, 10005, "")
        self.expect("5000 parameters", "GET", "/v3/apps?" + "&".join(["page=1"] * 5000), None, (400, 414, 431), None)
        self.expect("the last page of all", "GET", "/v3/apps?page=999999999&per_page=5000", None, 200, None)
        self.expect("an app that does not exist", "GET", f"/v3/apps/{ZERO_GUID}", None, 404, 10010, "App not found")
        self.expect("an instance that does not exist", "DELETE",
                    f"/v3/apps/{self.app}/processes/web/instances/99999999999", None, 404, 10010)
        self.expect("a flag that does not exist", "PATCH", "/v3/feature_flags/nonsense", b'{"enabled":true}',
                    404, 10010, "Feature flag not found")

    # --- bodies -----------------------------------------------------------------------------------------

    def bodies(self):
        parse = (400, 1001, "parse error")
        app = {"name": "bad", "lifecycle": {"type": "docker", "data": {}},
               "relationships": {"space": {"data": {"guid": self.space}}}}
        text = json.dumps(app)

        for name, body in (
                ("half an object", b'{"name":'), ("words", b"hello"), ("two objects", b"{}{}"), ("a list", b"[]"),
                ("a string", b'"a"'), ("null", b"null"),
                ("a comma too many", b'{"name":"a",}'), ("a NUL byte", b'{"name":"a\0b"}'),
                ("an escaped NUL", b'{"name":"a\\u0000b"}'), ("bytes that are no UTF-8", b'{"name":"\xff\xfe"}'),
                ("half a surrogate pair", b'{"name":"\\ud800"}'), ("a number of 400 digits", b'{"name":' + b"9" * 400 + b"}"),
                ("a float without end", b'{"name":1e999}'), ("the same field twice", b'{"name":"a","name":"b"}'),
                ("100,000 lists in each other", b"[" * 100000), ("and closed", b"[" * 50000 + b"]" * 50000),
                ("100,000 objects in each other", b'{"a":' * 100000)):
            self.expect(f"POST /v3/apps with {name}", "POST", "/v3/apps", body, *parse)

        wrong = (422, 10008)
        for name, body in (("no body", b""), ("white space", b" \n ")): # both are {}, as in Cloud Controller
            self.expect(f"POST /v3/apps with {name}", "POST", "/v3/apps", body, *wrong)
        changed = json.loads(text)
        for name, changes, words in (
                ("an unknown field", {"nonsense": 1}, "Unknown field.*nonsense"),
                ("a number for a name", {"name": 7}, "[Nn]ame must be a string"),
                ("no name", {"name": ""}, "[Nn]ame"), ("a null name", {"name": None}, "[Nn]ame"),
                ("a list for relationships", {"relationships": []}, "Relationships must be an object"),
                ("a space that does not exist", {"relationships": {"space": {"data": {"guid": ZERO_GUID}}}},
                 "[Ii]nvalid space"),
                ("a number for the space", {"relationships": {"space": {"data": {"guid": 1}}}}, "[Gg]uid"),
                ("a name of 10,000 letters", {"name": "a" * 10000}, "too long"),
                ("a line break in the name", {"name": "a\nb"}, "[Nn]ame"),
                ("another lifecycle", {"lifecycle": {"type": "buildpack", "data": {}}}, "[Ll]ifecycle"),
                ("a list as lifecycle", {"lifecycle": [1]}, "[Ll]ifecycle"),
                ("a label that is an object", {"metadata": {"labels": {"a": {}}}}, "label"),
                ("the name of another app", {"name": "victim"}, "victim.*already exists")):
            changed = json.dumps({**app, **changes})
            self.expect(f"POST /v3/apps with {name}", "POST", "/v3/apps", changed, *wrong, words)

        scale = f"/v3/apps/{self.app}/processes/web/actions/scale"
        for name, body, words in (
                ("a text", {"instances": "two"}, "[Ii]nstances"), ("half an instance", {"instances": 1.5}, "[Ii]nstances"),
                ("-1 instances", {"instances": -1}, "[Ii]nstances"), ("no memory", {"memory_in_mb": 0}, "[Mm]emory"),
                ("negative memory", {"memory_in_mb": -64}, "[Mm]emory"), ("a list", {"disk_in_mb": []}, "[Dd]isk"),
                ("a million instances", {"instances": 10**6}, "[Ii]nstances"),
                ("2^63 - 1 MB", {"memory_in_mb": 2**63 - 1}, "[Mm]emory"), ("an unknown field", {"cpu": 1}, "Unknown field")):
            self.expect(f"scale with {name}", "POST", scale, json.dumps(body), *wrong, words)
        self.expect("scale with 2^64 instances", "POST", scale, b'{"instances":18446744073709551616}', (400, 422),
                    (1001, 10008))

        env = f"/v3/apps/{self.app}/environment_variables"
        for name, body in (("a list", {"var": []}), ("no var", {}), ("an empty name", {"var": {"": "x"}}),
                           ("= in a name", {"var": {"A=B": "x"}}), ("PORT", {"var": {"PORT": "1"}}),
                           ("VCAP_", {"var": {"VCAP_SERVICES": "{}"}}),
                           ("too large a value", {"var": {"A": "x" * 900000}})):
            self.expect(f"environment with {name}", "PATCH", env, json.dumps(body), (422, 413), (10008, 1004))

        package = {"type": "docker", "data": {"image": "images/lattice-app"},
                   "relationships": {"app": {"data": {"guid": self.app}}}}
        for name, changes in (("no image", {"data": {}}), ("a number as image", {"data": {"image": 1}}),
                              ("type bits", {"type": "bits", "data": {}}), ("an image of 10 kB", {"data": {"image": "a" * 10000}}),
                              ("a line break in the image", {"data": {"image": "a\nb"}}),
                              ("an app that does not exist", {"relationships": {"app": {"data": {"guid": ZERO_GUID}}}})):
            self.expect(f"a package with {name}", "POST", "/v3/packages", json.dumps({**package, **changes}), *wrong)
        self.expect("a build of a package that does not exist", "POST", "/v3/builds",
                    json.dumps({"package": {"guid": ZERO_GUID}}), *wrong, "package")
        self.expect("a droplet that does not exist", "PATCH", f"/v3/apps/{self.app}/relationships/current_droplet",
                    json.dumps({"data": {"guid": ZERO_GUID}}), *wrong, "droplet")
        self.expect("a flag with a text", "PATCH", "/v3/feature_flags/diego_docker", b'{"enabled":"yes"}', *wrong)
        domain = self.api.list("/v3/domains")[0]["guid"]
        for name, host in (("spaces", "a b"), ("300 letters", "a" * 300), ("a dot", "a..b"), ("markup", "<a>")):
            self.expect(f"a route whose host has {name}", "POST", "/v3/routes", json.dumps({
                "host": host, "relationships": {"space": {"data": {"guid": self.space}},
                                                "domain": {"data": {"guid": domain}}}}), *wrong)

    # --- sizes ---------------------------------------------------------------------------------------------

    def stream(self, name, headers, chunks):
        """Sends without reading first: the answer may come, and the connection may end, in the middle."""
        connection = self.api.connect()
        begin, sent, status = time.time(), 0, None
        try:
            connection.putrequest("POST", "/v3/apps")
            for key, value in {**self.headers(), **headers}.items():
                connection.putheader(key, value)
            connection.endheaders()
            for chunk in chunks:
                connection.send(chunk)
                sent += len(chunk)
        except OSError:
            pass
        try:
            status = connection.getresponse().status
        except (OSError, cf.http.client.HTTPException):
            pass
        connection.close()
        wrong = None
        if status not in (413, 400, None):
            wrong = f"answered {status} after {sent} bytes"
        elif status is None and sent >= HUGE:
            wrong = f"took all {sent} bytes and did not answer"
        elif time.time() - begin > 20:
            wrong = f"took {time.time() - begin:.0f} s"
        report(name, wrong)

    def sizes(self):
        megabyte = b"x" * (1 << 20)
        self.stream("a body of 4 MB", {"Content-Length": str(4 << 20)}, [megabyte] * 4)
        self.stream("a body of 64 MB", {"Content-Length": str(HUGE)}, (megabyte for _ in range(HUGE >> 20)))
        self.stream("a body of 1 EB that ends early", {"Content-Length": str(1 << 60)}, [b"{}"])
        self.stream("a negative length", {"Content-Length": "-1"}, [b"{}"])
        chunk = b"100000\r\n" + megabyte + b"\r\n"
        self.stream("64 MB in chunks", {"Transfer-Encoding": "chunked"}, (chunk for _ in range(HUGE >> 20)))
        self.stream("1 MB of headers", {f"X-{i}": "y" * 1000 for i in range(1000)}, [])

    # --- manifests ------------------------------------------------------------------------------------------

    def manifests(self):
        path = f"/v3/spaces/{self.space}/actions/apply_manifest"
        bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{name}: &{name} [{','.join(['*' + before] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi"))
        deep = "applications:\n- name: victim\n  env:\n    A: " + "[" * 20000 + "]" * 20000
        for name, text in (
                ("nothing", ""), ("a word", "hello"), ("a list", "- a\n- b"), ("tabs", "applications:\n\t- name: a"),
                ("half a list", "applications: ["), ("a directive", "%NONSENSE\n---\n"), ("no applications", "version: 1"),
                ("a text for applications", "applications: none"), ("a number in applications", "applications: [1]"),
                ("an app without a name", "applications:\n- memory: 64M"),
                ("an alias to nothing", "applications: *nothing"),
                ("an alias to itself", "applications: &a [*a]"), ("a bomb of aliases", bomb + "applications: *i"),
                ("a bomb of aliases in an app", bomb + "applications:\n- name: victim\n  env: {A: *i}"),
                ("20,000 lists in each other", deep), ("a NUL byte", "applications:\n- name: a\0b"),
                ("bytes that are no UTF-8", b"applications:\n- name: \xff\xfe"),
                ("memory that is none", "applications:\n- name: victim\n  memory: lots"),
                ("negative memory", "applications:\n- name: victim\n  memory: -1M"),
                ("memory without end", "applications:\n- name: victim\n  memory: 99999999999999999999G"),
                ("instances that are none", "applications:\n- name: victim\n  instances: many"),
                ("a map for a route", "applications:\n- name: victim\n  routes: {a: b}"),
                ("a route of no domain", "applications:\n- name: victim\n  routes:\n  - route: a.nosuch.domain"),
                ("a health check that is none", "applications:\n- name: victim\n  health-check-type: magic"),
                ("a list for an image", "applications:\n- name: victim\n  docker: {image: [1]}"),
                ("the same app twice", "applications:\n- name: victim\n- name: victim"),
                ("1 MB of apps", "applications:\n" + "".join(f"- name: many-{i}\n" for i in range(60000)))):
            body = text if isinstance(text, bytes) else text.encode()
            self.expect(f"a manifest with {name}", "POST", path, body, (400, 413, 422), (1001, 1004, 10008), "",
                        self.headers(**{"Content-Type": "application/x-yaml"}))

    # --- log-in -----------------------------------------------------------------------------------------------

    def log_ins(self):
        headers = {"Authorization": "Basic Y2Y6", "Content-Type": "application/x-www-form-urlencoded"}

        def ask(name, form, status, words, headers_=None):
            self.expect(name, "POST", "/oauth/token", form, status, None, words, headers_ or headers)

        ask("a log-in without a form", "", 400, "invalid_request")
        ask("a log-in without a grant", "username=admin", 400, "invalid_request")
        ask("an unknown grant", "grant_type=magic", 400, "unsupported_grant_type")
        ask("a refresh token that is none", "grant_type=refresh_token&refresh_token=nonsense", 401, "invalid_token")
        ask("a form with a NUL", "grant_type=password\0&username=admin", 400, "invalid_request")
        ask("a form of 1 MB", "grant_type=password&username=" + "a" * (1 << 20), (400, 401, 413), "")
        ask("another client", "grant_type=password&username=admin&password=x", 401, "Bad credentials",
            {**headers, "Authorization": "Basic " + base64.b64encode(b"other:secret").decode()})
        for attempt in range(1, 8):
            words = "Bad credentials" if attempt <= 5 else "locked because of too many failed attempts"
            ask(f"a wrong password, the {attempt}. time", "grant_type=password&username=mallory&password=guess", 401, words)
        fresh = cf.Api(f"https://{self.api.host}:{self.api.port}", sys.argv[2])
        try:
            fresh.log_in("admin", self.password)
            report("another user can log in all the same", None)
        except SystemExit as error:
            report("another user can log in all the same", error)

    # --- bytes ---------------------------------------------------------------------------------------------------

    def throw(self, port, data, tls=False, read=True):
        """The first line of what comes back; "" when the peer only closed."""
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
                if tls:
                    s = self.api.tls.wrap_socket(s, server_hostname="127.0.0.1")
                s.sendall(data)
                return s.recv(4096).split(b"\r\n")[0].decode(errors="replace") if read else ""
        except (ssl.SSLError, ConnectionError):
            return ""
        except socket.timeout:
            return "nothing within 10 s"

    def bytes_(self):
        noise = bytes(range(256)) * 16
        for name, port, data, tls in (
                ("plain HTTP to the API's TLS port", self.api.port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", False),
                ("noise to the API's TLS port", self.api.port, noise, False),
                ("noise within TLS to the API", self.api.port, noise + b"\r\n\r\n", True),
                ("noise to the bus", self.bus_port, noise, False)):
            said = self.throw(port, data, tls, read="bus" not in name)
            report(name, f"answered {said!r}" if re.match("HTTP/1.. [23]|nothing", said) else None)
        host = b"Host: " + self.host.encode() + b"\r\n"
        for name, data in (
                ("no HTTP", noise + b"\r\n\r\n"), ("half a request line", b"GET\r\n\r\n"),
                ("a version that is none", b"GET / HTTP/9.9\r\n" + host + b"\r\n"),
                ("two hosts", b"GET / HTTP/1.1\r\n" + host + b"Host: other.localhost\r\n\r\n"),
                ("no host", b"GET / HTTP/1.1\r\n\r\n"),
                ("a length and chunks", b"POST / HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                ("two lengths", b"POST / HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
                ("a length that is none", b"POST / HTTP/1.1\r\n" + host + b"Content-Length: +5\r\n\r\nhello"),
                ("chunks that are none", b"POST / HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
                ("a space before the colon", b"GET / HTTP/1.1\r\n" + host + b"X : y\r\n\r\n"),
                ("a NUL in a header", b"GET / HTTP/1.1\r\n" + host + b"X: a\0b\r\n\r\n"),
                ("headers of 2 MB", b"GET / HTTP/1.1\r\n" + host + b"X: " + b"y" * (2 << 20) + b"\r\n\r\n")):
            said = self.throw(self.router_port, data)
            report(f"the router refuses {name}", None if re.match(r"HTTP/1.. 4..|HTTP/1.. 50[145]|$", said) else repr(said))

    def unfinished(self):
        """Many connections that never say anything whole."""
        for name, port, start in (("API", self.api.port, b"\x16\x03\x01"), ("router", self.router_port, b"GET / HT")):
            held = []
            for _ in range(200):
                s = socket.create_connection(("127.0.0.1", port), timeout=5)
                s.sendall(start)
                held.append(s)
            if name == "API":
                answer = self.api.call("GET", "/v3/apps").status
            else:
                answer = int(self.throw(port, f"GET / HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode()).split()[1])
            for s in held:
                s.close()
            report(f"200 unfinished requests do not keep others from the {name}", None if answer == 200 else answer)


def main():
    bad = Bad(*sys.argv[1:])
    for group in (bad.tokens, bad.paths, bad.bodies, bad.sizes, bad.manifests, bad.bytes_, bad.unfinished, bad.log_ins):
        group()
        bad.expect(f"the API answers after bad {group.__name__.strip('_')}", "GET", f"/v3/apps/{bad.app}", None, 200, None)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
