"""One folder for others: all that is needed, wherever it lies, and nothing of where it was made."""

import json
import shutil
import tomllib

import pytest
from PIL import Image

from tests.conftest import TOY

DISCRIMINATORS = ["D_A.safetensors", "D_B.safetensors"]
GENERATORS = ["G_AB.safetensors", "G_BA.safetensors"]
BESIDE = ["README.md", "preview.png", "recipe.toml"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def front_matter(folder):
    """The front matter of a card, as a reader of YAML takes it."""
    yaml = pytest.importorskip("yaml")
    text = (folder / "README.md").read_text()
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


@pytest.fixture
def picture(tmp_path):
    Image.new("RGB", (50, 70), (200, 100, 0)).save(tmp_path / "shoe.png")
    return tmp_path / "shoe.png"


def test_a_pack_holds_what_the_directions_need_and_the_rest_only_if_asked_for(shared_run, ganforge, tmp_path):
    result = ganforge("pack", shared_run, "--out", "all")
    assert result.status == 0, result.err
    assert result.out == "all: G_AB, G_BA of step 1, the latest checkpoint\n"
    assert names(tmp_path / "all") == sorted([*GENERATORS, *BESIDE])
    assert ganforge("pack", shared_run, "--out", "more/one", "--direction", "ab", "--with-discriminators").status == 0
    assert names(tmp_path / "more" / "one") == ["D_B.safetensors", "G_AB.safetensors", *BESIDE]
    assert ganforge("pack", shared_run, "--out", "whole", "--with-discriminators", "--no-preview").status == 0
    assert names(tmp_path / "whole") == sorted([*DISCRIMINATORS, *GENERATORS, "README.md", "recipe.toml"])


def test_a_pack_translates_as_its_run_does_moved_among_strangers(shared_run, pack, picture, ganforge, tmp_path):
    (tmp_path / "far" / "away").mkdir(parents=True)
    moved = shutil.move(pack, tmp_path / "far" / "away" / "model")
    (moved / "notes.txt").write_text("mine")
    (moved / "strange.safetensors").write_bytes(b"no weights")
    for direction in ("AB", "BA"):
        for what, out in ((shared_run, "run"), (moved, "pack")):
            result = ganforge("translate", what, picture, "--direction", direction, "--out", f"{out}{direction}")
            assert result.status == 0, result.err
        one, other = (tmp_path / f"{out}{direction}" / "shoe.png" for out in ("run", "pack"))
        assert one.read_bytes() == other.read_bytes()


def test_a_pack_of_one_direction_translates_in_it_alone(shared_run, picture, ganforge, tmp_path):
    assert ganforge("pack", shared_run, "--out", "pack", "--direction", "BA").status == 0
    assert ganforge("translate", "pack", picture, "--out", "out").status == 0
    refused = ganforge("translate", "pack", picture, "--direction", "AB", "--out", "out")
    assert refused.status == 2
    assert "the direction AB needs the network G_AB" in refused.err
    again = ganforge("pack", "pack", "--out", "again", "--direction", "AB")
    assert again.status == 2
    assert again.err == "error: no direction AB can be built from these weights; choose from: BA\n"
    judged = ganforge("pack", "pack", "--out", "again", "--with-discriminators")
    assert judged.err == "error: 'pack' does not hold D_A\n"
    assert not (tmp_path / "again").exists()


def test_a_pack_tells_nothing_of_where_it_was_made(shared_run, pack):
    root = str(shared_run.parents[1])
    for path in pack.iterdir():
        assert root.encode() not in path.read_bytes(), path
    recipe = tomllib.loads((pack / "recipe.toml").read_text())
    assert recipe["dataset"]["root"] == "pairs"


def test_the_card_says_what_a_reader_and_a_hub_want_to_know(shared_run, ganforge, tmp_path):
    words = ["--licence", "CC-BY-4.0", "--data-licence", "ask | <b>them</b>", "--author", "Me", "--dataset", "me/shoes"]
    assert ganforge("pack", shared_run, "--out", "pack", *words).status == 0
    front = front_matter(tmp_path / "pack")
    assert front["license"] == "cc-by-4.0"
    assert (front["library_name"], front["pipeline_tag"]) == ("ganforge", "image-to-image")
    assert front["tags"] == ["image-to-image", "gan", "discogan"]
    assert front["datasets"] == ["me/shoes"]
    (result,) = front["model-index"][0]["results"]
    measured = json.loads((shared_run / "metrics.json").read_text())
    known = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert known == {f"pairs.{name}": value for name, value in measured["test"]["pairs"].items()}
    assert known["pairs.l1_AB"] > 0
    text = (tmp_path / "pack" / "README.md").read_text()
    for line in (
        "| `AB` | `A`: 16x32, 3 channels, uint8, 0 is 0 and 255 is 1 | `B`: 16x32, 3 channels, uint8, 0 is 0 and 255 is 1 |",
        'translator = Translator.load("DIR", direction="AB")',
        "ganforge translate DIR pictures/ --direction AB --out translated",
        "ganforge run DIR/recipe.toml --set dataset.root=YOUR_DATA --set train.start=DIR --set train.start_lenient=true",
        "| train.A | 6 |",
        "| batch | 4 |",
        "Licence of the data: ask \\| &lt;b>them&lt;/b>.",
        "One run with one seed: the variation is unknown.",
        "Author: Me",
    ):
        assert line in text
    assert "on the samples of the test split (A: 4, B: 4)" in text
    assert ganforge("pack", shared_run, "--out", "pack", "--direction", "BA").status == 0
    (result,) = front_matter(tmp_path / "pack")["model-index"][0]["results"]
    assert {metric["type"] for metric in result["metrics"]} == {name for name in known if name.endswith("_BA")}


def test_a_licence_is_an_identifier_and_one_that_hubs_do_not_know_is_named(shared_run, ganforge, tmp_path):
    refused = ganforge("pack", shared_run, "--out", "pack", "--licence", "ask me")
    assert refused.status == 2
    assert refused.err.startswith("error: --licence: expected an identifier such as apache-2.0")
    assert ganforge("pack", shared_run, "--out", "pack", "--licence", "my-own-1.0").status == 0
    front = front_matter(tmp_path / "pack")
    assert (front["license"], front["license_name"]) == ("other", "my-own-1.0")


def test_the_preview_is_the_runs_own_or_drawn_now_or_left_out_with_a_note(shared_run, ganforge, tmp_path, pack):
    newest = (shared_run / "samples" / "step-00000001.png").read_bytes()
    assert (pack / "preview.png").read_bytes() == newest
    copy = shutil.copytree(shared_run / "checkpoints" / "step-00000001", tmp_path / "weights")
    result = ganforge("pack", copy, "--out", "blind")
    assert result.status == 0, result.err
    assert "note: no preview: the data are missing" in result.out
    assert not (tmp_path / "blind" / "preview.png").exists()
    assert "\nNo preview: the data are missing" in (tmp_path / "blind" / "README.md").read_text()
    run = shutil.copytree(shared_run, tmp_path / "run")
    shutil.rmtree(run / "samples")
    shutil.rmtree(run / "figures")
    assert ganforge("pack", run, "--out", "drawn", "--direction", "AB").status == 0
    with Image.open(tmp_path / "drawn" / "preview.png") as drawn:
        assert drawn.size == (4 * 34 + 2, 2 * 20)
    assert "Rows of test pictures: `A`, `A` to `B`." in (tmp_path / "drawn" / "README.md").read_text()


def test_only_a_pack_is_replaced_and_never_what_is_packed(shared_run, pack, ganforge, tmp_path, monkeypatch):
    assert ganforge("pack", shared_run, "--out", pack, "--direction", "AB").status == 0
    assert names(pack) == ["G_AB.safetensors", *BESIDE]
    (pack / "thesis.txt").write_text("mine")
    refused = ganforge("pack", shared_run, "--out", pack)
    assert refused.status == 2
    assert refused.err.endswith("exists already, and is not only a pack: choose another --out, or add --overwrite\n")
    assert names(pack) == ["G_AB.safetensors", *BESIDE, "thesis.txt"]
    run = shutil.copytree(shared_run, tmp_path / "run")
    for out in (run, run / "checkpoints", run / "checkpoints" / "step-00000001", tmp_path):
        refused = ganforge("pack", run, "--out", out, "--overwrite")
        assert refused.status == 2
        assert "choose another --out" in refused.err
    assert (run / "recipe.lock.toml").exists()
    monkeypatch.chdir(run)
    assert ganforge("pack", shared_run, "--out", ".", "--overwrite").status == 2
    (tmp_path / "file").write_text("mine")
    assert ganforge("pack", shared_run, "--out", tmp_path / "file", "--overwrite").status == 2
    monkeypatch.chdir(tmp_path)
    assert ganforge("pack", shared_run, "--out", pack, "--overwrite").status == 0
    assert names(pack) == sorted([*GENERATORS, *BESIDE])


def test_a_disk_that_cannot_be_written_leaves_what_was_there(shared_run, pack, ganforge, monkeypatch):
    from ganforge.system.folder import Folder

    before, write = names(pack), Folder.write

    def full(self, name, content, **options):
        if name == "README.md":
            raise OSError(28, "No space left on device")
        write(self, name, content, **options)

    monkeypatch.setattr(Folder, "write", full)
    result = ganforge("pack", shared_run, "--out", pack, "--direction", "AB")
    assert result.status == 1
    assert result.err == f"error: '{pack}' cannot be written: No space left on device\n"
    assert names(pack) == before
    assert [path.name for path in pack.parent.iterdir() if path.name.startswith(".pack")] == []


def test_damaged_weights_are_not_packed(shared_run, ganforge, tmp_path):
    run = shutil.copytree(shared_run, tmp_path / "run")
    file = run / "checkpoints" / "step-00000001" / "D_B.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    assert ganforge("pack", run, "--out", "generators").status == 0
    refused = ganforge("pack", run, "--out", "pack", "--with-discriminators")
    assert refused.status == 2
    assert "D_B.safetensors" in refused.err
    assert "is damaged" in refused.err
    assert not (tmp_path / "pack").exists()


def test_a_training_starts_from_a_pack_with_discriminators_and_leniently_without(shared_run, pack, ganforge, tmp_path):
    root = f"dataset.root={shared_run.parents[1] / 'pairs'}"
    words = ["run", pack / "recipe.toml", "--set", root, "--set", "record.sample_every=0"]
    for role in ("pairs", "grid"):
        words += ["--set", f"evaluations.{role}=false"]
    result = ganforge(*words, "--set", f"train.start={pack}", "--out", "tuned")
    assert result.status == 0, result.err
    assert ganforge("pack", pack, "--out", "bare").status == 0
    refused = ganforge(*words, "--set", "train.start=bare", "--out", "tuned")
    assert refused.status == 2
    assert "does not contain D_A, D_B; set train.start_lenient = true" in refused.err
    lenient = ganforge(*words, "--set", "train.start=bare", "--set", "train.start_lenient=true", "--out", "tuned")
    assert lenient.status == 0, lenient.err
    assert "train.start: missing, so trained from scratch: D_A, D_B" in lenient.out


def test_evaluate_takes_a_pack_and_leaves_it_as_it_is(shared_run, pack, ganforge, tmp_path):
    before = names(pack)
    root = f"dataset.root={shared_run.parents[1] / 'pairs'}"
    result = ganforge("evaluate", pack, "--set", root, "--json")
    assert result.status == 0, result.err
    measured = json.loads((shared_run / "metrics.json").read_text())
    found = json.loads(result.out)
    assert found["test"]["pairs"] == pytest.approx(measured["test"]["pairs"])
    assert names(pack) == before
    assert ganforge("evaluate", pack / "G_AB.safetensors", "--set", root, "--out", "found").status == 0
    assert json.loads((tmp_path / "found" / "metrics.json").read_text())["step"] == 1
    assert (tmp_path / "found" / "figures").is_dir()


def test_it_is_said_which_step_is_packed_and_where_a_better_one_is(toy, ganforge, tmp_path):
    assert ganforge("run", toy).status == 0
    checkpoints = tmp_path / "runs" / "toy" / "0001" / "checkpoints"
    assert ganforge("pack", "runs/toy/0001", "--out", "a").out.startswith(
        "a: G_AB, G_BA of step 8, the latest checkpoint\n"
    )
    (checkpoints / "best").write_text("step-00000004")
    best = "the best is step-00000004: pack runs/toy/0001/checkpoints/step-00000004"
    assert ganforge("pack", "runs/toy/0001", "--out", "b").out.startswith(
        f"b: G_AB, G_BA of step 8, the latest checkpoint; {best}\n"
    )
    assert ganforge("pack", checkpoints / "best", "--out", "c").out.startswith(
        "c: G_AB, G_BA of step 4, the best checkpoint\n"
    )
    (checkpoints / "best").write_text("step-00000008")
    assert "step 8, the latest and the best checkpoint\n" in ganforge("pack", "runs/toy/0001", "--out", "d").out


def test_a_pack_of_points_has_no_picture_in_its_card(toy, ganforge, tmp_path):
    toy.write_text(TOY)
    assert ganforge("run", toy).status == 0
    result = ganforge("pack", "runs/toy/0001", "--out", "points")
    assert result.status == 0, result.err
    assert "note: no preview: it does not output pictures" in result.out
    assert front_matter(tmp_path / "points")["tags"] == ["gan", "discogan"]


PLUGIN = """
import torch
from torch import nn
from ganforge import hookimpl

class Shifted(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("shift", torch.full((1,), 0.25))
    def forward(self, generator, source):
        self.shift += 0.25 * self.training
        return generator(source) + self.shift

@hookimpl
def ganforge_register(register):
    register.value("shifted", Shifted)
"""


def test_what_values_hold_goes_along_where_translations_need_it(toy, ganforge, tmp_path):
    from ganforge.components.plugins import Plugins
    from ganforge.runs import load

    (tmp_path / "shifting.py").write_text(PLUGIN)
    toy.write_text('plugins = ["shifting.py"]\n' + TOY + '[values.fake]\nuse = "shifted"\n')
    assert ganforge("run", toy).status == 0
    assert ganforge("pack", "runs/toy/0001", "--out", "one", "--direction", "AB").status == 0
    assert names(tmp_path / "one") == [
        "G_AB.safetensors",
        "README.md",
        "recipe.toml",
        "state.json",
        "training.safetensors",
    ]
    assert "needs code that is not in this folder: `shifting.py`" in (tmp_path / "one" / "README.md").read_text()
    made = []
    for path in (tmp_path / "runs" / "toy" / "0001", tmp_path / "one"):
        plugins = Plugins()
        plugins.load_installed()
        plugins.load_file(tmp_path / "shifting.py")
        import torch

        trained = load.load_trained(path, plugins, torch.device("cpu"))
        with trained.evaluating():
            made.append(trained.translate("AB", torch.zeros(3, 2)))
    assert torch.equal(*made)
    assert ganforge("pack", "one", "--out", "two", "--plugin", "shifting.py").status == 0
    assert names(tmp_path / "two") == names(tmp_path / "one")


MEASURED = {
    "step": 8,
    "validation": {"modes": {"clean": 8.5}},
    "test": {"modes": {"clean": 8.25, "odd": None}},
    "about": {"test": {"modes": {"points_AB": 2500}}},
}
BEST = {
    "step": 4,
    "validation": {"modes": {"clean": 9.5}},
    "test": {"modes": {"clean": 9.25, "odd": 1}},
    "about": {"test": {"modes": {"points_AB": 2400}}},
}


@pytest.fixture
def chosen(toy, ganforge, tmp_path):
    """A run whose best weights are those of step 4, and its last ones those of step 8."""
    assert ganforge("run", toy, "--set", "evaluations.modes.use=mode-coverage").status == 0
    run = tmp_path / "runs" / "toy" / "0001"
    (run / "checkpoints" / "best").write_text("step-00000004")
    (run / "metrics.json").write_text(json.dumps({**MEASURED, "best": {"by": "modes.clean", **BEST}}))
    for found in (MEASURED, BEST):
        (run / "checkpoints" / f"step-{found['step']:08d}" / "metrics.json").write_text(json.dumps(found))
    return run


def test_the_card_shows_last_and_best_and_the_numbers_of_its_own_weights_first(chosen, ganforge, tmp_path):
    assert ganforge("pack", chosen / "checkpoints" / "best", "--out", "best").status == 0
    text = (tmp_path / "best" / "README.md").read_text()
    for line in (
        "| evaluation | metric | these weights (best, step 4), test | these weights (best, step 4), validation "
        "| last, step 8, test | last, step 8, validation |",
        "| modes | clean | 9.25 | 9.5 | 8.25 | 8.5 |",
        "| modes | odd | 1 |  | nan |  |",
        "The best weights are those with the highest `modes.clean` on samples set aside for validation",
        "; test: points_AB = 2400\n",
    ):
        assert line in text
    results = front_matter(tmp_path / "best")["model-index"][0]["results"]
    assert [(one["dataset"]["split"], one["metrics"]) for one in results] == [
        (
            "test",
            [
                {"type": "modes.clean", "name": "modes: clean", "value": 9.25},
                {"type": "modes.odd", "name": "modes: odd", "value": 1.0},
            ],
        ),
        ("validation", [{"type": "modes.clean", "name": "modes: clean", "value": 9.5}]),
    ]
    assert ganforge("pack", chosen, "--out", "last").status == 0
    text = (tmp_path / "last" / "README.md").read_text()
    assert (
        "| these weights (last, step 8), test | these weights (last, step 8), validation | best, step 4, test |" in text
    )
    (test, _) = front_matter(tmp_path / "last")["model-index"][0]["results"]
    assert test["metrics"] == [{"type": "modes.clean", "name": "modes: clean", "value": 8.25}]


def test_hubs_take_the_index_of_the_card(chosen, ganforge, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    assert ganforge("pack", chosen / "checkpoints" / "best", "--out", "best").status == 0
    found = hub.ModelCard.load(tmp_path / "best" / "README.md").data.eval_results
    assert [(one.dataset_split, one.metric_type, one.metric_value) for one in found] == [
        ("test", "modes.clean", 9.25),
        ("test", "modes.odd", 1.0),
        ("validation", "modes.clean", 9.5),
    ]


def test_weights_that_were_not_measured_do_not_borrow_the_numbers_of_others(chosen, ganforge, tmp_path):
    (chosen / "metrics.json").write_text(json.dumps({**MEASURED, "step": 6}))
    (chosen / "checkpoints" / "step-00000004" / "metrics.json").unlink()
    assert ganforge("pack", chosen / "checkpoints" / "best", "--out", "best").status == 0
    assert "These weights were not evaluated." in (tmp_path / "best" / "README.md").read_text()
    assert "model-index" not in front_matter(tmp_path / "best")


def test_a_preview_of_the_best_weights_is_their_own_figure(chosen, ganforge, tmp_path):
    for place in ("figures", "figures/best"):
        (chosen / place).mkdir(exist_ok=True)
        (chosen / place / "grid.png").write_text(place)
    assert ganforge("pack", chosen / "checkpoints" / "best", "--out", "best").status == 0
    assert ganforge("pack", chosen, "--out", "last").status == 0
    assert (tmp_path / "best" / "preview.png").read_text() == "figures/best"
    assert (tmp_path / "last" / "preview.png").read_text() == "figures"
