"""The values of `--as`: a method, with its recipe, and the file names of its public code."""

import re
from collections.abc import Mapping
from typing import Literal

from attrs import frozen

Name = Literal[
    "cyclegan",
    "pix2pix",
    "cut",
    "discogan",
    "resnet_9blocks",
    "resnet_6blocks",
    "unet_256",
    "unet_128",
    "basic",
    "n_layers",
    "pixel",
]


@frozen
class Method:
    """A method's public code.

    Attributes:
        recipe: ganforge's recipe for it.
        dataset: the component that reads its data.
        files: the code's name of a network, as in `latest_net_G_A.pth` -> ganforge's name. `G` and `D` are also the
            defaults if a name says nothing.
        dropout: whether its U-Net has dropout, which no tensor shows.
    """

    recipe: str
    dataset: str
    files: Mapping[str, str]
    dropout: bool = False


USUAL = {
    "generator": "G",
    "discriminator": "D",
    "heads": "F",
}  # role -> name of the only network of the role in the public code

# In CycleGAN's code G_A translates A to B, and D_A judges B; in DiscoGAN's, `generator_A` translates to A, and
# `discriminator_A` judges A.
METHODS: Mapping[str, Method] = {
    "cyclegan": Method(
        "base_cyclegan", "folders", {"G_A": "G_AB", "G_B": "G_BA", "D_A": "D_B", "D_B": "D_A", "G": "G_AB", "D": "D_B"}
    ),
    "pix2pix": Method("base_pix2pix", "pairs", {"G": "G", "D": "D"}, dropout=True),
    "cut": Method("base_cut", "folders", {"G": "G", "D": "D", "F": "H"}),
    "discogan": Method(
        "base_64",
        "folders",
        {"gen_A": "G_BA", "gen_B": "G_AB", "dis_A": "D_A", "dis_B": "D_B", "G": "G_AB", "D": "D_B"},
    ),
}


def method_of(name: Name) -> Method:
    """Return a method; for a network's name, the method that introduced it."""
    return METHODS[name] if name in METHODS else METHODS["pix2pix" if name.startswith("unet") else "cyclegan"]


def network_named(stem: str, method: Method, networks: Mapping[str, object]) -> str | None:
    """Return the network that a file's name indicates, by the names of the public code or ganforge's.

    >>> network_named("latest_net_D_A", METHODS["cyclegan"], {})
    'D_B'
    >>> network_named("model_gen_A-3", METHODS["discogan"], {}), network_named("G_AB", METHODS["cyclegan"], {"G_AB": 0})
    ('G_BA', 'G_AB')
    >>> network_named("horse2zebra", METHODS["cyclegan"], {})
    """
    known = {**{name: name for name in networks}, **method.files}
    for name in sorted(known, key=len, reverse=True):
        if re.search(rf"(?<![A-Za-z])(?:net)?{name}(?![A-Za-z])", stem):
            return known[name]
    return None
