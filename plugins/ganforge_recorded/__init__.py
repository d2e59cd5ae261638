"""Steps that are replayed: recorded as flat programs, and proved against the steps themselves again and again."""

from typing import Any

from ganforge import Register, hookimpl


def trace(modules: Any, formulas: Any, players: Any, compute: Any) -> Any:
    """Record a step once for its like, as torch's operations, and replay it; see `compute.compile`."""
    from ganforge_recorded.recording import Recording

    return Recording(modules, formulas, players, compute)


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the recorder trace."""
    register.recorder("trace", trace)
