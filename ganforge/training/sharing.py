"""Share a batch among ranks: average gradients, gather rows and translations, normalise over all rows.

Each rank plays its own rows. Gradients are averaged before an optimizer steps, so that weights, optimizers, other saved
state and random state are the same on every rank.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from ganforge.training import ranks

BUCKET = 25 * 2**20  # bytes of gradients sent at a time


def average(gradients: Iterable[Tensor | None], what: str) -> None:
    """Average gradients over the ranks, in place; every rank must pass gradients of the same tensors.

    Raise a LostRankError if a rank is gone.
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
    """Divide gradients, in order, into lists of one dtype and at most about 25 MiB."""
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
    """Return the rows of all ranks, [world * N, ...] from [N, ...] each; gradients flow back to each rank's rows."""
    if ranks.world() == 1:
        return rows
    gathered: Tensor = _Gather.apply(rows)
    return gathered


def batch_mean(rows: Tensor) -> Tensor:
    """Return the mean over a step's batch, [...] from [N, ...], including the rows of all devices.

    Formulas that use a mean over the batch call this, so that they do not depend on the number of devices.
    """
    mean = rows.mean(0)
    return mean if ranks.world() == 1 else gather(mean[None]).mean(0)


class _Gather(torch.autograd.Function):
    """The rows of all ranks. Every rank uses the result, so the gradient is the sum over ranks."""

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
    """The sum over ranks, of which each keeps its own rows: the transpose of `_Gather`, and vice versa."""

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
    """Return the tensors of all ranks, on the CPU, interleaved: the first of each, the second of each, and so on.

    Rank 0 has at least as many tensors as any other, and no rank lacks more than the last one. All tensors but the
    last have the same shape.
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


def batch_norm(
    maps: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Compute `torch.nn.functional.batch_norm` with the statistics of all ranks' rows (Ioffe & Szegedy 2015).

    It is differentiable any number of times.
    """
    if not training:
        return functional.batch_norm(maps, running_mean, running_var, weight, bias, training, momentum, eps)
    full = maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps
    count = ranks.world() * full.numel() // full.shape[1]
    if count < 2:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(maps.shape)}")
    variance, mean = torch.var_mean(full, [0, *range(2, full.ndim)], correction=0)
    means, variances = gather(torch.stack([mean, variance])[None]).unbind(1)  # [world, C]
    mean = means.mean(0)
    variance = (variances + (means - mean).square()).mean(0)
    with torch.no_grad():
        if running_mean is not None:
            running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
        if running_var is not None:
            running_var.mul_(1 - momentum).add_(variance, alpha=momentum * count / (count - 1))
    scale = torch.rsqrt(variance + eps)
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    along = (1, -1, *(1 for _ in full.shape[2:]))
    return torch.addcmul(shift.view(along), full, scale.view(along)).to(maps.dtype)
