"""A small client of the API, to be imported: what a test needs beside the berth command.

    api = Api("https://127.0.0.1:9443", "ca.pem"); api.log_in("admin", "secret")
    status, body = api.call("POST", "/v3/apps", {...})      raises Unanswered when no answer came
"""
import base64
import http.client
import json
import ssl
import time
import urllib.parse


class Unanswered(Exception):
    """Refused, reset, closed or too late: whether the request had its effect is not known."""


class Answer:
    def __init__(self, status, headers, text):
        self.status, self.headers, self.text = status, headers, text
        try:
            self.json = json.loads(text)
        except ValueError:
            self.json = None

    def __iter__(self):  # status, body = api.call(...)
        return iter((self.status, self.json))


class Api:
    def __init__(self, url, ca, timeout=20):
        at = urllib.parse.urlsplit(url)
        self.host, self.port, self.timeout = at.hostname, at.port, timeout
        self.tls = ssl.create_default_context(cafile=ca)
        self.token = self.connection = None

    def connect(self):
        return http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout, context=self.tls)

    def raw(self, method, path, body=None, headers=None):
        """One request as given, on a connection that is kept while all is well."""
        kept = self.connection is not None
        try:
            self.connection = self.connection or self.connect()
            try:
                self.connection.request(method, path, body=body, headers=headers or {})
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all of it was sent: the answer may be there
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if kept and isinstance(error, (http.client.RemoteDisconnected, BrokenPipeError)) \
                    and method == "GET":
                return self.raw(method, path, body, headers)  # an idle connection that was closed
            raise Unanswered(f"{type(error).__name__} {error}") from error
        if answer.will_close:
            self.close()
        return Answer(answer.status, answer.headers, text)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def call(self, method, path, body=None):
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = "bearer " + self.token
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body)
        return self.raw(method, path, body, headers)

    def log_in(self, user, password):
        form = urllib.parse.urlencode({"grant_type": "password", "username": user, "password": password})
        answer = self.raw("POST", "/oauth/token", form, {
            "Authorization": "Basic " + base64.b64encode(b"cf:").decode(),
            "Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"})
        if answer.status != 200:
            raise SystemExit(f"cannot log in: {answer.status} {answer.text[:200]!r}")
        self.token = answer.json["access_token"]

    def wait(self, seconds=30):
        """Until it answers again."""
        end = time.time() + seconds
        while True:
            try:
                return self.call("GET", "/")
            except Unanswered:
                if time.time() > end:
                    raise
                time.sleep(0.05)

    def list(self, path):
        found, sep = [], "&" if "?" in path else "?"
        path = f"{path}{sep}per_page=5000"
        while path:
            status, body = self.call("GET", path)
            if status != 200:
                raise SystemExit(f"GET {path}: {status} {body}")
            found += body["resources"]
            following = (body.get("pagination") or {}).get("next")
            path = following and following["href"].partition(f":{self.port}")[2]
        return found
