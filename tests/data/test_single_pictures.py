"""Crops of single pictures."""

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from ganforge import Depth
from ganforge.data.dataset import as_float
from ganforge.data.reading import silent
from ganforge.errors import InputError
from ganforge.testing import components_of
from ganforge_cache.cache import ready

Crops = next(c.factory for c in components_of("ganforge_data") if c.name == "crops")


@pytest.fixture
def pictures(tmp_path):
    """A picture in which every pixel says where it is, and a grey one."""
    rows, columns = np.mgrid[0:48, 0:64].astype(np.uint8)
    Image.fromarray(np.stack([rows, columns, 0 * rows], 2)).save(tmp_path / "a.png")
    Image.fromarray(np.full((40, 40), 100, np.uint8)).save(tmp_path / "b.png")
    return {"a": tmp_path / "a.png", "b": tmp_path / "b.png"}


def drawn(dataset, count, seed=0):
    return dataset.open("train")["A"].draw(count, torch.Generator().manual_seed(seed))


def test_a_batch_holds_different_cells_of_one_grid_mirrored_or_not(pictures):
    crops = (drawn(Crops(**pictures, size=16, zoom=1.0), 12) * 255).round().long()
    assert crops.shape == (12, 3, 16, 16)
    corners = set()
    for crop in crops:
        rows, columns = crop[0], crop[1]
        if columns[0, 0] > columns[0, 1]:
            columns = columns.flip(1)
        assert torch.equal(rows, rows[:, :1].expand(16, 16))
        assert torch.equal(columns[0], columns[0, 0] + torch.arange(16))
        corners.add((int(rows[0, 0]), int(columns[0, 0])))
    assert corners == {(row, column) for row in (0, 16, 32) for column in (0, 16, 32, 48)}
    mirrored = [bool(crop[1, 0, 0] > crop[1, 0, 1]) for crop in crops]
    assert {True, False} == set(mirrored)


def test_pictures_are_zoomed_and_drawn_alike_from_alike_seeds(pictures):
    dataset = Crops(**pictures, size=16)
    spans = set()
    for seed in range(20):
        crops = drawn(dataset, 30, seed)  # more than there are cells
        assert crops.shape == (30, 3, 16, 16)
        assert 0 <= float(crops.min()) <= float(crops.max()) <= 1
        assert torch.equal(crops, drawn(dataset, 30, seed))
        assert not torch.equal(crops, drawn(dataset, 30, seed + 1))
        spans.add(round(float((crops[0, 0, -1, 0] - crops[0, 0, 0, 0]) * 255)))
    assert min(spans) <= 20
    assert max(spans) >= 36  # 48 rows in 16 at most


def test_tests_see_the_cells_of_the_whole(pictures):
    test = Crops(**pictures, size=16).open("test")
    assert (test["A"].length, test["B"].length) == (12, 4)
    assert test["A"].load([5])[0, :2, 0, 0].tolist() == [16, 16]
    assert float(as_float(test["B"].load([0, 3])).mean()) == pytest.approx(100 / 255)


def test_a_picture_to_translate_is_cropped_and_made_smaller(pictures):
    assert Crops(**pictures, size=16).read("A", pictures["a"]).shape == (3, 16, 16)


def test_what_is_wrong_is_a_line(pictures, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    for a, size, message in (
        (tmp_path / "c.png", 16, "no picture .*c.png'; set dataset.a"),
        (tmp_path, 16, "no picture"),
        (tmp_path / "text.png", 16, "text.png"),
        (pictures["a"], 64, "is 64x48, smaller than crops of 64"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            Crops(a=a, b=pictures["b"], size=size).open("train")
        assert caught.value.key == "a"


@pytest.mark.parametrize(("kind", "high", "dtype"), [(np.uint16, 4095, torch.uint16), (np.float32, 1, torch.float32)])
def test_deep_pictures_are_cropped_at_full_depth(kind, high, dtype, pictures, tmp_path):
    deep = np.linspace(0, high, 48 * 64).reshape(48, 64).astype(kind)
    tifffile.imwrite(tmp_path / "deep.tif", deep)
    given = {"a": tmp_path / "deep.tif", "b": pictures["b"], "size": 16, "channels": 1, "zoom": 1.0}
    decided = Crops(**given).decide(ready, silent)
    dataset = Crops(**given, **decided.settings)
    assert dataset.depths == {"A": Depth(np.dtype(kind).name, 0, high), "B": Depth()}
    test = dataset.open("test")["A"].load([0, 3])
    assert test.dtype == dtype
    assert as_float(test)[0, 0].numpy() == pytest.approx(deep[:16, :16] / high, abs=1e-5)
    assert len(torch.unique(drawn(dataset, 12))) > 1024
    assert np.array_equal(dataset.picture("A", tmp_path / "deep.tif").numbers[0].numpy(), deep)
    assert dataset.read("A", tmp_path / "deep.tif").shape == (1, 16, 16)
