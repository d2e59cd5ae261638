"""Resolve a recipe to a plan, or report all of its problems at once."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from attrs import NOTHING, define, evolve

from ganforge.components.component import Component
from ganforge.components.coupling import PLAYERS, Coupling, Network, View
from ganforge.components.describe import describe_value
from ganforge.components.registry import Registry
from ganforge.components.settings import Key, read_fields
from ganforge.errors import InputError, RecipeError, nearest
from ganforge.recipe.choose import Chooser, Made
from ganforge.recipe.layers import KEYS, Recipe
from ganforge.recipe.plan import Choice, LossPlan, Plan, ValuePlan
from ganforge.recipe.tables import Compute, DataTable, LossTable, Record, Train, ValueTable

VALIDATION = 0.05  # default share of the training samples that chooses the best checkpoint
SISTERS: Mapping[str, type] = {"train": Train, "compute": Compute, "record": Record}


def resolve(recipe: Recipe, registry: Registry[Component], plugin_files: Iterable[Path] = ()) -> Plan:
    """Find every component of the recipe and check every setting; a RecipeError lists all problems."""
    work = _Resolver(recipe, registry)
    dataset, data = work.parted("dataset", ("dataset",), DataTable) or (None, DataTable())
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
    train, compute, record = work.train(), work.fields("compute", Compute), work.record()
    observers = work.observers()
    if train and record and train.patience and not record.best:
        work.report(("train", "patience"), "needs record.best, which says what is better")
    if work.problems or not (dataset and coupling_choice and coupling and train and compute and record):
        raise RecipeError(list(work.problems))
    if record.best and data.validation is None:
        data = DataTable(VALIDATION)
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
        next((Choice(component, {}) for component in registry.of("cache")), None),
        data,
        tuple(plugin_files),
        rivals,
    )


@define
class _Resolver(Chooser):
    """Resolves the tables one by one; `players` are those of the coupling once it is made."""

    players: tuple[str, ...] = PLAYERS

    def make_coupling(self, choice: Choice | None) -> Coupling | None:
        """Make the coupling, and check that its networks, players and views fit together."""
        if choice is None:
            return None
        name, path, before = choice.component.qualified, ("coupling", "use"), len(self.problems)
        try:
            made = choice.make()
        except (ValueError, InputError) as error:
            self.report(("coupling",), str(error))
            return None
        if not isinstance(made, Coupling):
            self.report(path, f"'{name}' is not derived from ganforge.Coupling ({choice.component.written})")
            return None
        try:
            for problem in misfits(made):
                self.report(path, f"'{name}': {problem}")
        except Exception as error:
            self.report(path, f"'{name}' failed: {type(error).__name__}: {error}")
        if len(self.problems) > before:
            return None
        self.players = tuple(made.players)
        return made

    def networks(self, coupling: Coupling | None) -> dict[str, tuple[Network, Choice]]:
        """Choose each network: from `[generator]`, merged with `[generator.AB]` or `[generator.G_AB]`."""
        networks = list(coupling.networks) if coupling else []
        found = {}
        for network in networks:
            alike = [other for other in networks if other.role == network.role]
            labels = [name for other in alike for name in (other.label, other.name)]
            if choice := self.overlaid(network.kind, network.role, (network.label, network.name), labels):
                found[network.name] = (network, choice)
        return found

    def optimizers(self) -> dict[str, Choice]:
        """Choose the optimizer of each player: from `[optimizer]`, merged with `[optimizer.generator]`."""
        found = {player: self.overlaid("optimizer", "optimizer", (player,), self.players) for player in self.players}
        return {player: choice for player, choice in found.items() if choice}

    def values(self, coupling: Choice | None) -> tuple[dict[str, ValuePlan], dict[str, list[str]]]:
        """Find all values that can be asked for by name: those of `[values.<name>]` and those that plugins register.

        If several plugins register a name, the coupling's own plugin takes precedence. Return the value for each name,
        and the candidates for each name that stays ambiguous.
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
            if parts := self.parted("value", ("values", name), ValueTable):
                found[name] = ValuePlan(name, *parts, of_recipe=True)
                self.check_on(parts[0].component, parts[1].on, ("values", name))
        return found, {name: several for name, several in rivals.items() if name not in found}

    def losses(self) -> tuple[LossPlan, ...]:
        found = []
        roles = self.roles("losses")
        for role in roles:
            path = ("losses", role)
            if parts := self.parted("loss", path, LossTable):
                loss = LossPlan(role, *parts)
                component, player = loss.choice.component, loss.table.player
                if player is not None and player not in self.players:
                    self.report((*path, "player"), f"there is no player '{player}'", nearest(player, self.players))
                elif all(loss.asked(one, self.players) is None for one in self.players):
                    whom = f"the {player}" if player else f"any of {', '.join(self.players)}"
                    self.report((*path, "player"), f"'{component.name}' has no method for {whom}")
                self.check_on(component, loss.table.on, path)
                found.append(loss)
        if not roles:
            self.report(("losses",), "there is no loss", "add a table [losses.<role>]")
        return tuple(found)

    def check_on(self, component: Component, on: Mapping[str, str], path: Key) -> None:
        """Check that `on` binds only arguments of the component."""
        arguments = {argument for player in self.players for argument in component.asked(player) or ()}
        for argument in on:
            if argument not in arguments:
                message = f"'{component.name}' does not ask for '{argument}'"
                self.report((*path, "on", argument), message, nearest(argument, arguments))

    def train(self) -> Train | None:
        train, path = self.fields("train", Train), ("train", "alternate")
        for player in train.every if train else ():
            if player not in self.players:
                self.report(("train", "every", player), f"there is no player '{player}'", nearest(player, self.players))
        if train and train.alternate:
            intervals = [train.every.get(player, 1) for player in self.players]
            if 1 not in intervals:
                self.report(path, f"needs an interval of 1 in train.every for {' or '.join(self.players)}")
            if len(set(intervals)) < len(intervals):
                self.report(path, f"needs the intervals of {' and '.join(self.players)} to differ")
        if train and train.start is not None:
            start = self.recipe.place(("train", "start"), train.start) if train.start else None
            return evolve(train, start=start)
        return train

    def record(self) -> Record | None:
        record = self.fields("record", Record)
        if record and record.best and not (record.evaluate_every and self.roles("evaluations")):
            self.report(("record", "best"), "needs evaluations, and record.evaluate_every")
        return record

    def observers(self) -> dict[str, Choice]:
        """Choose the observers: those that `record.observers` lists, and tables `[observers.<role>]`.

        Without `use`, a table is for the observer of that name.
        """
        tables = self.recipe.table.get("observers")
        tables = tables if isinstance(tables, dict) else {}
        found: dict[str, Choice] = {}
        for name in self.listed_observers():
            role = str(name).rpartition("/")[2]
            if role not in tables:
                choice = self.choose("observer", ("observers", role), {"use": name}, named=("record", "observers"))
                if choice and choice not in found.values():
                    found[str(name) if role in found else role] = choice
        for role in self.roles("observers"):
            path = ("observers", role)
            if (table := self.table(path)) is not None:
                named = None if "use" in table else path
                if choice := self.choose("observer", path, {"use": role, **table}, named=named):
                    found[role] = choice
        return found

    def listed_observers(self) -> list[str]:
        """Return what `record.observers` lists."""
        record, path = self.recipe.table.get("record"), ("record", "observers")
        wanted = record.get("observers", []) if isinstance(record, dict) else []
        if isinstance(wanted, list):
            return wanted
        hint = f"write observers = [{describe_value(wanted)}]" if isinstance(wanted, str) else ""
        if isinstance(wanted, dict):
            hint = f"put settings into a table [observers.{next(iter(wanted), '<role>')}]"
        self.report(path, "expected a list of names", hint)
        return []

    def fields(self, name: str, cls: type[Made]) -> Made | None:
        """Read one of the tables in `SISTERS`; all but `[train]` may be missing. `observers` are chosen separately."""
        table = self.table((name,)) if name == "train" or name in self.recipe.table else {}
        known = read_fields(cls)
        for key in table or ():
            if key not in known and (name, key) != ("record", "observers"):
                self.report((name, key), f"unknown setting '{key}'", home(key) or nearest(key, known))
        return None if table is None else self.filled(cls, table, (name,))


def home(key: str) -> str:
    """Return a hint for a key in the wrong one of the sister tables.

    >>> home("keep"), home("generator_every"), home("oops")
    ('it belongs in [record]', 'set train.every.generator', '')
    """
    for name, cls in SISTERS.items():
        if key in read_fields(cls) or (name, key) == ("record", "observers"):
            return f"it belongs in [{name}]"
    player = key.removesuffix("_every")
    return f"set train.every.{player}" if player in PLAYERS else ""


def misfits(coupling: Coupling) -> Iterator[str]:
    """Yield the inconsistencies of a coupling."""
    networks, views, players = list(coupling.networks), list(coupling.views), list(coupling.players)
    known = [network.name for network in networks]
    for kind, names in (("network", known), ("view", [view.name for view in views]), ("player", players)):
        yield from (f"two {kind}s are called '{name}'" for name in dict.fromkeys(names) if names.count(name) > 1)
    if not views:
        yield "it has no direction: views is empty"
    for field, shape in coupling.noise.items():
        if not isinstance(shape, tuple | list) or not all(isinstance(one, int) and one > 0 for one in shape):
            yield f"noise '{field}' has the shape {shape!r}, expected whole numbers, such as (8,)"
    for group in coupling.pairs:
        if isinstance(group, str):
            yield f"pairs holds '{group}', expected groups of fields, such as (('A', 'B'),)"
    for network in networks:
        if network.name.casefold() in ("", "training") or network.name[0] == "." or {*network.name} & {*"/\\\0"}:
            yield f"a network is called '{network.name}', which cannot be the name of its weights' file; rename it"
        if network.player is not None and network.player not in players:
            yield f"{network.name} is updated by '{network.player}', which is not a player: {', '.join(players)}"
        if network.role in KEYS and network.role not in PLAYERS:
            yield f"{network.name} has the role '{network.role}', which is a reserved table of recipes; rename it"
        if not network.domains and network.kind != "network":
            yield f"{network.name} names no domain"
    for view in views:
        if not isinstance(view, View):
            yield f"views holds {type(view).__name__}, expected ganforge.View"
            continue
        for value, name in view.networks.items():
            if name not in known:
                yield f"the view {view.name} has a network '{name}' as its {value}, which is not among its networks"
