"""MUNIT's two auto-encoders, and the values of a direction.

A picture consists of a content, in a space that both domains share, and a style: x_A = G_A(c_A, s_A). A translation
keeps the content and draws a style of the other domain from N(0, 1): x_AB = G_B(c_A, s_B). The names are those of the
direction from A to B.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

from attrs import frozen
from attrs.validators import ge, le
from torch import Tensor, nn

from ganforge import Coupling, Network, View


def content(content_encoder: nn.Module, source: Tensor) -> Tensor:
    """c_A = E_A^c(x_A): [N, C, H/4, W/4] with two halvings."""
    return content_encoder(source)  # type: ignore[no-any-return]


def own_style(style_encoder: nn.Module, source: Tensor) -> Tensor:
    """s_A = E_A^s(x_A): [N, style]."""
    return style_encoder(source)  # type: ignore[no-any-return]


def rebuilt(own_decoder: nn.Module, content: Tensor, own_style: Tensor) -> Tensor:
    """G_A(c_A, s_A), the reconstruction of x_A: Eq. 1."""
    return own_decoder(content, own_style)  # type: ignore[no-any-return]


def restyled(decoder: nn.Module, content: Tensor, style: Tensor) -> Tensor:
    """x_AB = G_B(c_A, s_B), with s_B drawn from N(0, 1): the translation."""
    return decoder(content, style)  # type: ignore[no-any-return]


def content_again(content_encoder_of_target: nn.Module, fake: Tensor) -> Tensor:
    """E_B^c(x_AB), the reconstruction of c_A: Eq. 2."""
    return content_encoder_of_target(fake)  # type: ignore[no-any-return]


def style_again(style_encoder_of_target: nn.Module, fake: Tensor) -> Tensor:
    """E_B^s(x_AB), the reconstruction of s_B: Eq. 3."""
    return style_encoder_of_target(fake)  # type: ignore[no-any-return]


def returned(own_decoder: nn.Module, content_again: Tensor, own_style: Tensor) -> Tensor:
    """G_A(E_B^c(x_AB), s_A), the reconstruction of x_A by the style-augmented cycle (section 5.1)."""
    return own_decoder(content_again, own_style)  # type: ignore[no-any-return]


VALUES = (content, own_style, rebuilt, restyled, content_again, style_again, returned)


@frozen
class MUNIT(Coupling):
    """MUNIT: an auto-encoder of content and style for each domain, and a discriminator (Figure 2, Eq. 5).

    Attributes:
        style: length of a style vector.
    """

    style: Annotated[int, ge(1), le(4096)] = 8

    @property
    def noise(self) -> Mapping[str, tuple[int, ...]]:  # type: ignore[override]  # it depends on a setting
        """The styles."""
        return {"S_A": (self.style,), "S_B": (self.style,)}

    @property
    def networks(self) -> Sequence[Network]:
        """E^c, E^s, G and D of both domains."""
        return [network for domain in ("A", "B") for network in self._networks_of(domain)]

    @property
    def views(self) -> Sequence[View]:
        """Both directions."""
        return (_view("A", "B"), _view("B", "A"))

    def _networks_of(self, domain: str) -> list[Network]:
        facts = {"style": self.style}
        encoder = Network(f"Ec_{domain}", "content_encoder", (domain,), "generator")
        return [
            encoder,
            Network(f"Es_{domain}", "style_encoder", (domain,), "generator", facts),
            Network(f"G_{domain}", "decoder", (domain,), "generator", {**facts, "content_encoder": encoder}),
            Network(f"D_{domain}", "discriminator", (domain,)),
        ]


def _view(a: str, b: str) -> View:
    """Wire a direction: encode, decode in both domains, encode again."""
    networks = {
        "content_encoder": f"Ec_{a}",
        "style_encoder": f"Es_{a}",
        "own_decoder": f"G_{a}",
        "decoder": f"G_{b}",
        "content_encoder_of_target": f"Ec_{b}",
        "style_encoder_of_target": f"Es_{b}",
        "discriminator": f"D_{b}",
    }
    return View(a + b, (a, b), {"source": a, "real": b, "style": f"S_{b}"}, networks)
