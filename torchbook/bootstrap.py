"""Make the book's environment with nothing but Python: `python3 torchbook/bootstrap.py .venv`.

This file runs under whatever `python3` a machine has, before anything is installed: standard library only,
and no syntax that an old Python cannot read.
"""

import os
import shutil
import subprocess
import sys

OLDEST = (3, 11)
SPACE_GB = 6


def fail(sentence):
    """Say what is wrong in one sentence and stop."""
    sys.stderr.write(sentence + "\n")
    sys.exit(1)


def check_machine(folder):
    """Stop with a sentence if this Python or this disk cannot hold the book."""
    if sys.version_info < OLDEST:
        fail(
            "Torchbook needs Python %d.%d or newer, and %s is Python %d.%d: install a newer one, "
            "or name it with `make PYTHON=/path/to/python3 ...`."
            % (OLDEST[0], OLDEST[1], sys.executable, sys.version_info[0], sys.version_info[1])
        )
    free = shutil.disk_usage(os.path.dirname(os.path.abspath(folder))).free / 1e9
    if not os.path.exists(os.path.join(folder, "pyvenv.cfg")) and free < SPACE_GB:
        fail("The disk is too full: the environment needs about %d GB and %.1f GB are free." % (SPACE_GB, free))


def reason(log):
    """One sentence for a failed install, from what pip printed."""
    text = log.lower()
    if "no space left" in text or "errno 28" in text:
        return "The disk is full: free about %d GB and try again." % SPACE_GB
    if any(
        sign in text
        for sign in (
            "newconnectionerror",
            "connection broken",
            "temporary failure in name resolution",
            "network is unreachable",
            "connect timeout",
            "proxyerror",
            "max retries",
        )
    ):
        return "No network: pip could not reach the package index; the first build needs it, later ones do not."
    if "from versions: none" in text:
        return "pip found no package at all: no network, or a package index that lacks what requirements.txt names."
    lines = [line for line in log.splitlines() if line.strip()]
    return "pip could not install the environment: %s" % (lines[-1] if lines else "no reason given")


def run(command):
    """Run one step; stop with a sentence if it fails."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    log = []
    for line in process.stdout:
        log.append(line)
        if line.startswith(("Collecting", "Installing")):
            sys.stdout.write("  " + line.strip()[:100] + "\n")
            sys.stdout.flush()
    if process.wait():
        fail(reason("".join(log)))


def main(folder):
    """Create the environment in `folder`, install the pinned packages and this checkout into it."""
    check_machine(folder)
    python = os.path.join(folder, "Scripts" if os.name == "nt" else "bin", "python")
    if not os.path.exists(python):
        print("Creating the environment in %s" % folder)
        run([sys.executable, "-m", "venv", folder])
    print("Installing what requirements.txt pins (a few minutes the first time)")
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
    run([*pip, "-r", "requirements.txt"])
    run([*pip, "--no-deps", "--no-build-isolation", "-e", "."])
    run([python, "-c", "from torchbook.site.lab import prefer_notebooks; prefer_notebooks()"])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".venv")
