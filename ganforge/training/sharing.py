"""What the ranks of a training share of a step's batch: averages of gradients, rows of all, translations in turn.

Each rank plays its own rows. Gradients are averaged before an optimizer steps, so that weights, optimizers, what else
is saved, and random state are the same on every rank.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ganforge.training import ranks

BUCKET = 25 * 2**20  # bytes of gradients that travel at a time


def average(gradients: Iterable[Tensor | None], what: str) -> None:
    """Average gradients over the ranks, in place; on every rank they are gradients of the same tensors.

    A LostRankError says that a rank is gone.
    """
    if ranks.world() == 1:
        return
    with ranks.doing(what):
        sent = []
        for bucket in _buckets([gradient for gradient in gradients if gradient is not None]):
            flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
            sent.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
        for bucket, flat, work in sent:
            work.wait()
            parts = torch.split(flat.div_(ranks.world()), [gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view(gradient.shape))


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Divide gradients into lists of one type, of about 25 MiB each, in their order."""
    bucket: list[Tensor] = []
    size = 0
    for gradient in gradients:
        if bucket and (size + gradient.nbytes > BUCKET or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(gradient)
        size += gradient.nbytes
    if bucket:
        yield bucket


def gather(rows: Tensor) -> Tensor:
    """Return the rows of all ranks, [world * N, ...] of [N, ...] each; gradients lead back to each one's own."""
    if ranks.world() == 1:
        return rows
    gathered: Tensor = _Gather.apply(rows)
    return gathered


def batch_mean(rows: Tensor) -> Tensor:
    """Return the mean over a step's batch, [...] of [N, ...], where several devices share it: over all of their rows.

    Every formula that compares with a mean over the batch asks for it here, and so does not depend on the devices.
    """
    mean = rows.mean(0)
    return mean if ranks.world() == 1 else gather(mean[None]).mean(0)


class _Gather(torch.autograd.Function):
    """The rows of all ranks. Each rank's result counts, so that a gradient is the sum over ranks."""

    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(ranks.world())]
        with ranks.doing("gathering a batch"):
            dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        found: Tensor = _Scatter.apply(gradients[0])
        return found


class _Scatter(torch.autograd.Function):
    """The sum over ranks, of which each keeps its own rows: what `_Gather` is transposed, and the other way round."""

    @staticmethod
    def forward(context: Any, whole: Tensor) -> Tensor:
        total = whole.clone(memory_format=torch.contiguous_format)
        with ranks.doing("the gradient of a gathered batch"):
            dist.all_reduce(total)
        return total.chunk(ranks.world())[ranks.rank()].clone()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return gather(gradients[0])


def shared(mine: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors of all ranks, on the CPU, in turn: the first of each, the second of each, and so on.

    Rank 0 has as many as any other, and no rank lacks more than the last one; but for that one, all have one shape.
    """
    if ranks.world() == 1:
        return list(mine)
    abouts = ranks.exchange("what is translated", [[list(one.shape), str(one.dtype)] for one in mine])
    found = []
    for place in range(len(abouts[0])):
        for sender, about in enumerate(abouts):
            if place < len(about):
                shape, kind = about[place]
                room = mine[place].contiguous() if sender == ranks.rank() else None
                if room is None:
                    room = torch.empty(shape, dtype=getattr(torch, kind.removeprefix("torch.")))
                with ranks.doing("translations"):
                    dist.broadcast(room, sender, group=ranks.control())
                found.append(room)
    return found
