"""Evaluations: metrics and figures of trained networks."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ganforge import Archive, Register, hookimpl

if TYPE_CHECKING:
    import typer


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the evaluations of the paper's experiments."""
    from ganforge_evaluations import (
        attributes,
        azimuth,
        diversity,
        grid,
        mode_coverage,
        paired_error,
        reconstruction,
    )
    from ganforge_evaluations.fidelity import evaluations, lpips

    register.evaluation("mode-coverage", mode_coverage.mode_coverage)
    register.evaluation("azimuth", azimuth.azimuth)
    register.evaluation("attributes", attributes.attributes)
    register.evaluation("paired-error", paired_error.paired_error)
    register.evaluation("reconstruction", reconstruction.reconstruction)
    register.evaluation("diversity", diversity.diversity)
    register.evaluation("grid", grid.grid)
    register.evaluation("fid", evaluations.fid)
    register.evaluation("kid", evaluations.kid)
    register.evaluation("precision-recall", evaluations.precision_recall)
    register.evaluation("lpips-diversity", lpips.lpips_diversity)


@hookimpl
def ganforge_archives() -> Iterable[Archive]:
    """Return the weights of the networks whose features are used to compare pictures."""
    from ganforge_evaluations.fidelity.archives import ARCHIVES

    return ARCHIVES


@hookimpl
def ganforge_commands(app: "typer.Typer") -> None:
    """Add `ganforge evaluate`."""
    from ganforge_evaluations.commands import evaluate

    app.command()(evaluate)
