"""From a recipe's table and the registry to a plan, or to all of the recipe's problems at once."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from attrs import NOTHING, define, field

from ganforge.components import registry as registries
from ganforge.components.coupling import PLAYERS, Coupling, Network, View
from ganforge.components.registry import Component, Registry
from ganforge.components.settings import Key, fill, read_fields
from ganforge.errors import InputError, Problem, RecipeError, nearest
from ganforge.recipe.layers import KEYS, Recipe, Table, has, merge
from ganforge.recipe.plan import Choice, Compute, LossPlan, LossTable, Plan, Record, Train, ValuePlan, ValueTable

SISTERS: Mapping[str, type] = {"train": Train, "compute": Compute, "record": Record}
Made = TypeVar("Made", Train, Compute, Record)
Table_ = TypeVar("Table_", LossTable, ValueTable)


def resolve(recipe: Recipe, registry: Registry, plugin_files: Iterable[Path] = ()) -> Plan:
    """Find every component of the recipe and check every setting.

    Raises:
        RecipeError: with all problems that were found.
    """
    work = _Resolver(recipe, registry)
    dataset = work.choose("dataset", ("dataset",))
    coupling_choice = work.choose("coupling", ("coupling",))
    coupling = work.make_coupling(coupling_choice)
    known = [*KEYS, *(network.role for network in (coupling.networks if coupling else ()))]
    for key in recipe.table:
        if key not in known and (coupling or not isinstance(recipe.table[key], dict)):
            work.report((key,), f"unknown table '{key}'", nearest(key, known))
    networks = work.networks(coupling)
    values, rivals = work.values(coupling_choice)
    losses = work.losses()
    updates = work.several("updates", "update")
    optimizers = work.optimizers()
    evaluations = work.several("evaluations", "evaluation")
    train, compute, record = work.train(), work.compute(), work.record()
    observers = work.observers()
    if work.problems or not (dataset and coupling_choice and coupling and train and compute and record):
        raise RecipeError(work.problems)
    return Plan(
        recipe,
        dataset,
        coupling_choice,
        coupling,
        networks,
        values,
        losses,
        updates,
        optimizers,
        evaluations,
        train,
        compute,
        record,
        observers,
        next((Choice(component, {}) for component in registry.of("recorder")), None),
        tuple(plugin_files),
        rivals,
    )


@define
class _Resolver:
    """Collects problems while it looks at one table after the other."""

    recipe: Recipe
    registry: Registry
    problems: list[Problem] = field(factory=list)
    players: tuple[str, ...] = PLAYERS  # the coupling's, once it is made

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
        self,
        kind: str,
        path: Key,
        table: Table | None = None,
        aside: Iterable[str] = (),
        over: Key | None = None,
        named: Key | None = None,
    ) -> Choice | None:
        """Find the component that a table's `use` names, and fill in its settings.

        Args:
            kind: what is looked for.
            path: where the table stands.
            table: the table itself, where it is not simply the one at `path`.
            aside: keys that are no settings.
            over: where a table stands that was laid over the one at `path`.
            named: where the component's name stands, if not under `use`.
        """
        if table is None:
            table = self.table(path)
        if table is None:
            return None

        def locate(key: Key) -> Key:
            inner = key[len(path) :]
            return (*over, *inner) if over and has(self.recipe.table, (*over, *inner)) else key

        name = table.get("use")
        place = named or locate((*path, "use"))
        if not isinstance(name, str):
            message = f"expected the {kind}'s name" if "use" in table else f"names no {kind}"
            known = {component.name for component in self.registry.of(kind)}
            self.report(place, message, nearest("", known))
            return None
        try:
            component = self.registry.find(kind, name)
        except InputError as error:
            message, _, hint = str(error).partition("; ")
            self.report(place, message, hint)
            return None
        rest = {key: value for key, value in table.items() if key != "use" and key not in aside}
        before = len(self.problems)
        values = fill(
            rest,
            component.signature.settings,
            path,
            lambda key, *rest: self.report(locate(key), *rest),
            scheduled=kind in ("loss", "optimizer"),
        )
        return Choice(component, values) if len(self.problems) == before else None

    def several(self, tables: str, kind: str) -> dict[str, Choice]:
        """Choose the component of each table `[tables.<role>]`."""
        found = {role: self.choose(kind, (tables, role)) for role in self.roles(tables)}
        return {role: choice for role, choice in found.items() if choice}

    def make_coupling(self, choice: Choice | None) -> Coupling | None:
        """Make the coupling, and check that its networks, players and views fit together."""
        if choice is None:
            return None
        name, path = choice.component.qualified, ("coupling", "use")
        try:
            made = choice.make()
        except (ValueError, InputError) as error:
            self.report(("coupling",), str(error))
            return None
        if not isinstance(made, Coupling):
            self.report(path, f"'{name}' is not derived from ganforge.Coupling")
            return None
        before = len(self.problems)
        try:
            for problem in _misfits(made):
                self.report(path, f"'{name}': {problem}")
        except Exception as error:
            self.report(path, f"'{name}' failed: {type(error).__name__}: {error}")
        if len(self.problems) > before:
            return None
        self.players = tuple(made.players)
        return made

    def networks(self, coupling: Coupling | None) -> dict[str, tuple[Network, Choice]]:
        """Choose each network: `[generator]` for all, `[generator.AB]` or `[generator.G_AB]` laid over it for one."""
        found: dict[str, tuple[Network, Choice]] = {}
        if coupling is None:
            return found
        for role in dict.fromkeys(network.role for network in coupling.networks):
            members = [network for network in coupling.networks if network.role == role]
            table = self.table((role,))
            if table is None:
                continue
            names = [name for network in members for name in (network.label, network.name)]
            base, apart = self.split(role, table, dict.fromkeys(names))
            for network in members:
                own, over = base, None
                for name in dict.fromkeys((network.label, network.name)):
                    if name in apart:
                        own, over = merge(own, apart[name]), (role, name)
                if choice := self.choose(network.kind, (role,), own, over=over):
                    found[network.name] = (network, choice)
        return {network.name: found[network.name] for network in coupling.networks if network.name in found}

    def split(self, role: str, table: Table, labels: Iterable[str]) -> tuple[Table, Table]:
        """Part a role's table from the tables inside of it that configure one network, or one phase, alone."""
        apart = {key: table[key] for key in labels if key in table}
        for key, value in apart.items():
            if not isinstance(value, dict):
                self.report((role, key), f"expected a table [{role}.{key}]")
        base = {key: value for key, value in table.items() if key not in apart}
        return base, {key: value for key, value in apart.items() if isinstance(value, dict)}

    def parted(self, kind: str, path: Key, cls: type[Table_]) -> tuple[Choice, Table_] | None:
        """Choose the component of a table some of whose keys belong to the engine; return both parts."""
        table = self.table(path)
        keys = registries.KEYS[kind]
        choice = self.choose(kind, path, table, aside=keys)
        if table is None:
            return None
        before = len(self.problems)
        values = fill({key: table[key] for key in keys[1:] if key in table}, read_fields(cls), path, self.report)
        return None if choice is None or len(self.problems) > before else (choice, cls(**values))

    def values(self, coupling: Choice | None) -> tuple[dict[str, ValuePlan], dict[str, list[str]]]:
        """Find everything that can be asked for by name: `[values.<name>]`, and what plugins register under a name.

        Of several plugins that register one name, the one that the coupling comes from has it.

        Returns:
            What stands behind each name; and for each name that nobody has the plugins' values that might.
        """
        registered: dict[str, list[Component]] = {}
        for component in self.registry.of("value"):
            registered.setdefault(component.name, []).append(component)
        found: dict[str, ValuePlan] = {}
        rivals: dict[str, list[str]] = {}
        for name, components in registered.items():
            own = [one for one in components if coupling and one.plugin == coupling.component.plugin]
            first, *others = own or components
            settings = {key: setting.default for key, setting in first.signature.settings.items()}
            if others:
                rivals[name] = [component.qualified for component in components]
            elif NOTHING not in settings.values():
                found[name] = ValuePlan(name, Choice(first, settings), ValueTable())
        for name in self.roles("values"):
            parts = self.parted("value", ("values", name), ValueTable)
            if parts:
                found[name] = ValuePlan(name, *parts, of_recipe=True)
                self.check_on(parts[0].component, parts[1].on, ("values", name))
        return found, {name: several for name, several in rivals.items() if name not in found}

    def losses(self) -> tuple[LossPlan, ...]:
        found = []
        for role in self.roles("losses"):
            path = ("losses", role)
            parts = self.parted("loss", path, LossTable)
            if parts:
                loss = LossPlan(role, *parts)
                component, player = loss.choice.component, loss.table.player
                if player is not None and player not in self.players:
                    self.report((*path, "player"), f"there is no player '{player}'", nearest(player, self.players))
                elif all(loss.asked(one, self.players) is None for one in self.players):
                    whom = f"the {player}" if player else f"any of {', '.join(self.players)}"
                    self.report((*path, "player"), f"'{component.name}' has nothing for {whom}")
                self.check_on(component, loss.table.on, path)
                found.append(loss)
        if not self.roles("losses"):
            self.report(("losses",), "there is no loss", "add a table [losses.<role>]")
        return tuple(found)

    def check_on(self, component: Component, on: Mapping[str, str], path: Key) -> None:
        """Check that `on` binds what the component asks for."""
        arguments = {argument for player in self.players for argument in component.asked(player) or ()}
        for argument in on:
            if argument not in arguments:
                message = f"'{component.name}' does not ask for '{argument}'"
                self.report((*path, "on", argument), message, nearest(argument, arguments))

    def optimizers(self) -> dict[str, Choice]:
        """Choose the optimizer of each player: `[optimizer]` for all, `[optimizer.generator]` laid over it for one."""
        table = self.table(("optimizer",))
        if table is None:
            return {}
        base, apart = self.split("optimizer", table, self.players)
        found = {}
        for player in self.players:
            over = ("optimizer", player) if player in apart else None
            if choice := self.choose("optimizer", ("optimizer",), merge(base, apart.get(player, {})), over=over):
                found[player] = choice
        return found

    def train(self) -> Train | None:
        train = self.fields("train", Train)
        if train is None:
            return None
        for player in train.every:
            if player not in self.players:
                self.report(("train", "every", player), f"there is no player '{player}'", nearest(player, self.players))
        if train.alternate:
            intervals = [train.every.get(player, 1) for player in self.players]
            if 1 not in intervals:
                self.report(
                    ("train", "alternate"), f"needs an interval of 1 in train.every for {' or '.join(self.players)}"
                )
            if len(set(intervals)) < len(intervals):
                self.report(("train", "alternate"), f"needs the intervals of {' and '.join(self.players)} to differ")
        return train

    def compute(self) -> Compute | None:
        return self.fields("compute", Compute)

    def record(self) -> Record | None:
        record = self.fields("record", Record)
        if record and record.best and not (record.evaluate_every and self.recipe.table.get("evaluations")):
            self.report(("record", "best"), "needs evaluations, and record.evaluate_every")
        return record

    def observers(self) -> dict[str, Choice]:
        """Choose the observers: a list of names, or tables `[record.observers.<role>]` whose role is `use` too."""
        record, path = self.recipe.table.get("record"), ("record", "observers")
        wanted = record.get("observers", {}) if isinstance(record, dict) else {}
        found: dict[str, Choice] = {}
        if isinstance(wanted, dict):
            for role, table in wanted.items():
                if table is False or self.table((*path, role)) is None:
                    continue
                named = None if "use" in table else (*path, role)
                if choice := self.choose("observer", (*path, role), {"use": role, **table}, named=named):
                    found[role] = choice
        elif isinstance(wanted, list):
            for name in wanted:
                role = str(name).rpartition("/")[2]
                choice = self.choose("observer", (*path, role), {"use": name}, named=path)
                if choice and choice not in found.values():
                    found[str(name) if role in found else role] = choice
        else:
            self.report(path, "expected a list of names, or tables [record.observers.<role>]")
        return found

    def fields(self, name: str, cls: type[Made]) -> Made | None:
        """Make what one of `SISTERS` says; all but `[train]` may be missing. `observers` are chosen apart from it."""
        table = self.table((name,)) if name == "train" or name in self.recipe.table else {}
        if table is None:
            return None
        before, fields = len(self.problems), read_fields(cls)
        for key in table:
            if key not in fields and (name, key) != ("record", "observers"):
                self.report((name, key), f"unknown setting '{key}'", home(key) or nearest(key, fields))
        values = fill({key: table[key] for key in fields if key in table}, fields, (name,), self.report)
        return cls(**values) if len(self.problems) == before else None


def home(key: str) -> str:
    """Say where a key belongs that stands in the wrong one of the sister tables.

    >>> home("keep"), home("generator_every"), home("oops")
    ('it belongs into [record]', 'set train.every.generator', '')
    """
    for name, cls in SISTERS.items():
        if key in read_fields(cls) or (name, key) == ("record", "observers"):
            return f"it belongs into [{name}]"
    player = key.removesuffix("_every")
    return f"set train.every.{player}" if player in PLAYERS else ""


def _misfits(coupling: Coupling) -> Iterator[str]:
    """Say what in a coupling does not fit together."""
    networks, views, players = list(coupling.networks), list(coupling.views), list(coupling.players)
    for kind, names in (
        ("network", [n.name for n in networks]),
        ("view", [v.name for v in views]),
        ("player", players),
    ):
        yield from (f"two {kind}s are called '{name}'" for name in dict.fromkeys(names) if names.count(name) > 1)
    if not views:
        yield "it plays no direction: views is empty"
    for network in networks:
        if network.player is not None and network.player not in players:
            yield f"{network.name} is updated by '{network.player}', which is none of its players {', '.join(players)}"
        if network.role in KEYS and network.role not in PLAYERS:
            yield f"{network.name} has the role '{network.role}', which is a table of every recipe; rename it"
        if not network.domains and network.kind != "network":
            yield f"{network.name} names no domain"
    for view in views:
        if not isinstance(view, View):
            yield f"views holds {type(view).__name__}, expected ganforge.View"
            continue
        for value, name in view.networks.items():
            if name not in {network.name for network in networks}:
                yield f"the view {view.name} has a network '{name}' as its {value}, which is not among its networks"
