"""A step as a set of named values, each computed by a function that asks for others by name.

One rule says what is shared, detached and recomputed: a value holds until a network that it came through is updated. A
value that came through other players' networks only is detached for a player, and one that came through no network is
passed unchanged.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from attrs import evolve, frozen
from torch import nn

from ganforge.errors import InputError
from ganforge.training import ranks, sharing
from ganforge.training.formula import Formula, cut, mapped
from ganforge.training.numerics import AS_IT_IS, Precision
from ganforge.training.rows import Tape
from ganforge.training.state import held_by
from ganforge.training.wiring import Wiring


@frozen(eq=False)
class Derivation:
    """How a value is computed for a player.

    Attributes:
        key: the key under which it is stored; players that can share the value have the same key.
        formula: computes it.
        asks: the value's name for each argument.
        asker: the player for whom the arguments are computed.
        learner: the player whose networks the graph leads to; None if no graph is needed.
        through: the modules that it came through.
        cut: whether the player is given the value detached.
    """

    key: tuple[str, ...]
    formula: Formula
    asks: Mapping[str, str]
    asker: str
    learner: str | None
    through: frozenset[str]
    cut: bool


class Scheme:
    """Everything about values that stays the same from step to step.

    Args:
        wirings: the wirings of all views.
        make: makes the formula of a value in a view.
        modules: all networks by name; other modules with parameters are added.
        learns: the names of the modules that each player updates, in the order in which they play.

    Attributes:
        formulas: the formulas of values that were asked for, by view and name.
        losses: the formulas of the losses, by label.
        evaluating: whether new modules start in evaluation mode.
    """

    def __init__(
        self,
        wirings: Sequence[Wiring],
        make: Callable[[str, str], Formula],
        modules: dict[str, nn.Module],
        learns: Mapping[str, set[str]],
    ) -> None:
        self.wirings = {wiring.view.name: wiring for wiring in wirings}
        self.modules, self.learns = modules, learns
        self.formulas: dict[tuple[str, str], Formula] = {}
        self.losses: dict[str, Formula] = {}
        self.evaluating = False
        self._make = make
        self._through: dict[tuple[str, str, str], frozenset[str]] = {}
        self._derivations: dict[tuple[str, str, str], Derivation | None] = {}
        self._of_batch: dict[tuple[str, str, str], bool] = {}
        self._different: dict[tuple[str, str], bool] = {}

    def formula(self, view: str, name: str) -> Formula:
        """Return the formula of a value in a view."""
        if (view, name) not in self.formulas:
            made = self.formulas[view, name] = self._make(view, name)
            if self.evaluating and (module := held_by(made.made)) is not None:
                module.eval()
        return self.formulas[view, name]

    def through(self, view: str, name: str, player: str) -> frozenset[str]:
        """Return the names of the modules that a value for a player comes through."""
        key = (view, name, player)
        if key not in self._through:
            wiring = self.wirings[view]
            if name in wiring.view.networks:
                found = frozenset([wiring.view.networks[name]])
            elif (asks := wiring.asks(name, player)) is None:
                found = frozenset()
            else:
                held = self.formula(view, name).label
                found = frozenset([held] if held in self.modules else [])
                found = found.union(*(self.through(view, asked, player) for asked in asks.values()))
            self._through[key] = found
        return self._through[key]

    def is_of_batch(self, view: str, name: str, player: str) -> bool:
        """Return whether a value depends on fields of the batch, so that its first dimension is that of the samples."""
        key = (view, name, player)
        if key not in self._of_batch:
            self._of_batch[key] = bool(self.wirings[view].fields_of(name, player))
        return self._of_batch[key]

    def derivation(self, view: str, name: str, player: str) -> Derivation | None:
        """Return how a value is computed for a player; None if it is given."""
        key = (view, name, player)
        if key not in self._derivations:
            self._derivations[key] = self._plan(view, name, player)
        return self._derivations[key]

    def graph(self, view: str, asks: Mapping[str, str], player: str) -> frozenset[tuple[str, ...]]:
        """Return the keys of the values through which the gradients of a player's loss reach its networks."""
        found: set[tuple[str, ...]] = set()
        waiting = list(asks.values())
        while waiting:
            derivation = self.derivation(view, waiting.pop(), player)
            if derivation is not None and derivation.learner == player and derivation.key not in found:
                found.add(derivation.key)
                waiting += derivation.asks.values()
        return frozenset(found)

    def _plan(self, view: str, name: str, player: str) -> Derivation | None:
        asks = self.wirings[view].asks(name, player)
        if asks is None:
            return None
        through = self.through(view, name, player)
        key: tuple[str, ...]
        owners = [other for other, learns in self.learns.items() if through & learns]
        own = player in owners
        if self._differs(view, name) or (own and len(owners) > 1):
            # A value that came through networks of several players is detached at another place for each of them.
            key, asker, learner = (view, name, player), player, player if own else None
        elif len(owners) == 1:
            key, asker, learner = (view, name), owners[0], owners[0]
        else:
            key, asker, learner = (view, name, ""), player, None
        return Derivation(key, self.formula(view, name), asks, asker, learner, through, cut=bool(through) and not own)

    def _differs(self, view: str, name: str) -> bool:
        """Return whether a value, or one that it depends on, has different methods for players."""
        if (view, name) not in self._different:
            wiring = self.wirings[view]
            asked = [asks for player in self.learns if (asks := wiring.asks(name, player)) is not None]
            further = {one for asks in asked for one in asks.values()}
            own = bool(asked) and wiring.definitions[name].differs(list(self.learns))
            self._different[view, name] = own or any(self._differs(view, one) for one in further)
        return self._different[view, name]


class Values:
    """The values of one batch, each computed when a player first asks for it.

    Args:
        scheme: what stays the same from step to step.
        batch: the fields.
        playing: the players of this step, in order; if empty, no graph is built.
        let_learn: called with a player; makes the parameters of its modules require gradients, and no others.
        precision: how formulas are computed.
        tape: the random draws of a step that is played in parts, whose values are recomputed for each player.
    """

    def __init__(
        self,
        scheme: Scheme,
        batch: Mapping[str, Any],
        playing: Sequence[str] = (),
        let_learn: Callable[[str], None] = lambda player: None,
        precision: Precision = AS_IT_IS,
        tape: Tape | None = None,
    ) -> None:
        self.scheme, self.batch, self.let_learn, self.precision = scheme, batch, let_learn, precision
        self._tape = tape
        self._waiting = list(playing)
        self._held: dict[tuple[str, ...], tuple[Any, Derivation]] = {}

    def ask(self, view: str, name: str, player: str) -> Any:
        """Return a value for a player, detached if the rule says so."""
        derivation = self.scheme.derivation(view, name, player)
        if derivation is None:
            wired = self.scheme.wirings[view].view
            if name in wired.networks:
                if wired.networks[name] not in self.scheme.modules:
                    raise InputError(f"the direction {view} needs the network {wired.networks[name]}, which is missing")
                return self.scheme.modules[wired.networks[name]]
            if name not in wired.fields:
                return wired.constants[name]
            if wired.fields[name] not in self.batch:
                raise InputError(f"the direction {view} needs the field '{wired.fields[name]}', which is not given")
            return self.batch[wired.fields[name]]
        if derivation.key not in self._held:
            self._held[derivation.key] = (self._make(view, derivation), derivation)
        value = self._held[derivation.key][0]
        return cut(value) if derivation.cut else value

    def _make(self, view: str, derivation: Derivation) -> Any:
        given = {argument: self.ask(view, asked, derivation.asker) for argument, asked in derivation.asks.items()}
        learns = derivation.learner in self._waiting
        if learns and derivation.learner:
            self.let_learn(derivation.learner)
        with torch.set_grad_enabled(learns):
            # A value that lasts is never recomputed in a step, so its random draws stay.
            through = frozenset() if derivation.formula.lasts else derivation.through
            formula, asks = derivation.formula, derivation.asks
            return self.compute(formula, view, asks, given, derivation.asker, derivation.key, through)

    def compute(
        self,
        formula: Formula,
        view: str,
        asks: Mapping[str, str],
        given: dict[str, Any],
        player: str,
        key: tuple[str, ...],
        through: frozenset[str] = frozenset(),
    ) -> Any:
        """Compute a formula of a view, from the rows that are played, or from those of all ranks if it is `whole`.

        Args:
            formula: the formula.
            view: the view's name.
            asks: the value's name for each argument.
            given: these values.
            player: the player.
            key: identifies its random draws.
            through: the modules whose update makes it draw again.
        """
        if self.precision.rows is None:
            return formula.compute(player, given, self.precision)
        if not formula.choice.component.whole:
            draws = self._tape.of(key, through) if self._tape else None
            return formula.compute(player, given, self.precision, draws)
        count = self.precision.rows.count
        for argument, name in asks.items():
            if self.scheme.is_of_batch(view, name, player):
                given[argument] = mapped(sharing.gather, given[argument])
        made = formula.compute(player, given, evolve(self.precision, rows=None))
        first, size = ranks.rank() * count, (ranks.world() * count,)
        return mapped(lambda one: one[first : first + count] if one.shape[:1] == size else one, made)

    def updated(self, player: str) -> None:
        """Drop values that came through the networks of a player that has played; detach those that last."""
        if player in self._waiting:
            self._waiting.remove(player)
        learnt = self.scheme.learns[player]
        for key, (value, derivation) in list(self._held.items()):
            if derivation.through & learnt:
                if derivation.formula.lasts:
                    self._held[key] = (cut(value), derivation)
                else:
                    del self._held[key]

    @property
    def is_part(self) -> bool:
        """Whether the batch has other parts."""
        return self._tape is not None

    def forget(self) -> None:
        """Drop values with a graph: the next part of the batch needs the memory."""
        self._held = {
            key: (value, derivation)
            for key, (value, derivation) in self._held.items()
            if derivation.formula.lasts and derivation.learner not in self._waiting
        }
