"""MUNIT: many translations of one picture (Huang et al. 2018, arXiv:1804.04732).

A picture is its content, which both domains share, and its style: x_A = G_A(c_A, s_A). A translation keeps the content
and takes a style of the other domain from N(0, 1): x_AB = G_B(c_A, s_B). Named here for the direction from A to B.
"""

from attrs import frozen
from torch import Tensor, nn
from torch.nn.functional import instance_norm, relu

from ganforge import Coupling, Network, Register, Shape, View, hookimpl


def content(content_encoder: nn.Module, source: Tensor) -> Tensor:
    """c_A = E_A^c(x_A)."""
    return content_encoder(source)


def own_style(style_encoder: nn.Module, source: Tensor) -> Tensor:
    """s_A = E_A^s(x_A)."""
    return style_encoder(source)


def rebuilt(own_decoder: nn.Module, content: Tensor, own_style: Tensor) -> Tensor:
    """G_A(c_A, s_A), to be x_A: Eq. 1."""
    return own_decoder(content, own_style)


def fake(decoder: nn.Module, content: Tensor, style: Tensor) -> Tensor:
    """x_AB = G_B(c_A, s_B)."""
    return decoder(content, style)


def content_again(content_encoder_of_target: nn.Module, fake: Tensor) -> Tensor:
    """E_B^c(x_AB), to be c_A: Eq. 2."""
    return content_encoder_of_target(fake)


def style_again(style_encoder_of_target: nn.Module, fake: Tensor) -> Tensor:
    """E_B^s(x_AB), to be s_B: Eq. 3."""
    return style_encoder_of_target(fake)


class LeastSquares:
    """L_GAN, Eq. 4, in the form of Mao et al. 2017, which the paper takes (Section 5.1)."""

    def discriminator(self, real_score: Tensor, fake_score: Tensor) -> Tensor:
        """E[(D_B(x_B) - 1)^2] + E[D_B(x_AB)^2]."""
        return (real_score - 1).square().mean() + fake_score.square().mean()

    def generator(self, fake_score: Tensor) -> Tensor:
        """E[(D_B(x_AB) - 1)^2]."""
        return (fake_score - 1).square().mean()


def content_encoder(shape: Shape, *, width: int = 64) -> nn.Module:
    """E^c: [N, C, H, W] to [N, width, H/2, W/2], normalised so that no style is left."""
    return nn.Sequential(nn.Conv2d(shape[0], width, 4, 2, 1), nn.InstanceNorm2d(width), nn.ReLU())


def style_encoder(shape: Shape, style: int, *, width: int = 64) -> nn.Module:
    """E^s: [N, C, H, W] to [N, style], pooled so that no place is left."""
    first = (nn.Conv2d(shape[0], width, 4, 2, 1), nn.ReLU())
    return nn.Sequential(*first, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, style))


class Decoder(nn.Module):
    """G: content and style to a picture; the style sets scale and shift (AdaIN, Section 5.1)."""

    def __init__(self, shape: Shape, style: int, *, width: int = 64) -> None:
        super().__init__()
        self.middle, self.affine = nn.Conv2d(width, width, 3, padding=1), nn.Linear(style, 2 * width)
        self.up = nn.ConvTranspose2d(width, shape[0], 4, 2, 1)

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.affine(style)[:, :, None, None].chunk(2, 1)
        return self.up(relu((1 + scale) * instance_norm(self.middle(content)) + shift)).sigmoid()


def auto_encoder(a: str, style: int) -> list[Network]:
    """E_A^c, E_A^s and G_A of a domain, and its D_A."""
    return [
        Network(f"Ec_{a}", "content_encoder", (a,), "generator"),
        Network(f"Es_{a}", "style_encoder", (a,), "generator", {"style": style}),
        Network(f"G_{a}", "decoder", (a,), "generator", {"style": style}),
        Network(f"D_{a}", "discriminator", (a,)),
    ]


def view(a: str, b: str) -> View:
    """Wire a direction: encode, decode in both domains, encode again."""
    networks = {"content_encoder": f"Ec_{a}", "style_encoder": f"Es_{a}", "own_decoder": f"G_{a}", "decoder": f"G_{b}"}
    again = {"content_encoder_of_target": f"Ec_{b}", "style_encoder_of_target": f"Es_{b}", "discriminator": f"D_{b}"}
    return View(a + b, (a, b), {"source": a, "real": b, "style": f"S_{b}"}, networks | again)


@frozen
class MUNIT(Coupling):
    """Two auto-encoders and two discriminators (Figure 2, Eq. 5); `style` is the size of a style."""

    style: int = 8
    noise = property(lambda self: {"S_A": (self.style,), "S_B": (self.style,)})
    networks = property(lambda self: auto_encoder("A", self.style) + auto_encoder("B", self.style))
    views = (view("A", "B"), view("B", "A"))


@hookimpl
def ganforge_register(register: Register) -> None:
    for value in (content, own_style, rebuilt, fake, content_again, style_again):
        register.value(value.__name__, value)
    register.loss("least-squares", LeastSquares)
    register.network("content-encoder", content_encoder)
    register.network("style-encoder", style_encoder)
    register.network("decoder", Decoder)
    register.coupling("munit", MUNIT)
