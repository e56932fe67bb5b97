"""Seconds per chapter on CUDA and on the CPU at the same size, and the share of the peak that training reaches.

    python benchmarks/gpu.py [--device cuda] [--scale gpu] [--download] [--limit 600] [CHAPTER ...]

Each chapter runs whole, in a process of its own, at the given scale: once where PyTorch sees the GPU, once where it
does not. The offline digits stand in for the larger data sets unless --download is given. Then the CNN and the
transformer that two of these chapters made take training steps again, and their arithmetic, as PyTorch counts it, is
divided by time and by the device's peak. Prints a Markdown report; with CUDA it also goes to benchmarks/gpu.md.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from chapters import ROOT, chosen
from tqdm import tqdm

from torchbook.site.chapters import Page

# Dense bfloat16 (T4: float16) operations per second, from the makers' data sheets.
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12, "V100": 125e12,
         "T4": 65e12}  # fmt: skip
PROBES = {  # chapter -> the names of its model, its inputs, its targets: what the section "Make it larger" leaves
    "cnn/architectures": ("larger", "images.x_train[:batch_size]", "images.y_train[:batch_size]"),
    "attention/transformers": ("large", "tokens[:, :-1]", "tokens[:, 1:]"),
}
WARM_UP, STEPS = 10, 30


def environment(device: str, args: argparse.Namespace) -> dict[str, str]:
    chosen = {**os.environ, "TORCHBOOK_SCALE": args.scale, "MPLBACKEND": "agg", "TQDM_DISABLE": "1"}
    if device == "cpu":
        chosen["CUDA_VISIBLE_DEVICES"] = ""
    if not args.download:
        chosen["TORCHBOOK_OFFLINE"] = "1"
    return chosen


def run(page: Page, device: str, args: argparse.Namespace) -> dict:
    """Run one chapter in a process of its own: {"seconds", "said", "error", "share"}."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--one", page.name, "--device", device]
        started = time.perf_counter()
        try:
            result = subprocess.run(command, cwd=folder, env=environment(device, args), capture_output=True, text=True,
                                    timeout=args.limit)  # fmt: skip
        except subprocess.TimeoutExpired:
            return {"seconds": args.limit, "error": f"stopped after {args.limit} s"}
        seconds = time.perf_counter() - started
    if result.returncode:
        return {"seconds": seconds, "error": (result.stderr.strip().splitlines() or ["died"])[-1][:200]}
    return {**json.loads(result.stdout.splitlines()[-1]), "seconds": seconds}


def one(page: Page, device: str) -> None:
    """Execute the chapter here; print what it said of its scale and what share of the peak its model reaches."""
    name = page.name
    names: dict = {"__name__": "__main__"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for number, cell in enumerate(page.cells):
            exec(compile(cell, f"{name}, code cell {number}", "exec"), names)
    said = re.findall(rf"^(?:{os.environ['TORCHBOOK_SCALE']}) on .*$", printed.getvalue(), re.MULTILINE)
    probed = share_of_peak(names, *PROBES[name], device) if name in PROBES else None
    print(json.dumps({"said": said[-1] if said else "", "share": probed}))


def share_of_peak(names: dict, model: str, inputs: str, targets: str, device: str) -> dict:
    """Training steps of a chapter's model on one of its batches: operations per second, measured and at best."""
    import torch
    from torch.nn import functional as F
    from torch.utils.flop_counter import FlopCounterMode

    net, x, y = (eval(text, names) for text in (model, inputs, targets))
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    on_gpu = device == "cuda"

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=on_gpu):
            logits = net(x)
            loss = F.cross_entropy(logits.flatten(0, -2), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    with FlopCounterMode(display=False) as counter:
        step()
    seconds = seconds_per(step, on_gpu)
    a = torch.randn(8192 if on_gpu else 1024, 8192 if on_gpu else 1024, device=device)
    a = a.bfloat16() if on_gpu else a
    best = 2 * len(a) ** 3 / seconds_per(lambda: a @ a, on_gpu)
    name = torch.cuda.get_device_name() if on_gpu else platform.processor() or "CPU"
    sheet = next((peak for known, peak in PEAKS.items() if known in name), None)
    return {"device": name, "reached": counter.get_total_flops() / seconds, "matmul": best, "sheet": sheet,
            "batch": list(x.shape)}  # fmt: skip


def seconds_per(work: Callable[[], object], on_gpu: bool) -> float:
    import torch

    wait = torch.cuda.synchronize if on_gpu else lambda: None
    for _ in range(WARM_UP):
        work()
    wait()
    started = time.perf_counter()
    for _ in range(STEPS):
        work()
    wait()
    return (time.perf_counter() - started) / STEPS


def report(rows: dict[str, dict[str, dict]], args: argparse.Namespace) -> str:
    """The Markdown of benchmarks/gpu.md."""
    import torch

    devices = list(next(iter(rows.values())))
    data = "with the larger data sets" if args.download else "with the offline data"
    command = " ".join(["python benchmarks/gpu.py", *sys.argv[1:]])
    lines = [
        "# Chapters on a GPU",
        "",
        f"`{command}`, scale {args.scale}, {data}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"{os.cpu_count()} cores.",
        "",
        f"| chapter | {' | '.join(f'{device}, s' for device in devices)} | ratio | what it said |",
        "|---|" + "---|" * (len(devices) + 2),
    ]
    for name, runs in rows.items():
        cells = [f"{run['seconds']:.1f}" + (f" ({run['error']})" if "error" in run else "") for run in runs.values()]
        first, *_, last = [*runs.values(), *runs.values()]
        ratio = f"{last['seconds'] / first['seconds']:.1f}" if len(runs) > 1 else ""
        lines.append(f"| {name} | {' | '.join(cells)} | {ratio} | {first.get('said', '')} |")
    lines += ["", "## Share of the peak", "", "Training steps of the models that these chapters leave; operations as "
              "`torch.utils.flop_counter` counts them.", "",
              "| chapter | device | batch | reached, TFLOP/s | of a large product | of the data sheet |",
              "|---|---|---|---|---|---|"]  # fmt: skip
    for name, runs in rows.items():
        for probe in filter(None, (run.get("share") for run in runs.values())):
            sheet = f"{probe['reached'] / probe['sheet']:.1%}" if probe["sheet"] else "unknown"
            size, share = "x".join(map(str, probe["batch"])), probe["reached"] / probe["matmul"]
            lines.append(
                f"| {name} | {probe['device']} | {size} | {probe['reached'] / 1e12:.3f} | {share:.1%} | {sheet} |"
            )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="part/chapter; all by default")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: no GPU column, no file")
    parser.add_argument("--scale", choices=("smoke", "cpu", "gpu"), default="gpu")
    parser.add_argument("--download", action="store_true", help="the larger data sets, not the digits")
    parser.add_argument("--limit", type=int, default=600, metavar="S", help="seconds per chapter and device (600)")
    parser.add_argument("--one", metavar="CHAPTER", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(*chosen(parser, [args.one]), args.device)
        return 0
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no CUDA device here; --device cpu measures the CPU alone")
    pages = chosen(parser, args.chapters)
    devices = ["cuda", "cpu"] if args.device == "cuda" else ["cpu"]
    rows = {page.name: {device: run(page, device, args) for device in devices} for page in tqdm(pages, unit="chapter")}
    text = report(rows, args)
    print(text)
    if args.device == "cuda":
        (ROOT / "benchmarks" / "gpu.md").write_text(text)
    return any("error" in run for runs in rows.values() for run in runs.values())


if __name__ == "__main__":
    sys.exit(main())
