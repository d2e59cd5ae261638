"""What happens around an optimizer's step: averaged weights, clipping, and batches larger than the memory."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register ema, clip and accumulate."""
    from ganforge_updates import updates

    register.update("ema", updates.EMA)
    register.update("clip", updates.Clip)
    register.update("accumulate", updates.Accumulate)
