"""What a CPU computes in another way is what torch computes: functions, gradients, and whole steps of every method."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from ganforge.recipe.tables import Compute
from ganforge.training import cpu
from ganforge.training.numerics import Precision
from tests.coats import METHODS as ALL, engine_of, losses_of

LAST = torch.channels_last
CONVOLUTIONS = {
    "halving": ((3, 4, 8, 8), (5, 4, 4, 4), {"stride": 2, "padding": 1}),
    "halving an odd map": ((3, 4, 7, 5), (5, 4, 3, 3), {"stride": 2, "padding": 1}),
    "to one place": ((3, 4, 4, 4), (2, 4, 4, 4), {}),
    "two strides and kernels": ((2, 3, 9, 8), (2, 3, 3, 2), {"stride": (2, 3), "padding": (1, 0)}),
    "a kernel smaller than its stride": ((2, 3, 9, 9), (4, 3, 2, 2), {"stride": 3}),
    "a kernel as large as the padded map": ((1, 2, 2, 2), (3, 2, 4, 4), {"stride": 2, "padding": 1}),
}
BACK = {
    "doubling": ((3, 5, 4, 4), (5, 4, 4, 4), {"stride": 2, "padding": 1}),
    "one place": ((3, 5, 1, 1), (5, 4, 4, 4), {}),
    "with more to the right": ((2, 5, 3, 2), (5, 4, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    "two strides and kernels": ((2, 3, 3, 3), (3, 2, 3, 2), {"stride": (2, 3), "padding": (1, 0)}),
}
THREES = {
    "padded": ((2, 3, 8, 8), {"padding": 1}),
    "not padded": ((1, 3, 10, 6), {}),
    "no multiple of four": ((2, 3, 7, 9), {"padding": (1, 2)}),
    "smaller than a tile": ((1, 3, 3, 3), {}),
}


@pytest.fixture
def forced(monkeypatch):
    """Take the other ways for all shapes, in float64 too."""
    for name, value in {"MANY_CHANNELS": 1, "MANY_TILES": 1, "LARGE_SAMPLE": 1, "FEW_PLACES": 1 << 30}.items():
        monkeypatch.setattr(cpu, name, value)
    monkeypatch.setattr(cpu, "_is_maps", lambda tensor, *kinds: tensor.ndim == 4 and len(tensor) > 0)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def assert_same(function, maps: Tensor, weight: Tensor | None, bias: Tensor | None, **options) -> None:
    """The other way is taken, and gives what torch gives: values, gradients, and gradients of gradients."""
    choice = cpu._CHOOSE[function](maps, weight=weight, bias=bias, **options)
    assert choice is not None
    given = [one.requires_grad_() for one in (maps, weight, bias) if one is not None]

    def found(*tensors: Tensor) -> Tensor:
        return choice[0](*tensors, *[None] * (3 - len(tensors)))

    torch.testing.assert_close(found(*given), function(maps, weight=weight, bias=bias, **options))
    assert torch.autograd.gradcheck(found, given, fast_mode=True)
    assert torch.autograd.gradgradcheck(found, given, fast_mode=True)


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
def test_a_convolution_onto_a_small_map_is_a_product(forced, name, layout):
    maps, weight, options = CONVOLUTIONS[name]
    given = drawn(*maps).to(memory_format=layout), drawn(*weight).to(memory_format=layout)
    assert_same(torch.conv2d, *given, drawn(weight[0]), **options)
    assert_same(torch.conv2d, *given, None, **options)


@pytest.mark.parametrize("name", BACK)
@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
def test_so_is_a_transposed_one(forced, name, layout):
    maps, weight, options = BACK[name]
    given = drawn(*maps).to(memory_format=layout), drawn(*weight).to(memory_format=layout)
    assert_same(torch.conv_transpose2d, *given, drawn(weight[1]), **options)
    assert_same(torch.conv_transpose2d, *given, None, **options)


@pytest.mark.parametrize("name", THREES)
def test_winograds_form_is_a_convolution(forced, monkeypatch, name):
    monkeypatch.setattr(cpu, "_is_small", lambda window, times: False)
    maps, options = THREES[name]
    assert_same(torch.conv2d, drawn(*maps).to(memory_format=LAST), drawn(2, 3, 3, 3), drawn(2), **options)
    assert_same(torch.conv2d, drawn(*maps), drawn(2, 3, 3, 3), None, **options)


@pytest.mark.parametrize("batch", [1, 3])
def test_samples_are_normalised_one_by_one(forced, batch):
    maps = drawn(batch, 2, 4, 3).to(memory_format=LAST)
    assert_same(functional.instance_norm, maps, None, None, eps=1e-3)
    assert_same(functional.instance_norm, maps, drawn(2), drawn(2))


@pytest.mark.parametrize("products", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_a_single_samples_norm_has_the_right_gradient_in_every_layout(products, affine):
    maps, direction = drawn(1, 4, 6, 5).float(), drawn(1, 4, 5, 6).transpose(2, 3).float()
    weight = drawn(4).float() if affine else None
    given = maps.double().requires_grad_()
    normed = (given - given.mean((2, 3), keepdim=True)) / (given.var((2, 3), False, keepdim=True) + 1e-5).sqrt()
    wanted = torch.autograd.grad(normed if weight is None else normed * weight[:, None, None], given, direction)[0]
    for layout in (torch.contiguous_format, LAST):
        for of_gradient in (torch.contiguous_format, LAST):
            x = maps.contiguous(memory_format=layout).requires_grad_()
            with cpu.Faster(products):
                found = functional.instance_norm(x, weight=weight, bias=weight)
            mine = torch.autograd.grad(found, x, direction.contiguous(memory_format=of_gradient))[0]
            torch.testing.assert_close(mine.double(), wanted, rtol=1e-4, atol=1e-5)


def test_what_is_made_may_be_changed_in_place():
    conv, back = torch.nn.Conv2d(4, 8, 4, 2, 1), torch.nn.ConvTranspose2d(8, 4, 4, 2, 1)
    network = torch.nn.Sequential(conv, torch.nn.ReLU(inplace=True), back, torch.nn.LeakyReLU(0.2, inplace=True))
    maps = drawn(2, 4, 8, 8).float().to(memory_format=LAST).requires_grad_()
    plain = torch.autograd.grad(network(maps).square().sum(), maps)[0]
    with cpu.Faster():
        found = network(maps)
    assert found.is_contiguous(memory_format=LAST)
    torch.testing.assert_close(torch.autograd.grad(found.square().sum(), maps)[0], plain)


def calls(work, half: torch.dtype | None = None) -> list[str]:
    """Name the ways that are taken."""
    taken = []
    autocast = torch.autocast("cpu", half or torch.bfloat16, enabled=half is not None)
    with pytest.MonkeyPatch.context() as patch, autocast, cpu.Faster(half=half):
        proved = cpu._is_proved
        patch.setattr(
            cpu, "_is_proved", lambda f, way, *rest: taken.append(type(way).__name__) or proved(f, way, *rest)
        )
        work()
    return taken


def test_shapes_decide_and_what_does_not_pay_is_left_to_torch():
    def conv(maps, weight, **options):
        given = torch.ones(maps).to(memory_format=LAST), torch.ones(weight)
        return calls(lambda: functional.conv2d(*given, **options))

    assert conv((32, 8, 8, 8), (8, 8, 4, 4), stride=2, padding=1) == ["Product"]
    assert conv((32, 8, 16, 16), (8, 8, 4, 4), stride=2, padding=1) == []
    assert conv((1, 8, 32, 32), (8, 8, 4, 4), stride=2, padding=1) == ["Product"]
    assert conv((1, 8, 34, 34), (8, 8, 4, 4), stride=2, padding=1) == []
    assert conv((4, 8, 4, 4), (8, 8, 3, 3), padding=1) == []
    assert conv((1, 128, 64, 64), (128, 128, 3, 3), padding=1) == ["Winograd"]
    assert conv((1, 128, 60, 60), (128, 128, 3, 3), padding=1) == []
    assert conv((1, 64, 64, 64), (128, 64, 3, 3), padding=1) == []
    assert conv((1, 128, 64, 64), (128, 128, 3, 3), padding="same") == []
    assert conv((1, 128, 64, 64), (128, 128, 3, 3), dilation=2) == []
    assert conv((1, 128, 64, 64), (128, 64, 3, 3), groups=2) == []
    norm = torch.nn.InstanceNorm2d(8)
    assert calls(lambda: norm(torch.ones(1, 8, 64, 64).to(memory_format=LAST))) == ["SampleBySample"]
    assert calls(lambda: norm(torch.ones(2, 8, 64, 64).to(memory_format=LAST))) == ["SampleBySample"]
    assert calls(lambda: norm(torch.ones(2, 8, 64, 64))) == []
    assert calls(lambda: norm(torch.ones(2, 8, 8, 8).to(memory_format=LAST))) == []
    assert calls(lambda: norm(torch.ones(1, 8, 8, 8))) == ["SampleBySample"]
    back = torch.nn.ConvTranspose2d(8, 4, 4, 2, 1)
    assert calls(lambda: back(torch.ones(2, 8, 4, 4))) == ["ProductBack"]
    assert calls(lambda: back.double()(torch.ones(2, 8, 4, 4).double())) == []
    tracked = torch.nn.InstanceNorm2d(8, track_running_stats=True)
    assert calls(lambda: tracked(torch.ones(1, 8, 64, 64).to(memory_format=LAST))) == []


def error(found: Tensor, wanted: Tensor) -> float:
    return float(((found.double() - wanted).norm() / wanted.norm()).detach())


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("back", [False, True])
def test_in_half_precision_a_product_is_about_as_exact_as_torchs_convolution(half, back):
    function = functional.conv_transpose2d if back else functional.conv2d
    maps, weight, bias = drawn(4, 32, 8, 8), drawn(32, 32, 4, 4) / 16, drawn(32)

    def found(kind: torch.dtype) -> list[Tensor]:
        given = [one.to(kind).to(memory_format=LAST).requires_grad_() for one in (maps, weight)]
        given.append(bias.to(kind).requires_grad_())
        made = function(*given, stride=2, padding=1)
        made = made.to(half).to(kind)  # autocast gives half precision
        direction = drawn(*made.shape).to(half).to(kind)
        return [made, *torch.autograd.grad(made, given, direction)]

    wanted = found(torch.float64)
    with torch.autocast("cpu", half):
        theirs = found(torch.float32)
        with cpu.Faster(half=half):
            mine = found(torch.float32)
    assert any(not torch.equal(one, other) for one, other in zip(mine, theirs, strict=True))  # another way was taken
    for one, other, right in zip(mine, theirs, wanted, strict=True):
        assert one.dtype == other.dtype
        assert error(one, right) < 1.6 * error(other, right)


def test_in_half_precision_only_products_replace_convolutions():
    def conv(maps, weight, **options):
        given = torch.ones(maps).to(memory_format=LAST), torch.ones(weight)
        return calls(lambda: functional.conv2d(*given, **options), torch.bfloat16)

    assert conv((32, 8, 8, 8), (8, 8, 4, 4), stride=2, padding=1) == ["Product"]
    assert conv((1, 128, 64, 64), (128, 128, 3, 3), padding=1) == []
    back = torch.nn.ConvTranspose2d(8, 4, 4, 2, 1)
    maps = torch.ones(2, 8, 4, 4)
    assert calls(lambda: back(maps.bfloat16()), torch.bfloat16) == ["ProductBack"]
    assert calls(lambda: back.double()(maps.double()), torch.bfloat16) == []
    norm = torch.nn.InstanceNorm2d(8)
    assert calls(lambda: norm(torch.ones(1, 8, 64, 64).bfloat16()), torch.bfloat16) == ["SampleBySample"]


@pytest.mark.parametrize(
    ("found", "precision", "products"),
    [
        ({}, "fp32", True),
        ({}, "bf16", False),
        ({"avx512_bf16": True}, "bf16", True),
        ({"amx_bf16": True}, "bf16", True),
        ({"avx512_bf16": True, "amx_fp16": True}, "fp16", False),
    ],
)
def test_products_in_half_precision_need_a_cpu_that_has_them(monkeypatch, found, precision, products):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: found)
    compute = Compute(precision=precision, channels_last=True, compile=False)
    assert Precision.of(compute, torch.device("cpu")).products is products
    taken = []
    monkeypatch.setattr(cpu, "_is_proved", lambda f, way, *rest: taken.append(way))
    with Precision.of(compute, torch.device("cpu")).around(full=False):
        functional.conv2d(torch.ones(2, 4, 8, 8), torch.ones(4, 4, 4, 4), stride=2, padding=1)
    assert bool(taken) is products


def test_what_does_not_fit_is_told_as_torch_tells_it():
    with cpu.Faster(), pytest.raises(RuntimeError, match="expected input"):
        functional.conv2d(torch.ones(2, 3, 4, 4), torch.ones(2, 5, 4, 4))


def test_a_way_that_differs_here_is_not_taken(monkeypatch):
    maps, weight = drawn(3, 4, 8, 8).float(), drawn(5, 4, 4, 4).float()
    plain = functional.conv2d(maps, weight, stride=2, padding=1)
    cpu._is_proved.cache_clear()
    right = cpu.Product.__call__
    monkeypatch.setattr(cpu.Product, "__call__", lambda *given: right(*given) * 1.01)
    with cpu.Faster():
        assert torch.equal(functional.conv2d(maps, weight, stride=2, padding=1), plain)
    cpu._is_proved.cache_clear()


def test_proving_draws_no_random_number_and_asks_for_no_graph():
    cpu._is_proved.cache_clear()
    before = torch.get_rng_state()
    with cpu.Faster(), torch.no_grad():
        found = functional.conv2d(torch.ones(3, 4, 8, 8), torch.ones(5, 4, 4, 4), stride=2, padding=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert not found.requires_grad


METHODS = ("discogan",)


def small_engine(
    method: str, folder: Path, *, faster: bool, batch: int = 3, double: bool = True, precision: str = "fp32"
):
    """Make the engine of a method; channels last if it is to be faster."""
    sets = [f"train.batch={batch}", f"compute.channels_last={str(faster).lower()}", f"compute.precision={precision}"]
    sets += ["generator.dropout=0.0"] if method in ("dualgan", "pix2pix") else []  # its mask depends on the layout
    return engine_of(method, folder, sets, double=double)


@pytest.mark.parametrize(
    "method", [*METHODS, *(pytest.param(one, marks=pytest.mark.slow) for one in ALL if one not in METHODS)]
)
def test_twenty_steps_of_every_method_are_the_same(forced, method, tmp_path):
    taken = set()
    proved = cpu._is_proved
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "_is_proved", lambda f, way, *rest: taken.add(type(way).__name__) or proved(f, way, *rest))
        mine = losses_of(*small_engine(method, tmp_path, faster=True), 20)
    assert taken
    theirs = losses_of(*small_engine(method, tmp_path, faster=False), 20)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["cyclegan", "cut"])
def test_a_batch_of_one_learns_what_it_does_in_the_other_layout(method, tmp_path):
    mine = losses_of(*small_engine(method, tmp_path, faster=True, batch=1), 3)
    theirs = losses_of(*small_engine(method, tmp_path, faster=False, batch=1), 3)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "precision"), [("discogan", "fp32"), ("cyclegan", "fp32"), ("discogan", "bf16")])
def test_losses_of_two_hundred_steps_run_alike(monkeypatch, method, precision, tmp_path):
    """Both ways round differently, and a GAN makes more of that: the means of the last half agree."""
    for name, value in {"MANY_CHANNELS": 1, "MANY_TILES": 1, "LARGE_SAMPLE": 1, "FEW_PLACES": 1 << 30}.items():
        monkeypatch.setattr(cpu, name, value)
    means = []
    for faster in (True, False):
        engine, batches = small_engine(method, tmp_path, faster=faster, double=False, precision=precision)
        torch.manual_seed(1)
        losses = [engine.step(step, batches(step)) for step in range(200)]
        means.append({player: torch.stack([one[player] for one in losses[100:]]).mean(0) for player in losses[0]})
    torch.testing.assert_close(means[0], means[1], rtol=0.1, atol=0.01)


def test_arguments_may_have_their_names(forced):
    maps, weight = drawn(3, 4, 8, 8).float(), drawn(5, 4, 4, 4).float()
    with cpu.Faster():
        found = functional.conv2d(input=maps, weight=weight, stride=2, padding=1)
    torch.testing.assert_close(found, functional.conv2d(maps, weight, stride=2, padding=1))


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # torch's own
def test_transforms_of_functions_are_left_to_torch():
    weight = drawn(4, 3, 3, 3).float()

    def loss(maps: Tensor) -> Tensor:
        return functional.conv2d(maps[None], weight, stride=2, padding=1).square().sum()

    maps = drawn(2, 3, 8, 8).float()
    expected = torch.func.vmap(torch.func.grad(loss))(maps)
    pushed = torch.func.jvp(loss, (maps[0],), (maps[1],))
    cpu._is_proved.cache_clear()
    with cpu.Faster():
        torch.testing.assert_close(torch.func.vmap(torch.func.grad(loss))(maps), expected)
        torch.testing.assert_close(torch.func.jvp(loss, (maps[0],), (maps[1],)), pushed)
        with torch.inference_mode():
            found = functional.conv2d(maps, weight, stride=2, padding=1)
    assert torch.equal(found, functional.conv2d(maps, weight, stride=2, padding=1))


def test_what_a_checkpoint_computes_again_is_what_it_computed(forced):
    maps, weight = drawn(3, 4, 8, 8).requires_grad_(), drawn(5, 4, 4, 4)

    def convolve(maps: Tensor) -> Tensor:
        return functional.conv2d(maps, weight, stride=2, padding=1)

    with cpu.Faster():
        made = checkpoint(convolve, maps, use_reentrant=False)
    (found,) = torch.autograd.grad(made.square().sum(), maps)
    (expected,) = torch.autograd.grad(convolve(maps).square().sum(), maps)
    torch.testing.assert_close(found, expected)


def test_autocast_that_a_formula_turns_off_is_off():
    precision = Precision("cpu", torch.bfloat16, True)
    maps, weight = torch.ones(2, 4, 8, 8), torch.ones(4, 4, 4, 4)
    with precision.around(full=False):
        assert functional.conv2d(maps, weight, stride=2, padding=1).dtype == torch.bfloat16
        with torch.autocast("cpu", enabled=False):
            assert functional.conv2d(maps, weight, stride=2, padding=1).dtype == torch.float32
    with Precision("cpu", None, True).around(full=False), torch.autocast("cpu", torch.bfloat16):
        assert functional.conv2d(maps, weight, stride=2, padding=1).dtype == torch.bfloat16
