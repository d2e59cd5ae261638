"""Choose components and their settings from the tables of a recipe, and collect all problems."""

from collections.abc import Iterable
from typing import Any, TypeVar

from attrs import define, field

from ganforge.components.component import KEYS, Component
from ganforge.components.describe import describe_value
from ganforge.components.registry import Registry
from ganforge.components.settings import Key, read_fields
from ganforge.components.structure import fill
from ganforge.errors import InputError, Problem, nearest
from ganforge.recipe.layers import Recipe
from ganforge.recipe.nested import Table, has, merge
from ganforge.recipe.plan import Choice
from ganforge.recipe.tables import Compute, DataTable, LossTable, Record, Train, ValueTable

PLAIN = (("train",), ("compute",), ("record",))  # tables that name no component

Made = TypeVar("Made", Train, Compute, Record, LossTable, ValueTable, DataTable)


@define
class Chooser:
    """Finds the components that tables name, and fills in their settings; `problems` collects all faults."""

    recipe: Recipe
    registry: Registry[Component]
    problems: dict[Problem, None] = field(factory=dict)  # an ordered set

    def report(self, key: Key, message: str, hint: str = "") -> None:
        """Add a problem, once."""
        self.problems[self.recipe.problem(key, message, hint)] = None

    def table(self, path: Key) -> Table | None:
        """Return the table at a path; if it is missing or not a table, report that and return None."""
        inner: Any = self.recipe.table
        for key in path:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            return inner
        if has(self.recipe.table, path):
            self.report_no_table(path, inner)
        else:
            self.report(path, f"the table [{path[0]}] is missing")
        return None

    def report_no_table(self, path: Key, value: Any) -> None:
        """Report that a table is expected at `path`; a string was probably meant as a component's name."""
        name = f"[{'.'.join(path)}]"
        if isinstance(value, str) and path not in PLAIN:
            self.report(path, "expected a table", f"write {name} use = {describe_value(value)}")
        else:
            self.report(path, f"expected a table {name}")

    def roles(self, kind: str) -> list[str]:
        """Return the roles of `[losses.*]` or the like, without those removed by `role = false`."""
        tables = self.recipe.table.get(kind, {})
        if not isinstance(tables, dict):
            hint = f"write [{kind}.{tables}] use = {describe_value(tables)}" if isinstance(tables, str) else ""
            self.report((kind,), f"expected tables [{kind}.<role>]", hint)
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
        """Find the component that `use` names in the table at `path`, or in `table`, and fill in its settings.

        Keys in `aside` are not settings. `over` is the path of a table that was merged into it. `named` is the path of
        the component's name, if that is not `use`.
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
            self.report(place, message, nearest("", {component.name for component in self.registry.of(kind)}))
            return None
        try:
            component = self.registry.find(kind, name)
        except InputError as error:
            message, _, hint = str(error).partition("; ")
            self.report(place, message, hint)
            return None
        rest = {key: value for key, value in table.items() if key != "use" and key not in aside}
        settings, scheduled, before = component.signature.settings, kind in ("loss", "optimizer"), len(self.problems)
        values = fill(rest, settings, path, lambda key, *said: self.report(locate(key), *said), scheduled=scheduled)
        return Choice(component, values) if len(self.problems) == before else None

    def filled(self, cls: type[Made], table: Table, path: Key) -> Made | None:
        """Make an object from the keys of a table that are its fields; None if one is wrong."""
        fields, before = read_fields(cls), len(self.problems)
        values = fill({key: table[key] for key in fields if key in table}, fields, path, self.report)
        return cls(**values) if len(self.problems) == before else None

    def overlaid(self, kind: str, role: str, names: Iterable[str], labels: Iterable[str]) -> Choice | None:
        """Choose a component from `[role]` merged with `[role.<name>]`; `labels` are all such names."""
        table = self.table((role,))
        if table is None:
            return None
        apart = {key: table[key] for key in labels if key in table}
        own, over = {key: value for key, value in table.items() if key not in apart}, None
        for key, value in apart.items():
            if not isinstance(value, dict):
                self.report_no_table((role, key), value)
            elif key in names:
                own, over = merge(own, value), (role, key)
        return self.choose(kind, (role,), own, over=over)

    def several(self, tables: str, kind: str) -> dict[str, Choice]:
        """Choose the component of each table `[tables.<role>]`."""
        found = {role: self.choose(kind, (tables, role)) for role in self.roles(tables)}
        return {role: choice for role, choice in found.items() if choice}

    def parted(self, kind: str, path: Key, cls: type[Made]) -> tuple[Choice, Made] | None:
        """Choose the component of a table that also has keys of the engine; return both parts."""
        table = self.table(path)
        if table is None:
            return None
        choice = self.choose(kind, path, table, aside=KEYS[kind])
        engines = self.filled(cls, table, path)
        return (choice, engines) if choice and engines else None
