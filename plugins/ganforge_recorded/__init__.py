"""Recorded steps: recorded as flat programs, replayed, and repeatedly compared with the unrecorded step."""

from typing import Any

from ganforge import Register, hookimpl


def trace(modules: Any, formulas: Any, players: Any, compute: Any) -> Any:
    """Records each kind of step once, as torch operations, and replays it; see `compute.compile`."""
    from ganforge_recorded.recording import Recording

    return Recording(modules, formulas, players, compute)


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the recorder `trace`."""
    register.recorder("trace", trace)
