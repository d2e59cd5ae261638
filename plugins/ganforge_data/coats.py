"""Drawn animals with different coats, which need no files; in the spirit of horses to zebras (Zhu et al. 2017)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen, validators
from PIL import Image

from ganforge import InputError, Prepared, Samples, Split
from ganforge_data.animals import draw, faces_left
from ganforge_data.decode import MODES
from ganforge_data.opened import Opened
from ganforge_data.pictures import Pictures, pair

if TYPE_CHECKING:
    from torch import Tensor

Coat = Literal["plain", "striped", "spotted"]
Item = tuple[str, int, str]  # split, animal, coat
DOMAINS = ("A", "B", "C")


def _different(_: object, attribute: Any, coats: list[str]) -> None:
    """Two or three different coats."""
    if not 2 <= len(set(coats)) == len(coats):
        raise ValueError(f"{attribute.name} must be two or three different ones")


@frozen(kw_only=True)
class Coats(Pictures):
    """Four-legged animals with a plain, a striped or a spotted coat, each with its own pose, place and light.

    The test split shows the same animals, poses and backgrounds in all domains: the true translations. Labels are the
    coat; whether it is `plain`, `striped` or `spotted`; the number of the `animal`; a `pair` if domains show the same
    animals; and whether it faces `left`.

    Attributes:
        coats: coats of the domains A, B and, if there are three, C.
        pictures: training pictures of each domain.
        test_pictures: test pictures of each domain.
        paired: whether training pictures also show the same animals in all domains, as pairs; otherwise no animal is in
            two domains.
        seed: determines the animals.
    """

    coats: list[Coat] = field(factory=lambda: ["plain", "striped"], validator=_different)
    pictures: int = field(default=1000, validator=validators.ge(2))
    test_pictures: int = field(default=100, validator=validators.ge(1))
    paired: bool = False
    seed: int = field(default=0, validator=validators.ge(0))

    def __attrs_post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise InputError("expected 1 or 3", key="channels")

    @property
    def domain_names(self) -> Sequence[str]:
        """A domain for each coat."""
        return DOMAINS[: len(self.coats)]

    @property
    def groups(self) -> Sequence[Sequence[str]]:
        """All domains in one group, if they are paired."""
        return [self.domain_names] if self.paired else [[domain] for domain in self.domain_names]

    def samples(self, split: Split) -> Mapping[str, Prepared]:
        """Return the pictures of a split."""
        alike = self.paired or split == "test"
        count = self.pictures if split == "train" else self.test_pictures
        # Unpaired domains take turns, so that they show different animals.
        stride = 1 if alike else len(self.coats)
        made = {}
        for place, (domain, coat) in enumerate(zip(self.domain_names, self.coats, strict=True)):
            numbers = range(0 if alike else place, count * stride, stride)
            made[domain] = self._animals(domain, split, coat, numbers, {"pair": list(numbers)} if alike else {})
        return made

    def kin(self, labels: Mapping[str, Sequence[Any]]) -> Sequence[Any]:
        """Return the animals."""
        return labels["animal"]

    def held(self, kin: Collection[Any]) -> Mapping[str, Samples] | None:
        """Return held-out animals as in the test split: the same ones in all domains."""
        numbers = sorted(kin)
        coats = zip(self.domain_names, self.coats, strict=True)
        return {domain: self._animals(domain, "train", coat, numbers, {"pair": numbers}) for domain, coat in coats}

    def _animals(
        self, domain: str, split: Split, coat: str, numbers: Sequence[int], more: Mapping[str, Sequence[Any]]
    ) -> Prepared:
        labels: dict[str, Sequence[Any]] = {"coat": [coat] * len(numbers), "animal": list(numbers), **more}
        labels |= {other: [other == coat] * len(numbers) for other in self.coats}
        labels["left"] = [faces_left(self._random(split, number)) for number in numbers]
        items = [(split, number, coat) for number in numbers]
        return self.prepared(domain, partial(self._draw, domain), items, labels, self.seed)

    def _random(self, split: str, number: int) -> Random:
        return Random(f"{self.seed} {split} {number}")

    def _draw(self, domain: str, item: Item) -> Tensor:
        split, number, coat = item
        picture = Image.fromarray(draw(self._random(split, number), pair(self.size), coat))
        return self.fitted(domain, Opened([picture.convert(MODES[self.channels])]))
