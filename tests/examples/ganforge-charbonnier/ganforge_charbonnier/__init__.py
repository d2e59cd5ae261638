"""Charbonnier: a smooth L1, with a recipe that shows it, as a package of its own."""

from collections.abc import Iterable
from pathlib import Path

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the loss; torch is imported only now."""
    from ganforge_charbonnier.loss import charbonnier

    register.loss("charbonnier", charbonnier)


@hookimpl
def ganforge_recipes() -> Iterable[Path]:
    """Ship a recipe."""
    return [Path(__file__).parent / "discogan_toy_charbonnier.toml"]
