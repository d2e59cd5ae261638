"""The parameters and the arithmetic of a network, counted on the meta device."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ganforge import Component, Counter, InputError, Shape, fill, read_value, takes_one

SIZES = (64, 128, 256)
NOISE = (100,)  # noise for generators that need it
GIVEN = {"shape", "source_shape", "target_shape", "target_mean"}


def costs_of(component: Component, sets: Iterable[str]) -> list[dict[str, Any]]:
    """Count a network's parameters and GFLOP per picture (2 FLOP per multiply-add) at each size that fits.

    Args:
        component: a generator, a discriminator or another network; nothing is counted if it asks for more than shapes,
            or if a setting has no default.
        sets: `key=value`, settings that differ from the defaults.

    Raises:
        InputError: there is no such setting, its value is not allowed, or no size fits.
    """
    settings = _settings(component, dict(_read(text) for text in sets))
    if settings is None or not set(component.signature.given) <= GIVEN:
        return []
    rows, refused = [], ""
    for size in SIZES:
        picture = (3, size, size)
        for source in (picture, NOISE) if component.kind == "generator" else (picture,):
            try:
                row = _count(component, source, picture, settings)
            except (ValueError, InputError) as error:
                refused = refused or str(error)
            else:
                rows += [{"size": f"{size}x{size}", **row}] if row else []
                break
    if sets and not rows and refused:
        raise InputError(refused)
    return rows


def _count(component: Component, source: Shape, target: Shape, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Count for one size; empty if the network cannot be called with pictures alone."""
    try:
        with torch.device("meta"), torch.no_grad():
            mean = torch.zeros(target)
            offered = {"shape": target, "source_shape": source, "target_shape": target, "target_mean": mean}
            network = component.factory(*(offered[name] for name in component.signature.given), **settings)
            if not takes_one(network):
                return {}
            with Counter() as counter:  # type: ignore[no-untyped-call]
                network(torch.zeros(2, *source))  # two, for networks that normalise over a batch
    except (ValueError, InputError):
        raise
    except Exception:  # it does not run on the meta device, or needs more; the parameters are shown all the same
        return {}
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters": parameters, "gflop": counter.operations / 2 / 1e9}


def _read(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--set {text}: expected KEY=VALUE, such as width=32")
    return key.strip(), read_value(value)


def _settings(component: Component, sets: Mapping[str, Any]) -> dict[str, Any] | None:
    """Fill in the settings; None if one without a default is missing."""
    problems: list[str] = []

    def report(key: tuple[str, ...], message: str, hint: str) -> None:
        missing = key[-1] not in sets
        problems.append("" if missing else "; ".join(filter(None, [f"--set {key[-1]}: {message}", hint])))

    values = fill(sets, component.signature.settings, (), report)
    if wrong := [problem for problem in problems if problem]:
        raise InputError(wrong[0])
    return None if problems else values
