"""Formulas: values and losses bound to one view, called for each player in the right precision."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from ganforge.components.guard import brief
from ganforge.errors import InputError, PluginError, UnrecordableError
from ganforge.recipe.plan import Choice
from ganforge.training.numerics import Precision, out_of_memory, single_value
from ganforge.training.rows import Draws


@frozen(eq=False)
class Formula:
    """A component that computes a result from named values.

    Attributes:
        label: identifies it, such as `losses.adversarial.AB`; its state is saved under this label.
        choice: the component with its settings.
        made: the object made from it; for a function, the function with its settings.
        lasts: whether its value lasts for the whole step, whatever is updated in between.
    """

    label: str
    choice: Choice
    made: Any
    lasts: bool = False

    def compute(self, player: str, given: Mapping[str, Any], precision: Precision, draws: Draws | None = None) -> Any:
        """Compute the result for a player: products in the given precision, results in fp32.

        Raises:
            PluginError: the component raised.
            InputError: one of its networks normalises over a single value.
        """
        call = self.call(player)
        try:
            full = self.choice.component.precision == "fp32"
            with precision.around(full, draws, lambda: tensors_of(given)):
                result = call(**given)
            return result if full or precision.half is None else mapped(_full, result)
        except (PluginError, UnrecordableError):
            raise
        except Exception as error:
            if out_of_memory(error):
                raise
            if whole := single_value(error):
                hint = "use larger samples or another network"
                if whole == "batch":
                    hint = "set train.batch to 2 or more, or use another norm than 'batch'"
                problem = f"a network normalises over a single value per channel of a {whole}"
                raise InputError(f"{self.label}: {problem}; {hint}") from error
            problem = f"'{self.choice.component.qualified}' raised {brief(error)}"
            if nothing := [name for name, value in given.items() if value is None]:
                problem += f"; it was given None as its '{nothing[0]}'"
            raise PluginError(f"{self.label}: {problem}") from error

    def call(self, player: str) -> Callable[..., Any]:
        """Return the function or method for a player."""
        if not isinstance(self.choice.component.factory, type):
            return self.made  # type: ignore[no-any-return]
        return getattr(self.made, self.choice.component.method(player) or "")  # type: ignore[no-any-return]

    def set_step(self, step: int) -> str:
        """Set scheduled settings to their values at a step; return a text that identifies these."""
        if not self.choice.schedules:
            return ""
        now = {name: schedule.at(step) for name, schedule in self.choice.schedules.items()}
        for name, value in now.items():
            if isinstance(self.made, partial):
                self.made.keywords[name] = value
            else:
                object.__setattr__(self.made, name, value)
        return f"{self.label} {now}"


def mapped(change: Callable[[Tensor], Tensor], nest: Any) -> Any:
    """Apply a function to every tensor in a nest of tuples, lists and dicts."""
    if isinstance(nest, Tensor):
        return change(nest)
    if isinstance(nest, tuple) and hasattr(nest, "_fields"):
        return type(nest)(*(mapped(change, item) for item in nest))
    if isinstance(nest, tuple | list):
        return type(nest)(mapped(change, item) for item in nest)
    if isinstance(nest, dict):
        return {key: mapped(change, item) for key, item in nest.items()}
    return nest


def paired(join: Callable[[Tensor, Tensor], Tensor], one: Any, other: Any) -> Any:
    """Combine the corresponding tensors of two nests of the same structure."""
    others = iter(tensors_of(other))
    return mapped(lambda tensor: join(tensor, next(others)), one)


def tensors_of(nest: Any) -> list[Tensor]:
    """Return all tensors in a nest of tuples, lists and mappings."""
    if isinstance(nest, Tensor):
        return [nest]
    if isinstance(nest, Mapping):
        nest = list(nest.values())
    return [tensor for item in nest for tensor in tensors_of(item)] if isinstance(nest, tuple | list) else []


def cut(nest: Any) -> Any:
    """Detach all tensors of a value from their graph."""
    return mapped(Tensor.detach, nest)


def _full(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
