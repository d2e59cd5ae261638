"""Checks of losses and values: numbers, gradients, means, and no side effects."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ganforge import Component, Compute, brief, held_by, mapped, tensors_of
from ganforge_check.checks import Finding, LeftOutError, Subject, caller_of, claims, place_of
from ganforge_check.stage import COUNT, Trial, trials_of
from ganforge_check.watching import speaking, waiting

DRAWS = 48  # evaluations averaged for something random
LOUD = 1e3  # factor of scores and features at which a loss must still be finite
STEP = 1e-6  # step of finite differences in float64


@claims("loss")
def scalar(subject: Subject) -> Iterator[Finding]:
    """It returns one real number: a float32 tensor without dimensions that has a graph."""
    for trial in trials_of(subject):
        value = trial.again().call(_leaves(trial)[0])
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
            given, leaves = _leaves(trial, change)
            value = trial.again().call(given)
            _require_scalar(value)
            where = f"for the {trial.player}, with {name} inputs,"
            if not value.isfinite():
                yield Finding(f"{where} it is {float(value.detach()):g}", "use a stable form, such as softplus")
            elif value.requires_grad:
                bad = [
                    leaf.partition(".")[0]
                    for leaf, found in _gradients(value, leaves).items()
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
        given, leaves = _leaves(warm)
        value = warm.call(given)
        _require_scalar(value)
        if not value.requires_grad:
            yield Finding(f"for the {trial.player} it has no gradient at all", "do not detach what it judges")
            continue
        found = _gradients(value, leaves)
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
        given, leaves = _leaves(exact)
        wanted = {key: leaf for key, leaf in leaves.items() if not isinstance(leaf, nn.Parameter)} or leaves
        state = _State(exact)
        value = exact.call(given)
        _require_scalar(value)
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
    found = _gradients(trial.call(given), leaves)
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
        near = 0.25 if _draws(trial) else 1e-3
        if not _close(whole, twice, near):
            fix = "take the mean over the batch, not the sum"
            yield Finding(f"for the {trial.player} it is {whole:.4g}, and {twice:.4g} with each sample twice", fix)
            continue
        first, second = (_average(trial, partial(_half, part)) for part in (0, 1))
        if not _close(whole, (first + second) / 2, near) and not _speaks(trial):
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
    for seed in range(DRAWS if _draws(trial) else 1):
        value = trial.again().call(given, seed)
        _require_scalar(value)
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


@claims("loss", "value")
def resumed(subject: Subject) -> Iterator[Finding]:
    """Its state is in buffers and parameters: a new object that loads them continues as the first would."""
    for trial in trials_of(subject):
        first, other = trial.again(), trial.again()
        for seed in range(3):
            first.call(_dimmed(first, seed), seed)
        mine, theirs = held_by(first.made), held_by(other.made)
        if mine is not None and theirs is not None:
            _hand_over(mine, theirs)
        given = _dimmed(first, 3)
        expected, got = first.call(given, 3), other.call(given, 3)
        if not _same(expected, got):
            fix = "derive it from torch.nn.Module, and keep what it needs by register_buffer"
            yield Finding(f"for the {trial.player} it differs after a checkpoint: {_differ(expected, got)}", fix)
        elif not _same(trial.again().call(), trial.again().call()):
            fix = "draw only with torch.rand and the like, which are seeded and saved; keep no state in variables"
            yield Finding(f"for the {trial.player} the same inputs give another value each time", fix)


def _dimmed(trial: Trial, number: int) -> dict[str, Any]:
    """Return arguments of another step: what holds numbers is a little smaller each time."""

    def dim(tensor: Tensor) -> Tensor:
        return tensor * (1 - 0.1 * number)

    return {
        name: value if isinstance(value, nn.Module) else mapped(lambda one: _changed(one, dim), value)
        for name, value in trial.given.items()
    }


def _hand_over(mine: nn.Module, theirs: nn.Module) -> None:
    """Give a module the buffers and parameters of another one, as a checkpoint does."""
    modules = dict(theirs.named_modules())
    for name, value in mine.state_dict().items():
        path, _, leaf = name.rpartition(".")
        if leaf in modules[path]._parameters:
            modules[path]._parameters[leaf] = nn.Parameter(value.detach().clone())
        elif isinstance(value, Tensor):
            modules[path]._buffers[leaf] = value.detach().clone()


@claims("loss")
def recorded(subject: Subject) -> Iterator[Finding]:
    """A recorded step gives the same numbers as the step itself, bit for bit."""
    recorder = next(subject.registry.of("recorder"), None)
    if recorder is None:
        raise LeftOutError("no installed plugin offers a recorder")
    for trial in trials_of(subject):
        if reason := _unrecordable(trial.again(), recorder):
            fix = "use only torch's operations, and keep state in buffers"
            yield Finding(f"for the {trial.player} it cannot be recorded: {reason}", fix)


def _unrecordable(trial: Trial, recorder: Component) -> str:
    """Play a loss four times by a recorder, which audits steps; return why it gave up, or nothing."""
    given, leaves = _leaves(trial)
    _require_scalar(trial.again().call(given))
    parameters = {name: leaf for name, leaf in leaves.items() if isinstance(leaf, nn.Parameter)}
    tensors = {name: leaf.detach() for name, leaf in leaves.items() if name not in parameters}
    ones = [torch.ones((), requires_grad=True) for _ in tensors]
    recording = recorder.factory(
        trial.modules,
        [SimpleNamespace(label="the loss", made=trial.made)],
        {trial.player: SimpleNamespace(watched={}, names=[*tensors, *parameters])},
        Compute(compile="trace"),
    )

    def play(inputs: Sequence[Tensor]) -> Iterator[Any]:
        # Multiplying by a learnable one gives inputs a graph, without calls to autograd during the recording.
        mine = [tensor * one for tensor, one in zip(inputs, ones, strict=True)]
        value = _call(trial, _filled(given, mine))
        learnt = [*mine, *parameters.values()]
        found: Sequence[Tensor | None] = [None for _ in learnt]
        if value.requires_grad:
            found = torch.autograd.grad(value, learnt, allow_unused=True)
        yield trial.player, torch.stack([value]).detach(), found

    for _ in range(4):
        for _ in recording.play(play, list(tensors.values()), "", lambda _: ["the loss"]):
            pass
    return str(recording.reason)


def _call(trial: Trial, given: Mapping[str, Any]) -> Tensor:
    """Compute it without setting a seed: random draws are recorded as they are."""
    function = trial.made if trial.method is None else getattr(trial.made, trial.method)
    found: Tensor = function(**given)
    return found


@claims("loss")
def bf16(subject: Subject) -> Iterator[Finding]:
    """With products in bfloat16, value and gradients are finite, and near those of float32."""
    for trial in trials_of(subject):
        if trial.component.precision == "fp32":
            raise LeftOutError("it is registered with precision='fp32'")
        given, leaves = _leaves(trial.again())
        full = trial.again().call(given)
        _require_scalar(full)
        try:
            with torch.autocast("cpu", torch.bfloat16):
                half = trial.again().call(given).float()
                found = _gradients(half, leaves) if half.requires_grad else {}
        except Exception as error:
            place = place_of(error, subject)
            yield Finding(f"in bf16 it raised {brief(error)}", "register it with precision='fp32'", place)
            continue
        if not half.isfinite() or not all(one.isfinite().all() for one in found.values()):
            yield Finding(f"for the {trial.player} it is not finite in bf16", "register it with precision='fp32'")
        elif not _close(float(full.detach()), float(half.detach()), 0.1):
            told = f"{float(full.detach()):.4g}, but {float(half.detach()):.4g} in bf16"
            yield Finding(f"for the {trial.player} it is {told}", "register it with precision='fp32'")


@claims("loss", "value")
def no_waiting(subject: Subject) -> Iterator[Finding]:
    """It never waits for the device: no .item(), float(tensor), .cpu(), `if tensor:` or mask of unknown size."""
    fix = "use torch.where, clamp or a buffer instead of a Python number, and .detach() for what is only logged"
    for trial in trials_of(subject):
        told: dict[str, str] = {}  # line -> what it calls first

        def note(what: str, told: dict[str, str] = told) -> None:
            told.setdefault(caller_of(subject), _WAITS.get(what, what))

        with waiting(note):
            trial.again().call()
        for place, what in told.items():
            yield Finding(f"for the {trial.player} it waits: {what}", fix, place)
        if not told and torch.cuda.is_available():
            yield from _waits_on_cuda(trial)


_WAITS = {
    "_local_scalar_dense": "a tensor is converted to a Python number",
    "is_nonzero": "a tensor is used as true or false",
}


def _waits_on_cuda(trial: Trial) -> Iterator[Finding]:
    """Have CUDA itself report synchronisations."""
    there = trial.at("cuda")
    before = torch.cuda.get_sync_debug_mode()
    there.call()  # the first call may wait for one-time setup
    torch.cuda.set_sync_debug_mode("error")
    try:
        there.call()
    except RuntimeError as error:
        yield Finding(f"for the {trial.player} it waits on a GPU: {brief(error)}", "leave all numbers on the device")
    finally:
        torch.cuda.set_sync_debug_mode(before)


@claims("loss", slow=True)
def compiled(subject: Subject) -> Iterator[Finding]:
    """torch.compile compiles it whole (fullgraph=True), and it gives the same value."""
    for trial in trials_of(subject):
        plain, fresh = trial.again().call(), trial.again()
        made = fresh.made if fresh.method is None else getattr(fresh.made, fresh.method)
        torch._dynamo.reset()
        function = torch.compile(made, fullgraph=True, backend="aot_eager")
        try:
            torch.manual_seed(0)
            found = float(function(**fresh.given).detach())  # type: ignore[no-untyped-call]
        except Exception as error:
            if "torch.autograd.grad" in str(error):
                reason = "it differentiates inside, which torch.compile cannot do; recorded steps are compiled instead"
                raise LeftOutError(reason) from error
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            yield Finding(f"for the {trial.player} it cannot be compiled: {reason}", "use only torch's operations")
            continue
        if not _draws(trial) and not _close(float(plain.detach()), found, 1e-4):
            told = f"for the {trial.player} it is {float(plain.detach()):.6g}, but {found:.6g} compiled"
            yield Finding(told, "compute only with tensors")


def _leaves(
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
            given[name] = mapped(lambda one: _changed(one, change), value)
            learnt = {str(place): one for place, one in enumerate(tensors_of(given[name])) if one.is_floating_point()}
        if name in trial.learnt:
            leaves |= {f"{name}.{key}": one.requires_grad_() for key, one in learnt.items()}
    return given, leaves


def _changed(tensor: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Return a copy of a tensor, changed unless it holds integers such as indices or labels."""
    copy = tensor.detach().clone()
    return change(copy) if copy.is_floating_point() else copy


def _filled(given: Mapping[str, Any], tensors: Sequence[Tensor]) -> dict[str, Any]:
    """Return arguments with their leaves replaced."""
    others = iter(tensors)

    def other(tensor: Tensor) -> Tensor:
        return next(others) if tensor.requires_grad else tensor

    return {name: value if isinstance(value, nn.Module) else mapped(other, value) for name, value in given.items()}


def _gradients(value: Tensor, leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradient of each leaf; zeros if none reaches it."""
    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True, retain_graph=True) if leaves else ()
    pairs = zip(leaves.items(), found, strict=True)
    return {name: torch.zeros_like(leaf) if one is None else one for (name, leaf), one in pairs}


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


def _require_scalar(value: Any) -> None:
    if not isinstance(value, Tensor) or value.ndim or value.is_complex():
        raise LeftOutError("it does not return a scalar")


def _draws(trial: Trial) -> bool:
    """Whether it draws at random."""
    fresh = trial.again()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        before = torch.get_rng_state()
        _call(fresh, fresh.given)
        return not torch.equal(before, torch.get_rng_state())


def _close(one: float, other: float, near: float) -> bool:
    return abs(one - other) <= near * max(abs(one), abs(other), 1e-3)


def _same(one: Any, other: Any) -> bool:
    pairs = zip(tensors_of(one), tensors_of(other), strict=False)
    return all(mine.shape == its.shape and torch.equal(mine.nan_to_num(), its.nan_to_num()) for mine, its in pairs)


def _differ(one: Any, other: Any) -> str:
    mine, its = (tensors_of(found)[0].detach().float().mean() for found in (one, other))
    return f"{float(mine):.6g} and {float(its):.6g}"
