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


def _end_with(parent: int, training: int) -> None:
    """Make a training save its state and stop once the comparing process is gone, for whatever reason."""
    while os.getppid() == parent or (training != os.getpid() and _is_there(parent)):
        time.sleep(WATCH_SECONDS)
    os.kill(training, signal.SIGTERM)


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


# Removed, since processes that a training starts have another parent. With several devices the training is their
# launcher, which loads no plugins; the first of them watches.
if (_parent := os.environ.pop(PARENT, "")) and os.environ.get("LOCAL_RANK", "0") == "0":
    _training = os.getpid() if os.getppid() == int(_parent) else os.getppid()
    threading.Thread(target=_end_with, args=[int(_parent), _training], daemon=True).start()
