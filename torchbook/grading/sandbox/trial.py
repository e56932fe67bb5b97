"""`python -m torchbook.grading.sandbox.trial ROOT` builds one sandbox, and prints why it cannot, if so."""

from __future__ import annotations

import json
import os
import socket
import sys

from torchbook.grading.sandbox.supervisor import Confines, supervise
from torchbook.grading.sandbox.view import View


def main(root: str) -> str:
    """Build a sandbox at the empty folder `root`, and end it. Returns an empty text if that works."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        confines = Confines(View.of_this_python(), root, memory_mb=512, processes=8, file_mb=4)
        supervise(theirs, confines, lambda: None)
    theirs.close()
    report = ours.recv(1 << 16)
    os.wait()
    result = json.loads(report or b'{"error": "the supervisor ended without a word"}')
    if "error" in result:
        return result["error"]
    return "" if result["status"] == 0 else f"the trial ended with status {result['status']}"


if __name__ == "__main__":
    print(main(sys.argv[1]))
