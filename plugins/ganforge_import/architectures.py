"""Public networks: how their code names layers, and which ganforge network has the same layers.

Settings are inferred from the keys and shapes of a state dict: width, depth, norm, channels, antialiasing, and dropout
if it shifts the layers' numbers. Names and order are those of the public code:

* github.com/junyanz/pytorch-CycleGAN-and-pix2pix: `ResnetGenerator`, `UnetGenerator`, `NLayerDiscriminator`,
  `PixelDiscriminator`
* github.com/taesungp/contrastive-unpaired-translation: the first and the third of these, antialiased; `PatchSampleF`
* github.com/SKTBrain/DiscoGAN: `Generator`, `Discriminator`
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

Shapes = Mapping[str, Sequence[int]]
ALIKE = 0.1  # share of module names in common, below which a network is unknown
HELD = ("conv", "blur")  # layers with tensors, besides norms with scales


@frozen
class Architecture:
    """A public network, as inferred from a state dict.

    Attributes:
        names: its names in the public code.
        role: the recipe's table for it.
        use: the ganforge component with the same layers.
        settings: settings of that component.
        modules: names of its modules with tensors, in the order of that component.
        channels: channels of the input; and of the output, if it is a picture.
        size: the only (height, width) that it takes, or the usual one.
        turned: module -> dimension of the colours, for tensors that are applied to or produce colours.
    """

    names: tuple[str, ...]
    role: str
    use: str
    settings: Mapping[str, Any]
    modules: Sequence[str]
    channels: tuple[int, ...] = ()
    size: tuple[int, int] | None = None
    turned: Mapping[str, int] = field(factory=dict)

    def makes(self, module: str) -> bool:
        """Whether a module outputs colours."""
        return self.role == "generator" and module == self.modules[-1]

    def likeness(self, shapes: Shapes) -> float:
        """Return the share of module names in common, from 0 to 1."""
        there = {key.rpartition(".")[0] for key in shapes}
        return len(there & {*self.modules}) / len(there | {*self.modules})


def nearest_architecture(shapes: Shapes) -> Architecture | None:
    """Return the public network with the most module names in common with a state dict; None if few are."""
    found = [read(shapes) for read in FAMILIES]
    best = max(found, key=lambda one: one.likeness(shapes))
    return best if best.likeness(shapes) > ALIKE else None


def _resnet(shapes: Shapes) -> Architecture:
    """`ResnetGenerator`, of CycleGAN or with CUT's antialiasing; more halvings are pix2pixHD's `GlobalGenerator`."""
    width, channels = _shape(shapes, "model.1.weight", (64, 3))[:2]
    weights = {key: s for key, s in shapes.items() if re.fullmatch(r"model\.\d+\.conv_block\.\d+\.weight", key)}
    blocks = len({key.split(".")[1] for key in weights})
    inner = next((shape[0] for shape in weights.values() if len(shape) == 4), 4 * width)
    halvings = max(0, min((inner // max(1, width)).bit_length() - 1, 8))
    norm = _norm(shapes, "model.1")
    down, up = _has_blur(shapes, 3), _has_blur(shapes, 4)
    places = {key.split(".")[3] for key, shape in weights.items() if len(shape) == 4}
    zeros = "0" in places  # convolutions pad by themselves, without a layer before them
    dropout = ("4" if zeros else "6") in places  # it moves the second convolution by one
    pad = [] if zeros else ["pad"]
    block = [*pad, "conv", "norm", "relu", *(["dropout"] if dropout else []), *pad, "conv", "norm"]
    layers = ["pad", "conv", "norm", "relu"]
    layers += halvings * ["conv", "norm", "relu", *(["blur"] if down else [])]
    first = len(layers)
    after = halvings * [*(["blur"] if up else []), "conv", "norm", "relu"] + ["pad", "conv", "tanh"]
    modules = _held("model", layers, norm)
    for place in range(first, first + blocks):
        modules += _held(f"model.{place}.conv_block", block, norm)
    modules += _held("model", after, norm, first + blocks)
    settings = {
        "width": width,
        "blocks": blocks,
        "halvings": halvings,
        "norm": norm,
        "dropout": 0.5 if dropout else 0.0,
        "padding": "zeros" if zeros else "reflect",
        "down": "antialiased" if down else "strided",
        "up": "antialiased" if up else "deconvolution",
    }
    made = _shape(shapes, f"{modules[-1]}.weight", (3,))[0]
    turned = {modules[0]: 1, modules[-1]: 0}
    return Architecture(
        (f"resnet_{blocks}blocks",), "generator", "resnet", settings, modules, (channels, made), turned=turned
    )


def _unet(shapes: Shapes) -> Architecture:
    """`UnetGenerator`: each level is nested in the outer one."""
    levels = ["model.model", "model.model.1.model"]
    while f"{levels[-1]}.3.model.1.weight" in shapes:
        levels.append(f"{levels[-1]}.3.model")
    outer, *middle, inner = levels
    norm = _norm(shapes, f"{outer}.0")
    normed = norm == "batch"
    modules = [f"{outer}.0"]
    for level in middle:
        modules += [f"{level}.1", *([f"{level}.2"] if normed else [])]
    modules += [f"{inner}.1", f"{inner}.3", *([f"{inner}.4"] if normed else [])]
    for level in reversed(middle):
        modules += [f"{level}.5", *([f"{level}.6"] if normed else [])]
    modules.append(f"{outer}.3")
    width, channels = _shape(shapes, f"{outer}.0.weight", (64, 3))[:2]
    made = _shape(shapes, f"{outer}.3.weight", (0, 3))[1]
    side = 2 ** len(levels)
    settings = {"width": width, "levels": len(levels), "norm": norm}
    turned = {modules[0]: 1, modules[-1]: 1}
    return Architecture(
        (f"unet_{side}",), "generator", "unet", settings, modules, (channels, made), (side, side), turned
    )


def _patch(shapes: Shapes) -> Architecture:
    """`NLayerDiscriminator`, with or without CUT's antialiasing."""
    blur = ["blur"] if _has_blur(shapes, 3) else []
    convolutions = [
        key for key, shape in shapes.items() if re.fullmatch(r"model\.\d+\.weight", key) and len(shape) == 4
    ]
    count = max(1, min(len(convolutions) - 2, 8))
    second = f"model.{2 + len(blur)}"
    norm = _norm(shapes, second)
    layers = ["conv", "relu", *blur] + (count - 1) * ["conv", "norm", "relu", *blur] + ["conv", "norm", "relu", "conv"]
    modules = _held("model", layers, norm)
    width, channels = _shape(shapes, "model.0.weight", (64, 3))[:2]
    down = "antialiased" if blur else "strided"
    settings = {"width": width, "layers": count, "norm": norm, "down": down}
    names = ("basic", "n_layers") if count == 3 else ("n_layers",)
    return Architecture(names, "discriminator", "patch", settings, modules, (channels,), turned={modules[0]: 1})


def _pixel(shapes: Shapes) -> Architecture:
    """`PixelDiscriminator`."""
    norm = _norm(shapes, "net.2")
    width, channels = _shape(shapes, "net.0.weight", (64, 3))[:2]
    modules = _held("net", ["conv", "relu", "conv", "norm", "relu", "conv"], norm)
    settings = {"width": width, "layers": 0, "norm": norm}
    return Architecture(("pixel",), "discriminator", "patch", settings, modules, (channels,), turned={"net.0": 1})


def _heads(shapes: Shapes) -> Architecture:
    """`PatchSampleF`: CUT's heads, one for each compared layer."""
    count = len({key.partition(".")[0] for key in shapes if re.match(r"mlp_\d+\.", key)})
    modules = [f"mlp_{number}.{place}" for number in range(max(1, count)) for place in (0, 2)]
    width = _shape(shapes, "mlp_0.0.weight", (256,))[0]
    turned = {"mlp_0.0": 1} if _shape(shapes, "mlp_0.0.weight", (0, 0))[1] == 3 else {}  # its input may be the picture
    return Architecture(("mlp_sample",), "heads", "patch-heads", {"width": width}, modules, turned=turned)


def _discogan(shapes: Shapes) -> Architecture:
    """DiscoGAN's `Generator`, with or without its `extra_layers` of one pixel."""
    deep = sum(re.fullmatch(r"main\.\d+\.weight", key) is not None and len(s) == 4 for key, s in shapes.items()) > 8
    middle = 2 if deep else 0
    layers = ["conv", "relu", *(3 + middle + 3) * ["conv", "norm", "relu"], "conv", "sigmoid"]
    modules = _held("main", layers, "batch")
    width, channels = _shape(shapes, "main.0.weight", (64, 3))[:2]
    settings: dict[str, Any] = {"width": width, "layers": 5 if deep else 4}
    size = None
    if deep:
        settings["bottleneck"], _, *left = _shape(shapes, "main.11.weight", (100, 512, 4, 4))
        size = _whole(left)
    made = _shape(shapes, f"{modules[-1]}.weight", (0, 3))[1]
    turned = {modules[0]: 1, modules[-1]: 1}
    return Architecture(("discogan",), "generator", "conv", settings, modules, (channels, made), size, turned)


def _discogan_discriminator(shapes: Shapes) -> Architecture:
    """DiscoGAN's `Discriminator`."""
    modules = ["conv1", *(f"{layer}{number}" for number in (2, 3, 4) for layer in ("conv", "bn")), "conv5"]
    width, channels = _shape(shapes, "conv1.weight", (64, 3))[:2]
    size = _whole(_shape(shapes, "conv5.weight", (1, 512, 4, 4))[2:])
    settings, turned = {"width": width}, {"conv1": 1}
    return Architecture(("discogan",), "discriminator", "conv", settings, modules, (channels,), size, turned)


FAMILIES: Sequence[Callable[[Shapes], Architecture]] = (
    _resnet,
    _unet,
    _patch,
    _pixel,
    _heads,
    _discogan,
    _discogan_discriminator,
)


def _held(prefix: str, layers: Iterable[str], norm: str, start: int = 0) -> list[str]:
    """Return the names of a sequence's layers that hold tensors."""
    held = (*HELD, "norm") if norm == "batch" else HELD
    return [f"{prefix}.{place}" for place, layer in enumerate(layers, start) if layer in held]


def _norm(shapes: Shapes, convolution: str) -> str:
    """Return the norm: the public code gives convolutions a bias if it is `instance`."""
    if any(key.endswith(".running_var") for key in shapes):
        return "batch"
    return "instance" if f"{convolution}.bias" in shapes else "none"


def _has_blur(shapes: Shapes, side: int) -> bool:
    return any(key.endswith(".filt") and list(shape[2:]) == [side, side] for key, shape in shapes.items())


def _shape(shapes: Shapes, key: str, usual: Sequence[int]) -> Sequence[int]:
    """Return the shape of a tensor; the usual one if it is missing or has fewer dimensions."""
    return shapes[key] if len(shapes.get(key, ())) >= len(usual) else usual


def _whole(left: Sequence[int]) -> tuple[int, int]:
    """Return the height and width of pictures from their size after four halvings."""
    return 16 * left[0], 16 * left[1]
