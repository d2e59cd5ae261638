"""Checkpoints: one safetensors file for each network, safetensors and JSON for the rest; written aside, then renamed.

Every file carries a digest of all that is in it, so that no damaged one is ever loaded.

checkpoints/step-00001000/G_AB.safetensors ...     weights; the locked recipe lies in the metadata
checkpoints/step-00001000/training.safetensors     tensors of optimizers, random state, running log sums
checkpoints/step-00001000/state.json               everything else, and where its tensors belong
checkpoints/latest                                 the name of the newest one
checkpoints/best                                   the name of the one with the best metric, if `record.best` names one

Whatever reads one raises an InputError where a file is missing, damaged, or was not written by ganforge.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ganforge.disk import sync, write_text
from ganforge.errors import InputError

FORMAT = "2"
POINTERS = ("latest", "best")


def save(
    parent: Path,
    step: int,
    networks: Mapping[str, nn.Module],
    training: Mapping[str, Any],
    recipe: str,
    *,
    keep: int = 0,
    best: bool = False,
) -> Path:
    """Write a checkpoint so that whoever looks sees all of it or nothing; prune old ones afterwards; return its folder.

    `parent` is the folder `checkpoints`, `step` the number of steps that are done, `training` a nest of dicts, lists,
    tuples, tensors and JSON values, and `recipe` the locked one. Besides the best checkpoint so far the `keep` newest
    ones are kept; 0 keeps all.
    """
    folder = parent / f"step-{step:08d}"
    aside = parent / f".{folder.name}.{os.getpid()}"
    try:
        _write(aside, step, networks, training, recipe)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    if folder.exists():
        shutil.rmtree(folder)
    aside.rename(folder)
    sync(parent)
    write_text(parent / "latest", folder.name)
    if best:
        write_text(parent / "best", folder.name)
    if keep:
        _prune(parent, folder, keep)
    return folder


def _write(aside: Path, step: int, networks: Mapping[str, nn.Module], training: Mapping[str, Any], recipe: str) -> None:
    """Write all files of a checkpoint and have them, and their folder, on the disk."""
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    digests = {}
    for name, network in networks.items():
        metadata = {"format": "pt", "ganforge": FORMAT, "network": name, "step": str(step), "recipe": recipe}
        digests[f"{name}.safetensors"] = write_tensors(aside / f"{name}.safetensors", network.state_dict(), metadata)
    tensors: dict[str, Tensor] = {}
    packed = pack(training, tensors)
    digests["training.safetensors"] = write_tensors(aside / "training.safetensors", tensors, {"step": str(step)})
    state = {"format": FORMAT, "step": step, "files": digests, "training": packed}
    (aside / "state.json").write_text(json.dumps({**state, "digest": _digest_text(state)}), encoding="utf-8")
    for path in (*aside.iterdir(), aside):
        sync(path)


def _prune(parent: Path, newest: Path, keep: int) -> None:
    """Delete all checkpoints but some newest ones and the best."""
    try:
        best = pointed(parent, "best")
    except InputError:
        best = newest
    older = sorted(other for other in parent.glob("step-*") if other.name <= newest.name)
    for old in older[:-keep]:
        if old != best:
            shutil.rmtree(old)


def pointed(parent: Path, pointer: str) -> Path:
    """Return the checkpoint's folder that `latest` or `best` names; an InputError says that there is none."""
    try:
        name = (parent / pointer).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(f"no {pointer} checkpoint in {parent}: the run was stopped before its first one") from error
    except ValueError as error:
        raise InputError(f"{parent / pointer} is damaged: {error}") from error
    if not re.fullmatch(r"step-\d+", name) or not (parent / name).is_dir():
        raise InputError(f"{parent / pointer} names '{name}', which is not there")
    return parent / name


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Write a safetensors file with a digest of all that is in it; return that."""
    held = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    digest = _digest(held, metadata)
    safetensors.torch.save_file(held, path, {**metadata, "digest": digest})
    return digest


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file that `write_tensors` wrote: its tensors and its metadata."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # it is no dict
    except Exception as error:  # whatever a damaged header makes its parser, or Python's decoder, raise
        raise InputError(f"{path} cannot be read: {error}") from error
    if "digest" not in metadata:
        raise InputError(f"{path} was not written by ganforge, or is damaged: it holds no digest")
    if metadata.pop("digest") != _digest(tensors, metadata):
        raise InputError(f"{path} is damaged: its content does not fit its digest")
    return tensors, metadata


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Digest tensors with their names, types and shapes, and metadata."""
    content = hashlib.blake2b(json.dumps(sorted(metadata.items())).encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        content.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        content.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return content.hexdigest()


def _digest_text(state: Any) -> str:
    return hashlib.blake2b(json.dumps(state).encode(), digest_size=16).hexdigest()


def load_weights(path: Path, network: nn.Module) -> None:
    """Load one network's weights; an InputError says if they are not the network's."""
    tensors, _ = read_tensors(path)
    require_fit(path, tensors, network)
    network.load_state_dict(tensors)


def require_fit(path: Path, tensors: Mapping[str, Tensor], network: nn.Module) -> None:
    """Refuse with an InputError what is not a network's by name, shape and type; that may be of the device `meta`."""

    def kind(state: Mapping[str, Tensor], key: str) -> str:
        return f"{str(state[key].dtype).removeprefix('torch.')} {list(state[key].shape)}" if key in state else "nothing"

    wanted = network.state_dict()
    for key in sorted(wanted.keys() | tensors.keys()):
        if (theirs := kind(tensors, key)) != (mine := kind(wanted, key)):
            raise InputError(f"{path} does not fit its recipe: {key} is {theirs}, not {mine}")


def read_recipe(path: Path) -> str:
    """Return the locked recipe from the metadata of a weights file."""
    _, metadata = read_tensors(path)
    if "recipe" not in metadata:
        raise InputError(f"{path} holds no recipe: it was not written by ganforge")
    return metadata["recipe"]


def read_step(folder: Path) -> int:
    """Return how many steps were done when a checkpoint was written."""
    return int(_read_state(folder)["step"])


def verify(folder: Path) -> None:
    """Read all of a checkpoint; an InputError says which file is missing, damaged, or of another checkpoint."""
    for name, digest in _read_state(folder)["files"].items():
        tensors, metadata = read_tensors(folder / name)
        if _digest(tensors, metadata) != digest:
            raise InputError(f"{folder / name} is not of this checkpoint")


def newest_sound(parent: Path, say: Callable[[str], None]) -> Path:
    """Return the newest checkpoint that is not damaged; name those that are. An InputError says if there is none."""
    refused = []
    for folder in sorted(parent.glob("step-*"), reverse=True):
        try:
            verify(folder)
        except InputError as error:
            refused.append(str(error))
            continue
        for reason in refused:
            say(f"{reason}; going on from {folder.name}")
        return folder
    missing = f"no checkpoint in {parent}: the run was stopped before its first one"
    raise InputError("\n".join(refused) or missing)


def load_training(folder: Path) -> Any:
    """Return the nest that was saved as `training`."""
    tensors, _ = read_tensors(folder / "training.safetensors")
    try:
        return unpack(_read_state(folder)["training"], tensors)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"the checkpoint {folder} is damaged: {error}") from error


def _read_state(folder: Path) -> dict[str, Any]:
    path = folder / "state.json"
    try:
        state: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    if not isinstance(state, dict) or state.keys() != {"format", "step", "files", "training", "digest"}:
        raise InputError(f"{path} is damaged, or of another version of ganforge")
    if state.pop("digest") != _digest_text(state):
        raise InputError(f"{path} is damaged: its content does not fit its digest")
    if state["format"] != FORMAT:
        raise InputError(f"{path} is of another version of ganforge")
    return state


def pack(nest: Any, tensors: dict[str, Tensor]) -> Any:
    """Turn a nest into JSON that keeps tuples and the types of keys; its tensors go to `tensors`.

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
    return nest


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Undo `pack`."""
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
