"""Making many samples into one file, with parallel processes if there is enough work."""

import importlib
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import forkserver, resource_tracker
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from ganforge import InputError, Note, PluginError, PluginFolder, Shape, count_cores, folders, gather_notes, noting

CHUNK = 32  # samples per task of a process
SAFE = "PYTHONSAFEPATH"
ALONE_SECONDS = 4.0  # remaining work for which starting more processes does not pay

Faults = list[tuple[int, str, str]]  # (index, message, key of the setting at fault)
Notes = list[tuple[int, Note]]  # (index of the first item of the chunk, what is odd about items of it)
Made = tuple[int, Faults, Notes]  # how many were made, the broken ones, and what is odd


@frozen
class Maker:
    """Makes a chunk of samples and writes it into the file.

    Attributes:
        make: makes the sample of an item.
        shape: shape of a sample.
        dtype: type of a sample.
        file: the file that holds the samples, one after the other.
        offset: bytes before the first sample.
    """

    make: Callable[[Any], Tensor]
    shape: Shape
    dtype: torch.dtype
    file: Path
    offset: int

    def __call__(self, start: int, items: Sequence[Any]) -> Made:
        """Return how many were made, which are broken, and what is odd; the places of broken ones stay black.

        Raises:
            PluginError: making a sample raised something other than an InputError, or the sample has the wrong type or
                shape.
        """
        size = math.prod(self.shape) * self.dtype.itemsize
        chunk = bytearray(size * len(items))
        faults: Faults = []
        notes: list[Note] = []
        for number, item in enumerate(items):
            try:
                with noting(str(item)) as found:
                    sample = self.make(item)
            except InputError as error:
                faults.append((start + number, str(error), error.key))
                continue
            except Exception as error:
                raise PluginError(f"making the sample of {item!s} failed: {type(error).__name__}: {error}") from error
            if sample.dtype != self.dtype or tuple(sample.shape) != tuple(self.shape):
                was, wanted = (str(dtype).removeprefix("torch.") for dtype in (sample.dtype, self.dtype))
                raise PluginError(
                    f"the sample of {item!s} is {was} {list(sample.shape)}, expected {wanted} {list(self.shape)}"
                )
            notes += found
            chunk[number * size : (number + 1) * size] = sample.contiguous().numpy().data.cast("B")
        with self.file.open("r+b") as target:
            target.seek(self.offset + start * size)
            target.write(chunk)
        return len(items), faults, [(start, note) for note in gather_notes(notes)]


def make_all(maker: Maker, items: Sequence[Any], processes: int = 0) -> Iterator[Made]:
    """Make all samples, chunk by chunk: first alone, then with other processes if starting them pays.

    Args:
        maker: makes a chunk.
        items: the items that samples are made from.
        processes: how many processes; 0 for one per core.
    """
    processes = processes or count_cores()
    together = processes > 1 and _can_travel(maker)
    began, start = time.monotonic(), 0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one sample is too little work for two threads
    try:
        while start < len(items):
            left = (time.monotonic() - began) / start * (len(items) - start) if start else 0.0
            if together and left > ALONE_SECONDS:
                yield from _make_together(maker, items, start, processes)
                return
            yield maker(start, items[start : start + CHUNK])
            start += CHUNK
    finally:
        torch.set_num_threads(threads)


def module_of(make: Any) -> str:
    """Return the name of the module that a function, a method or a partial of these comes from."""
    while isinstance(make, partial):
        make = make.func
    return str(getattr(make, "__func__", make).__module__)


def _make_together(maker: Maker, items: Sequence[Any], start: int, processes: int) -> Iterator[Made]:
    module = module_of(maker.make)
    context: Any = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    if sys.platform != "win32":
        context.set_forkserver_preload([__name__, module])  # torch is loaded once, not once per process
        _start_server()
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(module, folders))
    opening = threading.Thread(target=pool.submit, args=(os.getpid,))  # returns once torch is loaded there
    opening.start()
    waiting: set[Future[Made]] = set()
    try:
        while opening.is_alive() and start < len(items):
            yield maker(start, items[start : start + CHUNK])
            start += CHUNK
        while waiting or start < len(items):
            while start < len(items) and len(waiting) < 3 * processes:
                waiting.add(pool.submit(maker, start, items[start : start + CHUNK]))
                start += CHUNK
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    except BrokenProcessPool as error:
        raise PluginError("a process that made samples died; there may be too little memory") from error
    finally:
        opening.join()
        pool.shutdown(cancel_futures=True)


def _start_server() -> None:
    """Start the process that others are forked from; it ignores Ctrl-C, since its traceback would not help a user.

    It does not look for modules in the current folder, which may hold a user's own `random.py`.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    older = signal.signal(signal.SIGINT, signal.SIG_IGN)
    safe = os.environ.get(SAFE)
    os.environ[SAFE] = "1"
    try:
        forkserver.ensure_running()
        resource_tracker.ensure_running()
    finally:
        signal.signal(signal.SIGINT, older)
        del os.environ[SAFE]
        os.environ.update({} if safe is None else {SAFE: safe})


def _can_travel(maker: Maker) -> bool:
    """Tell whether the function can be passed to other processes."""
    try:
        ForkingPickler.dumps(maker)
    except Exception:  # a lambda, for example; pickle raises many types
        return False
    return module_of(maker.make) != "__main__"


def _begin(module: str, local: Mapping[str, PluginFolder]) -> None:
    """Set up a worker process: it ends with its parent, uses one thread, and can import the plugin's module."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)
    folders.update(local)
    importlib.import_module(module)


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
