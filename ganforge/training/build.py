"""From a plan to networks, optimizers and an engine; and the proof, on the meta device, that they fit together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from ganforge.components.coupling import Network
from ganforge.components.registry import PHASES
from ganforge.components.settings import Key
from ganforge.components.view import View
from ganforge.data.batches import Batches, Sources, read, silent
from ganforge.data.dataset import SPLITS, Dataset, Report, Shape, Split, derive
from ganforge.errors import InputError, PluginError, Problem, RecipeError, nearest
from ganforge.recipe.plan import Choice, LossPlan, Phase, Plan
from ganforge.training.engine import Engine, Term

Mean = Callable[[str], Tensor]


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
    with located(plan, ("dataset",)):
        return {
            split: read(dataset, split, report, plan.name, plan.train.batch if split == "train" else 0)
            for split in SPLITS
        }


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


def check(plan: Plan, dataset: Dataset) -> dict[Phase, list[Term]]:
    """Build everything without memory or arithmetic and bind the losses to the coupling's views.

    Raises:
        RecipeError: networks do not take these shapes, or a loss asks for what no view offers.
    """
    device = torch.device("meta")
    networks: dict[str, nn.Module] = {}
    problems: list[Problem] = []
    for domain, shape in dataset.shapes.items():
        if plan.train.augment and len(shape) != 3:
            message = f"only pictures can be changed at random; domain {domain} holds {list(shape)}"
            problems.append(plan.recipe.problem(("train", "augment"), message))
    zeros = {domain: torch.zeros(shape, device=device) for domain, shape in dataset.shapes.items()}
    for name, (network, choice) in plan.networks.items():
        try:
            with device:
                networks[name] = _make_network(network, choice, dataset.shapes, lambda domain: zeros[domain])
                _check_network(networks[name], network, choice, dataset.shapes, min(2, plan.train.batch))
        except PluginError:
            raise
        except NotImplementedError:
            continue  # an operation of it has no meta form: the first step will tell
        except (InputError, ValueError, RuntimeError, OverflowError) as error:
            problem = plan.recipe.problem((network.role,), str(error).partition("\n")[0])
            problems += [problem] if problem not in problems else []
        except Exception as error:
            raise PluginError(f"{network.role} '{choice.component.qualified}' failed") from error
    batch = {domain: torch.zeros(2, *shape, device=device) for domain, shape in dataset.shapes.items()}
    try:
        views = plan.coupling.views({name: networks.get(name, nn.Identity()) for name in plan.networks}, batch)
    except KeyError as error:
        message = f"'{plan.coupling_choice.component.name}' needs a domain {error}, which the data set does not have"
        raise RecipeError([*problems, plan.recipe.problem(("coupling",), message)]) from error
    terms = _bind(plan, views, problems)
    if problems:
        raise RecipeError(problems)
    return terms


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
                networks[name] = _make_network(network, choice, shapes, mean).to(device)
    return networks


def make_engine(
    plan: Plan, terms: Mapping[Phase, Sequence[Term]], batches: Batches, shapes: Mapping[str, Shape]
) -> Engine:
    """Make the engine of a fresh run, with initialised networks and optimizers; nothing in the plan is `auto`."""
    networks = make_networks(plan, shapes, batches.device, batches.mean)
    if plan.train.channels_last is True:
        networks = {name: network.to(memory_format=torch.channels_last) for name, network in networks.items()}
    optimizers: dict[Phase, torch.optim.Optimizer] = {}
    for phase in terms:
        members = [networks[name] for name, (network, _) in plan.networks.items() if network.role == phase]
        parameters = [parameter for network in members for parameter in network.parameters()]
        if parameters:
            with located(plan, ("optimizer",)):
                optimizers[phase] = plan.optimizers[phase].make(parameters=parameters)
    return Engine(plan.coupling, networks, optimizers, terms, plan.train, batches.device)


def _make_network(network: Network, choice: Choice, shapes: Mapping[str, Shape], mean: Mean) -> nn.Module:
    for domain in network.domains:
        if domain not in shapes:
            raise InputError(f"{network.name} needs a domain {domain}; the data set has {', '.join(shapes)}")
    if network.role == "generator":
        source, target = (shapes[domain] for domain in network.domains)
        wants_mean = "target_mean" in choice.component.signature.given
        made = choice.make(
            source_shape=source, target_shape=target, target_mean=mean(network.domains[1]) if wants_mean else None
        )
    else:
        first, *others = (shapes[domain] for domain in network.domains)
        made = choice.make(shape=(first[0] + sum(other[0] for other in others), *first[1:]))
    if not isinstance(made, nn.Module):
        raise PluginError(f"{network.role} '{choice.component.qualified}' is not a torch.nn.Module")
    return made


def _check_network(
    module: nn.Module, network: Network, choice: Choice, shapes: Mapping[str, Shape], count: int
) -> None:
    """Run one or two samples through a network on the meta device and look at what comes out."""
    label = f"{network.role} '{choice.component.qualified}'"
    inputs = torch.zeros(count, *shapes[network.domains[0]])
    if network.role == "generator":
        made = module(inputs)
        expected = (count, *shapes[network.domains[1]])
        if tuple(made.shape) != expected:
            raise PluginError(f"{label} returned shape {list(made.shape)}, expected {list(expected)}")
    elif len(network.domains) == 1:
        result = module(inputs)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], tuple)):
            raise PluginError(f"{label} must return (score, tuple of features)")


def _bind(plan: Plan, views: Sequence[View], problems: list[Problem]) -> dict[Phase, list[Term]]:
    """Bind each loss to every view that offers what it asks for."""
    terms: dict[Phase, list[Term]] = {"discriminator": [], "generator": []}
    offered = sorted({name for view in views for name in view.offers})
    for loss in plan.losses:
        with located(plan, ("losses", loss.role)):
            made = _make_loss(loss)
        for phase, bound in terms.items():
            asks = loss.asked(phase)
            if asks is None:
                continue
            missing = [(argument, tensor) for argument, tensor in asks.items() if tensor not in offered]
            for argument, tensor in missing:
                rebound = argument in loss.table.on
                path: Key = ("losses", loss.role, *(("on", argument) if rebound else ("use",)))
                message = (
                    f"'{loss.choice.component.name}' asks for '{tensor}', "
                    f"which the coupling '{plan.coupling_choice.component.name}' does not offer"
                )
                hint = nearest(tensor, offered) if rebound else f"it offers: {', '.join(offered)}"
                problems.append(plan.recipe.problem(path, message, hint))
            bound += [
                Term(loss, view.name, made[phase], asks) for view in views if set(asks.values()) <= set(view.offers)
            ]
    return terms


def _make_loss(loss: LossPlan) -> dict[str, Callable[..., Tensor]]:
    """Return what to call in each phase: the function with its settings, or the methods of the made object."""
    if not isinstance(loss.choice.component.factory, type):
        return {"generator": partial(loss.choice.component.factory, **loss.choice.settings)}
    made = loss.choice.make()
    return {phase: getattr(made, phase) for phase in PHASES if loss.asked(phase) is not None}
