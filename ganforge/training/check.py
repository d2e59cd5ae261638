"""Check that all parts of a plan fit together, on the meta device: without memory or arithmetic."""

import re
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from ganforge.components.component import keyword_only
from ganforge.components.settings import Key
from ganforge.data.dataset import Dataset, Shape
from ganforge.errors import Problem, RecipeError, nearest
from ganforge.recipe.plan import LossPlan, Plan
from ganforge.training.build import Bound, labels_of, make_scheme, shapes_of
from ganforge.training.networks import META, check_networks, takes_one
from ganforge.training.player import values_of
from ganforge.training.values import Values
from ganforge.training.wiring import Wiring


def check(plan: Plan, dataset: Dataset) -> Bound:
    """Build everything on the meta device and bind the losses to the coupling's views.

    Raises:
        RecipeError: networks do not accept the shapes, or a loss asks for a value that no view offers.
    """
    problems: list[Problem] = []

    def report(path: Key, message: str, hint: str = "") -> None:
        problem = plan.recipe.problem(path, message, hint)
        problems.extend([] if problem in problems else [problem])

    shapes = shapes_of(plan, dataset)
    if plan.train.augment and all(len(shape) != 3 for shape in dataset.shapes.values()):
        domain, shape = next(iter(dataset.shapes.items()))
        report(("train", "augment"), f"only pictures can be augmented; samples of domain {domain} are {list(shape)}")
    for view in plan.coupling.views:
        for field in view.fields.values():
            if field.partition(".")[0] not in shapes:
                message = f"the view {view.name} needs a domain '{field}', which the data set does not have"
                report(("coupling",), message, nearest(field, shapes))
    for field in plan.coupling.noise.keys() & dataset.shapes.keys():
        report(("coupling", "use"), f"the coupling draws '{field}' as noise, but it is a domain of the data set")
    for pair in plan.coupling.pairs:
        if not any({*pair} <= {*group} for group in dataset.groups):
            name, data = plan.coupling_choice.component.name, plan.dataset.component.name
            message = f"the coupling '{name}' needs pairs of {' and '.join(pair)}; the data set '{data}' draws them"
            report(("coupling", "use"), f"{message} independently", "try 'pairs'")
    networks = check_networks(plan, shapes, report)
    wirings = [Wiring(view, plan.values) for view in plan.coupling.views]
    players = tuple(plan.coupling.players)
    bound: dict[str, list[tuple[LossPlan, str, Mapping[str, str]]]] = {player: [] for player in players}
    for loss in plan.losses:
        for player in players:
            if (asks := loss.asked(player, players)) is not None:
                fitting = [w for w in wirings if all(w.offers(name, player) for name in asks.values())]
                bound[player] += [(loss, wiring.view.name, asks) for wiring in fitting]
                if not fitting:
                    _tell_of_missing(plan, loss, asks, wirings, player, report)
    for role, choice in plan.updates.items():
        # Otherwise the update would never be called.
        wanted = values_of(choice.component.factory)
        if not any(all(w.offers(name, player) for name in wanted) for w in wirings for player in players):
            missing = [name for name in wanted if not any(w.offers(name, p) for w in wirings for p in players)]
            problem = f"no direction offers '{missing[0]}'" if missing else "no direction offers all of them"
            report(("updates", role, "use"), f"'{choice.component.name}' asks for {', '.join(wanted)}; {problem}")
    channels = {shape[0] for shape in dataset.shapes.values() if len(shape) == 3}
    generators = [made for name, made in networks.items() if plan.networks[name][0].kind == "generator"]
    alone = all(map(takes_one, generators)) and not any(view.constants for view in plan.coupling.views)
    if not problems and (len(channels) > 1 or not alone):
        _check_values(plan, networks, shapes, bound, report)
    if problems:
        raise RecipeError(problems)
    return bound


def _check_values(
    plan: Plan,
    networks: Mapping[str, nn.Module],
    shapes: Mapping[str, Shape],
    bound: Bound,
    report: Callable[..., None],
) -> None:
    """Compute the values of losses on the meta device: a generator may need more arguments, or channels may differ."""
    pictures = {domain: shape[0] for domain, shape in shapes.items() if len(shape) == 3}
    differing = ", ".join(f"{domain} has {count}" for domain, count in pictures.items())
    with META:
        scheme, _ = make_scheme(plan, networks, META, {})
        batch = {field: torch.zeros(2, *shape) for field, shape in shapes.items()}
        values = Values(scheme, {**batch, **{field: torch.zeros(2, dtype=torch.long) for field in labels_of(plan)}})
        every = [(p, *asked) for p, losses in bound.items() for asked in losses]
        for player, loss, view, name in [(p, loss, v, name) for p, loss, v, asks in every for name in asks.values()]:
            try:
                values.ask(view, name, player)
            except Exception as error:  # any kind: the first step reports what this check cannot
                generator = scheme.wirings[view].view.networks.get("generator")
                if generator and (fault := _misfit_of_call(str(error.__cause__))):
                    network, choice = plan.networks[generator]
                    names = choice.component.name, plan.coupling_choice.component.name
                    report((network.role, "use"), fault.format(*names))
                elif len(set(pictures.values())) > 1 and _is_misfit(error.__cause__):
                    message = f"'{name}' in the direction {view} needs domains with equal channels, but {differing}"
                    report(("losses", loss.role, "use"), message)


def _misfit_of_call(reason: str) -> str:
    """Describe a mismatch between the arguments of generator {0} and those of coupling {1}; "" if there is none."""
    if lacking := re.search(r"forward\(\) missing .+ arguments?: (.+)", reason):
        return f"'{{0}}' asks for {lacking[1]} besides a sample, which the coupling '{{1}}' does not give"
    if re.search(r"forward\(\) takes .+ were given", reason):
        return "'{0}' takes a sample and nothing else, but the coupling '{1}' gives it more, such as a label"
    return ""


def _is_misfit(error: BaseException | None) -> bool:
    """Return whether an error means that shapes do not fit, not that the meta device lacks an operation."""
    fault = isinstance(error, RuntimeError | ValueError) and not isinstance(error, NotImplementedError)
    return fault and "meta" not in str(error)


def _tell_of_missing(
    plan: Plan,
    loss: LossPlan,
    asks: Mapping[str, str],
    wirings: Sequence[Wiring],
    player: str,
    report: Callable[..., None],
) -> None:
    """Report the values that a loss asks for and no direction offers."""
    name, path = loss.choice.component.name, ("losses", loss.role)
    lacking = {arg: [w.missing(value, player) for w in wirings] for arg, value in asks.items()}
    if all(None in missing for missing in lacking.values()):
        report((*path, "use"), f"no direction offers everything that '{name}' asks for: {', '.join(asks)}")
    for argument, missing in lacking.items():
        value, first = asks[argument], missing[0]
        if first is None or None in missing:
            continue
        if ring := wirings[0].ring(value, player):
            circle = ", which asks for ".join(f"'{one}'" for one in ring)
            hint = "no value may depend on itself; a value that replaces another one needs another name, or on = {...}"
            report((*path, "use"), f"'{name}' asks for '{value}', but values ask for each other: {circle}", hint)
            continue
        rebound, through = argument in loss.table.on, "" if first == value else f" (for its '{value}')"
        offered = sorted({one for wiring in wirings for one in wiring.names(player)})
        why = f"which the coupling '{plan.coupling_choice.component.name}' does not offer"
        hint = nearest(value, offered) if rebound else f"it offers: {', '.join(offered)}"
        askers = [(argument, loss.choice.component), *((first, one.choice.component) for one in plan.values.values())]
        if not rebound and any(component.may_set(asked) for asked, component in askers):
            hint = f"{keyword_only(first, ())}; {hint}"
        elif not rebound and not through:
            near = keyword_only(first, offered)
            hint = near if near.startswith("did") else f"{near}; {hint}"
        if several := plan.rivals.get(first):
            why = "which several plugins offer"
            hint = f"set values.{first}.use to one of {', '.join(several)}"
        written = "" if rebound or through else f" ({loss.choice.component.written})"
        place = (*path, "on", argument) if rebound else (*path, "use")
        report(place, f"'{name}'{written} asks for '{first}'{through}, {why}", hint)
