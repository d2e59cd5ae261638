"""What the discriminator is shown: changed picture by picture, differentiably, and by the papers' strengths."""

import pytest
import torch
from torch.nn.functional import pad

from ganforge_updates.augment import ADA, ADAState, ada, diffaugment
from tests.conftest import draw_pairs
from tests.proof.harness import Case, assert_half, assert_recorded
from tests.proof.test_ada import RECIPE

PICTURES = torch.rand(5, 3, 16, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
GREY = 0.5


def drawn(call, seed=1):
    torch.manual_seed(seed)
    return call()


def state(p: float) -> torch.Tensor:
    return torch.tensor([p, 0.0])


def test_colour_is_changed_as_in_the_paper():
    found = drawn(lambda: diffaugment(PICTURES, policy=["colour"]))
    brightness, saturation, contrast = drawn(lambda: [torch.rand(5, dtype=torch.float64) for _ in range(3)])
    for n, picture in enumerate(2 * PICTURES - 1):
        x = picture + brightness[n] - 0.5
        x = (x - x.mean(0)) * 2 * saturation[n] + x.mean(0)
        x = (x - x.mean()) * (contrast[n] + 0.5) + x.mean()
        torch.testing.assert_close(found[n], (x + 1) / 2)


def test_translation_shifts_by_an_eighth_at_most_and_fills_with_grey():
    found = drawn(lambda: diffaugment(PICTURES, policy=["translation"]))
    down, right = drawn(lambda: [torch.randint(-2, 3, (5,)), torch.randint(-3, 4, (5,))])
    for n, picture in enumerate(PICTURES):
        large = pad(picture, (3, 3, 2, 2), value=GREY)
        y, x = 2 - int(down[n]), 3 - int(right[n])
        torch.testing.assert_close(found[n], large[:, y : y + 16, x : x + 24])


def test_cutout_covers_a_rectangle_of_half_the_size_with_grey():
    found = drawn(lambda: diffaugment(PICTURES, policy=["cutout"]))
    down, right = drawn(lambda: [torch.randint(0, 17, (5,)), torch.randint(0, 25, (5,))])
    for n, picture in enumerate(PICTURES):
        expected = picture.clone()
        y, x = int(down[n]) - 4, int(right[n]) - 6
        expected[:, max(0, y) : max(0, y + 8), max(0, x) : max(0, x + 12)] = GREY
        torch.testing.assert_close(found[n], expected)


def test_every_picture_is_changed_by_numbers_of_its_own():
    same = PICTURES[:1].expand(4, -1, -1, -1)
    found = diffaugment(same)
    assert len({tuple(picture.flatten().tolist()) for picture in found}) == 4


def test_without_a_policy_nothing_changes():
    torch.testing.assert_close(diffaugment(PICTURES, policy=[]), PICTURES)


def test_a_probability_of_zero_changes_nothing():
    torch.testing.assert_close(ada(PICTURES, state(0.0)), PICTURES)


@pytest.mark.parametrize("shape", [(16, 16), (16, 24)], ids=str)
def test_pixels_are_only_moved_by_flips_and_turns(shape):
    pictures = torch.rand(40, 1, *shape)
    found = drawn(lambda: ada(pictures, state(1.0), transforms=["flip", "turn"]))
    ways = [
        way
        for picture in (pictures, pictures.flip(3))
        for way in (picture.rot90(k, (2, 3)) for k in ((0, 1, 2, 3) if shape[0] == shape[1] else (0, 2)))
    ]
    seen = [sum(torch.allclose(way[n], found[n]) for n in range(40)) for way in ways]
    assert sum(seen) == 40
    assert all(seen)


def test_shifts_reflect_what_lies_at_the_border():
    found = drawn(lambda: ada(PICTURES, state(1.0), transforms=["shift"]))
    drawn_now = drawn(lambda: [torch.rand(5, dtype=torch.float64) for _ in range(3)])  # now, down, right
    for n, picture in enumerate(PICTURES):
        y, x = (round(float(2 * r[n] - 1) * side / 8) for r, side in zip(drawn_now[1:], (16, 24), strict=True))
        large = pad(picture, (3, 3, 2, 2), mode="reflect")
        torch.testing.assert_close(found[n], large[:, 2 - y : 18 - y, 3 - x : 27 - x])


def test_colours_are_changed_by_the_papers_strengths():
    flat = torch.full((4000, 3, 1, 1), 0.75)  # 0.5 of pixels in [-1, 1]
    brighter = 2 * ada(flat, state(1.0), transforms=["brightness"]) - 1.5
    contrasted = ((2 * ada(flat, state(1.0), transforms=["contrast"]) - 1) / 0.5).log2()
    coloured = torch.tensor([0.9, 0.6, 0.75])[None, :, None, None].expand(4000, -1, 1, 1)
    saturated = ((ada(coloured, state(1.0), transforms=["saturation"]) - 0.75)[:, 0] / 0.15).log2()
    for found, deviation in ((brighter, 0.2), (contrasted, 0.5), (saturated, 1.0)):
        assert float(found.mean()) == pytest.approx(0, abs=0.05 * deviation)
        assert float(found.std()) == pytest.approx(deviation, rel=0.05)


def test_each_change_happens_with_the_probability():
    found = ada(torch.full((4000, 1, 1, 1), 0.5), state(0.3), transforms=["brightness"])
    assert float((found != 0.5).double().mean()) == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize(
    "change", [diffaugment, lambda pictures: ada(pictures, state(1.0))], ids=["diffaugment", "ada"]
)
def test_the_generator_learns_through_the_changes(change):
    pictures = PICTURES.clone().requires_grad_()
    change(pictures).square().sum().backward()
    assert pictures.grad.isfinite().all()
    assert all(picture.abs().sum() > 0 for picture in pictures.grad)


@pytest.mark.parametrize("change", [diffaugment, lambda samples: ada(samples, state(1.0))], ids=["diffaugment", "ada"])
def test_what_is_no_picture_is_refused(change):
    with pytest.raises(ValueError, match=r"needs pictures .* got \[4, 2\]"):
        change(torch.zeros(4, 2))


def test_the_probability_follows_the_mean_sign_of_each_interval():
    held = ADAState()
    update = ADA(target=0.5, interval=2, pictures=80)  # by 2 steps of 4 pictures in 80: 0.1
    high, low = torch.ones(4, 1), torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])
    found = []
    for step, scores in enumerate([high, high, [high, low], high, low, high, low, low, low, low, low, low]):
        update.after(step, scores, held())
        found.append(round(float(held()[0]), 4))
    #    mean signs: 1, 1; 0.5, 1; 0, 1 (which is the target); 0, 0; ...
    assert found == [0, 0.1, 0.1, 0.2, 0.2, 0.2, 0.2, 0.1, 0.1, 0, 0, 0]


def test_steps_with_changes_are_recorded_and_computed_in_half_precision(tmp_path):
    draw_pairs(tmp_path / "pairs")
    recipe = RECIPE.replace('"pairs"', f'"{tmp_path / "pairs"}"').replace('"ada"', '"diffaugment"')
    case = Case(recipe.split("[updates.ada]")[0] + "[optimizer]" + recipe.split("[optimizer]")[1], tmp_path)
    assert assert_recorded(case) == ""
    assert_half(case)
