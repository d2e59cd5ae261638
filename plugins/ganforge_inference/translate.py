"""Translating pictures with trained networks: one file in, one file out."""

import math
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from attrs import frozen
from PIL import Image
from PIL.ExifTags import Base
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
from ganforge_inference.output import (
    MODES,
    Array,
    eight_bit,
    require_free,
    save,
    side_by_side,
    telling_how_many,
    to_image,
)

BATCH = 32  # pictures that are translated at once, at most
NUMBERS = 32 * 3 * 256 * 256  # in all of them, about
LONGEST = 255  # bytes of a file's name, on all common file systems


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
        if not os.path.exists(path):  # which also answers for names that no file can have
            raise InputError(printable(f"no file or folder '{path}'"))
        if not os.path.isdir(path):
            names[path] = Path(path.name)
            continue
        found = find_pictures(path)
        if not found.files:
            besides = f", only {found.left_out}" if found.left_out else ""
            raise InputError(printable(f"no picture in the folder '{path}'{besides}"))
        files = _without_output(found.files, path, out, overwrite=overwrite)
        names |= {file: file.relative_to(path) for file in files}
    # What is given twice, spelled differently, is one input.
    names = {file: name for (_, name), file in {(file.resolve(), name): file for file, name in names.items()}.items()}
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
    sources = {_file_at(job.source.resolve()) for job in jobs}
    for job in jobs:
        if os.path.exists(job.target) and _file_at(job.target.resolve()) in sources:
            raise InputError(f"'{job.target}' is one of the inputs: choose another --out")
    require_free([job.target for job in jobs], overwrite=overwrite)
    return jobs


def _cut(stem: str, suffix: str) -> str:
    """Return a file's name, cut where it would be too long for the file system."""
    while len(os.fsencode(stem + suffix)) > LONGEST:
        stem = stem[:-1]
    return stem + suffix


def _without_output(found: Sequence[Path], folder: Path, out: Path, *, overwrite: bool) -> list[Path]:
    """Leave out what lies in the output's folder, where that is a part of the folder of inputs."""
    place, whole = out.resolve(), folder.resolve()
    if place == whole or not place.is_relative_to(whole):
        return list(found)
    inputs = [file for file in found if not file.parent.resolve().is_relative_to(place)]
    if len(inputs) < len(found) and not (inputs and overwrite):
        raise InputError(f"'{out}' lies in the input folder '{folder}' and holds pictures itself: choose another --out")
    return inputs


def require_pictures(trained: Trained, direction: str, *, beside: bool = False) -> PictureDataset:
    """Return the data set, whose samples are pictures; `beside` if a PNG is to hold them, and their translations.

    Raises:
        InputError: they are not.
    """
    dataset = trained.dataset
    if not isinstance(dataset, PictureDataset):
        raise InputError(f"this run translates samples of '{trained.plan.dataset.component.name}', not pictures")
    for domain in (trained.source(direction), trained.target(direction)):
        if beside and (channels := dataset.shapes[domain][0]) not in MODES:
            raise InputError(f"--beside makes PNGs, which cannot hold the {channels} channels of domain {domain}")
    return dataset


def translate(
    trained: Trained,
    direction: str,
    jobs: Sequence[Job],
    report: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda line: None,
    *,
    beside: bool = False,
    seed: int = 0,
) -> Iterator[tuple[Job, str]]:
    """Translate pictures; those that cannot be read are yielded with the reason, and the others still done.

    Args:
        trained: the networks.
        direction: such as `AB`.
        jobs: what to translate.
        report: told of (done, total).
        say: told, at the end, what is odd about pictures that were translated all the same, a line each.
        beside: put each picture, as the network sees it, and its translation side by side.
        seed: of what a direction draws besides, such as a style.

    Raises:
        InputError: the run has no such direction, or does not translate pictures.
        PluginError: reading a picture failed otherwise than by an InputError.
        RunFailedError: a file cannot be written; those before it are whole.
    """
    dataset, source = require_pictures(trained, direction, beside=beside), trained.source(direction)
    notes: list[Note] = []
    written: dict[tuple[int, int], Job] = {}
    size = batch_of(trained, direction)
    starts = range(0, max(1, len(jobs) - 1), size) if size > 1 else range(len(jobs))  # a last picture is not left alone
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
                    images = trained.translate(direction, torch.stack(pictures), BATCH, seed=seed).clamp(0, 1)
            except InputError as error:
                yield from ((job, f"'{job.source}' cannot be translated: {error}") for job in readable)
                readable, pictures, images = [], [], torch.empty(0)
            for job, picture, image in zip(readable, pictures, images, strict=True):
                # Names that differ in case alone may be one file; that shows when the first of them is there.
                if (other := written.get(_file_at(job.target))) is not None:
                    yield job, f"'{job.target}' is already the translation of '{other.source}' on this file system"
                    continue
                with telling_how_many(job.target, len(written), len(jobs)):
                    save(_laid_out(picture, image, job.target, beside=beside), job.target)
                written[_file_at(job.target)] = job
        report(stop, len(jobs))
    for line in note_lines(notes):
        say(line)


def _read(dataset: PictureDataset, domain: str, path: Path) -> tuple[Tensor, list[Note]]:
    """Read a picture as a sample of a domain, and what is odd about it."""
    try:
        with noting(str(path)) as notes:
            picture = as_float(dataset.read(domain, path))
    except InputError:
        raise
    except Exception as error:
        raise PluginError(f"reading '{path}' failed: {type(error).__name__}: {error}") from error
    if tuple(picture.shape) != tuple(dataset.shapes[domain]):
        raise InputError(f"'{path}' was read as {list(picture.shape)}, expected {list(dataset.shapes[domain])}")
    return picture, notes


def batch_of(trained: Trained, direction: str) -> int:
    """Return how many pictures are translated at once: fewer, where they are large."""
    shapes = trained.dataset.shapes
    largest = max(math.prod(shapes[domain]) for domain in (trained.source(direction), trained.target(direction)))
    return max(1, min(BATCH, NUMBERS // largest))


def _file_at(path: Path) -> tuple[int, int]:
    """Return what tells a file from all others, whatever it is called; (0, 0) if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def _laid_out(picture: Tensor, image: Tensor, target: Path, *, beside: bool) -> Image.Image | Array:
    """Return what is written of a picture and its translation, both [C, H, W] in 0..1."""
    if target.suffix == ".npy":
        return eight_bit(image)
    return side_by_side(to_image(picture), to_image(image)) if beside else to_image(image)


def suffix_for(trained: Trained, direction: str) -> str:
    """Return `.png`, or `.npy` for translations of more channels than a PNG can hold."""
    return ".png" if trained.dataset.shapes[trained.target(direction)][0] in MODES else ".npy"


def size_note(trained: Trained, direction: str, sources: Sequence[Path]) -> str | None:
    """Say how large pictures are, as they lie on the disk, that differ in size from their translations."""
    height, width = trained.dataset.shapes[trained.target(direction)][1:]
    known = [size for source in sources if (size := _size_of(source))]
    sizes = [size for size in known if size != (width, height)]
    if not sizes:
        return None
    least, most = min(sizes, key=math.prod), max(sizes, key=math.prod)
    found = f"{least[0]}x{least[1]}" + (f" to {most[0]}x{most[1]}" if most != least else "")
    cropped = "; they are cropped to its shape first" if trained.plan.dataset.settings.get("fit") == "crop" else ""
    return (
        f"{len(sizes)} of {len(sources)} pictures were {found}; their translations are {width}x{height}, "
        f"the size that the networks were trained at{cropped}"
    )


def _size_of(path: Path) -> tuple[int, int] | None:
    """Return the width and height of an upright picture; None for what Pillow does not know, such as arrays."""
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as picture:
            turned = picture.getexif().get(Base.Orientation) in (5, 6, 7, 8)
            return picture.size[::-1] if turned else picture.size
    return None
