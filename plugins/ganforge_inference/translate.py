"""Translating pictures with trained networks: one file in, one file out."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from attrs import frozen
from PIL import Image
from torch import Tensor

from ganforge import (
    InputError,
    Note,
    PictureDataset,
    PluginError,
    Trained,
    as_float,
    find_pictures,
    note_lines,
    noting,
    printable,
)

BATCH = 32
LONGEST = 255  # bytes of a file's name, on all common file systems
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # that a PNG can hold, by number of channels


@frozen
class Job:
    """One picture and where its translation goes."""

    source: Path
    target: Path


def plan_jobs(inputs: Sequence[Path], out: Path, *, suffix: str = ".png", overwrite: bool = False) -> list[Job]:
    """List the pictures in files and folders (with all below), each with its own file of the same name and the suffix.

    A folder's pictures are those that `find_pictures` finds; a file that is named itself may have any name.

    Raises:
        InputError: an input is missing, two pictures would become one file, or a file would be overwritten.
    """
    names: dict[Path, Path] = {}
    for path in inputs:
        if not os.path.exists(path):
            raise InputError(printable(f"no file or folder '{path}'"))
        if not os.path.isdir(path):
            names[path] = Path(path.name)
            continue
        found = find_pictures(path)
        if not found.files:
            besides = f", only {found.left_out}" if found.left_out else ""
            raise InputError(printable(f"no picture in the folder '{path}'{besides}"))
        names |= {file: file.relative_to(path) for file in found.files}
    short = Counter(name.with_suffix(suffix) for name in names.values())
    jobs = []
    taken: dict[Path, Path] = {}
    for file, name in names.items():
        # Where a.jpg and a.bmp meet, they become a.jpg.png and a.bmp.png.
        twins = short[name.with_suffix(suffix)] > 1
        target = name.with_name(_cut(name.name if twins else name.stem, suffix))
        if target in taken:
            both = f"'{taken[target]}' and '{file}' would both become '{out / target}'"
            raise InputError(printable(f"{both}: translate them into two folders"))
        taken[target] = file
        jobs.append(Job(file, out / target))
    sources = {job.source.resolve() for job in jobs}
    for job in jobs:
        if job.target.resolve() in sources:
            raise InputError(f"'{job.target}' is one of the inputs: choose another --out")
        if job.target.exists() and not overwrite:
            raise InputError(f"'{job.target}' exists already: choose another --out, or say --overwrite")
    return jobs


def _cut(stem: str, suffix: str) -> str:
    """Return a file's name, cut where it would be too long for the file system."""
    while len(os.fsencode(stem + suffix)) > LONGEST:
        stem = stem[:-1]
    return stem + suffix


def translate(
    trained: Trained,
    direction: str,
    jobs: Sequence[Job],
    report: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[tuple[Job, str]]:
    """Translate pictures; those that cannot be read are yielded with the reason, and the others still done.

    Args:
        trained: the networks.
        direction: such as `AB`.
        jobs: what to translate.
        report: told of (done, total).
        say: told, at the end, what is odd about pictures that were translated all the same, a line each.

    Raises:
        InputError: the run has no such direction, or does not translate pictures.
        PluginError: reading a picture failed otherwise than by an InputError.
    """
    source, dataset = trained.source(direction), trained.dataset
    if not isinstance(dataset, PictureDataset):
        raise InputError(f"this run translates samples of '{trained.plan.dataset.component.name}', not pictures")
    notes: list[Note] = []
    starts = range(0, max(1, len(jobs) - 1), BATCH)  # a last picture is not left alone
    for start, stop in zip(starts, [*starts[1:], len(jobs)], strict=True):
        chunk = jobs[start:stop]
        readable, pictures = [], []
        for job in chunk:
            try:
                picture, found = _read(dataset, source, job.source)
            except InputError as error:
                yield job, str(error)
            else:
                pictures.append(picture)
                readable.append(job)
                notes += found
        if readable:
            try:
                with trained.evaluating():
                    images = trained.translate(direction, as_float(torch.stack(pictures)), BATCH).clamp(0, 1)
            except InputError as error:
                yield from ((job, f"'{job.source}' cannot be translated: {error}") for job in readable)
                readable, images = [], torch.empty(0)
            for job, image in zip(readable, images, strict=True):
                job.target.parent.mkdir(parents=True, exist_ok=True)
                save_picture(image, job.target)
        report(stop, len(jobs))
    for line in note_lines(notes):
        say(line)


def _read(dataset: PictureDataset, domain: str, path: Path) -> tuple[Tensor, list[Note]]:
    """Read a picture as a sample of a domain, and what is odd about it."""
    try:
        with noting(str(path)) as notes:
            picture = dataset.read(domain, path)
    except InputError:
        raise
    except Exception as error:
        raise PluginError(f"reading '{path}' failed: {type(error).__name__}: {error}") from error
    if tuple(picture.shape) != tuple(dataset.shapes[domain]):
        raise InputError(f"'{path}' was read as {list(picture.shape)}, expected {list(dataset.shapes[domain])}")
    return picture, notes


def suffix_for(trained: Trained, direction: str) -> str:
    """Return `.png`, or `.npy` for translations of more channels than a PNG can hold."""
    return ".png" if trained.dataset.shapes[trained.target(direction)][0] in MODES else ".npy"


def save_picture(image: Tensor, path: Path) -> None:
    """Write a picture [C, H, W] in 0..1 as 8 bits: a PNG, or an array [H, W, C]."""
    array = image.mul(255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    if path.suffix == ".npy":
        np.save(path, array, allow_pickle=False)
    else:
        Image.fromarray(array.squeeze(-1) if array.shape[2] == 1 else array, MODES[array.shape[2]]).save(path)
