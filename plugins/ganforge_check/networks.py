"""Checks of networks: shapes, learning, state, random numbers, and scores that are logits."""

import inspect
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy
import torch
from attrs import frozen
from torch import Tensor, nn

from ganforge import InputError, Shape, buffers_of, drawn_from, random_state, set_random_state, tensors_of
from ganforge_check.checks import Finding, LeftOutError, Subject, claims
from ganforge_check.stage import stages_of

SHAPES = ((3, 64, 64), (1, 32, 64), (7, 64, 64), (2,))  # shapes that networks are tried on, the same on both sides
MORE = (((8,), (3, 32, 32)), ((3, 256, 256), (3, 256, 256)))  # source and target for networks that accept none of them
DRIVE = 1e4  # factor of the weights that shows whether a score is bounded


@frozen(eq=False)
class Built:
    """A network for some shapes.

    Attributes:
        source: shape of an input sample.
        target: shape of an output sample.
        network: the network.
    """

    source: Shape
    target: Shape
    network: nn.Module

    def __call__(self, samples: Tensor) -> Any:
        """Apply it to samples, with the label 0 for any further argument."""
        needed = [
            one for one in inspect.signature(self.network.forward).parameters.values() if one.default is one.empty
        ]
        positional = [one for one in needed if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
        return self.network(samples, *(0 for _ in positional[1:]))

    def inputs(self, count: int = 2, seed: int = 0) -> Tensor:
        """Draw samples in [0, 1]."""
        return torch.rand(count, *self.source, generator=torch.Generator().manual_seed(seed))


def built(subject: Subject) -> list[Built]:
    """Return a network for each pair of shapes that it does not refuse with a ValueError; they are made once.

    Raises:
        LeftOutError: settings must be given first, or it accepts none of the shapes.
    """
    found: list[Built] = subject.keep("built", lambda: list(_built(subject)))
    if not found:
        raise LeftOutError(f"it accepts none of the shapes {SHAPES} and {MORE}")
    return found


def _built(subject: Subject) -> Iterator[Built]:
    subject.complete()
    fits = 0
    for source, target in (*((shape, shape) for shape in SHAPES), *MORE):
        if fits and (source, target) in MORE:
            return
        if (network := _make(subject, source, target)) is not None:
            fits += 1
            yield Built(source, target, network)


def _make(subject: Subject, source: Shape, target: Shape, seed: int = 0) -> nn.Module | None:
    """Make a network from a seed; None if it refuses the shapes."""
    try:
        with drawn_from(seed):
            made = _called(subject, source, target)
    except (ValueError, InputError):
        return None
    if not isinstance(made, nn.Module):
        raise TypeError(f"it returns a {type(made).__name__}, not a torch.nn.Module")
    return made


def _called(subject: Subject, source: Shape, target: Shape) -> Any:
    """Call the component with the arguments that it asks for."""
    offered = {"shape": target, "source_shape": source, "target_shape": target, "target_mean": torch.zeros(target)}
    asked = subject.component.signature.given
    return subject.component.factory(*(offered[name] for name in asked), **subject.complete())


def smallest(subject: Subject) -> Built:
    """Return the network whose samples have the fewest numbers, pictures before points."""
    return min(built(subject), key=lambda one: (len(one.target) != 3, torch.Size(one.source).numel()))


def again(subject: Subject, like: Built, seed: int) -> Built:
    """Return another network for the same shapes."""
    network = _make(subject, like.source, like.target, seed)
    if network is None:
        raise LeftOutError("it now refuses shapes that it accepted before")
    return Built(like.source, like.target, network)


@claims("generator")
def shapes(subject: Subject) -> Iterator[Finding]:
    """It makes finite samples of the target's shape, for pictures of 1, 3 and 7 channels or for points."""
    for one in built(subject):
        with torch.no_grad():
            made = one(one.inputs())
        if not isinstance(made, Tensor) or tuple(made.shape) != (2, *one.target):
            got = list(made.shape) if isinstance(made, Tensor) else type(made).__name__
            problem = f"for {[2, *one.source]} it returns {got}, expected {[2, *one.target]}"
            yield Finding(
                problem, "build the last layer from target_shape, or raise a ValueError for shapes it cannot take"
            )
        elif not made.isfinite().all():
            yield Finding(f"for {[2, *one.source]} it returns numbers that are not finite", "check its initialisation")


@claims("discriminator")
def judgements(subject: Subject) -> Iterator[Finding]:
    """It returns (score, features): finite scores with an entry or a map for each sample, and a tuple of tensors."""
    for one in built(subject):
        with torch.no_grad():
            judged = one(one.inputs())
        if not (isinstance(judged, tuple) and len(judged) == 2):
            yield Finding(f"it returns {type(judged).__name__}, not (score, features)", "return score, (hidden, ...)")
            continue
        score, features = judged
        scores = score if isinstance(score, list | tuple) else [score]
        if not all(isinstance(found, Tensor) and found.ndim and len(found) == 2 for found in scores):
            yield Finding(
                f"for {[2, *one.source]} it does not score each sample", "return one score, or one map, for each"
            )
        elif not all(found.isfinite().all() for found in scores):
            yield Finding(f"for {[2, *one.source]} its scores are not finite", "check its initialisation")
        if not isinstance(features, list | tuple) or not all(
            found.ndim and len(found) == 2 for found in tensors_of(features)
        ):
            yield Finding(
                "its features are not a tuple of tensors [N, ...]", "return the hidden layers' activations, or ()"
            )


@claims("generator", "discriminator")
def learns(subject: Subject) -> Iterator[Finding]:
    """One step reaches every parameter: each has a gradient, unless its requires_grad is False."""
    one = again(subject, smallest(subject), seed=0)
    _shake(one.network)
    made = [tensor for tensor in tensors_of(one(one.inputs(4))) if tensor.requires_grad]
    if not made:
        yield Finding("nothing that it returns has a graph", "use no torch.no_grad() and no detach() in forward")
        return
    drawn = torch.Generator().manual_seed(2)
    total = torch.stack([(tensor * torch.randn(tensor.shape, generator=drawn)).sum() for tensor in made]).sum()
    named = [(name, parameter) for name, parameter in one.network.named_parameters() if parameter.requires_grad]
    found = torch.autograd.grad(total, [parameter for _, parameter in named], allow_unused=True)
    forgotten = [name for (name, _), slope in zip(named, found, strict=True) if slope is None or not slope.any()]
    if forgotten:
        fix = "use them in forward, or remove them; freeze on purpose with requires_grad_(False)"
        yield Finding(f"{len(forgotten)} of {len(named)} parameters are never trained: {', '.join(forgotten[:4])}", fix)


def _shake(network: nn.Module) -> None:
    """Move all weights a little: layers that start at zero block gradients to earlier ones."""
    drawn = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=drawn))


@claims("generator", "discriminator")
def modes(subject: Subject) -> Iterator[Finding]:
    """In evaluation mode the same samples give the same result, and its state does not change.

    A network whose noise is intended has `noisy = True`; its random numbers are then the same each time.
    """
    one = again(subject, smallest(subject), seed=0)
    one.network.eval()
    noisy = getattr(one.network, "noisy", False) is True
    samples = one.inputs(4)
    before = {name: buffer.clone() for name, *_, buffer in buffers_of({"": one.network}) if buffer is not None}
    with torch.no_grad():
        first, second = (tensors_of(_seen(one, samples, 0 if noisy else seed)) for seed in (1, 2))
    if not all(torch.allclose(mine, its, rtol=1e-4, atol=1e-5) for mine, its in zip(first, second, strict=True)):
        fix = "make noise depend on self.training, as nn.Dropout does; or set noisy = True if it is intended"
        by = max(float((mine - its).abs().max()) for mine, its in zip(first, second, strict=True))
        yield Finding(f"the same samples give results that differ by up to {by:.3g}", fix)
    after = {name: buffer for name, *_, buffer in buffers_of({"": one.network}) if buffer is not None}
    moved = [name for name, buffer in after.items() if name not in before or not torch.equal(buffer, before[name])]
    if moved:
        yield Finding(
            f"in evaluation mode its buffer {moved[0].strip('.')} changes", "change buffers only if self.training"
        )


def _seen(one: Built, samples: Tensor, seed: int) -> Any:
    """Apply a network with random numbers from a seed."""
    with drawn_from(seed):
        return one(samples)


@claims("generator", "discriminator")
def restored(subject: Subject) -> Iterator[Finding]:
    """Its state_dict is complete: another network that loads it computes the same."""
    like = smallest(subject)
    one, other = again(subject, like, seed=0), again(subject, like, seed=1)
    for network in (one.network, other.network):
        network.train()
    with torch.no_grad():
        one(one.inputs(4))  # statistics that change in training are part of the state
    other.network.load_state_dict(one.network.state_dict())
    one.network.eval()
    other.network.eval()
    samples = one.inputs(4, seed=1)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = tensors_of(one(samples))
        torch.manual_seed(0)
        second = tensors_of(other(samples))
    by = max(float((mine - its).abs().max()) for mine, its in zip(first, second, strict=True))
    if by > 1e-5:
        fix = "keep all state in parameters, or in persistent buffers (register_buffer)"
        yield Finding(f"with the state_dict of another one its results differ by up to {by:.3g}", fix)


@claims("generator", "discriminator", "network")
def seeded(subject: Subject) -> Iterator[Finding]:
    """It is initialised only from torch's random numbers: the same seed gives the same weights, another seed others."""
    one, two, other = _states(subject, (0, 0), (0, 1), (1, 0))
    if differing := [name for name in one if not torch.equal(one[name], two[name])]:
        fix = "draw only with torch's default generator: no numpy, random, time or generator of its own"
        yield Finding(f"with the same seed, {differing[0]} starts with different numbers", fix)
    weights = [name for name, value in one.items() if value.is_floating_point() and value.numel() > 1]
    if weights and all(torch.equal(one[name], other[name]) for name in weights):
        yield Finding("with another seed it starts with the same numbers", "do not set a seed; the engine does")


def _states(subject: Subject, *seeds: tuple[int, int]) -> list[Mapping[str, Tensor]]:
    """Return the weights of networks made from pairs of seeds: torch's, and that of all other random numbers."""
    found: list[Mapping[str, Tensor]] = []
    for torch_seed, other_seed in seeds:
        before = random_state()
        random.seed(other_seed)
        numpy.random.seed(other_seed)
        torch.manual_seed(torch_seed)
        try:
            made = _fresh(subject)
        finally:
            set_random_state(before)
        found.append({name: value.clone() for name, value in made.state_dict().items()})
    return found


def _fresh(subject: Subject) -> nn.Module:
    """Make the network from the present random state."""
    if subject.component.kind == "network":
        return _of_role(subject)
    like = smallest(subject)
    made: nn.Module = _called(subject, like.source, like.target)
    return made


@claims("network")
def module(subject: Subject) -> Iterator[Finding]:
    """It fits a role of a coupling: a torch.nn.Module with parameters, made from what the coupling gives."""
    made = _of_role(subject)
    if not isinstance(made, nn.Module):
        yield Finding(f"it returns a {type(made).__name__}", "return a torch.nn.Module")
    elif not list(made.parameters()):
        yield Finding("it has no parameters", "register what it learns as nn.Parameter or as layers")


def _of_role(subject: Subject) -> nn.Module:
    """Make the network for the first role whose facts it asks for."""
    settings, asked = subject.complete(), subject.component.signature.given
    for stage in stages_of(subject):
        for network in stage.coupling.networks:
            given = stage.facts(network) if network.kind == "network" else {}
            if given and set(asked) <= given.keys():
                return subject.component.factory(*(given[name] for name in asked), **settings)  # type: ignore[no-any-return]
    raise LeftOutError("no installed coupling gives what it asks for")


@claims("discriminator")
def logits(subject: Subject) -> Iterator[Finding]:
    """Its score is a logit: it is not bounded by a final sigmoid, tanh or relu."""
    one = again(subject, smallest(subject), seed=0)
    one.network.eval()
    samples = one.inputs(4)
    low, high = 0.0, 0.0
    with torch.no_grad():
        for parameter in reversed([*one.network.parameters()]):
            if low < -DRIVE / 100 and high > DRIVE / 100:
                return
            kept = parameter.clone()
            for by in (-DRIVE, DRIVE):
                parameter.add_(by)
                found = torch.cat([score.flatten() for score in tensors_of(one(samples)[0])])
                low, high = min(low, float(found.min())), max(high, float(found.max()))
                parameter.copy_(kept)
    if low > -DRIVE / 100 or high < DRIVE / 100:
        problem = f"whatever its weights, its scores stay between {low:.4g} and {high:.4g}"
        yield Finding(problem, "return the output of the last linear layer or convolution; losses apply the sigmoid")


@claims("generator")
def other_sizes(subject: Subject) -> Iterator[Finding]:
    """With the attribute `multiple`, it translates pictures whose sides are multiples of it, `least` or more."""
    told = [one for one in built(subject) if isinstance(getattr(one.network, "multiple", None), int)]
    if not told:
        raise LeftOutError("it has no attribute `multiple`, so it takes only pictures of the training size")
    network = told[0].network.eval()
    multiple, least = int(network.multiple), int(getattr(network, "least", 1))  # type: ignore[arg-type]
    first = max(1, -(-least // multiple))
    for height, width in ((first, first + 1), (first + 2, first)):
        size = (height * multiple, width * multiple)
        samples = torch.rand(1, told[0].source[0], *size)
        try:
            with torch.no_grad():
                made = Built((), (), network)(samples)
        except Exception as error:
            yield Finding(f"it does not take {size[0]}x{size[1]}, though multiple = {multiple}: {error}", _SIZES)
            continue
        if tuple(made.shape[-2:]) != size:
            yield Finding(f"for {size[0]}x{size[1]} it returns {made.shape[-2]}x{made.shape[-1]}", _SIZES)


_SIZES = "set `multiple` and `least` to what its layers need, or remove `multiple`"
