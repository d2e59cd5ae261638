"""State of modules and random generators: what is saved, and how it is restored after evaluation."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import numpy
import torch
from torch import Tensor, nn
from torch.nn.modules.module import _EXTRA_STATE_KEY_SUFFIX as EXTRA  # the key of what `get_extra_state` returns

from ganforge.errors import PluginError


def held_by(made: object) -> nn.Module | None:
    """Return the module that an object is, or the modules in its fields; None if it holds none."""
    if isinstance(made, nn.Module):
        return made
    if not attrs.has(type(made)):
        return None
    fields = {field.name: getattr(made, field.name, None) for field in attrs.fields(type(made))}  # type: ignore[arg-type]
    modules = {name.strip("_"): value for name, value in fields.items() if isinstance(value, nn.Module)}
    return nn.ModuleDict(modules) if modules else None


class Held:
    """A module that is not a network: a loss, a value, an update, or modules in their fields.

    Its buffers, trainable parameters and extra state are saved; frozen parameters, and buffers that are not persistent,
    only once they have changed.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        persistent = module.state_dict().keys()
        frozen = {name: p for name, p in module.named_parameters() if not p.requires_grad}
        constant = {name: buffer for name, buffer in module.named_buffers() if name not in persistent}
        self._rarely = {name: _print_of(tensor) for name, tensor in (frozen | constant).items()}

    def state(self) -> dict[str, Any]:
        """Return the state to save, by name: tensors, and any JSON values of extra state."""
        found = {**self.module.state_dict(), **dict(self.module.named_buffers())}
        return {
            name: value.detach().clone() if isinstance(value, Tensor) else value
            for name, value in found.items()
            if name not in self._rarely or _print_of(value) != self._rarely[name]
        }

    def restore(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Restore what `state` returned; a buffer may have another shape, or not exist yet.

        Raises:
            ValueError: a module does not exist, or a parameter has another shape.
        """
        with torch.no_grad():
            for name, value in state.items():
                path, _, leaf = name.rpartition(".")
                try:
                    module = self.module.get_submodule(path)
                except AttributeError as error:
                    raise ValueError(f"there is no module for the saved state '{name}'") from error
                if leaf == EXTRA:
                    module.set_extra_state(value)
                elif leaf in module._parameters:
                    parameter = module._parameters[leaf]
                    if parameter is None or parameter.shape != value.shape:
                        mine = "no parameter" if parameter is None else f"shape {list(parameter.shape)}"
                        raise ValueError(f"the saved state '{name}' has shape {list(value.shape)}, expected {mine}")
                    parameter.copy_(value)
                elif leaf in module._buffers:
                    module._buffers[leaf] = _filled(module._buffers[leaf], value.to(device))
                else:
                    module.register_buffer(leaf, value.to(device))


def _print_of(parameter: Tensor) -> tuple[int, int]:
    """Return numbers that change with those of a parameter, the second one also where `.data` hides the change."""
    whole = parameter.detach().contiguous().flatten().view(torch.uint8)
    return parameter._version, int(whole.sum(dtype=torch.int64))


def _filled(buffer: Tensor | None, value: Tensor) -> Tensor:
    """Write a value into a buffer's memory, which others may refer to; return the value where it does not fit."""
    if buffer is None or (buffer.shape, buffer.dtype, buffer.device) != (value.shape, value.dtype, value.device):
        return value
    return buffer.copy_(value)


def random_state() -> dict[str, Any]:
    """Return the state of all global random generators: torch's for each device, NumPy's and Python's."""
    kind, keys, *rest = numpy.random.get_state(legacy=True)
    state: dict[str, Any] = {
        "cpu": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (kind, [int(key) for key in keys], *rest),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Restore what `random_state` returned; CUDA states only if this machine has the same number of devices."""
    torch.set_rng_state(state["cpu"])
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    numpy.random.set_state((kind, numpy.array(keys, dtype=numpy.uint32), *rest))
    if "cuda" in state and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def seed_random(seed: int) -> None:
    """Seed every global random generator."""
    torch.manual_seed(seed)
    random.seed(seed)
    numpy.random.seed(seed % 2**32)


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Seed all random generators within the context, and restore their states afterwards."""
    before = random_state()
    seed_random(seed)
    try:
        yield
    finally:
        set_random_state(before)


class Snapshot:
    """The buffers of modules and all random state, also of modules' own generators, to be restored or compared."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self.modules = modules
        self.buffers = [
            (name, module, key, buffer, None if buffer is None else buffer.clone())
            for name, module, key, buffer in buffers_of(modules)
        ]
        self.random = random_state()
        self._own = [
            (generator, generator.get_state())
            for made in modules.values()
            for module in made.modules()
            for generator in vars(module).values()
            if isinstance(generator, torch.Generator)
        ]

    def put_back(self) -> None:
        """Restore everything, unseen by autograd, which may hold buffers for a later backward pass."""
        known = {(id(module), key) for _, module, key, _, _ in self.buffers}
        for _, module, key, _ in buffers_of(self.modules):
            if (id(module), key) not in known:
                del module._buffers[key]
        for _, module, key, buffer, value in self.buffers:
            module._buffers[key] = buffer
            if buffer is not None and value is not None:
                buffer.data.copy_(value)
        set_random_state(self.random)
        for generator, state in self._own:
            generator.set_state(state)


def buffers_of(modules: Mapping[str, nn.Module]) -> list[tuple[str, nn.Module, str, Tensor | None]]:
    """Return all buffers as (full name, module, key in the module, buffer)."""
    return [
        (f"{root}.{name}.{key}".replace("..", "."), module, key, buffer)
        for root, made in modules.items()
        for name, module in made.named_modules()
        for key, buffer in module._buffers.items()
    ]


@contextmanager
def looking(modules: Mapping[str, nn.Module], seed: int) -> Iterator[None]:
    """Put modules into evaluation mode within the context; restore modes, buffers and random state afterwards.

    Args:
        modules: all modules that may be used.
        seed: seed of random numbers within the context, so that they are always the same.
    """
    before = Snapshot(modules)
    modes = [(module, module.training) for root in modules.values() for module in root.modules()]
    try:
        seed_random(seed)
        for module in modules.values():
            module.eval()
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        before.put_back()


@contextmanager
def laid_over(
    networks: Mapping[str, nn.Module], shown: Sequence[Callable[[str], Mapping[str, Tensor]]]
) -> Iterator[dict[str, dict[str, Tensor]]]:
    """Replace weights by the tensors of `shown`, one after the other; yield the originals, and restore them."""
    beneath: dict[str, dict[str, Tensor]] = {name: {} for name in networks}
    try:
        for show in shown:
            for name, network in networks.items():
                state = network.state_dict()
                for key, value in show(name).items():
                    if key not in state:
                        raise PluginError(f"an update shows '{key}' of {name}, which has no such tensor")
                    beneath[name].setdefault(key, state[key].detach().clone())
                    state[key].data.copy_(value)
        yield beneath
    finally:
        for name, covered in beneath.items():
            state = networks[name].state_dict()
            for key, value in covered.items():
                state[key].data.copy_(value)
