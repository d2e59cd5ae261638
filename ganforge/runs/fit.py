"""Networks for saved weights: made when it is known that the weights fit them, and that memory holds them.

Whoever shares weights wrote their recipe, and so chose how large its networks are.
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
from ganforge.memory import free_memory
from ganforge.recipe.plan import Plan
from ganforge.runs import checkpoint
from ganforge.training.networks import META, make_networks

TENSORS = 100_000  # that are made for all networks, at most
# What nearly all networks are initialised with.
DRAWING = {Tensor.normal_, Tensor.uniform_, nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_}
FILLING = {torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange, torch.linspace, torch.eye}
SPARE = 2**30  # bytes of what no file holds, in networks that the device `meta` does not know


class Limit(TorchFunctionMode):
    """Refuses more bytes of tensors than `most`, and more tensors than any networks have, while they are made."""

    def __init__(self, most: float = math.inf) -> None:
        super().__init__()
        self.most, self.count, self.bytes = most, 0, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in DRAWING and (tensor := args[0] if args else kwargs["tensor"]).is_meta:
            return tensor  # there is nothing to fill; torch would first import what takes seconds
        if func in FILLING:  # memory counts from when it is filled
            options = {key: value for key, value in kwargs.items() if key != "generator"}
            self._add(func(*args, **{**options, "device": META}))
            return func(*args, **kwargs)
        made = func(*args, **kwargs)
        if isinstance(made, Tensor) and not any(made is given for given in args):  # else it was changed in place
            self._add(made)
        return made

    def _add(self, made: Tensor) -> None:
        self.count += 1
        self.bytes += made.nbytes
        if self.bytes > self.most or self.count > TENSORS:
            raise InputError(f"too large: {self.count:,} tensors of {in_gib(self.bytes)} are not all of it yet")


def in_gib(size: float) -> str:
    """Say a number of bytes."""
    return f"{size / 2**30:,.1f} GiB"


def load_networks(
    plan: Plan, shapes: Mapping[str, Shape], files: Mapping[str, Path], device: torch.device
) -> dict[str, nn.Module]:
    """Make all networks of a plan on a device, with the weights of those that have a file; the others are frozen ones.

    Raises:
        InputError: weights do not fit, or a network is too large.
    """
    tensors = {name: read_weights(path) for name, path in files.items()}
    free = free_memory()
    try:
        outlines = outlines_of(plan, shapes)
        for name, path in files.items():
            checkpoint.require_fit(path, tensors[name], outlines[name])
        # Frozen networks, and buffers that are not saved, lie in no file.
        size = sum(held.nbytes for made in outlines.values() for held in (*made.parameters(), *made.buffers()))
        if size > free / 2:
            where = plan.recipe.layers[-1].name
            raise InputError(f"{where}: its networks take {in_gib(size)}, more than half of the free memory")
        remaking: AbstractContextManager[Any] = nullcontext()
    except NotImplementedError:  # an operation of a network has no meta form: it may be little larger than its file
        remaking = Limit(SPARE + 4 * sum(tensor.nbytes for held in tensors.values() for tensor in held.values()))
    with remaking, _telling(plan):
        networks = make_networks(plan, shapes, device)
    for name, path in files.items():
        checkpoint.require_fit(path, tensors[name], networks[name])
        networks[name].load_state_dict(tensors[name])
    return networks


def outlines_of(plan: Plan, shapes: Mapping[str, Shape]) -> dict[str, nn.Module]:
    """Make all networks of a plan without memory; a NotImplementedError says that one of them cannot be made so."""
    with Limit(), META, _telling(plan):
        return make_networks(plan, shapes, META)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weights file; an InputError says if it is damaged, or larger than the free memory."""
    size, free = path.stat().st_size, free_memory()
    if size > free:
        raise InputError(f"{path} holds {in_gib(size)}, but {in_gib(free)} of memory are free")
    return checkpoint.read_tensors(path)[0]


@contextmanager
def _telling(plan: Plan) -> Iterator[None]:
    """Tell what goes wrong while networks are made: numbers beyond all bounds are the recipe's fault."""
    try:
        yield
    except (GanforgeError, NotImplementedError):
        raise
    except (RuntimeError, ValueError, OverflowError, MemoryError) as error:
        reason = str(error).partition("\n")[0]
        where = plan.recipe.layers[-1].name
        raise InputError(f"{where}: the networks cannot be made as its recipe says: {reason}") from error
    except Exception as error:
        names = ", ".join(dict.fromkeys(choice.component.qualified for _, choice in plan.networks.values()))
        raise PluginError(f"one of these networks failed: {names}") from error
