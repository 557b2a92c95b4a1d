#!/usr/bin/env python3
"""Fails when a folder includes what the house forbids: arrows go down only. And when the top level holds
anything but what it should.

An arrow is an #include. ALLOWED names, for each folder, the other folders it may include.
"""
import pathlib
import re
import sys

TOP = {"meson.build", "README.md", "LICENSE", "controller", "cell", "router", "proto", "common", "deploy", "tests"}
COMMON = {"common/base", "common/bus", "common/http", "common/registry"}
ALLOWED = {
    "common/base": set(),
    "common/bus": {"common/base"},
    "common/http": {"common/base"},
    "common/registry": {"common/base", "common/http"},
    "controller/lrp": {"common/base", "common/registry"},
    "controller/store": {"common/base"},
    "controller/staging": COMMON | {"controller/store", "controller/lrp", "controller/logs"},
    "controller/nodes": COMMON | {"controller/store", "controller/lrp", "controller/logs"},
    "controller/logs": {"common/base"},
    # The routing table names the handlers of v2; v2 is a translation and nothing beside it.
    "controller/api": COMMON
    | {"controller/store", "controller/lrp", "controller/staging", "controller/nodes",
       "controller/logs", "controller/api/v2"},
    "controller/api/v2": {"common/base", "controller/api", "controller/store", "controller/lrp"},
    "controller/client": {"common/base", "common/http"},
    "controller": COMMON
    | {"controller/api", "controller/store", "controller/staging", "controller/lrp",
       "controller/nodes", "controller/logs"},
    "cell/image": COMMON,
    "cell/container": {"common/base"},
    "cell": COMMON | {"cell/image", "cell/container"},
    "router": COMMON,
}
# Logic without I/O: what it may never include, whatever folder that is in.
PURE = {"controller/lrp": re.compile(r"<(event2/|sqlite3|curl/|sys/socket|nanomsg/|netinet/)")}


def main(root: pathlib.Path) -> int:
    present = {p.name for p in root.iterdir() if not p.name.startswith((".", "build"))}
    wrong = [f"{name}: does not belong to the top level" for name in sorted(present - TOP)]
    wrong += [f"{name}: is missing from the top level" for name in sorted(TOP - present)]
    for path in sorted(root.glob("*/**/*.[ch]")):
        rel = path.relative_to(root)
        if rel.parts[0] not in {"common", "controller", "cell", "router"}:
            continue
        folder = max((f for f in ALLOWED if str(rel.parent / "").startswith(f)), key=len, default=None)
        if folder is None:
            wrong.append(f"{rel}: lies in no folder that tests/layers.py knows")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            local = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if local and "/" not in local[1]:
                if local[1].endswith(".pb-c.h"):
                    continue  # the generated words: everyone's
                wrong.append(f'{rel}:{number}: "{local[1]}" is not written from the root')
            elif local:
                target = str(pathlib.PurePath(local[1]).parent)
                if target != folder and target not in ALLOWED[folder]:
                    wrong.append(f"{rel}:{number}: {folder} must not include {target}")
            pure = PURE.get(folder)
            if pure and pure.search(line):
                wrong.append(f"{rel}:{number}: {folder} does no I/O: {line.strip()}")
    print("\n".join(wrong) or "layers: every include is allowed")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
