"""Faster CPU algorithms for channels last, equal to torch's within rounding.

* Convolutions onto small maps become one matrix product each, in fp32 and in bf16 if the CPU has instructions for it.
  oneDNN reorders the weights in every call and uses its registers badly if a map has few places.
* Convolutions of 3x3 with many channels use Winograd's F(4x4, 3x3) in fp32, with a quarter of the multiplications
  (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016).
* Instance normalisation runs sample by sample, since torch copies channels-last maps into the other layout and back. A
  single sample always takes this path, also in half precision: there torch 2.15 misreads the layout of a channels-last
  gradient and silently returns a wrong one.

Measurements are in docs/results/speed.md. The choice of algorithm depends on shapes and on the processor's
instructions, so that a run that is resumed on the same one makes the same; before a shape's first use, result and
gradients are compared with torch's.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from attrs import frozen
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes

from ganforge.training.windows import Columns, Fold, Pair, Window

# Thresholds for the faster algorithm.
FEW_PLACES = 16  # a product: at most this many places in a sample's smaller map,
FEW_ROWS = 256  # or in the smaller maps of a batch together
MANY_CHANNELS = 128  # Winograd: at least this many channels on both sides,
MANY_TILES = 256  # and tiles of 4x4 places in a batch
LARGE_SAMPLE = 1 << 15  # normalising sample by sample: at least this many numbers in a sample
TOLERANCE = 1e-3  # largest difference between two algorithms, relative to the largest number,
HALF_TOLERANCE = 2e-2  # and in half precision

Way = Callable[[Tensor, Any, Any], Tensor]  # an algorithm, called with maps, weights and bias


@frozen
class Product:
    """`torch.conv2d` as a matrix product: [N, C, H, W] with weights [K, C, h, w] to [N, K, H', W']."""

    window: Window

    def __call__(self, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Compute it; channels last."""
        columns, matrix = Columns.apply(maps, self.window), _matrix(weight).t()
        found = columns @ matrix if bias is None else torch.addmm(bias, columns, matrix)
        return found.view(self.window.batch, *self.window.small, weight.shape[0]).permute(0, 3, 1, 2)


@frozen
class ProductBack:
    """`torch.conv_transpose2d` as a matrix product: [N, K, H', W'] with weights [K, C, h, w] to [N, C, H, W]."""

    window: Window

    def __call__(self, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Compute it; channels last."""
        columns = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1]) @ _matrix(weight)
        found: Tensor = Fold.apply(columns, self.window)
        return found if bias is None else found + bias[:, None, None]


def _matrix(weight: Tensor) -> Tensor:
    return weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1)


# Lavin and Gray, section 4.3: the transforms of 6x6 tiles, of the 3x3 kernel, and to the 4x4 places.
_TILE = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0]]
_TILE += [[0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]
_KERNEL = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]  # times 24
_PLACES = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


@lru_cache(maxsize=1)
def _transforms() -> list[Tensor]:
    """Return the three transforms for both dimensions at once: [36, 36], [36, 9], [16, 36]."""
    found = [torch.tensor(rows, dtype=torch.float64) for rows in (_TILE, _KERNEL, _PLACES)]
    found[1] /= 24
    return [torch.kron(one, one) for one in found]


@frozen
class Winograd:
    """`torch.conv2d` with 3x3 kernels, stride 1 and zero padding as F(4x4, 3x3)."""

    padding: Pair

    def __call__(self, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Compute it: [N, C, H, W] with weights [K, C, 3, 3] to [N, K, H', W'], channels last."""
        of_tile, of_kernel, of_places = (one.to(maps.dtype) for one in _transforms())
        (batch, channels), (down, right), count = maps.shape[:2], self.padding, len(weight)
        high, wide = maps.shape[2] + 2 * down - 2, maps.shape[3] + 2 * right - 2
        small = (-(-high // 4), -(-wide // 4))
        large = (4 * small[0] + 2, 4 * small[1] + 2)
        margins = (right, large[1] - maps.shape[3] - right, down, large[0] - maps.shape[2] - down)
        if any(margins):
            maps = functional.pad(maps, margins)
        tiles = Columns.apply(maps, Window(batch, large, small, (6, 6), (4, 4))).view(-1, 36, channels)
        kernels = (of_kernel @ weight.permute(2, 3, 0, 1).reshape(9, -1)).view(36, count, channels)
        products = torch.bmm(torch.matmul(of_tile, tiles).transpose(0, 1), kernels.transpose(1, 2))
        places = (of_places @ products.view(36, -1)).view(4, 4, batch, *small, count)
        found = places.permute(2, 3, 0, 4, 1, 5).reshape(batch, 4 * small[0], 4 * small[1], count)
        found = found[:, :high, :wide].permute(0, 3, 1, 2)
        return found if bias is None else found + bias[:, None, None]


@frozen
class SampleBySample:
    """`functional.instance_norm` without running statistics, as batch normalisation of each sample."""

    eps: float

    def __call__(self, maps: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        """Compute it: [N, C, H, W] to the same, in their layout."""
        found = [
            functional.batch_norm(one, None, None, weight, bias, True, 0.0, self.eps) for one in torch.split(maps, 1)
        ]
        return found[0] if len(found) == 1 else torch.cat(found)


# An algorithm, its tensors, torch's other arguments.
Choice = tuple[Way, tuple[Tensor, Tensor | None, Tensor | None], dict[str, Any]]


def _conv2d(
    maps: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    times: float = 1.0,
    half: torch.dtype | None = None,
) -> Choice | None:
    if isinstance(padding, str) or not _is_plain(maps, weight, dilation, groups, half):
        return None
    large, kernel, step, around = (_pair(one) for one in (maps.shape[2:], weight.shape[2:], stride, padding))
    small = _pair([(large[i] + 2 * around[i] - kernel[i]) // step[i] + 1 for i in (0, 1)])
    window = Window(len(maps), large, small, kernel, step, around)
    options = {"stride": step, "padding": around}
    if _is_small(window, times):
        return Product(window), _in(half, maps, weight, bias), options
    if half:
        return None
    tiles = times * len(maps) * -(-small[0] // 4) * -(-small[1] // 4)
    if kernel == (3, 3) and step == (1, 1) and min(weight.shape[:2]) >= MANY_CHANNELS and tiles >= MANY_TILES:
        return Winograd(around), (maps, weight, bias), options
    return None


def _conv_transpose2d(
    maps: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    times: float = 1.0,
    half: torch.dtype | None = None,
) -> Choice | None:
    if not _is_plain(maps, weight, dilation, groups, half):
        return None
    small, kernel, step, around = (_pair(one) for one in (maps.shape[2:], weight.shape[2:], stride, padding))
    further = _pair(output_padding)
    large = _pair([(small[i] - 1) * step[i] - 2 * around[i] + kernel[i] + further[i] for i in (0, 1)])
    window = Window(len(maps), large, small, kernel, step, around)
    options = {"stride": step, "padding": around, "output_padding": further}
    return (ProductBack(window), _in(half, maps, weight, bias), options) if _is_small(window, times) else None


def _instance_norm(
    maps: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    **_: Any,
) -> Choice | None:
    plain = maps.device.type == "cpu" and use_input_stats and running_mean is None and running_var is None
    if not plain or maps.ndim < 3 or len(maps) == 0 or maps[0, :1].numel() < 2:
        return None
    large = _is_maps(maps, torch.float32) and maps[0].numel() >= LARGE_SAMPLE
    last = large and maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()
    return (SampleBySample(eps), (maps, weight, bias), {"eps": eps}) if last or len(maps) == 1 else None


def _in(
    half: torch.dtype | None, maps: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return a convolution's tensors in the precision in which autocast would compute it."""
    if half is None:
        return maps, weight, bias
    return maps.to(half), weight.to(half), None if bias is None else bias.to(half)


def _is_small(window: Window, times: float) -> bool:
    """Return whether a convolution is faster as a product, for a batch `times` as large."""
    places = window.small[0] * window.small[1]
    rows = times * window.batch * places
    strided = min(window.stride) > 1 or places == 1
    return strided and min(window.small) > 0 and (places <= FEW_PLACES or rows <= FEW_ROWS)


def _is_plain(maps: Tensor, weight: Tensor, dilation: Any, groups: int, half: torch.dtype | None) -> bool:
    kinds = (torch.float32, half)
    return _is_maps(maps, *kinds) and _is_maps(weight, *kinds) and groups == 1 and _pair(dilation) == (1, 1)


def _is_maps(tensor: Tensor, *kinds: torch.dtype | None) -> bool:
    return tensor.device.type == "cpu" and tensor.dtype in kinds and tensor.ndim == 4 and len(tensor) > 0


def _pair(value: Any) -> Pair:
    numbers = [value] if isinstance(value, int) else list(value)
    return (int(numbers[0]), int(numbers[-1]))


@lru_cache(maxsize=4096)
def _is_proved(
    function: Any,
    way: Way,
    shapes: Sequence[Any],
    options: Sequence[tuple[str, Any]],
    kind: torch.dtype = torch.float32,
) -> bool:
    """Return whether an algorithm gives the same result and gradients as torch for these shapes."""
    tolerance = TOLERANCE if kind == torch.float32 else HALF_TOLERANCE
    # Modes that intercept torch functions, such as a recorder, must not see this.
    with torch._C.DisableTorchFunction(), _disable_current_modes(), torch.enable_grad():
        random = torch.Generator().manual_seed(0)
        given: list[Any] = [
            None if shape is None else torch.randn(shape, generator=random).to(kind).requires_grad_()
            for shape in shapes
        ]
        maps, weight, bias = given
        try:
            plain = function(maps, weight=weight, bias=bias, **dict(options))
        except RuntimeError:
            return False  # torch's own call will report the error
        found = way(maps, weight, bias)
        inputs = [one for one in given if one is not None]
        direction = torch.randn(plain.shape, generator=random).to(kind)
        mine, theirs = (torch.autograd.grad(one, inputs, direction) for one in (found, plain))
        pairs = zip((found, *mine), (plain, *theirs), strict=True)
        return all(_alike(one, other, tolerance) for one, other in pairs)


def _alike(one: Tensor, other: Tensor, tolerance: float) -> bool:
    return one.shape == other.shape and bool((one - other).abs().max() <= tolerance * other.abs().max())


def _autocast() -> torch.dtype | None:
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None


def _is_transformed() -> bool:
    """Whether torch differentiates, maps or infers in a way in which the algorithms are not proved."""
    transformed = torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0
    return transformed or torch.is_inference_mode_enabled() or is_checkpointed()


def is_checkpointed() -> bool:
    """Whether torch.utils.checkpoint will compute again what is computed now, where no mode intercepts it."""
    hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)
    return hooks is not None and "checkpoint" in getattr(hooks[0], "__qualname__", "")


_CHOOSE: dict[Callable[..., Tensor], Callable[..., Choice | None]] = {
    torch.conv2d: _conv2d,
    torch.conv_transpose2d: _conv_transpose2d,
    functional.instance_norm: _instance_norm,
}


class Faster(TorchFunctionMode):
    """Replaces torch functions by faster algorithms for CPUs whose results were verified.

    Args:
        products: also replace convolutions, not only norms.
        times: choose as for a batch this many times as large, to measure its memory.
        half: the precision of convolutions under autocast, if it is on.
    """

    def __init__(self, products: bool = True, times: float = 1.0, half: torch.dtype | None = None) -> None:
        super().__init__()
        self.times, self.half = times, half
        self.choose = _CHOOSE if products else {functional.instance_norm: _instance_norm}

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        """Call a torch function or its replacement."""
        options = options or {}
        choose = self.choose.get(function)
        if choose and "input" in options and not arguments:
            arguments, options = (options["input"],), {name: one for name, one in options.items() if name != "input"}
        plain = choose is None or _is_transformed() or _autocast() != self.half  # a formula may change that for a part
        if choose and not plain and (choice := choose(*arguments, **options, times=self.times, half=self.half)):
            way, tensors, further = choice
            kind = torch.float32 if function is functional.instance_norm else tensors[0].dtype
            shapes = tuple(None if tensor is None else tuple(tensor.shape) for tensor in tensors)
            if _is_proved(function, way, shapes, tuple(further.items()), kind):
                return way(*tensors)
        return function(*arguments, **options)
