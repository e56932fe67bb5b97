"""What the sandbox alone promises: nothing outside can be seen, touched, used up or left behind.

Every attack runs in a real sandbox. Each cell prints what it could do; the test says that it could not.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

import torchbook
from torchbook.grading.protocol import Cell, CellResult, CellState, Limits, RunnerError
from torchbook.grading.sandbox import SandboxRunner, frames, linux, runner, sandbox_available, view

OK, ERROR, TIMEOUT, DIED = CellState.OK, CellState.ERROR, CellState.TIMEOUT, CellState.DIED
MEMORY, OUTPUT, NOT_RUN = CellState.MEMORY, CellState.OUTPUT, CellState.NOT_RUN
ROOT = Path(torchbook.__file__).resolve().parents[1]
ON = "print('on'); answer(1)"
SETUP = "import os, sys, signal, time, subprocess, threading\nfrom torchbook.exercises import answer"

Run = Callable[..., list[CellResult]]
slow = pytest.mark.slow
pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxRunner]:
    available, why_not = sandbox_available()
    if not available:  # a skipped sandbox would be an untested one
        pytest.fail(f"the sandbox cannot be tested here: {why_not}")
    os.environ["TORCHBOOK_TEST_SECRET"] = "hidden"
    with SandboxRunner() as started:
        started.start()
        yield started
    del os.environ["TORCHBOOK_TEST_SECRET"]


@pytest.fixture
def run(sandbox: SandboxRunner) -> Run:
    def run_cells(*sources: str, limits: Limits | None = None, seed: int = 1) -> list[CellResult]:
        cells = [Cell("setup", SETUP)] + [Cell(f"cell {n}", source) for n, source in enumerate(sources)]
        setup, *results = sandbox.run(cells, seed=seed, limits=limits or Limits(cell_seconds=20))
        assert setup.state is OK, setup
        return results

    return run_cells


def states(results: list[CellResult]) -> list[CellState]:
    return [result.state for result in results]


def printed(run: Run, source: str) -> str:
    (result,) = run(source)
    assert result.state is OK, result
    return result.stdout.strip()


# ---------------------------------------------------------------- what it can see


@slow
class TestSight:
    def test_only_python_and_an_own_tmpfs_exist(self, run: Run, tmp_path: Path) -> None:
        secret = tmp_path / "key.txt"
        secret.write_text("the key")
        paths = [secret, Path.home() / ".bashrc", ROOT / "solutions", ROOT / "tests", ROOT / "pyproject.toml"]
        paths += [Path(path) for path in ("/home", "/var/log", "/run", "/mnt", "/boot", "/etc/shadow", "/srv")]
        assert printed(run, f"print([p for p in {[str(p) for p in paths]} if os.path.exists(p)])") == "[]"

    def test_the_package_is_there_but_not_the_grader(self, run: Run) -> None:
        package = ROOT / "torchbook"
        assert printed(run, f"print(os.listdir({str(package / 'grading')!r}))") == "[]"
        assert "exercises.py" in printed(run, f"print(os.listdir({str(package)!r}))")

    def test_a_checkout_below_a_shown_folder_is_covered(self) -> None:
        shown = view.View(shown=("/opt", "/opt/book/torchbook"), hidden=("/opt/book", "/opt/book/torchbook/grading"))
        assert shown.mounts() == [
            ("/opt", True),
            ("/opt/book", False),
            ("/opt/book/torchbook", True),
            ("/opt/book/torchbook/grading", False),
        ]

    def test_nothing_but_tmp_can_be_written(self, run: Run) -> None:
        folders = ["/", "/usr", "/etc", "/dev", sys.prefix, str(ROOT / "torchbook"), "/proc/sys/kernel"]
        source = (
            "could = []\n"
            f"for folder in {folders}:\n"
            "    try: open(folder + '/planted', 'w'); could.append(folder)\n"
            "    except OSError: pass\n"
            "print(could, open('/tmp/here', 'w').write('x'))"
        )
        assert printed(run, source) == "[] 1"

    def test_only_tmp_is_mounted_to_be_written(self, run: Run) -> None:
        """Holds where the sandbox's user owns the files below, too: an unprivileged grader's own ones."""
        mounts = printed(run, "print(open('/proc/self/mounts').read())")
        writable = {line.split()[1] for line in mounts.splitlines() if not line.split()[3].startswith("ro,")}
        devices = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "pts")}
        assert writable == {"/tmp", "/proc"} | devices

    def test_the_grader_s_environment_stays_outside(self, run: Run) -> None:
        assert os.environ["TORCHBOOK_TEST_SECRET"] == "hidden"
        source = "print('hidden' in str(os.environ), 'hidden' in open('/proc/self/environ').read())"
        assert printed(run, source) == "False False"

    def test_no_process_outside_is_visible(self, run: Run) -> None:
        seen = printed(run, "print(sorted(int(p) for p in os.listdir('/proc') if p.isdigit()))")
        assert seen == "[1, 2]"

    def test_there_is_no_network(self, run: Run) -> None:
        connect = """
import socket
try: socket.create_connection(('127.0.0.1', {port}), 1)
except OSError: print('no')
"""
        with socket.create_server(("127.0.0.1", 0)) as server:
            assert printed(run, connect.format(port=server.getsockname()[1])) == "no"
        assert printed(run, "print(open('/proc/net/dev').read().count(':'))") == "1"  # lo, and it is down

    def test_abstract_sockets_outside_are_out_of_reach(self, run: Run) -> None:
        name = "\0torchbook-test"
        connect = f"""
import socket
try: socket.socket(socket.AF_UNIX).connect({name!r})
except OSError: print('no')
"""
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(name)
            server.listen()
            assert printed(run, connect) == "no"

    def test_no_descriptor_leads_outside(self, run: Run) -> None:
        source = """
for n in os.listdir('/proc/self/fd')[:-1]:
    print(os.readlink(f'/proc/self/fd/{n}').split(':')[0])
"""
        # Pipes to the grader, /dev/null, and what asyncio's own loop needs.
        assert set(printed(run, source).split()) <= {"pipe", "/dev/null", "anon_inode", "socket"}

    def test_submissions_share_nothing_but_the_start(self, run: Run) -> None:
        run("open('/tmp/left', 'w').write('x')\nimport json; json.left = 1; os.environ['LEFT'] = 'x'")
        source = "import json\nprint(os.path.exists('/tmp/left'), hasattr(json, 'left'), 'LEFT' in os.environ)"
        assert printed(run, source) == "False False False"

    def test_generators_start_from_the_seed(self, run: Run) -> None:
        source = "import random, numpy, torch\nprint(random.random(), numpy.random.rand(), torch.rand(1).item())"
        draws = [run(source, seed=seed)[0].stdout for seed in (1, 1, 2)]
        assert draws[0] == draws[1]
        assert not set(draws[0].split()) & set(draws[2].split())

    def test_memory_holds_nothing_of_earlier_submissions(self, run: Run) -> None:
        """Count a text in all memory: cells that use it, in other submissions, must not change the count."""
        search = """
needle, found = b'needle-' + b'earlier' * 3, 0
for line in open('/proc/self/maps'):
    start, end = (int(x, 16) for x in line.split()[0].split('-'))
    if 'rw' in line:
        with open('/proc/self/mem', 'rb', 0) as memory:
            memory.seek(start)
            found += memory.read(end - start).count(needle)
print(found)
"""
        # The search meets its own source, and copies of it that Python has freed: a few more or less each time.
        alone = [int(printed(run, search)) for _ in range(4)]
        for _ in range(3):
            run("kept = ['needle-' + 'earlier' * 3 for _ in range(1000)]", "# needle-earlierearlierearlier")
        assert min(alone) > 0  # the search finds its own
        assert min(int(printed(run, search)) for _ in range(4)) <= max(alone)  # what leaked would be there each time


# ---------------------------------------------------------------- what it can do


@slow
class TestRights:
    def test_it_is_nobody_without_capabilities(self, run: Run) -> None:
        status = printed(run, "print(os.getuid(), os.geteuid(), open('/proc/self/status').read())")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert status.startswith("65534 65534")
        assert {fields[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
        assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")

    @pytest.mark.parametrize(
        "call",
        ["os.unshare(0x10000000)", "libc.unshare(0x10000000)", "libc.mount(b'x', b'/tmp', b'tmpfs', 0, 0)",
         "libc.ptrace(16, 1, 0, 0)", "libc.memfd_create(b'x', 0)", "libc.shmget(0, 4096, 0o1600)",
         "libc.syscall(425, 8, 0)", "libc.setuid(0)", "libc.chroot(b'/tmp')", "libc.keyctl(0, -3, 1)"],
    )  # fmt: skip
    def test_dangerous_calls_are_refused(self, run: Run, call: str) -> None:
        source = f"""
import ctypes
libc = ctypes.CDLL(None)
try: print({call} == -1)
except (OSError, AttributeError): print(True)
"""
        assert printed(run, source) == "True"

    def test_other_socket_families_are_refused(self, run: Run) -> None:
        source = """
import socket
for family in (16, 38, 40):  # netlink, crypto, the hypervisor's
    try: print(socket.socket(family, socket.SOCK_RAW))
    except OSError as e: print(e.errno)
"""
        assert set(printed(run, source).split()) == {"97"}

    def test_it_cannot_kill_or_stop_what_supervises_it(self, run: Run) -> None:
        results = run(
            "for s in (9, 15, 19, 2): os.kill(os.getppid(), s)",
            "time.sleep(0.2)",
            "try: os.kill(-1, 9)\nexcept OSError: pass",
            ON,
        )
        # The SIGINT comes back to it: an interrupt of its own cell.
        assert states(results)[2:] == [OK, OK], results
        assert results[3].answers == [{"value": 1}]

    def test_killing_its_group_kills_only_itself(self, run: Run, sandbox: SandboxRunner) -> None:
        assert printed(run, "print(os.getpid() == os.getpgrp() == os.getsid(0))") == "True"
        for kill in ("os.kill(0, 9)", "os.killpg(os.getpgrp(), 9)"):
            assert states(run(kill, ON)) == [DIED, NOT_RUN]
        assert printed(run, "print(1)") == "1"

    def test_reading_and_writing_its_init_is_refused(self, run: Run) -> None:
        source = """
for name in ('mem', 'environ', 'maps'):
    try: open(f'/proc/1/{name}', 'rb').read(1)
    except OSError: print('no')
"""
        assert printed(run, source).split() == ["no"] * 3


# ---------------------------------------------------------------- what it can use up

SHARED_HOG = """
import mmap
blocks = []
while True:
    blocks.append(mmap.mmap(-1, 20_000_000))
    blocks[-1].write(b'x' * 20_000_000)
"""
FAMILY_HOG = """
for n in range(9):
    if os.fork() == 0:
        block = os.urandom(100_000_000)
        time.sleep(60)
time.sleep(60)
"""


@slow
class TestResources:
    def test_disk(self, run: Run) -> None:
        source = (
            "written = 0\n"
            "try:\n"
            "    for n in range(100):\n"
            "        with open(f'/tmp/{n}', 'wb') as f:\n"
            "            for _ in range(8): written += f.write(bytes(1_000_000))\n"
            "except OSError as e: print(written // 1_000_000, e.strerror)"
        )
        (result,) = run(source, ON, limits=Limits(cell_seconds=20, file_mb=16))[:1]
        megabytes, reason = result.stdout.split(None, 1)
        assert 50 <= int(megabytes) <= 68
        assert "No space" in reason

    def test_one_file(self, run: Run) -> None:
        source = "f = open('/tmp/f', 'wb')\nfor _ in range(30): f.write(bytes(1_000_000))"
        result, after = run(source, ON, limits=Limits(file_mb=16))
        assert "File too large" in result.error_value
        assert after.state is OK

    def test_inodes(self, run: Run) -> None:
        source = """
try:
    for n in range(10**6): open(f'/tmp/{n}', 'w').close()
except OSError: print(n < 20_000)
"""
        assert printed(run, source) == "True"

    def test_processes(self, run: Run) -> None:
        bomb = (
            "children = 0\n"
            "try:\n"
            "    while True:\n"
            "        if os.fork() == 0: time.sleep(60); os._exit(0)\n"
            "        children += 1\n"
            "except OSError: print(children)"
        )
        result, after = run(bomb, ON, limits=Limits(cell_seconds=20, processes=20))
        assert 10 <= int(result.stdout) <= 20
        assert after.state is OK

    def test_a_fork_bomb(self, run: Run) -> None:
        results = run("while True:\n    try: os.fork()\n    except OSError: pass", limits=Limits(cell_seconds=1))
        assert states(results) == [TIMEOUT]
        assert results[0].seconds < 15

    @pytest.mark.parametrize(
        "hog",
        [
            "block = bytearray(400_000_000)",
            "import torch; x = torch.ones(100_000_000)",
            "import numpy; x = numpy.ones(10**12)",
        ],
    )
    def test_too_large_an_allocation_fails_and_the_kernel_lives(self, run: Run, hog: str) -> None:
        result, after = run(hog, ON, limits=Limits(memory_mb=200))
        assert states([result, after]) == [MEMORY, OK]

    @pytest.mark.parametrize("hog", [SHARED_HOG, FAMILY_HOG])
    def test_memory_that_no_single_limit_sees_is_added_up(self, run: Run, hog: str) -> None:
        result, after = run(hog, ON, limits=Limits(memory_mb=200))
        assert states([result, after]) == [MEMORY, NOT_RUN]

    def test_unreadable_processes_are_counted_too(self, run: Run) -> None:
        hog = "import ctypes\nctypes.CDLL(None).prctl(4, 0, 0, 0, 0)" + SHARED_HOG
        assert states(run(hog, limits=Limits(memory_mb=200))) == [MEMORY]

    def test_memory_that_processes_share_counts_once(self, run: Run) -> None:
        source = """
block = os.urandom(100_000_000)
for _ in range(6):
    if os.fork() == 0: time.sleep(1); os._exit(0)
time.sleep(0.5)
"""
        result, after = run(source, ON, limits=Limits(memory_mb=200))
        assert states([result, after]) == [OK, OK]

    def test_ordinary_training_with_workers_stays_below_the_limit(self, run: Run) -> None:
        source = (
            "import torch\nfrom torch.utils.data import DataLoader, TensorDataset\n"
            "data = TensorDataset(torch.randn(64, 8), torch.randn(64, 1))\n"
            "model = torch.nn.Linear(8, 1); optimizer = torch.optim.Adam(model.parameters())\n"
            "for x, y in DataLoader(data, batch_size=16, num_workers=2):\n"
            "    optimizer.zero_grad(); ((model(x) - y) ** 2).mean().backward(); optimizer.step()\n"
            "print('trained')"
        )
        assert printed(run, source) == "trained"


# ---------------------------------------------------------------- how it ends


@slow
class TestHostileEndings:
    @pytest.mark.parametrize(
        "sabotage",
        [
            "sys.stdout.close(); sys.stderr.close()",
            "os.close(1); os.close(2)",
            "sys.stdout = sys.stderr = None",
            "import builtins; builtins.input = None; builtins.print = None",
            "threading.Thread(target=time.sleep, args=(99,)).start()",
            "pid = os.fork()",
            "get_ipython().display_pub.publish = None; exit()",
            "sys.setrecursionlimit(50)",
            "os.chdir('/'); import shutil; shutil.rmtree('/tmp/work')",
        ],
    )
    def test_an_honest_question_after_sabotage_still_runs(self, run: Run, sabotage: str) -> None:
        results = run(sabotage, "1 + 1")
        assert states(results)[1] in (OK, ERROR)  # it ran, whatever it met

    def test_answers_survive_a_closed_stdout(self, run: Run) -> None:
        for sabotage in ("sys.stdout.close()", "os.close(1); os.close(2)", "pid = os.fork()"):
            assert run(sabotage, "answer(1)")[1].answers == [{"value": 1}]

    @pytest.mark.parametrize(
        "sabotage",
        [
            "os.closerange(3, 99)",
            "os.write(4, b'nonsense')",
            "for fd in range(3, 60):\n    try: os.write(fd, os.urandom(1000))\n    except OSError: pass",
            "import asyncio; asyncio.get_running_loop().stop()",
            "os.write(4, b'D' + (0).to_bytes(4, 'big'))",
            "os.write(4, b'A' + (2**32 - 1).to_bytes(4, 'big'))",
            "os.write(4, b'D' + (5).to_bytes(4, 'big') + b'[1,2]')",
        ],
    )
    def test_a_broken_connection_hurts_nobody_else(self, run: Run, sabotage: str) -> None:
        started = time.monotonic()
        results = run(sabotage, "print('on')", limits=Limits(cell_seconds=1))
        assert OK not in states(results)[:1] or states(results)[1] in (DIED, NOT_RUN, ERROR)
        assert time.monotonic() - started < 12
        assert printed(run, "print(1)") == "1"

    def test_output_stays_with_its_cell_however_large_the_pipe(self, run: Run) -> None:
        enlarge = "import fcntl; fcntl.fcntl(1, 1031, 1 << 20)\nos.write(1, b'x' * 500_000);"
        large, after = run(enlarge, "print('on')")
        assert large.stdout.startswith("xxx")
        assert after.stdout == "on\n"

    def test_output_of_c_code_and_of_programs_is_seen(self, run: Run) -> None:
        source = "os.write(1, b'below\\n'); subprocess.run(['echo', 'program'])"
        assert printed(run, source).split() == ["below", "program"]

    def test_no_process_is_left_when_run_returns(self, run: Run, sandbox: SandboxRunner) -> None:
        server = psutil.Process(sandbox._server._process.pid)
        run("subprocess.Popen(['sleep', '99'], start_new_session=True)\nif os.fork() == 0: time.sleep(99)")
        assert [inside for supervisor in server.children() for inside in supervisor.children()] == []
        # The supervisor itself ends just after its last word.
        assert wait_for(lambda: not server.children(), 2)

    def test_killing_the_grader_ends_the_sandboxes(self, tmp_path: Path) -> None:
        mark = f"{os.getpid()}.25"
        script = (
            "from torchbook.grading.sandbox import SandboxRunner\n"
            "from torchbook.grading.protocol import Cell\n"
            f"source = \"import subprocess; subprocess.run(['sleep', '{mark}'])\"\n"
            "SandboxRunner(preload=()).run([Cell('c', source)], seed=1)\n"
        )
        grader = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)})
        try:
            assert wait_for(lambda: processes(["sleep", mark]), 60)
            grader.kill()
            assert wait_for(lambda: not processes(["sleep", mark]), 5)
            assert wait_for(lambda: not [p for p in psutil.process_iter() if is_server_below(p, tmp_path)], 5)
            assert wait_for(lambda: not list(tmp_path.iterdir()), 5)
        finally:
            grader.kill()
            grader.wait()

    def test_killing_the_supervisor_ends_its_sandbox_alone(self, sandbox: SandboxRunner) -> None:
        mark = f"{os.getpid()}.75"

        def kill_the_supervisor() -> None:
            if wait_for(lambda: processes(["sleep", mark]), 20):
                family = [processes(["sleep", mark])[0], *processes(["sleep", mark])[0].parents()]
                server = next(i for i, p in enumerate(family) if p.pid == sandbox._server._process.pid)
                family[server - 1].kill()

        killer = threading.Thread(target=kill_the_supervisor)
        killer.start()
        cells = [Cell("c", f"import subprocess; subprocess.run(['sleep', '{mark}'])"), Cell("d", "1")]
        assert states(sandbox.run(cells, seed=1)) == [DIED, NOT_RUN]
        killer.join()
        assert wait_for(lambda: not processes(["sleep", mark]), 5)
        assert sandbox.run([Cell("c", "1")], seed=1)[0].state is OK

    def test_a_server_that_was_killed_is_started_again(self) -> None:
        with SandboxRunner(preload=()) as fresh:
            fresh.start()
            os.kill(fresh._server._process.pid, signal.SIGKILL)
            assert wait_for(lambda: not fresh._server.alive(), 5)
            assert fresh.run([Cell("c", "print(1)")], seed=1)[0].stdout == "1\n"

    def test_a_server_that_dies_over_a_request_is_started_again(self) -> None:
        with SandboxRunner(preload=()) as fresh:
            fresh.start()
            server = fresh._server._process.pid
            os.kill(server, signal.SIGSTOP)  # it will not answer the request
            killer = threading.Timer(0.5, os.kill, (server, signal.SIGKILL))
            killer.start()
            assert fresh.run([Cell("c", "print(1)")], seed=1)[0].stdout == "1\n"
            killer.join()

    def test_closing_twice_and_reopening(self) -> None:
        closed = SandboxRunner()
        closed.close()
        closed.close()

    def test_files_that_do_not_fit_are_the_runner_s_error(self, sandbox: SandboxRunner) -> None:
        with pytest.raises(RunnerError, match="could not be written"):
            sandbox.run([Cell("c", "1")], seed=1, limits=Limits(file_mb=1), files={"big": bytes(2_000_000)})


def processes(command: list[str]) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == command]


def is_server_below(process: psutil.Process, folder: Path) -> bool:
    try:
        return any(part.startswith(str(folder)) for part in process.cmdline())
    except psutil.Error:
        return False


def wait_for(condition: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


# ---------------------------------------------------------------- many, and not as root


@slow
def test_many_runs_leak_nothing_and_stay_as_fast(sandbox: SandboxRunner) -> None:
    cells = [Cell("c", "import torch; print(torch.ones(3).sum())")]
    sandbox.run(cells, seed=1)
    server, grader = psutil.Process(sandbox._server._process.pid), psutil.Process()

    def counts() -> tuple[int, ...]:
        wait_for(lambda: not server.children(), 2)
        return (
            server.num_fds(),
            grader.num_fds(),
            grader.num_threads(),
            len(server.children()),
            server.num_threads(),
        )

    def batch() -> float:
        started = time.monotonic()
        for _ in range(12):
            assert sandbox.run(cells, seed=1)[0].state is OK
        return (time.monotonic() - started) / 12

    before, memory = counts(), server.memory_info().rss
    first, second = batch(), batch()
    assert counts() == before
    assert server.memory_info().rss - memory < 5_000_000
    assert first < 0.6
    assert second < 2 * first + 0.1


UNPRIVILEGED = """
mkdir -p {hold} && mount --rbind {base} {hold} && mount -t tmpfs -o mode=755 none {covered}
mkdir -p {base} && mount --rbind {hold} {base}
exec setpriv --reuid 12345 --regid 12345 --clear-groups {python} -c '{script}'
"""
TRIAL_SCRIPT = (
    "from torchbook.grading.sandbox import SandboxRunner, sandbox_available\n"
    "from torchbook.grading.protocol import Cell\n"
    "print(sandbox_available())\n"
    "with SandboxRunner(preload=()) as runner:\n"
    '    source = "import os\\nprint(os.getuid(), sorted(os.listdir(\\"/proc\\"))[:2], os.listdir(\\".\\"))"\n'
    '    print(runner.run([Cell("c", source), Cell("d", "b = bytearray(10**10)")], seed=1))\n'
)


@slow
def test_it_works_for_an_ordinary_user(tmp_path: Path) -> None:
    """As root, drop to another user first; all other tests here have then run as root."""
    command = [sys.executable, "-c", TRIAL_SCRIPT]
    if os.geteuid() == 0:
        script = TRIAL_SCRIPT.replace("'", "'\\''")
        covered = "/" + Path(sys.base_prefix).parts[1]
        shell = UNPRIVILEGED.format(
            hold=tmp_path / "base",
            base=sys.base_prefix,
            covered=covered,
            python=sys.executable,
            script=script,
        )
        if os.access(sys.base_prefix, os.X_OK) and _world_readable(Path(sys.base_prefix)):
            shell = shell.strip().rpartition("\n")[2]
        command = ["unshare", "--mount", "sh", "-ec", shell]
    env = {"PATH": os.environ["PATH"], "TMPDIR": "/tmp"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd="/", env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "(True, '')" in done.stdout
    assert "65534 ['1', '2'] []" in done.stdout
    assert "out of memory" in done.stdout


def _world_readable(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o005 == 0o005 for parent in [path, *path.parents])


# ---------------------------------------------------------------- without a kernel


class TestFrames:
    LIMITS: ClassVar = {b"A": 10, b"D": 5}

    def read(self, data: bytes, step: int) -> list[tuple[bytes, bytes | None, int]]:
        reader = frames.FrameReader(self.LIMITS)
        return [f for i in range(0, len(data), step) for f in reader.feed(data[i : i + step])]

    @pytest.mark.parametrize("step", [1, 2, 3, 7, 100])
    def test_frames_arrive_whole_however_they_are_cut(self, step: int) -> None:
        data = frames.frame(b"A", b"12345") + frames.frame(b"A", b"x" * 11) + frames.frame(b"D", b"")
        assert self.read(data, step) == [(b"A", b"12345", 5), (b"A", None, 11), (b"D", b"", 0)]

    def test_a_payload_above_the_limit_is_never_kept(self) -> None:
        reader = frames.FrameReader(self.LIMITS)
        list(reader.feed(b"A" + (2**32 - 1).to_bytes(4, "big")))
        for _ in range(1000):
            assert list(reader.feed(bytes(10_000))) == []
        assert len(reader._buffer) == 0

    def test_an_unknown_kind_is_an_error(self) -> None:
        with pytest.raises(frames.ProtocolError):
            self.read(frames.frame(b"Z", b""), 100)


def test_the_filter_covers_both_architectures() -> None:
    x86, arm = linux.seccomp_program("x86_64"), linux.seccomp_program("aarch64")
    assert x86 is not None
    assert arm is not None
    assert len(x86) % 8 == len(arm) % 8 == 0
    assert linux.seccomp_program("riscv64") is None


def test_where_there_is_no_sandbox_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    available, why = runner.sandbox_available.__wrapped__()
    assert (available, why) == (False, "The sandbox needs Linux, for its namespaces.")


@slow
def test_a_machine_that_forbids_namespaces_is_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho 'unshare: Operation not permitted'\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    available, why = runner.sandbox_available.__wrapped__()
    assert not available
    assert "unshare: Operation not permitted" in why
    monkeypatch.setattr(runner, "sandbox_available", lambda: (available, why))
    with pytest.raises(RunnerError, match="does not allow a sandbox"):
        SandboxRunner().run([Cell("c", "1")], seed=1)
