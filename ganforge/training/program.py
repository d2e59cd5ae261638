"""A step as a flat program: the operations that autograd would call, recorded once, then replayed without it.

Small networks spend most of a step on bookkeeping: modules, views and autograd's graph, built anew each time. Recording
removes it and changes no number: the same operations run in the same order on the same tensors.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from functools import partial
from operator import getitem
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_aggregate, map_arg
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from ganforge.recipe.plan import Phase, Train

Play = Callable[[Mapping[str, Tensor]], Iterable[tuple[Phase, Tensor]]]

aten = torch.ops.aten
# Of a tensor that stays where it is these give one that does, too: they can be called once for all.
_VIEWS = {aten.t.default, aten.view.default, aten.transpose.int, aten.permute.default, aten.expand.default}
_SAME = {aten.alias.default, aten.detach.default}
# Python's own functions of these operations are called in half the time.
_SHORT = {
    aten.mm.default: torch.mm,
    aten.addmm.default: torch.addmm,
    aten.add.Tensor: torch.add,
    aten.mul.Tensor: torch.mul,
    aten.neg.default: torch.neg,
    aten.relu.default: torch.relu,
    aten.sum.dim_IntList: torch.sum,
    aten.t.default: torch.t,
}


# Operations whose result, or its shape, is a matter of values.
_LOOKS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class UnrecordableError(Exception):
    """What is computed depends on more than the shapes of its inputs."""


@frozen
class Part:
    """What is computed up to one phase's update: from the part before, to its losses and its parameters' gradients."""

    phase: Phase
    parameters: Sequence[Tensor]
    call: Callable[..., Sequence[Tensor]]


@frozen
class Program:
    """The parts of a step, in order; iterate over `play` and update the phase's networks after each part."""

    domains: Sequence[str]
    parts: Sequence[Part]

    def play(self, batch: Mapping[str, Tensor]) -> Iterator[tuple[Phase, Tensor]]:
        """Compute part after part; leave gradients in the parameters, and yield each phase with its losses."""
        values: Sequence[Tensor] = [batch[domain] for domain in self.domains]
        for part in self.parts:
            with torch.no_grad():
                values = part.call(*values)
            for parameter, gradient in zip(part.parameters, values[1:], strict=False):
                parameter.grad = gradient
            yield part.phase, values[0]
            values = values[1 + len(part.parameters) :]


def record(
    play: Play,
    batch: Mapping[str, Tensor],
    networks: Iterable[nn.Module],
    parameters: Mapping[Phase, Sequence[Tensor]],
    train: Train,
) -> Program:
    """Record what `play` computes for one batch.

    What Python itself does in between, such as counting calls, is not recorded.

    Args:
        play: yields the phases of a step with their losses, gradients left in the parameters.
        batch: samples of the shapes to come, [N, *shape] of each domain.
        networks: whose running statistics recording must not move.
        parameters: of the networks that each phase updates.
        train: says whether to compile the parts, and whether to replay them as CUDA graphs.

    Raises:
        UnrecordableError: something looks at a tensor's values, so that another batch may need other operations.
    """
    with _unchanged(networks):
        recorder = _Recorder(list(batch.values()))
        results, updated = [], []
        with recorder:
            for phase, losses in play(batch):
                learnt = [parameter for parameter in parameters[phase] if parameter.grad is not None]
                gradients = [parameter.grad for parameter in learnt if parameter.grad is not None]
                results.append([recorder.node(value) for value in (losses, *gradients)])
                updated.append((phase, learnt))
        recorder.finish(results)

        parts: list[Part] = []
        values: Sequence[Tensor] = list(batch.values())
        for (phase, learnt), (module, held) in zip(updated, _split(recorder), strict=True):
            call: Callable[..., Sequence[Tensor]] = module
            if train.compile is True:
                call = torch.compile(call, dynamic=False, fullgraph=True, options={"guard_filter_fn": _unguarded})
            call = partial(call, *held)
            with torch.no_grad():
                if train.cuda_graph is True:
                    call = _Replayed(call, values if parts else [value.clone() for value in values])
                values = call(*values)[1 + len(learnt) :]
            parts.append(Part(phase, learnt, call))
    return Program(list(batch), parts)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down every operation that is carried out, autograd's included.

    Attributes:
        graph: the operations in their order.
        constants: tensors that were there before, and those that are the same in every step, by name.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = Graph()
        self.constants: dict[str, Tensor] = {}
        # Weak keys: a gradient that someone else holds would be copied by autograd, and the copy recorded.
        self._made: MutableMapping[Tensor, Node] = WeakTensorKeyDictionary()
        for place, tensor in enumerate(inputs):
            self._remember(tensor, self.graph.placeholder(f"input_{place}"))

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        """Carry out an operation and write it down."""
        result = operation(*arguments, **(options or {}))
        if _LOOKS & set(operation.tags) or isinstance(result, bool | int | float):
            raise UnrecordableError(f"'{operation}' looks at the values of a tensor")
        node = self.graph.call_function(
            operation, map_aggregate(arguments, self._noded), map_aggregate(options or {}, self._noded)
        )
        if isinstance(result, Tensor):
            self._remember(result, node)
        elif isinstance(result, tuple | list):
            for place, item in enumerate(result):
                if isinstance(item, Tensor):
                    self._remember(item, self.graph.call_function(getitem, (node, place)))
        return result

    def node(self, tensor: Tensor) -> Node:
        """Return the node of a tensor; one that nothing made was there before."""
        if tensor not in self._made:
            self._made[tensor] = self.constant(tensor)
        return self._made[tensor]

    def constant(self, tensor: Tensor) -> Node:
        """Return a node that reads a tensor."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = tensor
        return self.graph.get_attr(name)

    def finish(self, results: Sequence[Sequence[Node]]) -> None:
        """Say what is wanted, and drop what leads nowhere."""
        self.graph.output([list(result) for result in results])
        _shorten(self)

    def _noded(self, argument: Any) -> Any:
        return self.node(argument) if isinstance(argument, Tensor) else argument

    def _remember(self, tensor: Tensor, node: Node) -> None:
        node.meta["shape"] = tensor.shape
        self._made[tensor] = node


def _unguarded(guards: Sequence[object]) -> list[bool]:
    """Check nothing before a call: shapes, types and the very parameters are the same in every step."""
    return [False for _ in guards]


@contextmanager
def _unchanged(networks: Iterable[nn.Module]) -> Iterator[None]:
    """Leave running statistics, gradients and random state as they were before."""
    networks = list(networks)
    buffers = [(buffer, buffer.clone()) for network in networks for buffer in network.buffers()]
    try:
        with torch.random.fork_rng():
            yield
    finally:
        for buffer, before in buffers:
            buffer.copy_(before)
        for network in networks:
            network.zero_grad(set_to_none=True)


def _shorten(recorder: _Recorder) -> None:
    """Take out operations that do nothing, and those that would give the same tensor in every step."""
    graph = recorder.graph
    constant: set[Node] = set()
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        source = node.args[0] if node.args and isinstance(node.args[0], Node) else None
        if source and (node.target in _SAME or (node.target is aten.view.default and _shape(node) == _shape(source))):
            node.replace_all_uses_with(source)
        elif _is_constant(node, constant):
            constant.add(_hold(recorder, node))
        elif source and source.op == "get_attr" and node.target in _VIEWS:
            _hold(recorder, node)
        elif source and node.target is aten.view.default and _sums_rows(source, node.args[1]):
            with graph.inserting_before(node):
                node.replace_all_uses_with(graph.call_function(torch.sum, (source.args[0], 0)))
        elif source and node.target is aten.t.default and source.target is torch.t:
            node.replace_all_uses_with(source.args[0])
        elif node.target in _SHORT:
            node.target = _SHORT[node.target]
    graph.eliminate_dead_code()


def _shape(node: Node) -> object:
    return node.meta.get("shape", node)


def _is_constant(node: Node, constant: set[Node]) -> bool:
    """Whether a node gives the same in every step, computed from nothing or from what does."""
    operation = node.target
    if not isinstance(operation, torch._ops.OpOverload) or not constant.issuperset(node.all_input_nodes):
        return False
    return not operation._schema.is_mutable and torch.Tag.nondeterministic_seeded not in operation.tags


def _sums_rows(node: Node, shape: object) -> bool:
    """Whether a node is the sum over the rows of a matrix, and the shape is that of one row."""
    return node.target is torch.sum and node.args[1:] == ([0], True) and [*node.meta["shape"]][1:] == shape


def _hold(recorder: _Recorder, node: Node) -> Node:
    """Compute a node now, and have its value read instead."""

    def value(argument: Node) -> Tensor:
        return recorder.constants[str(argument.target)].detach()

    result = node.target(*map_arg(node.args, value), **map_arg(node.kwargs, value))  # type: ignore[operator]
    with recorder.graph.inserting_before(node):
        held = recorder.constant(result)
    held.meta["shape"] = result.shape
    node.replace_all_uses_with(held)
    return held


def _split(recorder: _Recorder) -> list[tuple[GraphModule, list[Tensor]]]:
    """Cut a recording after each phase's losses and gradients; each part hands on what later ones need.

    A part is called with the tensors beside it, which stay the same, followed by what the part before handed on.
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
        held = {source: None for node in mine for source in node.all_input_nodes if source.op == "get_attr"}
        graph = Graph()
        copies = {node: graph.placeholder(node.name) for node in [*held, *inputs]}
        for node in mine:
            copies[node] = graph.node_copy(node, copies.__getitem__)
            copies[node].meta = {}  # it would keep the recorded tensors
        inputs = _needed(nodes[:end], nodes[end:])
        graph.output([copies[node] for node in [*result, *inputs]])
        parts.append((GraphModule({}, graph), [recorder.constants[str(node.target)] for node in held]))
        begin = end
    return parts


def _needed(before: Sequence[Node], after: Sequence[Node]) -> list[Node]:
    used = {node for user in after for node in user.all_input_nodes}
    return [node for node in before if node in used and node.op != "get_attr"]


class _Replayed:
    """A part as a CUDA graph: launched as a whole, on inputs that are copied to where it reads them."""

    def __init__(self, call: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor]) -> None:
        self.inputs = inputs
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(3):  # whatever is set up on first use must not be recorded
                call(*inputs)
        torch.cuda.current_stream().wait_stream(beside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.outputs = call(*inputs)

    def __call__(self, *values: Tensor) -> Sequence[Tensor]:
        for mine, value in zip(self.inputs, values, strict=True):
            if mine is not value:  # what the part before has left lies where it is read
                mine.copy_(value)
        self.graph.replay()
        return self.outputs
