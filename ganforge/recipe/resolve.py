"""From a recipe's table and the registry to a plan, or to all of the recipe's problems at once."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field

from ganforge.components.coupling import Coupling, Network
from ganforge.components.registry import LOSS_KEYS, PHASES, Registry
from ganforge.components.settings import Key, fill, read_fields
from ganforge.errors import InputError, Problem, RecipeError, nearest
from ganforge.recipe.layers import KEYS, Recipe, Table, has, merge
from ganforge.recipe.plan import Choice, LossPlan, LossTable, Plan, Train

ROLES = ("generator", "discriminator")


def resolve(recipe: Recipe, registry: Registry, plugin_files: Iterable[Path] = ()) -> Plan:
    """Find every component of the recipe and check every setting.

    Raises:
        RecipeError: with all problems that were found.
    """
    work = _Resolver(recipe, registry)
    for key in recipe.table:
        if key not in KEYS:
            work.report((key,), f"unknown table '{key}'", nearest(key, KEYS))
    dataset = work.choose("dataset", ("dataset",))
    coupling_choice = work.choose("coupling", ("coupling",))
    coupling = work.make_coupling(coupling_choice)
    networks = work.networks(coupling)
    losses = work.losses()
    optimizers = work.optimizers()
    evaluations = {
        role: choice
        for role in work.roles("evaluations")
        if (choice := work.choose("evaluation", ("evaluations", role)))
    }
    train = work.train()
    if work.problems or not (dataset and coupling_choice and coupling and train):
        raise RecipeError(work.problems)
    files = tuple(plugin_files)
    return Plan(recipe, dataset, coupling_choice, coupling, networks, losses, optimizers, evaluations, train, files)


@define
class _Resolver:
    """Collects problems while it looks at one table after the other."""

    recipe: Recipe
    registry: Registry
    problems: list[Problem] = field(factory=list)

    def report(self, key: Key, message: str, hint: str = "") -> None:
        problem = self.recipe.problem(key, message, hint)
        if problem not in self.problems:
            self.problems.append(problem)

    def table(self, path: Key) -> Table | None:
        """Return the table at a path, and report where there is none or something else."""
        inner: Any = self.recipe.table
        for key in path:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            return inner
        if has(self.recipe.table, path):
            self.report(path, f"expected a table [{'.'.join(path)}]")
        else:
            self.report(path, f"the table [{path[0]}] is missing")
        return None

    def roles(self, kind: str) -> list[str]:
        """Roles of `[losses.*]` or `[evaluations.*]` that were not removed with `role = false`."""
        tables = self.recipe.table.get(kind, {})
        if not isinstance(tables, dict):
            self.report((kind,), f"expected tables [{kind}.<role>]")
            return []
        return [role for role, table in tables.items() if table is not False]

    def choose(
        self, kind: str, path: Key, table: Table | None = None, aside: Iterable[str] = (), over: Key | None = None
    ) -> Choice | None:
        """Find the component that a table's `use` names, and fill in its settings.

        Args:
            kind: what is looked for.
            path: where the table stands.
            table: the table itself, where it is not simply the one at `path`.
            aside: keys that are no settings.
            over: where a table stands that was laid over the one at `path`.
        """
        if table is None:
            table = self.table(path)
        if table is None:
            return None

        def locate(key: Key) -> Key:
            inner = key[len(path) :]
            return (*over, *inner) if over and has(self.recipe.table, (*over, *inner)) else key

        name = table.get("use")
        if not isinstance(name, str):
            message = f"expected the name of a {kind}" if "use" in table else f"names no {kind}"
            known = {component.name for component in self.registry.of(kind)}
            self.report(locate((*path, "use")), message, nearest("", known))
            return None
        try:
            component = self.registry.find(kind, name)
        except InputError as error:
            message, _, hint = str(error).partition("; ")
            self.report(locate((*path, "use")), message, hint)
            return None
        rest = {key: value for key, value in table.items() if key != "use" and key not in aside}
        before = len(self.problems)
        values = fill(rest, component.signature.settings, path, lambda key, *rest: self.report(locate(key), *rest))
        return Choice(component, values) if len(self.problems) == before else None

    def make_coupling(self, choice: Choice | None) -> Coupling | None:
        if choice is None:
            return None
        made = self.guard(("coupling",), choice.make)
        if made is not None and not isinstance(made, Coupling):
            self.report(("coupling", "use"), f"'{choice.component.qualified}' is not derived from ganforge.Coupling")
            return None
        return made

    def guard(self, path: Key, make: Callable[[], Any]) -> Any:
        """Make something of a component; a ValueError of its validators becomes a problem at `path`."""
        try:
            return make()
        except (ValueError, InputError) as error:
            self.report(path, str(error))
            return None

    def networks(self, coupling: Coupling | None) -> dict[str, tuple[Network, Choice]]:
        """Choose each network: `[generator]` for all, `[generator.AB]` laid over it for one."""
        found: dict[str, tuple[Network, Choice]] = {}
        if coupling is None:
            return found
        for role in ROLES:
            members = [network for network in coupling.networks if network.role == role]
            labels = [network.label for network in members]
            table = self.table((role,)) if members else None
            if table is None:
                continue
            base, apart = self.split(role, table, labels)
            for network in members:
                over = (role, network.label) if network.label in apart else None
                own = merge(base, apart.get(network.label, {}))
                if choice := self.choose(role, (role,), own, over=over):
                    found[network.name] = (network, choice)
        return found

    def split(self, role: str, table: Table, labels: Iterable[str]) -> tuple[Table, Table]:
        """Part a role's table from the tables inside of it that configure one network, or one phase, alone."""
        apart = {key: table[key] for key in labels if key in table}
        for key, value in apart.items():
            if not isinstance(value, dict):
                self.report((role, key), f"expected a table [{role}.{key}]")
        base = {key: value for key, value in table.items() if key not in apart}
        return base, {key: value for key, value in apart.items() if isinstance(value, dict)}

    def losses(self) -> tuple[LossPlan, ...]:
        found = []
        for role in self.roles("losses"):
            path = ("losses", role)
            table = self.table(path)
            choice = self.choose("loss", path, table, aside=LOSS_KEYS)
            if table is None:
                continue
            before = len(self.problems)
            values = fill(
                {key: table[key] for key in LOSS_KEYS[1:] if key in table}, read_fields(LossTable), path, self.report
            )
            if choice is None or len(self.problems) > before:
                continue
            loss = LossPlan(role, choice, LossTable(**values))
            self.check_loss(loss, path)
            found.append(loss)
        if not self.roles("losses"):
            self.report(("losses",), "there is no loss", "add a table [losses.<role>]")
        return tuple(found)

    def check_loss(self, loss: LossPlan, path: Key) -> None:
        """Check what `phase` and `on` say against what the loss has and asks for."""
        component = loss.choice.component
        if all(loss.asked(phase) is None for phase in PHASES):
            self.report((*path, "phase"), f"'{component.name}' plays no part in the {loss.table.phase} phase")
        arguments = {argument for phase in PHASES for argument in component.asked(phase) or ()}
        for argument in loss.table.on:
            if argument not in arguments:
                message = f"'{component.name}' does not ask for '{argument}'"
                self.report((*path, "on", argument), message, nearest(argument, arguments))

    def optimizers(self) -> dict[str, Choice]:
        """Choose the optimizer of each phase: `[optimizer]` for both, `[optimizer.generator]` laid over it for one."""
        table = self.table(("optimizer",))
        if table is None:
            return {}
        base, apart = self.split("optimizer", table, PHASES)
        found = {}
        for phase in PHASES:
            over = ("optimizer", phase) if phase in apart else None
            if choice := self.choose("optimizer", ("optimizer",), merge(base, apart.get(phase, {})), over=over):
                found[phase] = choice
        return found

    def train(self) -> Train | None:
        table: Mapping[str, Any] | None = self.table(("train",))
        if table is None:
            return None
        before = len(self.problems)
        values = fill(table, read_fields(Train), ("train",), self.report)
        if len(self.problems) > before:
            return None
        train = Train(**values)
        if train.alternate and 1 not in (train.discriminator_every, train.generator_every):
            self.report(("train", "alternate"), "needs discriminator_every = 1 or generator_every = 1")
        if train.alternate and train.discriminator_every == train.generator_every:
            self.report(("train", "alternate"), "needs discriminator_every and generator_every to differ")
        if train.best and not (train.evaluate_every and self.recipe.table.get("evaluations")):
            self.report(("train", "best"), "needs evaluations, and train.evaluate_every")
        return train
