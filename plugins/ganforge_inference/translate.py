"""Translating pictures with trained networks: one file in, one file out."""

import os
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from PIL import Image
from PIL.ExifTags import Base
from torch import Tensor

from ganforge import InputError, Note, Picture, Trained, find_pictures, note_lines, noting, printable
from ganforge_inference.output import (
    MODES,
    encoded,
    encoded_numbers,
    png_of,
    require_free,
    side_by_side,
    so_far,
    telling,
    to_image,
    write_made,
)
from ganforge_inference.sizes import range_of
from ganforge_inference.translator import BATCH, NUMBERS, Translator, pictures_of

LONGEST = 255  # bytes of a file name on all common file systems


@frozen
class Job:
    """One picture and the file of its translation."""

    source: Path
    target: Path


def plan_jobs(inputs: Sequence[Path], out: Path, *, suffix: str = ".png", overwrite: bool = False) -> list[Job]:
    """List the pictures in files and folders (with subfolders), each with an output file of the same name.

    A folder's pictures are those that `find_pictures` finds, and broken links with such names; a file given directly
    may have any name.

    Raises:
        InputError: an input is missing, two pictures would become one file, or a file would be overwritten.
    """
    names: dict[Path, Path] = {}
    for path in inputs:
        if not os.path.exists(path):  # also false for names that no file can have
            raise InputError(printable(f"no file or folder '{path}'"))
        if not os.path.isdir(path):
            names[path] = Path(path.name)
            continue
        found = find_pictures(path)
        if not found.files:
            besides = f", only {found.left_out}" if found.left_out else ""
            raise InputError(printable(f"no picture in the folder '{path}'{besides}"))
        files = _without_output(found.named, path, out, overwrite=overwrite)
        names |= {file: file.relative_to(path) for file in files}
    # The same input, spelled differently, counts once.
    real = {(os.path.realpath(file), name): file for file, name in names.items()}
    names = {file: name for (_, name), file in real.items()}
    short = Counter(name.with_suffix(suffix) for name in names.values())
    jobs = []
    taken: dict[Path, Path] = {}
    for file, name in names.items():
        # Both a.jpg and a.bmp in a folder become a.jpg.png and a.bmp.png.
        twins = short[name.with_suffix(suffix)] > 1
        target = name.with_name(_cut(name.name if twins else name.stem, suffix))
        if target in taken:
            both = f"'{taken[target]}' and '{file}' would both become '{out / target}'"
            raise InputError(printable(f"{both}: translate them into two folders"))
        taken[target] = file
        jobs.append(Job(file, out / target))
    sources = {_file_at(Path(os.path.realpath(job.source))) for job in jobs}
    for job in jobs:
        if os.path.exists(job.target) and _file_at(Path(os.path.realpath(job.target))) in sources:
            raise InputError(f"'{job.target}' is one of the inputs: choose another --out")
    require_free([job.target for job in jobs], overwrite=overwrite)
    return jobs


def _cut(stem: str, suffix: str) -> str:
    """Return a file name, shortened if it is too long for the file system."""
    while len(os.fsencode(stem + suffix)) > LONGEST:
        stem = stem[:-1]
    return stem + suffix


def _without_output(found: Sequence[Path], folder: Path, out: Path, *, overwrite: bool) -> list[Path]:
    """Leave out files in the output folder if it is inside the input folder."""
    place, whole = out.resolve(), folder.resolve()
    if place == whole or not place.is_relative_to(whole):
        return list(found)
    inputs = [file for file in found if not file.parent.resolve().is_relative_to(place)]
    if len(inputs) < len(found) and not (inputs and overwrite):
        raise InputError(
            f"'{out}' is inside the input folder '{folder}' and holds pictures itself: choose another --out"
        )
    return inputs


@frozen
class Outcome:
    """The result of a translation of pictures.

    Attributes:
        failed: pictures that were not translated, with the reason.
        sizes: (height, width) at which the others were translated.
    """

    failed: Mapping[Job, str]
    sizes: Sequence[tuple[int, int]]


def require_beside(trained: Trained, direction: str) -> None:
    """Refuse pictures that cannot be written beside their translations as PNGs.

    Raises:
        InputError: they cannot.
    """
    shapes = pictures_of(trained).shapes
    for domain in (trained.source(direction), trained.target(direction)):
        if (channels := shapes[domain][0]) not in MODES:
            raise InputError(f"--beside makes PNGs, which cannot hold the {channels} channels of domain {domain}")


def translate(
    translator: Translator,
    jobs: Sequence[Job],
    report: Callable[[str, int, int], None] = lambda what, done, total: None,
    say: Callable[[str], None] = lambda line: None,
    *,
    beside: bool = False,
) -> Outcome:
    """Translate pictures; those that cannot be read are reported at the end.

    While some go through the networks, the next ones are read and earlier ones are encoded; files are written one by
    one in the order of the jobs.

    Args:
        translator: the direction.
        jobs: what to translate.
        report: called with (what, done, total).
        say: called at the end with lines about what is odd in translated pictures.
        beside: put each picture, as the network sees it, beside its translation.

    Raises:
        PluginError: reading a picture raised something other than an InputError.
        RunFailedError: a file cannot be written; earlier ones are complete.
    """
    work = _Work(translator, len(jobs), beside, report)
    pool = ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 1)), "translate")
    try:
        with translator.working():
            for batch in _batches(work.readable(_read_ahead(pool, translator, jobs)), translator):
                work.translate(batch, pool)
            work.write(all_of_them=True)
    finally:
        pool.shutdown(cancel_futures=True)
    for line in note_lines(work.notes):
        say(line)
    return Outcome({job: work.failed[job] for job in jobs if job in work.failed}, work.sizes)


Read = tuple[Job, Picture]
Made = Tensor | Picture


@define(eq=False)
class _Work:
    """The state of a translation: what is done, and what waits to be written."""

    translator: Translator
    total: int
    beside: bool
    report: Callable[[str, int, int], None]
    failed: dict[Job, str] = field(factory=dict)
    sizes: list[tuple[int, int]] = field(factory=list)
    notes: list[Note] = field(factory=list)
    _waiting: deque[tuple[Job, tuple[int, int], Future[bytes]]] = field(factory=deque)
    _written: dict[tuple[int, int], Job] = field(factory=dict)

    def readable(self, reading: Iterator[tuple[Job, Future[tuple[Picture, list[Note]]]]]) -> Iterator[Read]:
        """Yield the pictures that could be read."""
        for job, future in reading:
            try:
                picture, found = future.result()
            except InputError as error:
                self.failed[job] = str(error)
            else:
                self.notes += found
                yield job, picture

    def translate(self, batch: Sequence[Read], pool: ThreadPoolExecutor) -> None:
        """Translate pictures of one size, and start encoding them."""
        try:
            made = self._made([picture for _, picture in batch])
        except InputError as error:
            self.failed |= {job: f"'{job.source}' cannot be translated: {error}" for job, _ in batch}
            return
        for (job, picture), one in zip(batch, made, strict=True):
            content = pool.submit(_content, self.translator, job, picture, one, beside=self.beside)
            self._waiting.append((job, picture.size, content))
        self.write()

    def _made(self, pictures: Sequence[Picture]) -> Sequence[Made] | Tensor:
        if grid := self.translator.grid_for(pictures[0]):
            depth = self.translator.depths[1]
            return [self.translator.by_tiles(picture, grid, depth, self.report) for picture in pictures]
        return self.translator.whole(pictures)

    def write(self, *, all_of_them: bool = False) -> None:
        """Write encoded pictures in order; wait for them if too many are pending, or if all must be written."""
        while self._waiting and (all_of_them or len(self._waiting) > BATCH or self._waiting[0][2].done()):
            job, size, content = self._waiting.popleft()
            made = content.result()
            # Names that differ only in case may be the same file; this shows once the first one exists.
            if (other := self._written.get(_file_at(job.target))) is not None:
                self.failed[job] = f"'{job.target}' is already the translation of '{other.source}' on this file system"
                continue
            with telling(job.target, so_far(len(self._written), self.total)):
                write_made(made, job.target)
            self._written[_file_at(job.target)] = job
            self.sizes.append(size)
            self.report("translating", len(self._written) + len(self.failed), self.total)


def _read_ahead(
    pool: ThreadPoolExecutor, translator: Translator, jobs: Sequence[Job]
) -> Iterator[tuple[Job, Future[tuple[Picture, list[Note]]]]]:
    """Read pictures ahead while others are translated: one or two batches, fewer if they are large."""
    coming, waiting, ahead = iter(jobs), deque[tuple[Job, Future[Any]]](), 2
    while True:
        while len(waiting) < ahead and (job := next(coming, None)):
            waiting.append((job, pool.submit(_read, translator, job)))
        if not waiting:
            return
        job, future = waiting.popleft()
        yield job, future
        if future.exception() is None:
            ahead = max(2, min(2 * BATCH, 2 * NUMBERS // future.result()[0].numbers.numel()))


def _read(translator: Translator, job: Job) -> tuple[Picture, list[Note]]:
    """Read a picture, with notes on what is odd about it."""
    with noting(str(job.source)) as notes:
        picture = translator.read(job.source)
    return picture, notes


def _batches(reading: Iterator[Read], translator: Translator) -> Iterator[list[Read]]:
    """Group consecutive pictures of one size into batches, without leaving a single last one."""
    batch: list[Read] = []
    for job, picture in reading:
        if batch and not _alike(batch[0][1], picture):
            yield batch
            batch = []
        batch.append((job, picture))
        most = translator.batch_of(picture)
        if most == 1 or len(batch) > most + 1:
            yield batch[:most]
            batch = batch[most:]
    if batch:
        yield batch


def _alike(one: Picture, other: Picture) -> bool:
    """Whether two pictures can be in one batch."""
    same = one.numbers.shape == other.numbers.shape and one.numbers.dtype == other.numbers.dtype
    return same and one.depth == other.depth


def _content(translator: Translator, job: Job, picture: Picture, made: Made, *, beside: bool) -> bytes:
    """Return the bytes of a translation's file."""
    depth, suffix = translator.depths[1], job.target.suffix
    if beside:
        right = made.pixels if isinstance(made, Picture) else made
        return png_of(side_by_side(to_image(picture.pixels), to_image(right)))
    if isinstance(made, Picture):
        return encoded_numbers(made.numbers.numpy(), suffix)
    return encoded(made, depth, suffix)


def size_line(translator: Translator, outcome: Outcome, jobs: Sequence[Job]) -> str:
    """Describe the sizes, height x width, at which pictures were translated, and their own if they were resized.

    The text continues a line with their number; empty if there are none.
    """
    if not outcome.sizes:
        return ""
    if translator.size == "own":
        whose = "its own size" if len(outcome.sizes) == 1 else "their own sizes"
        return f", at {whose}, {range_of(outcome.sizes)}"
    known = [size for job in jobs if job not in outcome.failed and (size := _size_of(job.source))]
    others = [size for size in known if size != outcome.sizes[0]]
    at = "x".join(map(str, outcome.sizes[0]))
    line = f", at {at}, the size that the networks were trained at" if translator.size == "training" else f", at {at}"
    if not others:
        return line
    fit = translator.trained.plan.dataset.settings.get("fit")
    how = f" by dataset.fit = '{fit}'" if fit and translator.size == "training" else ""
    return f"{line}; {len(others)} of them were {range_of(others)} and were resized{how}"


def _size_of(path: Path) -> tuple[int, int] | None:
    """Return the height and width of an upright picture; None if Pillow cannot read it, as for arrays."""
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as picture:
            turned = picture.getexif().get(Base.Orientation) in (5, 6, 7, 8)
            return picture.size if turned else picture.size[::-1]
    return None


def _file_at(path: Path) -> tuple[int, int]:
    """Return a file's identity, independent of its name; (0, 0) if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino
