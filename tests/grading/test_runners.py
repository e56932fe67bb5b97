"""What both runners promise (torchbook/grading/protocol.py), with real kernels."""

from __future__ import annotations

import gc
import json
import os
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from torchbook.grading.local import LocalRunner
from torchbook.grading.protocol import ANSWER_MIME, Cell, CellResult, CellState, Limits, Runner
from torchbook.grading.record import Budget, Record, parse_answer, plain
from torchbook.grading.sandbox import SandboxRunner, sandbox_available

ORDINARY = Limits(cell_seconds=20)
QUICK = Limits(cell_seconds=1.0)
SHOW = "from IPython.display import display\nfrom torchbook.exercises import answer\n"

Run = Callable[..., list[CellResult]]


@pytest.fixture(scope="module", params=["local", "sandbox"])
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    if request.param == "sandbox":
        available, why_not = sandbox_available()
        if not available:  # a skipped sandbox would be an untested one
            pytest.fail(f"the sandbox cannot be tested here: {why_not}")
    chosen = LocalRunner() if request.param == "local" else SandboxRunner()
    yield chosen
    chosen.close()


@pytest.fixture
def run(runner: Runner) -> Run:
    def run_cells(*sources: str, limits: Limits = ORDINARY, seed: int = 1, **kwargs: object) -> list[CellResult]:
        cells = [Cell(f"cell {number}", source) for number, source in enumerate(sources)]
        results = runner.run(cells, seed=seed, limits=limits, **kwargs)
        assert [result.name for result in results] == [cell.name for cell in cells]
        return results

    return run_cells


def states(results: list[CellResult]) -> list[CellState]:
    return [result.state for result in results]


OK, ERROR, TIMEOUT, DIED = CellState.OK, CellState.ERROR, CellState.TIMEOUT, CellState.DIED
MEMORY, OUTPUT, NOT_RUN = CellState.MEMORY, CellState.OUTPUT, CellState.NOT_RUN

slow = pytest.mark.slow
pytestmark = pytest.mark.alone


@slow
class TestOrdinaryCells:
    def test_a_notebook_as_jupyter_runs_it(self, run: Run) -> None:
        results = run(
            "import os, sys\nx = 2",
            "print('out', x); print('err', file=sys.stderr)",
            "!echo from a shell",
            "import asyncio\nawait asyncio.sleep(0.01)\nprint('awaited')",
            "%%time\npass",
            "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
            "asyncio.run(asyncio.sleep(0))",
            "x + 1",
            "assert _ == 3 and Out[8] == 3 and __name__ == '__main__'",
        )
        assert states(results) == [OK] * 6 + [ERROR, OK, OK]
        assert results[1].stdout.splitlines() == ["out 2", "err"]
        assert [results[i].stdout.strip() for i in (2, 3)] == ["from a shell", "awaited"]
        assert "Wall time" in results[4].stdout
        assert "event loop" in results[6].error_value  # a cell already runs in one, as in Jupyter

    def test_answers_are_collected_per_cell(self, run: Run) -> None:
        results = run(
            SHOW + "answer([1, 2.5]); answer({'a': None})",
            "answer(float('nan'))",
            "display({'text/plain': 'no answer'}, raw=True)",
            "import torch\nanswer(torch.arange(3))",
        )
        assert states(results) == [OK] * 4
        nan = [{"value": {"$float": "nan"}}]
        assert [r.answers for r in results[:3]] == [
            [{"value": [1, 2.5]}, {"value": {"$dict": [["a", None]]}}],
            nan,
            [],
        ]
        assert results[3].answers[0]["value"]["$array"]["data"] == [0, 1, 2]

    def test_an_error_is_told_in_plain_text_and_the_next_cells_run(self, run: Run) -> None:
        error, syntax, after = run("def f():\n    return 1 / 0\nf()", "def f(:", "print('on')")
        assert states([error, syntax, after]) == [ERROR, ERROR, OK]
        assert (error.error_name, error.error_value) == ("ZeroDivisionError", "division by zero")
        assert "return 1 / 0" in error.traceback
        assert "\x1b" not in error.traceback
        assert syntax.error_name == "SyntaxError"

    def test_seed_files_and_folder(self, run: Run) -> None:
        files = {"data/a.bin": b"\x00\xff", "b.txt": b"text"}
        (result,) = run(
            "import os, pathlib\nprint(os.environ['TORCHBOOK_SEED'])\n"
            "print(sorted(str(p) for p in pathlib.Path('.').rglob('*')))\n"
            "print(pathlib.Path('data/a.bin').read_bytes())\n"
            "pathlib.Path('new').write_text('x')",
            seed=2**40,
            files=files,
        )
        assert result.stdout.splitlines() == [str(2**40), "['b.txt', 'data', 'data/a.bin']", r"b'\x00\xff'"]
        (again,) = run("import os; print(os.listdir())")
        assert again.stdout.strip() == "[]"

    @pytest.mark.parametrize("name", ["../up", "/etc/x", "a/../../b", "c:\\x", "", "a\\b"])
    def test_a_file_name_that_escapes_is_refused(self, run: Run, name: str) -> None:
        with pytest.raises(ValueError, match="relative path"):
            run("pass", files={name: b""})

    def test_input_is_refused(self, run: Run) -> None:
        results = run("input('name? ')", "import getpass; getpass.getpass()", "import sys\nprint(sys.stdin.read())")
        assert states(results) == [ERROR, ERROR, OK]
        assert {r.error_name for r in results[:2]} == {"StdinNotImplementedError"}

    def test_the_user_s_ipython_profile_is_not_read(self, run: Run, tmp_path, monkeypatch) -> None:
        startup = tmp_path / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "00.py").write_text("planted = True")
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
        (result,) = run("planted")
        assert result.error_name == "NameError"

    def test_threads_may_share_a_runner(self, runner: Runner) -> None:
        outputs: dict[int, str] = {}

        def work(number: int) -> None:
            (result,) = runner.run([Cell("c", f"import time; time.sleep(0.2); print({number})")], seed=1)
            outputs[number] = result.stdout.strip()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert outputs == {0: "0", 1: "1", 2: "2"}


IGNORES_INTERRUPTS = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: time.sleep(1)"
SWALLOWS_INTERRUPTS = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"


@slow
class TestEndings:
    @pytest.mark.parametrize("loop", ["while True: pass", "import time; time.sleep(60)"])
    def test_a_cell_past_its_time_is_interrupted_and_the_next_runs(self, run: Run, loop: str) -> None:
        late, after = run(loop, "print('on')", limits=QUICK)
        assert states([late, after]) == [TIMEOUT, OK]
        assert 0.9 < late.seconds < 4

    def test_a_cell_that_awaits_past_its_time_ends_too(self, run: Run, runner: Runner) -> None:
        late, after = run("import asyncio\nawait asyncio.sleep(60)", "print('on')", limits=QUICK)
        assert (late.state, late.seconds < 6) == (TIMEOUT, True)
        # An interrupt while a cell awaits ends the main loop of some versions of ipykernel; ours goes on.
        assert after.state is OK or (after.state is NOT_RUN and isinstance(runner, LocalRunner))

    @pytest.mark.parametrize("loop", [IGNORES_INTERRUPTS, "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"])
    def test_a_kernel_that_ignores_the_interrupt_is_killed(self, run: Run, loop: str) -> None:
        results = run(loop, "print('on')", limits=QUICK)
        assert states(results) == [TIMEOUT, NOT_RUN]
        assert results[0].seconds < 8

    def test_a_loop_that_swallows_the_interrupt_ends_all_the_same(self, run: Run) -> None:
        results = run(SWALLOWS_INTERRUPTS, limits=QUICK)
        assert states(results) == [TIMEOUT]
        assert results[0].seconds < 8

    def test_the_whole_notebook_has_a_time_limit_too(self, run: Run) -> None:
        results = run(*["import time; time.sleep(0.7)"] * 4, limits=Limits(cell_seconds=5, total_seconds=1.0))
        assert states(results)[-2:] == [NOT_RUN, NOT_RUN]
        assert TIMEOUT in states(results)

    @pytest.mark.parametrize(
        "end",
        [
            "import os; os._exit(0)",
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "import ctypes; ctypes.string_at(0)",
            "import os; os.abort()",
        ],
    )
    def test_death_is_noticed_at_once(self, run: Run, end: str) -> None:
        results = run("from torchbook.exercises import answer\nanswer(1)", end, "print('on')", limits=Limits())
        assert states(results) == [OK, DIED, NOT_RUN]
        assert results[1].seconds < 3
        assert results[0].answers
        assert results[1].notes

    def test_leaving_by_an_exception_is_an_error(self, run: Run) -> None:
        results = run("import sys; sys.exit(0)", "raise KeyboardInterrupt", "raise SystemExit", "print('on')")
        assert states(results) == [ERROR, ERROR, ERROR, OK]

    def test_too_much_memory(self, run: Run) -> None:
        limits = Limits(cell_seconds=20, memory_mb=300)
        (result,) = run("blocks = []\nwhile True: blocks.append(bytearray(10_000_000))", limits=limits)
        assert result.state is MEMORY

    def test_nothing_is_left_running(self, run: Run) -> None:
        before = {process.pid for process in psutil.process_iter()}
        results = run(
            "import subprocess, threading, time, atexit, os\n"
            "subprocess.Popen(['sleep', '987.5'])\n"
            "subprocess.Popen(['sleep', '987.5'], start_new_session=True)\n"
            "subprocess.run('sleep 987.5 &', shell=True)\n"
            "threading.Thread(target=time.sleep, args=(987,)).start()\n"
            "atexit.register(time.sleep, 987)",
            limits=Limits(),
        )
        assert states(results) == [OK]
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and sleepers(before):
            time.sleep(0.05)
        assert not sleepers(before)


def sleepers(before: set[int]) -> list[int]:
    """New processes that run `sleep 987.5`."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if process.pid not in before and "987.5" in (process.info["cmdline"] or []):
            found.append(process.pid)
    return found


@slow
class TestFloods:
    LIMITS = Limits(cell_seconds=10, output_bytes=100_000, answer_bytes=50_000)

    @pytest.mark.parametrize(
        "flood",
        [
            "while True: print('x' * 1000)",
            "import os\nwhile True: os.write(2, b'x' * 10_000)",
            "while True: display('x' * 10_000)",
            "import subprocess; subprocess.run(['yes'])",
        ],
    )
    def test_output_is_capped_and_the_next_question_goes_on(self, run: Run, flood: str) -> None:
        setup, flooded, after = run(SHOW, flood, "print('on'); answer(1)", limits=self.LIMITS)
        assert states([setup, flooded]) == [OK, OUTPUT]
        assert len(flooded.stdout) < 10_000
        assert flooded.seconds < 8
        if after.state is OK:  # unless the flood had to be killed
            assert after.answers == [{"value": 1}]
        else:
            assert after.state is NOT_RUN

    def test_answers_are_capped(self, run: Run) -> None:
        big = f"display({{'{ANSWER_MIME}': 'x' * 100_000}}, raw=True)"
        results = run(SHOW + big, "answer([1])", f"while True: {big}", "answer([2])", limits=self.LIMITS)
        *first, last = results
        assert states(first) == [OUTPUT, OK, OUTPUT]
        assert [r.answers for r in first] == [[], [{"value": [1]}], []]
        # A flood that does not stop in time costs the kernel; the grader then replays the rest in a fresh one.
        assert (last.state, last.answers) in [(OK, [{"value": [2]}]), (NOT_RUN, [])]

    def test_ordinary_output_is_cut_for_feedback_only(self, run: Run) -> None:
        (result,) = run("print('a' * 3000)\nprint('b' * 30_000)", limits=Limits(output_bytes=100_000))
        assert result.state is OK
        assert 3000 < len(result.stdout) < 5000


class TestRecord:
    """What the grader does with what comes out of a kernel; no kernel needed."""

    @pytest.mark.parametrize(
        "payload",
        [
            b"[" * 100_000,
            b"[" * 3000 + b"]" * 3000,
            b"{",
            b"",
            b"\xff\xfe",
            b'"\\ud800"',
            b"9" * 5000,
            b"[1] [2]",
        ],
    )
    def test_unsound_answers_are_left_out_with_a_note(self, payload: bytes) -> None:
        record = Record("cell", Budget(Limits()))
        record.answer(payload)
        result = record.result()
        assert (result.state, result.answers, len(result.notes)) == (OK, [], 1)

    def test_many_small_values_are_refused_before_they_are_built(self) -> None:
        with pytest.raises(ValueError, match="more than"):
            parse_answer(b"[" + b"[]," * 1_000_000 + b"[]]")

    def test_sound_answers_survive(self) -> None:
        value = {"value": [1, -2.5, None, True, "ü \U0001f600", [[]], 10**300]}
        assert parse_answer(json.dumps(value).encode()) == value

    def test_text_is_plain_and_short(self) -> None:
        assert plain("\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07\x00\a", 100) == "red link"
        assert plain("\ud800", 100) == "?"
        assert plain(["no", "text"], 100) == "list"
        assert len(plain("x" * 10**7, 100)) < 130

    def test_a_forged_error_cannot_break_the_record(self) -> None:
        record = Record("cell", Budget(Limits()))
        record.error({"a": 1}, 7, [1, None, "line", ["x"]])
        result = record.result()
        assert (result.state, result.error_name, result.traceback) == (ERROR, "dict", "line")

    def test_a_capped_cell_gives_its_bytes_back(self) -> None:
        budget = Budget(Limits(output_bytes=100, answer_bytes=100))
        flooded = Record("a", budget)
        flooded.output("x" * 101)
        flooded.answer(b"1")
        assert (flooded.result().state, flooded.result().answers) == (OUTPUT, [])
        honest = Record("b", budget)
        honest.output("x" * 60)
        assert honest.result().state is OK
        third = Record("c", budget)
        third.output("x" * 60)
        assert third.result().state is OUTPUT


@slow
def test_the_local_runner_survives_another_kernelspec_s_name(monkeypatch, tmp_path) -> None:
    """Kernels that are installed under the name python3 are never started."""
    spec = tmp_path / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": ["false"], "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    (result,) = LocalRunner().run([Cell("c", "print(1)")], seed=1)
    assert result.state is OK


@slow
@pytest.mark.skipif(os.name == "nt", reason="file descriptors are counted in /proc or /dev/fd")
def test_the_local_runner_leaks_nothing() -> None:
    runner, process = LocalRunner(), psutil.Process()

    def counts() -> tuple[int, ...]:
        gc.collect()  # jupyter_client's objects refer to each other
        return process.num_fds(), process.num_threads(), len(process.children())

    runner.run([Cell("c", "1")], seed=1)
    before = counts()
    for _ in range(3):
        runner.run([Cell("c", "1")], seed=1)
    assert counts() == before
