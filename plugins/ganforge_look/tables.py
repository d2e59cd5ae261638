"""The tables of a recipe as JSON Schema (Draft 4).

A recipe may extend another one or be made to be extended. So no table is required, and a table without `use` may hold
the settings of any component of its kind.
"""

import inspect
from collections.abc import Iterable, Mapping
from contextlib import suppress

from ganforge import (
    Choice,
    Component,
    Compute,
    DataTable,
    LossTable,
    Record,
    Registry,
    Train,
    ValueTable,
    read_fields,
)
from ganforge_look.docstrings import entries
from ganforge_look.types import Schema, of_fields, of_setting, of_type

SCHEMA = "http://json-schema.org/draft-04/schema#"
SCHEDULED = ("loss", "optimizer")  # kinds with numbers that may follow a schedule
ENGINES: Mapping[str, type] = {"loss": LossTable, "value": ValueTable, "dataset": DataTable}
ROLES = {"losses": "loss", "values": "value", "updates": "update", "evaluations": "evaluation", "observers": "observer"}
TEXT, TEXTS = {"type": "string"}, {"type": "array", "items": {"type": "string"}}


class Tables:
    """Makes schemas of the components of a registry."""

    def __init__(self, registry: Registry[Component]) -> None:
        self.registry = registry

    def recipe(self) -> Schema:
        """Return the schema of a recipe."""
        networks = {"generator": "generator", "discriminator": "discriminator", **self._roles_of_couplings()}
        properties: Schema = {
            "extends": {**TEXT, "description": "The recipe that this one extends: a file beside it, or a shipped one."},
            "plugins": {"anyOf": [TEXT, TEXTS], "description": "Plugin files, relative to the recipe."},
            "dataset": _ref("dataset"),
            "coupling": _ref("coupling"),
            **{role: _ref(f"{kind}s") for role, kind in networks.items()},
            "optimizer": _ref("optimizers"),
            **{key: _several(kind) for key, kind in ROLES.items()},
            "train": _engine(Train),
            "compute": _engine(Compute),
            "record": self._record(),
            "lock": {"type": "object"},
        }
        return {
            "$schema": SCHEMA,
            "title": "A ganforge recipe",
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            "definitions": self._definitions(),
        }

    def _definitions(self) -> Schema:
        found = {kind: self.component(kind) for kind in ("dataset", "coupling", *ROLES.values())}
        for kind in ("generator", "discriminator", "network", "optimizer"):
            # [generator.AB] overrides [generator], and [optimizer.generator] overrides [optimizer].
            found[kind] = self.component(kind)
            found[f"{kind}s"] = self.component(kind, others=_ref(kind))
        return found

    def component(self, kind: str, others: Schema | None = None) -> Schema:
        """Return the schema of a table that names a component; `others` is the schema of its subtables."""
        components = list(self.registry.of(kind))
        names = [component.name for component in components]
        engines = self._engines(kind)
        branches = []
        everything: dict[str, list[Schema]] = {}
        for component in components:
            settings = self._settings(component)
            for name, schema in settings.items():
                everything.setdefault(name, []).append(schema)
            short = [component.name] if names.count(component.name) == 1 else []
            use = {"enum": [*short, component.qualified], "description": component.summary}
            inner = self._inner(component) if others is None else others
            branches.append(_table({"use": use, **engines, **settings}, inner, ["use"]))
        merged = {name: _any(schemas) for name, schemas in everything.items()}
        inherited = _table(
            {**engines, **merged}, _any([*filter(None, map(self._inner, components)), *([others] if others else [])])
        )
        return {"anyOf": [*branches, inherited]}

    def _settings(self, component: Component) -> dict[str, Schema]:
        docs, scheduled = entries(inspect.getdoc(component.factory) or ""), component.kind in SCHEDULED
        return {
            name: of_setting(setting, docs.get(name, ""), scheduled=scheduled)
            for name, setting in component.signature.settings.items()
            if not setting.tables
        }

    def _inner(self, component: Component) -> Schema | None:
        """Return the schema of a component's subtables, if it has some."""
        inner = [of_type(setting.type) for setting in component.signature.settings.values() if setting.tables]
        return inner[0]["additionalProperties"] if inner else None

    def _engines(self, kind: str) -> dict[str, Schema]:
        found = _engine(ENGINES[kind])["properties"] if kind in ENGINES else {}
        return dict(found)

    def _record(self) -> Schema:
        record = _engine(Record)
        names = [name for one in self.registry.of("observer") for name in (one.name, one.qualified)]
        listed = {"type": "array", "items": {"enum": names} if names else TEXT}
        return {**record, "properties": {**record["properties"], "observers": listed}}

    def _roles_of_couplings(self) -> dict[str, str]:
        """Return the roles of the networks of all couplings, with their kinds."""
        found: dict[str, str] = {}
        for component in self.registry.of("coupling"):
            with suppress(Exception):  # it needs settings, or is broken, which is reported when it is trained with
                defaults = {name: setting.default for name, setting in component.signature.settings.items()}
                found |= {network.role: network.kind for network in Choice(component, defaults).make().networks}
        return found


def _engine(cls: type) -> Schema:
    """Return the schema of a table that the engine reads itself."""
    doc = inspect.getdoc(cls) or ""
    return {"description": doc.partition("\n\n")[0], **of_fields(read_fields(cls), entries(doc))}


def _several(kind: str) -> Schema:
    """Return the schema of tables of a kind under roles, each of which may be removed with `false`."""
    removed = {"enum": [False], "description": "Removes the inherited table."}
    return {"type": "object", "additionalProperties": {"anyOf": [removed, _ref(kind)]}}


def _table(properties: Schema, others: Schema | None = None, required: Iterable[str] = ()) -> Schema:
    needed = {"required": list(required)} if required else {"not": {"required": ["use"]}}
    return {"type": "object", "properties": properties, "additionalProperties": others or False, **needed}


def _any(schemas: Iterable[Schema]) -> Schema:
    """Return the schema of what matches any of some schemas; `{}`, which is falsy, for none."""
    different: list[Schema] = []
    for schema in schemas:
        bare = {key: value for key, value in schema.items() if key not in ("default", "description")}
        different += [] if bare in different else [bare]
    return different[0] if len(different) == 1 else {"anyOf": different} if different else {}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}
