"""What a program depends on besides its inputs, and what may replace it between steps: an update, or an optimizer."""

from collections.abc import Iterator, Mapping
from operator import is_
from typing import Any

from torch import nn

PLAIN = vars(nn.Module()).keys() - {"training"}  # of every module: what they hold may change, not they themselves
SIMPLE = (int, float, str)


class Attached:
    """The parameters and buffers of modules with their memory, and the modules' own fields.

    Args:
        modules: modules that a program depends on, by name.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        named = dict(_named(modules))
        tensors = {
            f"{name}.{key}": tensor
            for name, module in named.items()
            for key, tensor in (*module._parameters.items(), *module._buffers.items())
            if tensor is not None
        }
        self._tensors, self._owners = list(tensors.values()), list(tensors)
        self._places = self._now()
        held = [(name, holder) for name, module in named.items() for holder in _holders(module)]
        self._holders, self._lengths = [holder for _, holder in held], [len(holder) for _, holder in held]
        fields = [(f"{name}.{key}", holder, key) for name, holder in held for key in holder if key not in PLAIN]
        self._fields, self._owning = [name for name, _, _ in fields], [holder for _, holder, _ in fields]
        self._keys, self._values = [key for _, _, key in fields], [holder[key] for _, holder, key in fields]

    def moved(self) -> str:
        """Say which tensor's memory is replaced; empty if none."""
        now = self._now()
        if now == self._places:
            return ""
        pairs = zip(self._owners, now, self._places, strict=True)
        return next(f"the memory of {owner} is replaced" for owner, here, there in pairs if here != there)

    def replaced(self) -> str:
        """Say what is no longer what it was; empty if nothing."""
        if moved := self.moved():
            return moved
        if [*map(len, self._holders)] != self._lengths:
            return "a module's fields are replaced"
        now = [*map(dict.get, self._owning, self._keys)]
        if not all(map(is_, now, self._values)):
            for name, here, there in zip(self._fields, now, self._values, strict=True):
                if not (here is there or (type(here) is type(there) and isinstance(here, SIMPLE) and here == there)):
                    return f"{name} is replaced"
            self._values = now
        return ""

    def _now(self) -> list[int]:
        return [tensor.data_ptr() for tensor in self._tensors]


def _named(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    """Yield every module once with its full name."""
    seen: set[nn.Module] = set()
    for root, made in modules.items():
        yield from ((f"{root}.{path}".rstrip("."), module) for path, module in made.named_modules(seen))


def _holders(module: nn.Module) -> tuple[dict[str, Any], ...]:
    """Return where a module keeps what it holds."""
    return vars(module), module._parameters, module._buffers
