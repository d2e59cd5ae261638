"""Record every operation of a step, including autograd's."""

from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from operator import getitem
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, Node
from torch.fx.node import map_aggregate, map_arg
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from ganforge import Turn, UnrecordableError
from ganforge_recorded.schema import changed, root

Play = Callable[[Sequence[Tensor]], Iterable[Turn]]

aten = torch.ops.aten
# Operations whose result, or its shape, depends on values.
_LOOKS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
# Operations that look at types and shapes alone, which are the same in every step.
_FACTS = {aten.promote_types, aten.can_cast, aten.result_type, aten.is_same_size}
# Operations that copy between devices.
_COPIES = {aten._to_copy.default, aten.copy_.default}
# Functions that read a tensor's values without calling an operation.
_ESCAPES = {"tolist", "numpy", "__array__", "__dlpack__", "data_ptr", "untyped_storage", "storage", "item"}


def _takes_places(operation: Any, arguments: Sequence[Any]) -> bool:
    """Whether it indexes by integers, which gives a fixed number of elements, and not by a mask."""
    if operation is not aten.index.Tensor:
        return False
    return all(places is None or places.dtype in (torch.int64, torch.int32) for places in arguments[1])


class _NoEscape(TorchFunctionMode):
    """Refuses functions that read a tensor's values without an operation that the recorder sees."""

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch unless it is refused."""
        name = getattr(function, "__name__", "")
        if name in _ESCAPES:
            raise UnrecordableError(f"'{name}' reads the values of a tensor")
        return function(*arguments, **(options or {}))


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every operation, including autograd's.

    Attributes:
        graph: the operations in order.
        constants: tensors that existed before, by name.
        derived: how to compute those that replace operations on others.
        turns: for each player's turn, which of its parameters have a gradient.
        results: for each turn, the nodes of its losses and gradients.
    """

    def __init__(self, inputs: Sequence[Tensor], buffers: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = Graph()
        self.constants: dict[str, Tensor] = {}
        self.derived: dict[str, Callable[[], Tensor]] = {}
        self.turns: list[tuple[str, list[bool]]] = []
        self.results: list[list[Node]] = []
        self.buffers = {id(buffer) for buffer in buffers}
        # Weak keys: autograd would copy a gradient that is referenced elsewhere, and the copy would be recorded.
        self._made: MutableMapping[Tensor, Node] = WeakTensorKeyDictionary()
        for place, tensor in enumerate(inputs):
            self._remember(tensor, self.graph.placeholder(f"input_{place}"))

    def play(self, play: Play, inputs: Sequence[Tensor]) -> None:
        """Play once and record it."""
        # One thread, so that a backward pass through gradients has the same order each time, also on CUDA.
        with torch.autograd.set_multithreading_enabled(False), _NoEscape(), self:
            for player, losses, gradients in play(inputs):
                self.turns.append((player, [gradient is not None for gradient in gradients]))
                self.results.append([self.node(value) for value in (losses, *gradients) if value is not None])
        self.graph.output([list(result) for result in self.results])

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        """Record and run an operation, unless a replay would not do the same."""
        options = options or {}
        if operation.overloadpacket in _FACTS:
            return operation(*arguments, **options)
        if _LOOKS & set(operation.tags) and not _takes_places(operation, arguments):
            raise UnrecordableError(f"'{operation}' reads the values of a tensor")
        if any(isinstance(value, torch.Generator) for value in (*arguments, *options.values())):
            raise UnrecordableError(f"'{operation}' draws from its own random generator")
        if operation is aten.lift_fresh.default:
            operation = aten.lift_fresh_copy.default  # a Python constant: in-place changes affect a copy
        node = self.graph.call_function(
            operation, map_aggregate(arguments, self._noded), map_aggregate(options, self._noded)
        )
        for one in changed(node):
            source = root(one)  # of a view, or of `.data`
            tensor = self.constants.get(str(source.target)) if source.op == "get_attr" else None
            if tensor is not None and id(tensor) not in self.buffers:
                raise UnrecordableError(f"'{operation}' changes a tensor that is not a module's buffer")
        result = operation(*arguments, **options)
        if isinstance(result, bool | int | float):
            raise UnrecordableError(f"'{operation}' reads the values of a tensor")
        if isinstance(result, Tensor):
            self._remember(result, node)
        elif isinstance(result, tuple | list):
            for place, item in enumerate(result):
                if isinstance(item, Tensor):
                    self._remember(item, self.graph.call_function(getitem, (node, place)))
        return result

    def node(self, tensor: Tensor) -> Node:
        """Return the node of a tensor; a tensor without a node existed before."""
        if tensor not in self._made:
            self._made[tensor] = self.constant(tensor)
        return self._made[tensor]

    def constant(self, tensor: Tensor) -> Node:
        """Return a node that reads a tensor."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = tensor
        node = self.graph.get_attr(name)
        node.meta["device"] = tensor.device
        return node

    def require_same(self, other: "Recorder") -> None:
        """Raise if another recording has other operations or constants.

        Raises:
            UnrecordableError: they differ.
        """
        for mine, theirs in zip(self._written(), other._written(), strict=False):
            if mine != theirs:
                raise UnrecordableError(f"'{mine[0]}' is called differently for another batch")
        if len(self.graph.nodes) != len(other.graph.nodes) or self.turns != other.turns:
            raise UnrecordableError("another batch needs other operations")
        for one, another in zip(self.constants.values(), other.constants.values(), strict=True):
            if one is not another and not _equal(one, another):
                raise UnrecordableError("a tensor depends on a batch's values other than by torch operations")

    def require_on(self, device: torch.device) -> None:
        """Raise if a device does not compute everything by itself.

        Raises:
            UnrecordableError: something is computed elsewhere, or copied from there.
        """
        elsewhere = {node for node in self.graph.nodes if node.meta.get("device", device) != device}
        # Python numbers that became tensors are part of an operation, unless it copies them to the device.
        numbers = {n for n in elsewhere if n.target is aten.lift_fresh_copy.default and not n.meta["shape"]}
        for node in self.graph.nodes:
            if node.op == "call_function" and node not in numbers:
                strange = elsewhere if node.target in _COPIES else elsewhere - numbers
                if node in strange or not strange.isdisjoint(node.all_input_nodes):
                    raise UnrecordableError(f"'{node.target}' uses another device than {device}")

    def _written(self) -> Iterator[tuple[str, str]]:
        place = {node: f"%{number}" for number, node in enumerate(self.graph.nodes)}
        for node in self.graph.nodes:
            yield str(node.target), repr(map_arg((node.args, node.kwargs), lambda one: _Named(place[one])))

    def _noded(self, argument: Any) -> Any:
        return self.node(argument) if isinstance(argument, Tensor) else argument

    def _remember(self, tensor: Tensor, node: Node) -> None:
        node.meta["shape"] = tensor.shape
        node.meta["dtype"] = tensor.dtype
        node.meta["device"] = tensor.device
        self._made[tensor] = node


class _Named(str):
    """A string whose repr has no quotes."""

    __repr__ = str.__str__


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and bool(torch.equal(one, other))
