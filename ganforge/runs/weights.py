"""Find the weights file of each network: the metadata of a file count, not its name."""

from collections.abc import Mapping
from pathlib import Path

import safetensors
from attrs import frozen

from ganforge.errors import InputError

LONGEST = 100_000  # characters of a recipe in weights, at most; locked recipes have a few thousand
LONGEST_LINE = 5_000


@frozen
class Head:
    """The metadata of a weights file: the network, the number of steps, the recipe and the digest."""

    network: str
    step: int
    recipe: str
    digest: str


@frozen
class Weights:
    """The weights of one training at one step.

    Attributes:
        folder: their folder.
        first: the file that the user named; else the first one in the folder.
        head: the metadata of that file.
        named: whether the user named a file.
        files: the file of each network.
        ignored: for each network, why a file that seems to contain it was ignored.
    """

    folder: Path
    first: Path
    head: Head
    named: bool
    files: Mapping[str, Path]
    ignored: Mapping[str, str]


def read_head(path: Path) -> Head:
    """Read the metadata of a weights file, without its tensors.

    Raises:
        InputError: it cannot be read, or was not written by ganforge.
    """
    if not path.is_file():
        raise InputError(f"'{path}' is not a file")  # reading a pipe would never end
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except Exception as error:  # any error that a damaged header can cause in the parsers
        raise InputError(f"{path} is not a weights file, or is damaged: {error}") from error
    if not {"ganforge", "network", "step", "recipe", "digest"} <= metadata.keys():
        raise InputError(f"{path} was not written by ganforge: it does not name its network")
    network, step, recipe = metadata["network"], metadata["step"], metadata["recipe"]
    if not (step.isdecimal() and len(step) < 20):
        raise InputError(f"{path} is damaged: its step is {step[:40]!r}")
    if len(recipe) > LONGEST or max(map(len, recipe.splitlines()), default=0) > LONGEST_LINE:
        raise InputError(f"{path} is refused: its recipe is too long, {len(recipe):,} characters")
    return Head(network, int(step), recipe, metadata["digest"])


def find_weights(folder: Path, named: Path | None) -> Weights:
    """Find the weights in a folder that belong together: to the file that the user named, if any.

    Raises:
        InputError: the named file cannot be read; the files of a named folder are from several trainings; or two files
            contain the same network, and neither is named after it.
    """
    heads, ignored = {}, {}
    for path in dict.fromkeys([*([named] if named else []), *sorted(folder.glob("*.safetensors"))]):
        try:
            if path.name != "training.safetensors" or path == named:
                heads[path] = read_head(path)
        except InputError as error:
            if path == named:
                raise
            ignored[path.stem] = str(error)
    first = named or _first(folder, heads, ignored)
    found: dict[str, list[Path]] = {}
    for path, head in heads.items():
        if path.stem != head.network:
            ignored.setdefault(path.stem, f"'{path}' contains the network {head.network}, not {path.stem}")
        if _of_one_training(head, heads[first]):
            found.setdefault(head.network, []).append(path)
        else:
            ignored[head.network] = f"'{path}' is from another training or step than '{first}'"
    files = {}
    for network, paths in found.items():
        usual = [path for path in paths if path.stem == network]
        best = [named] if named in paths else usual or paths
        if len(best) == 1:
            files[network] = best[0]
            continue
        ignored[network] = f"'{best[0]}' and '{best[1]}' both contain the network {network}: name one of them"
        if not named:
            raise InputError(ignored[network])
    return Weights(folder, first, heads[first], named is not None, files, ignored)


def _first(folder: Path, heads: Mapping[Path, Head], ignored: Mapping[str, str]) -> Path:
    """Return the first weights file of a named folder; files named after their networks take precedence."""
    candidates = [path for path, head in heads.items() if path.stem == head.network] or list(heads)
    if not candidates:
        raise InputError(next(iter(ignored.values()), f"the checkpoint {folder} contains no weights"))
    first = candidates[0]
    for path in candidates:
        if not _of_one_training(heads[path], heads[first]):
            raise InputError(f"'{first}' and '{path}' are not from the same training and step: name one of them")
    return first


def _of_one_training(one: Head, other: Head) -> bool:
    return (one.step, one.recipe) == (other.step, other.recipe)
