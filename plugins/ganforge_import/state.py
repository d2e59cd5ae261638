"""Reading a state dict that another program saved, without running any code from its file."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganforge import InputError, free_memory, nearest, printable

# What the keys of the public networks begin with; what stands before it is from a wrapper, such as `nn.DataParallel`,
# `torch.compile`, or a program's own module.
ROOTS = re.compile(r"model|net|main|mlp_\d+|conv\d|bn\d")
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")

State = dict[str, Tensor]


def read_state(path: Path) -> State:
    """Read the only state dict in a file; its keys lose the prefixes of wrappers.

    Running statistics of norms without scales are dropped, as in the public code, since such norms do not use them.

    Raises:
        InputError: the file is missing or damaged, or does not hold exactly one state dict of plain tensors.
    """
    if not path.is_file():
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(f"no file '{path}'; {nearest(path.name, beside)}".removesuffix("; "))
    if path.stat().st_size > free_memory():
        raise InputError(f"{path} is larger than the free memory")
    state = _state_in(path, _loaded(path))
    for key, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise InputError(f"{path}: {printable(key)} is not a plain tensor: save it as one")
    state = _unwrapped(state)
    return {key: tensor for key, tensor in state.items() if not _is_unused(key, state)}


def _loaded(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols, and TorchScript, which is refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise exceptions of any type
        if held := re.search(r"GLOBAL (\S+)", str(error)):
            raise InputError(
                f"{path} holds Python objects ({held[1]}), which may run code when they are loaded; in the program "
                "that made it, save only the tensors: torch.save(network.state_dict(), FILE)"
            ) from error
        if "TorchScript" in str(error):
            raise InputError(f"{path} is a TorchScript program: save its state_dict() instead") from error
        raise InputError(f"{path} is damaged, or was not written by torch.save") from error


def _state_in(path: Path, found: Any) -> State:
    """Find the state dict in what a file holds: all of it, or one entry, as in `{"state_dict": ..., "epoch": 3}`."""
    if _is_state(found):
        return dict(found)
    entries = found if isinstance(found, Mapping) else {}
    states = {str(key): dict(value) for key, value in entries.items() if _is_state(value)}
    if not states:
        raise InputError(f"{path} holds no state dict, that is, a tensor for each key")
    if len(states) > 1:
        names = ", ".join(map(printable, states))
        raise InputError(f"{path} holds several networks: {names}; save each state dict in its own file")
    return next(iter(states.values()))


def _unwrapped(state: State) -> State:
    """Return a state dict whose keys begin as a public network's do; as it is, if no prefix of all keys hides one."""
    bare = state
    while not all(ROOTS.fullmatch(key.partition(".")[0]) for key in bare):
        if len({key.partition(".")[0] for key in bare}) > 1 or not all("." in key for key in bare):
            return state
        bare = {key.partition(".")[2]: tensor for key, tensor in bare.items()}
    return bare


def _is_state(found: Any) -> bool:
    if not isinstance(found, Mapping) or not found:
        return False
    return all(isinstance(key, str) and isinstance(value, Tensor) for key, value in found.items())


def _is_unused(key: str, state: Mapping[str, Tensor]) -> bool:
    """Whether a key is a running statistic of a norm that has no scales."""
    module, _, leaf = key.rpartition(".")
    return leaf in STATISTICS and f"{module}.weight" not in state
