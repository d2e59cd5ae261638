"""ganforge: a plugin-based toolkit for GANs. This module holds all that a plugin imports.

What needs torch is imported on first use, so that the command line answers before torch is loaded.
"""

from typing import TYPE_CHECKING, Any

from ganforge.archives import Archive, Remote
from ganforge.errors import InputError, nearest
from ganforge.hookspecs import hookimpl
from ganforge.registry import Register

if TYPE_CHECKING:
    from ganforge.coupling import Coupling, Network
    from ganforge.data import (
        PICTURE_SUFFIXES,
        Dataset,
        Drawn,
        OnBroken,
        PictureDataset,
        Prepared,
        Samples,
        Shape,
        Split,
        Stored,
        random_generator,
    )
    from ganforge.run import Run
    from ganforge.trained import Findings, Trained
    from ganforge.view import View

__all__ = [
    "PICTURE_SUFFIXES",
    "Archive",
    "Coupling",
    "Dataset",
    "Drawn",
    "Findings",
    "InputError",
    "Network",
    "OnBroken",
    "PictureDataset",
    "Prepared",
    "Register",
    "Remote",
    "Run",
    "Samples",
    "Shape",
    "Split",
    "Stored",
    "Trained",
    "View",
    "hookimpl",
    "nearest",
    "random_generator",
]

_HOMES = {
    "coupling": ("Coupling", "Network"),
    "data": (
        "PICTURE_SUFFIXES",
        "Dataset",
        "Drawn",
        "OnBroken",
        "PictureDataset",
        "Prepared",
        "Samples",
        "Shape",
        "Split",
        "Stored",
        "random_generator",
    ),
    "run": ("Run",),
    "trained": ("Findings", "Trained"),
    "view": ("View",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            import importlib

            return getattr(importlib.import_module(f"ganforge.{home}"), name)
    raise AttributeError(f"module 'ganforge' has no attribute '{name}'")
