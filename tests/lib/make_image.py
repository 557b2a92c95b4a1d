#!/usr/bin/env python3
"""Makes a small image as an OCI layout directory, with nothing but Python's standard library.

    make_image.py LAYOUT TAG [--busybox] [--layer DIR]... [--file PATH=TEXT]... [--random MB]... [--tar FILE]...
        [--entrypoint JSON] [--cmd JSON] [--env NAME=VALUE]... [--user U] [--workdir DIR]
        [--expose 8080/tcp]... [--stop-signal SIGTERM] [--compress gzip|zstd|none]
        [--platform linux/amd64[/VARIANT]]...

Each of --busybox, --layer, --file, --random, --tar adds one layer, in the order given:
  --busybox        /bin/busybox and a link for each of its applets, /tmp, /etc/passwd, /etc/group
  --layer DIR      the tree under DIR, owned by root
  --file PATH=TEXT one file
  --random MB      one file of so many incompressible megabytes, /random-N
  --tar FILE       what is in FILE, whatever it is
Several --platform make an image index; one or none makes a plain manifest of this host's platform.
Prints the digest that TAG names.
"""
import argparse
import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import random
import shutil
import subprocess
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


class Add(argparse.Action):
    """Keeps layers of all kinds in the order of the command line."""

    def __call__(self, parser, namespace, value, option=None):
        namespace.layers = (namespace.layers or []) + [(self.dest, value)]


def entry(tar, name, data=b"", mode=0o644, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type, info.linkname = len(data), mode, kind, link
    tar.addfile(info, io.BytesIO(data))


def busybox_layer(tar):
    binary = shutil.which("busybox") or "/bin/busybox"
    for name, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)):
        entry(tar, name, mode=mode, kind=tarfile.DIRTYPE)
    entry(tar, "bin/busybox", pathlib.Path(binary).read_bytes(), 0o755)
    for applet in subprocess.check_output([binary, "--list"], text=True).split():
        if applet != "busybox":
            entry(tar, f"bin/{applet}", kind=tarfile.SYMTYPE, link="busybox", mode=0o777)
    entry(tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
          b"app:x:1000:1000:app:/:/bin/sh\n")
    entry(tar, "etc/group", b"root:x:0:\nnogroup:x:65534:\napp:x:1000:\n")


def layer_tar(number, kind, value):
    if kind == "tar":
        return pathlib.Path(value).read_bytes()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        if kind == "busybox":
            busybox_layer(tar)
        elif kind == "layer":
            def as_root(info):
                info.uid = info.gid = 0
                info.uname = info.gname = ""
                return info
            for child in sorted(pathlib.Path(value).iterdir()):
                tar.add(child, child.name, filter=as_root)
        elif kind == "file":
            path, _, text = value.partition("=")
            parent = pathlib.PurePosixPath(path.lstrip("/")).parent
            for above in reversed([p for p in (parent, *parent.parents) if p.name]):
                entry(tar, str(above), mode=0o755, kind=tarfile.DIRTYPE)
            entry(tar, path.lstrip("/"), text.encode())
        else:
            seed = random.Random(number)
            entry(tar, f"random-{number}", b"".join(seed.randbytes(1 << 20) for _ in range(int(value))))
    return out.getvalue()


def compress(data, how):
    if how == "gzip":
        return gzip.compress(data, 6, mtime=0), "+gzip"
    if how == "zstd":
        return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE,
                              check=True).stdout, "+zstd"
    return data, ""


class Layout:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        (self.path / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def add(self, data, media_type, **more):
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        name = hashlib.sha256(data).hexdigest()
        (self.path / "blobs/sha256" / name).write_bytes(data)
        return {"mediaType": media_type, "digest": "sha256:" + name, "size": len(data), **more}

    def tag(self, descriptor, tag):
        path = self.path / "index.json"
        index = json.loads(path.read_text()) if path.exists() else {"manifests": []}
        kept = [m for m in index["manifests"]
                if m["annotations"]["org.opencontainers.image.ref.name"] != tag]
        kept.append({**descriptor, "annotations": {"org.opencontainers.image.ref.name": tag}})
        path.write_text(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": kept}))


def image_config(args):
    config = {
        "Entrypoint": json.loads(args.entrypoint) if args.entrypoint else None,
        "Cmd": json.loads(args.cmd) if args.cmd else None,
        "Env": args.env, "User": args.user, "WorkingDir": args.workdir,
        "ExposedPorts": {port: {} for port in args.expose} or None, "StopSignal": args.stop_signal,
    }
    return {key: value for key, value in config.items() if value}


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("layout")
    parser.add_argument("tag")
    parser.add_argument("--busybox", nargs=0, action=Add)
    for name in ("--layer", "--file", "--random", "--tar"):
        parser.add_argument(name, action=Add)
    for name in ("--entrypoint", "--cmd", "--user", "--workdir", "--stop-signal"):
        parser.add_argument(name)
    for name in ("--env", "--expose", "--platform"):
        parser.add_argument(name, action="append", default=[])
    parser.add_argument("--compress", choices=("gzip", "zstd", "none"), default="gzip")
    parser.set_defaults(layers=[])
    args = parser.parse_args()

    layout, layers, diff_ids = Layout(args.layout), [], []
    for number, (kind, value) in enumerate(args.layers):
        tar = layer_tar(number, kind, value)
        diff_ids.append("sha256:" + hashlib.sha256(tar).hexdigest())
        data, suffix = compress(tar, args.compress)
        layers.append(layout.add(data, LAYER + suffix))

    host = "linux/" + ARCHITECTURES.get(os.uname().machine, platform.machine())
    manifests = []
    for name in args.platform or [host]:
        system, architecture, *variant = name.split("/")
        where = {"os": system, "architecture": architecture}
        if variant:
            where["variant"] = variant[0]
        config = layout.add({**where, "created": "1970-01-01T00:00:00Z",
                             "config": image_config(args),
                             "rootfs": {"type": "layers", "diff_ids": diff_ids}}, CONFIG)
        manifests.append(layout.add({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
                                     "layers": layers}, MANIFEST, platform=where))
    if len(manifests) == 1:
        top = {key: manifests[0][key] for key in ("mediaType", "digest", "size")}
    else:
        top = layout.add({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}, INDEX)
    layout.tag(top, args.tag)
    print(top["digest"])


if __name__ == "__main__":
    main()
