"""The warm server: imports torch once, then forks a supervisor per kernel.

`python -m torchbook.grading.sandbox.server FD ROOT MODULE...` imports the modules, and serves requests on the
inherited socket FD until it ends. Sandboxes build their file system at the empty folder ROOT.
A request is a JSON object with the limits, and four descriptors: the supervisor's socket, the kernel's pipes.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from torchbook.grading.sandbox import kernel
from torchbook.grading.sandbox.supervisor import Confines, supervise
from torchbook.grading.sandbox.view import View

DESCRIPTORS = 4
# Run once before the fork, where the module is loaded: each pays for imports and caches that every submission
# would pay for again. No backward pass: autograd must not have started before a fork.
_WARM_UP = {
    "torch": "import torch\ntorch.nn.Linear(2, 2)(torch.ones(1, 2))",
    "matplotlib.pyplot": "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()",
    "torchbook.exercises": "from torchbook.exercises import answer\nanswer([1])",
}
_WARM_UP_ERROR = "raise ValueError('the first traceback takes long')"


def main(arguments: Sequence[str]) -> None:
    requests = socket.socket(fileno=int(arguments[0]))
    root, preload = arguments[1], arguments[2:]
    view = View.of_this_python()
    try:
        shell = _warm_up(preload)
    except Exception as error:
        requests.send(json.dumps({"error": f"{type(error).__name__}: {error}"[:2000]}).encode())
        return
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors leave no zombies
    requests.send(b"{}")
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, 1 << 16, DESCRIPTORS)
        if not message:
            shutil.rmtree(os.path.dirname(root), ignore_errors=True)  # the grader may have been killed
            return
        if os.fork() == 0:
            requests.close()
            _run_supervisor(json.loads(message), descriptors, view, root, shell)
        for descriptor in descriptors:
            os.close(descriptor)


def _warm_up(preload: Sequence[str]) -> kernel.ZMQInteractiveShell:
    """Import what submissions import, run what they run first, and leave one thread and a fresh shell."""
    for name in preload:
        importlib.import_module(name)
    if "torch" in preload:
        sys.modules["torch"].set_num_threads(1)
    shell = kernel.make_shell()
    silence = io.StringIO()
    shell.display_pub.session.owner = 0  # displays of the warm-up go nowhere
    with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
        for name in preload:
            shell.run_cell(_WARM_UP.get(name, "pass")).raise_error()
        shell.run_cell(_WARM_UP_ERROR)
        shell.run_line_magic("reset", "-f")
    shell.execution_count = 1
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise RuntimeError(f"the warm server has {threads} threads, so it must not fork")
    gc.collect()
    gc.freeze()  # a collection in the child would copy every page that it touches
    return shell


def _run_supervisor(
    request: dict[str, int], descriptors: list[int], view: View, root: str, shell: kernel.ZMQInteractiveShell
) -> NoReturn:
    control, *pipes = descriptors
    confines = Confines(view=view, root=root, **request)
    supervise(socket.socket(fileno=control), confines, _kernel_on(pipes, shell))


def _kernel_on(pipes: list[int], shell: kernel.ZMQInteractiveShell) -> Callable[[], None]:
    """What the innermost process does: put the pipes in their places, close all else, serve."""

    def run() -> None:
        spare = [os.dup2(fd, 100 + place) for place, fd in enumerate(pipes)]
        for fd, place in zip(spare, (kernel.COMMANDS, kernel.FRAMES, kernel.OUTPUT), strict=True):
            os.dup2(fd, place, inheritable=False)
        os.closerange(kernel.OUTPUT + 1, 1 << 10)
        kernel.serve(shell)

    return run


if __name__ == "__main__":
    main(sys.argv[1:])
