"""A step as a set of named values, each made by a function that asks for others by name.

One rule says what is shared, cut off and made anew: a value holds until a network that it came through is updated. A
player is given a value that came through none of its own networks cut off from its graph, and one that no network made
as it is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from attrs import evolve, frozen
from torch import nn

from ganforge.components.coupling import View
from ganforge.errors import InputError
from ganforge.recipe.plan import ValuePlan
from ganforge.training import ranks, sharing
from ganforge.training.formula import Formula, cut, mapped
from ganforge.training.numerics import AS_IT_IS, Precision
from ganforge.training.rows import Tape
from ganforge.training.state import held_by


@frozen(eq=False)
class Wiring:
    """A view and the definitions behind its names: what it offers, known from signatures before anything is built."""

    view: View
    definitions: Mapping[str, ValuePlan]

    def asks(self, name: str, player: str) -> Mapping[str, str] | None:
        """For each argument of a value the name behind it; None where a value is not made but given, or not known."""
        if name in self.view.networks or name not in self.definitions:
            return None
        definition = self.definitions[name]
        given = name in self.view.fields or name in self.view.constants
        return None if given and not definition.of_recipe else definition.asked(player)

    def missing(self, name: str, player: str, above: tuple[str, ...] = ()) -> str | None:
        """Return the first name on the way to a value that nothing stands behind; None where it can be had."""
        asks = self.asks(name, player)
        if asks is None:
            wired = name in self.view.networks or name in self.view.fields or name in self.view.constants
            return None if wired else name
        if name in above:
            return name
        missing = (self.missing(asked, player, (*above, name)) for asked in asks.values())
        return next((found for found in missing if found is not None), None)

    def offers(self, name: str, player: str) -> bool:
        """Whether a player can have a value here."""
        return self.missing(name, player) is None

    def names(self, player: str) -> list[str]:
        """Everything that a player can have here."""
        view = self.view
        known = {*view.networks, *view.fields, *view.constants, *self.definitions}
        return sorted(name for name in known if self.offers(name, player))

    def way_to(self, name: str, player: str) -> Iterator[str]:
        """Yield the names of the values that must be made for a value, itself included; some more than once."""
        asks = self.asks(name, player)
        if asks is not None:
            yield name
            for asked in asks.values():
                yield from self.way_to(asked, player)

    def fields_of(self, name: str, player: str) -> set[str]:
        """Return the fields of the batch that a value is made of."""
        return {self.view.fields[one] for one in self._given(name, player) if one in self.view.fields}

    def networks_of(self, name: str, player: str) -> set[str]:
        """Return the networks that a value is made with."""
        return {self.view.networks[one] for one in self._given(name, player) if one in self.view.networks}

    def _given(self, name: str, player: str) -> set[str]:
        """Return the names at the ends of all ways to a value, which are not made."""
        asked = {name, *(a for one in self.way_to(name, player) for a in (self.asks(one, player) or {}).values())}
        return {one for one in asked if self.asks(one, player) is None}


@frozen(eq=False)
class Derivation:
    """How a player comes by a value.

    Attributes:
        key: under which it is held; two players that may share it find it under the same one.
        formula: makes it.
        asks: for each argument the value that is handed over.
        asker: the player as whom the arguments are asked for.
        learner: the player whose networks the graph leads to; None where no graph is needed.
        through: the networks that it came through.
        cut: whether the player is given it cut off.
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
        wirings: of all views.
        make: makes the formula of a value in a view.
        modules: all networks, by name; whatever else holds parameters is added.
        learns: the names of the modules that each player updates, in the order in which they play.

    Attributes:
        formulas: what makes the value of a view, as far as it was asked for.
        losses: the formulas of the losses, by label.
        evaluating: whether modules that are made now begin in evaluation mode.
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

    def formula(self, view: str, name: str) -> Formula:
        """Return what makes a value of a view."""
        if (view, name) not in self.formulas:
            made = self.formulas[view, name] = self._make(view, name)
            if self.evaluating and (module := held_by(made.made)) is not None:
                module.eval()
        return self.formulas[view, name]

    def through(self, view: str, name: str, player: str) -> frozenset[str]:
        """Return the names of the modules that a value comes through on its way to a player."""
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
        """Whether a value is made of fields of the batch, so that its first dimension is that of the samples."""
        key = (view, name, player)
        if key not in self._of_batch:
            self._of_batch[key] = bool(self.wirings[view].fields_of(name, player))
        return self._of_batch[key]

    def derivation(self, view: str, name: str, player: str) -> Derivation | None:
        """Say how a player comes by a value; None where it is not made but given."""
        key = (view, name, player)
        if key not in self._derivations:
            self._derivations[key] = self._plan(view, name, player)
        return self._derivations[key]

    def _plan(self, view: str, name: str, player: str) -> Derivation | None:
        asks = self.wirings[view].asks(name, player)
        if asks is None:
            return None
        through = self.through(view, name, player)
        key: tuple[str, ...]
        owners = [other for other, learns in self.learns.items() if through & learns]
        own = player in owners
        if self._differs(view, name) or (own and len(owners) > 1):
            # What came through networks of several players is cut off for each of them at another place.
            key, asker, learner = (view, name, player), player, player if own else None
        elif len(owners) == 1:
            key, asker, learner = (view, name), owners[0], owners[0]
        else:
            key, asker, learner = (view, name, ""), player, None
        return Derivation(key, self.formula(view, name), asks, asker, learner, through, cut=bool(through) and not own)

    def _differs(self, view: str, name: str) -> bool:
        """Whether a value, or one that it is made of, is made by another method for each player."""
        wiring = self.wirings[view]
        for player in self.learns:
            asks = wiring.asks(name, player)
            if asks is not None and wiring.definitions[name].differs(list(self.learns)):
                return True
            if any(self._differs(view, asked) for asked in (asks or {}).values()):
                return True
        return False


class Values:
    """The values of one batch, each made when a player first asks for it.

    Args:
        scheme: what is known beforehand.
        batch: the fields.
        playing: the players of this step, in their order; without any, values are looked at and no graph is made.
        let_learn: called with a player: parameters of its modules are to require gradients, and no others.
        precision: how formulas are computed.
        tape: of the step, where it is played part by part, and values of one part are made anew for each player.
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
        """Return a value as a player may have it."""
        derivation = self.scheme.derivation(view, name, player)
        if derivation is None:
            wired = self.scheme.wirings[view].view
            if name in wired.networks:
                if wired.networks[name] not in self.scheme.modules:
                    raise InputError(
                        f"the direction {view} needs the network {wired.networks[name]}, which is not there"
                    )
                return self.scheme.modules[wired.networks[name]]
            if name not in wired.fields:
                return wired.constants[name]
            if wired.fields[name] not in self.batch:
                raise InputError(f"the direction {view} needs '{wired.fields[name]}', which is not among what is given")
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
            # What lasts is not made anew once it is there, so that what was drawn for it stays.
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
        """Compute a formula of a view: with the rows that are played, or with those of all ranks if it wants them.

        Args:
            formula: what is computed.
            view: the view's name.
            asks: for each argument the value behind it.
            given: these values.
            player: for whom it is computed.
            key: what is drawn is told apart by it.
            through: the modules whose update makes it draw anew.
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
        """Drop what came through the networks of a player that has just played; what lasts stays, cut off."""
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
        """Whether there are other parts of the batch."""
        return self._tape is not None

    def forget(self) -> None:
        """Drop all that holds a graph: the next part of the batch needs its memory."""
        self._held = {
            key: (value, derivation)
            for key, (value, derivation) in self._held.items()
            if derivation.formula.lasts and derivation.learner not in self._waiting
        }
