"""Checkpoints: one safetensors file for each network, safetensors and JSON for the rest; written aside, then renamed.

Every file carries a digest of all that is in it, so that no damaged one is ever loaded.

checkpoints/step-00001000/G_AB.safetensors ...     weights; the locked recipe lies in the metadata
checkpoints/step-00001000/training.safetensors     tensors of optimizers, random state, running log sums
checkpoints/step-00001000/state.json               everything else, and where its tensors belong
checkpoints/step-00001000/metrics.json             what evaluations found of these weights, if there were any
checkpoints/latest                                 the name of the newest one
checkpoints/best                                   the name of the one with the best metric, if `record.best` names one

Whatever reads one raises an InputError where a file is missing, damaged, or was not written by ganforge.
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

from ganforge.errors import InputError, printable
from ganforge.folder import Folder, leads_out
from ganforge.runs.results import METRICS, Measured, Results, read_results

FORMAT = "2"
POINTERS = ("latest", "best")
LONGEST = 100  # bytes of a pointer that are read


def save(
    parent: Folder,
    step: int,
    weights: Mapping[str, Mapping[str, Tensor]],
    training: Mapping[str, Any],
    recipe: str,
    measured: Measured | None = None,
) -> Path:
    """Write a checkpoint so that whoever looks sees all of it or nothing, point `latest` to it, and return its folder.

    `parent` is the folder `checkpoints`, `step` the number of steps that are done, `weights` those of each network,
    `training` a nest of dicts, lists, tuples, tensors and JSON values, `recipe` the locked one, and `measured` what
    evaluations found of it.
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
    """Return the name of the checkpoint of a step."""
    return f"step-{step:08d}"


def write_weights(folder: Folder, step: int, network: str, tensors: Mapping[str, Tensor], recipe: str) -> str:
    """Write the weights of a network after `step` steps, with the locked recipe in them; return their digest."""
    about = {"format": "pt", "ganforge": FORMAT, "network": network, "step": str(step), "recipe": recipe}
    return write_tensors(folder, network, tensors, about)


def write_training(folder: Folder, step: int, digests: Mapping[str, str], training: Mapping[str, Any]) -> None:
    """Write what belongs to weights beside them; `digests` are those of their files."""
    tensors: dict[str, Tensor] = {}
    packed = pack(training, tensors)
    digest = write_tensors(folder, "training", tensors, {"step": str(step)})
    files = {**digests, "training.safetensors": digest}
    state = {"format": FORMAT, "step": step, "files": files, "training": packed}
    folder.write("state.json", json.dumps({**state, "digest": _digest_text(state)}))


def prune(parent: Folder, newest: str, keep: int) -> None:
    """Delete all checkpoints but some newest ones, up to the one just written, and the best; 0 keeps all."""
    try:
        best = pointed(parent.path, "best").name
    except InputError:
        best = newest
    older = [name for name in parent.names("step-*") if name <= newest]
    for name in older[:-keep] if keep else ():
        if name != best:
            parent.delete(name)


def measured(folder: Path) -> Measured:
    """Return what evaluations found of a checkpoint; nothing if they were not all done, or if that cannot be read."""
    with suppress(InputError):
        if found := read_results(folder):
            return found.last
    return Measured(0)


def pointed(parent: Path, pointer: str) -> Path:
    """Return the checkpoint's folder that `latest` or `best` names; an InputError says that there is none."""
    path = parent / pointer
    if not path.is_file():
        raise InputError(f"no {pointer} checkpoint in {parent}: the run was stopped before its first one")
    try:
        with path.open("rb") as file:
            name = file.read(LONGEST).decode().strip()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    if not re.fullmatch(r"step-[0-9]+", name) or not (parent / name).is_dir():
        raise InputError(f"{path} names '{printable(name)}', which is not there")
    return _inside(parent / name)


def named(run: Path, pointer: str) -> Path | None:
    """Return the checkpoint of a run's folder that `latest` or `best` names; None where there is none."""
    with suppress(InputError):
        return pointed(run / "checkpoints", pointer)
    return None


def _inside(folder: Path) -> Path:
    """Return a checkpoint's folder; an InputError says if a link leads out of the run's folder to it."""
    if leads_out(folder, folder.parent.parent):
        raise InputError(f"{folder} is reached by a link that leads out of the run's folder")
    return folder


def write_tensors(folder: Folder, name: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Write a safetensors file with a digest of all that is in it; return that."""
    held = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    digest = _digest(held, metadata)
    folder.write(f"{name}.safetensors", safetensors.torch.save(held, {**metadata, "digest": digest}))
    return digest


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file that `write_tensors` wrote: its tensors and its metadata."""
    if not path.is_file():  # a pipe would never end
        raise InputError(f"{path} cannot be read: there is no such file")
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
    wanted = network.state_dict()
    for key in sorted(wanted.keys() | tensors.keys()):
        if (theirs := kind_of(tensors, key)) != (mine := kind_of(wanted, key)):
            raise InputError(f"{path} does not fit its recipe: {key} is {theirs}, not {mine}")


def kind_of(state: Mapping[str, Tensor], key: str) -> str:
    """Say of which type and shape a tensor is."""
    return f"{str(state[key].dtype).removeprefix('torch.')} {list(state[key].shape)}" if key in state else "nothing"


def read_recipe(path: Path) -> str:
    """Return the locked recipe from the metadata of a weights file."""
    _, metadata = read_tensors(path)
    if "recipe" not in metadata:
        raise InputError(f"{path} holds no recipe: it was not written by ganforge")
    return metadata["recipe"]


def read_step(folder: Path) -> int:
    """Return how many steps were done when a checkpoint was written."""
    return int(read_state(folder)["step"])


def verify(folder: Path) -> None:
    """Read all of a checkpoint; an InputError says which file is missing, damaged, or of another checkpoint."""
    for name, digest in read_state(folder)["files"].items():
        tensors, metadata = read_tensors(folder / name)
        if _digest(tensors, metadata) != digest:
            raise InputError(f"{folder / name} is not of this checkpoint")


def newest_sound(parent: Path, say: Callable[[str], None]) -> Path:
    """Return the newest checkpoint that is not damaged; name those that are. An InputError says if there is none."""
    refused = []
    for folder in sorted(parent.glob("step-*"), reverse=True):
        try:
            verify(_inside(folder))
        except InputError as error:
            refused.append(str(error))
            continue
        for reason in refused:
            say(f"{reason}; going on from {folder.name}")
        return folder
    missing = f"no checkpoint in {parent}: the run was stopped before its first one"
    raise InputError(*(refused or [missing]))


def load_training(folder: Path) -> Any:
    """Return the nest that was saved as `training`."""
    tensors, _ = read_tensors(folder / "training.safetensors")
    try:
        return unpack(read_state(folder)["training"], tensors)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"the checkpoint {folder} is damaged: {error}") from error


def read_state(folder: Path) -> dict[str, Any]:
    """Return what a checkpoint's `state.json` holds, but its digest, which fits."""
    path = folder / "state.json"
    try:
        state: Any = json.loads(path.read_bytes()) if path.is_file() else None  # a pipe would never end
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
