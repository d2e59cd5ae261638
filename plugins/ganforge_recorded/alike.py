"""Whether a replayed turn gives what the unrecorded one gives: bit for bit, or within what rounding does to it."""

from collections.abc import Sequence

import torch
from attrs import frozen
from torch import Tensor

from ganforge import Compute, Turn

LOOSE = 1e-2  # allowed share of a tensor's norm by which it may differ
CLOSE = 1e-4  # the same where all is computed in fp32 by the same kernels
ROUNDING = {"bf16": 2**-8, "tf32": 2**-11}  # relative; fp32 otherwise
WIDE = 4  # times the effect of rounding the inputs is allowed, too
FEW = 16  # numbers; rounding may change fewer only a little, by chance, so that the largest gradient counts, too


def alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers, and nan at the same places."""
    if one.shape != other.shape or not one.is_floating_point():
        return torch.equal(one, other)
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


@frozen
class Likeness:
    """What counts as the same.

    Attributes:
        loose: share of a tensor's norm by which it may differ; 0 if all bits must be the same.
        rounding: relative rounding of the numbers in products.
    """

    loose: float = 0.0
    rounding: float = 0.0

    @classmethod
    def of(cls, compute: Compute, on_cuda: bool) -> "Likeness":
        """Return what a recipe allows: compilers fuse operations, and on CUDA sums have no fixed order."""
        if not (on_cuda or compute.compile is True):
            return cls()
        exact = compute.precision == "fp32" and compute.compile is not True
        return cls(CLOSE if exact else LOOSE, ROUNDING.get(compute.precision, 2**-22))

    def rounded(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return inputs that differ by rounding, up and down in turn."""
        found = []
        for given in inputs:
            if given.is_floating_point():
                signs = 1 - 2 * (torch.arange(given.numel(), device=given.device) % 2).view(given.shape)
                given = torch.empty_like(given).copy_(given * (1 + self.rounding * signs))  # in the same layout
            found.append(given)
        return found

    def same(self, one: Tensor, other: Tensor | None, near: Tensor | None = None, least: float = 0.0) -> bool:
        """Whether two tensors are the same.

        Args:
            one: a tensor.
            other: what it is compared with.
            near: the first one, from inputs that differ by rounding.
            least: a difference that is always allowed.
        """
        if other is None or one.shape != other.shape:
            return False
        if not (self.loose and one.is_floating_point()):
            return alike(one, other)
        finite = one.isfinite()
        if not torch.equal(finite, other.isfinite()) or not alike(one.where(~finite, 0), other.where(~finite, 0)):
            return False
        size, apart = _norm(one), _norm(one - other)
        spread = 0.0 if near is None else _norm(one - near)
        return apart <= max(self.loose * size, WIDE * spread, least)

    def difference(
        self,
        turn: Turn,
        replayed: Turn | None,
        near: Turn | None,
        losses: Sequence[str],
        parameters: Sequence[str],
    ) -> str:
        """Name the first gradient or, before, the last loss that differs; empty if none does.

        Args:
            turn: the unrecorded turn.
            replayed: the same turn replayed.
            near: the unrecorded turn from inputs that differ by rounding, if there is one.
            losses: names of the losses.
            parameters: names of the parameters.
        """
        player, values, gradients = turn
        if replayed is None or replayed[0] != player or len(replayed[1]) != len(values):
            return f"the turn of the {player}"
        beside = near[1] if near else [None] * len(values)
        pairs = zip(losses, values, replayed[1], beside, strict=True)
        if wrong := [name for name, *found in pairs if not self.same(*found)]:
            return f"the loss {wrong[-1]}"
        least = self.loose * max((_norm(mine) for mine in gradients if mine is not None and self.loose), default=0.0)
        also = near[2] if near else [None] * len(gradients)
        for name, mine, theirs, third in zip(parameters, gradients, replayed[2], also, strict=True):
            if mine is None and theirs is None:
                continue
            if mine is None or not self.same(mine, theirs, third, least if mine.numel() < FEW else 0.0):
                return f"the gradient of {name}"
        return ""


def _norm(numbers: Tensor) -> float:
    return float(torch.linalg.vector_norm(numbers.float().nan_to_num(0, 0, 0)))
