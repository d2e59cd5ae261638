"""Write in the background: a thread for slow jobs, and copies of tensors that training steps do not change."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ganforge.system.memory import free_memory
from ganforge.training.formula import tensors_of


class Writer:
    """Runs one job at a time in its own thread; the process ends only after the job."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._then: Callable[[], None]

    def begin(self, job: Callable[[], None], then: Callable[[], None] = lambda: None) -> None:
        """Settle the previous job and start a new one, which must not use data that training steps change.

        `settle` calls `then` after the job has succeeded.
        """
        self.settle()

        def work() -> None:
            try:
                job()
            except BaseException as error:  # `settle` raises it
                self._error = error

        self._then = then
        self._thread = threading.Thread(target=work, name="ganforge-writer")
        self._thread.start()

    def wait(self) -> None:
        """Wait until the job is done, whether it succeeded or not; not for the job's own thread."""
        if (thread := self._thread) is not None:
            thread.join()

    @property
    def done(self) -> bool:
        """Whether a job has finished and is not settled yet."""
        return self._thread is not None and not self._thread.is_alive()

    def settle(self) -> None:
        """Wait for the job; then call `then`, or raise the job's error."""
        if self._thread is None:
            return
        self._thread.join()
        self._thread, error, self._error = None, self._error, None
        if error is not None:
            raise error
        self._then()


class Copies:
    """Copies of tensors in the host's memory, which later copies reuse."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], Tensor] = {}

    def of(self, nest: Any) -> Any:
        """Return a nest with copies of its tensors, which are valid until the next call."""
        before, self._kept = self._kept, {}
        copied = self._copied(nest, (), before)
        # Wait here, not in the thread, where synchronising would break the capture of a CUDA graph.
        for device in {tensor.device for tensor in tensors_of(nest) if tensor.is_cuda}:
            torch.cuda.current_stream(device).synchronize()
        return copied

    def fit(self, nest: Any) -> bool:
        """Return whether the free memory is twice that of a nest's tensors."""
        return bool(self._kept) or 2 * sum(tensor.nbytes for tensor in tensors_of(nest)) < free_memory()

    def _copied(self, nest: Any, place: tuple[Any, ...], before: Mapping[tuple[Any, ...], Tensor]) -> Any:
        if isinstance(nest, Tensor):
            copy = before.get(place)
            if copy is None or (copy.shape, copy.dtype) != (nest.shape, nest.dtype):
                copy = torch.empty(nest.shape, dtype=nest.dtype, pin_memory=nest.is_cuda)
            self._kept[place] = copy.copy_(nest.detach(), non_blocking=nest.is_cuda)
            return copy
        if isinstance(nest, Mapping):
            return {key: self._copied(value, (*place, key), before) for key, value in nest.items()}
        if isinstance(nest, tuple | list):
            return type(nest)([self._copied(value, (*place, index), before) for index, value in enumerate(nest)])
        return nest
