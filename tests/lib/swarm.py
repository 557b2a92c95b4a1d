"""A real controller with simulated cells (tests/component/cell_swarm.c), to be imported:

    cluster = Cluster(folder, port, build)      as tests/lib/swarm.sh made them
    cluster.start(); cluster.make_apps(100, 20) apps of 20 instances each, staged and started by the API
    swarm = cluster.swarm(cells=50, zones=3)    swarm.stats(), swarm.tell("die 3 1"), swarm.dump()
    with Asker(cluster) as asker: ...           asks the API like users do; asker.times
"""
import collections
import concurrent.futures
import hashlib
import http.client
import json
import os
import pathlib
import platform
import random
import re
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from cf import Api, Unanswered  # noqa: E402

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
SIZES = (32, 32, 64, 64, 64, 64, 128, 128, 256)  # MB of memory of an instance
MEAN_MB = sum(SIZES) / len(SIZES)


def until(seconds, condition, every=0.02):
    """The seconds that it took; None when it never came."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            return None
        time.sleep(every)
    return time.monotonic() - begun


class Cluster:
    def __init__(self, folder, port, build):
        self.folder, self.port, self.build = pathlib.Path(folder), port, pathlib.Path(build)
        self.admin_port = port + 4
        self.program = [str(self.build / "controller/berth-controller"), "--config", f"{folder}/controller.ini"]
        self.process = self.api = None
        self.swarms = []

    # --- the controller

    def start(self, *more):
        if not (self.folder / "state").exists():
            subprocess.run(self.program + ["--init"], check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        self.log = open(self.folder / "controller.log", "a")
        self.process = subprocess.Popen(self.program + list(more), stderr=self.log)
        if until(120, self.healthy) is None:
            sys.exit("the controller does not start: " + (self.folder / "controller.log").read_text()[-2000:])
        if not self.api:
            self.api = self.log_in()

    def log_in(self):
        api = Api(f"https://127.0.0.1:{self.port + 1}", str(self.folder / "ca.pem"), timeout=60)
        api.log_in("admin", (self.folder / "state/admin-password").read_text().strip())
        return api

    def stop(self, signal=15):
        if self.process:
            self.process.send_signal(signal)
            self.process.wait()
        self.process = None
        if self.api:
            self.api.close()

    def close(self):
        for swarm in self.swarms:
            swarm.close()
        self.stop()

    def page(self, path, timeout=60):
        c = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=timeout)
        try:
            c.request("GET", path)
            answer = c.getresponse()
            return answer.status, answer.read().decode()
        finally:
            c.close()

    def healthy(self):
        if self.process.poll() is not None:
            return False
        try:
            return self.page("/healthz")[0] == 200
        except OSError:
            return False

    def metrics(self):
        return {m[0]: float(m[1]) for m in re.findall(r"^(\w+) ([\d.e+-]+)$", self.page("/metrics")[1], re.M)}

    def memory_mb(self, key="VmRSS"):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{key}:\s+(\d+)", text, re.M)[1]) / 1024

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # --- apps

    def flag(self, on):
        self.api.close()  # idle for long, it may be closed at the other end
        status, body = self.api.call("PATCH", "/v3/feature_flags/diego_docker", {"enabled": on})
        assert status == 200, body

    def push_images(self, count):
        """Of five layers each, four of them shared by some; nobody will fetch what is in them."""
        tls = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        c = http.client.HTTPSConnection("127.0.0.1", self.port, context=tls, timeout=60)
        pushed = {}

        def ask(method, path, body=None, **headers):
            c.request(method, path, body, headers)
            answer = c.getresponse()
            text = answer.read()
            if answer.status not in (201, 202):
                sys.exit(f"{method} {path}: {answer.status} {text[:300]!r}")
            return answer

        def blob(data, kind):
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            if digest not in pushed:
                to = ask("POST", "/v2/scale/app/blobs/uploads/", b"").headers["Location"].partition(f":{self.port}")[2]
                ask("PUT", f"{to}&digest={digest}", data, **{"Content-Type": "application/octet-stream"})
                pushed[digest] = {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest,
                                  "size": len(data)}
            return pushed[digest]

        def tree(data):
            return "sha256:" + hashlib.sha256(b"tree of " + data).hexdigest()

        for i in range(count):
            contents = [f"base {i % 20} layer {k}".encode() for k in range(4)] + [f"image {i}".encode()]
            layers = [blob(data, "layer.v1.tar+gzip") for data in contents]
            config = blob(json.dumps({
                "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()), "os": "linux",
                "config": {"Cmd": ["/bin/app"], "ExposedPorts": {"8080/tcp": {}}, "Env": ["PATH=/bin"]},
                "rootfs": {"type": "layers", "diff_ids": [tree(data) for data in contents]}}).encode(), "config.v1+json")
            kind = "application/vnd.oci.image.manifest.v1+json"
            ask("PUT", f"/v2/scale/app/manifests/image-{i}", json.dumps({
                "schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}), **{"Content-Type": kind})
        c.close()

    def make_apps(self, count, instances, images=1):
        """Each with a route, staged and started. Their guids, which are their web processes' too."""
        space = self.api.list("/v3/spaces")[0]["guid"]
        self.push_images(images)
        image = [f"127.0.0.1:{self.port}/scale/app:image-{i}" for i in range(images)]
        self.flag(True)
        for first in range(0, count, 100):
            apps = [{"name": f"app-{i}", "docker": {"image": image[i % images]}, "instances": instances,
                     "memory": f"{SIZES[i % len(SIZES)]}M", "disk_quota": "64M",
                     "routes": [{"route": f"app-{i}.apps.test"}]} for i in range(first, min(first + 100, count))]
            answer = self.api.raw("POST", f"/v3/spaces/{space}/actions/apply_manifest",
                                  json.dumps({"applications": apps}),
                                  {"Authorization": "bearer " + self.api.token, "Content-Type": "application/x-yaml"})
            if answer.status != 202:
                sys.exit(f"apply_manifest: {answer.status} {answer.text[:500]!r}")
        numbers = {a["guid"]: int(a["name"].removeprefix("app-")) for a in self.api.list("/v3/apps")}
        guids = list(numbers)
        local = threading.local()

        def start(guid):
            if not hasattr(local, "api"):
                local.api = Api(f"https://127.0.0.1:{self.port + 1}", str(self.folder / "ca.pem"), timeout=60)
                local.api.token = self.api.token
            status, body = local.api.call("PUT", f"/v2/apps/{guid}", {"docker_image": image[numbers[guid] % images],
                                                                         "state": "STARTED"})
            return None if status == 201 else f"{status} {body}"

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            wrong = [w for w in pool.map(start, guids) if w]
        if wrong:
            sys.exit(f"{len(wrong)} apps were not started: {wrong[0]}")
        desired = count * instances
        if until(120, lambda: self.metrics()["berth_instances_desired"] == desired, 0.2) is None:
            sys.exit(f"not all is staged: {self.metrics()['berth_instances_desired']} of {desired}")
        return guids

    def swarm(self, *args, **more):
        self.swarms.append(Swarm(self, *args, **more))
        return self.swarms[-1]


class Swarm:
    def __init__(self, cluster, cells, zones=3, routers=2, memory_mb=8192, containers=512, start_ms=500,
                 stats_ms=15000, nice=5):
        self.cluster, self.cells, self.zones = cluster, cells, zones
        state = cluster.folder / "state"
        self.process = subprocess.Popen(
            ["nice", "-n", str(nice), str(cluster.build / "tests/component/cell_swarm"),
             f"tcp://127.0.0.1:{cluster.port + 2}", f"tcp://127.0.0.1:{cluster.port + 3}", str(state / "master.key"),
             str(cells), str(zones), str(routers), str(memory_mb), str(containers), str(start_ms), str(stats_ms)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"the swarm ended at: {line}")
        return answer

    def stats(self):
        return json.loads(self.tell("stats"))

    def dump(self):
        """(cell, zone, process, index, guid, state, memory_mb) of each instance on a cell that speaks."""
        path = self.cluster.folder / "dump"
        for old in self.cluster.folder.glob("dump.*"):
            old.unlink()
        self.tell(f"dump {path}")
        rows = []
        for part in sorted(self.cluster.folder.glob("dump.*")):
            for line in part.read_text().splitlines():
                cell, zone, process, index, guid, state, memory = line.split()
                rows.append((cell, zone, process, int(index), guid, state, int(memory)))
        return rows

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait()


class Asker:
    """Asks one thing after another with pauses between, as users do; notes how long each took."""

    def __init__(self, cluster, guids, pause=0.02):
        self.cluster, self.guids, self.pause = cluster, guids, pause
        self.times, self.wrong = collections.defaultdict(list), []
        self.stopping = threading.Event()

    def __enter__(self):
        self.threads = [threading.Thread(target=self.users, daemon=True), threading.Thread(target=self.look, daemon=True)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def note(self, kind, begun):
        self.times[kind].append(time.monotonic() - begun)

    def ask(self, api, kind, method, path, body=None, want=(200, 201, 202)):
        begun = time.monotonic()
        try:
            status, answer = api.call(method, path, body)
        except Unanswered as error:
            self.wrong.append(f"{kind}: {error}")
            return None
        self.note(kind, begun)
        if status not in want:
            self.wrong.append(f"{kind}: {status} {answer}")
        return answer

    def users(self):
        random_ = random.Random(4)
        api = Api(f"https://127.0.0.1:{self.cluster.port + 1}", str(self.cluster.folder / "ca.pem"), timeout=60)
        api.token = self.cluster.api.token
        space = (self.ask(api, "spaces", "GET", "/v3/spaces") or {"resources": [{"guid": ""}]})["resources"][0]["guid"]
        n = 0
        while not self.stopping.is_set():
            n += 1
            guid = random_.choice(self.guids)
            self.ask(api, "apps", "GET", "/v3/apps?per_page=50&page=%d" % random_.randint(1, max(1, len(self.guids) // 50)))
            self.stopping.wait(self.pause)
            self.ask(api, "stats", "GET", f"/v3/processes/{guid}/stats")
            self.stopping.wait(self.pause)
            self.ask(api, "app", "GET", f"/v3/apps/{guid}")
            self.stopping.wait(self.pause)
            app = self.ask(api, "create", "POST", "/v3/apps", {
                "name": f"asked-{time.time()}-{n}", "lifecycle": {"type": "docker", "data": {}},
                "relationships": {"space": {"data": {"guid": space}}}})
            if app and "guid" in app:
                self.stopping.wait(self.pause)
                self.ask(api, "package", "POST", "/v3/packages", {
                    "type": "docker", "relationships": {"app": {"data": {"guid": app["guid"]}}},
                    "data": {"image": f"127.0.0.1:{self.cluster.port}/scale/app:image-0"}})
                self.stopping.wait(self.pause)
                self.ask(api, "delete", "DELETE", f"/v3/apps/{app['guid']}")
            self.stopping.wait(self.pause)
        api.close()

    def look(self):
        """The loop itself: how long a page waits that costs nothing."""
        c = http.client.HTTPConnection("127.0.0.1", self.cluster.admin_port, timeout=60)
        while not self.stopping.wait(0.005):
            begun = time.monotonic()
            try:
                c.request("GET", "/healthz")
                c.getresponse().read()
                self.note("loop", begun)
            except (OSError, http.client.HTTPException):
                c.close()
        c.close()

    def all(self):
        return [t for kind, list_ in self.times.items() if kind != "loop" for t in list_]


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")
