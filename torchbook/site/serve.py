"""Serve the built book on this machine."""

from __future__ import annotations

import errno
import functools
import http.server
from pathlib import Path


class PortTaken(Exception):
    """Another program listens on the port."""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing per request: the terminal belongs to the reader."""


def serve(folder: Path, port: int = 8000) -> None:
    """Serve `folder` on http://127.0.0.1:port until Ctrl+C.

    Raises:
        FileNotFoundError: if the book is not built.
        PortTaken: if the port is in use.
    """
    if not (folder / "index.html").exists():
        raise FileNotFoundError(f"{folder} holds no built book: run `make html` first")
    handler = functools.partial(_Quiet, directory=str(folder))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"Port {port} is taken: stop what listens there, or run `make book PORT={port + 1}`"
            ) from None
        raise
    print(f"Torchbook is at http://127.0.0.1:{server.server_port} (Ctrl+C stops it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
    finally:
        server.server_close()
