"""Start a training from the weights of another one, which `train.start` names."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from attrs import frozen
from torch import Tensor

from ganforge.components.plugins import Plugins
from ganforge.data.dataset import Dataset, PictureDataset
from ganforge.errors import Problem, RecipeError
from ganforge.recipe.plan import Plan
from ganforge.runs.checkpoint import kind_of
from ganforge.runs.fit import outlines_of, read_weights
from ganforge.runs.load import Saved, find_saved
from ganforge.runs.trained import Trained
from ganforge.runs.weights import read_head
from ganforge.training import build
from ganforge.training.engine import Engine
from ganforge.training.networks import make_networks

KEY = ("train", "start")
SHOWN = 12  # tensors to name in messages, at most
RESTORED = ("values.", "losses.")  # prefixes of other state to restore: that of values and losses

Tensors = Mapping[str, Tensor]


@frozen(eq=False)
class WarmStart:
    """Weights that fit the networks of a plan, read and checked.

    Attributes:
        networks: the initial tensors of each network.
        held: the state of values and losses, by label.
        digests: the digests of the weights files.
        before: the training that they come from.
        left_out: what does not fit, one line each.
    """

    networks: Mapping[str, Tensors]
    held: Mapping[str, Tensors]
    digests: Mapping[str, str]
    before: Trained
    left_out: Sequence[str]

    def apply(self, plan: Plan, dataset: Dataset, engine: Engine, device: torch.device) -> list[str]:
        """Load the weights into the engine of a run; return messages for the user, one line each."""
        for name, tensors in self.networks.items():
            engine.networks[name].load_state_dict(tensors, strict=False)
        left = []
        for label in self.held.keys() & engine.held.keys():
            state, mine = self.held[label], engine.held[label].state()
            # Buffers created on first use are only in `state`; they will be created again.
            if all(kind_of(state, key) == kind_of(mine, key) for key in mine):
                engine.held[label].restore({key: state[key] for key in mine}, device)
            else:
                left.append(f"train.start: the state of {label} has another form there, so it starts from scratch")
        return [*self.left_out, *sorted(left), *_other_ranges(plan, dataset, self.before)]


def find_warm_start(plan: Plan, dataset: Dataset, plugins: Plugins) -> WarmStart | None:
    """Read the weights that a plan starts from, if any, and check that they fit.

    Raises:
        RecipeError: the weights do not exist or do not fit; up to a dozen of the wrong tensors are named.
    """
    if plan.train.start is None:
        return None
    with plan.located(KEY):
        saved = find_saved(Path(plan.train.start), plugins)
        files = saved.weights.files
        learnt = [name for name, (network, _) in plan.networks.items() if network.player is not None]
        there = {name: read_weights(files[name]) for name in learnt if name in files}
        held = saved.training()["held"]
    absent = [name for name in learnt if name not in there]
    wanted = _wanted(plan, dataset)
    misfits = {name: list(_misfits(name, there[name], wanted[name])) for name in there}
    fitting = {
        name: {key: value for key, value in tensors.items() if kind_of(wanted[name], key) == kind_of(tensors, key)}
        for name, tensors in there.items()
    }
    lines = [line for found in misfits.values() for line in found]
    if not any(fitting.values()):
        nothing = f"nothing in '{plan.train.start}' fits the networks of the recipe"
        raise RecipeError([plan.recipe.problem(KEY, nothing)])
    if (lines or absent) and not plan.train.start_lenient:
        raise RecipeError(list(_problems(plan, saved, lines, absent)))
    notes = [f"train.start: left out: {line}" for line in _shortened(lines)]
    if absent:
        notes.append(f"train.start: missing, so trained from scratch: {', '.join(absent)}")
    return WarmStart(
        fitting,
        {label: state for label, state in held.items() if label.startswith(RESTORED)},
        {name: read_head(files[name]).digest for name, tensors in fitting.items() if tensors},
        saved.outline,
        notes,
    )


def _wanted(plan: Plan, dataset: Dataset) -> dict[str, Tensors]:
    """Return the tensors of each network of a plan; they may be on the meta device."""
    shapes = build.shapes_of(plan, dataset)
    try:
        networks = outlines_of(plan, shapes)
    except NotImplementedError:  # an operation has no meta implementation
        networks = make_networks(plan, shapes, torch.device("cpu"))
    return {name: network.state_dict() for name, network in networks.items()}


def _misfits(network: str, there: Tensors, here: Tensors) -> Iterator[str]:
    """Describe the tensors of a network that differ in shape or dtype, or exist on one side only."""
    for key in sorted(there.keys() | here.keys()):
        if (theirs := kind_of(there, key)) != (mine := kind_of(here, key)):
            yield f"{network}.{key} is {theirs} there, and {mine} here"


def _problems(plan: Plan, saved: Saved, lines: Sequence[str], absent: Sequence[str]) -> Iterator[Problem]:
    """Yield everything that does not fit as problems of the recipe; the last one says what to do."""
    messages = _shortened(lines)
    ignored = saved.weights.ignored
    messages += [ignored[name] for name in absent if name in ignored]
    if nowhere := [name for name in absent if name not in ignored]:
        messages.append(f"'{saved.weights.folder}' does not contain {', '.join(nowhere)}")
    for message in messages:
        last = message is messages[-1]
        yield plan.recipe.problem(KEY, message, "set train.start_lenient = true to start without" if last else "")


def _shortened(lines: Sequence[str]) -> list[str]:
    rest = len(lines) - SHOWN
    return [*lines[:SHOWN], *([f"{rest} more tensors that do not fit"] if rest > 0 else [])]


def _other_ranges(plan: Plan, dataset: Dataset, before: Trained) -> Iterator[str]:
    """Warn if a network's domains have other channels, or files with another value range, than before."""
    compared: set[tuple[str, str]] = set()
    for name in plan.networks.keys() & before.plan.networks.keys():
        domains = (before.plan.networks[name][0].domains, plan.networks[name][0].domains)
        compared.update(zip(*domains, strict=False))
    for theirs, mine in sorted(compared):
        then, now = _about(before.dataset, theirs), _about(dataset, mine)
        if then and now and then != now:
            yield f"train.start: the pictures of domain {theirs} there have {then}, those of {mine} here {now}"


def _about(dataset: Dataset, domain: str) -> str:
    """Describe the channels and value range of a domain's pictures; "" if unknown."""
    shape = dataset.shapes.get(domain, ())
    if not isinstance(dataset, PictureDataset) or len(shape) != 3:
        return ""
    depth = dataset.depths[domain]
    return f"{shape[0]} channel{'s' if shape[0] > 1 else ''} of {depth.kind} from {depth.low:g} to {depth.high:g}"
