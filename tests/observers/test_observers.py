"""What looks on: the log, the samples, the diagnosis."""

import importlib
import json

import torch

diagnosis, samples = (importlib.import_module(f"ganforge_observers.{name}") for name in ("diagnosis", "samples"))


def test_a_unit_is_dead_when_it_is_the_same_for_every_input():
    alive = torch.rand(8, 3)
    assert diagnosis.dead_units(alive) == []
    dead = alive.clone()
    dead[:, 1] = 0
    assert diagnosis.dead_units(dead) == [1]
    pictures = torch.rand(4, 3, 5, 5)
    pictures[:, 2] = 0.5
    assert diagnosis.dead_units(pictures) == [2]
    assert diagnosis.dead_units(pictures[:1]) == []


def test_a_generator_with_a_dead_output_is_named_once(toy, ganforge):
    """Far below zero, a last ReLU never opens; the modes of B lie there, so the output starts there."""
    sets = ["dataset.b={modes=3, radius=1.0, centre=[-50.0, 3.0]}", "generator.output=relu", "record.sample_every=2"]
    result = ganforge("run", toy, *(word for text in sets for word in ("--set", text)))
    assert result.status == 0
    assert result.out.replace("\n", " ").count("output unit 0 of the generator AB is dead: always 0") >= 1


def test_the_log_is_one_json_object_a_line(toy, ganforge, tmp_path):
    ganforge("run", toy)
    lines = (tmp_path / "runs" / "toy" / "0001" / "log.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["step"] for record in records] == [2, 4, 6, 8]
    assert set(records[0]["losses"]) == {
        "generator",
        "discriminator",
        "discriminator.adversarial.AB",
        "discriminator.adversarial.BA",
        "generator.adversarial.AB",
        "generator.adversarial.BA",
        "generator.reconstruction.AB",
        "generator.reconstruction.BA",
    }


def test_progress_without_a_terminal_is_plain_lines(toy, ganforge):
    out = ganforge("run", toy).out
    assert "step 8/8  generator " in out
    assert "steps/s" in out


def test_metrics_of_every_evaluation_are_kept_in_the_log(toy, ganforge, tmp_path):
    sets = ["evaluations.modes.use=mode-coverage", "record.evaluate_every=4"]
    assert ganforge("run", toy, *(word for text in sets for word in ("--set", text))).status == 0
    lines = (tmp_path / "runs" / "toy" / "0001" / "log.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["step"] for record in records if "metrics" in record] == [4, 8]
    assert all(0 <= record["metrics"]["modes"]["quality"] <= 1 for record in records if "metrics" in record)


def test_diversity_is_the_mean_distance_over_that_of_real_samples():
    real = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 8.0]])  # distances 5, 8, 5
    assert diagnosis.diversity(real, real) == 1
    assert diagnosis.diversity(real / 2, real) == 0.5
    assert diagnosis.diversity(torch.ones(3, 2), real) == 0
    assert diagnosis.diversity(real[:1], real[:1]) == 1, "one sample says nothing"


def test_a_collapsed_generator_is_warned_of_and_its_diversity_logged(toy, ganforge, tmp_path):
    (tmp_path / "constant.py").write_text(
        "from ganforge import hookimpl\nimport torch\n"
        "class Constant(torch.nn.Module):\n"
        "    def __init__(self, source_shape, target_shape):\n"
        "        super().__init__()\n        self.value = torch.nn.Parameter(torch.ones(target_shape))\n"
        "    def forward(self, x):\n        return self.value.expand(len(x), *self.value.shape) + 1e-9 * x\n"
        "@hookimpl\ndef ganforge_register(register):\n    register.generator('constant', Constant)\n"
    )
    words = ["--plugin", tmp_path / "constant.py", "--set", "generator.use=constant", "--set", "record.sample_every=4"]
    result = ganforge("run", toy, *words)
    assert result.status == 0, result.err
    assert "the generator has collapsed" in " ".join(result.out.split())
    lines = [json.loads(line) for line in (tmp_path / "runs" / "toy" / "0001" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "sample_diversity" in line] == [0, 4, 8]
    assert all(line["sample_diversity"]["AB"] < 0.01 for line in lines if "sample_diversity" in line)


def seen(name, domains, **values):
    """A direction whose values are known."""
    found = dict(values)
    return type("View", (dict,), {"name": name, "domains": domains, "fields": {"source": domains[0]}})(found)


def test_rows_of_pictures_are_named_at_the_left_and_keep_their_pixels():
    inputs, translations = torch.rand(2, 3, 64, 64), torch.rand(2, 1, 32, 64)
    view = seen("AB", ("A", "B"), source=inputs, fake=translations, reconstructed=inputs)
    assert [samples.name_row(view, name) for name in samples.ROWS] == ["A", "→ B", "→ A"]
    assert samples.name_row(seen("Z", ("Z",), fake=inputs), "fake") == "Z"
    grid = samples.picture_grid([view])
    assert grid.shape[1] == 68 + 36 + 68
    margin = grid.shape[2] - (2 * 66 + 2)
    assert torch.equal(grid[:, 2:66, margin + 2 : margin + 66], inputs[0])
    assert grid[:, :, :margin].amin() < 0.2, "nothing is written"


def test_long_names_of_rows_are_cut():
    short = samples.label_rows(["A"], [68])
    long = samples.label_rows(["a photograph\nof a very long name " * 40], [68])
    assert short.shape[2] < long.shape[2] <= samples.LETTER * (samples.WIDEST + 1)
    assert samples._cut("a b", samples._letters(11), 0) == ""
