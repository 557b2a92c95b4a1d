#!/usr/bin/env python3
"""Writes a tar that no cell may unpack: evil_tar.py KIND FILE. What it would plant is named evil-KIND.

KIND is a function below, without its "make_".
"""
import io
import sys
import tarfile

TARGET = "/var/lib"
BOMB_MB = 300


def add(tar, name, data=b"", kind=tarfile.REGTYPE, link="", device=(0, 0), mode=0o644):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname, info.mode = len(data), kind, link, mode
    info.devmajor, info.devminor = device
    tar.addfile(info, io.BytesIO(data))


def make_absolute(tar):
    """A path from the host's root."""
    add(tar, TARGET + "/evil-absolute", b"planted")


def make_dotdot(tar):
    add(tar, "../" * 12 + TARGET[1:] + "/evil-dotdot", b"planted")


def make_inner_dotdot(tar):
    """The way up stands inside of the path."""
    add(tar, "a/b/" + "../" * 14 + TARGET[1:] + "/evil-inner_dotdot", b"planted")


def make_symlink(tar):
    """A link out of the root, then a file through it."""
    add(tar, "way", kind=tarfile.SYMTYPE, link=TARGET)
    add(tar, "way/evil-symlink", b"planted")


def make_relative_symlink(tar):
    add(tar, "d", kind=tarfile.DIRTYPE, mode=0o755)
    add(tar, "d/way", kind=tarfile.SYMTYPE, link="../" * 14 + TARGET[1:])
    add(tar, "d/way/evil-relative_symlink", b"planted")


def make_symlink_dir(tar):
    """A link, then a directory in its place with an owner and mode to be set."""
    add(tar, "way", kind=tarfile.SYMTYPE, link=TARGET)
    add(tar, "way/evil-symlink_dir/", kind=tarfile.DIRTYPE, mode=0o777)


def make_hardlink(tar):
    """A host's file under a name in the layer."""
    add(tar, "evil-hardlink", kind=tarfile.LNKTYPE, link="../" * 14 + "etc/shadow")


def make_absolute_hardlink(tar):
    add(tar, "evil-absolute_hardlink", kind=tarfile.LNKTYPE, link="/etc/shadow")


def make_hardlink_through_symlink(tar):
    add(tar, "way", kind=tarfile.SYMTYPE, link="/etc")
    add(tar, "evil-hardlink_through_symlink", kind=tarfile.LNKTYPE, link="way/passwd")


def make_char_device(tar):
    """/dev/mem."""
    add(tar, "evil-char_device", kind=tarfile.CHRTYPE, device=(1, 1), mode=0o666)


def make_block_device(tar):
    add(tar, "evil-block_device", kind=tarfile.BLKTYPE, device=(8, 0), mode=0o666)


def make_whiteout(tar):
    """Would remove what is above the layer."""
    add(tar, "../.wh.evil-whiteout")
    add(tar, "a/.wh...")


def make_bomb(tar):
    """Compresses a thousandfold."""
    add(tar, "evil-bomb", bytes(BOMB_MB << 20))


def main():
    kind, path = sys.argv[1:]
    if kind == "garbage":
        with open(path, "wb") as out:
            out.write(b"this is no tar " * 1000)
        return
    if kind == "cut":  # ends in the middle of a file
        make, kind = make_cut, kind
    else:
        make = globals()["make_" + kind]
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        make(tar)
    if kind == "cut":
        with open(path, "r+b") as out:
            out.truncate(1000)


def make_cut(tar):
    add(tar, "evil-cut", b"x" * 100000)


if __name__ == "__main__":
    main()
