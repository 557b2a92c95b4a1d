#!/usr/bin/env python3
"""Looks at containers from the host, without asking any daemon: cgroups and /proc.

    containers.py list NAME        one line an instance: "id app index pid:start:uid ..." of its processes
    containers.py watch NAME[,NAME...] FILE [EVERY]
                                   until its standard input ends, or SIGTERM: a line "time + id app version index" when
                                   an instance appears, "time - id" when its last process is gone, "time end" at the end
    containers.py judge FILE [APP] two instances of the same app, version and index that lived side by side
                                   though neither gave way to the other; with APP also any instance of it
                                   beyond the first one an index. Prints them; exit 1 when there are any
    containers.py second FILE STEPS MOST
                                   two instances of the same app, version and index that lived side by side for more
                                   than MOST seconds after that began, and after all steps (lines "begin end" of STEPS)
                                   that it touches were over. Prints them; exit 1 when there are any

NAME is the cell's prefix. Each container's cgroup is NAME/ID; its processes carry VCAP_APPLICATION.
"""
import itertools
import json
import os
import pathlib
import signal
import sys
import threading
import time

EVERY = 0.05
# An instance that is told to stop has 10 s to end by itself, and is then killed.
GIVES_WAY = 15


def parent(name):
    for path in (f"/sys/fs/cgroup/memory/{name}", f"/sys/fs/cgroup/{name}"):
        if os.path.isdir(path):
            return pathlib.Path(path)
    return None


def processes(cgroup):
    """{pid: (start, uid)} of a container's cgroup, those beneath it too."""
    found, paths = {}, [cgroup / "cgroup.procs"]
    try:
        paths += cgroup.glob("*/cgroup.procs")
    except OSError:
        pass  # it is just going
    for path in paths:
        try:
            for pid in path.read_text().split():
                stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                if stat[0] not in "ZX":
                    status = pathlib.Path(f"/proc/{pid}/status").read_text()
                    uid = status.partition("\nUid:")[2].split()[0]
                    found[int(pid)] = (int(stat[19]), int(uid))
        except (OSError, IndexError):
            pass
    return found


def identity(pids):
    """(app, version, index), or None while the app's own process is not there yet."""
    for pid in sorted(pids):
        try:
            text = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        env = dict(item.split(b"=", 1) for item in text.split(b"\0") if b"=" in item)
        try:
            app = json.loads(env[b"VCAP_APPLICATION"])
            version = app.get("application_version") or app.get("version") or "-"
            return app["application_id"], version, app["instance_index"]
        except (KeyError, ValueError):
            continue
    return None


def cgroups(name):
    top = parent(name)
    try:
        return [path for path in top.iterdir() if path.is_dir()] if top else []
    except OSError:
        return []


def list_(name):
    for cgroup in sorted(cgroups(name)):
        found = processes(cgroup)
        who = identity(found)
        if who:
            print(cgroup.name, who[0], who[2],
                  *(f"{pid}:{start}:{uid}" for pid, (start, uid) in sorted(found.items())))


def watch(names, path, every=EVERY):
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    seen = set()
    with open(path, "a", buffering=1) as out:
        while not stop.wait(float(every)):
            alive = set()
            for cgroup in itertools.chain.from_iterable(map(cgroups, names.split(","))):
                found = processes(cgroup)
                who = None if cgroup.name in seen else identity(found)
                if found and (who or cgroup.name in seen):
                    alive.add(cgroup.name)
                if who:
                    out.write(f"{time.time():.3f} + {cgroup.name} {who[0]} {who[1]} {who[2]}\n")
            for gone in seen - alive:
                out.write(f"{time.time():.3f} - {gone}\n")
            seen = alive
        out.write(f"{time.time():.3f} end\n")


def read_lives(path):
    """{id: [begin, end or None, (app, version, index)]}, when the last line was written, and its sign."""
    lives, when, sign = {}, "0", None
    for line in open(path):
        when, sign, *words = line.split()
        if sign == "end":
            break
        id_, *who = words
        if sign == "+":
            lives.setdefault(id_, [float(when), None, tuple(who)])[1] = None
        else:
            lives[id_][1] = float(when)
    return lives, float(when), sign


def judge(path, steady=None):
    wrong = []
    lives, last, sign = read_lives(path)
    if sign != "end":
        wrong.append("nobody looked till the end")
    by_key = {}
    for id_, (begin, end, who) in sorted(lives.items(), key=lambda item: item[1][0]):
        for other, other_end in by_key.setdefault(who, []):
            together = min(end or last, other_end or last) - begin
            if together > GIVES_WAY:
                wrong.append(f"{id_} and {other} both lived for {together:.1f} s as {who}")
            if who[0] == steady:
                wrong.append(f"{id_} came beside {other} as {who}")
        by_key[who].append((id_, end))
    print(*wrong, f"{len(lives)} instances of {len(by_key)} places seen", sep="\n")
    return 1 if wrong or not lives else 0


def second(path, steps_path, most):
    lives, last, sign = read_lives(path)
    steps = [tuple(map(float, line.split())) for line in open(steps_path)]
    wrong = [] if sign == "end" else ["nobody looked till the end"]
    longest, pairs, by_key = 0.0, 0, {}
    for id_, (begin, end, who) in sorted(lives.items(), key=lambda item: item[1][0]):
        for other, other_end in by_key.setdefault(who, []):
            until = min(end or last, other_end or last)
            if until <= begin:
                continue
            since = max([begin] + [over for from_, over in steps if from_ <= until and over >= begin])
            pairs, longest = pairs + 1, max(longest, until - since)
            if until - since > float(most):
                wrong.append(f"{id_} and {other} both lived for {until - begin:.1f} s as {who}")
        by_key[who].append((id_, end))
    print(*wrong, f"{len(lives)} instances of {len(by_key)} places seen, {pairs} times a second one, "
          f"for {longest:.1f} s at most after the cause was over", sep="\n")
    return 1 if wrong or not lives else 0


if __name__ == "__main__":
    sys.exit({"list": list_, "watch": watch, "judge": judge, "second": second}[sys.argv[1]](*sys.argv[2:]))
