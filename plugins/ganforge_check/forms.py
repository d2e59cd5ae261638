"""Checks of the forms in which losses and values are computed: resumed, recorded, in bf16, on a GPU, compiled."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ganforge import Component, Compute, brief, held_by, mapped
from ganforge_check.checks import Finding, LeftOutError, Subject, caller_of, claims, place_of
from ganforge_check.stage import trials_of
from ganforge_check.trial import Trial
from ganforge_check.trying import (
    call,
    changed,
    difference,
    filled,
    gradients_of,
    is_near,
    is_random,
    is_same,
    learnable,
    require_scalar,
)
from ganforge_check.watching import waiting


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
        if not is_same(expected, got):
            fix = "derive it from torch.nn.Module, and keep what it needs by register_buffer"
            yield Finding(f"for the {trial.player} it differs after a checkpoint: {difference(expected, got)}", fix)
        elif not is_same(trial.again().call(), trial.again().call()):
            fix = "draw only with torch.rand and the like, which are seeded and saved; keep no state in variables"
            yield Finding(f"for the {trial.player} the same inputs give another value each time", fix)


def _dimmed(trial: Trial, number: int) -> dict[str, Any]:
    """Return arguments of another step: what holds numbers is a little smaller each time."""

    def dim(tensor: Tensor) -> Tensor:
        return tensor * (1 - 0.1 * number)

    return {
        name: value if isinstance(value, nn.Module) else mapped(lambda one: changed(one, dim), value)
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
    given, leaves = learnable(trial)
    require_scalar(trial.again().call(given))
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
        value = call(trial, filled(given, mine))
        learnt = [*mine, *parameters.values()]
        found: Sequence[Tensor | None] = [None for _ in learnt]
        if value.requires_grad:
            found = torch.autograd.grad(value, learnt, allow_unused=True)
        yield trial.player, torch.stack([value]).detach(), found

    for _ in range(4):
        for _ in recording.play(play, list(tensors.values()), "", lambda _: ["the loss"]):
            pass
    return str(recording.reason)


@claims("loss")
def bf16(subject: Subject) -> Iterator[Finding]:
    """With products in bfloat16, value and gradients are finite, and near those of float32."""
    for trial in trials_of(subject):
        if trial.component.precision == "fp32":
            raise LeftOutError("it is registered with precision='fp32'")
        given, leaves = learnable(trial.again())
        full = trial.again().call(given)
        require_scalar(full)
        try:
            with torch.autocast("cpu", torch.bfloat16):
                half = trial.again().call(given).float()
                found = gradients_of(half, leaves) if half.requires_grad else {}
        except Exception as error:
            place = place_of(error, subject)
            yield Finding(f"in bf16 it raised {brief(error)}", "register it with precision='fp32'", place)
            continue
        if not half.isfinite() or not all(one.isfinite().all() for one in found.values()):
            yield Finding(f"for the {trial.player} it is not finite in bf16", "register it with precision='fp32'")
        elif not is_near(float(full.detach()), float(half.detach()), 0.1):
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
        if not is_random(trial) and not is_near(float(plain.detach()), found, 1e-4):
            told = f"for the {trial.player} it is {float(plain.detach()):.6g}, but {found:.6g} compiled"
            yield Finding(told, "compute only with tensors")
