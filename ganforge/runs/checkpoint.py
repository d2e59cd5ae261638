"""Checkpoints: a safetensors file for each network, safetensors and JSON for the rest, written atomically.

Every file contains a digest of its content, so that damaged files are never loaded.

checkpoints/step-00001000/G_AB.safetensors ...     weights, with the locked recipe in the metadata
checkpoints/step-00001000/training.safetensors     tensors of optimizers, random state, running log sums
checkpoints/step-00001000/state.json               everything else, and where its tensors belong
checkpoints/step-00001000/metrics.json             results of evaluations of these weights, if any
checkpoints/latest                                 the name of the newest checkpoint
checkpoints/best                                   the name of the one with the best metric, if `record.best` is set

All readers raise an InputError if a file is missing, damaged, or was not written by ganforge.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ganforge.errors import InputError, PluginError, printable
from ganforge.runs.results import METRICS, Measured, Results, read_results
from ganforge.system.folder import Folder, leads_out

FORMAT = "2"
POINTERS = ("latest", "best")
LONGEST = 100  # bytes to read of a pointer


def save(
    parent: Folder,
    step: int,
    weights: Mapping[str, Mapping[str, Tensor]],
    training: Mapping[str, Any],
    recipe: str,
    measured: Measured | None = None,
) -> Path:
    """Write a checkpoint atomically, point `latest` to it, and return its folder.

    `parent` is the folder `checkpoints`, `step` the number of completed steps, `weights` those of each network,
    `training` a nest of dicts, lists, tuples, tensors and JSON values, `recipe` the locked recipe, and `measured` the
    results of its evaluations.
    """
    name = name_of(step)
    with parent.stage(name) as folder:
        digests = {
            f"{network}.safetensors": write_weights(folder, step, network, tensors, recipe)
            for network, tensors in weights.items()
        }
        write_training(folder, step, digests, training)
        if measured:
            folder.write(METRICS, Results(measured).text())
    parent.write("latest", name)
    return parent.path / name


def name_of(step: int) -> str:
    """Return the name of a step's checkpoint."""
    return f"step-{step:08d}"


def write_weights(folder: Folder, step: int, network: str, tensors: Mapping[str, Tensor], recipe: str) -> str:
    """Write a network's weights after `step` steps, with the locked recipe; return their digest."""
    about = {"format": "pt", "ganforge": FORMAT, "network": network, "step": str(step), "recipe": recipe}
    return write_tensors(folder, network, tensors, about)


def write_training(folder: Folder, step: int, digests: Mapping[str, str], training: Mapping[str, Any]) -> None:
    """Write the training state beside the weights; `digests` are those of the weights' files."""
    tensors: dict[str, Tensor] = {}
    packed = pack(training, tensors)
    digest = write_tensors(folder, "training", tensors, {"step": str(step)})
    files = {**digests, "training.safetensors": digest}
    state = {"format": FORMAT, "step": step, "files": files, "training": packed}
    folder.write("state.json", json.dumps({**state, "digest": _digest_text(state)}))


def prune(parent: Folder, newest: str, keep: int) -> None:
    """Delete all checkpoints up to `newest` except the `keep` newest and the best one; 0 keeps all."""
    try:
        best = pointed(parent.path, "best").name
    except InputError:
        best = newest
    older = [name for name in parent.names("step-*") if name <= newest]
    for name in older[:-keep] if keep else ():
        if name != best:
            parent.delete(name)


def measured(folder: Path) -> Measured:
    """Return the results of a checkpoint's evaluations; empty if there are none or they cannot be read."""
    with suppress(InputError):
        if found := read_results(folder):
            return found.last
    return Measured(0)


def pointed(parent: Path, pointer: str) -> Path:
    """Return the folder of the checkpoint that `latest` or `best` names; raise an InputError if there is none."""
    path = parent / pointer
    if not path.is_file():
        raise InputError(f"no {pointer} checkpoint in {parent}: the run was stopped before its first one")
    try:
        with path.open("rb") as file:
            name = file.read(LONGEST).decode().strip()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    if not re.fullmatch(r"step-[0-9]+", name) or not (parent / name).is_dir():
        raise InputError(f"{path} names '{printable(name)}', which does not exist")
    return _inside(parent / name)


def named(run: Path, pointer: str) -> Path | None:
    """Return the checkpoint of a run that `latest` or `best` names; None if there is none."""
    with suppress(InputError):
        return pointed(run / "checkpoints", pointer)
    return None


def _inside(folder: Path) -> Path:
    """Return a checkpoint's folder; raise an InputError if a link leads out of the run's folder to it."""
    if leads_out(folder, folder.parent.parent):
        raise InputError(f"{folder} is reached by a link that leads out of the run's folder")
    return folder


def write_tensors(folder: Folder, name: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Write a safetensors file with a digest of its content; return the digest."""
    held = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    digest = _digest(held, metadata)
    folder.write(f"{name}.safetensors", safetensors.torch.save(held, {**metadata, "digest": digest}))
    return digest


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and metadata of a safetensors file that `write_tensors` wrote."""
    if not path.is_file():  # reading a pipe would never end
        raise InputError(f"{path} cannot be read: it does not exist or is not a file")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # not a dict
    except Exception as error:  # any error that a damaged header can cause in the parsers
        raise InputError(f"{path} cannot be read: {error}") from error
    if "digest" not in metadata:
        raise InputError(f"{path} was not written by ganforge, or is damaged: it has no digest")
    if metadata.pop("digest") != _digest(tensors, metadata):
        raise InputError(f"{path} is damaged: its content does not match its digest")
    return tensors, metadata


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return a digest of tensors with their names, dtypes and shapes, and of metadata."""
    content = hashlib.blake2b(json.dumps(sorted(metadata.items())).encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        content.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        content.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return content.hexdigest()


def _digest_text(state: Any) -> str:
    return hashlib.blake2b(json.dumps(state).encode(), digest_size=16).hexdigest()


def load_weights(path: Path, network: nn.Module) -> None:
    """Load a network's weights; raise an InputError if they do not fit."""
    tensors, _ = read_tensors(path)
    require_fit(path, tensors, network)
    network.load_state_dict(tensors)


def require_fit(path: Path, tensors: Mapping[str, Tensor], network: nn.Module) -> None:
    """Raise an InputError unless tensors match a network's by name, shape and dtype; it may be on the meta device."""
    wanted = network.state_dict()
    for key in sorted(wanted.keys() | tensors.keys()):
        if (theirs := kind_of(tensors, key)) != (mine := kind_of(wanted, key)):
            raise InputError(f"{path} does not fit its recipe: {key} is {theirs}, not {mine}")


def kind_of(state: Mapping[str, Tensor], key: str) -> str:
    """Describe the dtype and shape of a tensor."""
    return f"{str(state[key].dtype).removeprefix('torch.')} {list(state[key].shape)}" if key in state else "nothing"


def read_recipe(path: Path) -> str:
    """Return the locked recipe from the metadata of a weights file."""
    _, metadata = read_tensors(path)
    if "recipe" not in metadata:
        raise InputError(f"{path} contains no recipe: it was not written by ganforge")
    return metadata["recipe"]


def read_step(folder: Path) -> int:
    """Return the number of completed steps of a checkpoint."""
    return int(read_state(folder)["step"])


def verify(folder: Path) -> None:
    """Read a whole checkpoint; raise an InputError if a file is missing, damaged, or from another checkpoint."""
    for name, digest in read_state(folder)["files"].items():
        tensors, metadata = read_tensors(folder / name)
        if _digest(tensors, metadata) != digest:
            raise InputError(f"{folder / name} belongs to another checkpoint")


def newest_sound(parent: Path, say: Callable[[str], None]) -> Path:
    """Return the newest undamaged checkpoint and report damaged ones; raise an InputError if there is none."""
    refused = []
    for folder in sorted(parent.glob("step-*"), reverse=True):
        try:
            verify(_inside(folder))
        except InputError as error:
            refused.append(str(error))
            continue
        for reason in refused:
            say(f"{reason}; continuing from {folder.name}")
        return folder
    missing = f"no checkpoint in {parent}: the run was stopped before its first one"
    raise InputError(*(refused or [missing]))


def load_training(folder: Path) -> Any:
    """Return the nest saved as `training`.

    Its tensors are copies: those of an open file would keep a deleted checkpoint on the disk, and its file system busy.
    """
    mapped, _ = read_tensors(folder / "training.safetensors")
    tensors = {name: tensor.clone() for name, tensor in mapped.items()}
    try:
        return unpack(read_state(folder)["training"], tensors)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"the checkpoint {folder} is damaged: {error}") from error


def read_state(folder: Path) -> dict[str, Any]:
    """Return the content of a checkpoint's `state.json` without its digest, which is verified."""
    path = folder / "state.json"
    if not path.exists():
        raise InputError(f"{path} is damaged: the file is missing")
    try:
        state: Any = json.loads(path.read_bytes()) if path.is_file() else None  # reading a pipe would never end
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    if not isinstance(state, dict) or state.keys() != {"format", "step", "files", "training", "digest"}:
        raise InputError(f"{path} is damaged, or from another version of ganforge")
    if state.pop("digest") != _digest_text(state):
        raise InputError(f"{path} is damaged: its content does not match its digest")
    if state["format"] != FORMAT:
        raise InputError(f"{path} is from another version of ganforge")
    return state


def pack(nest: Any, tensors: dict[str, Tensor]) -> Any:
    """Convert a nest to JSON that preserves tuples and the types of keys; move its tensors to `tensors`.

    Raise a PluginError if it holds something else, such as a set.

    >>> tensors = {}
    >>> unpack(json.loads(json.dumps(pack({0: (1, [2.5, None])}, tensors))), tensors)
    {0: (1, [2.5, None])}
    """
    if isinstance(nest, Tensor):
        name = str(len(tensors))
        tensors[name] = nest.detach().cpu().contiguous()
        return {"tensor": name}
    if isinstance(nest, Mapping):
        return {"dict": [[key, pack(value, tensors)] for key, value in nest.items()]}
    if isinstance(nest, tuple | list):
        return {"tuple" if isinstance(nest, tuple) else "list": [pack(value, tensors) for value in nest]}
    if not isinstance(nest, str | int | float | None):
        kind = type(nest).__name__
        raise PluginError(f"a checkpoint cannot hold a {kind}; keep tensors, numbers, text, lists, tuples and dicts")
    return nest


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Invert `pack`."""
    if not isinstance(packed, dict):
        return packed
    ((kind, value),) = packed.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {key: unpack(item, tensors) for key, item in value}
    if kind not in ("tuple", "list"):
        raise ValueError(f"unknown kind '{kind}'")
    items = [unpack(item, tensors) for item in value]
    return tuple(items) if kind == "tuple" else items
