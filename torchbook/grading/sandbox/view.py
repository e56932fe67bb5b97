"""The file system that a kernel in the sandbox sees: Python, read-only, and one small tmpfs of its own.

Nothing else exists there: no home folders, no checkout with its answer keys, no submissions, no results.
"""

from __future__ import annotations

import os
import site
import sys
from dataclasses import dataclass
from pathlib import Path

from torchbook.grading.sandbox import linux
from torchbook.grading.sandbox.linux import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC
from torchbook.grading.sandbox.paths import CHECKOUT, PACKAGE

WORK = "/tmp/work"
HOME = "/tmp/home"
SHARED = "/tmp/shm"
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store", "/gnu/store")
_SETTINGS = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/sys/devices/system/cpu")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "fd/0",
    "stdout": "fd/1",
    "stderr": "fd/2",
    "ptmx": "pts/ptmx",
    "shm": SHARED,
}
_FILES = {
    "etc/passwd": "student:x:65534:65534:student:/tmp/home:/bin/sh\n",
    "etc/group": "student:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost torchbook\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


@dataclass(frozen=True)
class View:
    """What is mounted: `shown` folders and files, then `hidden` folders, which may hold shown ones again."""

    shown: tuple[str, ...]
    hidden: tuple[str, ...]

    @classmethod
    def of_this_python(cls) -> View:
        """This process's Python and packages, the system's libraries, and the package torchbook."""
        shown = [*_SYSTEM, *_SETTINGS, sys.prefix, sys.base_prefix, sys.exec_prefix, *site.getsitepackages()]
        if site.ENABLE_USER_SITE:
            shown.append(site.getusersitepackages())
        shown.append(str(PACKAGE))
        hidden = [str(PACKAGE / "grading")]
        if CHECKOUT is not None:  # it may lie below a shown folder
            hidden.append(str(CHECKOUT))
        real = {os.path.realpath(path) for path in shown} | {os.path.abspath(path) for path in shown}
        return cls(tuple(sorted(path for path in real if os.path.exists(path))), tuple(hidden))

    def mounts(self) -> list[tuple[str, bool]]:
        """(path, is shown) in the order of mounting: a folder before what lies in it, hidden before shown."""
        pairs = [(path, True) for path in self.shown] + [(path, False) for path in self.hidden]
        return sorted(pairs)


def enter(view: View, root: str, tmpfs_mb: int) -> None:
    """Build the view at the empty folder `root`, and make it the root. Needs a mount namespace of its own."""
    linux.mount(None, "/", flags=MS_REC | linux.MS_PRIVATE)
    linux.mount("torchbook", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,nr_inodes=4096,mode=755")
    os.mkdir(f"{root}/tmp")
    options = f"size={tmpfs_mb}m,nr_inodes=16384,mode=1777"
    linux.mount("torchbook", f"{root}/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options)
    covers = []
    for path, is_shown in view.mounts():
        if is_shown:
            _show(root, path)
        elif os.path.isdir(root + path):
            linux.mount("torchbook", root + path, "tmpfs", data="size=64k,mode=755")
            covers.append(root + path)
    for path in covers:  # only now: shown folders had to find their place in it
        linux.make_read_only(path)
    _add_devices(root)
    for path, text in _FILES.items():
        _make_parent(f"{root}/{path}")
        Path(root, path).write_text(text)
    os.makedirs(f"{root}/proc")
    linux.mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    linux.mount(None, root, flags=linux.MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    os.chdir(root)
    linux.pivot_root_here()
    for folder in (WORK, HOME, SHARED):
        os.mkdir(folder)
        os.chmod(folder, 0o777)
    os.chdir(WORK)


def _show(root: str, path: str) -> None:
    target = root + path
    if os.path.islink(path) and not os.path.lexists(target):
        _make_parent(target)
        os.symlink(os.readlink(path), target)  # /lib -> usr/lib, and the like
        return
    _make_target(path, target)
    linux.mount(path, target, flags=MS_BIND | MS_REC)
    linux.make_read_only(target)


def _add_devices(root: str) -> None:
    os.makedirs(f"{root}/dev")
    for name in _DEVICES:
        _make_target(f"/dev/{name}", f"{root}/dev/{name}")
        linux.mount(f"/dev/{name}", f"{root}/dev/{name}", flags=MS_BIND)
    os.mkdir(f"{root}/dev/pts")  # IPython runs `!command` on a terminal
    options = "newinstance,ptmxmode=0666,mode=620,max=16"
    linux.mount("devpts", f"{root}/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, options)
    for name, target in _LINKS.items():
        os.symlink(target, f"{root}/dev/{name}")


def _make_target(path: str, target: str) -> None:
    if os.path.exists(target):
        return
    _make_parent(target)
    if os.path.isdir(path):
        os.mkdir(target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))


def _make_parent(path: str) -> None:
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
