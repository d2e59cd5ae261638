"""Torch's optimizers, with validated settings."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register adam, adamw, sgd and rmsprop."""
    from ganforge_optimizers import optimizers

    register.optimizer("adam", optimizers.adam)
    register.optimizer("adamw", optimizers.adamw)
    register.optimizer("sgd", optimizers.sgd)
    register.optimizer("rmsprop", optimizers.rmsprop)
