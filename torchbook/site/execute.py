"""Run the chapters before Sphinx asks for them: two at a time, with a bar that says what is left."""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from torchbook.site.cache import cached, open_cache, read_notebook, refresh
from torchbook.site.chapters import Page, notebooks

SECONDS = "torchbook-seconds.json"
# One thread a kernel: two kernels share two cores, and sums do not depend on the number of cores.
KERNEL_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TQDM_DISABLE": "1",
    "PYTHONHASHSEED": "0",
}
ANSI = re.compile(r"\x1b\[[0-9;]*m")  # colors of a terminal


class ChapterFailed(Exception):
    """A cell of a chapter raised; the text is the page's name and the plain traceback."""


def run(page: Page, timeout: int = 300):
    """Execute one chapter in an empty folder. Returns the notebook with outputs and the seconds it took."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook, started = read_notebook(page), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as sockets:
        # No timing in the metadata: the cache compares it.
        client = NotebookClient(notebook, timeout=timeout, record_timing=False,
                                resources={"metadata": {"path": folder}})  # fmt: skip
        client.create_kernel_manager()
        if os.name == "posix":
            client.km.transport = "ipc"  # sockets of this user alone, no open port
            client.km.ip = f"{sockets}/kernel"
        try:
            client.execute()
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise ChapterFailed(f"{page.name}: {ANSI.sub('', str(error))}") from None
    return notebook, time.perf_counter() - started


def _store(root: Path, page: Page, notebook: object, seconds: float) -> None:
    from jupyter_cache.base import CacheBundleIn

    bundle = CacheBundleIn(notebook, str(page.path), data={"execution_seconds": seconds})
    open_cache(root).cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def execute(root: Path, jobs: int = 2) -> dict[str, float]:
    """Run every chapter whose cached run is missing or stale. Returns seconds by name of the chapter.

    Raises:
        ChapterFailed: after all others had their turn, with the tracebacks of those that failed.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in KERNEL_ENVIRONMENT.items()})
    refresh(root)
    cache = open_cache(root)
    todo = [page for page in notebooks(root) if cached(cache, page) is None]
    log = root / "_build" / SECONDS
    known: dict[str, float] = json.loads(log.read_text()) if log.exists() else {}
    todo.sort(key=lambda page: -known.get(page.name, 15.0))  # the longest first: no lonely tail
    failures, took = [], {}
    with (
        tqdm(total=len(todo), unit="chapter", disable=not todo, desc="Executing") as bar,
        concurrent.futures.ThreadPoolExecutor(jobs) as pool,
    ):
        waiting = {pool.submit(run, page): page for page in todo}
        for future in concurrent.futures.as_completed(waiting):
            page = waiting[future]
            try:
                notebook, seconds = future.result()
                _store(root, page, notebook, seconds)
                took[page.name] = round(seconds, 1)
                bar.write(f"  {page.name}: {seconds:.1f} s")
            except ChapterFailed as error:
                failures.append(str(error))
                bar.write(f"  {page.name}: failed")
            bar.update()
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(json.dumps(known | took, indent=1, sort_keys=True))
    if failures:
        raise ChapterFailed("\n\n".join(failures))
    return took
