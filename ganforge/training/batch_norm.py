"""Statistics of batch normalisation outside training, which Kim et al. (2017) leave open.

During training, a generator that closes a cycle sees real and translated inputs in turn, each batch normalised by its
own statistics; the running averages mix both and fit neither.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from ganforge.data.dataset import Sources, Stored, as_float, random_generator
from ganforge.recipe.plan import Plan, usual
from ganforge.training import ranks, sharing
from ganforge.training.state import drawn_from, seed_random
from ganforge.training.values import Scheme, Values

Norm = Literal["recalibrated", "running", "batch"]
CALIBRATION = 512  # samples for recalibrating batch normalisation, about


def layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the name and module of every layer that normalises by its batch and keeps running statistics.

    Instance normalisation may keep them, too, but normalises each sample by itself: they stay those of training.
    """
    for name, module in network.named_modules():
        if isinstance(getattr(module, "running_mean", None), Tensor) and not isinstance(module, _InstanceNorm):
            yield name, module


def statistics(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of a network's running statistics, by their keys in its state dict."""
    return {
        f"{name}.{key}".removeprefix("."): value.clone()
        for name, module in layers(network)
        for key, value in module.named_buffers(recurse=False)
    }


def by_batch(networks: Mapping[str, nn.Module]) -> None:
    """Make batch normalisation of networks in evaluation mode use each batch's own statistics."""
    for network in networks.values():
        for _, module in layers(network):
            module.train()


class Recalibration:
    """Statistics recomputed on training samples: the mean over batches of each batch's statistics.

    Args:
        scheme: computes values.
        player: the player for which translations are computed.
        inputs: training samples of every field, as stored.
        batch: batch size.
        device: the device of the networks.
    """

    def __init__(
        self, scheme: Scheme, player: str, inputs: Mapping[str, Tensor], batch: int, device: torch.device
    ) -> None:
        self.scheme, self.player, self.inputs, self.batch, self.device = scheme, player, inputs, batch, device
        self._measured: dict[str, dict[str, Tensor]] | None = None
        self.together = False  # whether all ranks measure, each some of the batches

    def forget(self) -> None:
        """Recompute the statistics on next use: the weights have changed."""
        self._measured = None

    def shown(self, network: str) -> Mapping[str, Tensor]:
        """Return a network's statistics for its current weights."""
        if self._measured is None:
            self._measured = self._measure()
        return self._measured.get(network, {})

    def _measure(self) -> dict[str, dict[str, Tensor]]:
        """Translate all inputs in every direction, and return the statistics of the networks involved.

        Random draws of the networks do not depend on who asks first.
        """
        scheme = self.scheme
        through = {view: self._networks(view) for view in scheme.wirings}
        networks = {name: scheme.modules[name] for names in through.values() for name in names}
        with _measuring(networks.values()), drawn_from(0):
            for view, names in through.items():
                if names:
                    fields = scheme.wirings[view].fields_of("fake", self.player)
                    parts = {field: torch.split(self.inputs[field], self.batch) for field in sorted(fields)}
                    count = min(map(len, parts.values()))
                    for place in range(count)[ranks.rank() :: ranks.world()] if self.together else range(count):
                        seed_random(place)  # so that a batch draws the same on any rank
                        batch = {field: as_float(part[place].to(self.device)) for field, part in parts.items()}
                        Values(scheme, batch).ask(view, "fake", self.player)
            if self.together:
                _pool(networks.values())
            return {name: statistics(network) for name, network in networks.items()}

    def _networks(self, view: str) -> list[str]:
        """Return the names of the networks with such layers that the translation comes through."""
        if not self.scheme.wirings[view].offers("fake", self.player):
            return []
        through = sorted(self.scheme.through(view, "fake", self.player))
        if not self.scheme.modules.keys() >= set(through):
            return []  # some networks are missing, so the direction cannot be computed
        return [name for name in through if any(layers(self.scheme.modules[name]))]


def _pool(networks: Iterable[nn.Module]) -> None:
    """Replace each rank's averages by those over the batches of all ranks."""
    for module in (module for network in networks for _, module in layers(network)):
        buffers = dict(module.named_buffers(recurse=False))
        averages, counted = [buffers["running_mean"], buffers["running_var"]], buffers["num_batches_tracked"]
        share = counted.to(averages[0].dtype)
        for average in averages:
            average.mul_(share)
        sharing.average([*averages, share], "statistics of batch normalisation")
        for average in averages:
            average.div_(share.clamp(min=1 / ranks.world()))
        counted.copy_((share * ranks.world()).round())


@contextmanager
def _measuring(networks: Iterable[nn.Module]) -> Iterator[None]:
    """Make networks in evaluation mode collect statistics: the plain average over the batches they see."""
    found = [module for network in networks for _, module in layers(network)]
    before = [
        (module, module.momentum, {k: v.clone() for k, v in module.named_buffers(recurse=False)}) for module in found
    ]
    try:
        with torch.no_grad():
            for module in found:
                module.train()
                module.momentum = None  # type: ignore[assignment]  # a plain average
                module.reset_running_stats()  # type: ignore[operator]
            yield
    finally:
        for module, momentum, buffers in before:
            module.momentum = momentum
            module.eval()
            for key, value in buffers.items():
                getattr(module, key).data.copy_(value)


def recalibration(plan: Plan, scheme: Scheme, sources: Sources, device: torch.device) -> Recalibration:
    """Prepare the recalibration of batch normalisation on training samples of each field, as stored."""
    batch, found = plan.train.batch, {}
    for name, samples in sources.items():
        random = random_generator(plan.train.seed, "norm", name.partition(".")[0])
        if isinstance(samples, Stored):
            count = max(1, min(samples.length, CALIBRATION) // batch) * batch
            chosen = torch.randperm(samples.length, generator=random)[:count]
            found[name] = samples.load(chosen.tolist())
        else:
            found[name] = samples.draw(max(1, CALIBRATION // batch) * batch, random)
    return Recalibration(scheme, usual(plan.coupling.players), found, batch, device)
