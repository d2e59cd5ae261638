"""Steps to compare with: an engine's step without optimizations, and steps that a Python file makes."""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from attrs import evolve, frozen
from torch import Tensor, nn

from ganforge import Batches, Dataset, Engine, InputError, Plan, Values, assemble, nearest

TEXTBOOK = Path(__file__).parent / "textbook"
NEAR = {
    "bf16": 0.1,
    "fp16": 0.1,
}  # largest relative difference between the losses of a step in half precision and of a plain one
SAME = 1e-3  # the same in full precision, where orders of sums differ

Play = Callable[[int, Mapping[str, Tensor]], Mapping[str, Tensor]]  # step and batch -> a loss, or several, by player


@frozen
class PlainStep:
    """The step of an engine without autocast: each player recomputes every pass, and every gradient is computed.

    It has its own engine; its optimizers are in torch's default form.
    """

    engine: Engine

    @classmethod
    def of(cls, plan: Plan, dataset: Dataset, sources: Mapping[str, Any], device: torch.device) -> "PlainStep":
        """Make the step from a recipe, with its own networks and optimizers."""
        compute = evolve(plan.compute, precision="fp32", channels_last=False, compile=False, cuda_graph=False)
        engine, _ = assemble(evolve(plan, compute=compute), dataset, sources, device)
        for player in engine.players.values():
            for group in player.optimizer.param_groups:
                group["fused"] = False  # which is torch's default
        return cls(engine)

    def __call__(self, step: int, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run one step; return the weighted sum of each player's losses."""
        found = {}
        for name, counting in self.engine.weights(step).items():
            player = self.engine.players[name]
            values = Values(self.engine.scheme, batch, list(self.engine.players))
            losses = [player.terms[place].value(values, name) * weight for place, weight in counting.items()]
            for network in self.engine.networks.values():
                network.zero_grad()
            total = torch.stack(losses).sum()
            total.backward()  # type: ignore[no-untyped-call]
            player.optimizer.step()
            found[name] = total.detach()
        return found


def written(name: str, engine: Engine, batches: Batches, width: int) -> Play:
    """Return the step that a file makes, after checking that it computes what the engine does.

    Both run one step from the engine's weights with the same batch.

    Args:
        name: a shipped textbook step, or a Python file.
        engine: the engine whose step it must equal.
        batches: the engine's batches.
        width: the width of the recipe's generator.

    Raises:
        InputError: there is no such step, it raised, or its networks or losses differ.
    """
    path = TEXTBOOK / f"{name}.py"
    if not path.is_file():
        path = Path(name)
    batch = batches(0)
    try:
        step = _load(path).make(batch, width)
        _take_weights(step.networks, engine.networks, name)
        theirs = {player: float(loss) for player, loss in step(batch).items()}
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"--plain {name}: {type(error).__name__}: {error}") from error
    ours = {player: float(losses[0]) for player, losses in engine.step(0, batch).items()}
    near = NEAR.get(engine.compute.precision, SAME)
    for player in ours.keys() | theirs.keys():
        mine, other = ours.get(player), theirs.get(player)
        if mine is None or other is None or abs(mine - other) > near * abs(mine):
            raise InputError(
                f"--plain {name} does not compute what the recipe does: "
                f"the {player}'s loss is {_shown(other)}, not {_shown(mine)}"
            )
    return lambda _, batch: step(batch)


def _load(path: Path) -> Any:
    if not path.is_file():
        shipped = [file.stem for file in TEXTBOOK.glob("[!_]*.py")]
        raise InputError(f"--plain: no file '{path}'; among the shipped steps, {nearest(path.name, shipped)}")
    spec = importlib.util.spec_from_file_location("plain_step", path)
    if spec is None or spec.loader is None:
        raise InputError(f"--plain: '{path}' is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@torch.no_grad()
def _take_weights(theirs: Mapping[str, nn.Module], ours: Mapping[str, nn.Module], name: str) -> None:
    for network, module in ours.items():
        if network not in theirs:
            raise InputError(f"--plain {name} has no network {network}, which the recipe has")
        targets, sources = list(theirs[network].parameters()), list(module.parameters())
        if [one.shape for one in targets] != [one.shape for one in sources]:
            counts = [sum(one.numel() for one in parameters) for parameters in (targets, sources)]
            raise InputError(
                f"--plain {name}: {network} is not the recipe's network: "
                f"{counts[0]:,} numbers in {len(targets)} parameters, not {counts[1]:,} in {len(sources)}"
            )
        for target, source in zip(targets, sources, strict=True):
            target.copy_(source)


def _shown(loss: float | None) -> str:
    return "none" if loss is None else f"{loss:.6g}"
