"""The state before a play, to be compared and restored: parameters, buffers and random numbers."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.autograd.grad_mode import _unsafe_preserve_version_counter

from ganforge import Snapshot, buffers_of
from ganforge_recorded.alike import alike


class Weight:
    """A parameter, its memory, and the numbers in it."""

    def __init__(self, name: str, parameter: Tensor) -> None:
        self.name, self._parameter = name, parameter
        self._memory, self._numbers = parameter.data, parameter.detach().clone()

    def moved(self) -> bool:
        """Whether it has other numbers, or other memory."""
        same = self._parameter.data_ptr() == self._memory.data_ptr()
        return not (same and alike(self._memory, self._numbers))

    def put_back(self) -> None:
        """Restore it."""
        if self.moved():
            self._parameter.data = self._memory
            self._memory.copy_(self._numbers)


class Before(Snapshot):
    """A snapshot of everything, and what has changed since."""

    def made(self) -> str:
        """Name the first new buffer; empty if there is none."""
        there = {(id(module), key) for _, module, key, buffer, _ in self.buffers if buffer is not None}
        now = [(name, module, key) for name, module, key, buffer in buffers_of(self.modules) if buffer is not None]
        return next((name for name, module, key in now if (id(module), key) not in there), "")

    def unseen(self) -> AbstractContextManager[None]:
        """Return a context in which autograd does not see changes of buffers, which graphs of other plays may need."""
        buffers = tuple(buffer for _, _, _, buffer, _ in self.buffers if buffer is not None)
        return _unsafe_preserve_version_counter(buffers)

    def replaced(self) -> str:
        """Name the first buffer that was replaced by another tensor; empty if there is none."""
        return next(
            (name for name, module, key, buffer, _ in self.buffers if module._buffers.get(key) is not buffer), ""
        )

    def difference(self, same: Callable[[Tensor, Tensor], bool]) -> str:
        """Name the first buffer that changed, or the random state; empty if none did."""
        for name, module, key, _, value in self.buffers:
            now = module._buffers.get(key)
            if (now is None) != (value is None) or (now is not None and value is not None and not same(now, value)):
                return f"the buffer {name}"
        drawn = Snapshot({}).random
        states = zip(
            [drawn["cpu"], *drawn.get("cuda", ())], [self.random["cpu"], *self.random.get("cuda", ())], strict=True
        )
        return "" if all(torch.equal(mine, theirs) for mine, theirs in states) else "what is drawn at random"

    def drew_elsewhere(self) -> bool:
        """Whether Python's or NumPy's random numbers were drawn since."""
        now = Snapshot({}).random
        return bool(now["python"] != self.random["python"] or now["numpy"] != self.random["numpy"])
