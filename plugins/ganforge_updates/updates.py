"""Updates: `before` and `after` an optimizer's step, and weights `shown` instead of the trained ones."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import torch
from attrs.validators import ge, gt, lt
from torch import Tensor, nn


class EMA(nn.Module):
    """An exponential moving average of a player's weights, shown instead of them (Karras et al. 2018, section 5).

    With decay b, each step sets average = b average + (1 - b) weights. Buffers are not averaged: the average uses those
    of the trained network, or those that recalibration measures.

    Args:
        decay: b.
        half_life: half-life in steps, instead of `decay`: b = 0.5 ** (1 / half_life).
        warm_up: b is at most (1 + t) / (warm_up + t) in step t, so that early weights are soon forgotten; 0 for none.
        players: players whose weights are averaged.
    """

    def __init__(
        self,
        *,
        decay: Annotated[float, ge(0), lt(1)] = 0.999,
        half_life: Annotated[float, gt(0)] | None = None,
        warm_up: Annotated[float, ge(0)] = 10.0,
        players: list[str] = ["generator"],  # noqa: B006  # a setting's default, never changed
    ) -> None:
        super().__init__()
        self.decay = decay if half_life is None else 0.5 ** (1 / half_life)
        self.warm_up, self.players = warm_up, tuple(players)

    def after(self, player: str, networks: Mapping[str, nn.Module]) -> None:
        """Update the averages."""
        steps = self._average(f"steps/{player}", lambda: torch.zeros((), device=_device(networks)))
        share = 1 - (torch.clamp((1 + steps) / (self.warm_up + steps), max=self.decay) if self.warm_up else self.decay)
        steps.add_(1)
        for network, module in networks.items():
            for key, parameter in module.named_parameters():
                average = self._average(f"{network}/{key}", parameter.detach().clone)
                average.lerp_(parameter.detach(), share.to(average.dtype) if isinstance(share, Tensor) else share)

    def shown(self, network: str) -> Mapping[str, Tensor]:
        """Return the averages of a network's parameters."""
        found = dict(self.named_buffers())
        start = f"{network}/".replace(".", "/")
        return {name.removeprefix(start).replace("/", "."): found[name] for name in found if name.startswith(start)}

    def _average(self, name: str, first: Callable[[], Tensor]) -> Tensor:
        """Return a buffer; create it on first use. Names of buffers cannot have dots."""
        name = name.replace(".", "/")
        if name not in self._buffers:
            self.register_buffer(name, first())
        return self.get_buffer(name)


class Clip(nn.Module):
    """Limits gradients or weights.

    Args:
        norm: largest total norm of a player's gradients; larger ones are scaled down (Pascanu et al. 2013).
        value: largest absolute value of a gradient's entries.
        weights: largest absolute value of a weight after the step (WGAN, Arjovsky et al. 2017, Algorithm 1: 0.01).
        players: players to limit; by default all.
    """

    def __init__(
        self,
        *,
        norm: Annotated[float, gt(0)] | None = None,
        value: Annotated[float, gt(0)] | None = None,
        weights: Annotated[float, gt(0)] | None = None,
        players: list[str] = [],  # noqa: B006  # a setting's default, never changed
    ) -> None:
        super().__init__()
        self.norm, self.value, self.weights, self.players = norm, value, weights, tuple(players)

    def before(self, parameters: Sequence[nn.Parameter]) -> bool:
        """Limit the gradients."""
        if self.norm is not None:
            nn.utils.clip_grad_norm_(parameters, self.norm)
        if self.value is not None:
            nn.utils.clip_grad_value_(parameters, self.value)
        return True

    def after(self, networks: Mapping[str, nn.Module]) -> None:
        """Limit the weights."""
        if self.weights is not None:
            for network in networks.values():
                for parameter in network.parameters():
                    parameter.clamp_(-self.weights, self.weights)


class Accumulate(nn.Module):
    """Averages gradients over several turns of a player before its optimizer steps: a larger batch in less memory.

    Losses that need the whole batch, and batch normalisation, see only each turn's batch.

    Args:
        turns: number of turns.
        players: players to accumulate for; by default all.
    """

    def __init__(
        self,
        *,
        turns: Annotated[int, ge(1)],
        players: list[str] = [],  # noqa: B006  # a setting's default, never changed
    ) -> None:
        super().__init__()
        self.turns, self.players = turns, tuple(players)
        self._counted: dict[
            str, tuple[Tensor, int]
        ] = {}  # what the buffers hold, read without synchronising the device

    def before(self, player: str, parameters: Sequence[nn.Parameter]) -> bool:
        """Return whether enough gradients are accumulated; they are then averaged."""
        if player not in self._buffers:
            self.register_buffer(player, torch.zeros((), dtype=torch.long))
        buffer = self.get_buffer(player)
        known, count = self._counted.get(player, (None, 0))
        if known is not buffer:  # it was restored
            count = int(buffer)
        count = (count + 1) % self.turns
        buffer.fill_(count)
        self._counted[player] = (buffer, count)
        if count:
            return False
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.div_(self.turns)
        return True


def _device(networks: Mapping[str, nn.Module]) -> torch.device:
    return next(parameter.device for network in networks.values() for parameter in network.parameters())
