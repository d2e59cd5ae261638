"""Standard output and errors that never fail: what cannot be encoded is escaped, what nobody reads is dropped."""

import errno
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # of a disk; any other error means that the reader has gone
FORCING = ("FORCE_COLOR", "PY_COLORS", "TTY_COMPATIBLE")  # terminal codes into what may be no terminal
WAIT_SECONDS = 0.01


class Lasting(io.RawIOBase):
    """Bytes for a reader who may go away, which ends no training; `refused` says what a full disk did not take."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.refused: OSError | None = None
        self.asked = 0  # bytes
        self._gone = False

    def writable(self) -> bool:
        """Tell that it can be written."""
        return True

    def seekable(self) -> bool:
        """Tell whether it has a beginning, where a mark of its encoding belongs."""
        return bool(self.stream.seekable())

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place, or tell where it is."""
        return int(self.stream.seek(offset, whence))

    def fileno(self) -> int:
        """Return the descriptor beneath."""
        return int(self.stream.fileno())

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return bool(self.stream.isatty())

    def write(self, data: Any) -> int:
        """Write bytes and return how many were taken; where the reader lets nobody wait, wait here."""
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
        """Lead the descriptor itself to nowhere, for all that is written past this object."""
        self._gone = True
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self.fileno())


@contextmanager
def lasting() -> Iterator[Callable[[], OSError | None]]:
    """Have standard output and errors take all text, whoever reads; yield what tells how a full disk refused some."""
    for name in FORCING:
        os.environ.pop(name, None)
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # it is closed, and a file that is opened next must not be taken for it
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
    """Tell, within `lasting`, whether nothing was written to standard error."""
    sys.stderr.flush()
    raw = getattr(getattr(sys.stderr, "buffer", None), "raw", None)
    return isinstance(raw, Lasting) and not raw.asked


def _beneath(stream: Any, descriptor: int) -> Any:
    """Return what takes a stream's bytes, as directly as can be; None, if it takes texts alone."""
    if stream is None or getattr(stream, "closed", False):
        return io.FileIO(descriptor, "wb", closefd=False)
    buffer = getattr(stream, "buffer", None)
    if buffer is not None:
        with suppress(OSError):
            stream.flush()
    return getattr(buffer, "raw", buffer)


def _text_over(raw: Lasting, older: Any) -> io.TextIOWrapper:
    """Return a text stream that is like an older one, but takes all characters."""
    at_once = getattr(older, "line_buffering", False) or getattr(older, "write_through", False)
    encoding = getattr(older, "encoding", None) or "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=at_once)
