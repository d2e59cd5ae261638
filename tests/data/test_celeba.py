"""CelebA's layout in miniature: attributes make domains, lists are read as they are found, faults are named."""

import pytest
from PIL import Image

from ganforge import InputError
from ganforge.errors import RecipeError
from ganforge.training.build import make_dataset
from tests.conftest import read

# As in the published file: a count, a header, and runs of blanks before what is positive.
LIST = """\
8
Blond_Hair Black_Hair Male Eyeglasses
1.png    1 -1 -1 -1
2.png    1 -1  1 -1
3.png   -1  1 -1 -1
4.png   -1  1  1  1
5.png    1  1 -1 -1
6.png   -1 -1  1 -1
7.png    1 -1 -1  1
8.png   -1  1 -1 -1
"""


@pytest.fixture
def root(tmp_path):
    """Eight pictures in CelebA's layout, the grey of number n being 20 n, without a partition file."""
    root = tmp_path / "celeba"
    (root / "img_align_celeba").mkdir(parents=True)
    for number in range(1, 9):
        Image.new("L", (4, 4), 20 * number).save(root / "img_align_celeba" / f"{number}.png")
    (root / "list_attr_celeba.txt").write_text(LIST)
    return root


@pytest.fixture
def celeba(tmp_path, root, understand):
    """The data set `celeba` over these pictures, with settings."""

    def call(**settings):
        table = {"root": str(root), "a": "Blond_Hair", "size": 4, "channels": 1, **settings}
        path = tmp_path / "celeba.toml"
        path.write_text(
            'extends = "base_64.toml"\n[dataset]\nuse = "celeba"\n'
            + "\n".join(f"{key} = {value!r}" for key, value in table.items() if value is not None)
        )
        return make_dataset(understand(path))

    return call


def files(dataset, split="train"):
    return {domain: samples.labels["file"] for domain, samples in dataset.open(split).items()}


def test_b_is_the_absence_of_a_and_the_last_share_is_the_test_split(celeba):
    dataset = celeba(test_share=0.25)
    assert files(dataset) == {"A": ["1.png", "2.png", "5.png"], "B": ["3.png", "4.png", "6.png"]}
    assert files(dataset, "test") == {"A": ["7.png"], "B": ["8.png"]}


def test_a_picture_with_both_attributes_is_in_neither_domain(celeba):
    dataset = celeba(b="Black_Hair", test_share=0.25)
    assert files(dataset) == {"A": ["1.png", "2.png"], "B": ["3.png", "4.png"]}


def test_a_minus_asks_for_the_absence_of_an_attribute(celeba):
    assert files(celeba(a="-Male", test_share=0.25)) == {
        "A": ["1.png", "3.png", "5.png"],
        "B": ["2.png", "4.png", "6.png"],
    }
    assert files(celeba(b="-Male", test_share=0.25)) == {"A": ["2.png"], "B": ["3.png"]}


def test_where_narrows_both_domains(celeba):
    assert files(celeba(where=["Male"], test_share=0.25)) == {"A": ["2.png"], "B": ["4.png", "6.png"]}
    assert files(celeba(where=["Male", "-Eyeglasses"], test_share=0.25)) == {"A": ["2.png"], "B": ["6.png"]}


def test_the_partition_file_says_train_test_and_what_is_left_out(root, celeba):
    (root / "list_eval_partition.txt").write_text(
        "1.png 0\n2.png 1\n3.png 0\n4.png 1\n5.png 2\n6.png 2\n7.png 0\n8.png 1\n"
    )
    assert files(celeba()) == {"A": ["1.png", "7.png"], "B": ["3.png"]}
    assert files(celeba(), "test") == {"A": ["5.png"], "B": ["6.png"]}


def test_a_partition_file_that_lacks_a_picture_is_named(root, celeba):
    (root / "list_eval_partition.txt").write_text("1.png 0\n2.png 1\n")
    with pytest.raises(InputError, match=r"list_eval_partition.txt' does not list '3.png'") as caught:
        celeba().open("train")
    assert caught.value.key == "root"


def test_the_copy_from_kaggle_is_read_as_it_unpacks(root, celeba):
    (root / "list_attr_celeba.txt").unlink()
    (root / "list_attr_celeba.csv").write_text(
        "image_id,Blond_Hair,Male\n1.png,1,-1\n2.png,-1,1\n3.png,1,1\n4.png,-1,-1\n"
    )
    (root / "list_eval_partition.csv").write_text("image_id,partition\n1.png,0\n2.png,0\n3.png,2\n4.png,2\n")
    (root / "img_align_celeba").rename(root / "inner")
    (root / "img_align_celeba").mkdir()
    (root / "inner").rename(root / "img_align_celeba" / "img_align_celeba")
    train = read(celeba(), "train")
    assert (train["A"].load([0]).unique().tolist(), train["B"].load([0]).unique().tolist()) == ([20], [40])
    assert files(celeba(), "test") == {"A": ["3.png"], "B": ["4.png"]}


def test_every_attribute_is_a_label(celeba):
    labels = celeba(test_share=0.25).open("train")["A"].labels
    assert labels == {
        "file": ["1.png", "2.png", "5.png"],
        "Blond_Hair": [True, True, True],
        "Black_Hair": [False, False, True],
        "Male": [False, True, False],
        "Eyeglasses": [False, False, False],
    }


@pytest.mark.parametrize(
    ("settings", "key", "message"),
    [
        ({"a": "Blond_Hairs"}, "a", "no attribute 'Blond_Hairs'; did you mean 'Blond_Hair'"),
        ({"b": "-male"}, "b", "no attribute 'male'; did you mean 'Male'"),
        ({"where": ["Male", "Eyeglass"]}, "where", "no attribute 'Eyeglass'; did you mean 'Eyeglasses'"),
        ({"a": "Eyeglasses", "where": ["-Male"]}, "a", r"attributes a = Eyeglasses, where = \['-Male'\]"),
        ({"b": "Male", "where": ["Blond_Hair"]}, "b", r"attributes b = Male, where = \['Blond_Hair'\]"),
        ({"where": ["Blond_Hair"]}, "b", r"attributes b = -Blond_Hair, where = \['Blond_Hair'\]"),
    ],
)
def test_attributes_that_no_picture_has_are_named_with_their_key(settings, key, message, celeba):
    with pytest.raises(InputError, match=message) as caught:
        celeba(test_share=0.25, **settings).open("train")
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "holds no file 'list_attr_celeba.txt'"),
        ("", "lists no picture"),
        ("1\nMale\n", "lists no picture"),
        (
            "Male Smiling\n1.png 1 -1\n2.png 1\n",
            r"list_attr_celeba.txt:3: expected a name and 2 numbers 1 or -1, got '2.png 1'",
        ),
        (
            "2\nMale\n1.png 1\n\n2.png yes\n",
            r"list_attr_celeba.txt:5: expected a name and 1 numbers .* got '2.png yes'",
        ),
    ],
)
def test_a_list_that_cannot_serve_is_named_with_its_line(text, message, root, celeba):
    (root / "list_attr_celeba.txt").unlink()
    if text is not None:
        (root / "list_attr_celeba.txt").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        celeba(a="Male").open("train")
    assert caught.value.key == "root"


@pytest.mark.parametrize("encode", [lambda text: b"\xef\xbb\xbf" + text, lambda text: text.replace(b"\n", b"\r")])
def test_lists_are_read_as_any_editor_saves_them(encode, root, celeba):
    for name, text in {"list_attr_celeba.txt": LIST, "list_eval_partition.txt": "1.png 0\n2.png 2\n3.png 0\n"}.items():
        (root / name).write_bytes(encode(text.replace("8\n", "", 1).partition("4.png")[0].encode()))
    assert files(celeba()) == {"A": ["1.png"], "B": ["3.png"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LIST.encode("utf-16"), r"list_attr_celeba.txt' is UTF-16; save it as UTF-8"),
        (b"Male\r\n1.png 1\r\n\xe9.png 1\r\n", r"list_attr_celeba.txt' is not UTF-8: line 3 holds the byte 0xe9"),
        (
            b"Male\n1.png\x0b 1\n2.png 1\n3.png\xe2\x80\xa8 7\n",
            r"list_attr_celeba.txt:4: expected a name and 1 numbers",
        ),
    ],
)
def test_a_list_in_another_encoding_or_with_odd_characters_is_told(content, message, root, celeba):
    (root / "list_attr_celeba.txt").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        celeba(a="Male").open("train")
    assert caught.value.key == "root"


def test_a_root_one_level_too_high_is_told_the_right_one(tmp_path, root, celeba):
    with pytest.raises(InputError, match=f"holds no folder 'img_align_celeba'; did you mean '{root}'") as caught:
        celeba(root=str(tmp_path)).open("train")
    assert caught.value.key == "root"


def test_a_picture_that_is_listed_and_missing_stops_everything(root, celeba):
    (root / "img_align_celeba" / "2.png").unlink()
    with pytest.raises(InputError, match=r"no picture '.*2\.png'; 1 of 3 cannot be used") as caught:
        read(celeba(test_share=0.25), "train")
    assert 'on_broken = "skip"' in str(caught.value)


def test_a_picture_that_is_missing_can_be_skipped_and_is_counted(root, celeba):
    (root / "img_align_celeba" / "2.png").unlink()
    train = read(celeba(test_share=0.25, on_broken="skip"), "train")["A"]
    assert (train.length, len(train.skipped)) == (2, 1)
    assert "2.png" in train.skipped[0]
    assert train.labels["file"] == ["1.png", "5.png"]
    assert train.labels["Black_Hair"] == [False, True]
    assert train.load([0, 1])[:, 0, 0, 0].tolist() == [20, 100]


def test_several_domains_are_pictures_with_just_one_of_the_attributes(celeba):
    dataset = celeba(a=None, domains=["Blond_Hair", "Black_Hair", "Male"], test_share=0.2)
    assert list(dataset.shapes) == ["Blond_Hair", "Black_Hair", "Male"]
    assert files(dataset) == {"Blond_Hair": ["1.png"], "Black_Hair": ["3.png"], "Male": ["6.png"]}
    assert read(celeba(a=None, domains=["Blond_Hair", "Black_Hair"]), "train")["Blond_Hair"].length == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"a": None}, "dataset.a: needs an attribute `a`, or several `domains`"),
        ({"domains": ["Male", "Blond_Hair"]}, "dataset.a: `domains` names the attributes already"),
        ({"a": None, "domains": ["Male"]}, "dataset.domains: expected two or more domains"),
        ({"a": None, "domains": ["Male", "Male"]}, "dataset.domains: expected two or more domains"),
    ],
)
def test_domains_that_are_not_clear_are_refused(settings, message, celeba):
    with pytest.raises(RecipeError, match="(?i)" + message):
        celeba(**settings)


def test_an_attribute_among_the_domains_that_is_not_there_is_named(celeba):
    with pytest.raises(InputError, match="no attribute 'Blonde_Hair'; did you mean 'Blond_Hair'") as caught:
        celeba(a=None, domains=["Blonde_Hair", "Male"]).open("train")
    assert caught.value.key == "domains"
