"""Comparisons: several recipes, each with several seeds, side by side."""

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from ganforge import hookimpl

if TYPE_CHECKING:
    import typer

PARENT = "GANFORGE_COMPARISON"  # passes the id of the comparing process to a training
WATCH_SECONDS = 1.0


@hookimpl
def ganforge_commands(app: "typer.Typer") -> None:
    """Add `ganforge compare`."""
    from ganforge_compare.commands import compare

    app.command()(compare)


def _end_with(parent: int) -> None:
    """Make this training save its state and stop once its parent process is gone, for whatever reason."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if _parent := os.environ.pop(PARENT, ""):  # removed, since processes that a training starts have another parent
    threading.Thread(target=_end_with, args=[int(_parent)], daemon=True).start()
