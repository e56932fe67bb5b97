"""The grader's side of the sandbox: starts the warm server, talks to each kernel, and trusts neither."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torchbook.grading.local import checked_path
from torchbook.grading.protocol import Cell, CellResult, CellState, Limits, RunnerError
from torchbook.grading.record import GRACE_SECONDS, Budget, Record, not_run
from torchbook.grading.sandbox import frames
from torchbook.grading.sandbox.paths import CHECKOUT

WARM_UP_SECONDS = 180.0
SETTLE_SECONDS = 0.5  # from an interrupt to the next cell
READY_SECONDS = 30.0
END_SECONDS = 10.0
TICK_SECONDS = 0.5
# torch._dynamo is imported by the first step of any optimizer, and takes a second.
PRELOAD = ("numpy", "torch", "torch._dynamo", "matplotlib.pyplot", "torchbook.exercises")
CHUNK = 1 << 16
_SERVER_MODULE = "torchbook.grading.sandbox.server"
_DONE_BYTES = 200_000
_SMALL_BYTES = 4_096


@functools.cache
def sandbox_available() -> tuple[bool, str]:
    """Whether sandboxes can be built here; if not, one sentence that says why. Tries it, once per process."""
    if sys.platform != "linux":
        return False, "The sandbox needs Linux, for its namespaces."
    root = tempfile.mkdtemp(prefix="torchbook-trial-")
    try:
        command = [sys.executable, "-m", "torchbook.grading.sandbox.trial", root]
        trial = subprocess.run(command, env=_environment(root), capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, f"The sandbox could not be tried: {error}."
    finally:
        shutil.rmtree(root, ignore_errors=True)
    problem = trial.stdout.strip() if trial.returncode == 0 else trial.stderr.strip().rpartition("\n")[2]
    if not problem:
        return True, ""
    return False, f"Linux does not allow a sandbox here ({problem}).{_advice()}"


def _advice() -> str:
    """What to do about the most common reason."""
    switches = {
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": ("1", "0"),
        "/proc/sys/kernel/unprivileged_userns_clone": ("0", "1"),
    }
    for path, (bad, good) in switches.items():
        with contextlib.suppress(OSError):
            if Path(path).read_text().strip() == bad:
                name = path.removeprefix("/proc/sys/").replace("/", ".")
                return f" An administrator can allow it: sysctl {name}={good}."
    return ""


def _environment(folder: str) -> dict[str, str]:
    """The environment of the warm server, and so of every kernel: nothing of the grader's own."""
    one_thread = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM")
    return {
        **({} if CHECKOUT is None else {"PYTHONPATH": str(CHECKOUT)}),  # it need not be installed
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), "/usr/local/bin", "/usr/bin", "/bin"]),
        "LANG": "C.UTF-8",
        "HOME": folder,
        "IPYTHONDIR": folder,
        "MPLCONFIGDIR": folder,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "CUDA_VISIBLE_DEVICES": "",  # a GPU's driver does not survive a fork
        "PYTHONHASHSEED": "0",  # the same seed gives the same order of a set, hence the same grades
        "PYTHONDONTWRITEBYTECODE": "1",
        **{f"{name}_NUM_THREADS": "1" for name in one_thread},
    }


class SandboxRunner:
    """Runs cells in forked, pre-warmed kernels in namespaces of their own. Linux; root or not.

    The warm server starts with the first call of `run` (some seconds) and serves until `close`. Several
    threads may call `run` at once. `preload` names the modules that it imports, for all kernels.
    """

    def __init__(self, preload: Sequence[str] = PRELOAD) -> None:
        self._preload = tuple(preload)
        self._lock = threading.Lock()
        self._server: _Server | None = None

    def __enter__(self) -> SandboxRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the warm server now. Raises RunnerError where there is no sandbox."""
        with self._lock:
            if self._server is not None and self._server.alive():
                return
            if self._server is not None:
                self._server.close()
            available, why_not = sandbox_available()
            if not available:
                raise RunnerError(why_not)
            self._server = _Server(self._preload)

    def run(
        self,
        cells: Sequence[Cell],
        *,
        seed: int,
        limits: Limits | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> list[CellResult]:
        """Run `cells` in order in one kernel; when it returns, no process of it is left.

        Raises RunnerError when the sandbox itself fails, and ValueError for a file name that leaves the cwd.
        """
        limits = limits or Limits()
        setup = _setup(seed, files or {})
        sandbox = self._open(setup, limits)
        try:
            return sandbox.run(cells)
        finally:
            sandbox.close()

    def _open(self, setup: bytes, limits: Limits) -> _Sandbox:
        """A kernel that is ready. Starts the server if need be, again if it was killed meanwhile."""
        for attempt in (1, 2):
            self.start()
            server = self._server
            if server is None:
                raise RunnerError("The sandbox was closed while it started.")
            try:
                return _Sandbox(server, setup, limits)
            except RunnerError:
                if attempt == 2 or not server.ends():
                    raise
        raise AssertionError("unreachable: the second attempt returns or raises")

    def close(self) -> None:
        """End the warm server; kernels that still run end too."""
        with self._lock:
            if self._server is not None:
                self._server.close()
            self._server = None


def _setup(seed: int, files: Mapping[str, bytes]) -> bytes:
    encoded = {str(checked_path(name)): base64.b64encode(data).decode() for name, data in files.items()}
    return json.dumps({"seed": seed, "files": encoded}).encode()


class _Server:
    """The warm server's process, and the socket that asks it for kernels."""

    def __init__(self, preload: Sequence[str]) -> None:
        self._folder = tempfile.mkdtemp(prefix="torchbook-sandbox-")
        root = os.path.join(self._folder, "root")
        os.mkdir(root)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._errors = open(os.path.join(self._folder, "errors"), "w+b")  # noqa: SIM115 closed in close()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _SERVER_MODULE, str(theirs.fileno()), root, *preload],
                env=_environment(self._folder),
                cwd="/",
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C is the grader's: kernels end through it
            )
        self._wait_until_warm()

    def _wait_until_warm(self) -> None:
        self._socket.settimeout(WARM_UP_SECONDS)
        try:
            reply = json.loads(self._socket.recv(CHUNK) or b'{"error": "it ended"}')
        except TimeoutError:
            reply = {"error": f"it was not ready after {WARM_UP_SECONDS:.0f} s"}
        self._socket.settimeout(None)
        if "error" in reply:
            self._errors.seek(0)
            details = self._errors.read(CHUNK).decode(errors="replace").strip().rpartition("\n")[2]
            self.close()
            raise RunnerError(f"The sandbox's server did not start: {reply['error']}. {details}".strip())

    def alive(self) -> bool:
        return self._process.poll() is None

    def ends(self) -> bool:
        """Whether the server has ended, or is about to."""
        try:
            self._process.wait(TICK_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True

    def fork(self, limits: Limits, descriptors: Sequence[int]) -> None:
        """Ask for a kernel on these descriptors. Raises RunnerError if the server has gone."""
        request = {"memory_mb": limits.memory_mb, "processes": limits.processes, "file_mb": limits.file_mb}
        try:
            socket.send_fds(self._socket, [json.dumps(request).encode()], list(descriptors))
        except OSError as error:
            raise RunnerError(f"The sandbox's server has ended: {error}.") from error

    def close(self) -> None:
        self._socket.close()  # the server's word to end
        self._errors.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Sandbox:
    """One kernel: its pipes, and what happens to its cells."""

    def __init__(self, server: _Server, setup: bytes, limits: Limits) -> None:
        self._limits = limits
        self._report: dict[str, Any] | None = None  # the supervisor's last word
        self._reader = frames.FrameReader(
            {
                frames.READY: _SMALL_BYTES,
                frames.SHOWN: _SMALL_BYTES,
                frames.DONE: _DONE_BYTES,
                frames.ANSWER: max(_SMALL_BYTES, limits.answer_bytes),
            }
        )
        self._control, their_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        their_commands, self._commands = os.pipe()
        self._frames, their_frames = os.pipe()
        self._output, their_output = os.pipe()
        self._poll = select.poll()
        for fd in (self._commands, self._frames, self._output, self._control.fileno()):
            os.set_blocking(fd, False)
            if fd != self._commands:
                self._poll.register(fd, select.POLLIN)
        theirs = [their_control.fileno(), their_commands, their_frames, their_output]
        try:
            try:
                server.fork(limits, theirs)
            finally:
                their_control.close()
                for fd in theirs[1:]:
                    os.close(fd)
            self._set_up(setup)
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------ life

    def _set_up(self, setup: bytes) -> None:
        """Give the kernel its files and seed. Nothing of the submission has run yet, so an answer is true."""
        deadline = time.monotonic() + READY_SECONDS
        if self._send(setup, deadline):
            for kind, payload, _ in self._events(deadline):
                if kind == frames.READY:
                    problem = json.loads(payload or b"{}").get("error")
                    if problem:
                        raise RunnerError(f"The sandbox could not be set up: {problem}.")
                    return
                if self._report is not None:
                    break
        report = self._report or {"error": f"its kernel was not ready after {READY_SECONDS:.0f} s"}
        problem = report.get("error") or f"its kernel ended with status {report['status']}"
        raise RunnerError(f"The sandbox could not be set up: {problem}.")

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._control.send(b"k")

    def interrupt(self) -> None:
        with contextlib.suppress(OSError):
            self._control.send(b"i")

    def close(self) -> None:
        """Kill the kernel, wait until the supervisor says that nothing is left, and free all descriptors."""
        if self._report is None:
            self.kill()
            self._control.settimeout(END_SECONDS)
            with contextlib.suppress(OSError):
                self._control.recv(CHUNK)
        self._control.close()
        for fd in (self._commands, self._frames, self._output):
            os.close(fd)

    # ------------------------------------------------------------ pipes

    def _send(self, payload: bytes, deadline: float) -> bool:
        """Write one command. A kernel that does not read must not hold up the grader. False: not sent."""
        view = memoryview(frames.frame(frames.COMMAND, payload))
        writable = select.poll()
        writable.register(self._commands, select.POLLOUT)
        while view:
            left = deadline - time.monotonic()
            if left <= 0 or self._ended():
                return False
            if writable.poll(1000 * min(left, TICK_SECONDS)):
                try:
                    view = view[os.write(self._commands, view) :]
                except BlockingIOError:
                    continue
                except OSError:  # the kernel has closed its end
                    return False
        return True

    def _events(self, deadline: float) -> Iterator[tuple[bytes, bytes | None, int]]:
        """Yield frames, ("o", text, size) for output and ("", None, 0) for a tick, until the deadline.

        Once the supervisor has reported the end, the rest of the pipes comes, and then the iterator ends.
        """
        while (left := deadline - time.monotonic()) > 0:
            ended = self._ended()
            ready = {fd for fd, _ in self._poll.poll(0 if ended else 1000 * min(left, TICK_SECONDS))}
            chunk = self._read(self._output) if self._output in ready else b""
            if chunk:
                yield b"o", chunk, len(chunk)
            data = self._read(self._frames) if self._frames in ready else b""
            yield from self._reader.feed(data)
            if ended and not chunk and not data:
                return
            yield b"", None, 0

    def _drain_output(self) -> bytes:
        """What the cell has written and the pipe still holds: its end was announced on another pipe."""
        parts = []
        while len(parts) < 32:  # a pipe holds 64 kB, by default; a thread may go on writing
            chunk = self._read(self._output)
            if not chunk:
                break
            parts.append(chunk)
        return b"".join(parts)

    def _read(self, fd: int) -> bytes:
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return b""
        if not data:  # its other end is closed: never ready again
            with contextlib.suppress(KeyError):
                self._poll.unregister(fd)
        return data

    def _ended(self) -> bool:
        """Whether the supervisor has reported that nothing of the kernel is left."""
        if self._report is None:
            try:
                message = self._control.recv(CHUNK)
            except BlockingIOError:
                return False
            except OSError:
                message = b""
            self._report = json.loads(message or b'{"status": -9, "memory": false}')
            self._poll.unregister(self._control.fileno())
        return True

    # ------------------------------------------------------------ cells

    def run(self, cells: Sequence[Cell]) -> list[CellResult]:
        budget = Budget(self._limits)
        end = time.monotonic() + self._limits.total_seconds
        results = []
        for cell in cells:
            if self._ended() or time.monotonic() >= end:
                results.append(not_run(cell.name))
                continue
            record = Record(cell.name, budget)
            self._run_cell(cell, record, end)
            results.append(record.result())
        return results

    def _run_cell(self, cell: Cell, record: Record, end: float) -> None:
        deadline = min(end, time.monotonic() + self._limits.cell_seconds)
        try:
            if self._send(json.dumps({"source": cell.source}).encode(), deadline):
                if self._until_done(record, deadline):
                    return
            elif not self._ended():
                record.stop(CellState.TIMEOUT, "The kernel did not take the cell within its time limit.")
        except frames.ProtocolError as error:
            record.stop(CellState.DIED, f"The kernel was stopped, its notebook wrote to our pipe: {error}.")
        self._note_death(record)

    def _until_done(self, record: Record, deadline: float) -> bool:
        """Collect until the cell ends. False: the kernel is gone, or has to go."""
        interrupted = False
        while True:
            for kind, payload, size in self._events(deadline):
                if kind == frames.DONE:
                    self._finish(record, payload)
                    if interrupted:  # the signal may still be on its way: between cells it harms nobody
                        time.sleep(SETTLE_SECONDS)
                    return True
                self._keep(record, kind, payload, size)
                if record.stopped and not interrupted:
                    break
            if self._ended() or interrupted:
                return False
            if not record.stopped:
                record.stop(CellState.TIMEOUT, "The cell was stopped at its time limit.")
            interrupted, deadline = True, time.monotonic() + GRACE_SECONDS
            self.interrupt()

    @staticmethod
    def _keep(record: Record, kind: bytes, payload: bytes | None, size: int) -> None:
        if kind == b"o":
            record.output((payload or b"").decode("utf-8", "replace"), size)
        elif kind == frames.ANSWER:
            record.answer(payload or b"", size)
        elif kind == frames.SHOWN:
            text = payload or b""
            # The size is the kernel's own word; a wrong one harms nobody, for the display itself stays there.
            record.output("", max(size, int(text) if text.isdigit() and len(text) < 12 else size))

    def _finish(self, record: Record, payload: bytes | None) -> None:
        rest = self._drain_output()
        if rest:
            record.output(rest.decode("utf-8", "replace"), len(rest))
        try:
            outcome = json.loads(payload or b"")
        except (ValueError, RecursionError):
            outcome = None
        if not isinstance(outcome, dict):
            record.error("InvalidReply", "The kernel's report about this cell was not valid.", [])
        elif outcome.get("status") != "ok":
            record.error(outcome.get("ename"), outcome.get("evalue"), outcome.get("traceback"))

    def _note_death(self, record: Record) -> None:
        """The kernel is gone, or goes now: say why."""
        self.kill()
        deadline = time.monotonic() + END_SECONDS
        while not self._ended() and time.monotonic() < deadline:
            self._poll_control()
        report = self._report or {}
        if report.get("memory"):
            record.stop(CellState.MEMORY, f"The cell used more than {self._limits.memory_mb} MB.")
        record.stop(CellState.DIED, f"The kernel ended while this cell ran ({_describe(report)}).")

    def _poll_control(self) -> None:
        waiting = select.poll()
        waiting.register(self._control, select.POLLIN)
        waiting.poll(1000 * TICK_SECONDS)


def _describe(report: Mapping[str, Any]) -> str:
    status = report.get("status", 0)
    return f"signal {status - 128}" if status > 128 else f"exit status {status}"
