"""Write requirements.txt: every package of this environment, exactly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# The exact environment that the book is built and tested with. Written by `make pins`.\n"


def main() -> None:
    """Install requirements.in into this environment and freeze it."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-q", "-r", str(ROOT / "requirements.in")], check=True)
    freeze = [*pip, "freeze", "--all", "--exclude-editable", "--exclude", "pip"]
    frozen = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout
    lines = [line.split("+")[0] for line in frozen.splitlines() if "@" not in line]
    (ROOT / "requirements.txt").write_text(HEADER + "\n".join(sorted(lines, key=str.lower)) + "\n")


if __name__ == "__main__":
    main()
