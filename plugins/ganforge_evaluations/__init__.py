"""Evaluations: figures and numbers from trained networks."""

from typing import TYPE_CHECKING

from ganforge import Register, hookimpl

if TYPE_CHECKING:
    import typer


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the evaluations of the paper's experiments."""
    from ganforge_evaluations import (
        attributes,
        azimuth,
        diversity,
        fid,
        grid,
        mode_coverage,
        paired_error,
        reconstruction,
    )

    register.evaluation("mode-coverage", mode_coverage.mode_coverage)
    register.evaluation("azimuth", azimuth.azimuth)
    register.evaluation("attributes", attributes.attributes)
    register.evaluation("paired-error", paired_error.paired_error)
    register.evaluation("reconstruction", reconstruction.reconstruction)
    register.evaluation("diversity", diversity.diversity)
    register.evaluation("grid", grid.grid)
    register.evaluation("fid", fid.fid)
    register.evaluation("kid", fid.kid)


@hookimpl
def ganforge_commands(app: "typer.Typer") -> None:
    """Add `ganforge evaluate`."""
    from ganforge_evaluations.commands import evaluate

    app.command()(evaluate)
