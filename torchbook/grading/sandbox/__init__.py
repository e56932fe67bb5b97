"""Runs cells of people that nobody vouches for: a forked, pre-warmed kernel in Linux namespaces of its own.

    grader ──────────────> warm server ──fork──> supervisor ──fork──> init ──fork──> kernel
    runner.py              server.py            supervisor.py                    kernel.py

The supervisor stays outside: it interrupts, kills, and watches the memory. Init and kernel live inside, with
a root, processes and a network of their own.

The warm server has imported torch, and has one thread, so it may fork. It never sees a cell: the grader talks
to each kernel over pipes that the server only passes on, so nothing of one submission, and nothing of the
answer key, is in the memory that the next kernel inherits.

One `SandboxRunner` has one warm server and may be used from several threads at once; each call of `run` has a
kernel of its own. Two jobs are two threads on one runner.

What confines the kernel: user, process, mount, network, IPC, UTS and cgroup namespaces; a root of its own
with the Python installation, read-only, and one small tmpfs; no capabilities, no_new_privs; a seccomp filter;
resource limits; and a supervisor that adds up the memory of all its processes. What does not: a hole in Linux
itself is open to the kernel, and its processes may keep every processor busy until the time limit.
"""

from torchbook.grading.sandbox.runner import SandboxRunner, sandbox_available

__all__ = ["SandboxRunner", "sandbox_available"]
