"""Shorten a recording: operations that do nothing, always give the same tensor, or need not allocate memory."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.fx import Graph, Node
from torch.fx.node import map_arg
from torch.nn import functional

from ganforge_recorded.recorder import Recorder
from ganforge_recorded.schema import changed, root

aten = torch.ops.aten
# On a tensor with fixed memory these return one with fixed memory, so they need only be called once.
_VIEWS = {aten.t.default, aten.view.default, aten.transpose.int, aten.permute.default, aten.expand.default}
_SAME = {aten.alias.default, aten.detach.default}
# Torch's Python functions for these operations take half the time to call.
_SHORT = {
    aten.mm.default: torch.mm,
    aten.addmm.default: torch.addmm,
    aten.add.Tensor: torch.add,
    aten.mul.Tensor: torch.mul,
    aten.mul.Scalar: torch.mul,
    aten.sub.Tensor: torch.sub,
    aten.pow.Tensor_Scalar: torch.pow,
    aten.mean.default: torch.mean,
    aten.softplus.default: functional.softplus,
    aten.neg.default: torch.neg,
    aten.relu.default: torch.relu,
    aten.sum.dim_IntList: torch.sum,
    aten.t.default: torch.t,
}
# Operations that can write into their first argument, and those that make a new tensor.
_IN_PLACE = {torch.relu: torch.relu_, torch.add: Tensor.add_, torch.mul: Tensor.mul_, torch.neg: torch.neg_}
_MAKING = {torch.mm, torch.addmm, torch.sum, *_IN_PLACE}


def shorten(recorder: Recorder, steady: Sequence[Tensor] = ()) -> None:
    """Remove operations that do nothing, and those that would give the same tensor in every step."""
    graph = recorder.graph
    written = {root(one) for node in graph.nodes for one in changed(node)}
    # Results belong to the caller.
    written |= {root(node) for result in recorder.results for node in result}
    same = {id(tensor) for tensor in steady}
    constant = {node for node in graph.nodes if id(recorder.constants.get(str(node.target))) in same}
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        source = node.args[0] if node.args and isinstance(node.args[0], Node) else None
        if source and (node.target in _SAME or (node.target is aten.view.default and _shape(node) == _shape(source))):
            node.replace_all_uses_with(source)
        elif root(node) not in written and _is_constant(node, constant):
            constant.add(_hold(recorder, node))
        elif source and source.op == "get_attr" and node.target in _VIEWS:
            _hold(recorder, node)
        elif source and node.target is aten.view.default and _sums_rows(source, node.args[1]):
            with graph.inserting_before(node):
                summed = graph.call_function(torch.sum, (source.args[0], 0))
            summed.meta |= node.meta
            node.replace_all_uses_with(summed)
        elif source and node.target is aten.t.default and source.target is torch.t:
            node.replace_all_uses_with(source.args[0])
        elif node.target in _SHORT:
            node.target = _SHORT[node.target]
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op in ("call_function", "get_attr") and _is_pure(node, recorder):
            graph.erase_node(node)


def work_in_place(graph: Graph) -> None:
    """Write a result into the memory of its first argument where nothing else reads that."""
    for node in reversed(graph.nodes):  # so that a source is still what it was when it is looked at
        source = node.args[0] if node.args else None
        if node.target in _IN_PLACE and isinstance(source, Node) and source.target in _MAKING:
            alike = all(node.meta[fact] == source.meta[fact] for fact in ("shape", "dtype"))
            if alike and list(source.users) == [node]:
                node.target = _IN_PLACE[node.target]


def _shape(node: Node) -> object:
    return node.meta.get("shape", node)


def _is_pure(node: Node, recorder: Recorder) -> bool:
    """Whether an operation has no effect but its result: it writes nothing and draws no random number."""
    operation = node.target
    if not isinstance(operation, torch._ops.OpOverload):
        return True
    if operation._schema.is_mutable or torch.Tag.nondeterministic_seeded in operation.tags:
        return False
    # Batch normalisation updates its statistics, which its schema does not say.
    read = [recorder.constants.get(str(one.target)) for one in node.all_input_nodes if one.op == "get_attr"]
    return not any(id(tensor) in recorder.buffers for tensor in read)


def _is_constant(node: Node, constant: set[Node]) -> bool:
    """Whether a node gives the same tensor in every step, computed from nothing or from such nodes."""
    operation = node.target
    if not isinstance(operation, torch._ops.OpOverload) or not constant.issuperset(node.all_input_nodes):
        return False
    if [str(result.type) for result in operation._schema.returns] != ["Tensor"]:
        return False
    return not operation._schema.is_mutable and torch.Tag.nondeterministic_seeded not in operation.tags


def _sums_rows(node: Node, shape: object) -> bool:
    """Whether a node is the sum over the rows of a matrix, with the shape of one row."""
    return node.target is torch.sum and node.args[1:] == ([0], True) and [*node.meta["shape"]][1:] == shape


def _hold(recorder: Recorder, node: Node) -> Node:
    """Compute a node now, and replace it by its value."""

    def value(argument: Node) -> Tensor:
        return recorder.constants[str(argument.target)].detach()

    def compute() -> Tensor:
        made: Tensor = target(*map_arg(arguments, value), **map_arg(options, value))  # type: ignore[operator]
        return made

    target, arguments, options = node.target, node.args, node.kwargs
    result = compute()
    with recorder.graph.inserting_before(node):
        held = recorder.constant(result)
    recorder.derived[str(held.target)] = compute
    held.meta["shape"] = result.shape
    node.replace_all_uses_with(held)
    return held
