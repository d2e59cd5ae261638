"""Statistics of batch normalisation outside of training, against numbers worked out by hand."""

import json

import pytest
import torch
from attrs import evolve
from torch import nn

from ganforge.errors import InputError, RecipeError
from ganforge.runs.load import load_trained
from ganforge.training import batch_norm, build
from ganforge.training.check import check
from tests.conftest import TOY, as_trained


def small() -> nn.Sequential:
    """A layer that keeps running statistics, after one that does not."""
    return nn.Sequential(nn.Identity(), nn.BatchNorm1d(1), nn.Dropout(0.5))


def one_way(understand, toy, kind="recalibrated"):
    """A plan with one direction and one generator."""
    return understand(toy, "coupling.use=gan", "losses.reconstruction=false", f"train.norm={kind}")


def test_measured_statistics_are_the_mean_over_batches_and_leave_the_network_alone(toy, understand):
    trained = as_trained(one_way(understand, toy), {"G_AB": (network := small())}, 0)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    inputs = {"A": torch.tensor([[0.0], [2.0], [10.0], [14.0]])}
    measure = batch_norm.Recalibration(trained.scheme, "generator", inputs, 2, torch.device("cpu"))
    with trained.evaluating():
        state = torch.get_rng_state()
        found = measure.shown("G_AB")
        assert torch.equal(torch.get_rng_state(), state), "measuring took random numbers"
        assert not any(module.training for module in network.modules())
    # Means 1 and 12; unbiased variances 2 and 8.
    assert found["1.running_mean"].tolist() == [6.5]
    assert found["1.running_var"].tolist() == [5.0]
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert network[1].momentum == 0.1


def test_instance_normalisation_keeps_the_statistics_of_its_training(toy, understand):
    network = nn.Sequential(nn.Unflatten(1, (1, 1)), nn.InstanceNorm1d(1, track_running_stats=True), nn.BatchNorm1d(1))
    network[1].running_mean.fill_(3.0)
    network[1].running_var.fill_(4.0)
    trained = as_trained(one_way(understand, toy), {"G_AB": network}, 0)
    inputs = {"A": torch.tensor([[0.0], [2.0], [10.0], [14.0]])}
    measure = batch_norm.Recalibration(trained.scheme, "generator", inputs, 2, torch.device("cpu"))
    with trained.evaluating():
        found = measure.shown("G_AB")
        assert not network[1].training
    assert {name.partition(".")[0] for name in found} == {"2"}
    assert float(found["2.running_mean"]) == pytest.approx(((0 + 2 + 10 + 14) / 4 - 3) / 2, rel=1e-5)
    assert (float(network[1].running_mean), float(network[1].running_var)) == (3.0, 4.0)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("running", [5.0, 7.0]), ("batch", [-1.0, 1.0]), ("recalibrated", [2.0, 3.0])],
)
def test_each_kind_normalises_by_its_own_statistics(kind, expected, toy, understand):
    network = small()
    network[1].running_mean.fill_(0.0)
    network[1].running_var.fill_(1.0)
    measured = {"1.running_mean": torch.tensor([1.0]), "1.running_var": torch.tensor([4.0])}
    trained = as_trained(one_way(understand, toy, kind), {"G_AB": network}, 0)
    if kind == "recalibrated":
        trained = evolve(trained, shown=(lambda name: measured,))
    before = batch_norm.statistics(network)
    with trained.evaluating():
        made = network(torch.tensor([[5.0], [7.0]]))
        assert not network[2].training
    assert made.flatten().tolist() == pytest.approx(expected, abs=1e-3)
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in batch_norm.statistics(network).items())


def test_a_last_sample_alone_is_normalised_together_with_the_one_before_it(toy, understand):
    trained = as_trained(one_way(understand, toy, "batch"), {"G_AB": small()}, 0)
    with trained.evaluating():
        made = trained.translate("AB", torch.tensor([[1.0], [3.0], [5.0]]), 2)
        with pytest.raises(
            InputError, match=r"values.fake.AB: a network normalises over a single value .* than 'batch'$"
        ):
            trained.translate("AB", torch.tensor([[1.0]]), 2)
    assert made.flatten().tolist() == pytest.approx([-1.0, 1.0, 1.0], abs=1e-3)


LAYERS = {
    "module": "self.norm(hidden)",
    "function": "nn.functional.batch_norm(hidden, None, None, training=True)",
    "picture": "nn.functional.instance_norm(hidden[:, :, None, None]).flatten(1)",
}
NORMALISING = """
'A generator that normalises.'
from torch import nn
from ganforge import hookimpl
class Normalising(nn.Module):
    'It normalises.'
    def __init__(self, source_shape, target_shape):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)
    def forward(self, points):
        hidden = self.first(points)
        return self.last(LAYER)
@hookimpl
def ganforge_register(register):
    register.generator("normalising-KIND", Normalising)
"""


@pytest.mark.parametrize("kind", LAYERS)
def test_a_strangers_network_that_normalises_one_value_is_told_before_the_training(kind, tmp_path, plugins, understand):
    plugin, recipe = tmp_path / f"normalising_{kind}.py", tmp_path / "mine.toml"
    plugin.write_text(NORMALISING.replace("LAYER", LAYERS[kind]).replace("KIND", kind))
    plugins.load_file(plugin)
    recipe.write_text(TOY.replace('use = "mlp"\nhidden = 8', f'use = "normalising-{kind}"', 1))
    plan = understand(recipe, "train.batch=1")
    with pytest.raises(RecipeError) as caught:
        check(plan, build.make_dataset(plan))
    (problem,) = caught.value.problems
    whole, *advice = {
        "module": ("batch", "train.batch", "set train.batch to 2 or more"),
        "function": ("batch", "train.batch", "set train.batch to 2 or more"),
        "picture": ("sample", "generator", "use larger samples or another network"),
    }[kind]
    assert problem.message == f"the generator normalises over a single value per channel of a {whole}"
    assert [problem.key, problem.hint] == advice
    if whole == "batch":
        plan = understand(recipe)
        check(plan, build.make_dataset(plan))


@pytest.fixture
def trained(tmp_path, pairs, ganforge):
    """A run of six steps on pictures, and the words that repeat it."""
    path = tmp_path / "pictures.toml"
    path.write_text(
        f'extends = "discogan_edges2shoes"\n[dataset]\nroot = "{pairs}"\nsize = 32\n'
        "[generator]\nwidth = 4\n[discriminator]\nwidth = 4\n"
        "[train]\nsteps = 6\nbatch = 4\n[record]\nlog_every = 2\ncheckpoint_every = 3\nsample_every = 0\n[compute]\nprecision = 'fp32'\n"
    )
    assert ganforge("run", path).status == 0
    return path


def translations(run, plugins, kind=None):
    """What the run's generator makes of a picture with each kind of statistics."""
    found = load_trained(run, plugins, torch.device("cpu"), kind)
    with found.evaluating():
        return found.translate("AB", torch.linspace(0, 1, 4 * 3 * 32 * 32).reshape(4, 3, 32, 32))


def test_saved_weights_carry_the_recalibrated_statistics_and_the_others_can_be_had(
    trained, ganforge, plugins, tmp_path
):
    run = tmp_path / "runs" / "pictures" / "0001"
    mine = translations(run, plugins)
    assert torch.equal(mine, translations(run, plugins, "recalibrated"))
    running, batch = translations(run, plugins, "running"), translations(run, plugins, "batch")
    assert not torch.allclose(mine, running)
    assert not torch.allclose(mine, batch)
    # The same training with other statistics outside of it is the same training.
    for kind in ("running", "batch"):
        assert ganforge("run", trained, "--set", f"train.norm={kind}", "--out", kind).status == 0
        other = tmp_path / kind / "pictures" / "0001"
        assert torch.equal(translations(other, plugins), running if kind == "running" else batch)
        torch.testing.assert_close(translations(other, plugins, "recalibrated"), mine, rtol=1e-4, atol=1e-5)


def test_a_weights_file_alone_translates_as_its_run_does(trained, plugins, tmp_path):
    run = tmp_path / "runs" / "pictures" / "0001"
    file = run / "checkpoints" / "step-00000006" / "G_AB.safetensors"
    alone = tmp_path / "G_AB.safetensors"
    alone.write_bytes(file.read_bytes())
    assert torch.equal(translations(alone, plugins), translations(run, plugins))
    with pytest.raises(InputError, match=r"has no training.safetensors, which contains the running averages"):
        translations(alone, plugins, "running")
    # Beside the run's state, one direction's weights will do.
    (tmp_path / "part").mkdir()
    for name in ("G_AB.safetensors", "training.safetensors", "state.json"):
        (tmp_path / "part" / name).write_bytes((file.parent / name).read_bytes())
    assert torch.equal(translations(tmp_path / "part", plugins, "running"), translations(run, plugins, "running"))


def test_the_best_checkpoint_is_kept_and_can_be_named(toy, ganforge, plugins, tmp_path):
    words = ["--set", "evaluations.modes={use='mode-coverage'}", "--set", "record.evaluate_every=2"]
    words += ["--set", "record.keep=1", "--set", "record.checkpoint_every=2"]
    # The error of the cycle falls and rises: see which step had the lowest.
    assert ganforge("run", toy, *words, "--set", "record.best=-cycle_error_A").status == 0
    run = tmp_path / "runs" / toy.stem / "0001"
    found = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines() if '"validation"' in line]
    courses = {one["step"]: one["metrics"]["modes"]["cycle_error_A"] for one in found}
    best = min(courses, key=courses.__getitem__)
    kept = sorted(path.name for path in (run / "checkpoints").glob("step-*"))
    assert (run / "checkpoints" / "best").read_text() == f"step-{best:08d}"
    assert kept == sorted({f"step-{best:08d}", "step-00000008"})
    assert load_trained(run / "checkpoints" / "best", plugins, torch.device("cpu")).step == best


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["record.best=clean"], "needs evaluations"),
        (["train.norm=other"], 'or "batch"'),
    ],
)
def test_what_cannot_be_best_is_refused_at_the_start(sets, message, toy, ganforge):
    result = ganforge("run", toy, *[word for text in sets for word in ("--set", text)])
    assert result.status == 2
    assert message in result.err


def test_a_metric_that_does_not_exist_is_named_with_its_neighbour_before_the_training(toy, ganforge, tmp_path):
    words = ["--set", "evaluations.modes={use='mode-coverage'}", "--set", "record.evaluate_every=2"]
    result = ganforge("run", toy, *words, "--set", "record.best=modes.claen")
    assert result.status == 2
    assert "modes.clean" in result.err
    assert not (tmp_path / "runs" / toy.stem / "0001" / "log.jsonl").exists()
