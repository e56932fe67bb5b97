"""The Linux calls that Python lacks: mounts, capabilities, prctl, seccomp. Only here do numbers stand."""

from __future__ import annotations

import ctypes
import os
import platform
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_ANY_NEW = 0x7E020000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
PR_SET_SECCOMP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 22, 47, 4

_SYS_MOUNT_SETATTR = 442  # the same number on every architecture
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def unshare(flags: int) -> None:
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str | None, target: str, kind: str | None = None, flags: int = 0, data: str = "") -> None:
    def text(value: str | None) -> bytes | None:
        return None if value is None else os.fsencode(value)

    result = _libc.mount(text(source), text(target), text(kind), ctypes.c_ulong(flags), data.encode())
    _check(result, f"mount {target}")


def make_read_only(target: str) -> None:
    """Make a mount and all below it read-only, without set-user-id programs and devices (Linux 5.12)."""
    attributes = struct.pack("QQQQ", MS_RDONLY | MS_NOSUID | MS_NODEV, 0, 0, 0)
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        os.fsencode(target),
        ctypes.c_uint(_AT_RECURSIVE),
        attributes,
        ctypes.c_size_t(len(attributes)),
    )
    _check(result, f"mount_setattr {target}")


def pivot_root_here() -> None:
    """Make the current folder, which must be a mount, the root; the old root is gone afterwards."""
    number = _SYS_PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise OSError(f"the sandbox does not know the processor architecture {platform.machine()}")
    _check(_libc.syscall(ctypes.c_long(number), b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "umount of the old root")
    os.chdir("/")


def prctl(option: int, value: int = 0) -> int:
    zero = ctypes.c_ulong(0)
    return _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero)


def set_host_name(name: str) -> None:
    _check(_libc.sethostname(name.encode(), ctypes.c_size_t(len(name))), "sethostname")


def drop_capabilities() -> None:
    """Give up every capability, for good: no program that is started later gets one back."""
    capability = 0
    while prctl(PR_CAPBSET_DROP, capability) == 0:
        capability += 1
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("Ii", 0x20080522, 0)
    _check(_libc.capset(header, bytes(24)), "capset")
    _check(prctl(PR_SET_NO_NEW_PRIVS, 1), "no_new_privs")


# ---------------------------------------------------------------- seccomp

_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SOCKET = {"x86_64": 41, "aarch64": 198}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6; AF_VSOCK would reach past the network namespace

# Memory that no process owns (memfd, System V), other processes' memory, mounts, namespaces, keys, and the
# parts of Linux where most holes were found. Numbers: (x86_64, aarch64).
_REFUSED = {
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "kexec_load": (246, 104),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
}
_REFUSED_X86_ONLY = (253,)  # inotify_init


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _load(offset: int) -> bytes:
    return _instruction(0x20, offset)


def _return_error(error: int) -> bytes:
    return _instruction(0x06, 0x00050000 | error)


_ALLOW = _instruction(0x06, 0x7FFF0000)
_KILL = _instruction(0x06, 0x80000000)
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data


def _equal_then(value: int, action: bytes) -> bytes:
    """If the loaded word equals `value`, `action`; else go on."""
    return _instruction(0x15, value, 0, 1) + action


def seccomp_program(machine: str) -> bytes | None:
    """The filter for a processor architecture; None where it is not known."""
    if machine not in _ARCHITECTURES:
        return None
    column = list(_ARCHITECTURES).index(machine)
    program = _load(_ARCHITECTURE) + _instruction(0x15, _ARCHITECTURES[machine], 1, 0) + _KILL
    program += _load(_NUMBER)
    if machine == "x86_64":  # the x32 numbers would pass by the list below
        program += _instruction(0x35, 0x40000000, 0, 1) + _KILL
    refused = [numbers[column] for numbers in _REFUSED.values()]
    refused += _REFUSED_X86_ONLY if machine == "x86_64" else ()
    for number in refused:
        program += _equal_then(number, _return_error(_EPERM))
    # clone3 passes its flags by pointer, out of sight. glibc falls back to clone: no new namespaces there.
    program += _equal_then(_CLONE3, _return_error(_ENOSYS))
    program += _instruction(0x15, _CLONE[machine], 0, 4) + _load(_FIRST_ARGUMENT)
    program += _instruction(0x45, CLONE_ANY_NEW, 0, 1) + _return_error(_EPERM) + _ALLOW
    # socket: only these families.
    program += _instruction(0x15, _SOCKET[machine], 1, 0) + _ALLOW + _load(_FIRST_ARGUMENT)
    for family in _FAMILIES:
        program += _equal_then(family, _ALLOW)
    return program + _return_error(_EAFNOSUPPORT)


def refuse_dangerous_calls() -> None:
    """Install the seccomp filter for this process and all that it starts. Needs no_new_privs."""
    program = seccomp_program(platform.machine())
    if program is None:
        return
    buffer = ctypes.create_string_buffer(program, len(program))

    class Filter(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))

    spec = Filter(len(program) // 8, ctypes.addressof(buffer))
    mode_filter = ctypes.c_ulong(2)
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(ctypes.c_int(PR_SET_SECCOMP), mode_filter, ctypes.byref(spec), zero, zero), "seccomp")
