"""Folders of models at angles: names are understood, angles wrap, no model is in two places."""

import json
import re

import pytest
from PIL import Image

from ganforge import InputError
from ganforge.recipe import layers as recipe
from ganforge.training.build import make_dataset
from tests.conftest import read


@pytest.fixture
def azimuth(tmp_path, understand):
    """The data set `azimuth` with settings; a path is given relative to the test's folder."""

    def call(**settings):
        for key in {"root", "a", "b"} & set(settings):
            settings[key] = str(tmp_path / settings[key])
        path = tmp_path / "azimuth.toml"
        path.write_text(
            'extends = "base_64.toml"\n[dataset]\nuse = "azimuth"\n'
            + "\n".join(f"{key} = {json.dumps(value)}" for key, value in {"size": 4, **settings}.items())
        )
        return make_dataset(understand(path))

    return call


@pytest.fixture
def shoot(tmp_path):
    """Save a small picture under each name."""

    def call(folder, *names):
        for name in names:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), 100).save(path)

    return call


def models(dataset, split="train"):
    return {domain: set(samples.labels["model"]) for domain, samples in dataset.open(split).items()}


def angles(dataset, split="test"):
    return sorted(set(dataset.open(split)["A"].labels["azimuth"]))


TURN = [f"{model}_az{azimuth:03}_el08.png" for model in "uvw" for azimuth in range(0, 360, 15)]


def test_az_el_names_are_found(azimuth, shoot):
    shoot("cars", "u/x_az000_el08.png", "v/y_az-30_el-5.5.png", "w/z_az22.5_el08.png", "notes.png")
    dataset = azimuth(root="cars")
    both = [dataset.open(split)["A"].labels for split in ("train", "test")]
    found = {labels["file"][0]: (labels["model"], labels["azimuth"], labels["elevation"]) for labels in both}
    found |= {
        labels["file"][0]: (labels["model"], labels["azimuth"], labels["elevation"])
        for labels in [dataset.open("train")["B"].labels]
    }
    assert found == {
        "u/x_az000_el08.png": (["x"], [0.0], [8.0]),
        "v/y_az-30_el-5.5.png": (["y"], [-30.0], [-5.5]),
        "w/z_az22.5_el08.png": (["z"], [22.5], [8.0]),
    }


def test_names_of_the_rendered_chairs_are_found_as_they_unpack(azimuth, shoot):
    shoot("chairs", *(f"{model}/renders/image_001_p020_t011_r096.png" for model in ("1a", "2b", "3c")))
    dataset = azimuth(root="chairs")
    assert set.union(*models(dataset).values(), models(dataset, "test")["A"]) == {"1a", "2b", "3c"}
    labels = dataset.open("test")["A"].labels
    assert (labels["azimuth"], labels["elevation"]) == ([11.0], [20.0])
    assert labels["file"][0].endswith("/renders/image_001_p020_t011_r096.png")
    assert read(dataset, "test")["A"].load([0]).unique().tolist() == [100]


def test_a_regular_expression_reads_any_other_names(azimuth, shoot):
    shoot("faces", "p1/30.png", "p2/30.png", "p3/330.png", "p3/old/30.png")
    dataset = azimuth(root="faces", pattern=r"^(?P<model>p\d)/(?P<azimuth>\d+)\.png$")
    train, test = dataset.open("train"), dataset.open("test")
    found = [samples.labels for samples in (train["A"], train["B"], test["A"])]
    assert sorted((*labels["model"], *labels["azimuth"]) for labels in found) == [("p1", 30), ("p2", 30), ("p3", -30)]
    assert "elevation" not in found[0]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"angles": [-30.0, 30.0]}, [-30, -15, 0, 15, 30]),
        ({"angles": [-75.0, 75.0], "step": 50.0}, [-75, 75]),
        ({"angles": [-75.0, 75.0], "step": 75.0}, [-75, 0, 75]),
        ({"angles": [150.0, 180.0]}, [150, 165, 180]),
        ({"angles": [-180.0, -150.0]}, [-180, -165, -150]),
        ({"angles": [330.0, 375.0]}, [330, 345, 360, 375]),
        ({"angles": [0.0, 360.0], "step": 90.0}, [0, 90, 180, 270]),
        ({"angles": [-15.0, 15.0], "zero": 90.0}, [-15, 0, 15]),
        ({"angles": [0.0, 15.0], "elevations": [0.0, 10.0]}, [0, 15]),
    ],
)
def test_angles_wrap_and_are_chosen_by_range_and_step(settings, expected, azimuth, shoot):
    shoot("cars", *TURN)
    assert angles(azimuth(root="cars", **settings)) == pytest.approx(expected)


def test_345_degrees_are_15_to_the_other_side(azimuth, shoot):
    shoot("cars", *TURN)
    labels = azimuth(root="cars", angles=[-20.0, -10.0]).open("test")["A"].labels
    assert labels["azimuth"] == pytest.approx([-15])
    assert labels["file"][0][1:] == "_az345_el08.png"


def test_zero_says_which_azimuth_is_the_front(azimuth, shoot):
    shoot("cars", *TURN)
    labels = azimuth(root="cars", angles=[0.0, 0.0], zero=90.0).open("test")["A"].labels
    assert labels["file"][0][1:] == "_az090_el08.png"


def test_names_that_are_rounded_to_whole_degrees_are_on_their_step(azimuth, shoot):
    shoot("cars", *(f"{model}_az{azimuth:03}_el08.png" for model in "uv" for azimuth in (0, 11, 12, 23, 34, 45)))
    assert angles(azimuth(root="cars", angles=[0.0, 45.0], step=11.25)) == [0, 11, 23, 34, 45]


def test_elevations_are_chosen_by_range(azimuth, shoot):
    shoot("cars", *(f"{model}_az000_el{elevation:02}.png" for model in "uv" for elevation in (0, 10, 20, 30)))
    assert azimuth(root="cars", elevations=[10.0, 20.0]).open("test")["A"].labels["elevation"] == [10.0, 20.0]


def test_no_model_is_in_two_places_and_all_are_in_one(azimuth, shoot):
    shoot("cars", *(f"m{number}_az000_el00.png" for number in range(20)))
    train, test = models(azimuth(root="cars")), models(azimuth(root="cars"), "test")
    assert test["A"] == test["B"]
    assert (len(train["A"]), len(train["B"]), len(test["A"])) == (8, 9, 3)
    assert train["A"] | train["B"] | test["A"] == {f"m{number}" for number in range(20)}


def test_where_a_model_goes_depends_on_nothing_but_the_names(azimuth, shoot):
    shoot("cars", *(f"m{number}_az000_el00.png" for number in range(6)))
    shoot("moved", *(f"deep/m{number}_az045_el20.jpg" for number in reversed(range(6))))
    assert models(azimuth(root="cars")) == models(azimuth(root="moved"))


def test_variants_of_a_model_stay_together(azimuth, shoot):
    names = [f"car{number}{variant}" for number in range(6) for variant in ("", "-red", "-red-matt", "-blue")]
    shoot("cars", *(f"{name}_az000_el00.png" for name in names))
    dataset = azimuth(root="cars")
    parts = [*models(dataset).values(), models(dataset, "test")["A"]]
    kinds = [{name.split("-")[0] for name in part} for part in parts]
    assert [len(part) == 4 * len(kind) for part, kind in zip(parts, kinds, strict=True)] == [True] * 3
    assert sum(map(len, kinds)) == 6


def test_folders_train_and_test_are_kept(azimuth, shoot):
    shoot("cars/train", "u_az000_el00.png", "v_az000_el00.png")
    shoot("cars/test", "w_az000_el00.png")
    dataset = azimuth(root="cars")
    assert set.union(*models(dataset).values()) == {"u", "v"}
    assert dataset.open("test")["B"].labels["file"] == ["test/w_az000_el00.png"]


def test_two_classes_of_things_have_patterns_of_their_own(azimuth, shoot):
    shoot("cars", "u_az000_el00.png", "v_az000_el00.png")
    shoot("faces", "p1/f090.png", "p2/f090.png")
    dataset = azimuth(a="cars", b="faces", pattern="az_el", pattern_b=r"(?P<model>p\d)/f(?P<azimuth>\d+)")
    train, test = models(dataset), models(dataset, "test")
    assert (train["A"] | test["A"], train["B"] | test["B"]) == ({"u", "v"}, {"p1", "p2"})
    assert [len(part) for part in (*train.values(), *test.values())] == [1, 1, 1, 1]
    assert dataset.open("train")["B"].labels["azimuth"] == [90.0]


def test_auto_finds_the_pattern_of_each_class(azimuth, shoot):
    shoot("cars", "u_az030_el00.png", "v_az030_el00.png")
    shoot("chairs", *(f"{model}/renders/image_001_p020_t045_r096.png" for model in ("1a", "2b")))
    opened = azimuth(a="cars", b="chairs").open("train")
    assert [opened[domain].labels["azimuth"] for domain in "AB"] == [[30.0], [45.0]]


@pytest.mark.parametrize(
    ("settings", "key", "message"),
    [
        ({}, "root", "needs either one `root`, or the folders `a` and `b`"),
        ({"root": "cars", "a": "cars"}, "root", "needs either one `root`"),
        ({"a": "cars"}, "b", "needs a folder for each domain"),
        ({"b": "cars"}, "a", "needs a folder for each domain"),
        (
            {"root": "cars", "pattern": r"(?P<model>\w+)_(\d+)"},
            "pattern",
            "regular expression with the groups model and azimuth",
        ),
        ({"root": "cars", "pattern": "(?P<model>"}, "pattern", "regular expression with the groups model and azimuth"),
        ({"a": "cars", "b": "cars", "pattern_b": "(?P<model>"}, "pattern_b", "regular expression with the groups"),
        ({"root": "cars", "angles": [75.0, -75.0]}, "angles", r"expected \[smallest, largest\]"),
        ({"root": "cars", "angles": [-270.0, 180.0]}, "angles", "at most a full turn"),
        ({"root": "cars", "elevations": [20.0, 10.0]}, "elevations", r"expected \[smallest, largest\]"),
        ({"root": "cars", "step": 0.0}, "step", "x > 0, got 0.0"),
        ({"root": "cars", "step": -15.0}, "step", "x > 0, got -15.0"),
    ],
)
def test_settings_that_cannot_serve_are_refused_before_anything_is_read(settings, key, message, azimuth):
    with pytest.raises(recipe.RecipeError, match=message) as caught:
        azimuth(**settings)
    assert [problem.key for problem in caught.value.problems] == [f"dataset.{key}"]


@pytest.mark.parametrize(
    ("names", "settings", "key", "message"),
    [
        (None, {}, "root", "no folder '.*cars'"),
        ((), {}, "root", "no picture in '.*cars'"),
        (
            ("1.png", "2.png"),
            {},
            "pattern",
            "has a name that matches 'az_el' or 'rendered_chairs'; one is '1.png'; set dataset.pattern",
        ),
        (("1.png", "2.png"), {"pattern": "az_el"}, "pattern", "has a name that matches 'az_el'; one is '1.png'"),
        (
            ("1.png", "2.png"),
            {"pattern": "(?P<model>.)_(?P<azimuth>.)"},
            "pattern",
            re.escape("matches '(?P<model>.)_(?P<azimuth>.)'; one is '1.png'"),
        ),
        (
            ("a_x.png", "b_y.png"),
            {"pattern": "(?P<model>.)_(?P<azimuth>.)"},
            "pattern",
            "in the name of '.*a_x.png' is not a number",
        ),
        (("u_az000_el00.png", "u_az015_el00.png"), {}, "root", "holds one model; training and testing need one each"),
        (("u_az000_el00.png", "v_az000_el00.png"), {}, "root", "holds one model to train on; A and B need one each"),
    ],
)
def test_a_folder_that_cannot_serve_is_named(names, settings, key, message, tmp_path, azimuth, shoot):
    if names is not None:
        (tmp_path / "cars").mkdir()
        shoot("cars", *names)
    with pytest.raises(InputError, match=message) as caught:
        azimuth(root="cars", **settings).open("train")
    assert caught.value.key == key


def test_the_class_whose_names_do_not_fit_is_told_its_own_setting(azimuth, shoot):
    shoot("cars", "u_az000_el00.png", "v_az000_el00.png")
    with pytest.raises(InputError, match=r"'rendered_chairs'; one is '.*'; set dataset\.pattern_b") as caught:
        azimuth(a="cars", b="cars", pattern_b="rendered_chairs").open("train")
    assert caught.value.key == "pattern_b"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"angles": [100.0, 120.0]}, r"at angles \[100.0, 120.0\]; its azimuths are -30, 0, 30, 60$"),
        ({"angles": [-40.0, -20.0], "step": 7.0}, r"angles \[-40.0, -20.0\] in steps of 7; its azimuths are -30, 0"),
        ({"elevations": [40.0, 50.0]}, r"elevations \[40.0, 50.0\]; its azimuths are -30, 0, 30, 60$"),
    ],
)
def test_angles_that_no_picture_has_are_answered_with_those_that_are_there(settings, message, azimuth, shoot):
    shoot("cars", *(f"{model}_az{azimuth:03}_el08.png" for model in "uvw" for azimuth in (330, 0, 30, 60)))
    with pytest.raises(InputError, match=message) as caught:
        azimuth(root="cars", **settings).open("test")
    assert caught.value.key == "angles"
