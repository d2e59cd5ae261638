"""A cache of what is computed from real data alone, for all runs on the same data."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock
from torch import Tensor

from ganforge import user_folder, write_file


def load(kind: str, key: str) -> dict[str, Tensor] | None:
    """Read named tensors; None if there are none, or they are damaged.

    Args:
        kind: the name of their folder.
        key: a digest of everything that they depend on.

    Raises:
        InputError: the user's cache folder cannot be found.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(place(kind) / f"{key}.safetensors", "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
            expected = (file.metadata() or {}).get("digest")
    except (OSError, SafetensorError):
        return None
    return tensors if _digest(tensors) == expected else None


def save(kind: str, key: str, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors for `load`.

    Raises:
        InputError: the user's cache folder cannot be found.
        OSError: the disk is full or cannot be written.
    """
    from safetensors.torch import save

    folder = place(kind)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):  # `ganforge data clear` recognises the folder by it
        content = save(dict(tensors), {"digest": _digest(tensors)})
        write_file(folder / f"{key}.safetensors", content, lasting=False)


def place(kind: str) -> Path:
    """Return the folder of a kind; raise an InputError if the user's cache folder cannot be found."""
    return user_folder("cache") / kind


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
