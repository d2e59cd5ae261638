"""ganforge: a plugin-based toolkit for GANs. Plugins import from this module only.

Names that need torch are imported on first use, so that the command line answers before torch is loaded.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ganforge.components.api import API as API, renamed
from ganforge.components.component import KINDS as KINDS, Component as Component
from ganforge.components.guard import aside as aside, brief as brief, contained as contained
from ganforge.components.hookimpls import HOOKS as HOOKS
from ganforge.components.hookspecs import hookimpl as hookimpl
from ganforge.components.registry import Register as Register, Registry as Registry
from ganforge.data.archives import Archive as Archive, Remote as Remote
from ganforge.errors import (
    GanforgeError as GanforgeError,
    InputError as InputError,
    PluginError as PluginError,
    RunFailedError as RunFailedError,
    StoppedError as StoppedError,
    UnreadyError as UnreadyError,
    UnrecordableError as UnrecordableError,
    nearest as nearest,
    printable as printable,
)
from ganforge.system.disk import (
    UNWRITABLE as UNWRITABLE,
    read_text as read_text,
    sync as sync,
    to_json as to_json,
    user_folder as user_folder,
)
from ganforge.system.folder import (
    Folder as Folder,
    leads_out as leads_out,
    write_file as write_file,
    write_output as write_output,
)
from ganforge.system.memory import (
    count_cores as count_cores,
    free_memory as free_memory,
    resident_memory as resident_memory,
)

# Names that are imported on first use, under the module of ganforge, or of a plugin shipped with it, that defines them.
# Type checkers need the imports below.
_HOMES = {
    "components.coupling": "Coupling Network View",
    "components.plugin_folders": "PluginFolder folders sources",
    "components.plugins": "Plugins",
    "components.settings": "TABLES Setting read_fields",
    "components.structure": "fill plain structure",
    "components.describe": "describe_value",
    "components.index": "digest",
    "components.offer": "Described Offer described described_setting",
    "components.schedule": "Schedule",
    "data.batches": "Batches",
    "data.dataset": "SPLITS Crop Dataset Decided Drawn OnBroken PictureDataset Prepared Report Samples Shape Split "
    "Stored as_float random_generator",
    "data.depth": "Depth Kind Picture",
    "data.held_out": "kin_of",
    "data.files": "Found find_pictures natural",
    "data.notes": "Note compare gather_notes note_lines noting",
    "data.reading": "normal oddities",
    "recipe.layers": "parse Recipe read_value",
    "recipe.lock": "lock_text",
    "recipe.nested": "flatten leaves",
    "recipe.plan": "Plan Choice ValuePlan",
    "recipe.resolve": "misfits resolve",
    "recipe.tables": "Compute DataTable LossTable Record Train ValueTable",
    "training.build": "decide decide_and_read make_dataset open_all read_data shapes_of",
    "training.engine": "Engine Steps Turn",
    "training.formula": "Formula mapped tensors_of",
    "training.meter": "Meter",
    "training.numerics": "out_of_memory",
    "training.player": "Player",
    "training.sharing": "batch_mean gather",
    "training.state": "Snapshot buffers_of drawn_from held_by random_state set_random_state",
    "training.values": "Values",
    "training.wiring": "Wiring",
    "training.networks": "takes_one",
    "training.operations": "Counter cost_of_step",
    "runs.assemble": "assemble pick_device settle",
    "runs.interrupts": "STOPPING handling",
    "runs.load": "Saved find_run find_saved load_trained located",
    "runs.changes": "is_changeable other_data",
    "runs.checkpoint": "named write_training write_weights",
    "runs.fit": "outlines_of",
    "runs.weights": "Head Weights read_head",
    "runs.log": "bounded_lines last_step log_lines open_inside read_inside read_lock records",
    "runs.results": "METRICS About Measured Metrics Results read_results",
    "runs.metrics": "Findings evaluate is_finished",
    "runs.run": "Run",
    "runs.opening": "create hold",
    "runs.trained": "Seen Trained",
    "cli.common": "AsJson Device Devices NormName PluginFiles RecipeName RunFolder Sets plugins_with print_results "
    "print_rows progress read_recipe tell understand offered",
    "cli.launch": "count_devices",
    "cli.complete": "complete_kind complete_recipe complete_recipe_or_run complete_run complete_shown",
    "ganforge_inference.translator": "Translator",
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names.split():
            return getattr(import_module(home if home.startswith("ganforge_") else f"ganforge.{home}"), name)
    if new := renamed("ganforge", name):
        return globals().get(new) or __getattr__(new)
    raise AttributeError(f"module 'ganforge' has no attribute '{name}'", name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    return [*globals(), *(name for names in _HOMES.values() for name in names.split())]


if TYPE_CHECKING:
    from ganforge.cli.common import (
        AsJson as AsJson,
        Device as Device,
        Devices as Devices,
        NormName as NormName,
        PluginFiles as PluginFiles,
        RecipeName as RecipeName,
        RunFolder as RunFolder,
        Sets as Sets,
        offered as offered,
        plugins_with as plugins_with,
        print_results as print_results,
        print_rows as print_rows,
        progress as progress,
        read_recipe as read_recipe,
        tell as tell,
        understand as understand,
    )
    from ganforge.cli.complete import (
        complete_kind as complete_kind,
        complete_recipe as complete_recipe,
        complete_recipe_or_run as complete_recipe_or_run,
        complete_run as complete_run,
        complete_shown as complete_shown,
    )
    from ganforge.cli.launch import count_devices as count_devices
    from ganforge.components.coupling import Coupling as Coupling, Network as Network, View as View
    from ganforge.components.describe import describe_value as describe_value
    from ganforge.components.index import digest as digest
    from ganforge.components.offer import (
        Described as Described,
        Offer as Offer,
        described as described,
        described_setting as described_setting,
    )
    from ganforge.components.plugin_folders import PluginFolder as PluginFolder, folders as folders, sources as sources
    from ganforge.components.plugins import Plugins as Plugins
    from ganforge.components.schedule import Schedule as Schedule
    from ganforge.components.settings import (
        TABLES as TABLES,
        Setting as Setting,
        read_fields as read_fields,
    )
    from ganforge.components.structure import fill as fill, plain as plain, structure as structure
    from ganforge.data.batches import Batches as Batches
    from ganforge.data.dataset import (
        SPLITS as SPLITS,
        Crop as Crop,
        Dataset as Dataset,
        Decided as Decided,
        Drawn as Drawn,
        OnBroken as OnBroken,
        PictureDataset as PictureDataset,
        Prepared as Prepared,
        Report as Report,
        Samples as Samples,
        Shape as Shape,
        Split as Split,
        Stored as Stored,
        as_float as as_float,
        random_generator as random_generator,
    )
    from ganforge.data.depth import Depth as Depth, Kind as Kind, Picture as Picture
    from ganforge.data.files import Found as Found, find_pictures as find_pictures, natural as natural
    from ganforge.data.held_out import kin_of as kin_of
    from ganforge.data.notes import (
        Note as Note,
        compare as compare,
        gather_notes as gather_notes,
        note_lines as note_lines,
        noting as noting,
    )
    from ganforge.data.reading import normal as normal, oddities as oddities
    from ganforge.recipe.layers import Recipe as Recipe, parse as parse, read_value as read_value
    from ganforge.recipe.lock import lock_text as lock_text
    from ganforge.recipe.nested import flatten as flatten, leaves as leaves
    from ganforge.recipe.plan import Choice as Choice, Plan as Plan, ValuePlan as ValuePlan
    from ganforge.recipe.resolve import misfits as misfits, resolve as resolve
    from ganforge.recipe.tables import (
        Compute as Compute,
        DataTable as DataTable,
        LossTable as LossTable,
        Record as Record,
        Train as Train,
        ValueTable as ValueTable,
    )
    from ganforge.runs.assemble import assemble as assemble, pick_device as pick_device, settle as settle
    from ganforge.runs.changes import is_changeable as is_changeable, other_data as other_data
    from ganforge.runs.checkpoint import (
        named as named,
        write_training as write_training,
        write_weights as write_weights,
    )
    from ganforge.runs.fit import outlines_of as outlines_of
    from ganforge.runs.interrupts import STOPPING as STOPPING, handling as handling
    from ganforge.runs.load import (
        Saved as Saved,
        find_run as find_run,
        find_saved as find_saved,
        load_trained as load_trained,
        located as located,
    )
    from ganforge.runs.log import (
        bounded_lines as bounded_lines,
        last_step as last_step,
        log_lines as log_lines,
        open_inside as open_inside,
        read_inside as read_inside,
        read_lock as read_lock,
        records as records,
    )
    from ganforge.runs.metrics import Findings as Findings, evaluate as evaluate, is_finished as is_finished
    from ganforge.runs.opening import create as create, hold as hold
    from ganforge.runs.results import (
        METRICS as METRICS,
        About as About,
        Measured as Measured,
        Metrics as Metrics,
        Results as Results,
        read_results as read_results,
    )
    from ganforge.runs.run import Run as Run
    from ganforge.runs.trained import Seen as Seen, Trained as Trained
    from ganforge.runs.weights import Head as Head, Weights as Weights, read_head as read_head
    from ganforge.training.build import (
        decide as decide,
        decide_and_read as decide_and_read,
        make_dataset as make_dataset,
        open_all as open_all,
        read_data as read_data,
        shapes_of as shapes_of,
    )
    from ganforge.training.engine import Engine as Engine, Steps as Steps, Turn as Turn
    from ganforge.training.formula import Formula as Formula, mapped as mapped, tensors_of as tensors_of
    from ganforge.training.meter import Meter as Meter
    from ganforge.training.networks import takes_one as takes_one
    from ganforge.training.numerics import out_of_memory as out_of_memory
    from ganforge.training.operations import Counter as Counter, cost_of_step as cost_of_step
    from ganforge.training.player import Player as Player
    from ganforge.training.sharing import batch_mean as batch_mean, gather as gather
    from ganforge.training.state import (
        Snapshot as Snapshot,
        buffers_of as buffers_of,
        drawn_from as drawn_from,
        held_by as held_by,
        random_state as random_state,
        set_random_state as set_random_state,
    )
    from ganforge.training.values import Values as Values
    from ganforge.training.wiring import Wiring as Wiring
    from ganforge_inference.translator import Translator as Translator
