"""What a view offers: which values can be computed, and what they depend on, known from signatures alone."""

from collections.abc import Iterator, Mapping

from attrs import field, frozen

from ganforge.components.coupling import View
from ganforge.recipe.plan import ValuePlan


@frozen(eq=False)
class Wiring:
    """A view and the definitions of its values: what it offers is known from signatures before anything is built."""

    view: View
    definitions: Mapping[str, ValuePlan]
    _missing: dict[tuple[str, str], str | None] = field(factory=dict, init=False, repr=False)

    def asks(self, name: str, player: str) -> Mapping[str, str] | None:
        """Return the value's name for each argument; None if the value is given, not computed, or unknown."""
        if name in self.view.networks or name not in self.definitions:
            return None
        definition = self.definitions[name]
        given = name in self.view.fields or name in self.view.constants
        return None if given and not definition.of_recipe else definition.asked(player)

    def missing(self, name: str, player: str, above: tuple[str, ...] = ()) -> str | None:
        """Return the first undefined name that a value depends on, or itself if it depends on itself; None if neither.

        `above` are the names that depend on it.
        """
        asks = self.asks(name, player)
        if asks is None:
            wired = name in self.view.networks or name in self.view.fields or name in self.view.constants
            return None if wired else name
        if name in above:
            return name
        if (name, player) not in self._missing:
            missing = (self.missing(asked, player, (*above, name)) for asked in asks.values())
            self._missing[name, player] = next((found for found in missing if found is not None), None)
        return self._missing[name, player]

    def ring(self, name: str, player: str, above: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return the names of values that ask for each other in a circle, on the way to what a value misses."""
        if name in above:
            return (*above[above.index(name) :], name)
        asks = self.asks(name, player) or {}
        lacking = next((asked for asked in asks.values() if self.missing(asked, player) is not None), None)
        return () if lacking is None else self.ring(lacking, player, (*above, name))

    def offers(self, name: str, player: str) -> bool:
        """Return whether this view offers a value to a player."""
        return self.missing(name, player) is None

    def names(self, player: str) -> list[str]:
        """Return the names of all values that this view offers to a player."""
        view = self.view
        known = {*view.networks, *view.fields, *view.constants, *self.definitions}
        return sorted(name for name in known if self.offers(name, player))

    def way_to(self, name: str, player: str) -> Iterator[str]:
        """Yield the names of the values to compute for a value, including itself."""
        waiting, found = [name], set()
        while waiting:
            one = waiting.pop()
            asks = self.asks(one, player)
            if asks is not None and one not in found:
                found.add(one)
                yield one
                waiting += reversed([*asks.values()])

    def fields_of(self, name: str, player: str) -> set[str]:
        """Return the fields of the batch that a value depends on."""
        return {self.view.fields[one] for one in self._given(name, player) if one in self.view.fields}

    def networks_of(self, name: str, player: str) -> set[str]:
        """Return the networks that a value depends on."""
        return {self.view.networks[one] for one in self._given(name, player) if one in self.view.networks}

    def _given(self, name: str, player: str) -> set[str]:
        """Return the names that a value depends on and that are given, not computed."""
        asked = {name, *(a for one in self.way_to(name, player) for a in (self.asks(one, player) or {}).values())}
        return {one for one in asked if self.asks(one, player) is None}
