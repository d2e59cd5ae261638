"""The training step. It knows players, values and losses, but no network, formula or data set."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch
from attrs import evolve, frozen
from torch import Tensor, nn

from ganforge.components.schedule import Schedule
from ganforge.data.dataset import sent
from ganforge.recipe.tables import Compute
from ganforge.training import numerics, ranks, sharing
from ganforge.training.groups import groups_of
from ganforge.training.networks import named_parameters, require_complete
from ganforge.training.player import Player, Update, learnable
from ganforge.training.rows import Rows, Tape
from ganforge.training.state import Held
from ganforge.training.values import Scheme, Values

KEPT = 1000  # loss weights to keep as tensors, at most
Turn = tuple[str, Tensor, Sequence[Tensor | None]]  # a player, its losses, the gradients of its parameters
Weights = Mapping[str, Mapping[int, float]]  # for each player of a step, the weights of its losses by index


class Steps:
    """Plays steps without recording. A recorder may replay them instead; `reason` says why it does not."""

    reason = ""

    @property
    def how(self) -> str:
        """In a word or two, such as `recorded`."""
        return "unrecorded"

    def play(
        self,
        play: Callable[[Sequence[Tensor]], Iterator[Turn]],
        inputs: Sequence[Tensor],
        like: str,
        names: Callable[[str], Sequence[str]],
        steady: Sequence[Tensor] = (),
    ) -> Iterator[Turn]:
        """Play a step: yield its players, each with its losses and gradients; the next step may overwrite them.

        Args:
            play: plays the step without recording.
            inputs: all tensors that differ from step to step.
            like: identifies everything else that differs.
            names: returns the names of a player's losses.
            steady: tensors that are the same in all steps with the same `like`.
        """
        return play(inputs)


@frozen
class Like:
    """The properties that distinguish kinds of steps.

    Attributes:
        weights: for each player, the weights of the losses that count.
        names: for each player, the names in logs of what `Engine.step` returns.
        factors: the weights as tensors.
        text: identifies the kind; steps with the same text can be replayed by the same program.
    """

    weights: Weights
    names: Mapping[str, list[str]]
    factors: list[Tensor]
    text: str


class Engine:
    """Networks, values, and players with their losses: everything that a training step needs.

    Args:
        networks: the networks by name.
        scheme: computes values.
        players: the players in the order in which they play.
        rhythm: returns the players of a step.
        updates: the updates around optimizer steps.
        held: other state: the modules of losses, values, updates and the coupling, by label.
        compute: precision and memory layout.
        device: the device.
        recorder: makes the object that plays the steps.
        parts: the number of parts in which a batch is played, one after the other.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        scheme: Scheme,
        players: Mapping[str, Player],
        rhythm: Callable[[int], Sequence[str]],
        updates: Sequence[Update],
        held: Mapping[str, Held],
        compute: Compute,
        device: torch.device,
        recorder: Callable[..., Steps] | None = None,
        parts: int = 1,
    ) -> None:
        self.networks, self.scheme, self.players, self.updates, self.held = networks, scheme, players, updates, held
        self.rhythm, self.compute, self.parts = rhythm, compute, parts
        self.precision = numerics.Precision.of(compute, device)
        learnt = {name: scheme.modules[name] for names in scheme.learns.values() for name in sorted(names)}
        self._parameters = {name: [p for _, p in learnable({name: module})] for name, module in learnt.items()}
        self.modules = {**networks, **{name: one.module for name, one in held.items()}}
        self.formulas = [*scheme.formulas.values(), *scheme.losses.values()]
        facts = {"modules": self.modules, "formulas": self.formulas, "players": players, "compute": compute}
        self.recording = recorder(**facts) if recorder else Steps()
        self._learning = ""
        self._scales: dict[tuple[float, torch.dtype], Tensor] = {}
        self._groups = {name: groups_of(player, scheme) for name, player in players.items()}
        weights = [term.loss.table.weight for player in players.values() for term in player.terms]
        schedules = [weight for weight in weights if isinstance(weight, Schedule)]
        self._moving = any(schedule.between != "hold" for schedule in schedules)
        self._changing = bool(schedules) or any(formula.choice.schedules for formula in self.formulas)
        self._likes: dict[tuple[str, ...], Like] = {}
        self._device = device
        self._before = {name: named_parameters(module) for name, module in self.modules.items()}

    def step(self, step: int, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Play one step; return for each player a tensor of its weighted sum and its unweighted losses."""
        batch = {
            name: numerics.laid_out(samples, self.compute.channels_last is True) for name, samples in batch.items()
        }
        like = self._like(step)
        # Weights that change in every step are inputs; others are part of the step's kind.
        moving, steady = (like.factors, []) if self._moving else ([], like.factors)
        play = partial(self.play, like.weights, list(batch), steady)
        losses: dict[str, Tensor] = {}
        turns = self.recording.play(play, [*batch.values(), *moving], like.text, like.names.__getitem__, steady)
        for name, found, gradients in turns:
            losses[name] = found
            sharing.average(gradients, f"the gradients of the {name}")
            self.players[name].update(step, gradients)
        for name in list(self._before):  # after the first step only
            require_complete(self.modules[name], self._before.pop(name), name)
        return losses

    def turns(self, step: int, batch: Mapping[str, Tensor]) -> Iterator[Turn]:
        """Play a step without recording and without updates: for measurements."""
        weights = self.weights(step)
        return self.play(weights, list(batch), self._factors(weights), list(batch.values()))

    def play(
        self, weights: Weights, fields: Sequence[str], steady: Sequence[Tensor], inputs: Sequence[Tensor]
    ) -> Iterator[Turn]:
        """Yield each player with its losses and gradients; the caller updates its networks before the next one.

        Args:
            weights: the weights of the losses that count in this step.
            fields: the names of the batch's fields.
            steady: the weights as tensors, unless they are among the inputs.
            inputs: the batch's fields, then weights that change in every step.
        """
        batch, factors = dict(zip(fields, inputs, strict=False)), iter((*steady, *inputs[len(fields) :]))
        tape = Tape()
        parts = self._parts(batch, list(weights), tape)
        for name, counting in weights.items():
            player, scales = self.players[name], [next(factors) for _ in counting]
            found, gradients = self._turn(player, counting, scales, parts[0])
            for part in parts[1:]:
                more, others = self._turn(player, counting, scales, part)
                found += more
                gradients = _sum(gradients, others)
            if len(parts) > 1:
                found /= len(parts)
                _divide(gradients, len(parts))
                tape.updated(self.scheme.learns[name])
            yield name, torch.cat([(found * torch.stack(scales)).sum()[None], found]), gradients

    def _parts(self, batch: Mapping[str, Tensor], playing: list[str], tape: Tape) -> list[Values]:
        """Return the values of each part of the batch."""
        count, world = min(map(len, batch.values()), default=1), ranks.world()
        parts = math.gcd(self.parts, count)
        if parts == world == 1:
            return [Values(self.scheme, batch, playing, self.let_learn, self.precision)]
        size, found = count // parts, []
        for place in range(parts):
            part = {name: samples[place * size : (place + 1) * size] for name, samples in batch.items()}
            rows = Rows(count * world, (place * world + ranks.rank()) * size, size)
            precision = evolve(self.precision, rows=rows)
            found.append(Values(self.scheme, part, playing, self.let_learn, precision, tape if parts > 1 else None))
        return found

    def _turn(
        self, player: Player, counting: Mapping[int, float], scales: Sequence[Tensor], values: Values
    ) -> tuple[Tensor, list[Tensor | None]]:
        """Return the losses of a player and the gradients of their weighted sum."""
        weights, found = dict(zip(counting, scales, strict=True)), dict[int, Tensor]()
        gradients: list[Tensor | None] = [None] * len(player.parameters)
        # Losses that share no graph are differentiated one group after the other: less memory is in use.
        for group in self._groups[player.name]:
            if places := [place for place in group if place in counting]:
                # Losses ask for values, which are computed now unless they still hold from an earlier player.
                losses = {place: player.terms[place].value(values, player.name) for place in places}
                # The gradient of the weighted sum is that of each loss times its weight.
                gradients = _sum(gradients, player.differentiate(losses, [weights[place] for place in places]))
                found |= {place: loss.detach() for place, loss in losses.items()}
        player.watch(values)
        # A value holds until a network that it came through is updated.
        values.updated(player.name)
        if values.is_part:
            values.forget()
        return torch.stack([found[place] for place in counting]), gradients

    def weights(self, step: int) -> dict[str, dict[int, float]]:
        """Return the players of a step, each with the weights of its losses; losses of weight 0 are left out."""
        found = {}
        for name in self.rhythm(step):
            weighed = {place: term.loss.weight_at(step) for place, term in enumerate(self.players[name].terms)}
            if counting := {place: weight for place, weight in weighed.items() if weight}:
                found[name] = counting
        return found

    def loss_names(self, player: str, step: int) -> list[str]:
        """Return the names of what `step` returns for a player, in order, as in the log."""
        return self._like(step).names[player]

    def _like(self, step: int) -> Like:
        """Return the kind of a step; without schedules, it depends only on the players."""
        playing = tuple(self.rhythm(step))
        if self._changing or playing not in self._likes:
            weights = self.weights(step)
            names = {
                player: [player, *(f"{player}.{self.players[player].terms[place].name}" for place in counting)]
                for player, counting in weights.items()
            }
            counted = [(name, list(weighed) if self._moving else weighed) for name, weighed in weights.items()]
            settings = "".join(formula.set_step(step) for formula in self.formulas)
            self._likes[playing] = Like(weights, names, self._factors(weights), f"{counted}{settings}")
        return self._likes[playing]

    def let_learn(self, player: str) -> None:
        """Make the parameters of a player's modules require gradients, and no others."""
        if player == self._learning:
            return
        self._learning = player
        learns = self.scheme.learns[player]
        for name, parameters in self._parameters.items():
            if parameters and parameters[0].requires_grad != (name in learns):
                for parameter in parameters:
                    parameter.requires_grad_(name in learns)

    def fitting_batch(self, step: int, one: Mapping[str, Tensor], size: int) -> int:
        """Halve the batch until a step fits into memory; no parameter is updated.

        Args:
            step: the step whose loss weights are used.
            one: a sample of each field, [1, ...].
            size: the first batch size to try.
        """
        weights = self.weights(step)
        while size > 1:
            batch = [sample.expand(size, *sample.shape[1:]).contiguous() for sample in one.values()]
            try:
                for _ in self.play(weights, list(one), self._factors(weights), batch):
                    pass
            except Exception as error:
                if not numerics.out_of_memory(error):
                    raise
                size //= 2
            else:
                break
        return max(1, size)

    def _factors(self, weights: Weights) -> list[Tensor]:
        """Return weights as tensors, in the order of the losses; equal weights share a tensor."""
        kind = next((p[0].dtype for p in self._parameters.values() if p), torch.float32)
        if len(self._scales) > KEPT:
            self._scales.clear()
        wanted = [(weight, kind) for counting in weights.values() for weight in counting.values()]
        for key in wanted:
            if key not in self._scales:
                self._scales[key] = sent(torch.tensor(key[0], dtype=kind), self._device)
        return [self._scales[key] for key in wanted]


def _sum(sums: Sequence[Tensor | None], further: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Return sums of gradients, added in place; None is 0."""
    pairs = [(one, other) for one, other in zip(sums, further, strict=True) if one is not None and other is not None]
    if pairs:
        torch._foreach_add_([one for one, _ in pairs], [other for _, other in pairs])
    return [other if one is None else one for one, other in zip(sums, further, strict=True)]


def _divide(gradients: Sequence[Tensor | None], count: int) -> None:
    torch._foreach_div_([gradient for gradient in gradients if gradient is not None], count)
