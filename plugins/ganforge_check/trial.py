"""A value or loss with arguments, ready to be computed, again and again, from the same random numbers."""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from attrs import define, evolve, field
from torch import Tensor, nn

from ganforge import Component, drawn_from, held_by, mapped, tensors_of

WARM = 32  # calls after which a loss that keeps statistics has settled


@define(eq=False)
class Trial:
    """A value or loss with everything that it asks for when a player plays.

    Attributes:
        component: the value or loss.
        player: for whom it is computed.
        given: its arguments.
        learnt: the arguments that came through a network of this player, or are one.
        made: the object made from it; for a function, the function with its settings.
    """

    component: Component
    settings: Mapping[str, Any]
    player: str
    given: Mapping[str, Any]
    learnt: tuple[str, ...]
    method: str | None
    made: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.made = self.make()

    def make(self) -> Any:
        """Make another object of the component, with the same random numbers."""
        if self.method is None:
            return partial(self.component.factory, **self.settings)
        with drawn_from(0):
            return self.component.factory(**self.settings)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """All modules that it uses, by name: its arguments, and the one that it is or holds."""
        found = {name: value for name, value in self.given.items() if isinstance(value, nn.Module)}
        held = held_by(self.made)
        return found if held is None else {**found, "itself": held}

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors among its arguments."""
        return tensors_of(dict(self.given))

    def call(self, given: Mapping[str, Any] | None = None, seed: int = 0) -> Any:
        """Compute it, with random numbers from a seed."""
        function = self.made if self.method is None else getattr(self.made, self.method)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return function(**(self.given if given is None else given))

    def again(self) -> "Trial":
        """Return the same trial with a new object and copies of its arguments."""
        given = {name: copied(value) for name, value in self.given.items()}
        return Trial(self.component, self.settings, self.player, given, self.learnt, self.method)

    def warmed(self) -> "Trial":
        """Return a new trial that was called often enough for its statistics to settle."""
        fresh = self.again()
        if held_by(fresh.made) is not None:
            for seed in range(WARM):
                fresh.call(seed=seed)
        return fresh

    def at(self, kind: torch.dtype | str) -> "Trial":
        """Return a new trial with its tensors in another type or on another device."""
        fresh = self.warmed()

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(kind) if isinstance(kind, str) or tensor.is_floating_point() else tensor

        given = {
            name: value.to(kind) if isinstance(value, nn.Module) else mapped(moved, value)
            for name, value in fresh.given.items()
        }
        found = evolve(fresh, given=given)
        found.made = fresh.made
        if (held := held_by(found.made)) is not None:
            held.to(kind)
        return found


def copied(value: Any) -> Any:
    """Return a copy of a network, or of a nest of tensors."""
    return copy.deepcopy(value) if isinstance(value, nn.Module) else mapped(lambda one: one.detach().clone(), value)
