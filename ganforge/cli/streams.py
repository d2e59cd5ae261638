"""Standard output and error streams that never fail: escape what cannot be encoded, drop what nobody reads."""

import errno
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # errors of a full disk; any other means that the reader is gone
FORCING = ("FORCE_COLOR", "PY_COLORS", "TTY_COMPATIBLE")  # variables that force terminal codes
WAIT_SECONDS = 0.01


class Lasting(io.RawIOBase):
    """A byte stream whose reader may disappear without ending a training; `refused` is the error of a full disk."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.refused: OSError | None = None
        self.asked = 0  # bytes
        self._gone = False

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return whether the stream below is seekable, so that an encoding's mark is written only at its beginning."""
        return bool(self.stream.seekable())

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek in the stream below."""
        return int(self.stream.seek(offset, whence))

    def fileno(self) -> int:
        """Return the descriptor of the stream below."""
        return int(self.stream.fileno())

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return bool(self.stream.isatty())

    def write(self, data: Any) -> int:
        """Write bytes and return how many were written; if the stream is non-blocking, wait here."""
        self.asked += len(data)
        try:
            while not self._gone:
                if (count := self.stream.write(data)) is not None:
                    return int(count)
                time.sleep(WAIT_SECONDS)
        except OSError as error:
            if error.errno in FULL:
                self.refused = error
            else:
                self._leave()
        return len(data)

    def _leave(self) -> None:
        """Redirect the descriptor to the null device, also for writes that bypass this object."""
        self._gone = True
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self.fileno())


@contextmanager
def lasting() -> Iterator[Callable[[], OSError | None]]:
    """Make standard output and error accept all text; yield a function that returns the error of a full disk."""
    for name in FORCING:
        os.environ.pop(name, None)
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # it is closed; a file opened later must not get its number
            os.open(os.devnull, os.O_RDWR)
    older = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    streams: list[io.TextIOWrapper] = []
    raws: list[Lasting] = []
    for descriptor, (name, stream) in enumerate(older.items(), 1):
        beneath = _beneath(stream, descriptor)
        if beneath is not None:
            raws.append(Lasting(beneath))
            streams.append(_text_over(raws[-1], stream))
            setattr(sys, name, streams[-1])

    def refused() -> OSError | None:
        for stream in streams:
            stream.flush()
        return next((raw.refused for raw in raws if raw.refused), None)

    try:
        yield refused
    finally:
        refused()
        for name, stream in older.items():
            setattr(sys, name, stream)


def silent() -> bool:
    """Return, within `lasting`, whether nothing was written to standard error."""
    sys.stderr.flush()
    raw = getattr(getattr(sys.stderr, "buffer", None), "raw", None)
    return isinstance(raw, Lasting) and not raw.asked


def _beneath(stream: Any, descriptor: int) -> Any:
    """Return the lowest byte stream below a stream; None if it only accepts text."""
    if stream is None or getattr(stream, "closed", False):
        return io.FileIO(descriptor, "wb", closefd=False)
    buffer = getattr(stream, "buffer", None)
    if buffer is not None:
        with suppress(OSError):
            stream.flush()
    return getattr(buffer, "raw", buffer)


def _text_over(raw: Lasting, older: Any) -> io.TextIOWrapper:
    """Return a text stream like an older one that accepts all characters."""
    at_once = getattr(older, "line_buffering", False) or getattr(older, "write_through", False)
    encoding = getattr(older, "encoding", None) or "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=at_once)
