"""What every method of the proof must keep: the same numbers as a plain loop, in every form, stopped or not."""

import copy
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ganforge.components.plugins import Plugins
from ganforge.data.batches import Batches
from ganforge.recipe import layers
from ganforge.recipe.resolve import resolve
from ganforge.runs.assemble import assemble, settle
from ganforge.training import build
from ganforge.training.engine import Engine

CPU = torch.device("cpu")
ROUNDING = 1e-12  # gradients in float64 that are not larger are nothing else
Modules = Mapping[str, nn.Module]
Plain = Callable[[Modules, Modules], Callable[[int, Mapping[str, Tensor]], None]]


class Case:
    """A method with a recipe of a few tiny steps; where it is no shipped one, with a plugin file."""

    def __init__(self, recipe: str, folder: Path, plugin: Path | None = None) -> None:
        self.recipe = folder / "case.toml"
        self.recipe.write_text((f'plugins = ["{plugin}"]\n' if plugin else "") + recipe)
        self.plugins = Plugins()
        self.plugins.load_installed()
        if plugin:
            self.plugins.load_file(plugin)

    def engine(self, *sets: str) -> tuple[Engine, Batches]:
        """Make the engine and its batches."""
        loaded = layers.load(self.recipe, sets, self.plugins.recipes())
        plan, dataset = settle(resolve(loaded, self.plugins.registry), CPU)
        return assemble(plan, dataset, build.read_data(plan, dataset)["train"], CPU)


def as_double(samples: Tensor) -> Tensor:
    """Turn floats into doubles, and leave labels alone."""
    return samples.double() if samples.is_floating_point() else samples


def assert_equals_plain(case: Case, plain: Plain, *sets: str, steps: int = 6) -> None:
    """Train in float64 as the engine does and as a plain loop does; every weight and buffer agrees to 1e-9.

    Parameters whose gradient is nothing but rounding are left out, such as a bias before a norm: Adam enlarges it.

    Args:
        case: the method.
        plain: is given copies of the networks, and of the modules that losses, values and updates hold, by their
            labels; returns what plays one step on a batch.
        sets: overrides of the recipe.
        steps: how many.
    """
    engine, batches = case.engine("compute.compile=false", "compute.precision=fp32", *sets)
    for module in engine.modules.values():
        module.double()
    networks = {name: copy.deepcopy(network) for name, network in engine.networks.items()}
    held = {name: copy.deepcopy(one.module) for name, one in engine.held.items()}
    play = plain(networks, held)
    moved, learnt = set[str](), set[str]()
    for step in range(steps):
        batch = {name: as_double(samples) for name, samples in batches(step).items()}
        state = torch.get_rng_state()
        engine.step(step, batch)
        torch.set_rng_state(state)
        play(step, batch)
        for name, module in {**networks, **held}.items():
            mine = engine.modules[name].state_dict()
            trained = {key: one.grad for key, one in module.named_parameters() if one.grad is not None}
            learnt |= {f"{name}.{key}" for key in trained}
            moved |= {f"{name}.{key}" for key, gradient in trained.items() if gradient.abs().max() > ROUNDING}
            for key, value in module.state_dict().items():
                if key not in trained or f"{name}.{key}" in moved:
                    torch.testing.assert_close(
                        mine[key], value, rtol=1e-9, atol=1e-9, msg=partial("{0}.{1}: {2}".format, name, key)
                    )
    assert all(name.endswith("bias") for name in learnt - moved)


def train(case: Case, *sets: str, steps: int = 12) -> tuple[Engine, list[dict[str, list[float]]]]:
    """Train some steps from fixed random numbers; return the engine and all losses."""
    engine, batches = case.engine(*sets)
    torch.manual_seed(3)
    losses = [{name: found.tolist() for name, found in engine.step(s, batches(s)).items()} for s in range(steps)]
    return engine, losses


def assert_half(case: Case) -> None:
    """Some steps in bfloat16 give finite losses, not far from those in fp32."""
    _, exact = train(case, "compute.precision=fp32", "compute.compile=false", steps=3)
    _, half = train(case, "compute.precision=bf16", "compute.compile=false", steps=3)
    for one, other in zip(exact, half, strict=True):
        for player, values in one.items():
            torch.testing.assert_close(torch.tensor(other[player]), torch.tensor(values), rtol=0.2, atol=0.2)


def assert_recorded(case: Case) -> str:
    """Recorded steps give the same bits as others; return why they are not recorded, if they are not."""
    recorded, mine = train(case, 'compute.compile="trace"', "compute.precision=fp32")
    plain, theirs = train(case, "compute.compile=false", "compute.precision=fp32")
    assert mine == theirs
    for name, module in recorded.modules.items():
        other = plain.modules[name].state_dict()
        assert all(torch.equal(value, other[key]) for key, value in module.state_dict().items()), name
    return recorded.recording.reason


def assert_resumes(case: Case, ganforge: Callable[..., Any], folder: Path, stop: int = 5, steps: int = 9) -> Path:
    """A run that was stopped and gone on with ends with the same bits; return the folder of the undisturbed one."""
    whole, parted = folder / "whole", folder / "parted"
    for out, count in ((whole, steps), (parted, stop)):
        result = ganforge("run", case.recipe, "--out", out, "--set", f"train.steps={count}")
        assert result.status == 0, result.err
    run = next(path.parent for path in parted.glob("*/*/recipe.lock.toml"))
    result = ganforge("resume", run, "--set", f"train.steps={steps}")
    assert result.status == 0, result.err
    one, other = (sorted(out.glob(f"*/*/checkpoints/step-{steps:08d}/*.safetensors")) for out in (whole, parted))
    assert [path.name for path in one] == [path.name for path in other]
    for mine, theirs in zip(one, other, strict=True):
        a, b = load_file(mine), load_file(theirs)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a), mine.name
    return one[0].parent
