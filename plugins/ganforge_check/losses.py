"""Checks of losses and values: numbers, gradients, means, and inputs that stay as they are."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ganforge import held_by, mapped, tensors_of
from ganforge_check.checks import Finding, LeftOutError, Subject, claims
from ganforge_check.stage import COUNT, trials_of
from ganforge_check.trial import Trial
from ganforge_check.trying import gradients_of, is_near, is_random, learnable, require_scalar
from ganforge_check.watching import speaking

DRAWS = 48  # evaluations averaged for something random
LOUD = 1e3  # factor of scores and features at which a loss must still be finite
STEP = 1e-6  # step of finite differences in float64


@claims("loss")
def scalar(subject: Subject) -> Iterator[Finding]:
    """It returns one real number: a float32 tensor without dimensions that has a graph."""
    for trial in trials_of(subject):
        value = trial.again().call(learnable(trial)[0])
        if not isinstance(value, Tensor):
            yield Finding(f"for the {trial.player} it returns {type(value).__name__}", "return a scalar tensor")
        elif value.ndim or value.is_complex():
            shape = f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
            yield Finding(f"for the {trial.player} it returns {shape}, not a scalar", "end with .mean()")
        elif value.dtype != torch.float32:
            fix = "keep the type of the inputs: no .half(), no torch.float64"
            yield Finding(f"for the {trial.player} it returns {value.dtype} for float32", fix)


@claims("loss")
def finite(subject: Subject) -> Iterator[Finding]:
    """The value and its gradients are finite for random, constant, zero, equal and extreme inputs."""
    for trial in trials_of(subject):
        for name, change in _VARIATIONS.items():
            given, leaves = learnable(trial, change)
            value = trial.again().call(given)
            require_scalar(value)
            where = f"for the {trial.player}, with {name} inputs,"
            if not value.isfinite():
                yield Finding(f"{where} it is {float(value.detach()):g}", "use a stable form, such as softplus")
            elif value.requires_grad:
                bad = [
                    leaf.partition(".")[0]
                    for leaf, found in gradients_of(value, leaves).items()
                    if not found.isfinite().all()
                ]
                if bad:
                    fix = "keep square roots, norms, logarithms and quotients away from 0, for example with an eps"
                    yield Finding(f"{where} the gradient of {bad[0]} is not finite", fix)


@claims("loss")
def gradient(subject: Subject) -> Iterator[Finding]:
    """The gradient reaches every input that came through the player's networks, and no input is made to learn."""
    for trial in trials_of(subject):
        yield from _touched(trial.again())
        warm = trial.warmed()
        given, leaves = learnable(warm)
        value = warm.call(given)
        require_scalar(value)
        if not value.requires_grad:
            yield Finding(f"for the {trial.player} it has no gradient at all", "do not detach what it judges")
            continue
        found = gradients_of(value, leaves)
        reached = {name.partition(".")[0] for name, one in found.items() if bool(one.any())}
        for name in trial.learnt:
            if name not in reached and tensors_of(given[name]):
                problem = f"for the {trial.player} no gradient reaches '{name}'"
                yield Finding(problem, f"do not detach or round '{name}', or do not ask for it")
        networks = [name for name in trial.learnt if isinstance(given[name], nn.Module)]
        if networks and not reached & {*trial.learnt}:
            yield Finding(f"for the {trial.player} no gradient reaches {networks[0]}", "do not detach what it returns")


def _touched(trial: Trial) -> Iterator[Finding]:
    """Compare the inputs before and after: requires_grad, and whether they have gradients."""
    given = {name: mapped(lambda one: one.requires_grad_(False), value) for name, value in trial.given.items()}
    before = {name: _flags(value) for name, value in given.items()}
    value = trial.call(given)
    for name, flags in before.items():
        if _flags(given[name]) != flags:
            fix = f"differentiate with respect to {name}.detach().requires_grad_(), and by torch.autograd.grad"
            yield Finding(f"for the {trial.player} it makes '{name}' learn: requires_grad or .grad has changed", fix)
    del value


def _flags(value: Any) -> list[tuple[bool, bool]]:
    tensors = list(value.parameters()) if isinstance(value, nn.Module) else tensors_of(value)
    return [(one.requires_grad, one.grad is not None) for one in tensors]


@claims("loss")
def gradcheck(subject: Subject) -> Iterator[Finding]:
    """In float64 its gradient is the slope of its values, and the value is float64."""
    for trial in trials_of(subject):
        exact = trial.at(torch.float64)
        given, leaves = learnable(exact)
        wanted = {key: leaf for key, leaf in leaves.items() if not isinstance(leaf, nn.Parameter)} or leaves
        state = _State(exact)
        value = exact.call(given)
        require_scalar(value)
        if value.dtype != torch.float64:
            fix = "make new tensors with the type of the inputs: torch.zeros_like, dtype=x.dtype"
            yield Finding(f"for the {trial.player} it computes in {value.dtype} from float64 inputs", fix)
            continue
        if not value.requires_grad:
            continue
        told, seen = _slopes(exact, given, wanted, state)
        if abs(told - seen) > 1e-3 * max(abs(told), abs(seen), 1e-4):
            fix = "do not detach a part of the formula, and correct the backward of your own functions"
            yield Finding(f"for the {trial.player} the slope is {seen:.6g}, but its gradient says {told:.6g}", fix)


def _slopes(
    trial: Trial, given: Mapping[str, Any], leaves: Mapping[str, Tensor], state: "_State"
) -> tuple[float, float]:
    """Return the slope along a random direction, once from the gradient and once from finite differences."""
    state.put_back()
    found = gradients_of(trial.call(given), leaves)
    drawn = torch.Generator().manual_seed(1)
    direction = {name: torch.randn(leaf.shape, generator=drawn, dtype=leaf.dtype) for name, leaf in leaves.items()}

    def moved(by: float) -> float:
        state.put_back()
        _move(leaves, direction, by)
        value = float(trial.call(given).detach())
        _move(leaves, direction, -by)
        return value

    told = sum(float((found[name] * direction[name]).sum()) for name in leaves)
    return told, (moved(STEP) - moved(-STEP)) / (2 * STEP)


def _move(leaves: Mapping[str, Tensor], direction: Mapping[str, Tensor], by: float) -> None:
    with torch.no_grad():
        for name, leaf in leaves.items():
            leaf.add_(by * direction[name])


@claims("loss")
def mean(subject: Subject) -> Iterator[Finding]:
    """It is a mean over the batch: repeated samples change nothing, and halves of a batch average to the whole."""
    for trial in trials_of(subject):
        if trial.component.whole:
            raise LeftOutError("it is registered with whole=True")
        whole = _average(trial, lambda tensor: tensor)
        twice = _average(trial, lambda tensor: torch.cat([tensor, tensor]))
        near = 0.25 if is_random(trial) else 1e-3
        if not is_near(whole, twice, near):
            fix = "take the mean over the batch, not the sum"
            yield Finding(f"for the {trial.player} it is {whole:.4g}, and {twice:.4g} with each sample twice", fix)
            continue
        first, second = (_average(trial, partial(_half, part)) for part in (0, 1))
        if not is_near(whole, (first + second) / 2, near) and not _speaks(trial):
            fix = "use ganforge.batch_mean or ganforge.gather for what sees the batch, or register with whole=True"
            yield Finding(f"for the {trial.player} it is {whole:.4g}, but {first:.4g} and {second:.4g} for halves", fix)


def _half(part: int, tensor: Tensor) -> Tensor:
    return tensor.chunk(2)[part]


def _speaks(trial: Trial) -> bool:
    """Whether it sees the rows of all devices that share a batch."""
    told: list[str] = []
    with speaking(told):
        trial.again().call()
    return bool(told)


def _average(trial: Trial, change: Callable[[Tensor], Tensor]) -> float:
    """Return the value for a changed batch; for something random, the mean of many."""
    given = {
        name: value
        if isinstance(value, nn.Module)
        else mapped(lambda one: change(one) if one.ndim and len(one) == COUNT else one, value)
        for name, value in trial.given.items()
    }
    found = []
    for seed in range(DRAWS if is_random(trial) else 1):
        value = trial.again().call(given, seed)
        require_scalar(value)
        found.append(float(value.detach()))
    return sum(found) / len(found)


@claims("loss", "value")
def in_place(subject: Subject) -> Iterator[Finding]:
    """It changes none of its inputs in place."""
    for trial in trials_of(subject):
        fresh = trial.again()
        before = {name: [one.clone() for one in tensors_of(value)] for name, value in fresh.given.items()}
        fresh.call()
        for name, tensors in before.items():
            pairs = zip(tensors, tensors_of(fresh.given[name]), strict=True)
            if any(not torch.equal(one.nan_to_num(), other.nan_to_num()) for one, other in pairs):
                fix = f"work on a copy: '{name}.clone()', and operations without a trailing underscore"
                yield Finding(f"for the {trial.player} it changes '{name}'", fix)


class _State:
    """A copy of the buffers of a trial's object, to restore them before it is computed again."""

    def __init__(self, trial: Trial) -> None:
        held = held_by(trial.made)
        self.buffers = [(one, one.clone()) for one in (held.buffers() if held else ())]

    def put_back(self) -> None:
        """Restore them."""
        with torch.no_grad():
            for buffer, value in self.buffers:
                buffer.copy_(value)


def _is_picture(tensor: Tensor) -> bool:
    return tensor.ndim == 4 and bool((tensor >= 0).all() and (tensor <= 1).all())


def _extreme(tensor: Tensor) -> Tensor:
    return (tensor > 0.5).to(tensor.dtype) if _is_picture(tensor) else LOUD * tensor


_VARIATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "random": lambda one: one,
    "zero": torch.zeros_like,
    "constant": lambda one: torch.full_like(one, 0.5),
    "equal": torch.ones_like,
    "extreme": _extreme,
}
