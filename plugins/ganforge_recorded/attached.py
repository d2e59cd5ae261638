"""What a program depends on besides its inputs, and what may replace it between steps: an update, or an optimizer."""

from collections.abc import Mapping, Sequence
from operator import is_
from typing import Any

from attrs import frozen
from torch import Tensor, nn


@frozen(eq=False)
class _Slot:
    """A tensor where it was found."""

    name: str
    holder: Mapping[str, Tensor | None]
    key: str
    tensor: Tensor
    place: int


class Attached:
    """The parameters and buffers of modules with their memory, and the modules' own fields.

    Args:
        modules: modules that a program depends on, by name.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._slots: list[_Slot] = []
        self._fields: list[tuple[str, dict[str, Any], list[Any]]] = []
        seen: set[int] = set()
        for root, made in modules.items():
            for path, module in made.named_modules():
                if id(module) in seen:
                    continue
                seen.add(id(module))
                name = f"{root}.{path}".rstrip(".")
                fields = vars(module)
                self._fields.append((name, fields, list(fields.values())))
                for holder in (module._parameters, module._buffers):
                    self._slots += [
                        _Slot(f"{name}.{key}", holder, key, tensor, tensor.data_ptr())
                        for key, tensor in holder.items()
                        if tensor is not None
                    ]

    def replaced(self) -> str:
        """Say what is no longer what it was; empty if nothing."""
        for slot in self._slots:
            if slot.holder.get(slot.key) is not slot.tensor or slot.tensor.data_ptr() != slot.place:
                return f"the memory of {slot.name} is replaced"
        for name, fields, before in self._fields:
            if len(fields) != len(before) or not all(map(is_, fields.values(), before)):
                if not _all_equal([*fields.values()], before):
                    return f"a field of {name} changes"
                before[:] = fields.values()
        return ""


def _all_equal(now: Sequence[Any], before: Sequence[Any]) -> bool:
    return len(now) == len(before) and all(
        one is other or (type(one) is type(other) and isinstance(one, int | float | str) and one == other)
        for one, other in zip(now, before, strict=True)
    )
