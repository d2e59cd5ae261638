"""Starting a recipe: it extends another one, and lists in comments the settings most likely to be changed."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ganforge import InputError, complete_recipe, describe_value, read_recipe, tell, write_output

LIKELY = {"optimizer": ("lr",), "train": ("steps", "batch", "seed")}
DEFAULTS = {("train", "seed"): 0}  # of keys that recipes usually omit


Name = Annotated[str, typer.Argument(help="Name, such as mine; the file is then mine.toml.")]
Like = Annotated[
    str,
    typer.Option("--like", metavar="RECIPE", help="The recipe to extend.", autocompletion=complete_recipe),
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder to write to; created if needed.")]


def recipe(context: typer.Context, name: Name, like: Like, out: Out = Path(".")) -> None:
    """Start a recipe that extends another one, with the settings most likely to be changed as comments."""
    path = new_recipe(context, name, like, out)
    tell(f"wrote {path}")
    tell("next:")
    for command in ("show recipe", "run"):
        tell(f"  ganforge {command} {shlex.quote(str(path))}")


def new_recipe(context: typer.Context, name: str, like: str, folder: Path = Path()) -> Path:
    """Write `NAME.toml`, which extends the recipe `like`, a shipped one's name or a file, and return its path.

    Raises:
        InputError: the name is not a file name, the file exists or cannot be written, or there is no such recipe.
    """
    name = name.removesuffix(".toml")
    if not re.fullmatch(r"[\w-]+", name):
        raise InputError(f"'{name}' cannot be the name of a recipe: use letters, digits, - and _")
    path = folder / f"{name}.toml"
    if path.exists():
        raise InputError(f"{path} exists already; remove it, or choose another name")
    recipe = read_recipe(context.obj, like)
    parent = like if like in context.obj.recipes() else _from(folder, like)
    if name == Path(parent).stem:
        raise InputError(f"a recipe '{name}' that extends '{like}' would extend itself; choose another name")
    lines = [
        f"# {name}: {like}, changed.",
        f"extends = {json.dumps(parent)}",
        "",
        "# The settings most likely to be changed; remove the # in front of a table and a key.",
        *_comments(recipe.table),
    ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}") from error
    return write_output(path, "\n".join(lines) + "\n")


def _from(folder: Path, like: str) -> str:
    """Return a file's path relative to the folder of a recipe that names it."""
    return Path(like).as_posix() if folder == Path() else Path(like).absolute().as_posix()


def _comments(table: Mapping[str, Any]) -> Iterator[str]:
    """Yield commented lines for the data, the losses' weights, the learning rate and the length of the training."""
    dataset = table.get("dataset", {})
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    found["dataset",] = {key: value for key, value in dataset.items() if key != "use" and not isinstance(value, dict)}
    for role, loss in table.get("losses", {}).items():
        if isinstance(loss, dict):
            found["losses", role] = {"weight": loss.get("weight", 1.0)}
    for name, keys in LIKELY.items():
        values = {key: table.get(name, {}).get(key, DEFAULTS.get((name, key))) for key in keys}
        found[name,] = {key: value for key, value in values.items() if value is not None}
    for path, values in found.items():
        if values:
            yield f"# [{'.'.join(path)}]"
            yield from (f"# {key} = {_written(value)}" for key, value in values.items())


def _written(value: Any) -> str:
    """Write a value as TOML; strings are written as in JSON."""
    return json.dumps(value) if isinstance(value, str) else describe_value(value)
