"""Read recipes: TOML layers (parents, the file, `--set`), merged, with the line of every key."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

from attrs import field, frozen

from ganforge.components.settings import Key
from ganforge.errors import InputError, Problem, RecipeError, nearest
from ganforge.recipe.line_numbers import line_numbers
from ganforge.recipe.nested import Table, has, merge
from ganforge.system.disk import read_text

# A coupling with networks of other roles adds a table for each role.
TABLES = (
    *("dataset", "coupling", "generator", "discriminator", "values", "losses", "updates", "optimizer"),
    *("evaluations", "observers", "train", "compute", "record"),
)
KEYS = ("extends", "plugins", *TABLES, "lock")

ROLES = [(table,) for table in ("values", "losses", "updates", "evaluations", "observers")]  # tables of tables

LARGEST = 1 << 20  # characters of a recipe
DEEPEST = 32  # levels of nested tables and lists
NAME = r"[a-z][a-z0-9+.-]+:"  # the beginning of names that are not paths
TOO_DEEP = f"tables and lists are nested more than {DEEPEST} deep"


@frozen
class Layer:
    """One source of a recipe: a file, or one `--set`."""

    name: str
    text: str = field(repr=False)
    table: Table = field(repr=False)
    folder: Path = field(factory=Path)

    def line(self, path: Key) -> int | None:
        """Return the first line of the statement that sets the key at `path`; None if none does."""
        if not has(self.table, path):
            return None
        return next(
            (self.line_numbers[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.line_numbers), None
        )

    @cached_property
    def line_numbers(self) -> dict[Key, int]:
        """The line of each key that a statement names."""
        return line_numbers(self.text)


@frozen
class Recipe:
    """The merged recipe and its layers; later layers take precedence."""

    name: str
    layers: tuple[Layer, ...]
    table: Table
    summary: str = ""

    def where(self, path: Key) -> str:
        """Return `file:line` of the key at `path`, or of the innermost existing table around it."""
        layer, path = self._found(path)
        if not path or layer.name.startswith("--set"):
            return layer.name
        return f"{layer.name}:{layer.line(path) or 1}"

    def place(self, path: Key, name: str) -> str:
        """Return the path that the key at `path` names, relative to the file that sets it, as an absolute path.

        Names that plugins may know, such as `hub:NAME`, stay as they are unless such a file exists.
        """
        layer, _ = self._found(path)
        file = os.path.abspath(layer.folder / os.path.expanduser(name))
        return name if re.match(NAME, name) and not os.path.exists(file) else file

    def _found(self, path: Key) -> tuple[Layer, Key]:
        """Return the last layer with the path, or with the innermost table around it; else the recipe's file."""
        while path:
            for layer in reversed(self.layers):
                if has(layer.table, path):
                    return layer, path
            path = path[:-1]
        return self._file, ()

    @property
    def _file(self) -> Layer:
        """The recipe's own layer, without its parents and overrides."""
        return [layer for layer in self.layers if not layer.name.startswith("--set")][-1]

    def problem(self, path: Key, message: str, hint: str = "") -> Problem:
        """Make a problem with its place in this recipe; for an inherited role, the hint says how to remove it."""
        return Problem(self.where(path), ".".join(path), message, "; ".join(filter(None, (hint, self._removal(path)))))

    def _removal(self, path: Key) -> str:
        """Return how to remove the role at `path`, if it is inherited or conflicts with an override."""
        if path[:1] not in ROLES or len(path) < 2:
            return ""
        layer, _ = self._found(path)
        later = self.layers[self.layers.index(layer) + 1 :]
        if self._file in later or any({"coupling", "dataset"} & one.table.keys() for one in later):
            return f"or leave it out: {'.'.join(path[:2])} = false"
        return ""

    def plugin_files(self) -> Iterator[tuple[Path, Key, Layer]]:
        """Yield the local plugin files that the layers name, each relative to its layer's file."""
        for layer in self.layers:
            names = layer.table.get("plugins", [])
            for index, name in enumerate(names if isinstance(names, list) else [names]):
                yield layer.folder / str(name), ("plugins", str(index)), layer


def load(source: str | Path, sets: Sequence[str] = (), shipped: Mapping[str, Path] | None = None) -> Recipe:
    """Read a recipe, given as a file or a shipped recipe's name, with its parents and overrides `key=value`.

    Raise a RecipeError if a file is missing or not TOML, or if the chain of `extends` is a cycle.
    """
    path = _find_file(str(source), Path(), shipped or {}, where="")
    layers = [_read(path)]
    seen = [path.resolve()]
    while (parent := layers[0].table.get("extends")) is not None:
        where = f"{layers[0].name}:{layers[0].line(('extends',))}"
        if not isinstance(parent, str):
            raise RecipeError([Problem(where, "extends", "expected the name of one recipe")])
        path = _find_file(parent, layers[0].folder, shipped or {}, where)
        if path.resolve() in seen:
            raise RecipeError([Problem(layers[0].name, "extends", f"'{path.name}' extends itself in a cycle")])
        seen.append(path.resolve())
        layers.insert(0, _read(path))
    return _merge_layers(seen[0].stem.removesuffix(".lock"), layers, sets)


def parse(text: str, name: str, folder: Path, sets: Sequence[str] = ()) -> Recipe:
    """Make a recipe from one text, such as the locked recipe in the metadata of a weights file."""
    return _merge_layers("recipe", [Layer(name, text, _loads(text, name), folder)], sets)


def _merge_layers(name: str, layers: Sequence[Layer], sets: Sequence[str]) -> Recipe:
    """Merge the layers and the overrides; a locked recipe keeps its original name."""
    everything = (*layers, *map(_parse_set, sets))
    table: Table = {}
    for layer in everything:
        table = merge(table, {key: value for key, value in layer.table.items() if key not in ("extends", "plugins")})
    locked = table.get("lock")
    if isinstance(locked, dict) and isinstance(locked.get("name"), str):
        name = re.sub(r"[^\w-]", "_", locked["name"])
    return Recipe(name, everything, table, summary(layers[-1].text))


def summary(text: str) -> str:
    """Return the first comment of a recipe as one line."""
    comments = takewhile(lambda line: line.startswith("#"), text.split("\n"))
    return " ".join(line.lstrip("# ").rstrip() for line in comments)


def _find_file(source: str, folder: Path, shipped: Mapping[str, Path], where: str) -> Path:
    """Find a recipe's file beside the one that names it, else among the shipped ones."""
    path, name = folder / source, source.removesuffix(".toml")
    if os.path.isfile(path):  # unlike `Path.is_file`, it accepts any name
        return path
    if name in shipped:
        return shipped[name]
    if several := [other for other in shipped if other.endswith(f"/{name}")]:
        message, hint = f"several plugins ship a recipe '{name}'", nearest("", several)
    elif os.path.exists(path):
        kind = "a folder" if path.is_dir() else "not a regular file"
        message, hint = f"expected a recipe, but '{source}' is {kind}", ""
    else:
        beside = [other.name for other in path.parent.glob("*.toml") if os.path.isfile(other)]
        message = f"no recipe '{source}'"
        hint = nearest(path.name, [*shipped, *beside], "'ganforge recipes' lists those of plugins")
    raise RecipeError([Problem(where, "extends" if where else "", message, hint)])


def _read(path: Path) -> Layer:
    try:
        text = read_text(path)
    except InputError as error:
        message, _, hint = str(error).removeprefix(f"'{path}' ").partition("; ")
        raise RecipeError([Problem(str(path), "", message, hint)]) from error
    if len(text) > LARGEST:
        raise RecipeError([Problem(str(path), "", f"too large for a recipe: {len(text):,} characters")])
    return Layer(str(path), text, _loads(text, str(path)), path.parent)


def _loads(text: str, name: str) -> Table:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, line = str(error).removesuffix(" (at end of document)"), text.removesuffix("\n").count("\n") + 1
        if found := re.search(r" \(at line (\d+), column (\d+)\)$", message):
            message, line = message[: found.start()], int(found[1])
        raise RecipeError([Problem(f"{name}:{line}", "", f"not valid TOML: {message}")]) from error
    except RecursionError:
        raise RecipeError([Problem(name, "", TOO_DEEP)]) from None
    except ValueError:
        raise RecipeError([Problem(name, "", "a number has thousands of digits")]) from None
    if fault := _excess(table):
        path, message = fault
        raise RecipeError([Problem(f"{name}:{Layer(name, text, table).line(path)}", ".".join(path[:-1]), message)])
    return table


def _excess(table: Table) -> tuple[Key, str] | None:
    """Find valid TOML that no recipe needs; return its path and a message."""
    waiting: list[tuple[Key, Any]] = [((), table)]
    for path, value in waiting:
        if len(path) > DEEPEST:
            return path, TOO_DEEP
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            return path, "an integer must fit into 64 bits"
        if isinstance(value, dict | list):
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [((*path, str(key)), one) for key, one in inner]
    return None


def _parse_set(text: str) -> Layer:
    """Read `key=value`; a value that is not TOML is a string."""
    key, equals, value = text.partition("=")
    name = f"--set {text}"
    try:
        if not equals or "\n" in key or key.lstrip().startswith(("#", "[")):
            raise tomllib.TOMLDecodeError
        table = tomllib.loads(f"{key} = 0")
        if _excess(table):
            raise tomllib.TOMLDecodeError
    except tomllib.TOMLDecodeError:
        raise InputError(f"{name}: expected KEY=VALUE, such as train.steps=1000") from None
    (leaf,) = table
    if leaf in ("extends", "plugins", "lock") or table[leaf] == 0:
        hint = ", such as train.steps=1000" if leaf in TABLES else f"; {nearest(leaf, TABLES)}"
        raise InputError(f"{name}: expected a key inside a table of recipes{hint}")
    inner = table
    while inner[leaf] != 0:
        inner = inner[leaf]
        (leaf,) = inner
    inner[leaf] = read_value(value)
    return Layer(name, text, table)


def read_value(text: str) -> Any:
    """Read the value after `=`; if it is not TOML, it is a string."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if parsed.keys() == {"value"} and not _excess(parsed) else text
