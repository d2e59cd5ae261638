"""Losses as people write them: a recorded step trains as one that is not, bit by bit, or says why it is not recorded.

This file is a plugin as well: it is loaded anew for each training, so that all that its losses keep begins anew.
"""

import array
import copy
import functools
import itertools
import random
import threading
from collections import UserDict, deque
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import torch
from attrs import define, field, frozen
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from ganforge import hookimpl
from ganforge.components.plugins import Plugins
from ganforge.recipe import layers
from ganforge.recipe.resolve import resolve
from ganforge.runs.assemble import assemble, settle
from ganforge.training import build
from ganforge.training.state import random_state, seed_random

LOSSES = {}
REASONS = {}
KEPT = "keeps state outside buffers and parameters"
LOOKS = "reads the values of a tensor"
OTHERWISE = "is called differently for another batch"
PYTHON = "it draws random numbers of Python or NumPy"


def recorded(loss):
    """A loss whose steps are recorded."""
    LOSSES[loss.__name__], REASONS[loss.__name__] = loss, ""
    return loss


def unrecorded(reason):
    """A loss whose steps are not recorded, for a reason."""

    def note(loss):
        LOSSES[loss.__name__], REASONS[loss.__name__] = loss, reason
        return loss

    return note


# What is made and changed within one call.


@recorded
def summed_in_place(reconstructed, source):
    """Distances summed in place."""
    total = torch.zeros(())
    total += (reconstructed - source).abs().mean()
    total += (reconstructed - source).square().mean()
    return total.sqrt()


@recorded
def preallocated(fake, real):
    """Variance over both batches, written side by side."""
    both = torch.empty(2 * len(fake), *fake.shape[1:])
    both[: len(fake)] = fake
    both[len(fake) :] = real
    return both.var()


@recorded
def masked_half(reconstructed, source):
    """The first half of the batch counts more."""
    mask = torch.ones(len(source), 1)
    mask[len(source) // 2 :] = 0.1
    return (mask * (reconstructed - source)).square().mean()


@recorded
def class_means(fake, source):
    """Distance between the means of two classes, gathered by index_add_."""
    label = (source[:, 0] > 1).long()
    sums = torch.zeros(2, fake.shape[1]).index_add_(0, label, fake)
    counts = torch.zeros(2).index_add_(0, label, torch.ones(len(fake)))
    means = sums / counts.clamp(min=1)[:, None]
    return 1 / (1 + (means[0] - means[1]).square().sum())


@recorded
def noisy_labels(fake_score):
    """Least squares with labels that are made noisy in place."""
    labels = torch.ones_like(fake_score)
    labels.sub_(torch.rand(fake_score.shape), alpha=0.2)
    return functional.mse_loss(fake_score, labels)


@recorded
def contrastive(reconstructed, source):
    """Each reconstruction is nearer to its own source than to the others."""
    similar = functional.normalize(reconstructed, dim=1) @ functional.normalize(source, dim=1).T
    return functional.cross_entropy(similar / 0.1, torch.arange(len(source)))


@recorded
def of_pairs(fake):
    """Distances of all pairs, whose places come out of one tensor as several."""
    one, other = torch.triu_indices(len(fake), len(fake), 1)
    return (fake[one] - fake[other]).abs().mean()


@recorded
def filled_diagonal(reconstructed, source):
    """The same, with the diagonal filled in place."""
    similar = torch.cdist(reconstructed, source)
    others = similar.clone()
    others.fill_diagonal_(9.0)
    return similar.diagonal().mean() - 0.1 * torch.logsumexp(-others, 1).mean()


@recorded
def into_out(fake):
    """Spread around a mean that is written into `out=`."""
    mean = torch.empty(fake.shape[1])
    torch.mean(fake.detach(), 0, out=mean)
    return (fake - mean).square().mean()


@recorded
def dropped(fake, real):
    """Features dropped at random."""
    return functional.dropout(fake - real, 0.3).square().mean()


@recorded
def nearest(fake, real):
    """Distance to the nearest real sample, by gathered indices."""
    nearest = torch.cdist(fake.detach(), real).argmin(1)
    return (fake - real[nearest]).square().mean()


@recorded
def ranked(fake, real):
    """Sliced Wasserstein distance: samples in the order of a random projection."""
    direction = functional.normalize(torch.randn(fake.shape[1]), dim=0)
    return ((fake @ direction).sort().values - (real @ direction).sort().values).square().mean()


@recorded
def fixed_projection(fake):
    """A projection that NumPy draws from the same seed in every call."""
    direction = numpy.random.default_rng(5).normal(size=2).astype(numpy.float32)
    return (fake @ torch.from_numpy(direction)).square().mean()


@recorded
def fake_in_place(fake):
    """A clone that is changed in place, by its halves."""
    moved = fake.clone()
    moved[:, 0].mul_(2.0)
    moved[:, 1].add_(moved[:, 0])
    return moved.square().mean()


@recorded
@frozen
class Wasserstein:
    """Linear in the score, so that its gradient is constant."""

    def generator(self, fake_score):
        """Of the generator."""
        return -fake_score.mean()

    def discriminator(self, real_score, fake_score):
        """Of the critic."""
        return fake_score.mean() - real_score.mean()


@recorded
@frozen
class GradientPenalty:
    """The slope of the discriminator at random places between both kinds of samples."""

    def discriminator(self, discriminator, fake, real):
        """Differentiates twice."""
        share = torch.rand(len(real), 1)
        between = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(discriminator(between)[0].sum(), between, create_graph=True)
        return (slope.norm(dim=1) - 1).square().mean()


@recorded
def some_of_each(fake, real):
    """Picks at random places."""
    picks = torch.randperm(len(fake))[:5]
    return (fake[picks, :1] - real[picks, :1]).square().mean()


# What is kept where it belongs: in buffers and parameters.


@recorded
class Centred(nn.Module):
    """Spread around a mean that follows the batches."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(2))

    def generator(self, fake):
        """Move the mean in place."""
        with torch.no_grad():
            self.mean.mul_(0.9).add_(fake.detach().mean(0), alpha=0.1)
        return (fake - self.mean).square().mean()


@recorded
class FollowedFeatures(nn.Module):
    """Feature matching with means that are averaged over the steps."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))

    def generator(self, real_features, fake_features):
        """Move the mean in place, by its own decay."""
        self.mean.lerp_(real_features[-1].detach().mean(0), 0.1)
        return (fake_features[-1].mean(0) - self.mean).square().mean()


@recorded
class Registered(nn.Module):
    """Spread around a mean in a buffer that comes to be in the first call."""

    def generator(self, fake):
        """Register the mean, then move it in place."""
        if "mean" not in self._buffers:
            self.register_buffer("mean", torch.zeros(fake.shape[1]))
        self.mean.lerp_(fake.detach().mean(0), 0.1)
        return (fake - self.mean).square().mean()


@recorded
class WarmedUp(nn.Module):
    """A weight that grows with a count of steps."""

    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.zeros(()))

    def generator(self, fake):
        """Count in a buffer."""
        self.steps += 1
        return (self.steps / 100).clamp(max=1) * fake.square().mean()


@recorded
class Heads(nn.Module):
    """A projection that is learnt."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 3)

    def generator(self, fake, real):
        """Compare projections."""
        return (self.head(fake).mean(0) - self.head(real).mean(0)).square().sum() + self.head.weight.square().sum()


@recorded
class TensorPool(nn.Module):
    """A pool of translations in a buffer, exchanged at random without a look at any value."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kept", torch.zeros(16, 2))

    def discriminator(self, discriminator, fake, real_score):
        """Judge what was kept or what is new."""
        take = torch.rand(len(fake), 1) < 0.5
        shown = torch.where(take, self.kept, fake)
        self.kept.copy_(torch.where(take, fake, self.kept))
        return functional.softplus(discriminator(shown)[0]).mean() + functional.softplus(-real_score).mean()


@recorded
class LatestRows(nn.Module):
    """A row of a buffer, written through views."""

    def __init__(self):
        super().__init__()
        self.register_buffer("rows", torch.zeros(2, 2))

    def generator(self, fake):
        """Stay near to where it was."""
        distance = (fake.mean(0) - self.rows[0].clone()).square().mean()
        self.rows[0] = fake.detach().mean(0)
        self.rows[1].add_(1.0)
        return distance * (1 + 0.01 * self.rows[1, 0].clone())


# What a program cannot do.


@unrecorded(PYTHON)
def python_random(fake, real):
    """A share drawn by Python."""
    return (random.random() * (fake - real)).square().mean()


@unrecorded(PYTHON)
def numpy_random(fake, real):
    """A share drawn by NumPy."""
    return (float(numpy.random.rand()) * (fake - real)).square().mean()


@unrecorded(PYTHON)
def seldom_random(fake, real):
    """A number drawn by Python that is not used in most steps."""
    return (2.0 if random.random() < 1e-9 else 1.0) * (fake - real).square().mean()


@unrecorded(LOOKS)
def by_tolist(fake, real):
    """Picks by tolist()."""
    picks = torch.cdist(fake.detach(), real).argmin(1).tolist()
    return (fake - torch.stack([real[pick] for pick in picks])).square().mean()


@unrecorded(LOOKS)
def by_numpy(fake):
    """A scale computed by NumPy."""
    return fake.square().mean() / float(numpy.abs(fake.detach().numpy()).max())


@unrecorded(LOOKS)
def by_array(fake):
    """A scale computed by NumPy, of an array that NumPy makes."""
    return fake.square().mean() / float(numpy.asarray(fake.detach()).max())


@unrecorded(LOOKS)
def by_item(fake):
    """A branch that a value decides."""
    return fake.square().mean() if fake.detach().mean().item() > 1 else fake.abs().mean()


@unrecorded(LOOKS)
def by_bool(fake):
    """A branch that a tensor decides."""
    return fake.square().mean() if (fake.detach() > 1).any() else fake.abs().mean()


@unrecorded(LOOKS)
def by_mask(fake):
    """Only some samples, as many as there are."""
    return fake[fake.detach()[:, 0] > 0].sum() / len(fake)


@unrecorded(LOOKS)
def by_format(fake):
    """A scale read from a text."""
    return fake.square().mean() * float(f"{fake.detach().mean():.3f}")


@unrecorded(LOOKS)
def by_dlpack(fake):
    """Memory that is shared with NumPy."""
    return fake.square().mean() / float(numpy.from_dlpack(fake.detach()).max())


@unrecorded("depends on a batch's values")
def by_capsule(fake):
    """Memory that is handed over as a capsule."""
    again = torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(fake.detach()))
    return (fake - again.mean(0)).square().mean()


@recorded
def by_data(fake):
    """A scale by `.data`."""
    return fake.square().mean() / fake.data.abs().max()


@unrecorded(OTHERWISE)
def by_deepcopy(fake):
    """A copy that torch's operations have not made."""
    return (fake - copy.deepcopy(fake.detach()).mean(0)).square().mean()


@unrecorded("differs when replayed")
def of_fixed_noise(generator, fake):
    """What no batch changes, only the weights do, by a way that torch does not tell of."""
    usual = generator(torch.linspace(-1, 1, 8).reshape(4, 2)).detach()
    usual = torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(usual))
    return (fake - usual.mean(0)).square().mean()


@unrecorded("draws from its own random generator")
def own_generator(fake):
    """Noise from a generator of its own."""
    return (fake + 0.1 * torch.rand(fake.shape, generator=GENERATOR)).square().mean()


@unrecorded(KEPT)
def counted_in_module(fake):
    """A count in the module."""
    global COUNT
    COUNT += 1
    return min(COUNT / 10, 1.0) * fake.square().mean()


def make_closure():
    """Make a loss with a count of its own."""
    count = 0

    def counted_in_closure(fake):
        """A count in a closure."""
        nonlocal count
        count += 1
        return min(count / 10, 1.0) * fake.square().mean()

    return counted_in_closure


unrecorded(KEPT)(make_closure())


@unrecorded(KEPT)
def counted_in_function(fake):
    """A count in the function's own attribute."""
    counted_in_function.count = getattr(counted_in_function, "count", 0) + 1
    return min(counted_in_function.count / 10, 1.0) * fake.square().mean()


@unrecorded("holds an iterator, which could not be restored")
def counted_by_iterator(fake):
    """A count by an iterator."""
    return min(next(ITERATOR) / 10, 1.0) * fake.square().mean()


@unrecorded(KEPT)
def counted_elsewhere(fake):
    """A count in an object of the module's."""
    COUNTER.count += 1
    return min(COUNTER.count / 10, 1.0) * fake.square().mean()


@unrecorded(KEPT)
class CountedInClass:
    """A count in the class."""

    count = 0

    def generator(self, fake):
        """Count."""
        CountedInClass.count += 1
        return min(self.count / 10, 1.0) * fake.square().mean()


@unrecorded(KEPT)
class CountedInObject:
    """A count that comes to be in the first call."""

    def generator(self, fake):
        """Count."""
        self.count = getattr(self, "count", 0) + 1
        return min(self.count / 10, 1.0) * fake.square().mean()


@unrecorded(KEPT)
class CountedInModule(nn.Module):
    """A count in a field of a module that is no buffer."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def generator(self, fake):
        """Count."""
        self.count += 1
        return min(self.count / 10, 1.0) * fake.square().mean()


@unrecorded(KEPT)
class LaterThanTheAudits:
    """A count that matters long after a program was proved."""

    def __init__(self):
        self.count = 0

    def generator(self, fake):
        """Count."""
        self.count += 1
        return (1.0 if self.count < 10 else 2.0) * fake.square().mean()


@unrecorded(KEPT)
@define
class ListPool:
    """A pool of translations in a list."""

    kept: list = field(init=False, factory=list)

    def discriminator(self, discriminator, fake, real_score):
        """Judge the newest and the oldest."""
        self.kept = [*self.kept[-3:], fake.detach()]
        judged = discriminator(torch.cat([fake, self.kept[0]]))[0]
        return functional.softplus(judged).mean() + functional.softplus(-real_score).mean()


@unrecorded(KEPT)
class DequePool:
    """A pool of translations in a deque, exchanged by Python's random numbers."""

    def __init__(self):
        self.kept, self.random = deque(maxlen=20), random.Random(4)

    def discriminator(self, discriminator, fake, real_score):
        """Judge what was kept in place of some."""
        shown = []
        for sample in fake:
            if self.kept and self.random.random() < 0.5:
                shown.append(self.kept[self.random.randrange(len(self.kept))])
            else:
                shown.append(sample)
            self.kept.append(sample.detach())
        judged = discriminator(torch.stack(shown))[0]
        return functional.softplus(judged).mean() + functional.softplus(-real_score).mean()


@unrecorded(KEPT)
class LatestByName:
    """The translation of before, in a dict."""

    def __init__(self):
        self.kept = {}

    def generator(self, fake):
        """Stay near to where it was."""
        before = self.kept.get("fake", torch.zeros(2))
        self.kept["fake"] = fake.detach().mean(0)
        return (fake.mean(0) - before).square().mean()


@unrecorded("changes a tensor that is not a module's buffer")
@define
class CentredField:
    """Spread around a mean in a field that is a tensor."""

    mean: torch.Tensor = field(init=False, factory=lambda: torch.zeros(2))

    def generator(self, fake):
        """Move the mean in place."""
        self.mean.mul_(0.9).add_(fake.detach().mean(0), alpha=0.1)
        return (fake - self.mean).square().mean()


@unrecorded("changes a tensor that is not a module's buffer")
def centred_global(fake):
    """Spread around a mean in a variable of the module."""
    MEAN.lerp_(fake.detach().mean(0), 0.1)
    return (fake - MEAN).square().mean()


@unrecorded("changes a tensor that is not a module's buffer")
@define
class CentredRow:
    """The same in a row of a tensor."""

    rows: torch.Tensor = field(init=False, factory=lambda: torch.zeros(3, 2))

    def generator(self, fake):
        """Move the mean in place."""
        self.rows[1] = 0.9 * self.rows[1] + 0.1 * fake.detach().mean(0)
        return (fake - self.rows[1].clone()).square().mean()


@unrecorded("changes a tensor that is not a module's buffer")
@frozen
class Clipped:
    """A critic whose weights shrink before it judges."""

    def discriminator(self, discriminator, fake, real):
        """Change parameters by `.data`."""
        for parameter in discriminator.parameters():
            parameter.data.mul_(0.99)
        return discriminator(fake)[0].mean() - discriminator(real)[0].mean()


@unrecorded(KEPT)
def latest_global(fake):
    """A variable of the module that is another tensor in every step."""
    global LATEST
    before, LATEST = LATEST, fake.detach().mean(0)
    return (fake.mean(0) - before).square().mean()


def remember(mean, kept=[]):  # noqa: B006  # on purpose
    """Keep the last three in what was meant as a default."""
    kept[:] = [*kept[-2:], mean]
    return kept[0]


@unrecorded(KEPT)
def remembered(fake):
    """A memory in another function's default."""
    return (fake.mean(0) - remember(fake.detach().mean(0))).square().mean()


@unrecorded(KEPT)
@define
class HeldBeside:
    """A count beside a module that is held."""

    layer: nn.Module = field(init=False, factory=lambda: nn.BatchNorm1d(2, affine=False))
    count: int = field(init=False, default=0)

    def generator(self, fake):
        """Count."""
        self.count += 1
        return min(self.count / 10, 1.0) * self.layer(fake).square().mean() + fake.square().mean()


@unrecorded("holds an iterator, which could not be restored")
class References:
    """Batches of its own."""

    def __init__(self):
        self.batches = iter(torch.randn(500, 2, generator=torch.Generator().manual_seed(1)))

    def generator(self, fake):
        """Go to the next one."""
        return (fake.mean(0) - next(self.batches)).square().mean()


@unrecorded("the buffer losses.extra.AB.mean is replaced instead of changed in place")
class Replaced(nn.Module):
    """Spread around a mean in a buffer that is another tensor in every step."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(2))

    def generator(self, fake):
        """Replace the mean."""
        self.mean = 0.9 * self.mean + 0.1 * fake.detach().mean(0)
        return (fake - self.mean).square().mean()


class Keeps:
    """A distance that is doubled after five calls, counted in an object that was made elsewhere."""

    def __init__(self):
        self.kept, self.count = self.made()

    def generator(self, fake):
        """Count."""
        return fake.square().mean() * (2.0 if self.count() > 5 else 1.0)


def counted_in_namespace():
    kept = SimpleNamespace(calls=0)

    def count():
        kept.calls += 1
        return kept.calls

    return kept, count


def counted_in_bound_method():
    counter = CountedInObject()
    counter.count = 0

    def count():
        counter.count += 1
        return counter.count

    return SimpleNamespace(of=counter).of.generator, count


def counted_in_partial():
    kept = [0]

    def add(number, into):
        into[0] += number
        return into[0]

    return None, functools.partial(add, 1, into=kept)


def counted_in_array():
    kept = array.array("q", [0])

    def count():
        kept[0] += 1
        return kept[0]

    return kept, count


def counted_in_bytes():
    kept = bytearray(1)

    def count():
        kept[0] += 1
        return kept[0]

    return kept, count


def counted_in_thread():
    kept = threading.local()
    kept.calls = 0

    def count():
        kept.calls += 1
        return kept.calls

    return kept, count


def counted_in_user_dict():
    kept = UserDict(calls=0)

    def count():
        kept["calls"] += 1
        return kept["calls"]

    return kept, count


def counted_deep_inside():
    kept = [[[[[[0]]]]]]

    def count():
        kept[0][0][0][0][0][0] += 1
        return kept[0][0][0][0][0][0]

    return kept, count


for make in (
    *(counted_in_namespace, counted_in_bound_method, counted_in_partial, counted_in_array, counted_in_bytes),
    *(counted_in_thread, counted_in_user_dict, counted_deep_inside),
):
    members = {"made": staticmethod(make), "__module__": __name__, "__doc__": Keeps.__doc__}
    unrecorded(KEPT)(type(make.__name__, (Keeps,), members))


@unrecorded("holds a SeedSequence, which could not be restored")
class Seeds:
    """Noise from a new seed in every call."""

    def __init__(self):
        self.seeds = numpy.random.SeedSequence(1)

    def generator(self, fake):
        """Spawn a seed."""
        noise = numpy.random.default_rng(self.seeds.spawn(1)[0]).random(2)
        return (fake - torch.from_numpy(noise).to(fake)).square().mean()


class Teacher(nn.Module):
    """The distance of features of a frozen network that follows a random one, by its data."""

    def __init__(self):
        super().__init__()
        self.teacher = nn.Linear(2, 4).requires_grad_(False)

    def follow(self):
        """Move the weights."""

    def generator(self, fake, real):
        """Follow, and compare."""
        self.follow()
        return (self.teacher(fake) - self.teacher(real)).square().mean()


@unrecorded("changes while losses are computed")
class TeacherReplaced(Teacher):
    """A teacher whose weights are replaced."""

    def follow(self):
        """Replace the weights."""
        self.teacher.weight.data = self.teacher.weight.data * 0.9 + 0.1


@unrecorded("changes a tensor that is not a module's buffer")
class TeacherMoved(Teacher):
    """A teacher whose weights are moved."""

    def follow(self):
        """Move the weights."""
        self.teacher.weight.data.mul_(0.9).add_(0.1)


COUNT = 0
COUNTER = CountedInObject()
COUNTER.count = 0
ITERATOR = itertools.count(1)
MEAN = torch.zeros(2)
LATEST = torch.zeros(2)
GENERATOR = torch.Generator().manual_seed(3)


class Dropping(nn.Module):
    """A generator of points with dropout and batch normalisation."""

    def __init__(self, source_shape, target_shape, *, hidden: int = 8):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.4), nn.Linear(hidden, 2)
        )

    def forward(self, points):
        """Translate points."""
        return self.layers(points)


class Fading(nn.Module):
    """A generator of points whose second branch fades in (Karras et al. 2018)."""

    def __init__(self, source_shape, target_shape, *, hidden: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
        self.alpha = 0.0

    def forward(self, points):
        """Translate points."""
        return (1 - self.alpha) * self.first(points) + self.alpha * self.second(points)


class FadeIn:
    """Lets the second branch fade in from the fifth step on."""

    def after(self, networks, step):
        """Set the share of the branch."""
        for network in networks.values():
            if hasattr(network, "alpha"):
                network.alpha = min(max(0, step - 5) / 10, 1.0)


class ClipOnce:
    """Clips weights once, by replacing them."""

    def after(self, networks, step):
        """Replace the weights."""
        for network in networks.values() if step == 4 else ():
            for parameter in network.parameters():
                parameter.data = parameter.data.clamp(-0.2, 0.2)


class ClipAlways:
    """Clips weights in every step, by replacing them."""

    def after(self, networks):
        """Replace the weights."""
        for network in networks.values():
            for parameter in network.parameters():
                parameter.data = parameter.data.clamp(-0.2, 0.2)


class LessDropout:
    """Ends dropout after five steps."""

    def after(self, networks, step):
        """Set the rate."""
        for network in networks.values():
            for module in network.modules():
                if isinstance(module, nn.Dropout) and step == 5:
                    module.p = 0.0


class Bounded(nn.Module):
    """A discriminator of points with spectral normalisation."""

    def __init__(self, shape, *, hidden: int = 8):
        super().__init__()
        self.first, self.last = spectral_norm(nn.Linear(2, hidden)), spectral_norm(nn.Linear(hidden, 1))

    def forward(self, points):
        """Judge points."""
        hidden = functional.leaky_relu(self.first(points), 0.2)
        return self.last(hidden), (hidden,)


@hookimpl
def ganforge_register(register):
    """Register them all."""
    for name, loss in LOSSES.items():
        register.loss(name, loss)
    register.generator("dropping", Dropping)
    register.generator("fading", Fading)
    for update in (FadeIn, ClipOnce, ClipAlways, LessDropout):
        register.update(update.__name__, update)
    register.discriminator("bounded", Bounded)


def train(toy, compiled, sets):
    """Train twelve steps from a fresh start; return the engine, all losses, and the state of all random numbers."""
    plugins = Plugins()
    plugins.load_installed()
    plugins.load_file(Path(__file__))
    assert not plugins.failures()
    loaded = layers.load(toy, [f"compute.compile={compiled}", *sets], {})
    plan, dataset = settle(resolve(loaded, plugins.registry), torch.device("cpu"))
    engine, batches = assemble(plan, dataset, build.read_data(plan, dataset)["train"], torch.device("cpu"))
    seed_random(3)
    losses = [{name: found.tolist() for name, found in engine.step(s, batches(s)).items()} for s in range(12)]
    return engine, losses, random_state()


def assert_trains_alike(toy, *sets):
    """Recorded and unrecorded, all bits are the same; return the recorded one's engine."""
    mine, losses, drawn = train(toy, '"trace"', sets)
    theirs, expected, drawn_there = train(toy, "false", sets)
    for step, (one, other) in enumerate(zip(losses, expected, strict=True)):
        assert one == other, f"step {step}"
    assert mine.modules.keys() == theirs.modules.keys()
    for name, module in mine.modules.items():
        for kind in ("named_parameters", "named_buffers"):
            found, there = (dict(getattr(made, kind)()) for made in (module, theirs.modules[name]))
            assert found.keys() == there.keys(), name
            assert all(torch.equal(value, there[key]) for key, value in found.items()), name
    assert torch.equal(drawn.pop("cpu"), drawn_there.pop("cpu"))
    assert (drawn["python"], drawn["numpy"]) == (drawn_there["python"], drawn_there["numpy"])
    return mine


# A twelfth of them by default; all with `-m "slow or not slow"`.
@pytest.mark.parametrize(
    "name",
    [name if place % 12 == 0 else pytest.param(name, marks=pytest.mark.slow) for place, name in enumerate(LOSSES)],
)
def test_a_loss_trains_recorded_as_it_does_unrecorded(name, toy):
    engine = assert_trains_alike(toy, f"losses.extra={{use='{name}', weight=0.1}}")
    assert bool(engine.recording.programs) == (not REASONS[name])
    assert REASONS[name] in engine.recording.reason
    if REASONS[name] == KEPT:
        assert engine.recording.reason == f"losses.extra.AB {KEPT}"
    assert bool(REASONS[name]) == bool(engine.recording.reason)


@pytest.mark.parametrize(
    "sets",
    [
        pytest.param(["generator.use=dropping"], marks=pytest.mark.slow),
        pytest.param(["discriminator.use=bounded"], marks=pytest.mark.slow),
        ["generator.use=dropping", "discriminator.use=bounded", "losses.extra={use='GradientPenalty'}"],
        ["coupling.use=gan-recon", "losses.reconstruction=false"],  # which does not depend on G_BA
        ["losses.adversarial.use=Wasserstein", "train.every.generator=3"],
        ["losses.extra={use='Centred', weight={steps=[0, 3], values=[0.0, 0.1], every=2}}"],
        pytest.param(
            ["losses.extra={use='Centred', weight={steps=[0, 11], values=[0.1, 1.0], between='linear'}}"],
            marks=pytest.mark.slow,
        ),
        pytest.param(["losses.extra={use='noisy_labels', player='discriminator'}"], marks=pytest.mark.slow),
    ],
    ids=["dropout", "spectral norm", "both", "unused network", "linear score", "lazy", "rising", "other player"],
)
def test_other_networks_and_rhythms_train_recorded_as_they_do_unrecorded(sets, toy):
    engine = assert_trains_alike(toy, *sets)
    assert engine.recording.programs
    assert engine.recording.reason == ""


@pytest.mark.slow
def test_a_compiled_step_draws_and_normalises_as_an_unrecorded_one(toy):
    mine, losses, drawn = train(toy, "true", ["generator.use=dropping"])
    _, expected, drawn_there = train(toy, "false", ["generator.use=dropping"])
    assert mine.recording.how == "recorded, compiled"
    for one, other in zip(losses, expected, strict=True):
        assert all(found == pytest.approx(other[player], rel=1e-2) for player, found in one.items())
    assert torch.equal(drawn["cpu"], drawn_there["cpu"])


@pytest.mark.parametrize(
    ("sets", "reason"),
    [
        (["generator.use=fading", "updates.fade.use=FadeIn"], "G_AB.alpha is replaced between steps"),
        (["updates.clip.use=ClipOnce"], ""),
        pytest.param(["updates.clip.use=ClipAlways"], "is replaced between steps", marks=pytest.mark.slow),
        pytest.param(["generator.use=dropping", "updates.less.use=LessDropout"], "", marks=pytest.mark.slow),
    ],
    ids=["fading", "clipped once", "clipped always", "less dropout"],
)
def test_what_changes_between_steps_trains_recorded_as_it_does_unrecorded(sets, reason, toy):
    engine = assert_trains_alike(toy, *sets)
    assert reason in engine.recording.reason
    assert bool(engine.recording.programs) == (not reason)


def test_buffers_that_are_restored_are_those_that_a_program_reads(toy):
    """As after a rewind: a loss goes on with the buffers of a checkpoint."""
    ends = []
    for compiled in ('"trace"', "false"):
        plugins = Plugins()
        plugins.load_installed()
        plugins.load_file(Path(__file__))
        sets = [f"compute.compile={compiled}", "losses.extra={use='Centred', weight=0.1}"]
        plan, dataset = settle(resolve(layers.load(toy, sets, {}), plugins.registry), torch.device("cpu"))
        engine, batches = assemble(plan, dataset, build.read_data(plan, dataset)["train"], torch.device("cpu"))
        held = engine.held["losses.extra.AB"]
        for step in range(9):
            engine.step(step, batches(step))
            if step == 2:
                state = held.state()
            if step == 5:
                held.restore(state, torch.device("cpu"))
        ends.append([*held.module.buffers(), *engine.networks["G_AB"].parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))
