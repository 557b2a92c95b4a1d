#!/usr/bin/env python3
"""Changes apps through the API at random while daemons die, and reads back what was acknowledged.

    changes.py run API CA PASSWORD_FILE IMAGE SEED     until its standard input ends
    changes.py settled API CA PASSWORD_FILE NAME       does what runs equal what is asked for?

`run` pushes, scales, sets and unsets variables, stops, starts, restarts and deletes a few apps named
changing-N. What was answered with success must be there after every outage and at the end; what was not
answered may have happened or not. Its last line counts; exit 1 when anything acknowledged was lost or a
request was answered with an error. `settled` counts containers by their cgroups (NAME is the cell's prefix).
"""
import random
import sys
import threading
import time

import cf
import containers

APPS_MOST, INSTANCES_MOST = 4, 3
PAUSE = 0.06
STAGED_WITHIN = 40
RECORDS_KEPT = 12


def log_in(url, ca, password_file):
    """The controller may be away at this moment: it is tried again."""
    api, until = cf.Api(url, ca), time.monotonic() + STAGED_WITHIN
    while True:
        try:
            api.log_in("admin", open(password_file).read().strip())
            return api
        except cf.Unanswered:
            if time.monotonic() > until:
                raise
            time.sleep(PAUSE)


class App:
    """What is known of an app: for each field the values that it may have."""

    def __init__(self, guid, name):
        self.guid, self.name = guid, name
        self.may_be = {"state": {"STOPPED"}, "env": {frozenset()}, "droplet": {None},
                       "instances": {1}, "memory": None}  # None: whatever is found first
        self.records = []  # paths that must answer 200

    def value(self, field):
        return next(iter(self.may_be[field]))


class Changes:
    def __init__(self, api, image, seed):
        self.api, self.image, self.random = api, image, random.Random(seed)
        self.apps, self.deleted, self.problems = [], [], []
        self.acknowledged = self.unanswered = self.pushes = self.number = 0
        self.stop = threading.Event()
        self.space = api.list("/v3/spaces")[0]["guid"]
        self.domain = api.list("/v3/domains")[0]["guid"]

    def problem(self, text):
        self.problems.append(text)
        print(f"{time.time():.3f} {text}", flush=True)

    # --- requests ---------------------------------------------------------------------------------

    def read(self, path):
        """Reads, through any outage."""
        while True:
            try:
                return self.api.call("GET", path)
            except cf.Unanswered:
                self.api.wait()

    def ask(self, method, path, body, wanted):
        """The answer of a change; None when there was none."""
        try:
            answer = self.api.call(method, path, body)
        except cf.Unanswered:
            self.unanswered += 1
            self.api.wait()
            return None
        if answer.status not in wanted:
            self.problem(f"REFUSED {method} {path} {body}: {answer.status} {answer.text[:200]!r}")
        else:
            self.acknowledged += 1
        return answer

    def change(self, app, field, value, method, path, body=None):
        answer = self.ask(method, path, body, (200, 201, 202))
        if answer is None:
            app.may_be[field] = app.may_be[field] | {value}
            self.verify()
        elif answer.status < 300:
            app.may_be[field] = {value}
        return answer

    # --- reading back -----------------------------------------------------------------------------

    def compare(self, app, field, found):
        allowed = app.may_be[field]
        if allowed is not None and found not in allowed:
            self.problem(f"LOST {app.name} {field}: found {found}, acknowledged {allowed}")
        app.may_be[field] = {found}

    def verify_app(self, app):
        path = f"/v3/apps/{app.guid}"
        status, body = self.read(path)
        if status != 200:
            self.problem(f"LOST {app.name}: {status}")
            self.apps.remove(app)
            return
        self.compare(app, "state", body["state"])
        self.compare(app, "env", frozenset(self.read(path + "/environment_variables").json["var"].items()))
        web = self.read(path + "/processes/web").json
        self.compare(app, "instances", web["instances"])
        self.compare(app, "memory", web["memory_in_mb"])
        status, droplet = self.read(path + "/droplets/current")
        self.compare(app, "droplet", droplet["guid"] if status == 200 else None)
        for record in app.records[-RECORDS_KEPT:]:
            status, _ = self.read(record)
            if status != 200:
                self.problem(f"LOST {app.name} {record}: {status}")
                app.records.remove(record)

    def verify(self):
        for app in list(self.apps):
            self.verify_app(app)

    def verify_deleted(self):
        for guid in self.deleted:
            status, _ = self.read(f"/v3/apps/{guid}")
            if status != 404:
                self.problem(f"LOST the deletion of {guid}: {status}")

    # --- changes ----------------------------------------------------------------------------------

    def create(self):
        self.number += 1
        name = f"changing-{self.number}"
        answer = self.ask("POST", "/v3/apps", {
            "name": name, "lifecycle": {"type": "docker", "data": {}},
            "relationships": {"space": {"data": {"guid": self.space}}}}, (201,))
        found = self.read(f"/v3/apps?names={name}").json["resources"]
        if answer is not None and answer.status == 201 and not found:
            self.problem(f"LOST {name}")
        if not found:
            return
        app = App(found[0]["guid"], name)
        self.apps.append(app)
        self.verify_app(app)
        if app not in self.apps:
            return
        self.change(app, "memory", 32, "POST", f"/v3/apps/{app.guid}/processes/web/actions/scale",
                    {"memory_in_mb": 32, "disk_in_mb": 64})
        route = self.ask("POST", "/v3/routes", {"host": name, "relationships": {
            "space": {"data": {"guid": self.space}}, "domain": {"data": {"guid": self.domain}}}}, (201,))
        if route is not None and route.status == 201:
            app.records.append(f"/v3/routes/{route.json['guid']}")
            mapped = self.ask("POST", app.records[-1] + "/destinations",
                              {"destinations": [{"app": {"guid": app.guid}}]}, (200, 201))
            if mapped is not None and not self.read(f"/v3/apps/{app.guid}/routes").json["resources"]:
                self.problem(f"LOST {name}'s route")
        self.push(app)

    def push(self, app):
        """The steps of a push, each acknowledged by itself."""
        package = self.ask("POST", "/v3/packages", {
            "type": "docker", "data": {"image": self.image},
            "relationships": {"app": {"data": {"guid": app.guid}}}}, (201,))
        if package is None or package.status != 201:
            return
        app.records.append(f"/v3/packages/{package.json['guid']}")
        build = self.ask("POST", "/v3/builds", {"package": {"guid": package.json["guid"]}}, (201,))
        if build is None or build.status != 201:
            if build is None:  # it may be staging: one at a time
                self.wait_unstaged(app)
            return
        app.records.append(f"/v3/builds/{build.json['guid']}")
        droplet = self.wait_staged(app, build.json["guid"])
        if not droplet:
            return
        app.records.append(f"/v3/droplets/{droplet}")
        self.change(app, "droplet", droplet, "PATCH", f"/v3/apps/{app.guid}/relationships/current_droplet",
                    {"data": {"guid": droplet}})
        if app in self.apps and app.value("droplet"):
            self.change(app, "state", "STARTED", "POST", f"/v3/apps/{app.guid}/actions/restart")
        self.pushes += 1

    def wait_staged(self, app, build):
        end = time.time() + STAGED_WITHIN
        while time.time() < end:
            status, body = self.read(f"/v3/builds/{build}")
            if status != 200:
                self.problem(f"LOST build {build} of {app.name}: {status}")
                return None
            if body["state"] == "STAGED":
                return body["droplet"]["guid"]
            if body["state"] == "FAILED":
                self.problem(f"FAILED build of {app.name}: {body['error']}")
                return None
            time.sleep(0.05)
        self.problem(f"STUCK build {build} of {app.name}")
        return None

    def wait_unstaged(self, app):
        end = time.time() + STAGED_WITHIN
        while self.read(f"/v3/builds?app_guids={app.guid}&states=STAGING").json["resources"]:
            if time.time() > end:
                return self.problem(f"STUCK build of {app.name}")
            time.sleep(0.05)

    def set_env(self, app):
        name, value = f"V{self.random.randrange(6)}", str(self.random.randrange(10**6))
        env = frozenset({**dict(app.value("env")), name: value}.items())
        self.change(app, "env", env, "PATCH", f"/v3/apps/{app.guid}/environment_variables",
                    {"var": {name: value}})

    def unset_env(self, app):
        env = dict(app.value("env"))
        if env:
            name = self.random.choice(sorted(env))
            del env[name]
            self.change(app, "env", frozenset(env.items()), "PATCH",
                        f"/v3/apps/{app.guid}/environment_variables", {"var": {name: None}})

    def scale(self, app):
        count = self.random.randrange(1, INSTANCES_MOST + 1)
        self.change(app, "instances", count, "POST", f"/v3/apps/{app.guid}/processes/web/actions/scale",
                    {"instances": count})

    def stop_or_start(self, app):
        stop = app.value("state") == "STARTED"
        if stop or app.value("droplet"):
            self.change(app, "state", "STOPPED" if stop else "STARTED", "POST",
                        f"/v3/apps/{app.guid}/actions/{'stop' if stop else 'start'}")

    def restart(self, app):
        if app.value("droplet"):
            self.change(app, "state", "STARTED", "POST", f"/v3/apps/{app.guid}/actions/restart")

    def delete(self, app):
        if len(self.apps) < APPS_MOST:
            return
        self.apps.remove(app)
        answer = self.ask("DELETE", f"/v3/apps/{app.guid}", None, (202, 204))
        end = time.time() + 15
        while answer is not None and answer.status < 300:
            status, _ = self.read(f"/v3/apps/{app.guid}")
            if status == 404:
                self.deleted.append(app.guid)
                return
            if time.time() > end:
                return self.problem(f"LOST the deletion of {app.name}")
            time.sleep(0.05)
        if answer is None and self.read(f"/v3/apps/{app.guid}").status == 200:
            self.apps.append(app)

    def step(self):
        kinds = {self.set_env: 5, self.unset_env: 1, self.scale: 3, self.restart: 2,
                 self.stop_or_start: 2, self.push: 2, self.delete: 1}
        if len(self.apps) < APPS_MOST and (not self.apps or self.random.random() < 0.2):
            return self.create()
        app = self.random.choice(self.apps)
        self.random.choices(list(kinds), list(kinds.values()))[0](app)

    def run(self):
        while not self.stop.wait(PAUSE * self.random.uniform(0.2, 1.5)):
            self.step()
        for app in self.apps:  # all run at the end, so that what converges is seen
            if app.value("state") == "STOPPED" and app.value("droplet"):
                self.stop_or_start(app)
        self.verify()
        self.verify_deleted()
        print(f"{self.acknowledged} changes acknowledged, {self.unanswered} not answered, "
              f"{self.pushes} pushes, {len(self.problems)} problems")
        return 1 if self.problems or not self.acknowledged else 0


def run(url, ca, password_file, image, seed):
    changes = Changes(log_in(url, ca, password_file), image, int(seed))
    threading.Thread(target=lambda: (sys.stdin.read(), changes.stop.set()), daemon=True).start()
    return changes.run()


def settled(url, ca, password_file, name):
    api, wrong, wanted = log_in(url, ca, password_file), [], {}
    for app in api.list("/v3/apps"):
        path = f"/v3/apps/{app['guid']}"
        count = 0
        if app["state"] == "STARTED" and api.call("GET", path + "/droplets/current").status == 200:
            count = api.call("GET", path + "/processes/web").json["instances"]
            stats = api.call("GET", path + "/processes/web/stats").json["resources"]
            running = sum(one["state"] == "RUNNING" for one in stats)
            if running != count or len(stats) != count:
                wrong.append(f"{app['name']}: {running} of {count} run: "
                             f"{[(one['index'], one['state'], one.get('details')) for one in stats]}")
        wanted[app["guid"]] = (app["name"], count)
    alive = {}
    for cgroup in containers.cgroups(name):
        who = containers.identity(containers.processes(cgroup))
        if who:
            alive.setdefault(who[0], []).append(who[2])
    for guid in {*wanted, *alive}:
        title, count = wanted.get(guid, (guid, 0))
        if sorted(alive.get(guid, [])) != list(range(count)):
            wrong.append(f"{title}: containers of the indices {sorted(alive.get(guid, []))}, wanted {count}")
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit({"run": run, "settled": settled}[sys.argv[1]](*sys.argv[2:]))
