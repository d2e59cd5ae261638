"""Build the engine of a plan: networks, players and optimizers, with values and losses bound to views."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from attrs import evolve
from torch import nn

from ganforge.components.coupling import View
from ganforge.components.guard import brief
from ganforge.data import held_out
from ganforge.data.batches import Batches
from ganforge.data.dataset import Dataset, Decided, Drawn, Report, Samples, Shape, Sources, derive, random_generator
from ganforge.data.files import listed_once
from ganforge.data.reading import Ready, normal, read, silent
from ganforge.data.split import Split
from ganforge.errors import InputError, PluginError
from ganforge.recipe.plan import Choice, LossPlan, Plan
from ganforge.training import ranks
from ganforge.training.engine import Engine
from ganforge.training.formula import Formula, mapped
from ganforge.training.make_player import make_player, require_apart, require_players
from ganforge.training.networks import make_networks
from ganforge.training.player import Term, Update
from ganforge.training.state import Held, held_by
from ganforge.training.values import Scheme
from ganforge.training.wiring import Wiring

Bound = Mapping[str, Sequence[tuple[LossPlan, str, Mapping[str, str]]]]  # each player's losses, with view and asks


def make_dataset(plan: Plan) -> Dataset:
    """Make the data set object without reading anything."""
    with plan.located(("dataset",)):
        dataset = plan.dataset.make()
    if not isinstance(dataset, Dataset):
        component = plan.dataset.component
        raise PluginError(f"dataset '{component.qualified}' is not derived from ganforge.Dataset ({component.written})")
    return dataset


def decide(
    plan: Plan, dataset: Dataset, report: Report = silent, ready: Ready | None = None
) -> tuple[Plan, Dataset, Decided]:
    """Let the data set decide open settings, and make it again with these.

    `ready` makes the samples ready that it inspects; the default is the plan's cache. Raise a RecipeError if data are
    missing.
    """
    with plan.located(("dataset",)):
        decided = dataset.decide(ready or ready_of(plan), report)
    if not decided.settings:
        return plan, dataset, decided
    plan = evolve(plan, dataset=evolve(plan.dataset, settings={**plan.dataset.settings, **decided.settings}))
    return plan, make_dataset(plan), decided


def decide_and_read(
    plan: Plan, dataset: Dataset, report: Report = silent
) -> tuple[Plan, Dataset, Decided, dict[Split, Sources]]:
    """Call `decide`, then `read_data`; folders are listed once for both."""
    with listed_once():
        plan, dataset, decided = decide(plan, dataset, report)
        return plan, dataset, decided, read_data(plan, dataset, report)


def read_data(plan: Plan, dataset: Dataset, report: Report = silent) -> dict[Split, Sources]:
    """Read all splits, including `validation` if the recipe has it, and prepare what is not in the cache yet.

    Raises:
        RecipeError: data are missing, broken, or too few for a batch or for validation.
    """
    return {
        **read_split(plan, dataset, "train", report, plan.train.batch),
        **(read_split(plan, dataset, "test", report) if plan.data.validation is None else {}),
    }


def read_split(
    plan: Plan, dataset: Dataset, split: Split, report: Report = silent, batch: int = 0
) -> dict[Split, Sources]:
    """Read a split as `read_data` does; with validation samples, any split but `test` reads all splits."""
    noise: Sources = {field: normal(shape) for field, shape in plan.coupling.noise.items()}
    validation = plan.data.validation
    with plan.located(("dataset",)):
        rest = (ready_of(plan), report, plan.name, batch, labels_of(plan))
        found: dict[Split, Sources]
        if validation is None or split == "test":
            found = {split: read(dataset, split, *rest)}
        else:
            found = held_out.read_divided(dataset, validation, *rest)
    for sources in found.values():
        _require_shapes(plan, dataset, sources)
    return {name: {**noise, **sources} for name, sources in found.items()}


def _require_shapes(plan: Plan, dataset: Dataset, sources: Sources) -> None:
    """Raise a PluginError if samples do not have the shape that the data set declares."""
    component = plan.dataset.component
    for domain, shape in dataset.shapes.items():
        samples = sources.get(domain)
        if isinstance(samples, Drawn):
            one = samples.draw(1, random_generator(0, domain))
        elif samples is not None and samples.length:
            one = samples.load([0])
        else:
            continue
        if tuple(one.shape) != (1, *shape):
            got = f"samples of shape {list(one.shape[1:])} in domain {domain}, but declares {list(shape)}"
            raise PluginError(f"dataset '{component.qualified}' returns {got} ({component.written})")


def open_all(plan: Plan, dataset: Dataset) -> dict[Split, Mapping[str, Samples]]:
    """Open all splits, including separate validation samples; raise a RecipeError if data are missing."""
    with plan.located(("dataset",)):
        return held_out.open_all(dataset, plan.data.validation)


def ready_of(plan: Plan) -> Ready | None:
    """Return the cache, which makes prepared samples ready, if a plugin offers one."""
    return plan.cache.make if plan.cache else None


def shapes_of(plan: Plan, dataset: Dataset) -> dict[str, Shape]:
    """Return the sample shape of each domain, and of each field that the coupling draws."""
    return {**dataset.shapes, **plan.coupling.noise}


def labels_of(plan: Plan) -> list[str]:
    """Return the fields of the batch that are labels, such as `B.age`."""
    fields = [field for view in plan.coupling.views for field in view.fields.values()]
    return [field for field in dict.fromkeys(fields) if "." in field]


def make_scheme(
    plan: Plan, networks: Mapping[str, nn.Module], device: torch.device, bound: Bound
) -> tuple[Scheme, dict[str, Held]]:
    """Make the scheme that computes values, and the modules that its formulas hold.

    Args:
        plan: the plan.
        networks: the networks by name.
        device: the device of the networks.
        bound: the losses of each player, as `check` returned them; empty if nothing is trained.
    """
    held: dict[str, Held] = {}

    def make(view: str, name: str) -> Formula:
        value = plan.values[name]
        return _make_formula(plan, f"values.{name}.{view}", value.choice, device, held, lasts=value.lasts)

    wirings = [Wiring(_placed(view, device), plan.values) for view in [*plan.coupling.views, *_further_views(plan)]]
    learns: dict[str, set[str]] = {player: set() for player in plan.coupling.players}
    for name, (network, _) in plan.networks.items():
        if network.player is not None and name in networks:
            learns[network.player].add(name)
    scheme = Scheme(wirings, make, dict(networks), learns)
    for player, losses in bound.items():
        for _, view, asks in losses:
            for asked in asks.values():
                for name in scheme.wirings[view].way_to(asked, player):
                    _let_learn(scheme, player, scheme.formula(view, name).label, held)
    return scheme, held


def _let_learn(scheme: Scheme, player: str, label: str, held: Mapping[str, Held]) -> None:
    """Let a player train the parameters of a formula that it asks for."""
    if label in held and held[label].parameters:
        scheme.modules[label] = held[label].module
        scheme.learns[player].add(label)


def _placed(view: View, device: torch.device) -> View:
    """Move the tensors among a view's constants to the device."""
    return evolve(view, constants=mapped(lambda tensor: tensor.to(device), dict(view.constants)))


def _further_views(plan: Plan) -> list[View]:
    """Return a view for each generator that only serves another direction, such as the inverse of one."""
    taken = {view.name for view in plan.coupling.views}
    used = {view.networks.get("generator") for view in plan.coupling.views}
    return [
        View(
            network.label,
            network.domains,
            {"source": network.domains[0], "real": network.domains[-1]},
            {"generator": name},
        )
        for name, (network, _) in plan.networks.items()
        if network.kind == "generator" and name not in used and network.label not in taken
    ]


def _make_formula(
    plan: Plan, label: str, choice: Choice, device: torch.device, held: dict[str, Held], *, lasts: bool = False
) -> Formula:
    """Make a value, loss or update, with its own random state; add the modules that it holds to `held`."""
    made: Any = partial(choice.component.factory, **choice.first)
    if isinstance(choice.component.factory, type):
        with torch.random.fork_rng(devices=[]), plan.located(tuple(label.split(".")[:2])):
            torch.manual_seed(derive(plan.train.seed, label))
            made = _make_object(choice)
    if (module := held_by(made)) is not None:
        held[label] = Held(module.to(device))
    return Formula(label, choice, made, lasts)


def _make_object(choice: Choice) -> Any:
    """Make the object of a class.

    Raises:
        PluginError: it cannot be made, is a module without its state, or does not keep a setting that has a schedule.
    """
    component = choice.component
    named = f"{component.kind} '{component.qualified}' ({component.written})"
    try:
        made = choice.make()
    except (InputError, PluginError, ValueError):
        raise
    except Exception as error:
        raise PluginError(f"{named} failed: {brief(error)}") from error
    if isinstance(made, nn.Module) and "_modules" not in vars(made):
        raise PluginError(f"{named} is a module without its state: call super().__init__() first in its __init__")
    for name in choice.schedules:
        try:
            kept = getattr(made, name) == choice.first[name]
            object.__setattr__(made, name, choice.first[name])
        except AttributeError:
            kept = False
        if not kept:
            raise PluginError(f"{named} must keep its setting '{name}' as `self.{name}`, unchanged: it has a schedule")
    return made


def make_engine(plan: Plan, bound: Bound, batches: Batches, shapes: Mapping[str, Shape]) -> Engine:
    """Make the engine of a new run, with initialised networks and optimizers; only CUDA graphs may still be `auto`.

    Raises:
        RecipeError: a player has losses but no parameters, or a setting of its optimizer cannot follow a schedule.
    """
    device = batches.device
    networks = make_networks(plan, shapes, device, batches.mean)
    if plan.compute.channels_last is True:
        networks = {name: network.to(memory_format=torch.channels_last) for name, network in networks.items()}
    scheme, held = make_scheme(plan, networks, device, bound)
    updates = [
        Update(role, _make_formula(plan, f"updates.{role}", choice, device, held).made)
        for role, choice in plan.updates.items()
    ]
    for update in updates:
        require_players(plan, update)
    if (module := held_by(plan.coupling)) is not None:
        held["coupling"] = Held(module.to(device))
    players = {}
    for name, losses in bound.items():
        terms = []
        for loss, view, asks in losses:
            label = f"losses.{loss.role}.{view}"  # one object for each view, even if it counts for several players
            if label not in scheme.losses:
                scheme.losses[label] = _make_formula(plan, label, loss.choice, device, held)
            _let_learn(scheme, name, label, held)
            terms.append(Term(loss, view, scheme.losses[label], asks))
        if terms:
            players[name] = make_player(plan, name, terms, scheme, updates, device)
    require_apart(players)
    rhythm = partial(plan.train.playing, tuple(players))
    parts = plan.train.accumulate
    # Communication between ranks, and random numbers shared by parts of a batch, cannot be recorded.
    divided = parts * ranks.world() > 1
    recorder = plan.recorder.make if plan.recorder and not divided else None
    engine = Engine(networks, scheme, players, rhythm, updates, held, plan.compute, device, recorder, parts)
    if divided and (plan.compute.compile is True or plan.compute.cuda_graph is True):
        engine.recording.reason = "the batch is divided into parts or among devices"
    return engine
