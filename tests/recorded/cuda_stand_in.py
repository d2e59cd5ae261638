"""A stand-in for CUDA streams and graphs on a CPU, which is stricter than a GPU.

Capturing computes nothing, results lie in fixed memory, and memory that is given back is used again on the stream
that it came from. A replay runs the streams as far apart as the events between them allow, so that an operation that
does not wait for another computes with wrong numbers every time, not once in a thousand.
"""

import random
import weakref
from contextlib import contextmanager, nullcontext

import pytest
import torch
from attrs import define, evolve, field, frozen
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from ganforge_recorded import captured, program, recording

ORDERS = ("first", "second", "any")  # the stream that runs ahead


@frozen
class Event:
    """The position of an operation on a stream."""

    index: int | None


class Stream:
    """A stream: what must have run before its next operation."""

    def __init__(self):
        self.last, self.after, self.joined = None, set(), set()

    def record_event(self):
        return Event(self.last)

    def wait_event(self, event):
        if event.index is not None:
            self.after.add(event.index)

    def wait_stream(self, other):
        self.joined.add(id(other))
        self.wait_event(Event(other.last))


@define
class Block:
    """Memory of one stream; `users` counts the tensors in it."""

    storage: torch.UntypedStorage
    stream: Stream
    users: int = 0


@frozen
class Place:
    """A tensor without the tensor."""

    block: Block
    facts: tuple

    def tensor(self):
        dtype, offset, size, stride = self.facts
        return torch.empty(0, dtype=dtype).set_(self.block.storage, offset, size, stride)


@frozen
class Operation:
    """A captured operation and those that must run before it."""

    call: object
    arguments: tuple
    options: dict
    results: list
    after: frozenset


@define(eq=False)
class Graph:
    """What was captured."""

    operations: list = field(factory=list)
    blocks: dict = field(factory=dict)  # by address
    order: str = "any"
    lanes: list = field(factory=list)

    @property
    def parallel(self):
        """Whether it has two streams."""
        return len({id(lane) for lane in self.lanes}) > 1

    def replay(self):
        """Run every operation, in an order that the streams and events allow."""
        states = self._random_states()
        done, ready = set(), list(range(len(self.operations)))
        draw = random.Random(len(ready))
        while ready:
            possible = [one for one in ready if self.operations[one].after <= done]
            heads = {}
            for one in possible:
                heads.setdefault(id(self.lanes[one]), one)
            streams = sorted(heads, key=lambda stream: stream != id(self.lanes[0]))
            chosen = {"first": streams[0], "second": streams[-1], "any": draw.choice(streams)}[self.order]
            one = heads[chosen]
            if one in states:
                torch.set_rng_state(states[one])
            self._run(self.operations[one])
            done.add(one)
            ready.remove(one)
        torch.set_rng_state(states[None])

    def _random_states(self):
        """The random state before each operation that draws, and under None that after all: the order of capturing."""
        states = {}
        for index, operation in enumerate(self.operations):
            if torch.Tag.nondeterministic_seeded in operation.call.tags:
                states[index] = torch.get_rng_state()
                arguments, options = tree_map(copied, (operation.arguments, operation.options), is_leaf=is_place)
                operation.call(*arguments, **options)
        return {**states, None: torch.get_rng_state()}

    @staticmethod
    def _run(operation):
        arguments, options = tree_map(real, (operation.arguments, operation.options), is_leaf=is_place)
        made = [one for one in tree_leaves(operation.call(*arguments, **options)) if isinstance(one, Tensor)]
        for one, place in zip(made, map(real, operation.results), strict=True):
            if one.untyped_storage().data_ptr() != place.untyped_storage().data_ptr():
                place.copy_(one)


def is_place(given):
    return isinstance(given, Place)


def real(given):
    """The tensor at a place."""
    return given.tensor() if isinstance(given, Place) else given


def copied(given):
    """A tensor like that at a place, with any numbers in it."""
    return torch.zeros_like(real(given)) if isinstance(given, Place | Tensor) else given


class Capture(TorchDispatchMode):
    """Captures operations, and puts what they make into blocks."""

    def __init__(self, device, graph):
        super().__init__()
        self.device, self.graph = device, graph

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        graph, stream = self.graph, self.device.stream
        if id(stream) != id(self.device.origin) and id(self.device.origin) not in stream.joined:
            raise RuntimeError("operation would make the legacy stream depend on a capturing stream")
        if operation is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        after = set(stream.after) | ({stream.last} if stream.last is not None else set())
        given = tree_map(self._placed, (tuple(arguments), options or {}))
        made = operation(*arguments, **(options or {}))
        made = tree_map(lambda one: self._laid(one, arguments, stream) if isinstance(one, Tensor) else one, made)
        results = [self._placed(one) for one in tree_leaves(made) if isinstance(one, Tensor)]
        graph.operations.append(Operation(operation, *given, results, frozenset(after)))
        graph.lanes.append(stream)
        stream.last, stream.after = len(graph.operations) - 1, set()
        return made

    def _placed(self, given):
        """A tensor in a block is known by its place; others exist on their own."""
        block = self._block(given) if isinstance(given, Tensor) else None
        if block is None:
            return given
        return Place(block, (given.dtype, given.storage_offset(), tuple(given.shape), given.stride()))

    def _block(self, tensor):
        return self.graph.blocks.get(tensor.untyped_storage().data_ptr() or None)

    def _laid(self, made, arguments, stream):
        """Put a new tensor into memory that this stream has given back, or into more."""
        block = self._block(made)
        olds = {one.untyped_storage().data_ptr() for one in tree_leaves(arguments) if isinstance(one, Tensor)}
        if block is None and made.untyped_storage().data_ptr() in olds:
            return made  # of a tensor that exists on its own
        if block is None:
            size = made.untyped_storage().nbytes()
            back = (b for b in self.graph.blocks.values() if not b.users and b.stream is stream)
            block = next((b for b in back if b.storage.nbytes() == size), None)
            if block is None:
                block = Block(torch.UntypedStorage(size), stream)
                self.graph.blocks[block.storage.data_ptr()] = block
            laid = torch.empty(0, dtype=made.dtype).set_(
                block.storage, made.storage_offset(), made.shape, made.stride()
            )
            made = laid.copy_(made)
        block.users += 1
        weakref.finalize(made, give_back, block)
        return made


def give_back(block):
    block.users -= 1


class Device:
    """What the code under test calls of `torch.cuda`.

    Attributes:
        wanted: `compute.cuda_graph`, for steps with `compute.compile = false` only if `always`.
        order: the stream that runs ahead in a replay.
        parallel: whether two streams are said to be faster than one.
        fail: raised when a graph is captured.
        free: bytes that are said to be free.
        graphs: the captured graphs.
    """

    def __init__(self, order="any"):
        self.order, self.parallel, self.fail, self.free, self.reserved = order, True, None, 2**40, 0
        self.origin = self.stream = Stream()
        self.graphs, self.wanted, self.always = [], "auto", False

    @contextmanager
    def on(self, stream):
        before, self.stream = self.stream, stream
        try:
            yield
        finally:
            self.stream = before

    @contextmanager
    def capture(self, graph, pool, stream, capture_error_mode):
        assert capture_error_mode == "thread_local"
        if self.fail:
            raise self.fail
        before, self.origin = self.origin, stream
        stream.last, stream.after, stream.joined = None, set(), set()
        graph.order = self.order
        try:
            with self.on(stream), Capture(self, graph):
                yield
        finally:
            self.origin = before
        lanes = {id(lane): lane for lane in graph.lanes}
        if any(lane is not stream and lane.last not in stream.after for lane in lanes.values()):
            raise RuntimeError("capturing stream has unjoined work")
        for lane in lanes.values():
            lane.last, lane.after, lane.joined = None, set(), set()
        for block in graph.blocks.values():  # nothing was computed
            block.storage.fill_(255)
        self.graphs.append(graph)

    def reserve(self, *_):
        self.reserved += 2**20
        return self.reserved


@pytest.fixture
def device(monkeypatch):
    """Let the CPU have CUDA graphs."""
    found = Device()
    fakes = {
        "CUDAGraph": Graph,
        "graph": found.capture,
        "Stream": Stream,
        "stream": found.on,
        "current_stream": lambda: found.stream,
        "graph_pool_handle": lambda: (0, 0),
        "device": lambda _: nullcontext(),
        "empty_cache": lambda: None,
        "memory_reserved": found.reserve,
        "mem_get_info": lambda _: (found.free, 2**41),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    for module in (program, recording):
        monkeypatch.setattr(module, "has_graphs", lambda _: True)

    def milliseconds(made):
        return 1.0 if made._graph.parallel == found.parallel else 2.0

    monkeypatch.setattr(captured.Captured, "milliseconds", milliseconds)
    make = recording.Recording.__init__

    def made(self, modules, formulas, players, compute):
        wanted = found.wanted if compute.compile or found.always else False
        make(self, modules, formulas, players, evolve(compute, cuda_graph=wanted))

    monkeypatch.setattr(recording.Recording, "__init__", made)
    return found
