"""Pairs in every layout: what belongs together stays together, what has no partner is named."""

import json

import pytest
import torch
from PIL import Image

from ganforge import InputError
from ganforge.data.batches import Batches
from ganforge.errors import RecipeError
from ganforge.training import build
from tests.conftest import read


@pytest.fixture
def dataset(tmp_path, understand):
    """The data set `pairs` with settings, its pictures 4x4 and grey."""

    def call(**settings):
        path = tmp_path / "recipe.toml"
        table = {"use": "pairs", "size": 4, "channels": 1, **settings}
        path.write_text(
            'extends = "base_64.toml"\n[dataset]\n'
            + "\n".join(f"{key} = {json.dumps(value, default=str)}" for key, value in table.items())
        )
        return build.make_dataset(understand(path))

    return call


def fill(folder, names, base=0, size=(8, 8)):
    """Save a picture under each name, whose grey is ten times the number in it, and the base."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        number = int("".join(filter(str.isdigit, name)))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size, base + 10 * number).save(folder / name)
    return folder


def side_by_side(folder, count, start=1):
    """Save pairs: the left half has ten times the number, the right half five more."""
    folder.mkdir(parents=True)
    for number in range(start, start + count):
        pair = Image.new("L", (16, 8), 10 * number)
        pair.paste(10 * number + 5, (8, 0, 16, 8))
        pair.save(folder / f"{number}_AB.png")
    return folder


def greys(samples):
    return samples.load(range(samples.length))[:, 0, 0, 0].tolist()


def found(dataset, split):
    return {domain: greys(samples) for domain, samples in read(dataset, split).items()}


@pytest.mark.parametrize("held", ["val", "test"])
def test_halves_of_a_file_are_a_pair_and_a_is_on_the_side_that_is_set(held, tmp_path, dataset):
    side_by_side(tmp_path / "facades" / "train", 3)
    side_by_side(tmp_path / "facades" / held, 2, start=11)
    left, right = (dataset(root=tmp_path / "facades", a_side=side) for side in ("left", "right"))
    assert found(left, "train") == {"A": [10, 20, 30], "B": [15, 25, 35]}
    assert found(left, "test") == {"A": [110, 120], "B": [115, 125]}
    assert found(right, "train") == {"A": [15, 25, 35], "B": [10, 20, 30]}
    assert left.groups == [["A", "B"]]


def test_a_share_of_the_files_is_held_out_where_there_is_no_test_folder(tmp_path, dataset):
    side_by_side(tmp_path / "maps" / "train", 10)
    pairs = dataset(root=tmp_path / "maps", test_share=0.2)
    train, test = found(pairs, "train"), found(pairs, "test")
    assert (len(train["A"]), len(test["A"])) == (8, 2)
    assert sorted(train["A"] + test["A"]) == [10 * number for number in range(1, 11)]
    assert test["B"] == [grey + 5 for grey in test["A"]]


def test_two_folders_go_together_by_name_whatever_the_suffix_and_the_size(tmp_path, dataset):
    a = fill(tmp_path / "a", ["10.png", "9.png", "deep/11.png"])
    b = fill(tmp_path / "b", ["9.tiff", "deep/11.bmp", "10.jpg"], base=5, size=(12, 6))
    test_a, test_b = fill(tmp_path / "ta", ["1_A.png"]), fill(tmp_path / "tb", ["1_B.png"], base=5)
    pairs = dataset(a=a, b=b, test_a=test_a, test_b=test_b)
    assert found(pairs, "train") == {"A": [90, 100, 110], "B": [95, 105, 115]}
    assert found(pairs, "test") == {"A": [10], "B": [15]}
    assert read(pairs, "train")["B"].labels["file"] == ["9.tiff", "10.jpg", "deep/11.bmp"]


def test_the_same_names_are_held_out_of_both_folders(tmp_path, dataset):
    names = [f"{number}.png" for number in range(20)]
    pairs = dataset(a=fill(tmp_path / "a", names), b=fill(tmp_path / "b", names, base=5), test_share=0.25)
    for split, count in (("train", 15), ("test", 5)):
        pictures = found(pairs, split)
        assert len(pictures["A"]) == count
        assert pictures["B"] == [grey + 5 for grey in pictures["A"]]


@pytest.mark.parametrize("layout", ["{split}{domain}", "{domain}/{split}"])
@pytest.mark.parametrize("tested", [True, False])
def test_one_root_may_hold_both_domains(layout, tested, tmp_path, dataset):
    for domain, base in (("A", 0), ("B", 5)):
        fill(tmp_path / "maps" / layout.format(split="train", domain=domain), ["1.png", "2.png", "3.png"], base)
        if tested:
            fill(tmp_path / "maps" / layout.format(split="test", domain=domain), ["7.png"], base)
    pairs = dataset(root=tmp_path / "maps")
    test = found(pairs, "test")
    assert len(found(pairs, "train")["A"]) == (3 if tested else 2)
    assert test["B"] == [grey + 5 for grey in test["A"]]
    assert not tested or test["A"] == [70]


def test_pictures_without_a_partner_are_named_or_left_out(tmp_path, dataset):
    a = fill(tmp_path / "a", [f"{number}.png" for number in range(1, 8)])
    b = fill(tmp_path / "b", ["1.png", "2.png", "9.png"], base=5)
    message = r"partner of the same name: '.*a/3.png', '.*a/4.png', '.*a/5.png' and 3 more; or set dataset.unpaired"
    with pytest.raises(InputError, match=message) as caught:
        dataset(a=a, b=b).open("train")
    assert caught.value.key == "b"
    opened = dataset(a=a, b=b, unpaired="skip", test_share=0.5).open("train")
    assert [opened[domain].left_out for domain in "AB"] == ["5 unpaired", "1 unpaired"]
    assert opened["A"].labels["file"] == opened["B"].labels["file"]


def test_nothing_in_common_is_an_error_even_where_the_unpaired_are_left_out(tmp_path, dataset):
    a, b = fill(tmp_path / "a", ["1.png"]), fill(tmp_path / "b", ["2.png"])
    with pytest.raises(
        InputError, match=r"no two pictures in '.*a' and '.*b' have the same name: '.*1.png', '.*2.png'"
    ):
        dataset(a=a, b=b, unpaired="skip").open("train")


def test_two_pictures_of_one_name_are_named(tmp_path, dataset):
    a, b = fill(tmp_path / "a", ["1.png", "1.jpg"]), fill(tmp_path / "b", ["1.png"])
    with pytest.raises(InputError, match=r"'.*1.jpg' and '.*1.png' have the same name") as caught:
        dataset(a=a, b=b).open("train")
    assert caught.value.key == "a"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "no folder"),
        (lambda root: root.mkdir(), "holds no pairs; it needs train/ with pairs side by side, trainA/ and trainB/"),
        (lambda root: (root / "facades" / "train").mkdir(parents=True), "holds no pairs; did you mean '.*facades'"),
        (lambda root: (root / "train").mkdir(parents=True), "no picture in"),
        (lambda root: fill(root / "trainA", ["1.png"]), "no folder '.*trainB'"),
        (lambda root: [fill(root / f"train{d}", ["1.png"]) for d in "AB"], "there is one pair"),
        (lambda root: side_by_side(root / "train", 1), "there is one pair"),
    ],
)
def test_a_root_that_cannot_serve_is_named(make, message, tmp_path, dataset):
    make(tmp_path / "root")
    with pytest.raises(InputError, match=message) as caught:
        dataset(root=tmp_path / "root").open("train")
    assert caught.value.key == "root"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "dataset.root: needs a `root`, which holds train/ with pairs side by side"),
        ({"root": "r", "a": "x"}, "dataset.root: needs a `root`"),
        ({"a": "x"}, "dataset.b: needs a folder for each domain"),
        ({"a": "x", "b": "y", "test_a": "z"}, "dataset.test_b: needs a folder for each domain"),
        ({"root": "r", "test_b": "z"}, "dataset.test_b: a `root` has its own test folders"),
        ({"root": "r", "a_side": "top"}, 'dataset.a_side: expected "left" or "right", got "top"'),
    ],
)
def test_settings_that_are_not_clear_are_refused(settings, message, dataset):
    with pytest.raises(RecipeError, match=message):
        dataset(**settings)


def test_an_odd_width_cannot_be_halved(tmp_path, dataset):
    fill(tmp_path / "train", ["1.png", "2.png"], size=(9, 4))
    with pytest.raises(InputError, match="9 pixels wide and cannot be halved"):
        read(dataset(root=tmp_path), "train")


def test_what_belongs_to_a_broken_picture_is_left_out_with_it(tmp_path, dataset):
    names = [f"{number}.png" for number in range(1, 7)]
    a, b = fill(tmp_path / "a", names), fill(tmp_path / "b", names, base=5)
    (a / "2.png").write_text("no picture")
    (b / "5.png").write_text("no picture")
    (a / "6.png").write_text("no picture")
    settings = {"a": a, "b": b, "test_a": fill(tmp_path / "t", ["9.png"]), "test_b": tmp_path / "t"}
    with pytest.raises(InputError, match="2 of 6 cannot be used"):
        read(dataset(**settings), "train")
    for more, first in (({}, (0, 0)), ({"load": 6}, (0, 0))):
        train = read(dataset(**settings, on_broken="skip", **more), "train")
        assert {domain: greys(samples) for domain, samples in train.items()} == {"A": [10, 30, 40], "B": [15, 35, 45]}
        assert train["A"].labels["file"] == train["B"].labels["file"] == ["1.png", "3.png", "4.png"]
        batch = Batches(train, batch=3, seed=0, device=torch.device("cpu"), groups=[["A", "B"]])(5)
        difference = (batch["B"] - batch["A"])[:, 0, 0, 0] * 255
        assert difference.round().tolist() == [5, 5, 5], first


def test_if_no_pair_is_whole_it_is_said(tmp_path, dataset):
    a, b = fill(tmp_path / "a", ["1.png", "2.png"]), fill(tmp_path / "b", ["1.png", "2.png"])
    (a / "1.png").write_text("no picture")
    (b / "2.png").write_text("no picture")
    pairs = dataset(a=a, b=b, test_a=a, test_b=b, on_broken="skip")
    with pytest.raises(InputError, match="the domains A, B belong together, but no complete sample is left"):
        read(pairs, "train")


def test_a_coupling_that_needs_pairs_says_so_where_the_data_draw_them_apart(pairs, tmp_path, ganforge):
    (tmp_path / "needy.py").write_text(
        "from attrs import frozen\n"
        "from ganforge import Coupling, Network, View, hookimpl\n"
        "@frozen\n"
        "class Needy(Coupling):\n"
        "    'Learns from pairs.'\n"
        "    networks = (Network('G', 'generator', ('A', 'B')),)\n"
        "    views = (View('AB', ('A', 'B'), {'source': 'A', 'real': 'B'}, {'generator': 'G'}),)\n"
        "    pairs = (('A', 'B'),)\n"
        "@hookimpl\n"
        "def ganforge_register(register):\n"
        "    register.coupling('needy', Needy)\n"
    )
    (tmp_path / "needy.toml").write_text(
        f'plugins = ["needy.py"]\n[dataset]\nuse = "edges2photo"\nroot = "{pairs}"\nsize = 16\n'
        '[coupling]\nuse = "needy"\n[generator]\nuse = "conv"\nwidth = 4\n[losses.l2]\nuse = "l2"\n'
        'on = { reconstructed = "fake", source = "real" }\n[optimizer]\nuse = "adam"\n[train]\nsteps = 1\nbatch = 2\n'
    )
    result = ganforge("validate", "needy.toml")
    assert result.status == 2
    assert (
        "needy.toml:7: coupling.use: the coupling 'needy' needs pairs of A and B; "
        "the data set 'edges2photo' draws them independently; try 'pairs'"
    ) in " ".join(result.err.split())
    data = ("dataset.use=pairs", f"dataset.root={pairs}", "dataset.size=16")
    result = ganforge("run", "needy.toml", *(word for pair in data for word in ("--set", pair)))
    assert result.status == 0, result.err
