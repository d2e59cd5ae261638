"""Two streams for a program: what does not depend on each other, such as two directions, may run at the same time."""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import torch
from attrs import frozen
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.node import map_arg
from torch.utils._pytree import tree_leaves

from ganforge_recorded.schema import changed


@frozen(eq=False)
class Item:
    """An operation and its stream.

    Attributes:
        node: the operation.
        lane: its stream, 0 or 1.
        after: an operation of the other stream, for which and for all before it this one must wait; or None.
        waited: whether operations of the other stream wait for it.
        last: operations whose results are not needed after this one.
    """

    node: Node
    lane: int
    after: Node | None
    waited: bool
    last: Sequence[Node]


@frozen
class Plan:
    """The operations of a part in their order, its inputs, and the nodes of its results."""

    items: Sequence[Item]
    given: Sequence[Node]
    results: Sequence[Node]

    @property
    def parallel(self) -> bool:
        """Whether the second stream has anything to do."""
        return any(item.lane for item in self.items)


class _Places(Interpreter):
    """Computes without memory; notes in which memory each result would lie, and how many numbers it has."""

    def __init__(self, module: GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)  # else a place could be used again
        self.places: dict[Node, set[int]] = {}
        self.sizes: dict[Node, int] = {}

    def run_node(self, node: Node) -> Any:
        """Compute a node."""
        result = super().run_node(node)
        tensors = [one for one in tree_leaves(result) if isinstance(one, Tensor)]
        self.places[node] = {tensor.untyped_storage()._cdata for tensor in tensors}
        self.sizes[node] = sum(tensor.numel() for tensor in tensors)
        return result


def divide(module: GraphModule, held: Sequence[Tensor], inputs: Sequence[Tensor], buffers: Set[int]) -> Plan:
    """Divide a part's operations between two streams; each waits for the other where that changes what it uses.

    Args:
        module: the part, called with `held` and `inputs`.
        held: tensors that are the same in every step.
        inputs: the others.
        buffers: addresses of memory that operations may change without saying so, such as running statistics.

    Raises:
        Exception: of any kind: an operation cannot be computed without memory.
    """
    found, fake = _Places(module), FakeTensorMode()
    imagined = [fake.from_tensor(tensor.detach()) for tensor in (*held, *inputs)]
    with fake, torch.no_grad():
        found.run(*imagined)
    given = [node for node in module.graph.nodes if node.op == "placeholder"]
    nodes = [node for node in module.graph.nodes if node.op == "call_function"]
    results = list(next(node for node in module.graph.nodes if node.op == "output").args[0])
    real = zip(given, (*held, *inputs), strict=True)
    quiet = [found.places[node] for node, tensor in real if tensor.untyped_storage().data_ptr() in buffers]
    uses = list(_uses(nodes, found.places, set().union(*quiet)))
    lanes = _lanes({node: place for place, node in enumerate(nodes)}, given[len(held) :], found.sizes)
    afters = _afters(uses, lanes)
    # Memory is given back to the stream that made it: what the other one uses, too, must stay until the end.
    users: dict[int, set[int]] = {}
    for use in uses:
        for place in use.places:
            users.setdefault(place, set()).add(lanes[use.node])
    crossing = {place for place, streams in users.items() if len(streams) > 1}
    lasting = {*given, *results, *(node for node in nodes if found.places[node] & crossing)}
    last = {source: node for node in nodes for source in (*node.all_input_nodes, node)}
    ending: dict[Node, list[Node]] = {}
    for source, node in last.items():
        if source not in lasting:
            ending.setdefault(node, []).append(source)
    waited = set(afters.values())
    items = [Item(node, lanes[node], afters.get(node), node in waited, ending.get(node, ())) for node in nodes]
    return Plan(items, given, results)


@frozen
class _Use:
    """An operation, the memory that it uses, and what of it it writes."""

    node: Node
    places: frozenset[int]
    written: frozenset[int]


def _uses(nodes: Sequence[Node], places: Mapping[Node, Set[int]], quiet: Set[int]) -> Iterator[_Use]:
    for node in nodes:
        read = set().union(*(places[source] for source in node.all_input_nodes))
        written = set().union(*(places[one] for one in changed(node)), places[node] - read, read & quiet)
        yield _Use(node, frozenset(read | written), frozenset(written))


def _afters(uses: Sequence[_Use], lanes: Mapping[Node, int]) -> dict[Node, Node]:
    """Return for which operation of the other stream an operation must wait, unless its stream has already."""
    earlier: dict[int, list[tuple[int, bool]]] = {}  # of memory: operations by number, and whether they write it
    found: dict[Node, Node] = {}
    waited = [-1, -1]  # how far each stream has waited for the other
    for number, use in enumerate(uses):
        lane = lanes[use.node]
        last = max(
            (
                other
                for place in use.places
                for other, writes in earlier.get(place, ())
                if lanes[uses[other].node] != lane and (writes or place in use.written)
            ),
            default=-1,
        )
        if last > waited[lane]:
            waited[lane], found[use.node] = last, uses[last].node
        for place in use.places:
            earlier.setdefault(place, []).append((number, place in use.written))
    return found


def _lanes(order: Mapping[Node, int], inputs: Sequence[Node], sizes: Mapping[Node, int]) -> dict[Node, int]:
    """Return the stream of each operation.

    Each chain of operations stays on one, its gradients on that of what they are the gradients of; another chain begins
    on the one that has had less to do.
    """
    lanes: dict[Node, int] = {}
    work = [0, 0]
    moving = set(inputs)  # what depends on the step's inputs

    def put(node: Node, lane: int) -> None:
        if node.op == "call_function" and node not in lanes:
            lanes[node] = lane
            work[lane] += sizes[node]
            for source in node.all_input_nodes:  # what prepares weights for it
                put(source, lane)

    for node in order:
        if moving.intersection(node.all_input_nodes):
            moving.add(node)
            chains = [source for source in node.all_input_nodes if source in moving and source in lanes]
            put(node, lanes[min(chains, key=order.__getitem__)] if chains else work.index(min(work)))
    for node in order:
        put(node, 0)
    return lanes


def play(plan: Plan, streams: Sequence[Any], *given: Tensor) -> list[Tensor]:
    """Launch the operations of a part on two streams; afterwards the first one has waited for the second.

    Args:
        plan: the part.
        streams: the two; the first is the current one.
        given: its fixed tensors and its inputs.
    """
    values: dict[Node, Any] = dict(zip(plan.given, given, strict=True))
    done: dict[Node, Any] = {}
    streams[1].wait_stream(streams[0])
    for item in plan.items:
        stream = streams[item.lane]
        if item.after:
            stream.wait_event(done[item.after])
        with torch.cuda.stream(stream):
            arguments, options = map_arg((item.node.args, item.node.kwargs), values.__getitem__)
            values[item.node] = item.node.target(*arguments, **options)  # type: ignore[operator]
        if item.waited:
            done[item.node] = stream.record_event()
        for node in item.last:
            del values[node]
    streams[0].wait_stream(streams[1])
    return [values[node] for node in plan.results]
