"""A pack: one folder with weights, their recipe, a model card and a preview; written whole or not at all."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import frozen

from ganforge import (
    UNWRITABLE,
    Folder,
    InputError,
    Plugins,
    RunFailedError,
    Saved,
    find_run,
    find_saved,
    located,
    named,
    read_head,
    write_training,
)
from ganforge_share.card import CARD, PREVIEW, RECIPE, Terms, write_card
from ganforge_share.facts import gather
from ganforge_share.preview import Preview, find_preview

WEIGHTS = ".safetensors"
STATE = ("training.safetensors", "state.json")  # state of values that translations need, if there is any
BLOCK = 1 << 22  # bytes


@frozen(eq=False)
class Contents:
    """The contents of a pack.

    Attributes:
        saved: the saved weights.
        run: the run's folder, if it exists.
        directions: the directions that it can make.
        files: the weights file of each network.
        held: state of values and losses that these directions need.
    """

    saved: Saved
    run: Path | None
    directions: tuple[str, ...]
    files: Mapping[str, Path]
    held: Mapping[str, Any]

    @property
    def which(self) -> str:
        """Describe the weights' step, and whether others are newer or better."""
        step, folder = self.saved.outline.step, self.saved.weights.folder
        names = [name for name in ("latest", "best") if self.run is not None and folder == named(self.run, name)]
        if not names:
            return f"step {step:,}"
        best = named(self.run, "best") if self.run is not None else None
        other = f"; the best is {best.name}: pack {best}" if best is not None and "best" not in names else ""
        return f"step {step:,}, the {' and the '.join(names)} checkpoint{other}"


def choose(path: Path, plugins: Plugins, directions: Sequence[str] = (), *, with_discriminators: bool) -> Contents:
    """Select the weights for some or all directions.

    Args:
        path: a run, a checkpoint, a weights file or a folder of weights.
        plugins: the installed plugins.
        directions: names of directions, in any case.
        with_discriminators: whether to include the networks that generators are trained with.

    Raises:
        InputError: there is no such direction, or weights are missing.
    """
    path = located(path, plugins)
    saved = find_saved(path, plugins)
    outline, there = saved.outline, saved.weights.files
    chosen = _directions(saved, directions)
    networks, labels = set(), set()
    for direction in chosen:
        wiring = outline.scheme.wirings[direction]
        networks |= outline.needed(direction)
        labels |= {f"values.{value}.{direction}" for value in wiring.way_to("fake", outline.player)}
        if with_discriminators:
            networks |= {name for name in wiring.view.networks.values() if _judges(saved, name)}
    learnt = [name for name, (network, _) in outline.plan.networks.items() if network.player and name in networks]
    if absent := [name for name in learnt if name not in there]:
        raise InputError(f"'{saved.weights.folder}' does not hold {', '.join(absent)}")
    held = {
        label: state
        for label, state in saved.training()["held"].items()
        if label in labels
        or (with_discriminators and label.startswith(("values.", "losses.")) and label.rpartition(".")[2] in chosen)
    }
    return Contents(saved, find_run(path)[0], chosen, {name: there[name] for name in learnt}, held)


def _directions(saved: Saved, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the directions with these names, in any case."""
    known = {name.casefold(): name for name in saved.directions}
    for name in wanted:
        if name.casefold() not in known:
            there = ", ".join(saved.directions)
            raise InputError(f"no direction {name} can be built from these weights; choose from: {there}")
    if not known:
        raise InputError(f"no direction can be built from '{saved.weights.first}' and the files beside it")
    return tuple(dict.fromkeys(known[name.casefold()] for name in wanted)) or saved.directions


def _judges(saved: Saved, name: str) -> bool:
    """Whether a network is one that generators are trained with, such as a discriminator."""
    return saved.outline.plan.networks[name][0].kind != "generator"


def require_place(out: Path, contents: Contents, *, overwrite: bool) -> Path:
    """Return the folder to write, with links resolved.

    Raises:
        InputError: the folder exists and is not a pack, or is the current folder, or holds the weights to pack.
    """
    target = Path(os.path.realpath(out))
    if os.path.lexists(target) and not target.is_dir():
        raise InputError(f"'{out}' is not a folder: choose another --out")
    sources = [*contents.files.values(), *([contents.run] if contents.run else []), Path()]
    for source in (Path(os.path.realpath(path)) for path in sources):
        if source.is_relative_to(target):
            what = "is the current folder, or holds it" if source == Path.cwd() else "holds the weights to pack"
            raise InputError(f"'{out}' {what}: choose another --out")
    if target.is_dir() and any(target.iterdir()) and not is_pack(target) and not overwrite:
        raise InputError(f"'{out}' exists already, and is not only a pack: choose another --out, or add --overwrite")
    return target


def pack_files(folder: Path) -> list[str]:
    """Return the sorted names of a folder's files that belong to a pack; empty if it is not a pack."""
    if not all((folder / name).is_file() for name in (RECIPE, CARD)) or not any(folder.glob(f"*{WEIGHTS}")):
        return []
    names = {RECIPE, CARD, PREVIEW, *STATE}
    return sorted(p.name for p in folder.iterdir() if p.is_file() and (p.name in names or p.suffix == WEIGHTS))


def is_pack(folder: Path) -> bool:
    """Whether a folder is a pack and holds nothing else."""
    return bool(names := pack_files(folder)) and len(names) == sum(1 for _ in folder.iterdir())


def write(contents: Contents, target: Path, terms: Terms, device: torch.device, *, preview: bool) -> str:
    """Write a pack, and return a note about its preview.

    Raises:
        InputError: weights are damaged.
        RunFailedError: the disk is full or cannot be written; nothing has changed.
    """
    saved = contents.saved
    trained = {direction: saved.load(device, direction) for direction in contents.directions}
    if any(_judges(saved, name) for name in contents.files):
        saved.load(device)  # finds damaged ones now
    shown = Preview(None, "not requested")
    if preview:
        shown = find_preview(trained, contents.run)
    card = write_card(gather(contents.saved, contents.run, trained, tuple(contents.files)), terms, shown)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with Folder(target.parent) as parent, parent.stage(target.name) as folder:
            for name, path in contents.files.items():
                folder.write(f"{name}{WEIGHTS}", _blocks(path))
            if contents.held:
                digests = {f"{name}{WEIGHTS}": read_head(path).digest for name, path in contents.files.items()}
                write_training(folder, saved.outline.step, digests, {"held": contents.held})
            folder.write(RECIPE, saved.weights.head.recipe)
            folder.write(CARD, card)
            if shown.content:
                folder.write(PREVIEW, shown.content)
    except OSError as error:
        kind = RunFailedError if error.errno in UNWRITABLE else InputError
        raise kind(f"'{target}' cannot be written: {error.strerror or error}") from error
    return "" if shown.content else shown.note


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block
