"""MUNIT: several translations of one picture, by content and style (Huang et al. 2018, arXiv 1804.04732)."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the coupling and the values of a direction."""
    from ganforge_munit import wiring

    register.coupling("munit", wiring.MUNIT)
    for value in wiring.VALUES:
        register.value(value.__name__, value)
