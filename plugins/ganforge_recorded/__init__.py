"""Steps that are replayed: recorded as flat programs, and proved against the steps themselves again and again."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the recorder trace."""
    from ganforge_recorded.recording import Recording

    register.recorder("trace", Recording)
