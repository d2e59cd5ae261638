"""Try a loss or a value: its arguments as leaves, its gradients, and comparisons of results."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganforge import mapped, tensors_of
from ganforge_check.checks import LeftOutError
from ganforge_check.trial import Trial


def call(trial: Trial, given: Mapping[str, Any]) -> Tensor:
    """Compute it without setting a seed: random draws are recorded as they are."""
    function = trial.made if trial.method is None else getattr(trial.made, trial.method)
    found: Tensor = function(**given)
    return found


def learnable(
    trial: Trial, change: Callable[[Tensor], Tensor] = lambda one: one
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return arguments in which everything that came through the player's networks is a learnable leaf; and the leaves.

    Leaves, by name, are the changed tensors of such arguments and the parameters of given networks.
    """
    leaves: dict[str, Tensor] = {}
    given: dict[str, Any] = {}
    learnt: dict[str, Tensor]
    for name, value in trial.given.items():
        if isinstance(value, nn.Module):
            given[name], learnt = value, {**dict(value.named_parameters())}
        else:
            given[name] = mapped(lambda one: changed(one, change), value)
            learnt = {str(place): one for place, one in enumerate(tensors_of(given[name])) if one.is_floating_point()}
        if name in trial.learnt:
            leaves |= {f"{name}.{key}": one.requires_grad_() for key, one in learnt.items()}
    return given, leaves


def changed(tensor: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Return a copy of a tensor, changed unless it holds integers such as indices or labels."""
    copy = tensor.detach().clone()
    return change(copy) if copy.is_floating_point() else copy


def filled(given: Mapping[str, Any], tensors: Sequence[Tensor]) -> dict[str, Any]:
    """Return arguments with their leaves replaced."""
    others = iter(tensors)

    def other(tensor: Tensor) -> Tensor:
        return next(others) if tensor.requires_grad else tensor

    return {name: value if isinstance(value, nn.Module) else mapped(other, value) for name, value in given.items()}


def gradients_of(value: Tensor, leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradient of each leaf; zeros if none reaches it."""
    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True, retain_graph=True) if leaves else ()
    pairs = zip(leaves.items(), found, strict=True)
    return {name: torch.zeros_like(leaf) if one is None else one for (name, leaf), one in pairs}


def require_scalar(value: Any) -> None:
    """Raise a LeftOutError unless a loss returned a real scalar."""
    if not isinstance(value, Tensor) or value.ndim or value.is_complex():
        raise LeftOutError("it does not return a scalar")


def is_random(trial: Trial) -> bool:
    """Whether it draws at random."""
    fresh = trial.again()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        before = torch.get_rng_state()
        call(fresh, fresh.given)
        return not torch.equal(before, torch.get_rng_state())


def is_near(one: float, other: float, near: float) -> bool:
    """Return whether numbers differ by at most a share `near` of the larger one, or of 0.001."""
    return abs(one - other) <= near * max(abs(one), abs(other), 1e-3)


def is_same(one: Any, other: Any) -> bool:
    """Return whether all tensors of two nests are equal, bit for bit."""
    pairs = zip(tensors_of(one), tensors_of(other), strict=False)
    return all(mine.shape == its.shape and torch.equal(mine.nan_to_num(), its.nan_to_num()) for mine, its in pairs)


def difference(one: Any, other: Any) -> str:
    """Return the means of the first tensors of two nests, as text."""
    mine, its = (tensors_of(found)[0].detach().float().mean() for found in (one, other))
    return f"{float(mine):.6g} and {float(its):.6g}"
