"""Exporting a direction: one file that translates in programs without ganforge.

The file is verified before it is kept: its results must equal those of `ganforge translate`.
"""

import io
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from attrs import asdict, evolve, frozen
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ganforge import InputError, Plugins, RunFailedError, Saved, Trained, Values
from ganforge_inference.sizes import padded
from ganforge_inference.translator import BATCH, pictures_of

Format = Literal["onnx", "torch"]
SUFFIXES: Mapping[Format, str] = {"onnx": ".onnx", "torch": ".pt2"}
NEEDED: Mapping[Format, Sequence[str]] = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torch": ()}
TRIED = 256  # rough side in pixels of the pictures that verify networks for any size
MOST = 1e-4  # largest difference of a pixel
ABOUT = "ganforge"  # the key of the metadata

Run = Callable[[Tensor], Tensor]  # translates pictures with an exported file


class Mean(TorchFunctionMode):
    """Replace random draws during translation by their mean: dropout passes everything, noise is 0.

    Attributes:
        met: names of the functions that would have drawn.
    """

    def __init__(self) -> None:
        super().__init__()
        self.met: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in DROPOUTS and kwargs.get("training", True) and kwargs.get("p", 0.5):
            self.met.add("dropout")
            return args[0]
        if func in ZEROS and kwargs.get("generator") is None:  # a generator of its own draws a batch's fields
            self.met.add("noise")
            return ZEROS[func](*args, **kwargs)
        return func(*args, **kwargs)


DROPOUTS = {
    *(functional.dropout, functional.dropout1d, functional.dropout2d, functional.dropout3d),
    *(functional.alpha_dropout, functional.feature_alpha_dropout),
}
ZEROS: Mapping[Any, Callable[..., Tensor]] = {torch.randn: torch.zeros, torch.randn_like: torch.zeros_like}


class Direction(nn.Module):
    """A direction as one network: pictures [N, C, H, W] in [0, 1] to [N, C', H, W] in [0, 1].

    Args:
        trained: the networks; use them inside `evaluating()`.
        name: name of the direction.
        seed: seed of what it draws, such as a style; all pictures get that of the first one.

    Attributes:
        together: whether pictures are normalised by the statistics of their batch.
    """

    def __init__(self, trained: Trained, name: str, seed: int) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({part: trained.networks[part] for part in sorted(trained.needed(name))})
        self.scheme, self.player, self.name = trained.scheme, trained.player, name
        self.source = trained.source(name)
        self.multiple, self.least = trained.multiple(name), trained.least(name)
        self.drawn = drawn_for(trained, name, seed)
        self.together = any(module.training for part in self.parts.values() for module in part.modules())

    def forward(self, pictures: Tensor) -> Tensor:
        """Translate pictures of any size if the networks can, otherwise of the training size."""
        height, width = pictures.shape[2:]
        fitting = continued(pictures, self.multiple, self.least) if self.multiple else pictures
        drawn = {field: row.expand(pictures.shape[0], *row.shape[1:]) for field, row in self.drawn.items()}
        with Mean():
            made: Tensor = Values(self.scheme, {self.source: fitting, **drawn}).ask(self.name, "fake", self.player)
        return made.clamp(0, 1)[:, :, :height, :width]


@frozen
class About:
    """The metadata of an exported file, as JSON under the key `ganforge`.

    Attributes:
        version: version of ganforge.
        direction: such as `AB`.
        source: the source domain.
        target: the target domain.
        channels: channels of pictures of both domains.
        range: type of the numbers in files of both, and which of them mean 0 and 1: {"source": {"kind", "low",
            "high"}, "target": ...}.
        size: height and width of the input; None for any.
        multiple: the multiple to which the file itself pads pictures of any size, by reflection.
        norm: mode of batch normalisation.
        together: whether pictures are normalised by the statistics of their batch.
        least_batch: smallest batch that it takes.
        most_batch: largest batch that `ganforge translate` normalises together; None if pictures do not depend on it.
        seed: seed of a style, or of anything else that the direction draws.
        mean: random draws that were replaced by their mean: `dropout`, `noise`.
        step: training step.
        recipe: recipe of the training, TOML.
        difference: largest difference between the file's pixels and those of `ganforge translate` in the test.
    """

    version: str
    direction: str
    source: str
    target: str
    channels: tuple[int, int]
    range: Mapping[str, Any]
    size: tuple[int, int] | None
    multiple: int | None
    norm: str
    together: bool
    least_batch: int
    most_batch: int | None
    seed: int
    mean: Sequence[str]
    step: int
    recipe: str
    difference: float


Write = Callable[[About], bytes]  # returns a file's content with these metadata


@frozen
class Exported:
    """An exported file: its content and its metadata."""

    content: bytes
    about: About


def require_extra(to: Format) -> None:
    """Raise an InputError if a package for the export is missing."""
    if absent := [name for name in NEEDED[to] if find_spec(name) is None]:
        raise InputError(f"--to {to} needs {', '.join(absent)}: pip install 'ganforge[export]'")


def export(saved: Saved, direction: str, to: Format, seed: int = 0) -> Exported:
    """Export a direction, and verify the file on pictures of three sizes.

    Raises:
        InputError: the direction cannot be exported, because the format does not support a part of it.
        RunFailedError: the file's results differ from those of `ganforge translate`.
    """
    trained = saved.load(torch.device("cpu"), direction)
    with trained.evaluating(), _without_statistics(trained), _quiet():
        program = Direction(trained, direction, seed)
        tries = tries_of(program, trained)
        require_settled(program, tries[-1])
        with Mean() as mean:
            expected = [translated(trained, program, pictures, seed) for pictures in tries]
        about = _about(saved, trained, program, seed, sorted(mean.met))
        try:
            write = WRITERS[to](_traced(program, tries[-1]))
            made = RUNNERS[to](write(about))
        except Exception as error:
            raise InputError(f"the direction {direction} cannot be exported to {to}: {_reason(error)}") from error
        about = evolve(about, difference=_difference(made, tries, expected))
        return Exported(write(about), about)


def told(about: About, target: Path) -> list[str]:
    """Return lines with what a user should know about an exported file."""
    size = f"{about.size[0]}x{about.size[1]}" if about.size else "any size"
    batch = "any number" if about.least_batch == 1 else f"{about.least_batch} or more"
    lines = [
        f"{about.direction} exported to {target}: takes {batch} of pictures of {size}, {about.channels[0]} channels; "
        f"its pixels differ from translate's by at most {about.difference:.1e}, on three batches"
    ]
    if about.mean:
        lines.append(
            f"note: its networks draw random numbers while they translate ({', '.join(about.mean)}); the file, and the "
            "reference that it was compared with, use their mean"
        )
    if about.together:
        lines.append(
            "note: it normalises pictures by their batch: a picture's translation depends on the others in it; "
            f"translate takes at most {about.most_batch} at a time, as in training"
        )
    return lines


def require_settled(program: Direction, pictures: Tensor) -> None:
    """Raise an InputError if networks draw random numbers whose mean is not known."""
    made = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        made.append(program(pictures))
    if not torch.equal(*made):
        raise InputError(
            f"the networks of direction {program.name} draw random numbers while they translate: not exported"
        )


def tries_of(program: Direction, trained: Trained) -> list[Tensor]:
    """Return pictures to verify a file with: three batches, of three sizes if it takes any size."""
    channels, height, width = trained.dataset.shapes[program.source]
    sizes = [(height, width)] * 3
    if program.multiple:
        height, width = max(program.least, min(height, TRIED)), max(program.least, min(width, TRIED))
        sizes = [(height + 5, 2 * width - 1), (height, width), (height // 2 + 1, width + 3)]
    random, least = torch.Generator().manual_seed(0), least_batch(trained, program)
    most = most_batch(trained, program) or least + len(sizes)
    counts = [min(least + place, most) for place in range(len(sizes))]
    return [torch.rand(count, channels, *size, generator=random) for count, size in zip(counts, sizes, strict=True)]


def translated(trained: Trained, program: Direction, pictures: Tensor, seed: int) -> Tensor:
    """Translate pictures as `ganforge translate` does."""
    height, width = pictures.shape[2:]
    fitting = padded(pictures, program.multiple, program.least) if program.multiple else pictures
    made = trained.translate(program.name, fitting, BATCH, seed=seed, alike=True)
    return made.clamp(0, 1)[:, :, :height, :width]


def continued(pictures: Tensor, multiple: int, least: int) -> Tensor:
    """Do the same as `padded`, with operations that can be exported for any size."""
    for dimension in (2, 3):
        side = pictures.shape[dimension]
        blocks = torch.sym_max((side + multiple - 1) // multiple, math.ceil(least / multiple))
        last = torch.arange(side)[-1:]
        place = torch.arange(blocks * multiple) % (2 * last).clamp(min=1)
        pictures = pictures.index_select(dimension, torch.minimum(place, 2 * last - place))
    return pictures


def least_batch(trained: Trained, program: Direction) -> int:
    """Return the smallest batch of a direction: batch normalisation may fail on a single picture."""
    picture = torch.zeros(1, *trained.dataset.shapes[program.source])
    try:
        trained.translate(program.name, picture, BATCH)
    except InputError:
        return 2
    return 1


def most_batch(trained: Trained, program: Direction) -> int | None:
    """Return how many pictures `translate` normalises together, as in training; None if it makes no difference."""
    return trained.plan.train.batch if program.together else None


def drawn_for(trained: Trained, direction: str, seed: int) -> dict[str, Tensor]:
    """Return what a direction draws for the first picture, [1, ...] each, by field."""
    wiring, source = trained.scheme.wirings[direction], trained.source(direction)
    wanted = wiring.fields_of("fake", trained.player) - {source}
    sample = torch.zeros(1, *trained.dataset.shapes[source])
    return {
        field: trained.translate(direction, sample, BATCH, value=value, seed=seed)
        for value, field in wiring.view.fields.items()
        if field in wanted
    }


def _traced(program: Direction, pictures: Tensor) -> torch.export.ExportedProgram:
    """Trace a direction for any number of pictures, and for any size if its networks can."""
    from torch.fx.experimental import _config as tracing  # where torch keeps this switch

    free = (0, 2, 3) if program.multiple else (0,)
    dynamic = {"pictures": dict.fromkeys(free, torch.export.Dim.DYNAMIC)}
    with tracing.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]  # sizes of 0 and 1 are sizes like any others
        traced = torch.export.export(program, (pictures,), dynamic_shapes=dynamic)
    traced.example_inputs = None  # otherwise the file would hold them as a pickle
    return traced


def _onnx(traced: torch.export.ExportedProgram) -> Write:
    """Convert a program, and return its writer, which can add other metadata without converting again."""
    program = torch.onnx.export(
        traced, dynamo=True, verbose=False, input_names=["pictures"], output_names=["translated"]
    )
    model = program.model_proto  # type: ignore[union-attr]  # it is None only for the exporter before this one
    metadata = model.metadata_props.add(key=ABOUT)

    def write(about: About) -> bytes:
        metadata.value = json.dumps(asdict(about))
        return bytes(model.SerializeToString())

    return write


def _torch(traced: torch.export.ExportedProgram) -> Write:
    def write(about: About) -> bytes:
        content = io.BytesIO()
        torch.export.save(traced, content, extra_files={ABOUT: json.dumps(asdict(about))})
        return content.getvalue()

    return write


def _run_onnx(content: bytes) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda pictures: torch.from_numpy(session.run(None, {"pictures": pictures.numpy()})[0])


def _run_torch(content: bytes) -> Run:
    module: Run = torch.export.load(io.BytesIO(content)).module()
    return module


WRITERS: Mapping[Format, Callable[[torch.export.ExportedProgram], Write]] = {"onnx": _onnx, "torch": _torch}
RUNNERS: Mapping[Format, Callable[[bytes], Run]] = {"onnx": _run_onnx, "torch": _run_torch}


def _difference(made: Run, tries: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest difference between a file's results and the expected ones; raise a RunFailedError if large."""
    found = [(made(pictures) - wanted).abs().max() for pictures, wanted in zip(tries, expected, strict=True)]
    difference = float(torch.stack(found).max())
    if not difference < MOST:  # also true for nan
        raise RunFailedError(f"the exported pixels differ from translate's by {difference:.2g}, {MOST:g} or more")
    return difference


def _about(saved: Saved, trained: Trained, program: Direction, seed: int, mean: Sequence[str]) -> About:
    dataset, name = pictures_of(trained), program.name
    source, target = program.source, trained.target(name)
    height, width = dataset.shapes[source][1:]
    return About(
        version=Plugins.version(),
        direction=name,
        source=source,
        target=target,
        channels=(dataset.shapes[source][0], dataset.shapes[target][0]),
        range={"source": asdict(dataset.depths[source]), "target": asdict(dataset.depths[target])},
        size=None if program.multiple else (height, width),
        multiple=program.multiple,
        norm=trained.plan.train.norm,
        together=program.together,
        least_batch=least_batch(trained, program),
        most_batch=most_batch(trained, program),
        seed=seed,
        mean=mean,
        step=trained.step,
        recipe=saved.weights.head.recipe,
        difference=0.0,
    )


@contextmanager
def _without_statistics(trained: Trained) -> Iterator[None]:
    """Turn off running statistics of layers that normalise by their batch, since a file cannot update them."""
    tracking = [
        module
        for network in trained.networks.values()
        for module in network.modules()
        if module.training and getattr(module, "track_running_stats", False)
    ]
    for module in tracking:
        module.track_running_stats = False  # type: ignore[assignment]  # it is a bool
    try:
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True  # type: ignore[assignment]


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporters' messages for their developers."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _reason(error: BaseException) -> str:
    """Return the first line of an error's root cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0] or type(error).__name__
