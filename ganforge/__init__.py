"""ganforge: a plugin-based toolkit for GANs. This module holds all that a plugin imports.

What needs torch is imported on first use, so that the command line answers before torch is loaded.
"""

from typing import TYPE_CHECKING, Any

from ganforge.components.hookspecs import hookimpl
from ganforge.components.registry import Register
from ganforge.data.archives import Archive, Remote
from ganforge.disk import UNWRITABLE, write_text
from ganforge.errors import (
    InputError,
    PluginError,
    RunFailedError,
    UnreadyError,
    UnrecordableError,
    nearest,
    printable,
)

if TYPE_CHECKING:
    from ganforge.cli.command import (
        AsJson,
        Device,
        NormName,
        PluginFiles,
        RecipeName,
        RunFolder,
        Sets,
        plugins_with,
        print_metrics,
        print_rows,
        progress,
        read_recipe,
        understand,
    )
    from ganforge.components.coupling import Coupling, Network, View
    from ganforge.components.plugins import Plugins
    from ganforge.data import cache
    from ganforge.data.batches import Batches, normal
    from ganforge.data.dataset import (
        PICTURE_SUFFIXES,
        SPLITS,
        Dataset,
        Drawn,
        OnBroken,
        PictureDataset,
        Prepared,
        Report,
        Samples,
        Shape,
        Split,
        Stored,
        as_float,
        random_generator,
    )
    from ganforge.recipe.plan import Compute, Plan
    from ganforge.runs.run import Run, evaluate, is_finished, read_metrics
    from ganforge.runs.start import assemble, first_difference, pick_device, settle
    from ganforge.runs.trained import Findings, Seen, Trained, load_trained
    from ganforge.training.build import make_dataset, read_data
    from ganforge.training.engine import Engine, Steps, Turn
    from ganforge.training.formula import Formula
    from ganforge.training.meter import Meter
    from ganforge.training.player import Player
    from ganforge.training.state import Snapshot, buffers_of
    from ganforge.training.values import Values

__all__ = [
    "PICTURE_SUFFIXES",
    "SPLITS",
    "UNWRITABLE",
    "Archive",
    "AsJson",
    "Batches",
    "Compute",
    "Coupling",
    "Dataset",
    "Device",
    "Drawn",
    "Engine",
    "Findings",
    "Formula",
    "InputError",
    "Meter",
    "Network",
    "NormName",
    "OnBroken",
    "PictureDataset",
    "Plan",
    "Player",
    "PluginError",
    "PluginFiles",
    "Plugins",
    "Prepared",
    "RecipeName",
    "Register",
    "Remote",
    "Report",
    "Run",
    "RunFailedError",
    "RunFolder",
    "Samples",
    "Seen",
    "Sets",
    "Shape",
    "Snapshot",
    "Split",
    "Steps",
    "Stored",
    "Trained",
    "Turn",
    "UnreadyError",
    "UnrecordableError",
    "Values",
    "View",
    "as_float",
    "assemble",
    "buffers_of",
    "cache",
    "evaluate",
    "first_difference",
    "hookimpl",
    "is_finished",
    "load_trained",
    "make_dataset",
    "nearest",
    "normal",
    "pick_device",
    "plugins_with",
    "print_metrics",
    "print_rows",
    "printable",
    "progress",
    "random_generator",
    "read_data",
    "read_metrics",
    "read_recipe",
    "settle",
    "understand",
    "write_text",
]

# What is imported on first use: by the module where it stands.
_HOMES = {
    "components.coupling": ("Coupling", "Network", "View"),
    "components.plugins": ("Plugins",),
    "data.batches": ("Batches", "normal"),
    "data.cache": ("cache",),
    "data.dataset": (
        "PICTURE_SUFFIXES",
        "SPLITS",
        "Dataset",
        "Drawn",
        "OnBroken",
        "PictureDataset",
        "Prepared",
        "Report",
        "Samples",
        "Shape",
        "Split",
        "Stored",
        "as_float",
        "random_generator",
    ),
    "recipe.plan": ("Compute", "Plan"),
    "training.build": ("make_dataset", "read_data"),
    "training.engine": ("Engine", "Steps", "Turn"),
    "training.formula": ("Formula",),
    "training.player": ("Player",),
    "training.state": ("Snapshot", "buffers_of"),
    "training.meter": ("Meter",),
    "training.values": ("Values",),
    "runs.run": ("Run", "evaluate", "is_finished", "read_metrics"),
    "runs.start": ("assemble", "first_difference", "pick_device", "settle"),
    "runs.trained": ("Findings", "Seen", "Trained", "load_trained"),
    "cli.command": (
        "AsJson",
        "Device",
        "NormName",
        "PluginFiles",
        "RecipeName",
        "RunFolder",
        "Sets",
        "plugins_with",
        "print_metrics",
        "print_rows",
        "progress",
        "read_recipe",
        "understand",
    ),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            import importlib

            module = importlib.import_module(f"ganforge.{home}")
            return module if home.endswith(f".{name}") else getattr(module, name)
    raise AttributeError(f"module 'ganforge' has no attribute '{name}'")
