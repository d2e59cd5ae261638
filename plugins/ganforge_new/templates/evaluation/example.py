"""The evaluation `example`."""

from typing import Annotated

from attrs.validators import ge
from ganforge import (
    Drawn,
    Findings,
    InputError,
    Register,
    Trained,
    as_float,
    hookimpl,
    random_generator,
)
from torch import Tensor


def example(trained: Trained, *, limit: Annotated[int, ge(1)] = 1000) -> Findings:
    """Distance between the mean translation and the mean real sample: 0 is perfect.

    Args:
        trained: networks that translate pictures or points.
        limit: largest number of test samples of each domain.

    Returns:
        `example_AB`, and the same for other directions.

    Raises:
        InputError: a domain has no test samples, or a direction translates nothing.
    """
    metrics, about = {}, {}
    for direction in trained.directions:
        source = _samples(trained, trained.source(direction), limit)
        real = _samples(trained, trained.target(direction), limit)
        metrics[f"example_{direction}"] = distance(trained.translate(direction, source), real)
        about[f"samples_{direction}"] = len(source)
    return Findings(metrics, about=about)


def distance(translated: Tensor, real: Tensor) -> float:
    """Return the mean of |E[translated] - E[real]|; both are [N, ...]."""
    return float((translated.mean(0) - real.mean(0)).abs().mean())


def _samples(trained: Trained, domain: str, limit: int) -> Tensor:
    """Return test samples of a domain, [N, ...], as floats."""
    found = trained.samples("test")[domain]
    if isinstance(found, Drawn):
        return found.draw(limit, random_generator(0, domain))
    if not found.length:
        raise InputError(f"the domain {domain} has no test samples")
    return as_float(found.load(range(min(limit, found.length))))


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the evaluation."""
    register.evaluation("example", example)
