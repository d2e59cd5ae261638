"""ganforge: a plugin-based toolkit for GANs. This module holds all that a plugin imports.

What needs torch is imported on first use, so that the command line answers before torch is loaded.
"""

from typing import TYPE_CHECKING, Any

from ganforge.components.hookspecs import hookimpl
from ganforge.components.registry import Register
from ganforge.data.archives import Archive, Remote
from ganforge.errors import InputError, nearest

if TYPE_CHECKING:
    from ganforge.components.coupling import Coupling, Network
    from ganforge.components.view import View
    from ganforge.data.dataset import (
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
    from ganforge.runs.run import Run
    from ganforge.runs.trained import Findings, Trained

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
    "components.coupling": ("Coupling", "Network"),
    "data.dataset": (
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
    "runs.run": ("Run",),
    "runs.trained": ("Findings", "Trained"),
    "components.view": ("View",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            import importlib

            return getattr(importlib.import_module(f"ganforge.{home}"), name)
    raise AttributeError(f"module 'ganforge' has no attribute '{name}'")
