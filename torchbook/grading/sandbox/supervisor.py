"""The two processes between the warm server and a kernel.

The supervisor stays outside: it makes the namespaces, adds up the memory of all processes inside, interrupts
and kills. The init is process 1 inside: it builds the view, gives up every right, starts the kernel and
collects orphans; when it ends, Linux kills all that is left inside.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from torchbook.grading.sandbox import linux
from torchbook.grading.sandbox.view import View, enter

NOBODY = 65534
TICK_MS = 50
OPEN_FILES = 256
MB = 1_000_000
_PAGE = os.sysconf("SC_PAGE_SIZE")
_APART = linux.CLONE_NEWPID | linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWCGROUP


@dataclass(frozen=True)
class Confines:
    """The limits of one kernel, and what it sees."""

    view: View
    root: str
    memory_mb: int
    processes: int
    file_mb: int

    @property
    def tmpfs_mb(self) -> int:
        return 4 * self.file_mb


def supervise(control: socket.socket, confines: Confines, kernel: Callable[[], None]) -> NoReturn:
    """Run `kernel` confined, in this process's grandchild. Over `control` the grader interrupts and kills.

    Sends one JSON object when all has ended: {"error": text} if the sandbox could not be built, else
    {"status": wait status of the kernel, "memory": whether it was killed for its memory}.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    report = _start(control, confines, kernel)
    with contextlib.suppress(OSError):  # the grader may be gone
        control.send(json.dumps(report).encode())
    os._exit(0)


def _start(control: socket.socket, confines: Confines, kernel: Callable[[], None]) -> dict[str, object]:
    problems, tell = os.pipe()
    try:
        if os.geteuid() == 0:
            linux.unshare(_APART)
        else:
            _unshare_user(linux.CLONE_NEWUSER | _APART)
        init = os.fork()
    except OSError as error:
        return {"error": str(error)}
    if init == 0:
        os.close(problems)
        control.close()
        _run_init(tell, confines, kernel)
    os.close(tell)
    handle = os.pidfd_open(init)
    problem = os.read(problems, 4096)  # ends when the kernel is confined, before it runs anything of others
    if problem:
        os.waitpid(init, 0)
        return {"error": problem.decode()}
    killed_for_memory = _watch(control, handle, init, confines.memory_mb)
    _, status = os.waitpid(init, 0)
    return {"status": os.waitstatus_to_exitcode(status), "memory": killed_for_memory}


def _unshare_user(flags: int) -> None:
    """Enter a user namespace in which this process is nobody, with all rights inside and none outside."""
    uid, gid = os.geteuid(), os.getegid()
    linux.unshare(flags)
    for name, text in {
        "setgroups": "deny",
        "uid_map": f"{NOBODY} {uid} 1",
        "gid_map": f"{NOBODY} {gid} 1",
    }.items():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


# ---------------------------------------------------------------- outside


def _watch(control: socket.socket, handle: int, init: int, memory_mb: int) -> bool:
    """Wait until the init has ended. Returns whether it was killed for its memory."""
    limit = memory_mb * MB + _resident(init)  # what the warm server brings is on the house
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(control, select.POLLIN)
    over = False
    while True:
        ready = {fd for fd, _ in poll.poll(TICK_MS)}
        if handle in ready:
            return over
        if control.fileno() in ready:
            if control.recv(1) == b"i":
                os.kill(init, signal.SIGINT)
            else:  # the word to kill, or the grader is gone
                poll.unregister(control)
                os.kill(init, signal.SIGKILL)
        if not over and _memory_above(init, limit):
            over = True
            os.kill(init, signal.SIGKILL)


def _memory_above(init: int, limit: int) -> bool:
    """Whether the processes inside use more than `limit` bytes together; shared pages count once.

    The init is left out: nobody inside can make it grow, and it has made itself unreadable.
    """
    family = _family(init)[1:]
    if sum(map(_resident, family)) <= limit:  # counts shared pages several times, and is cheap
        return False
    return sum(map(_proportional, family)) > limit


def _family(pid: int) -> list[int]:
    """The process and all its descendants: every process of the sandbox, orphans fall to its init."""
    found, todo = [], [pid]
    while todo:
        process = todo.pop()
        found.append(process)
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{process}/task"):
                with open(f"/proc/{process}/task/{task}/children") as file:
                    todo.extend(map(int, file.read().split()))
    return found


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0  # it has ended


def _proportional(pid: int) -> int:
    """The memory of a process; a page that n processes share counts 1/n."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:  # it made itself unreadable, or has ended
        return _resident(pid)
    return 0


# ---------------------------------------------------------------- inside


def _run_init(tell: int, confines: Confines, kernel: Callable[[], None]) -> NoReturn:
    """Process 1: confine itself, start the kernel, collect what ends, and end with the kernel's status."""
    try:
        _confine(confines)
        child = os.fork()
        if child == 0:
            linux.prctl(linux.PR_SET_DUMPABLE, 1)
            os.setsid()  # or a signal to its own process group would reach the supervisor
            os.close(tell)
            kernel()
            os._exit(0)
        signal.signal(signal.SIGINT, lambda *_: _interrupt(child))
        os.closerange(0, 1 << 10)  # `tell` as well: its end is the word that all is in place
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(tell, f"{error}"[:2000].encode())
        os._exit(1)
    os._exit(_collect(child))


def _interrupt(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGINT)


def _collect(child: int) -> int:
    """Wait for the kernel, and for orphans meanwhile. Returns an exit status as a shell has it."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code


def _confine(confines: Confines) -> None:
    """From here on, this process has no more rights than its own tmpfs and processor give."""
    linux.unshare(linux.CLONE_NEWNS)
    linux.set_host_name("torchbook")
    os.umask(0o022)
    enter(confines.view, confines.root, confines.tmpfs_mb)
    if os.geteuid() == 0:
        _become_nobody()
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # if the machine runs out of memory, the sandbox goes first
    linux.drop_capabilities()
    _limit_resources(confines)
    linux.refuse_dangerous_calls()
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)  # the kernel has the same user: keep it out of this process


def _become_nobody() -> None:
    """From root to nobody, and into a user namespace of nobody's: its processes are counted apart."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    linux.prctl(linux.PR_SET_DUMPABLE, 1)  # or /proc/self would still be root's
    _unshare_user(linux.CLONE_NEWUSER)


def _limit_resources(confines: Confines) -> None:
    size, data = _own_memory()
    memory, files = confines.memory_mb * MB, confines.file_mb * MB
    for kind, limit in {
        # Writable memory: the cell gets a MemoryError, before the supervisor has to kill.
        resource.RLIMIT_DATA: data + memory,
        # Read-only and shared mappings, for their page tables; generous, they cost nothing else.
        resource.RLIMIT_AS: size + 4 * memory + 4096 * MB,
        resource.RLIMIT_FSIZE: files,
        resource.RLIMIT_NPROC: confines.processes + 1,  # the init is one of them
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 1 << 16,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_SIGPENDING: 256,
    }.items():
        hard = resource.getrlimit(kind)[1]
        value = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (value, value))


def _own_memory() -> tuple[int, int]:
    """(address space, writable private memory) of this process, in bytes."""
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["VmSize"].split()[0]) * 1024, int(fields["VmData"].split()[0]) * 1024
