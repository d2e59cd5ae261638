"""Checks of evaluations: they give the right numbers for known mappings, and change nothing."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from attrs import NOTHING

from ganforge import Findings, InputError, PluginError, Trained, plain
from ganforge_check.checks import Finding, LeftOutError, Subject, claims, defaults_of, narrow
from ganforge_check.couplings import usual_coupling
from ganforge_check.playing import CPU, play_of, recipe_for
from ganforge_check.standins import Mapped

MAPPINGS: tuple[Mapped, ...] = ("perfect", "identity", "constant")
# Data to try until an evaluation accepts one: the stand-in's, then all data sets that need no files.
SIDE = 16


def trained(subject: Subject, mapped: str) -> Trained:
    """Return networks that translate in a known way, on data that the evaluation accepts.

    Raises:
        LeftOutError: it accepts none of the data.
    """
    for data in _data(subject):
        try:
            found = _trained(subject, mapped, data)
            with found.evaluating():
                _evaluate(subject, found)
        except (InputError, PluginError) as error:
            reason = str(error)
            continue
        return found
    raise LeftOutError(f"it accepts none of the data that need no files: {reason}")


def _data(subject: Subject) -> Iterator[dict[str, Any]]:
    """Yield tables of data sets."""
    yield {"use": "ganforge_check/stand-in", "shape": [3, SIDE, SIDE]}
    yield {"use": "ganforge_check/stand-in", "shape": [2]}
    for component in subject.registry.of("dataset"):
        if component.plugin != "ganforge_check" and NOTHING not in defaults_of(component).values():
            small = {**narrow(component), **({"size": SIDE} if "size" in component.signature.settings else {})}
            yield {
                "use": component.qualified,
                **{name: plain(value) for name, value in small.items() if value is not None},
            }


def _trained(subject: Subject, mapped: str, data: Mapping[str, Any]) -> Trained:
    coupling = usual_coupling(subject)
    table = recipe_for(subject.registry, coupling, defaults_of(coupling))
    table = {**table, "dataset": dict(data), "generator": {**table["generator"], "mapped": mapped}}
    play = play_of(subject.registry, table)
    return Trained(play.plan, play.dataset, play.engine.scheme, CPU, 0)


def _evaluate(subject: Subject, found: Trained) -> Findings:
    made = subject.component.factory(found, **subject.complete())
    if not isinstance(made, Findings):
        raise TypeError(f"it returns {type(made).__name__}, not ganforge.Findings")
    return made


def measured(subject: Subject) -> dict[str, Findings]:
    """Return its findings for each known mapping; they are computed once."""
    found: dict[str, Findings] = subject.keep("measured", lambda: _measured(subject))
    return found


def _measured(subject: Subject) -> dict[str, Findings]:
    found: dict[str, Findings] = {}
    for mapped in MAPPINGS:
        one = trained(subject, mapped)
        with one.evaluating():
            found[mapped] = _evaluate(subject, one)
    return found


@claims("evaluation")
def finds(subject: Subject) -> Iterator[Finding]:
    """It gives numbers for the perfect mapping, the identity and a constant; for the perfect mapping, finite ones."""
    for mapped, found in measured(subject).items():
        for name, value in found.metrics.items():
            if not isinstance(value, int | float):
                yield Finding(f"{name} is a {type(value).__name__}, not a number", "return floats: float(tensor)")
            elif mapped == "perfect" and not math.isfinite(value):
                yield Finding(f"for a perfect mapping {name} is {value}", "define it for perfect translations, too")
    if not any(found.metrics or found.figures for found in measured(subject).values()):
        yield Finding("it returns no metrics and no figures", "return ganforge.Findings with some")


@claims("evaluation")
def tells_apart(subject: Subject) -> Iterator[Finding]:
    """Its metrics tell a perfect mapping from a constant one."""
    perfect, constant = (measured(subject)[mapped].metrics for mapped in ("perfect", "constant"))
    if not perfect:
        raise LeftOutError("it has no metrics")
    if all(constant.get(name) == value for name, value in perfect.items()):
        told = ", ".join(f"{name} {value:.4g}" for name, value in list(perfect.items())[:3])
        yield Finding(
            f"a perfect mapping and a constant one get the same: {told}", "check that it uses the translations"
        )


@claims("evaluation")
def steady(subject: Subject) -> Iterator[Finding]:
    """The same networks get the same numbers whatever the random state, and are not changed."""
    one = trained(subject, "perfect")
    before = _weights(one)
    with one.evaluating():
        first = _evaluate(subject, one)
    with one.evaluating():
        torch.rand(7)
        second = _evaluate(subject, one)
    for name, value in first.metrics.items():
        if not _same(value, second.metrics.get(name)):
            fix = "draw with ganforge.random_generator(seed, ...)"
            yield Finding(f"{name} is {value:.6g} and then {second.metrics.get(name)}", fix)
    if moved := [name for name, value in _weights(one).items() if not torch.equal(value, before[name])]:
        yield Finding(
            f"it changes {moved[0]} of the networks it evaluates", "copy what you change, and train only your own"
        )


def _weights(one: Trained) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, network in one.networks.items()
        for key, value in network.state_dict().items()
    }


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)
