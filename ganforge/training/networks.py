"""Make the networks of a plan, and check on the meta device that they accept the data set's shapes."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from ganforge.components.component import keyword_only
from ganforge.components.coupling import Network
from ganforge.components.guard import brief
from ganforge.components.settings import Key
from ganforge.data.dataset import Shape, derive
from ganforge.errors import InputError, PluginError
from ganforge.recipe.plan import Choice, Plan
from ganforge.training.numerics import single_value

META = torch.device("meta")
Mean = Callable[[str], Tensor]
Problems = Callable[[Key, str, str], None]  # called with (key, message, hint)


def make_networks(
    plan: Plan, shapes: Mapping[str, Shape], device: torch.device, mean: Mean | None = None
) -> dict[str, nn.Module]:
    """Make and initialise all networks; equal names and seeds give equal weights in every recipe.

    Args:
        plan: the plan.
        shapes: the sample shape of each domain.
        device: their device; they are initialised on the CPU, so that every device starts with the same weights.
        mean: returns the mean training sample of a domain; needed only before a training.
    """
    mean = mean or (lambda domain: torch.zeros(shapes[domain]))
    networks: dict[str, nn.Module] = {}
    for name, (network, choice) in plan.networks.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(plan.train.seed, "network", name))
            with plan.located((network.role,)):
                networks[name] = _make_network(network, choice, shapes, mean, networks)
        if network.player is None:
            networks[name].requires_grad_(False)
    return {name: network.to(device) for name, network in networks.items()}


def with_facts(plan: Plan, names: Iterable[str]) -> set[str]:
    """Return the names of networks and of all networks that their facts contain, directly or indirectly."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [fact.name for fact in plan.networks[name][0].facts.values() if isinstance(fact, Network)]
    return found


def check_networks(plan: Plan, shapes: Mapping[str, Shape], report: Problems) -> dict[str, nn.Module]:
    """Make all networks on the meta device, check their outputs, and return them."""
    zeros = {domain: torch.zeros(shape, device=META) for domain, shape in shapes.items()}
    made: dict[str, nn.Module] = {}
    for name, (network, choice) in plan.networks.items():
        if any(isinstance(fact, Network) and fact.name not in made for fact in network.facts.values()):
            continue  # the problem of the network that it contains was reported
        try:
            with META:
                made[name] = _make_network(network, choice, shapes, zeros.__getitem__, made)
                before = named_parameters(made[name])
                _check_network(made[name], network, choice, shapes, min(2, plan.train.batch))
                require_complete(made[name], before, f"{network.role} '{choice.component.qualified}'")
        except PluginError:
            raise
        except NotImplementedError:
            continue  # it has an operation without a meta implementation: the first step checks it
        except (InputError, ValueError, RuntimeError, OverflowError) as error:
            if whole := single_value(error):
                small = whole == "batch" and plan.train.batch == 1
                hint = "set train.batch to 2 or more" if small else "use larger samples or another network"
                message = f"the {network.role} normalises over a single value per channel of a {whole}"
                report(("train", "batch") if small else (network.role,), message, hint)
            else:
                report((network.role,), str(error).partition("\n")[0], "")
        except Exception as error:
            raise PluginError(f"{network.role} '{choice.component.qualified}' failed: {brief(error)}") from error
    return made


def _make_network(
    network: Network, choice: Choice, shapes: Mapping[str, Shape], mean: Mean, made: Mapping[str, nn.Module]
) -> nn.Module:
    """Make a network from the arguments that its component asks for: shapes of its domains, and facts."""
    for domain in network.domains:
        if domain not in shapes:
            raise InputError(f"{network.name} needs the domain {domain}; the data set has {', '.join(shapes)}")
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
            f"{keyword_only(missing[0], given)} ({choice.component.written})"
        )
    module = choice.make(**given)
    if not isinstance(module, nn.Module):
        got = f"made {type(module).__name__}, expected a torch.nn.Module"
        raise PluginError(f"{network.role} '{choice.component.qualified}' ({choice.component.written}) {got}")
    return module


def named_parameters(module: nn.Module) -> set[str]:
    """Return the names of a module's parameters, without those that have no shape yet."""
    return {name for name, one in module.named_parameters() if not isinstance(one, UninitializedParameter)}


def require_complete(module: nn.Module, before: set[str], label: str) -> None:
    """Raise a PluginError if a module has made parameters in a call: they would be neither trained nor loaded."""
    names = {name for name, _ in module.named_parameters()}
    if late := sorted(names - before):
        raise PluginError(
            f"{label} makes the parameter '{late[0]}' when it is called; make it in __init__, with its shape"
        )


def _check_network(
    module: nn.Module, network: Network, choice: Choice, shapes: Mapping[str, Shape], count: int
) -> None:
    """Run one or two samples through a network on the meta device and check the output."""
    label = f"{network.role} '{choice.component.qualified}' ({choice.component.written})"
    if network.kind == "generator" and takes_one(module):
        made = module(torch.zeros(count, *shapes[network.domains[0]]))
        expected = (count, *shapes[network.domains[-1]])
        if not isinstance(made, Tensor) or tuple(made.shape) != expected:
            got = f"shape {list(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
            raise PluginError(f"{label} returned {got}, expected a tensor of shape {list(expected)}")
    elif network.kind == "discriminator" and len(network.domains) == 1 and takes_one(module):
        result = module(torch.zeros(count, *shapes[network.domains[0]]))
        if not (isinstance(result, tuple) and len(result) >= 2):
            raise PluginError(f"{label} must return (score, tuple of features), got {type(result).__name__}")


def takes_one(module: nn.Module) -> bool:
    """Return whether a network can be called with one tensor; others need more arguments, such as a label."""
    needed = [p for p in inspect.signature(module.forward).parameters.values() if p.default is p.empty]
    return len([p for p in needed if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]) <= 1
