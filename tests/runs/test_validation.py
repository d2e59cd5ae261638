"""The best checkpoint is chosen by samples that are neither trained on nor tested with, and tested once, at the end."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ganforge import (
    Dataset,
    InputError,
    Prepared,
    Stored,
    decide_and_read,
    kin_of,
    make_dataset,
    read_results,
)
from ganforge.data.duplicates import find_duplicates
from ganforge.data.held_out import choose
from ganforge.recipe.layers import load
from ganforge.recipe.resolve import resolve


def draw(folder, count, *, prefix="", size=16, seed=0):
    """Pictures of noise, no two alike."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        Image.fromarray(random.integers(0, 256, (size, size, 3), np.uint8)).save(folder / f"{prefix}{number}.png")


PICTURES = """\
extends = "base_64"
[dataset]
use = "folders"
a = "a"
b = "b"
size = 16
validation = {validation}
[coupling]
use = "discogan"
[generator]
use = "conv"
width = 2
[discriminator]
use = "conv"
width = 2
[evaluations]
diversity = false
grid = false
look = {{ use = "looked" }}
[losses.adversarial]
use = "gan"
[train]
steps = 6
batch = 4
[record]
evaluate_every = 2
sample_every = 2
log_every = 0
"""

# An evaluation that writes down which samples it is given, and returns what the recipe says for each step.
LOOKED = """\
import json
from pathlib import Path
from ganforge import Findings, hookimpl

def looked(trained, *, course: list[float] = []):
    \"\"\"What it was given; a number for each step.\"\"\"
    names = [trained.samples("test")[domain].labels["file"] for domain in ("A", "B")]
    with Path("given.jsonl").open("a") as file:
        file.write(json.dumps([trained.step, trained.rehearsal, names]) + "\\n")
    value = course[trained.step] if trained.step < len(course) else float(trained.step)
    return Findings({"value": value}, about={"pictures": len(names[0])}, warnings=["these are few"])

@hookimpl
def ganforge_register(register):
    register.evaluation("looked", looked)
"""


@pytest.fixture
def pictures(tmp_path, ganforge):
    """Train on two folders of noise, with validation as it is said, and return the result."""
    draw(tmp_path / "a", 30, seed=1)
    draw(tmp_path / "b", 30, prefix="b", seed=2)
    (tmp_path / "looked.py").write_text(LOOKED)

    def call(*sets, validation="0.2", text=PICTURES, command="run"):
        (tmp_path / "p.toml").write_text(text.format(validation=validation))
        words = [word for one in sets for word in ("--set", one)]
        return ganforge(command, "p.toml", "--plugin", "looked.py", *words)

    return call


def given(folder):
    return [tuple(json.loads(line)) for line in (folder / "given.jsonl").read_text().splitlines()]


@pytest.fixture
def sources_of(plugins, tmp_path, monkeypatch):
    """Read the samples of a recipe of this folder, of all splits."""
    monkeypatch.chdir(tmp_path)

    def call(name, *sets):
        plan = resolve(load(name, sets, plugins.recipes()), plugins.registry)
        return decide_and_read(plan, make_dataset(plan))[3]

    return call


def test_while_a_run_trains_it_is_looked_at_with_validation_samples_alone(pictures, tmp_path, ganforge):
    result = pictures("record.best=-value", "evaluations.look.course=[9, 9, 5, 9, 3, 9, 4]")
    assert result.status == 0, result.err
    run = tmp_path / "runs" / "p" / "0001"
    looks = given(tmp_path)
    (_, _, validation), (_, _, test), *rest = looks
    for domain in (0, 1):
        assert len(validation[domain]) == 5  # a fifth of the 27 that are not held out for tests
        assert len(test[domain]) == 3
        assert not set(validation[domain]) & set(test[domain])
    # Before the training both are tried; then validation every two steps; the test split for the last and the best.
    assert [(step, names == test) for step, _, names in rest] == [
        *((2, False), (4, False), (6, False)),
        *((6, True), (4, True)),
    ]
    results = read_results(run)
    assert (results.last.step, results.best.step, results.by) == (6, 4, "-value")
    assert results.best.metrics == {"validation": {"look": {"value": 3.0}}, "test": {"look": {"value": 3.0}}}
    assert results.last.about["test"] == {"look": {"pictures": 3}}
    assert results.last.about["validation"] == {"look": {"pictures": 5}}
    assert "look: these are few" in result.out + result.err
    again = ganforge("evaluate", run, "--json", "--plugin", "looked.py")
    assert json.loads(again.out)["best"]["step"] == 4
    assert read_results(run) == results


def test_samples_that_are_set_aside_are_not_trained_on_and_stay_the_same(tmp_path, sources_of):
    draw(tmp_path / "a", 40, seed=1)
    draw(tmp_path / "b", 25, prefix="b", seed=2)
    text = PICTURES.format(validation="0.1").replace('look = { use = "looked" }\n', "")
    (tmp_path / "p.toml").write_text(text)
    whole = sources_of("p.toml", "dataset.validation=0.1")
    names = {split: {d: set(s.labels["file"]) for d, s in whole[split].items()} for split in whole}
    assert {split: {d: len(found) for d, found in names[split].items()} for split in names} == {
        "train": {"A": 32, "B": 20},
        "validation": {"A": 4, "B": 2},
        "test": {"A": 4, "B": 3},
    }
    for domain in "AB":
        train, validation, test = (names[split][domain] for split in ("train", "validation", "test"))
        assert train.isdisjoint(validation | test)
        assert validation.isdisjoint(test)
        pixels = whole["validation"][domain].load(range(2))
        assert pixels.shape == (2, 3, 16, 16)
    # A new picture changes at most which is the last of them.
    draw(tmp_path / "a", 1, prefix="new", seed=3)
    more = set(sources_of("p.toml")["validation"]["A"].labels["file"])
    assert len(names["validation"]["A"] & more) >= 3
    larger = set(sources_of("p.toml", "dataset.validation=0.3")["validation"]["A"].labels["file"])
    assert more <= larger


def test_the_pixels_of_the_validation_samples_are_those_of_their_files(tmp_path, sources_of):
    draw(tmp_path / "a", 20, seed=1)
    draw(tmp_path / "b", 20, seed=2)
    (tmp_path / "p.toml").write_text(PICTURES.format(validation="0.2").replace('look = { use = "looked" }\n', ""))
    for sets in ((), ("dataset.load=20",)):
        sources = sources_of("p.toml", *sets)
        held = sources["validation"]["B"]
        for place, name in enumerate(held.labels["file"]):
            truth = torch.from_numpy(np.asarray(Image.open(tmp_path / "b" / name)).copy()).permute(2, 0, 1)
            assert torch.equal(held.load([place])[0], truth), sets  # whole, also where training crops larger ones
        assert sources["train"]["A"].load([0]).shape == (1, 3, 16, 16)


def test_both_halves_of_a_pair_are_set_aside_together(tmp_path, sources_of):
    for split, count in (("train", 20), ("val", 4)):
        (tmp_path / "pairs" / split).mkdir(parents=True)
        for number in range(count):
            pixels = np.random.default_rng([number, count]).integers(0, 256, (16, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pairs" / split / f"{number}.png")
    text = 'extends = "discogan_edges2shoes"\n[dataset]\nuse = "{use}"\nroot = "pairs"\nsize = 16\nvalidation = 0.2\n{more}'
    for use, more in (("edges2photo", ""), ("edges2photo", "paired = true\n"), ("pairs", "")):
        (tmp_path / "p.toml").write_text(text.format(use=use, more=more) + "[train]\nbatch = 2\n")
        sources = sources_of("p.toml")
        files = {split: {d: list(s.labels["file"]) for d, s in found.items()} for split, found in sources.items()}
        assert files["validation"]["A"] == files["validation"]["B"]  # so that pairs can be compared
        held = set(files["validation"]["A"])
        assert len(held) == 4
        assert held.isdisjoint([*files["train"]["A"], *files["train"]["B"]])


def test_one_thing_is_never_on_both_sides(tmp_path, sources_of):
    (tmp_path / "p.toml").write_text(
        'extends = "discogan_car2car_turntable"\n[dataset]\nmodels = 10\ntest_models = 2\nsize = 16\n'
        "validation = 0.2\n[generator]\nlayers = 4\nwidth = 2\n[discriminator]\nwidth = 2\n[train]\nbatch = 4\n"
    )
    sources = sources_of("p.toml")
    for domain in "AB":
        models = {split: set(sources[split][domain].labels["model"]) for split in sources}
        assert len(models["validation"]) == 2
        assert models["validation"].isdisjoint(models["train"] | models["test"])
        assert sources["validation"][domain].length == 2 * 11  # all angles of each
    celeba = tmp_path / "celeba"
    draw(celeba / "img_align_celeba", 24, size=16)
    rows = [f"{n}.png {1 if n % 2 else -1}" for n in range(24)]
    (celeba / "list_attr_celeba.txt").write_text("\n".join(["24", "Hat", *rows, ""]))
    parts = [f"{n}.png {2 if n >= 20 else 1 if n >= 16 else 0}" for n in range(24)]
    (celeba / "list_eval_partition.txt").write_text("\n".join([*parts, ""]))
    (celeba / "identity_CelebA.txt").write_text("\n".join([*(f"{n}.png {n // 4}" for n in range(24)), ""]))
    (tmp_path / "c.toml").write_text(
        'extends = "discogan_celeba_hair"\n[dataset]\nroot = "celeba"\na = "Hat"\nb = "-Hat"\nsize = 16\n'
        "validation = 0.25\n[generator]\nlayers = 4\nwidth = 2\n[discriminator]\nwidth = 2\n[train]\nbatch = 2\n"
    )
    sources = sources_of("c.toml")
    people = {split: {one for d in "AB" for one in found[d].labels["identity"]} for split, found in sources.items()}
    assert len(people["validation"]) == 1
    assert people["validation"].isdisjoint(people["train"])
    own = sources_of("c.toml", "dataset.validation=own")
    assert sorted(own["validation"]["B"].labels["file"]) == ["16.png", "18.png"]


def test_copies_of_test_pictures_are_told_and_never_chosen(pictures, tmp_path):
    draw(tmp_path / "ta", 6, seed=5)
    draw(tmp_path / "tb", 6, seed=6)
    for number, path in enumerate(sorted((tmp_path / "a").iterdir())[:12]):
        shutil.copy(path, tmp_path / "ta" / f"copy{number}.png")  # under other names
    result = pictures("dataset.test_a=ta", "dataset.test_b=tb", validation="0.4")
    assert result.status == 0, result.err
    assert "training pictures are also test pictures" in result.out + result.err
    assert "12 (" in result.out + result.err
    twice = {path.name for path in sorted((tmp_path / "a").iterdir())[:12]}
    (_, _, validation), *_ = given(tmp_path)
    assert len(validation[0]) == 12
    assert twice.isdisjoint(validation[0])


def test_a_folder_of_validation_pictures_holds_no_others(pictures, tmp_path, ganforge):
    draw(tmp_path / "v" / "A", 4, seed=8)
    draw(tmp_path / "v" / "b", 3, seed=9)
    assert pictures(validation='"v"').status == 0
    (_, _, validation), *_ = given(tmp_path)
    assert [len(names) for names in validation] == [4, 3]
    run = tmp_path / "runs" / "p" / "0001"
    lock = (run / "recipe.lock.toml").read_text()
    assert f'validation = "{tmp_path / "v"}"' in lock
    assert '"validation.A" = "4 samples' in lock
    shutil.move(tmp_path / "v", tmp_path / "w")
    moved = ganforge("resume", run, "--set", "dataset.validation=w", "--set", "train.steps=8", "--plugin", "looked.py")
    assert moved.status == 0, moved.err
    for split, one in (("training", next((tmp_path / "a").iterdir())), ("test", None)):
        if one is None:
            (_, _, _), (_, _, test), *_ = given(tmp_path)
            one = tmp_path / "b" / test[1][0]
        shutil.copy(one, tmp_path / "w" / "A" / f"{split}.png")
        wrong = pictures(validation='"w"')
        assert wrong.status == 2
        assert "dataset.validation: contains pictures of the" in wrong.err
        assert f"{split}.png" in wrong.err
        (tmp_path / "w" / "A" / f"{split}.png").unlink()


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ("1.5", "dataset.validation: expected 0 < x < 1"),
        ("0", "dataset.validation: expected 0 < x < 1"),
        ('"nowhere"', "dataset.validation: no folder 'nowhere'"),
        ('"own"', "dataset.validation: these folders hold no validation pictures"),
        ('"a"', "dataset.validation: 'a' holds none of the folders 'A', 'a'"),
        ("[1]", "dataset.validation: expected"),
    ],
)
def test_what_cannot_be_set_aside_is_one_line(validation, message, pictures):
    result = pictures(validation=validation)
    assert result.status == 2
    assert message in result.err
    assert "Traceback" not in result.err


def test_too_few_pictures_leave_enough_of_both(pictures, tmp_path):
    for folder in ("a", "b"):
        shutil.rmtree(tmp_path / folder)
        draw(tmp_path / folder, 4, seed=ord(folder), prefix=folder)  # one of them is a test picture
    result = pictures("train.batch=2", validation="0.1")
    assert result.status == 0, result.err
    (_, _, validation), *_ = given(tmp_path)
    assert [len(names) for names in validation] == [1, 1]
    result = pictures("train.batch=2", validation="0.9")
    assert result.status == 2
    assert "domain A has 1 training samples, fewer than a batch of 2" in result.err
    (tmp_path / "a" / "a0.png").unlink()
    (tmp_path / "a" / "a1.png").unlink()
    result = pictures("train.batch=2", validation="0.9")
    assert result.status == 2
    assert "dataset.validation: nothing of domain A can be held out" in result.err


def test_best_needs_validation_samples_and_takes_a_twentieth_by_default(pictures, tmp_path):
    text = PICTURES.replace("validation = {validation}\n", "")
    assert pictures("record.best=value", text=text).status == 0
    lock = (tmp_path / "runs" / "p" / "0001" / "recipe.lock.toml").read_text()
    assert "validation = 0.05" in lock
    (_, _, validation), (_, _, test), *_ = given(tmp_path)
    assert len(validation[0]) == 1
    assert set(validation[0]).isdisjoint(test[0])


def test_without_validation_the_course_is_that_of_the_test_split(pictures, tmp_path):
    assert pictures(text=PICTURES.replace("validation = {validation}\n", "")).status == 0
    results = read_results(tmp_path / "runs" / "p" / "0001")
    assert results.best is None
    assert results.last.metrics.keys() == {"test"}


def test_patience_ends_a_run_whose_metric_no_longer_improves(pictures, tmp_path, ganforge):
    course = "evaluations.look.course=[9, 9, 5, 9, 6, 9, 7, 7, 1, 1, 1, 1, 0, 0, 0]"
    result = pictures("train.steps=14", "train.patience=2", "record.best=-value", "record.checkpoint_every=5", course)
    assert result.status == 0, result.err
    run = tmp_path / "runs" / "p" / "0001"
    assert "stopped at step 6: '-value' did not improve in 2 evaluations" in result.out + result.err
    results = read_results(run)
    assert (results.last.step, results.last.stopped, results.best.step) == (6, True, 2)
    assert results.last.metrics.keys() == results.best.metrics.keys() == {"validation", "test"}
    before = (run / "metrics.json").read_bytes()
    again = ganforge("resume", run, "--plugin", "looked.py")
    assert again.status == 0
    assert "its metric stopped improving after 6 of 14 steps" in again.out
    assert (run / "metrics.json").read_bytes() == before
    further = ganforge("resume", run, "--plugin", "looked.py", "--set", "train.patience=0")
    assert further.status == 0, further.err
    results = read_results(run)
    assert (results.last.step, results.last.stopped, results.best.step) == (14, False, 12)


@pytest.mark.slow
def test_patience_counts_on_over_a_resume(pictures, tmp_path, ganforge):
    course = "evaluations.look.course=[9, 9, 5, 9, 6, 9, 7, 7, 7, 8]"
    words = ("train.patience=3", "record.best=-value", "record.checkpoint_every=1", course)
    assert pictures("train.steps=5", *words).status == 0
    run = tmp_path / "runs" / "p" / "0001"
    assert ganforge("resume", run, "--plugin", "looked.py", "--set", "train.steps=20").status == 0
    assert read_results(run).last.step == 6  # 4, 5 (its last step was looked at, too), 6
    assert pictures("train.steps=20", *words).status == 0
    assert read_results(tmp_path / "runs" / "p" / "0002").last.step == 8


def test_a_run_with_patience_needs_to_know_what_is_better(pictures):
    result = pictures("train.patience=2")
    assert result.status == 2
    assert "train.patience: needs record.best, which says what is better" in result.err


def test_a_metric_that_is_never_finite_chooses_nothing_and_is_named(pictures, tmp_path):
    (tmp_path / "looked.py").write_text(LOOKED.replace("float(trained.step)", "float('nan')"))
    result = pictures("record.best=value")
    assert result.status == 0, result.err
    run = tmp_path / "runs" / "p" / "0001"
    assert not (run / "checkpoints" / "best").exists()
    assert "the metric look.value is not finite" in result.out + result.err
    assert "there is no best checkpoint: 'value' was never a finite number" in result.out + result.err
    assert json.loads((run / "metrics.json").read_text())["test"] == {"look": {"value": None}}


def test_the_weights_of_the_best_checkpoint_are_what_is_tested(tmp_path, ganforge):
    (tmp_path / "t.toml").write_text(
        'extends = "discogan_toy"\n[generator]\nhidden = 4\n[discriminator]\nhidden = 4\n[train]\nsteps = 12\n'
        '[record]\nbest = "-cycle_error_A"\nevaluate_every = 3\nsample_every = 0\n'
    )
    assert ganforge("run", "t.toml", "--set", "train.steps=6").status == 0
    run = tmp_path / "runs" / "t" / "0001"
    results = read_results(run)
    folder = run / "checkpoints" / f"step-{results.best.step:08d}"
    found = ganforge("evaluate", folder, "--json")
    tested = json.loads(found.out)["test"]["modes"]
    assert tested == pytest.approx(results.best.metrics["test"]["modes"])
    assert results.best.metrics["validation"] != results.best.metrics["test"]
    assert load_file(folder / "G_AB.safetensors")


def test_data_that_are_drawn_afresh_say_what_they_are_validated_with(tmp_path, ganforge):
    plugin = (
        "import torch\nfrom ganforge import Dataset, Drawn, Stored, hookimpl\n"
        "class Noise(Dataset):\n    shapes = {'A': (2,), 'B': (2,)}\n"
        "    def open(self, split):\n        points = torch.randn(8, 2)\n"
        "        if split == 'train':\n"
        "            draw = Drawn(lambda count, random: torch.randn(count, 2, generator=random))\n"
        "            return {'A': draw, 'B': draw}\n"
        "        return dict.fromkeys('AB', Stored(8, lambda indices: points[list(indices)]))\n"
        "@hookimpl\ndef ganforge_register(register):\n    register.dataset('noise', Noise)\n"
    )
    (tmp_path / "noise.py").write_text(plugin)
    (tmp_path / "n.toml").write_text(
        'extends = "discogan_toy"\nplugins = ["noise.py"]\n[dataset]\nuse = "noise"\nvalidation = 0.1\n'
        "[evaluations]\nmodes = false\n[train]\nsteps = 2\nbatch = 4\n"
    )
    result = ganforge("run", "n.toml")
    assert result.status == 2
    assert "dataset.validation: the training samples are drawn afresh, so none can be held out" in result.err


class Two(Dataset):
    """Points of two domains, with labels that say what belongs together."""

    def __init__(self, labels, groups):
        self.labels, self.two = labels, groups

    @property
    def shapes(self):
        return dict.fromkeys(self.labels, (1,))

    @property
    def groups(self):
        return self.two

    def open(self, split):
        return {d: Stored(4, lambda indices: torch.zeros(len(indices), 1), found) for d, found in self.labels.items()}


def test_kin_are_named_by_pair_by_file_or_by_place():
    both = {"A": {"file": list("abcd")}, "B": {"pair": [1, 2, 3, 4], "file": list("efgh")}}
    apart = Two(both, [["A"], ["B"]])
    assert kin_of(apart, apart.open("train")) == {"A": list("abcd"), "B": [1, 2, 3, 4]}
    together = Two(both, [["A", "B"]])
    assert kin_of(together, together.open("train")) == {"A": list("abcd"), "B": list("abcd")}
    bare = Two({"A": {}, "B": {}}, [["A"], ["B"]])
    assert kin_of(bare, bare.open("train"))["B"] == [(1, 0), (1, 1), (1, 2), (1, 3)]


def test_what_is_chosen_depends_on_names_alone():
    names = [f"{number}.png" for number in range(100)]
    chosen = choose({"A": names}, 0.1)
    assert len(chosen) == 10
    assert choose({"A": names[::-1]}, 0.1) == chosen
    assert len(choose({"A": names + names}, 0.1)) == 10  # each name counts once
    assert choose({"A": names[:60], "B": names[60:]}, 0.1) <= set(names)
    assert not choose({"A": names}, 0.1, chosen) & chosen
    for kin in ({"A": ["x"]}, {"A": ["x", "x"]}, {"A": ["x", "y"], "B": ["x", "y", "z"], "C": ["x", "w"]}):
        if len(set(kin["A"])) < 2:
            with pytest.raises(InputError, match="nothing of domain A can be held out"):
                choose(kin, 0.5)
    with pytest.raises(InputError, match="nothing of domain A"):
        choose({"A": names}, 0.1, names)


def test_files_of_the_same_content_are_found_whatever_their_names(tmp_path):
    draw(tmp_path / "a", 6, seed=1)
    draw(tmp_path / "b", 6, seed=2)
    shutil.copy(tmp_path / "a" / "3.png", tmp_path / "b" / "other.png")
    (tmp_path / "b" / "again.png").symlink_to(tmp_path / "a" / "5.png")

    def stored(folder):
        items = sorted(folder.iterdir())
        return Stored(len(items), lambda indices: torch.zeros(0), made_of=Prepared(items, lambda item: item, ""))

    found = find_duplicates({"A": stored(tmp_path / "a")}, {"B": stored(tmp_path / "b")})
    assert {domain: sorted(path.name for path in there.values()) for domain, there in found.items()} == {
        "A": ["3.png", "5.png"]
    }
    assert find_duplicates({"A": stored(tmp_path / "a")}, {}) == {}


def test_a_data_set_cannot_have_a_setting_of_the_engines_name(tmp_path, ganforge):
    (tmp_path / "taken.py").write_text(
        "from ganforge import hookimpl\ndef taken(*, validation: float = 0.1):\n    '''Taken.'''\n"
        "@hookimpl\ndef ganforge_register(register):\n    register.dataset('taken', taken)\n"
    )
    result = ganforge("run", "discogan_toy", "--plugin", "taken.py")
    assert result.status == 3 or result.status == 2
    assert "the setting 'validation' is a key of every dataset; rename it" in result.err


def test_an_evaluation_that_fails_takes_nothing_from_the_others(pictures, tmp_path, ganforge):
    failing = (
        "def failing(trained):\n    '''Fails once anything was learnt.'''\n    if trained.step:\n"
        "        raise ArithmeticError(trained.step)\n    return Findings({})\n\n@hookimpl"
    )
    registered = '    register.evaluation("failing", failing)\n'
    (tmp_path / "looked.py").write_text(LOOKED.replace("@hookimpl", failing) + registered)
    result = pictures("evaluations.bad.use=failing", "record.best=-value", "evaluations.look.course=[9, 9, 1]")
    assert result.status == 3
    assert "evaluation 'bad' failed" in result.err
    run = tmp_path / "runs" / "p" / "0001"
    results = read_results(run)
    assert results.last.metrics == {"validation": {"look": {"value": 6.0}}, "test": {"look": {"value": 6.0}}}
    assert results.best.step == 2
    assert results.best.metrics["test"] == {"look": {"value": 1.0}}
    again = ganforge("resume", run, "--plugin", "looked.py")
    assert again.status == 3
    assert read_results(run) == results


def test_files_of_one_size_are_copies_only_where_all_of_them_is_the_same(tmp_path):
    bodies = {"one": b"a" + bytes(20_000), "other": b"b" + bytes(20_000), "noise": bytes(range(256)) * 78 + bytes(33)}
    for folder, names in (("train", ("one", "noise")), ("test", ("other", "one"))):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{folder}-{name}.bin").write_bytes(bodies[name])
    assert len({path.stat().st_size for path in tmp_path.glob("*/*.bin")}) == 1
    train, test = (
        {"A": Stored(2, torch.zeros, made_of=Prepared(sorted((tmp_path / folder).iterdir()), torch.zeros, ""))}
        for folder in ("train", "test")
    )
    assert find_duplicates(train, test) == {"A": {1: tmp_path / "train" / "train-one.bin"}}
    assert find_duplicates(train, train)["A"].keys() == {0, 1}
