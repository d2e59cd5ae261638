"""Detecting side effects of a formula: waiting for a device, or communicating with other ranks."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ganforge import batch_mean, gather

# Functions that read a tensor's values without calling an operation if it is in main memory.
ESCAPES = ("cpu", "item", "numpy", "tolist", "__array__", "__dlpack__")
# Operations whose result, or its shape, depends on values: the host must wait for them.
WAITING = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
Note = Callable[[str], None]  # called with the name of the function


class Escapes(TorchFunctionMode):
    """Notes functions that would fetch a tensor from the device."""

    def __init__(self, note: Note) -> None:
        super().__init__()
        self.note = note

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, and note it if it would fetch a tensor."""
        name = getattr(function, "__name__", "")
        fetches = name in ESCAPES or (name == "to" and "cpu" in (*arguments[1:], *(options or {}).values()))
        if fetches and isinstance(arguments[0], Tensor):
            self.note(f".{name}()")
        return function(*arguments, **(options or {}))


class Waits(TorchDispatchMode):
    """Notes operations that make the host wait for a tensor's values."""

    def __init__(self, note: Note) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.note = note

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation, and note it if the host must wait for it."""
        if WAITING & set(operation.tags) and not _takes_places(operation, arguments):
            self.note(str(operation.overloadpacket).rpartition(".")[2])
        return operation(*arguments, **(options or {}))


def _takes_places(operation: Any, arguments: Sequence[Any]) -> bool:
    """Whether it indexes by integers, which gives a fixed number of elements, and not by a mask."""
    if operation is not torch.ops.aten.index.Tensor:
        return False
    return all(place is None or place.dtype in (torch.int64, torch.int32) for place in arguments[1])


@contextmanager
def waiting(note: Note) -> Iterator[None]:
    """Note everything that would make the host wait for a device."""
    with Escapes(note), Waits(note):
        yield


@contextmanager
def speaking(told: list[str]) -> Iterator[None]:
    """Add to a list the name of each function that sees the rows of all ranks when it is called."""
    watched = {function.__code__: function.__name__ for function in (batch_mean, gather)}

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in watched:
            told.append(watched[frame.f_code])

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)
