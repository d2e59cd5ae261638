"""Make the networks of saved weights, after checking that the weights fit and that memory suffices.

The recipe of shared weights comes from a stranger, who chose the size of its networks.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ganforge.data.dataset import Shape
from ganforge.errors import GanforgeError, InputError, PluginError
from ganforge.recipe.plan import Plan
from ganforge.runs import checkpoint
from ganforge.system.memory import free_memory, in_gib
from ganforge.training.networks import META, make_networks

TENSORS = 100_000  # largest number of tensors to create for all networks
# Functions that initialise nearly all networks.
DRAWING = {Tensor.normal_, Tensor.uniform_, nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_}
FILLING = {torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange, torch.linspace, torch.eye}
SPARE = 2**30  # bytes allowed for tensors that are in no file, for networks that the meta device does not support


class Limit(TorchFunctionMode):
    """Raises an InputError if more than `most` bytes, or more than `TENSORS` tensors, are created within it."""

    def __init__(self, most: float = math.inf) -> None:
        super().__init__()
        self.most, self.count, self.bytes = most, 0, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in DRAWING and (tensor := args[0] if args else kwargs["tensor"]).is_meta:
            return tensor  # nothing to fill; torch would import modules for seconds
        if func in FILLING:  # check before the memory is filled
            options = {key: value for key, value in kwargs.items() if key != "generator"}
            self._add(func(*args, **{**options, "device": META}))
            return func(*args, **kwargs)
        made = func(*args, **kwargs)
        if isinstance(made, Tensor) and not any(made is given for given in args):  # not changed in place
            self._add(made)
        return made

    def _add(self, made: Tensor) -> None:
        self.count += 1
        self.bytes += made.nbytes
        if self.bytes > self.most or self.count > TENSORS:
            plural = "s" if self.count != 1 else ""
            raise InputError(f"too large: at least {in_gib(self.bytes)} in {self.count:,} tensor{plural}")


def load_networks(
    plan: Plan, shapes: Mapping[str, Shape], files: Mapping[str, Path], device: torch.device
) -> dict[str, nn.Module]:
    """Make all networks of a plan on a device and load weights from files; networks without a file are frozen ones.

    Raises:
        InputError: weights do not fit, or a network is too large.
    """
    tensors = {name: read_weights(path) for name, path in files.items()}
    free = free_memory()
    try:
        outlines = outlines_of(plan, shapes)
        for name, path in files.items():
            checkpoint.require_fit(path, tensors[name], outlines[name])
        # Frozen networks, and buffers that are not saved, are in no file.
        size = sum(held.nbytes for made in outlines.values() for held in (*made.parameters(), *made.buffers()))
        if size > free / 2:
            where = plan.recipe.layers[-1].name
            raise InputError(f"{where}: its networks take {in_gib(size)}, more than half of the free memory")
        remaking: AbstractContextManager[Any] = nullcontext()
    except NotImplementedError:  # without a meta implementation, a network may be only a little larger than its file
        remaking = Limit(SPARE + 4 * sum(tensor.nbytes for held in tensors.values() for tensor in held.values()))
    with remaking, _telling(plan):
        networks = make_networks(plan, shapes, device)
    for name, path in files.items():
        checkpoint.require_fit(path, tensors[name], networks[name])
        networks[name].load_state_dict(tensors[name])
    return networks


def outlines_of(plan: Plan, shapes: Mapping[str, Shape]) -> dict[str, nn.Module]:
    """Make all networks of a plan on the meta device; a NotImplementedError means that one does not support it."""
    with Limit(), META, _telling(plan):
        return make_networks(plan, shapes, META)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weights file; raise an InputError if it is damaged, or larger than the free memory."""
    size, free = path.stat().st_size, free_memory()
    if size > free:
        raise InputError(f"{path} has {in_gib(size)}, but only {in_gib(free)} of memory are free")
    return checkpoint.read_tensors(path)[0]


@contextmanager
def _telling(plan: Plan) -> Iterator[None]:
    """Convert errors while networks are made; absurd numbers are the recipe's fault."""
    try:
        yield
    except (GanforgeError, NotImplementedError):
        raise
    except (RuntimeError, ValueError, OverflowError, MemoryError) as error:
        reason = str(error).partition("\n")[0]
        where = plan.recipe.layers[-1].name
        raise InputError(f"{where}: the networks of its recipe cannot be made: {reason}") from error
    except Exception as error:
        names = ", ".join(dict.fromkeys(choice.component.qualified for _, choice in plan.networks.values()))
        raise PluginError(f"one of these networks failed: {names}") from error
