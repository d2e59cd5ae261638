"""A step as a flat program: the operations that autograd would call, recorded once and replayed without it.

Small networks spend most of a step on overhead: modules, views, and autograd's graph, which is rebuilt each time.
Recording removes it without changing any number: the same operations run in the same order on the same numbers. On a
GPU, small batches spend it on launching operations one by one; there a part of the program is one CUDA graph.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import torch
from attrs import define
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from ganforge import Compute, Turn, UnrecordableError, brief
from ganforge_recorded.captured import Captured, Capturing, has_graphs
from ganforge_recorded.recorder import Play, Recorder
from ganforge_recorded.shorten import shorten, work_in_place


@define
class Part:
    """The program from one player's update to the next: up to the player's losses and gradients.

    Attributes:
        player: the player.
        given: for each parameter of the player, whether it has a gradient.
        call: computes losses and gradients, and what later parts need, from `held` and what earlier parts passed on.
        held: fixed tensors.
        names: their names among the program's constants.
        captured: the same as a CUDA graph, if it is one.
    """

    player: str
    given: Sequence[bool]
    call: Callable[..., Sequence[Tensor]]
    held: list[Tensor]
    names: Sequence[str]
    captured: Captured | None = None

    def play(self, values: Sequence[Tensor]) -> Sequence[Tensor]:
        """Compute the part from what earlier parts passed on."""
        with torch.no_grad():
            return self.captured(values) if self.captured else self.call(*self.held, *values)


@define
class Program:
    """The parts of a step, in order; iterate over `play` and update the player's networks after each part.

    Attributes:
        parts: the parts.
        constants: the tensors, besides the inputs, that they were recorded with, by name.
        derived: how to compute some of these from others before them.
        uncaptured: why parts are not CUDA graphs although they should be.
        memory: bytes that CUDA graphs have taken; an unrecorded step takes about as many.
    """

    parts: Sequence[Part]
    constants: dict[str, Tensor]
    derived: Mapping[str, Callable[[], Tensor]]
    uncaptured: str = ""
    memory: int = 0

    @property
    def overwrites(self) -> bool:
        """Whether the next play writes its losses and gradients into the same memory."""
        return any(part.captured for part in self.parts)

    def play(self, inputs: Sequence[Tensor]) -> Iterator[Turn]:
        """Compute the parts in order; yield each player with its losses and gradients."""
        values = inputs
        for part in self.parts:
            losses, *values = part.play(values)
            count = sum(part.given)
            found = iter(values[:count])
            yield part.player, losses, [next(found) if there else None for there in part.given]
            values = values[count:]

    def renew(self) -> None:
        """Compute tensors again that are views of parameters whose memory has been replaced; drop CUDA graphs."""
        for name, compute in self.derived.items():
            self.constants[name] = compute()
        for part in self.parts:
            part.held[:] = [self.constants[name] for name in part.names]
            part.captured = None


def record(
    play: Play,
    inputs: Sequence[Tensor],
    buffers: Iterable[Tensor],
    compute: Compute,
    unchanged: Callable[[], Any],
    steady: Sequence[Tensor] = (),
) -> Program:
    """Record what `play` computes.

    It is played twice, on two batches: if the operations differ, they depend on more than the shapes of the inputs.

    Args:
        play: yields the players of a step with their losses and gradients.
        inputs: tensors of the expected shapes.
        buffers: tensors, besides those created by the step, that it may change in place.
        compute: whether to compile the parts, and whether to replay them as CUDA graphs.
        unchanged: returns a context that restores everything that playing changes.
        steady: tensors that never change; results that depend only on them are computed once.

    Raises:
        UnrecordableError: a recording would not compute the same as `play`.
    """
    recordings, buffers = [], list(buffers)
    for batch in ([tensor.clone() for tensor in inputs], [_otherwise(tensor) for tensor in inputs]):
        recorder = Recorder(batch, buffers)
        with unchanged():
            recorder.play(play, batch)
        recordings.append(recorder)
    first, second = recordings
    first.require_same(second)
    shorten(first, steady)
    if compute.compile is not True:  # a compiler decides by itself
        work_in_place(first.graph)

    parts: list[Part] = []
    for (player, given), (module, names) in zip(first.turns, _split(first), strict=True):
        call: Callable[..., Sequence[Tensor]] = module
        if compute.compile is True:
            # The fallback draws the random numbers of unrecorded steps.
            options: dict[str, Any] = {"guard_filter_fn": _unguarded, "fallback_random": True}
            call = torch.compile(call, dynamic=False, fullgraph=True, options=options)
        parts.append(Part(player, given, call, [first.constants[name] for name in names], names))
    made = Program(parts, first.constants, first.derived)
    if compute.cuda_graph is True or (compute.cuda_graph == "auto" and has_graphs(inputs[0].device)):
        try:
            first.require_on(inputs[0].device)
            with unchanged():
                _capture(made, inputs, first.buffers)
        except (UnrecordableError, RuntimeError) as error:
            made.uncaptured = f"it cannot be captured as a CUDA graph: {brief(_first(error))}"
    elif compute.compile is True:
        with unchanged():  # compile now
            for _ in made.play(inputs):
                pass
    return made


def _capture(made: Program, inputs: Sequence[Tensor], buffers: Set[int]) -> None:
    """Make each part a CUDA graph.

    Raises:
        RuntimeError, UnrecordableError: an operation cannot be captured, or there is not enough memory.
    """
    if not has_graphs(inputs[0].device):
        raise UnrecordableError("it needs a CUDA device, and torch 2.15 or newer")
    values = [value.clone() for value in inputs]  # the memory that later inputs are copied to
    changing = {one.untyped_storage().data_ptr() for one in made.constants.values() if id(one) in buffers}
    found: list[Captured] = []
    with torch.no_grad(), torch.cuda.device(inputs[0].device):
        capturing = Capturing()
        for part in made.parts:
            found.append(capturing.capture(part.call, part.held, values, changing))
            values = list(found[-1](values)[1 + sum(part.given) :])
        made.memory = capturing.memory()
    for part, captured in zip(made.parts, found, strict=True):
        part.captured = captured


def _first(error: BaseException) -> BaseException:
    """Return the error that led to others: that of an operation, not that of the capture that it ended."""
    while isinstance(error.__context__, RuntimeError):
        error = error.__context__
    return error


def _otherwise(tensor: Tensor) -> Tensor:
    """Return different samples of the same kind."""
    if tensor.ndim == 0 or len(tensor) < 2:
        return tensor * 1.25 if tensor.is_floating_point() else tensor
    rolled = tensor.roll(1, 0)
    return tensor * 0.75 + rolled * 0.25 if tensor.is_floating_point() else rolled


def _unguarded(guards: Sequence[object]) -> list[bool]:
    """Turn off the guards of compiled parts: shapes, types and parameters are the same in every step."""
    return [False for _ in guards]


def _split(recorder: Recorder) -> list[tuple[GraphModule, list[str]]]:
    """Split a recording after each player's losses and gradients; each part passes on what later ones need.

    A part is called with its own fixed tensors, given by their names, followed by what the previous part passed on.
    """
    *nodes, output = recorder.graph.nodes
    place = {node: number for number, node in enumerate(nodes)}
    results: list[list[Node]] = [list(found) for found in output.args[0]]
    inputs = [node for node in nodes if node.op == "placeholder"]
    parts = []
    begin = 0
    for number, result in enumerate(results):
        end = len(nodes) if number == len(results) - 1 else 1 + max(place[node] for node in result)
        mine = [node for node in nodes[begin:end] if node.op == "call_function"]
        sources = [*(source for node in mine for source in node.all_input_nodes), *result]
        held = list(dict.fromkeys(source for source in sources if source.op == "get_attr"))
        graph = Graph()
        copies = {node: graph.placeholder(node.name) for node in [*held, *inputs]}
        for node in mine:
            copies[node] = graph.node_copy(node, copies.__getitem__)
            copies[node].meta = {}  # it would keep the recorded tensors alive
        inputs = _needed(nodes[:end], nodes[end:], results[number + 1 :])
        graph.output([copies[node] for node in [*result, *inputs]])
        parts.append((GraphModule({}, graph), [str(node.target) for node in held]))
        begin = end
    return parts


def _needed(before: Sequence[Node], after: Sequence[Node], results: Sequence[Sequence[Node]]) -> list[Node]:
    used = {node for user in after for node in user.all_input_nodes} | {node for found in results for node in found}
    return [node for node in before if node in used and node.op != "get_attr"]
