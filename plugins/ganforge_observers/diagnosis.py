"""Signs of a training that cannot succeed."""

from torch import Tensor

from ganforge import Run


def find_dead_units(run: Run) -> None:
    """Warn of a coordinate (of points) or a channel (of pictures) that a generator leaves the same for every input."""
    with run.sample() as views:
        for view in views:
            for unit in dead_units(view.fake):
                value = float(view.fake[:, unit].flatten()[0])
                run.warn(
                    f"step {run.step}: output unit {unit} of the generator {view.name} is dead: always {value:.3g}. "
                    "A generator that ends in ReLU can revive only by chance; try another seed or output"
                )


def dead_units(translated: Tensor) -> list[int]:
    """Return the units, along dimension 1 of [N, units, ...], whose values are all equal."""
    if len(translated) < 2:
        return []
    values = translated.transpose(0, 1).flatten(1)  # [units, N ...]
    constant: list[int] = (values == values[:, :1]).all(1).nonzero().flatten().tolist()
    return constant
