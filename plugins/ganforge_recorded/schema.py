"""What operations change, and whose memory their results share, according to their schemas."""

import torch
from torch.fx import Node


def changed(node: Node) -> list[Node]:
    """Return the nodes whose memory an operation writes to, according to its schema, or to the name of a function."""
    if not isinstance(node.target, torch._ops.OpOverload):
        writes = getattr(node.target, "__name__", "").endswith("_") and isinstance(node.args[0], Node)
        return [node.args[0]] if writes else []  # type: ignore[list-item]
    if not node.target._schema.is_mutable:
        return []
    found = []
    for place, argument in enumerate(node.target._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = node.args[place] if place < len(node.args) else node.kwargs.get(argument.name)
            found += [one for one in (given if isinstance(given, list | tuple) else [given]) if isinstance(one, Node)]
    return found


def root(node: Node) -> Node:
    """Return the node whose memory a node shares as a view."""
    while isinstance(node.target, torch._ops.OpOverload) and node.args and isinstance(node.args[0], Node):
        returns = node.target._schema.returns
        if not returns or returns[0].alias_info is None:
            break
        node = node.args[0]
    return node
