"""Translating pictures with trained networks: one file in, one file out."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from attrs import frozen
from torchvision.transforms.functional import to_pil_image

from ganforge.data import PICTURE_SUFFIXES, PictureDataset, as_float
from ganforge.errors import InputError
from ganforge.trained import Trained

BATCH = 32


@frozen
class Job:
    """One picture and where its translation goes."""

    source: Path
    target: Path


def plan_jobs(inputs: Sequence[Path], out: Path, *, overwrite: bool = False) -> list[Job]:
    """List the pictures in files and folders (with all below), each with its own PNG of the same name.

    Raises:
        InputError: an input is missing, two pictures would become one file, or a file would be overwritten.
    """
    names: dict[Path, Path] = {}
    for path in inputs:
        if not path.exists():
            raise InputError(f"no file or folder '{path}'")
        found = [path]
        if path.is_dir():
            found = sorted(
                file for file in path.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES and file.is_file()
            )
            if not found:
                raise InputError(f"no picture in the folder '{path}'")
        names |= {file: (file.relative_to(path) if path.is_dir() else Path(file.name)) for file in found}
    short = [name.with_suffix(".png") for name in names.values()]
    jobs = []
    taken: dict[Path, Path] = {}
    for file, name in names.items():
        # Where a.jpg and a.bmp meet, they become a.jpg.png and a.bmp.png.
        target = name.with_suffix(".png")
        if short.count(target) > 1:
            target = name.with_name(name.name + ".png")
        if target in taken:
            raise InputError(
                f"'{taken[target]}' and '{file}' would both become '{out / target}': translate them into two folders"
            )
        taken[target] = file
        jobs.append(Job(file, out / target))
    sources = {job.source.resolve() for job in jobs}
    for job in jobs:
        if job.target.resolve() in sources:
            raise InputError(f"'{job.target}' is one of the inputs: choose another --out")
        if job.target.exists() and not overwrite:
            raise InputError(f"'{job.target}' exists already: choose another --out, or say --overwrite")
    return jobs


def translate(
    trained: Trained, direction: str, jobs: Sequence[Job], report: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[tuple[Job, str]]:
    """Translate pictures; those that cannot be read are yielded with the reason, and the others still done.

    Args:
        trained: the networks.
        direction: such as `AB`.
        jobs: what to translate.
        report: told of (done, total).

    Raises:
        InputError: the run has no such direction, or does not translate pictures.
    """
    network = trained.generator(direction)
    dataset = trained.dataset
    if not isinstance(dataset, PictureDataset):
        raise InputError(f"this run translates samples of '{trained.plan.dataset.component.name}', not pictures")
    for start in range(0, len(jobs), BATCH):
        chunk = jobs[start : start + BATCH]
        readable, pictures = [], []
        for job in chunk:
            try:
                pictures.append(dataset.read(direction[0], job.source))
                readable.append(job)
            except InputError as error:
                yield job, str(error)
        if readable:
            with trained.evaluating():
                images = network(as_float(torch.stack(pictures)).to(trained.device)).clamp(0, 1).cpu()
            for job, image in zip(readable, images, strict=True):
                job.target.parent.mkdir(parents=True, exist_ok=True)
                to_pil_image(image).save(job.target)
        report(min(start + BATCH, len(jobs)), len(jobs))
