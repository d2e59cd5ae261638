"""The rows of the table: which steps are measured, what they are compared with, and their goals."""

from collections.abc import Iterator

import torch
from attrs import field, frozen

from ganforge import count_cores

PICTURES, CYCLEGAN, CUT, TOY = "discogan_edges2shoes", "cyclegan_horse2zebra", "cut_horse2zebra", "discogan_toy"
NO_DATA = "dataset.root=none"
BEST_ROUNDS, FEW_ROUNDS = "5", "2"
# The width of the networks while the batch grows, and the batch while the pictures grow.
GROWN_WIDTH, GROWN_BATCH = {"cpu": 16}, {"cpu": 2}
WIDTH, BATCH = 64, 32  # on other devices
# Each method without data, on 64x64 pictures in batches of 4, narrow enough for a CPU.
METHODS = (
    *("cut_turntable", "cyclegan_turntable", "dcgan_turntable", "discogan_car2car_turntable", "distancegan_turntable"),
    *("dualgan_turntable", "gan_car2car_turntable", "gan_recon_car2car_turntable", "gcgan_turntable"),
    *("munit_turntable", "pix2pix_turntable", "pix2pixhd_turntable", "r3gan_translation_turntable"),
    *("stargan_turntable", "wgan_gp_turntable"),
)


@frozen
class Beside:
    """Another recipe that is measured in the same rounds, with the title and goal of its row."""

    recipe: str
    title: str
    goal: float


@frozen
class Case:
    """A recipe's step, measured by `ganforge bench` in its own process.

    Attributes:
        name: name of its file.
        title: title in the table.
        recipe: name of a shipped recipe.
        sets: its overrides.
        options: further options of `ganforge bench`.
        goal: the ratio to reach, if there is a goal.
        beside: a recipe that is measured in the same rounds and has a row of its own.
        series: the plot that it belongs to; empty for a row of the table.
        size: its place on the horizontal axis, a number or a name.
        cost: rough seconds on two cores, to estimate the time left.
        limit: seconds after which it is killed.
    """

    name: str
    title: str
    recipe: str
    sets: tuple[str, ...] = ()
    options: tuple[str, ...] = ("--fresh", FEW_ROUNDS)
    goal: float | None = None
    beside: Beside | None = None
    series: str = ""
    size: int | str = 0
    cost: float = field(default=20.0, kw_only=True)
    limit: float = field(default=120.0, kw_only=True)

    @property
    def words(self) -> list[str]:
        """The arguments of `ganforge bench`."""
        sets = [word for text in self.sets for word in ("--set", text)]
        beside = ("--beside", self.beside.recipe) if self.beside else ()
        return [self.recipe, *sets, *beside, *self.options]


def cases(device: torch.device) -> list[Case]:
    """Return all cases of a device: first the rows with goals, then the growing series, from small to large."""
    rows = _on_cuda() if device.type == "cuda" else _on_cpu()
    return [*rows, *_growth(device)]


def _row(
    name: str,
    title: str,
    recipe: str,
    sets: str,
    plain: str,
    goal: float | None,
    cost: float,
    *,
    beside: Beside | None = None,
) -> Case:
    options = ("--plain", plain, "--rounds", BEST_ROUNDS, "--json")
    return Case(name, title, recipe, tuple(sets.split()), options, goal, beside, cost=cost, limit=1200)


def _on_cpu() -> Iterator[Case]:
    sets = f"{NO_DATA} train.batch=32 compute.threads=1 compute.precision="
    title = "DiscoGAN 64x64, batch 32, one thread"
    yield _row("discogan-fp32", f"{title}, fp32", PICTURES, f"{sets}fp32", "discogan", 1.35, 80)
    found = torch.cpu.get_capabilities()
    if found.get("avx512_bf16") or found.get("amx_bf16"):
        yield _row("discogan-bf16", f"{title}, bf16", PICTURES, f"{sets}bf16", "discogan", 2.8, 60)
    cores = count_cores()
    sets, size = f"{NO_DATA} compute.precision=fp32 compute.threads={cores}", "256x256, batch 1"
    cut = Beside(CUT, f"CUT {size}, all {cores} cores, fp32, against CycleGAN", 1.8)
    title = f"CycleGAN {size}, all {cores} cores, fp32"
    yield _row("cyclegan", title, CYCLEGAN, sets, "cyclegan", 1.3, 250, beside=cut)
    yield from _toy("compute.threads=1", None, 4.0)


def _on_cuda() -> Iterator[Case]:
    title = "DiscoGAN 64x64, batch 200"
    yield _row("discogan", title, PICTURES, NO_DATA, "discogan", 4.0, 40)
    for batch in (1, 8):
        title = f"256x256, batch {batch}"
        sets = f"{NO_DATA} train.batch={batch}"
        cut = Beside(CUT, f"CUT {title}, against CycleGAN", 1.8)
        yield _row(f"cyclegan-{batch}", f"CycleGAN {title}", CYCLEGAN, sets, "cyclegan", 3.0, 100, beside=cut)
    yield from _toy("", 10.0, None)


def _toy(sets: str, recorded: float | None, compiled: float | None) -> Iterator[Case]:
    yield _row("toy", "toy step, as in the recipe", TOY, sets, "toy", recorded, 25)
    yield _row(
        "toy-plain", "toy step, neither recorded nor compiled", TOY, f"{sets} compute.compile=false", "toy", None, 25
    )
    yield _row("toy-compiled", "toy step, compiled", TOY, f"{sets} compute.compile=true", "toy", compiled, 90)


def _growth(device: torch.device) -> Iterator[Case]:
    """Yield the growing series; a case is skipped if a smaller one of its series failed."""
    series = "method (64x64, narrow, batch 4)"
    for recipe in METHODS:
        method = recipe.removesuffix("_turntable").removesuffix("_car2car")
        yield Case(f"method-{method}", method, recipe, ("train.batch=4",), series=series, size=method, cost=12)
    width = GROWN_WIDTH.get(device.type, WIDTH)
    for batch in (8, 32, 128, 512):
        sets = f"train.batch={batch} generator.width={width} discriminator.width={width}"
        yield _grown(f"batch (DiscoGAN, 64x64, width {width})", batch, 8 + batch * width**2 / 5000, sets)
    for width in (16, 32, 64, 128):
        sets = f"train.batch=32 generator.width={width} discriminator.width={width}"
        yield _grown("width (DiscoGAN, 64x64, batch 32)", width, 8 + width**2 / 500, sets)
    batch = GROWN_BATCH.get(device.type, BATCH)
    for side in (64, 128, 256, 512):
        sets = f"train.batch={batch} dataset.size={side}"
        yield _grown(f"picture side (DiscoGAN, width 64, batch {batch})", side, 10 + side**2 / 6000, sets)


def _grown(series: str, size: int, cost: float, sets: str) -> Case:
    name = f"{series.split(' (')[0].replace(' ', '-')}-{size}"
    return Case(name, f"{series}: {size}", PICTURES, (NO_DATA, *sets.split()), series=series, size=size, cost=cost)
