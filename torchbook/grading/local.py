"""Runs cells in a plain Jupyter kernel on this machine: any platform, no isolation.

For a student who checks their own notebook, and for the teacher's own answer key. Code from others belongs in
the sandbox. One `LocalRunner` may serve several threads: each call of `run` has a kernel of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import zmq
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec

from torchbook.grading.protocol import ANSWER_MIME, Cell, CellResult, CellState, Limits, RunnerError
from torchbook.grading.record import GRACE_SECONDS, Budget, Record, not_run

START_SECONDS = 60.0
IDLE_SECONDS = 2.0  # after the reply: for output that is still on its way
LOST_REPLY_SECONDS = 0.5
TICK_SECONDS = 0.05
MEMORY_TICK_SECONDS = 0.25
MESSAGE_BYTES = 64_000_000  # zmq drops the connection that sends more in one message


class LocalRunner:
    """Runs cells in a fresh IPython kernel of this Python: no kernelspec, no user profile, no history."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[_Kernel] = set()

    def run(
        self,
        cells: Sequence[Cell],
        *,
        seed: int,
        limits: Limits | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> list[CellResult]:
        """Run `cells` in order in one kernel. Raises RunnerError when no kernel starts here."""
        limits = limits or Limits()
        with tempfile.TemporaryDirectory(prefix="torchbook-", ignore_cleanup_errors=True) as folder:
            cwd = Path(folder, "work")
            write_files(cwd, files or {})
            kernel = _Kernel(cwd, _environment(seed, Path(folder)), limits)
            with self._lock:
                self._running.add(kernel)
            try:
                kernel.start()
                return kernel.run(cells)
            finally:
                kernel.stop()
                with self._lock:
                    self._running.discard(kernel)

    def close(self) -> None:
        """End the kernels of calls that still run in other threads."""
        with self._lock:
            kernels = list(self._running)
        for kernel in kernels:
            kernel.kill()


def write_files(cwd: Path, files: Mapping[str, bytes]) -> None:
    """Create `cwd` and write `files` (relative POSIX path -> content) into it, never outside it."""
    cwd.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = checked_path(name)
        target = cwd.joinpath(*path.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def checked_path(name: str) -> PurePosixPath:
    """`name` as a relative path without `..`. Raises ValueError for any other path."""
    path = PurePosixPath(name)
    parts_ok = path.parts and all(part != ".." and ":" not in part for part in path.parts)
    if not parts_ok or path.is_absolute() or "\\" in name or "\0" in name:
        raise ValueError(f"The file name {name!r} must be a relative path without '..', ':' or a backslash.")
    return path


def _environment(seed: int, folder: Path) -> dict[str, str]:
    """The caller's environment, with the seed, and without what would change how IPython behaves."""
    skip = (
        "PYTHONSTARTUP",
        "PYTHONINSPECT",
        "JPY_SESSION_NAME",
        "JPY_PARENT_PID",
        "MPLBACKEND",
        "PYTEST_CURRENT_TEST",
    )
    env = {key: value for key, value in os.environ.items() if key not in skip}
    env.update(
        TORCHBOOK_SEED=str(seed),
        IPYTHONDIR=str(folder / "ipython"),
        JUPYTER_RUNTIME_DIR=str(folder / "runtime"),
        PYTHONHASHSEED="0",  # the same seed gives the same order of a set, hence the same grades
        PYTHONDONTWRITEBYTECODE="1",
    )
    return env


class _OwnKernelManager(KernelManager):
    """Starts this Python's ipykernel, whatever kernels are installed or named in a notebook."""

    @property
    def kernel_spec(self) -> KernelSpec:
        options = ["--HistoryManager.enabled=False", "--IPKernelApp.capture_fd_output=True"]
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", *options]
        return KernelSpec(argv=argv, display_name="Torchbook", language="python")


class _Kernel:
    """One kernel process and its channels."""

    def __init__(self, cwd: Path, env: dict[str, str], limits: Limits) -> None:
        self._limits = limits
        self._cwd, self._env = cwd, env
        self._context = zmq.Context()
        connection = str(cwd.parent / "kernel.json")
        self._manager = _OwnKernelManager(context=self._context, connection_file=connection)
        self._client: Any = None
        self._pid: int | None = None
        self._killed = threading.Event()
        self._next_memory_check = 0.0

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Start the process and wait until it answers on both channels."""
        try:
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            self._manager.start_kernel(cwd=str(self._cwd), env=self._env, **quiet)
            self._pid = self._manager.provisioner.pid
            self._client = self._manager.client()
            self._client.start_channels(stdin=False, hb=False, control=False)
        except (OSError, RuntimeError, zmq.ZMQError) as error:
            raise RunnerError(f"The Jupyter kernel of {sys.executable} did not start: {error}") from error
        for socket in (self._shell, self._iopub):
            socket.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        answered = subscribed = False
        while not (answered and subscribed):
            # The first messages on iopub are lost until the subscription has reached the kernel: ask again.
            self._client.kernel_info()
            for channel, _ in self._messages(min(deadline, time.monotonic() + 0.5)):
                answered |= channel is self._shell
                subscribed |= channel is self._iopub
                if answered and subscribed:
                    break
            if not self._alive():
                raise RunnerError(
                    f"The Jupyter kernel of {sys.executable} ended at its start. Try: python -m ipykernel --version"
                )
            if time.monotonic() > deadline:
                raise RunnerError(f"The Jupyter kernel did not answer within {START_SECONDS:.0f} s.")

    def _alive(self) -> bool:
        return not self._killed.is_set() and self._manager.is_alive()

    def kill(self) -> None:
        """Kill the kernel and the processes that it started. Safe from any thread, and to call twice."""
        self._killed.set()
        if self._pid is None:
            return
        family = _processes(self._pid)
        if hasattr(os, "killpg"):
            with contextlib.suppress(OSError):  # the kernel leads its own group; it may be gone already
                os.killpg(self._pid, signal.SIGKILL)
        for process in family:
            with contextlib.suppress(Exception):
                process.kill()

    def stop(self) -> None:
        """Kill the kernel and free sockets and files."""
        self.kill()
        if self._client is not None:
            self._client.stop_channels()
        if self._pid is not None:
            self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_connection_file()
        self._context.destroy(linger=0)

    # ------------------------------------------------------------ messages

    @property
    def _shell(self) -> zmq.Socket:
        return self._client.shell_channel.socket

    @property
    def _iopub(self) -> zmq.Socket:
        return self._client.iopub_channel.socket

    def _messages(self, until: float) -> Iterator[tuple[zmq.Socket | None, dict[str, Any]]]:
        """Yield (channel, message) from both channels as they come, and (None, {}) at least every tick."""
        poller = zmq.Poller()
        for socket in (self._shell, self._iopub):
            poller.register(socket, zmq.POLLIN)
        while (left := until - time.monotonic()) > 0:
            ready = poller.poll(1000 * min(left, TICK_SECONDS))
            for socket, _ in ready:
                message = self._receive(socket)
                if message is not None:
                    yield socket, message
            yield None, {}

    def _receive(self, socket: zmq.Socket) -> dict[str, Any] | None:
        try:
            _, message = self._client.session.recv(socket, mode=zmq.NOBLOCK)
        except (ValueError, KeyError, TypeError, RecursionError):
            return None  # not a message: the notebook's code wrote to the socket itself
        sound = isinstance(message, dict) and all(
            isinstance(message.get(key), dict) for key in ("parent_header", "content")
        )
        return message if sound else None

    # ------------------------------------------------------------ cells

    def run(self, cells: Sequence[Cell]) -> list[CellResult]:
        budget = Budget(self._limits)
        end = time.monotonic() + self._limits.total_seconds
        results = []
        for cell in cells:
            if not self._alive() or time.monotonic() >= end:
                results.append(not_run(cell.name))
                continue
            record = Record(cell.name, budget)
            self._run_cell(cell, record, end)
            results.append(record.result())
        return results

    def _run_cell(self, cell: Cell, record: Record, end: float) -> None:
        request = self._client.execute(cell.source, allow_stdin=False, stop_on_error=False)
        cell_end = min(end, time.monotonic() + self._limits.cell_seconds)
        kill_at: float | None = None
        replied = idle = False
        over_by = end + IDLE_SECONDS  # when to go on although the reply or the word "idle" is missing
        for channel, message in self._messages(end + GRACE_SECONDS + IDLE_SECONDS):
            now = time.monotonic()
            if channel is self._shell and message["parent_header"].get("msg_id") == request:
                replied, over_by = True, now + IDLE_SECONDS
                self._keep_error(message["content"], record)
            elif channel is self._iopub and self._keep_output(message, record, request):
                idle = True
                if kill_at is not None:  # an interrupt can cost ipykernel the reply
                    over_by = min(over_by, now + LOST_REPLY_SECONDS)
            if channel is not None:
                continue
            if (replied and idle) or now > over_by:
                return
            if not self._alive():
                return record.stop(CellState.DIED, "The kernel's process ended while this cell ran.")
            if kill_at is None:
                self._watch(record, now, cell_end)
                if record.stopped:
                    kill_at = self._interrupt(record, now)
            elif now > kill_at:
                return self.kill()
        self.kill()

    def _watch(self, record: Record, now: float, cell_end: float) -> None:
        """Stop the cell if it has passed its time or its memory."""
        if now > cell_end:
            record.stop(CellState.TIMEOUT, "The cell was stopped at its time limit.")
        elif now > self._next_memory_check:
            self._next_memory_check = now + MEMORY_TICK_SECONDS
            if self._memory_mb() > self._limits.memory_mb:
                record.stop(CellState.MEMORY, f"The cell used more than {self._limits.memory_mb} MB.")

    def _interrupt(self, record: Record, now: float) -> float:
        """Ask the cell to end; return when to kill the kernel if it does not."""
        if record.stopped is CellState.MEMORY:
            return now
        with contextlib.suppress(Exception):
            self._manager.interrupt_kernel()
        return now + GRACE_SECONDS

    def _memory_mb(self) -> float:
        total = 0
        for process in _processes(self._pid):
            with contextlib.suppress(Exception):  # it ended in between
                total += process.memory_info().rss
        return total / 1e6

    @staticmethod
    def _keep_error(content: dict[str, Any], record: Record) -> None:
        if content.get("status") != "ok":
            record.error(content.get("ename", ""), content.get("evalue", ""), content.get("traceback"))

    @staticmethod
    def _keep_output(message: dict[str, Any], record: Record, request: str) -> bool:
        """Put one iopub message on the record; True when it says that this request has ended."""
        kind, content = message["msg_type"], message["content"]
        parent = message["parent_header"].get("msg_id") or request  # output of C code may have no parent
        if kind == "status":
            return parent == request and content.get("execution_state") == "idle"
        if kind == "display_data" and ANSWER_MIME in content.get("data", {}):
            if parent == request:
                record.answer(json_text(content["data"][ANSWER_MIME]))
        elif kind not in ("error", "execute_input"):
            own_text = kind == "stream" and parent == request
            record.output(str(content.get("text", "")) if own_text else "", _size(content))
        return False


def json_text(value: Any) -> str:
    """`value` as JSON, or a text that is none where it is nested too deeply to be written."""
    try:
        return json.dumps(value)
    except RecursionError:
        return "nested too deeply"


def _size(content: Any) -> int:
    """A cheap measure of the bytes in a message: the characters of all strings, plus 8 for all else."""
    total, todo = 0, [content]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            todo.extend(item.keys())
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)
        total += len(item) if isinstance(item, str) else 8
    return total


def _processes(pid: int | None) -> list[Any]:
    """The process and all its descendants; empty where it has ended."""
    import psutil  # comes with ipykernel

    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []
