"""Make the players of a plan, and check that they and the updates belong together."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ganforge.errors import PluginError, RecipeError, nearest
from ganforge.recipe.plan import Plan
from ganforge.training.player import Player, Term, Update, learnable
from ganforge.training.values import Scheme


def require_players(plan: Plan, update: Update) -> None:
    """Raise a RecipeError if an update is meant for a player that does not exist; it would do nothing."""
    for name in update.players:
        if name not in plan.coupling.players:
            message, hint = f"there is no player '{name}'", nearest(name, plan.coupling.players)
            raise RecipeError([plan.recipe.problem(("updates", update.role, "players"), message, hint)])


def require_apart(players: Mapping[str, Player]) -> None:
    """Raise a PluginError if two players would update the same parameter."""
    owners: dict[nn.Parameter, str] = {}
    for player in players.values():
        for name, parameter in zip(player.names, player.parameters, strict=True):
            if parameter in owners:
                raise PluginError(
                    f"the {owners[parameter]} and the {player.name} both update {name}: pass what a network computes, "
                    "not the network, or let one player update both"
                )
            owners[parameter] = player.name


def make_player(
    plan: Plan, name: str, terms: Sequence[Term], scheme: Scheme, updates: Sequence[Update], device: torch.device
) -> Player:
    """Make a player with its optimizer, and the values that its updates ask for.

    Raises:
        RecipeError: it has losses but no parameters, or a setting of its optimizer cannot follow a schedule.
        PluginError: what makes the optimizer returns something else.
    """
    modules = {label: module for label, module in scheme.modules.items() if label in scheme.learns[name]}
    parameters = [parameter for _, parameter in learnable(modules)]
    choice = plan.optimizers[name]
    if not parameters:
        message = f"the {name} has losses, but no network to update"
        raise RecipeError([plan.recipe.problem(("coupling",), message)])
    with plan.located(("optimizer",)):
        optimizer = choice.make(parameters=parameters)
    if not isinstance(optimizer, torch.optim.Optimizer):
        component = choice.component
        problem = f"returned {type(optimizer).__name__}, expected a torch.optim.Optimizer ({component.written})"
        raise PluginError(f"optimizer '{component.qualified}' {problem}")
    for setting in choice.schedules:
        if setting not in optimizer.param_groups[0]:
            message = f"'{choice.component.name}' cannot change '{setting}' during training"
            raise RecipeError([plan.recipe.problem(("optimizer", setting), message)])
    scaler = torch.amp.GradScaler(device.type, enabled=plan.compute.precision == "fp16")
    player = Player(name, terms, modules, optimizer, choice.schedules, updates, scaler)
    wanted = list(dict.fromkeys(value for update in player.updates for value in update.asks))
    for view in (view.name for view in plan.coupling.views if wanted):
        wiring = scheme.wirings[view]
        player.watched[view] = [value for value in wanted if wiring.offers(value, name)]
        for made in (made for value in player.watched[view] for made in wiring.way_to(value, name)):
            scheme.formula(view, made)  # made now, so that its state is saved and restored
    return player
