"""From a plan to networks, optimizers and an engine; and the proof, on the meta device, that they fit together."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from attrs import evolve
from torch import Tensor, nn

from ganforge.components.coupling import Network, View
from ganforge.components.settings import Key
from ganforge.data.batches import Batches, Sources, normal, read, silent
from ganforge.data.dataset import SPLITS, Dataset, Report, Shape, Split, derive
from ganforge.errors import InputError, PluginError, Problem, RecipeError, nearest
from ganforge.recipe.plan import Choice, LossPlan, Plan
from ganforge.training.engine import Engine
from ganforge.training.formula import Formula, mapped
from ganforge.training.player import Player, Term, Update, learnable, values_of
from ganforge.training.state import Held, held_by
from ganforge.training.values import Scheme, Wiring

Mean = Callable[[str], Tensor]
Report_ = Callable[..., None]
Bound = Mapping[str, Sequence[tuple[LossPlan, str, Mapping[str, str]]]]  # a player's losses, each with view and asks


def make_dataset(plan: Plan) -> Dataset:
    """Make the data set object; nothing is read yet."""
    with located(plan, ("dataset",)):
        dataset = plan.dataset.make()
    if not isinstance(dataset, Dataset):
        raise PluginError(f"dataset '{plan.dataset.component.qualified}' is not derived from ganforge.Dataset")
    return dataset


def read_data(plan: Plan, dataset: Dataset, report: Report = silent) -> dict[Split, Sources]:
    """Read both splits, and prepare what is not in the cache yet.

    Raises:
        RecipeError: the data are not there, are broken, or are too few for a batch.
    """
    noise: Sources = {field: normal(shape) for field, shape in plan.coupling.noise.items()}
    with located(plan, ("dataset",)):
        sizes: dict[Split, int] = {"train": plan.train.batch, "test": 0}
        labels = labels_of(plan)
        return {s: {**noise, **read(dataset, s, report, plan.name, sizes[s], labels)} for s in SPLITS}


@contextmanager
def located(plan: Plan, path: Key) -> Iterator[None]:
    """While a component is at work: what it finds wrong with its settings becomes a problem of the recipe at `path`."""
    try:
        yield
    except RecipeError:
        raise
    except (InputError, ValueError) as error:
        key = getattr(error, "key", "")
        raise RecipeError([plan.recipe.problem((*path, key) if key else path, str(error))]) from error


def shapes_of(plan: Plan, dataset: Dataset) -> dict[str, Shape]:
    """Return the shape of a sample of each domain, and of each field that the coupling draws."""
    return {**dataset.shapes, **plan.coupling.noise}


def labels_of(plan: Plan) -> list[str]:
    """Return the fields of the batch that are labels, such as `B.age`."""
    fields = [field for view in plan.coupling.views for field in view.fields.values()]
    return [field for field in dict.fromkeys(fields) if "." in field]


def check(plan: Plan, dataset: Dataset) -> Bound:
    """Build everything without memory or arithmetic and bind the losses to the coupling's views.

    Raises:
        RecipeError: networks do not take these shapes, or a loss asks for what no view offers.
    """
    device = torch.device("meta")
    shapes = shapes_of(plan, dataset)
    problems: list[Problem] = []

    def report(path: Key, message: str, hint: str = "") -> None:
        problem = plan.recipe.problem(path, message, hint)
        if problem not in problems:
            problems.append(problem)

    if plan.train.augment and all(len(shape) != 3 for shape in dataset.shapes.values()):
        domain, shape = next(iter(dataset.shapes.items()))
        message = f"only pictures can be changed at random; domain {domain} holds {list(shape)}"
        report(("train", "augment"), message)
    for view in plan.coupling.views:
        for field in view.fields.values():
            if field.partition(".")[0] not in shapes:
                message = f"the view {view.name} needs a domain '{field}', which the data set does not have"
                report(("coupling",), message, nearest(field, shapes))
    zeros = {domain: torch.zeros(shape, device=device) for domain, shape in shapes.items()}
    made: dict[str, nn.Module] = {}
    for name, (network, choice) in plan.networks.items():
        try:
            with device:
                made[name] = _make_network(network, choice, shapes, lambda domain: zeros[domain], made)
                _check_network(made[name], network, choice, shapes, min(2, plan.train.batch))
        except PluginError:
            raise
        except NotImplementedError:
            continue  # an operation of it has no meta form: the first step will tell
        except (InputError, ValueError, RuntimeError, OverflowError) as error:
            report((network.role,), str(error).partition("\n")[0])
        except Exception as error:
            raise PluginError(f"{network.role} '{choice.component.qualified}' failed") from error
    bound = bind(plan, report)
    if problems:
        raise RecipeError(problems)
    return bound


def bind(plan: Plan, report: Report_) -> Bound:
    """Bind each loss, for each player, to every view that offers what it asks for."""
    wirings = [Wiring(view, plan.values) for view in plan.coupling.views]
    players = tuple(plan.coupling.players)
    bound: dict[str, list[tuple[LossPlan, str, Mapping[str, str]]]] = {player: [] for player in players}
    for loss in plan.losses:
        for player in players:
            asks = loss.asked(player, players)
            if asks is None:
                continue
            fitting = [w for w in wirings if all(w.offers(name, player) for name in asks.values())]
            bound[player] += [(loss, wiring.view.name, asks) for wiring in fitting]
            if not fitting and all(any(w.offers(name, player) for w in wirings) for name in asks.values()):
                message = f"no direction offers all that '{loss.choice.component.name}' asks for: {', '.join(asks)}"
                report(("losses", loss.role, "use"), message)
            for argument, name in asks.items() if not fitting else ():
                missing = [wiring.missing(name, player) for wiring in wirings]
                if None not in missing:
                    rebound = argument in loss.table.on
                    offered = sorted({name for wiring in wirings for name in wiring.names(player)})
                    through = f" (for its '{name}')" if missing[0] != name else ""
                    if several := plan.rivals.get(missing[0] or ""):
                        why = "which several plugins offer"
                        hint = f"set values.{missing[0]}.use to one of {', '.join(several)}"
                    else:
                        why = f"which the coupling '{plan.coupling_choice.component.name}' does not offer"
                        hint = nearest(name, offered) if rebound else f"it offers: {', '.join(offered)}"
                    report(
                        ("losses", loss.role, *(("on", argument) if rebound else ("use",))),
                        f"'{loss.choice.component.name}' asks for '{missing[0]}'{through}, {why}",
                        hint,
                    )
    _check_updates(plan, wirings, report)
    return bound


def _check_updates(plan: Plan, wirings: Sequence[Wiring], report: Report_) -> None:
    """Refuse an update that would never be called, since no direction offers what it asks for."""
    players = plan.coupling.players
    for role, choice in plan.updates.items():
        method = getattr(choice.component.factory, "after", None)
        wanted = values_of(method) if method else []
        if not any(all(w.offers(name, player) for name in wanted) for w in wirings for player in players):
            missing = [name for name in wanted if not any(w.offers(name, p) for w in wirings for p in players)]
            problem = f"no direction offers '{missing[0]}'" if missing else "no direction offers all of them"
            report(("updates", role, "use"), f"'{choice.component.name}' asks for {', '.join(wanted)}; {problem}")


def make_networks(
    plan: Plan, shapes: Mapping[str, Shape], device: torch.device, mean: Mean | None = None
) -> dict[str, nn.Module]:
    """Make and initialise every network; one of the same name starts alike in every recipe of the same seed.

    Args:
        plan: says which.
        shapes: of a sample of each domain.
        device: where they will live; they are initialised on the CPU, so that every device starts alike.
        mean: returns the mean training sample of a domain; needed only before a training.
    """
    mean = mean or (lambda domain: torch.zeros(shapes[domain]))
    networks: dict[str, nn.Module] = {}
    for name, (network, choice) in plan.networks.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(plan.train.seed, "network", name))
            with located(plan, (network.role,)):
                networks[name] = _make_network(network, choice, shapes, mean, networks)
        if network.player is None:
            networks[name].requires_grad_(False)
    return {name: network.to(device) for name, network in networks.items()}


def make_scheme(
    plan: Plan, networks: Mapping[str, nn.Module], device: torch.device, bound: Bound
) -> tuple[Scheme, dict[str, Held]]:
    """Make what makes values, with the modules that are held by it.

    Args:
        plan: says how.
        networks: by name.
        device: where they are.
        bound: the losses of each player, as `check` returned them; without any, nothing is learnt.
    """
    views = [*plan.coupling.views, *_further_views(plan)]
    wirings = {view.name: Wiring(_placed(view, device), plan.values) for view in views}
    held: dict[str, Held] = {}
    learns = {
        player: {name for name, (network, _) in plan.networks.items() if network.player == player and name in networks}
        for player in plan.coupling.players
    }

    def make(view: str, name: str) -> Formula:
        value = plan.values[name]
        return make_formula(plan, f"values.{name}.{view}", value.choice, device, held, lasts=value.lasts)

    scheme = Scheme(list(wirings.values()), make, dict(networks), learns)
    for player, losses in bound.items():
        for _, view, asks in losses:
            for asked in asks.values():
                for name in wirings[view].way_to(asked, player):
                    label = scheme.formula(view, name).label
                    if label in held and held[label].parameters:
                        scheme.modules[label] = held[label].module
                        learns[player].add(label)
    return scheme, held


def _placed(view: View, device: torch.device) -> View:
    """Put the tensors among a view's constants where the networks are."""
    return evolve(view, constants=mapped(lambda tensor: tensor.to(device), dict(view.constants)))


def _further_views(plan: Plan) -> list[View]:
    """Return a view for each generator that the coupling has only for another direction's sake, such as a way back."""
    taken = {view.name for view in plan.coupling.views}
    used = {name for view in plan.coupling.views for value, name in view.networks.items() if value == "generator"}
    found = []
    for name, (network, _) in plan.networks.items():
        if network.kind == "generator" and name not in used and network.label not in taken:
            fields = {"source": network.domains[0], "real": network.domains[-1]}
            found.append(View(network.label, network.domains, fields, {"generator": name}))
    return found


def make_formula(
    plan: Plan, label: str, choice: Choice, device: torch.device, held: dict[str, Held], *, lasts: bool = False
) -> Formula:
    """Make a value or a loss for a view, with random numbers of its own; what it holds is added to `held`."""
    made: Any = partial(choice.component.factory, **choice.first)
    if isinstance(choice.component.factory, type):
        with torch.random.fork_rng(devices=[]), located(plan, tuple(label.split(".")[:2])):
            torch.manual_seed(derive(plan.train.seed, label))
            made = choice.make()
    if (module := held_by(made)) is not None:
        held[label] = Held(module.to(device))
    return Formula(label, choice, made, lasts)


def make_engine(plan: Plan, bound: Bound, batches: Batches, shapes: Mapping[str, Shape]) -> Engine:
    """Make the engine of a fresh run, with initialised networks and optimizers; nothing in the plan is `auto`.

    Raises:
        RecipeError: a player has losses, but no parameter to learn, or a number of its optimizer cannot change.
    """
    networks = make_networks(plan, shapes, batches.device, batches.mean)
    if plan.compute.channels_last is True:
        networks = {name: network.to(memory_format=torch.channels_last) for name, network in networks.items()}
    scheme, held = make_scheme(plan, networks, batches.device, bound)
    updates = []
    for role, choice in plan.updates.items():
        formula = make_formula(plan, f"updates.{role}", choice, batches.device, held)
        updates.append(Update(role, formula.made))
    if (module := held_by(plan.coupling)) is not None:
        held["coupling"] = Held(module.to(batches.device))
    players = {}
    for player, losses in bound.items():
        if losses:
            terms = _make_terms(plan, player, losses, scheme, held, batches.device)
            players[player] = _make_player(plan, player, terms, scheme, updates, batches.device)
    rhythm = partial(plan.train.playing, tuple(players))
    recorder = plan.recorder.make if plan.recorder else None
    return Engine(networks, scheme, players, rhythm, updates, held, plan.compute, batches.device, recorder)


def _make_terms(
    plan: Plan, player: str, losses: Sequence[Any], scheme: Scheme, held: dict[str, Held], device: torch.device
) -> list[Term]:
    """Make the losses of a player; one that counts for several players is one object for each view."""
    terms = []
    for loss, view, asks in losses:
        label = f"losses.{loss.role}.{view}"
        if label not in scheme.losses:
            scheme.losses[label] = make_formula(plan, label, loss.choice, device, held)
        if label in held and held[label].parameters:
            scheme.modules[label] = held[label].module
            scheme.learns[player].add(label)
        terms.append(Term(loss, view, scheme.losses[label], asks))
    return terms


def _make_player(
    plan: Plan, name: str, terms: Sequence[Term], scheme: Scheme, updates: Sequence[Update], device: torch.device
) -> Player:
    modules = {module: scheme.modules[module] for module in scheme.modules if module in scheme.learns[name]}
    parameters = [parameter for _, parameter in learnable(modules)]
    choice = plan.optimizers[name]
    path = ("optimizer",)
    if not parameters:
        message = f"the {name} has losses, but no network of the coupling is updated by it"
        raise RecipeError([plan.recipe.problem(("coupling",), message)])
    with located(plan, path):
        optimizer = choice.make(parameters=parameters)
    for setting in choice.schedules:
        if setting not in optimizer.param_groups[0]:
            message = f"'{choice.component.name}' does not let '{setting}' change while it trains"
            raise RecipeError([plan.recipe.problem((*path, setting), message)])
    scaler = torch.amp.GradScaler(device.type, enabled=plan.compute.precision == "fp16")
    player = Player(name, terms, modules, optimizer, choice.schedules, updates, scaler)
    wanted = list(dict.fromkeys(value for update in player.updates for value in update.asks()))
    for view in (view.name for view in plan.coupling.views if wanted):
        wiring = scheme.wirings[view]
        if offered := [value for value in wanted if wiring.offers(value, name)]:
            player.watched[view] = offered
            for made in (made for value in offered for made in wiring.way_to(value, name)):
                scheme.formula(view, made)  # now, so that what it holds is saved and restored
    return player


def _make_network(
    network: Network, choice: Choice, shapes: Mapping[str, Shape], mean: Mean, made: Mapping[str, nn.Module]
) -> nn.Module:
    """Make a network of what its component asks for: shapes of its domains, and facts that the coupling gives."""
    for domain in network.domains:
        if domain not in shapes:
            raise InputError(f"{network.name} needs a domain {domain}; the data set has {', '.join(shapes)}")
    asked = choice.component.signature.given
    given: dict[str, Any] = {"shapes": shapes}
    if network.domains:
        given["source_shape"], given["target_shape"] = shapes[network.domains[0]], shapes[network.domains[-1]]
        first, *others = (shapes[domain] for domain in network.domains)
        given["shape"] = (first[0] + sum(other[0] for other in others), *first[1:]) if first else first
        if "target_mean" in asked:
            given["target_mean"] = mean(network.domains[-1])
    for name, fact in network.facts.items():
        given[name] = made[fact.name] if isinstance(fact, Network) else fact
    if missing := [name for name in asked if name not in given]:
        raise InputError(
            f"'{choice.component.name}' asks for '{missing[0]}', but the coupling gives {', '.join(sorted(given))}; "
            "make it keyword-only if it is a setting"
        )
    module = choice.make(**given)
    if not isinstance(module, nn.Module):
        raise PluginError(f"{network.role} '{choice.component.qualified}' is not a torch.nn.Module")
    return module


def _check_network(
    module: nn.Module, network: Network, choice: Choice, shapes: Mapping[str, Shape], count: int
) -> None:
    """Run one or two samples through a network on the meta device and look at what comes out."""
    label = f"{network.role} '{choice.component.qualified}'"
    if network.kind == "generator" and _takes_one(module):
        made = module(torch.zeros(count, *shapes[network.domains[0]]))
        expected = (count, *shapes[network.domains[-1]])
        if isinstance(made, Tensor) and tuple(made.shape) != expected:
            raise PluginError(f"{label} returned shape {list(made.shape)}, expected {list(expected)}")
    elif network.kind == "discriminator" and len(network.domains) == 1 and _takes_one(module):
        result = module(torch.zeros(count, *shapes[network.domains[0]]))
        if not (isinstance(result, tuple) and len(result) >= 2):
            raise PluginError(f"{label} must return (score, tuple of features)")


def _takes_one(module: nn.Module) -> bool:
    """Whether a network can be called with one tensor alone; others take more, such as a label."""
    needed = [p for p in inspect.signature(module.forward).parameters.values() if p.default is p.empty]
    return len([p for p in needed if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]) <= 1
