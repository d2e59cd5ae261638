"""Which file holds the weights of which network: what a file says of itself counts, not what it is called."""

from collections.abc import Mapping
from pathlib import Path

import safetensors
from attrs import frozen

from ganforge.errors import InputError

LONGEST = 100_000  # characters of a recipe in weights; locked recipes have a few thousand
LONGEST_LINE = 5_000


@frozen
class Head:
    """What a weights file says of itself: whose weights it holds, after how many steps, and of which training."""

    network: str
    step: int
    recipe: str
    digest: str


@frozen
class Weights:
    """The weights of one training after one number of steps.

    Attributes:
        folder: where they lie.
        first: the file that was named; else the first one in the folder.
        head: what that one says of itself.
        named: whether it was named itself.
        files: for each network the file that holds it.
        ignored: for a network why a file in the folder that seems to hold it is not among them.
    """

    folder: Path
    first: Path
    head: Head
    named: bool
    files: Mapping[str, Path]
    ignored: Mapping[str, str]


def read_head(path: Path) -> Head:
    """Read what a weights file says of itself, without its tensors.

    Raises:
        InputError: it cannot be read, or was not written by ganforge.
    """
    if not path.is_file():
        raise InputError(f"'{path}' is no file")  # a pipe would never end
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except Exception as error:  # whatever a damaged header makes its parser, or Python's decoder, raise
        raise InputError(f"{path} is no weights file, or is damaged: {error}") from error
    if not {"ganforge", "network", "step", "recipe", "digest"} <= metadata.keys():
        raise InputError(f"{path} was not written by ganforge: it does not say of which network it is")
    network, step, recipe = metadata["network"], metadata["step"], metadata["recipe"]
    if not (step.isdecimal() and len(step) < 20):
        raise InputError(f"{path} is damaged: its step is {step[:40]!r}")
    if len(recipe) > LONGEST or max(map(len, recipe.splitlines()), default=0) > LONGEST_LINE:
        raise InputError(f"{path} is refused: its recipe is too long to be one, {len(recipe):,} characters")
    return Head(network, int(step), recipe, metadata["digest"])


def find_weights(folder: Path, named: Path | None) -> Weights:
    """Find the weights that belong together in a folder: those of the file that was named, if one was.

    Raises:
        InputError: the file that was named cannot be read; the files of a folder that was named are of several
            trainings; or two of these hold the same network, and neither is called after it.
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
            ignored.setdefault(path.stem, f"'{path}' holds the network {head.network}, not {path.stem}")
        if _of_one_training(head, heads[first]):
            found.setdefault(head.network, []).append(path)
        else:
            ignored[head.network] = f"'{path}' is of another training, or step, than '{first}'"
    files = {}
    for network, paths in found.items():
        usual = [path for path in paths if path.stem == network]
        best = [named] if named in paths else usual or paths
        if len(best) == 1:
            files[network] = best[0]
            continue
        ignored[network] = f"'{best[0]}' and '{best[1]}' both hold the network {network}: name the one that is meant"
        if not named:
            raise InputError(ignored[network])
    return Weights(folder, first, heads[first], named is not None, files, ignored)


def _first(folder: Path, heads: Mapping[Path, Head], ignored: Mapping[str, str]) -> Path:
    """Return the first weights file of a folder that was named; those called after their networks speak for it."""
    candidates = [path for path, head in heads.items() if path.stem == head.network] or list(heads)
    if not candidates:
        raise InputError(next(iter(ignored.values()), f"the checkpoint {folder} holds no weights"))
    first = candidates[0]
    for path in candidates:
        if not _of_one_training(heads[path], heads[first]):
            raise InputError(f"'{first}' and '{path}' are not of one training and step: name the one that is meant")
    return first


def _of_one_training(one: Head, other: Head) -> bool:
    return (one.step, one.recipe) == (other.step, other.recipe)
