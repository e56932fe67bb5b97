"""The kernel inside the sandbox: IPython's own shell for kernels, over three pipes instead of sockets.

The shell is made once, in the warm server; `serve` runs in the forked child. Jupyter's messages about
displays become frames (frames.py); stdout and stderr are the pipe on descriptors 1 and 2, so output of
subprocesses and of C code arrives too. No threads, no waits.
"""

from __future__ import annotations

import asyncio
import base64
import builtins
import contextlib
import getpass
import io
import json
import os
import random
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core.error import StdinNotImplementedError, UsageError
from jupyter_client.session import Session
from traitlets.config import Config

from torchbook.grading.protocol import ANSWER_MIME
from torchbook.grading.sandbox import frames, view

COMMANDS, FRAMES, OUTPUT = 3, 4, 5  # descriptors of the child
_EXIT_FORKED = 0


class PipeSession(Session):
    """Takes the place of Jupyter's session: what the shell shows becomes frames on a pipe."""

    def __init__(self) -> None:
        super().__init__(key=b"")
        self._lock = threading.Lock()
        self.owner = os.getpid()

    def send(self, stream: Any, msg_or_type: Any, content: Any = None, *args: Any, **kwargs: Any) -> None:
        """Send a display; called by the shell's display publisher, display hook and error report."""
        kind = msg_or_type
        if isinstance(msg_or_type, dict):
            kind, content = msg_or_type["msg_type"], msg_or_type["content"]
        if kind == "display_data" and ANSWER_MIME in content["data"]:
            self.write(frames.ANSWER, json.dumps(content["data"][ANSWER_MIME]).encode())
        elif kind != "error":  # an error travels with the end of the cell
            self.write(frames.SHOWN, str(len(json.dumps(content, default=repr))).encode())

    def write(self, kind: bytes, payload: bytes) -> None:
        if os.getpid() == self.owner:  # a forked child's frames would tear the parent's apart
            with self._lock:
                frames.write_all(FRAMES, frames.frame(kind, payload))


def make_shell() -> ZMQInteractiveShell:
    """The shell of a Jupyter kernel, without history, profile and extensions of a user."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "NoColor"  # the grader would take the codes out again
    shell = ZMQInteractiveShell.instance(config=config, kernel=SimpleNamespace(eventloop=None))
    session = PipeSession()
    shell.displayhook.session = shell.display_pub.session = session
    shell.displayhook.topic = b"execute_result"
    shell.enable_gui = _refuse_gui
    return shell


def _refuse_gui(gui: str | None = None) -> None:
    if gui not in (None, "", "inline"):
        raise UsageError(f"no window can open here, so %gui {gui} is not available")


def _refuse_input(*_: Any, **__: Any) -> NoReturn:
    raise StdinNotImplementedError("input() is not available here: nobody is there to answer")


def serve(shell: ZMQInteractiveShell) -> None:
    """Run cells as they come, until the pipe ends. Descriptors 3 to 5 must be the pipes."""
    session = shell.display_pub.session
    session.owner = os.getpid()
    signal.signal(signal.SIGINT, _ignore)
    _open_streams()
    builtins.input = getpass.getpass = _refuse_input
    asyncio.run(_serve(_Cells(shell), session))


def _ignore(*_: Any) -> None:
    """A handler rather than SIG_IGN, which programs started by a cell would inherit."""


async def _serve(cells: _Cells, session: PipeSession) -> None:
    setup = frames.read_frame(COMMANDS)
    if setup is None:
        return
    session.write(frames.READY, json.dumps(_set_up(json.loads(setup[1]))).encode())
    readable = asyncio.Event()
    asyncio.get_running_loop().add_reader(COMMANDS, readable.set)
    while True:  # the loop runs between cells, as in Jupyter: tasks that a cell has started go on
        await readable.wait()
        readable.clear()
        command = frames.read_frame(COMMANDS)
        if command is None:
            return
        result = await cells.run(json.loads(command[1])["source"])
        if os.getpid() != session.owner:
            os._exit(_EXIT_FORKED)  # a child that the cell has forked, and that came back from it
        session.write(frames.DONE, json.dumps(result).encode())


def _set_up(setup: dict[str, Any]) -> dict[str, str]:
    """Files, environment and generators. Returns {} or {"error": text}."""
    os.environ.update(TORCHBOOK_SEED=str(setup["seed"]), HOME=view.HOME, TMPDIR="/tmp", PWD=view.WORK)
    for name in ("IPYTHONDIR", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR"):
        os.environ[name] = f"{view.HOME}/.cache"
    _reseed(setup["seed"])
    try:
        for name, content in setup["files"].items():
            path = Path(view.WORK, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(content))
    except OSError as error:
        return {"error": f"a file of the submission could not be written: {error}"}
    return {}


def _reseed(seed: int) -> None:
    """Every fork inherits the generators' states: start them anew, from the seed."""
    source = random.Random(f"{seed}/kernel")
    random.seed(source.getrandbits(64))
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(source.getrandbits(32))
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(source.getrandbits(63))


def _open_streams() -> None:
    """Give sys.stdin, stdout and stderr fresh files on descriptors 0, 1 and 2."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(OUTPUT, 1)
    os.dup2(OUTPUT, 2)
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # noqa: SIM115 they live as long as the process
    for name, fd in (("stdout", 1), ("stderr", 2)):
        raw = io.FileIO(fd, "w", closefd=False)
        stream = io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


class _Cells:
    """Runs cells one by one, as ipykernel does."""

    def __init__(self, shell: ZMQInteractiveShell) -> None:
        self._shell = shell
        self._busy = False  # whether an interrupt has something to interrupt
        self._task: asyncio.Task[Any] | None = None  # the cell, if it awaits

    async def run(self, source: str) -> dict[str, Any]:
        """Run one cell. Returns {"status": "ok"}, or an error's name, value and traceback."""
        self._mend_streams()
        signal.signal(signal.SIGINT, self._interrupt)  # each time: the last cell may have set another
        try:
            self._busy = True
            try:
                result = await self._execute(source)
            finally:
                self._busy, self._task = False, None
            outcome = self._outcome(result)
        except (KeyboardInterrupt, asyncio.CancelledError):
            self._busy, self._task = False, None  # again: the interrupt may have come inside `finally`
            outcome = _error("KeyboardInterrupt", "", [])
        signal.signal(signal.SIGINT, _ignore)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # the cell may have closed or replaced it
                stream.flush()
        return outcome

    def _interrupt(self, *_: Any) -> None:
        """The handler of SIGINT: raise in the cell where it computes, cancel it where it waits."""
        if self._task is not None:
            loop = self._task.get_loop()
            if asyncio.current_task(loop) is not self._task:
                loop.call_soon_threadsafe(self._task.cancel)
                return
        if self._busy:
            raise KeyboardInterrupt

    async def _execute(self, source: str) -> Any:
        shell, failed = self._shell, None
        try:
            transformed = shell.transform_cell(source)
        except Exception:
            transformed, failed = source, sys.exc_info()
        if not shell.should_run_async(source, transformed_cell=transformed, preprocessing_exc_tuple=failed):
            return shell.run_cell(source, store_history=True)
        shell._last_traceback = None
        coroutine = shell.run_cell_async(
            source, store_history=True, transformed_cell=transformed, preprocessing_exc_tuple=failed
        )
        self._task = asyncio.ensure_future(coroutine)
        result = None
        try:
            result = await self._task
        finally:
            shell.events.trigger("post_execute")
            shell.events.trigger("post_run_cell", result)
        return result

    def _outcome(self, result: Any) -> dict[str, Any]:
        error = result.error_before_exec or result.error_in_exec
        during_display = getattr(self._shell, "_last_traceback_during_displayhook", False)
        if error is None and not during_display:
            return {"status": "ok"}
        lines = [line for line in self._shell._last_traceback or [] if isinstance(line, str)]
        try:
            value = str(error)
        except BaseException:  # the notebook's own exception class may raise anything here
            value = ""
        return _error(type(error).__name__ if error is not None else "Error", value, lines)

    @staticmethod
    def _mend_streams() -> None:
        """A cell that closed stdout must not cost the next ones their answers: displays flush it first."""
        try:
            os.fstat(1), os.fstat(2)
            if not (sys.stdout.closed or sys.stderr.closed):
                return
        except (OSError, AttributeError):
            pass
        _open_streams()


def _error(name: str, value: str, traceback: list[str]) -> dict[str, Any]:
    """An error as the grader reads it, cut to a size that its frame limit lets pass."""
    lines = [line[:4_000] for line in traceback]
    if len(lines) > 12:  # the first frames and the last ones tell most
        lines = [*lines[:4], "[... cut ...]", *lines[-8:]]
    return {"status": "error", "ename": name[:500], "evalue": value[:2_000], "traceback": lines}
