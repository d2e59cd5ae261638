"""A part of a program as a CUDA graph: all of its operations are launched at once, on fixed memory.

What does not depend on each other, such as the two directions of a coupling, may run on two streams. Both ways are
captured, and the faster one is replayed.
"""

import os
from collections.abc import Callable, Sequence, Set
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from ganforge_recorded import lanes

WARM = 3  # calls before capturing: one-time setup must not be captured
ROUNDS = 5  # replays that are timed
GAIN = 0.97  # of the time on one stream: two must not take longer

Call = Callable[..., Sequence[Tensor]]


def has_graphs(device: torch.device) -> bool:
    """Return whether a device has CUDA graphs, and torch what they need.

    Torch before 2.15 cannot go on after a capture that failed. There, or where cuBLAS keeps its work space, deleting a
    graph may take memory from others (pytorch issue 193402).
    """
    kept = os.environ.get("TORCH_CUBLAS_WORKSPACE_CACHE", "0") != "0"
    return device.type == "cuda" and torch.__version__ >= (2, 15) and not kept  # type: ignore[operator]


def free_memory_on(device: torch.device) -> int:
    """Return the free bytes of a CUDA device, after giving back what torch holds without need."""
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info(device)[0]


class Captured:
    """A CUDA graph, the memory of its inputs, and that of its results.

    Args:
        call: computes the results; called several times, the last time without computing anything.
        inputs: what it is called with: the memory to which later inputs are copied.
        stream: the stream on which it is called.
        pool: the memory that graphs share; they must not be replayed at the same time.
    """

    def __init__(self, call: Call, inputs: Sequence[Tensor], stream: Any, pool: Any) -> None:
        self.inputs = inputs
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM):
                call(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads fetch batches and save checkpoints meanwhile.
        with torch.cuda.graph(self._graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            self.outputs = call(*inputs)

    def __call__(self, values: Sequence[Tensor]) -> Sequence[Tensor]:
        """Replay with other inputs; the next call overwrites the results."""
        for mine, value in zip(self.inputs, values, strict=True):
            if mine is not value:  # results of the previous part are in place already
                mine.copy_(value)
        self._graph.replay()
        return self.outputs

    def milliseconds(self) -> float:
        """Return the time of a replay."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        self._graph.replay()
        start.record()
        for _ in range(ROUNDS):
            self._graph.replay()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / ROUNDS


class Capturing:
    """Captures parts, whose graphs share memory."""

    def __init__(self) -> None:
        torch.cuda.empty_cache()
        self._before = torch.cuda.memory_reserved()
        self._pool = torch.cuda.graph_pool_handle()
        self._streams = [torch.cuda.Stream() for _ in range(2)]  # type: ignore[no-untyped-call]

    def capture(self, call: Call, held: Sequence[Tensor], inputs: Sequence[Tensor], buffers: Set[int]) -> Captured:
        """Capture a part, on two streams if that is faster.

        Args:
            call: the part; a compiled one stays on one stream.
            held: its fixed tensors.
            inputs: what earlier parts pass on: the memory to which later inputs are copied.
            buffers: addresses of memory that operations may change without saying so.

        Raises:
            RuntimeError: an operation cannot be captured, or there is not enough memory.
        """
        one = Captured(partial(call, *held), inputs, self._streams[0], self._pool)
        if not isinstance(call, GraphModule):
            return one
        try:
            plan = lanes.divide(call, held, inputs, buffers)
        except Exception:  # of any kind
            return one
        if not plan.parallel:
            return one
        try:
            two = Captured(partial(lanes.play, plan, self._streams, *held), inputs, self._streams[0], self._pool)
        except RuntimeError:  # such as too little memory for both streams
            return one
        return two if two.milliseconds() < GAIN * one.milliseconds() else one

    def memory(self) -> int:
        """Return the bytes that the graphs have taken."""
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved() - self._before
