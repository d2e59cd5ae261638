"""Averaged weights, clipping, gradient accumulation, and augmentation of the discriminator's input."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register `ema`, `clip` and `accumulate`; `diffaugment`; and `ada`, a value and the update that controls it."""
    from ganforge_updates import augment, updates

    register.update("ema", updates.EMA)
    register.update("clip", updates.Clip)
    register.update("accumulate", updates.Accumulate)

    register.value("diffaugment", augment.diffaugment)
    register.value("ada", augment.ada)
    register.value("ada_state", augment.ADAState)
    register.update("ada", augment.ADA)
