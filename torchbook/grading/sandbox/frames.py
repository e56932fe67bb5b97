"""The messages between the grader and a kernel in the sandbox.

A frame is one byte for its kind, four for the length of its payload, and the payload. The kernel's frames are
untrusted: `FrameReader` never keeps more than the limit of their kind.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping

READY = b"R"  # kernel -> grader: JSON, {} or {"error": text}
ANSWER = b"A"  # kernel -> grader: the JSON text of one answer
SHOWN = b"S"  # kernel -> grader: the size of some other display, as text; the display itself is not sent
DONE = b"D"  # kernel -> grader: JSON, how a cell ended
COMMAND = b"C"  # grader -> kernel: JSON, the setup and then the cells

_HEADER = struct.Struct(">cI")


class ProtocolError(Exception):
    """The kernel sent something that is no frame: its notebook wrote to the pipe itself."""


def frame(kind: bytes, payload: bytes) -> bytes:
    return _HEADER.pack(kind, len(payload)) + payload


def read_frame(fd: int) -> tuple[bytes, bytes] | None:
    """The next frame from a blocking descriptor whose other end is trusted; None at its end."""
    header = _read_exactly(fd, _HEADER.size)
    if header is None:
        return None
    kind, length = _HEADER.unpack(header)
    payload = _read_exactly(fd, length)
    return None if payload is None else (kind, payload)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read_exactly(fd: int, count: int) -> bytes | None:
    parts = []
    while count:
        part = os.read(fd, min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class FrameReader:
    """Cuts a stream of bytes into frames. A payload above the limit of its kind is skipped, not kept."""

    def __init__(self, limits: Mapping[bytes, int]) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._skip = 0

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes | None, int]]:
        """Yield (kind, payload, length) for each frame; the payload is None where it was too long.

        Raises ProtocolError for an unknown kind.
        """
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        self._buffer += memoryview(data)[skipped:]
        while len(self._buffer) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._buffer)
            if kind not in self._limits:
                raise ProtocolError(f"unknown kind of message {kind!r}")
            if length > self._limits[kind]:
                self._drop(_HEADER.size + length)
                yield kind, None, length
                continue
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield kind, payload, length

    def _drop(self, count: int) -> None:
        here = min(count, len(self._buffer))
        del self._buffer[:here]
        self._skip = count - here
