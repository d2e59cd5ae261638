"""What several tests share: a loaded set of plugins, recipes from a few lines, small data sets, the command line."""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn

from ganforge.cli import common, main as cli
from ganforge.components.plugins import Plugins
from ganforge.data import reading as data
from ganforge.data.batches import Batches
from ganforge.recipe import layers as recipe
from ganforge.recipe.plan import Plan
from ganforge.recipe.resolve import resolve
from ganforge.runs import checkpoint
from ganforge.runs.trained import Trained
from ganforge.system.folder import Folder
from ganforge.training import build
from ganforge.training.check import check
from ganforge.training.engine import Engine
from ganforge_cache.cache import ready

read = partial(data.read, ready=ready)
torch.set_num_threads(1)  # small tensors; and two workers share two cores
gc.collect()
gc.freeze()  # what is imported stays: the collector need not look at it again during thousands of tests
gc.set_threshold(20_000, 20, 50)

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

TOY = """\
[dataset]
use = "mixture"
[coupling]
use = "discogan"
[generator]
use = "mlp"
hidden = 8
[discriminator]
use = "mlp"
hidden = 8
[losses.adversarial]
use = "gan"
[losses.reconstruction]
use = "l2"
weight = 10.0
[optimizer]
use = "adam"
[train]
steps = 8
batch = 16
[record]
log_every = 2
checkpoint_every = 4
sample_every = 0
"""


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what tests prepare out of the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANFORGE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    """All installed plugins."""
    loaded = Plugins()
    loaded.load_installed()
    return loaded


@pytest.fixture
def default_toy(tmp_path: Path) -> Path:
    """A complete recipe of eight tiny steps."""
    path = tmp_path / "toy.toml"
    path.write_text(TOY)
    return path


@pytest.fixture
def toy(default_toy: Path) -> Path:
    """The same, whose steps are too few to gain by being recorded."""
    default_toy.write_text(TOY + "[compute]\ncompile = false\n")
    return default_toy


@pytest.fixture
def understand(plugins: Plugins) -> Callable[..., Plan]:
    """Resolve a recipe with overrides."""

    def call(source: str | Path, *sets: str) -> Plan:
        loaded = recipe.load(source, sets, plugins.recipes())
        return resolve(loaded, plugins.registry)

    return call


@pytest.fixture
def make_engine(understand: Callable[..., Plan]) -> Callable[..., tuple[Engine, Batches]]:
    """Build the engine of a recipe, with its batches, on the CPU."""

    def call(source: str | Path, *sets: str) -> tuple[Engine, Batches]:
        plan = understand(source, *sets)
        dataset = build.make_dataset(plan)
        batches = Batches(
            read(dataset, "train"),
            batch=plan.train.batch,
            seed=plan.train.seed,
            device=torch.device("cpu"),
            groups=dataset.groups,
        )
        return build.make_engine(plan, check(plan, dataset), batches, build.shapes_of(plan, dataset)), batches

    return call


def as_trained(plan: Plan, networks: Mapping[str, nn.Module], step: int) -> Trained:
    """Take any networks as if they had been trained on the recipe's data on the CPU."""
    device = torch.device("cpu")
    scheme, _ = build.make_scheme(plan, networks, device, {})
    return Trained(plan, build.make_dataset(plan), scheme, device, step)


def write_weights(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write a weights file, with a digest that fits."""
    with Folder(path.parent) as folder:
        checkpoint.write_tensors(folder, path.stem, tensors, metadata)


def run_at(folder: Path, step: int = 0) -> SimpleNamespace:
    """What an observer sees of a run that stands at a step, not evaluated."""
    return SimpleNamespace(folder=folder, files=Folder(folder), step=step, is_evaluated=False)


def run_command(*words: object) -> int:
    """Run the command line where a fixture needs it for many tests; return its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["ganforge", *map(str, words)])
        try:
            cli.main()
        except SystemExit as stop:
            return int(stop.code or 0)
    return 0


class Result:
    """What a command did."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


@pytest.fixture
def ganforge(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Result]:
    """Run the command line in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Result:
        monkeypatch.setattr("sys.argv", ["ganforge", *map(str, words)])
        monkeypatch.setattr(common.errors, "file", None)
        capsys.readouterr()
        status = 0
        try:
            cli.main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out
        return Result(status, captured.out, captured.err)

    return call


def draw_pairs(root: Path, counts: Sequence[tuple[str, int]] = (("train", 12), ("val", 4)), side: int = 64) -> Path:
    """Draw pairs in the layout of the pix2pix archives: an outline left, the same shape filled right."""
    for split, count in counts:
        (root / split).mkdir(parents=True)
        for number in range(1, count + 1):
            picture = Image.new("RGB", (2 * side, side), "white")
            pen = ImageDraw.Draw(picture)
            box = (8 + number, 8, side - 8, side - 8 - number)
            pen.ellipse(box, outline="black")
            pen.ellipse((box[0] + side, box[1], box[2] + side, box[3]), fill=(40 * number % 255, 90, 160))
            picture.save(root / split / f"{number}_AB.jpg", quality=95)
    return root


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A small data set of side-by-side pairs."""
    return draw_pairs(tmp_path / "pairs")
