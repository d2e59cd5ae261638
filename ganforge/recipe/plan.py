"""The plan: a resolved recipe, with every component found and every setting checked and filled in."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen

from ganforge.components.component import Component
from ganforge.components.coupling import Coupling, Network
from ganforge.components.schedule import Schedule, at
from ganforge.components.settings import Key
from ganforge.data.split import Split
from ganforge.errors import InputError, RecipeError
from ganforge.recipe.layers import Recipe
from ganforge.recipe.tables import Compute, DataTable, LossTable, Record, Train, ValueTable


@frozen
class Choice:
    """A component with all its settings."""

    component: Component
    settings: Mapping[str, Any]

    @property
    def schedules(self) -> dict[str, Schedule]:
        """The settings that change during a run."""
        return {name: value for name, value in self.settings.items() if isinstance(value, Schedule)}

    @property
    def first(self) -> dict[str, Any]:
        """All settings with their values in the first step."""
        return {name: at(value, 0) if isinstance(value, Schedule) else value for name, value in self.settings.items()}

    def make(self, **given: Any) -> Any:
        """Call the factory with the arguments that it asks for from `given`, and the settings of the first step."""
        return self.component.factory(*(given[name] for name in self.component.signature.given), **self.first)


@frozen
class LossPlan:
    """A loss under its role, such as `adversarial`."""

    role: str
    choice: Choice
    table: LossTable

    def weight_at(self, step: int) -> float:
        """Return the weight at a step."""
        return at(self.table.weight, step)

    def asked(self, player: str, players: Sequence[str]) -> dict[str, str] | None:
        """Return the value's name for each argument of the loss; None if the loss does not count for the player."""
        asked = self.choice.component.asked(player)
        only = self.table.player
        if only is None and self.choice.component.is_general(player):
            only = usual(players)
        if asked is None or only not in (None, player):
            return None
        return {argument: self.table.on.get(argument, argument) for argument in asked}


def usual(players: Sequence[str]) -> str:
    """Return the default player."""
    return "generator" if "generator" in players else players[-1]


@frozen
class ValuePlan:
    """A value and the name by which it is asked for; `of_recipe` if the recipe defines the name."""

    name: str
    choice: Choice
    table: ValueTable
    of_recipe: bool = False

    @property
    def lasts(self) -> bool:
        """Whether it lasts for the whole step."""
        return self.choice.component.lasts if self.table.lasts is None else self.table.lasts

    def asked(self, player: str) -> dict[str, str] | None:
        """Return the value's name for each argument; None if a player cannot have this value."""
        asked = self.choice.component.asked(player)
        return None if asked is None else {argument: self.table.on.get(argument, argument) for argument in asked}

    def differs(self, players: Sequence[str]) -> bool:
        """Return whether players have different methods."""
        return not all(self.choice.component.is_general(player) for player in players)


@frozen
class Plan:
    """Everything that a run needs; `rivals` are values of the same name among which the recipe does not choose."""

    recipe: Recipe
    dataset: Choice
    coupling_choice: Choice
    coupling: Coupling
    networks: Mapping[str, tuple[Network, Choice]]
    values: Mapping[str, ValuePlan]
    losses: tuple[LossPlan, ...]
    updates: Mapping[str, Choice]
    optimizers: Mapping[str, Choice]
    evaluations: Mapping[str, Choice]
    train: Train
    compute: Compute
    record: Record
    observers: Mapping[str, Choice]
    recorder: Choice | None = None
    cache: Choice | None = None
    data: DataTable = field(factory=DataTable)
    plugin_files: tuple[Path, ...] = ()
    rivals: Mapping[str, Sequence[str]] = field(factory=dict)

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    @property
    def watched(self) -> Split:
        """The split that evaluations and sample pictures use during training."""
        return "test" if self.data.validation is None else "validation"

    @property
    def choices(self) -> list[Choice]:
        """Every component that the recipe names."""
        found = [self.dataset, self.coupling_choice, *(choice for _, choice in self.networks.values())]
        found += [value.choice for value in self.values.values() if value.of_recipe]
        found += [loss.choice for loss in self.losses]
        found += [*self.updates.values(), *self.optimizers.values()]
        return [*found, *self.evaluations.values(), *self.observers.values()]

    @contextmanager
    def located(self, path: Key) -> Iterator[None]:
        """Within the context, turn errors of a component about its settings into problems of the recipe at `path`."""
        try:
            yield
        except RecipeError:
            raise
        except (InputError, ValueError) as error:
            key = getattr(error, "key", "")
            raise RecipeError([self.recipe.problem((*path, key) if key else path, str(error))]) from error
