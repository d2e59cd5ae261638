"""Costly samples are made once, in parallel, and kept packed in the user's cache, each set in its own folder."""

import errno
import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from operator import itemgetter
from pathlib import Path
from secrets import token_hex

import torch
from attrs import asdict, frozen
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ganforge import (
    UNWRITABLE,
    InputError,
    Note,
    Prepared,
    Report,
    Shape,
    Stored,
    gather_notes,
    printable,
    sources,
    sync,
    user_folder,
)
from ganforge_cache.preparing import Faults, Maker, Notes, make_all, module_of

FORMAT = 3
HEADER = 256  # bytes before the samples in a file
SAMPLES, ABOUT = "samples.safetensors", "about.json"
NAMES = {"uint8": "U8", "uint16": "U16", "float32": "F32"}  # of types in the header
SHOWN = 5
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
DISK_ERRORS = {*UNWRITABLE, errno.EFBIG, errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG}


@frozen
class Entry:
    """One packed cache: its folder and its header."""

    folder: Path
    what: str
    length: int
    skipped: tuple[str, ...]
    notes: tuple[Note, ...]

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(path.stat().st_size for path in self.folder.iterdir())


def home() -> Path:
    """Return the cache folder: `GANFORGE_CACHE`, or the user's cache folder of this system; see `user_folder`."""
    return user_folder("cache")


def ready(
    samples: Prepared,
    shape: Shape,
    what: str,
    report: Report = lambda what, done, total: None,
    *,
    processes: int = 0,
) -> Stored:
    """Return samples from the cache, mapped into memory; make and pack them first if they are missing.

    Args:
        samples: the samples to return.
        shape: [C, H, W] of a sample.
        what: name of these samples in messages and lists, such as `edges2photo train A`.
        report: called with (what, done, total).
        processes: how many processes make samples; 0 for one per core.

    Raises:
        InputError: samples are broken, or the cache cannot be written.
        PluginError: making a sample failed with another exception, or a sample has the wrong shape.
    """
    folder = home() / _key(samples, shape)
    if (entry := _read(folder)) is None:
        with (
            _writing(samples, shape),
            _locked(folder, partial(report, f"waiting for another process with {what}", 0, 1)),
        ):
            if (entry := _read(folder)) is None:
                _make(folder, samples, shape, what, report, processes)
                entry = _read(folder)
    if entry is None:
        raise InputError(f"the cache '{folder}' cannot be read back; set GANFORGE_CACHE to a folder on another disk")
    tensor = _map(folder)
    labels, kept = samples.labels, None
    if entry.skipped:
        broken = set(json.loads((folder / ABOUT).read_text(encoding="utf-8"))["broken"])
        kept = [index for index in range(samples.length) if index not in broken]
        labels = {name: [values[index] for index in kept] for name, values in labels.items()}
    return Stored(len(tensor), partial(_take, tensor), labels, entry.skipped, entry.notes, places=kept)


def entries() -> Iterator[Entry]:
    """Yield every cache."""
    if os.path.isdir(home()):
        for folder in sorted(home().iterdir()):
            if not folder.name.startswith(".") and (entry := _read(folder)):
                yield entry


def find(samples: Prepared, shape: Shape) -> Entry | None:
    """Return the cache of these samples; None if there is none."""
    return _read(home() / _key(samples, shape))


def clear(keys: Sequence[str] | None = None) -> int:
    """Delete the caches in these folders, or all of them, and what interrupted preparations left.

    Returns:
        The number of freed bytes. What another process is preparing is left alone.

    Raises:
        InputError: a part, such as another user's, cannot be deleted; the rest is.
    """
    free, kept = 0, ""
    for lock in sorted(home().glob("*.lock")) if os.path.isdir(home()) else ():
        if keys is not None and lock.stem not in keys:
            continue
        entry = home() / lock.stem
        try:
            with suppress(Timeout), FileLock(lock, timeout=0):
                for folder in (entry, *_asides(lock.stem)):
                    if folder.is_dir():
                        size = sum(path.stat().st_size for path in folder.iterdir())
                        shutil.rmtree(folder)  # keep the lock: another process may be waiting for it
                        free += size
        except OSError as error:
            if entry.is_dir():
                kept = f"'{entry}' cannot be deleted: {error.strerror}"
    if kept:
        raise InputError(f"{kept}; {free / 2**20:,.1f} MiB of other caches were freed")
    return free


def _take(tensor: Tensor, indices: Sequence[int]) -> Tensor:
    if isinstance(indices, range) and indices.step == 1:
        return tensor[indices.start : indices.stop].clone()
    return tensor[torch.as_tensor(indices)]


def _key(samples: Prepared, shape: Shape) -> str:
    """Name the cache by everything that its contents depend on: items, the state of their files, settings, code."""
    about = (FORMAT, samples.settings, tuple(shape), _type_of(samples), samples.on_broken)
    digest = hashlib.blake2b(repr(about).encode(), digest_size=16)
    for item in samples.items:
        if isinstance(item, Path):
            try:
                state = os.stat(item)
                # Programs that set back a file's time cannot change this one; Windows does not have it.
                changed = state.st_ctime_ns if sys.platform != "win32" else 0
                found = f"{state.st_size}\0{state.st_mtime_ns}\0{changed}"
            except OSError:
                found = "missing"
            digest.update(os.fsencode(os.path.abspath(item)) + f"\0{found}\n".encode())
        else:
            digest.update(repr(item).encode("utf-8", "surrogatepass") + b"\n")
    module = module_of(samples.make)
    file = getattr(sys.modules[module], "__file__", None)
    if file:
        code = Path(file)
        package = code.parent.glob("*.py") if (code.parent / "__init__.py").is_file() else [code]
        for source in sorted({*package, *sources(module)}):
            digest.update(source.read_bytes())
    return digest.hexdigest()


def _read(folder: Path) -> Entry | None:
    """Return the cache in a folder; None if there is none or it is incomplete."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        notes = tuple(Note(**{**note, "names": tuple(note["names"])}) for note in about["notes"])
        entry = Entry(folder, about["what"], about["length"], tuple(about["skipped"]), notes)
        with safe_open(folder / SAMPLES, "pt") as file:  # checks the file's length against its header
            shape = file.get_slice("samples").get_shape()
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None
    return entry if shape[0] == entry.length else None


def _map(folder: Path) -> Tensor:
    with safe_open(folder / SAMPLES, "pt") as file:
        samples: Tensor = file.get_tensor("samples")
    return samples


@contextmanager
def _writing(samples: Prepared, shape: Shape) -> Iterator[None]:
    """Turn a disk error into one that says what was to be written where, and what to do."""
    try:
        home().mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        need = _bytes_of(samples, shape) * samples.length / 2**20
        free = ""
        with suppress(OSError):
            free = f", where {shutil.disk_usage(home()).free / 2**20:,.0f} MiB are free"
        room = "make room (`ganforge data clear`), or " if error.errno in FULL else ""
        raise InputError(
            f"cannot write the cache of {need:,.0f} MiB to '{home()}'{free}: {error.strerror}; "
            f"{room}set GANFORGE_CACHE to another folder"
        ) from error


@contextmanager
def _locked(folder: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Be the only process that makes this cache; a process that died releases its lock."""
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _asides(name: str) -> list[Path]:
    return list(home().glob(f".{name}.*"))


def _make(folder: Path, samples: Prepared, shape: Shape, what: str, report: Report, processes: int) -> None:
    """Make all samples in a temporary folder, and rename it when it is complete and on the disk."""
    for left in _asides(folder.name):  # left by a killed process, since we hold the lock; it may be another user's
        shutil.rmtree(left, ignore_errors=True)
    if folder.is_dir():  # damaged
        shutil.rmtree(folder)
    aside = home() / f".{folder.name}.{token_hex(4)}"
    aside.mkdir()  # not mkdtemp, so that users of a group can share a cache
    try:
        file = aside / SAMPLES
        _reserve(file, HEADER + samples.length * _bytes_of(samples, shape))
        maker = Maker(samples.make, shape, _type_of(samples), file, HEADER)
        faults: Faults = []
        notes: Notes = []
        done = 0
        report(f"preparing {what}", 0, samples.length)
        for count, broken, odd in make_all(maker, samples.items, processes):
            faults += broken
            notes += odd
            done += count
            report(f"preparing {what}", done, samples.length)
        faults.sort()
        if faults and (samples.on_broken == "stop" or len(faults) == samples.length):
            raise _broken(faults, samples)
        _close_gaps(file, samples, shape, [index for index, _, _ in faults])
        skipped = [printable(message) for _, message, _ in faults]
        about = {
            "what": what,
            "length": samples.length - len(faults),
            "broken": [index for index, _, _ in faults],
            "skipped": skipped,
            "notes": [asdict(note) for note in gather_notes(note for _, note in sorted(notes, key=itemgetter(0)))],
        }
        (aside / ABOUT).write_text(json.dumps(about), encoding="utf-8")
        for path in (file, aside / ABOUT, aside):
            sync(path)
        aside.rename(folder)
        sync(home())
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _broken(faults: Faults, samples: Prepared) -> InputError:
    """Return an error with the number of broken items, and a few of their messages."""
    lines = [printable(message) for _, message, _ in faults[:SHOWN]]
    if len(faults) > SHOWN:
        lines.append(f"and {len(faults) - SHOWN} more")
    if len(faults) < samples.length:
        count = f"{len(faults):,} of {samples.length:,}"
        lines.append(f'{count} cannot be used: repair or remove them, or set dataset.on_broken = "skip"')
    return InputError("; ".join(lines), key=faults[0][2])


def _reserve(file: Path, size: int) -> None:
    """Reserve the space at once, so that a full disk is noticed before the work."""
    with file.open("wb") as target:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(target.fileno(), 0, size)
        else:
            target.truncate(size)


def _type_of(samples: Prepared) -> torch.dtype:
    found: torch.dtype = getattr(torch, samples.dtype)
    return found


def _bytes_of(samples: Prepared, shape: Shape) -> int:
    return math.prod(shape) * _type_of(samples).itemsize


def _close_gaps(file: Path, samples: Prepared, shape: Shape, broken: Sequence[int]) -> None:
    """Move samples into the places of broken ones, then write the header, which makes the file valid."""
    size, length = _bytes_of(samples, shape), samples.length
    kept = length
    with file.open("r+b") as target:
        if broken:
            gone, kept = set(broken), 0
            for index in range(length):
                if index not in gone:
                    if kept < index:
                        target.seek(HEADER + index * size)
                        sample = target.read(size)
                        target.seek(HEADER + kept * size)
                        target.write(sample)
                    kept += 1
            target.truncate(HEADER + kept * size)
        tensor = {"dtype": NAMES[samples.dtype], "shape": [kept, *shape], "data_offsets": [0, kept * size]}
        header = json.dumps({"samples": tensor}).encode().ljust(HEADER - 8)
        target.seek(0)
        target.write(len(header).to_bytes(8, "little") + header)
