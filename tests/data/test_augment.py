"""Random changes of training pictures."""

import torch

from ganforge.data.augment import Augment
from ganforge.data.dataset import random_generator

PICTURES = torch.rand(64, 3, 8, 10, generator=random_generator(1))


def test_a_flip_mirrors_some_of_the_pictures_exactly():
    flipped = Augment(flip=0.25).place(PICTURES, random_generator(0))
    mirrored = [torch.equal(after, before.flip(-1)) for after, before in zip(flipped, PICTURES, strict=True)]
    same = [torch.equal(after, before) for after, before in zip(flipped, PICTURES, strict=True)]
    assert all(one != other for one, other in zip(mirrored, same, strict=True))
    assert 8 <= sum(mirrored) <= 24
    assert torch.equal(Augment(flip=1.0).place(PICTURES, random_generator(0)), PICTURES.flip(-1))


def test_a_shift_moves_by_whole_pixels_and_repeats_the_border():
    picture = torch.arange(8.0).expand(200, 1, 4, 8)
    shifted = Augment(shift=0.25).place(picture, random_generator(0))
    rows = {tuple(one[0, 0].tolist()) for one in shifted}
    assert rows == {tuple(float(min(max(x + by, 0), 7)) for x in range(8)) for by in (-2, -1, 0, 1, 2)}


def test_brightness_and_contrast_keep_to_their_reach_and_to_the_range():
    bright = Augment(brightness=0.1).colour(PICTURES, random_generator(0))
    assert 0.05 < float((bright - PICTURES).abs().max()) <= 0.1 + 1e-6
    contrast = Augment(contrast=0.5).colour(torch.full((4, 3, 2, 2), 0.3), random_generator(0))
    torch.testing.assert_close(contrast, torch.full((4, 3, 2, 2), 0.3))  # what is even stays even
    wild = Augment(brightness=1.0, contrast=1.0).colour(PICTURES, random_generator(0))
    assert (float(wild.min()), float(wild.max())) == (0.0, 1.0)


def test_nothing_is_changed_unless_it_is_asked_for():
    assert not Augment()
    assert Augment(flip=0.1)
    assert Augment().place(PICTURES, random_generator(0)) is PICTURES
    assert Augment().colour(PICTURES, random_generator(0)) is PICTURES
