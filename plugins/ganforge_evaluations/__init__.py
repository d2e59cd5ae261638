"""Evaluations: figures and numbers from trained networks."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register mode-coverage."""
    from ganforge_evaluations import mode_coverage

    register.evaluation("mode-coverage", mode_coverage.mode_coverage)
