"""`ganforge evaluate` measures what it was given on the data that it was given, and says which these are."""

import json
import shutil

import pytest

from tests.conftest import draw_pairs, run_command

SETS = ["dataset.size=[16,32]", "generator.width=2", "discriminator.width=2", "train.batch=4", "train.steps=1"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of one step that is evaluated by diversity, reconstruction and pairs."""
    place = tmp_path_factory.mktemp("finished")
    evaluations = ["evaluations.grid=false", "evaluations.way_back={use='reconstruction'}"]
    sets = [*SETS, f"dataset.root={draw_pairs(place / 'pairs')}", *evaluations, "record.sample_every=0"]
    words = ["run", "discogan_edges2shoes", *(word for text in sets for word in ("--set", text)), "--out", place]
    assert run_command(*words) == 0
    return place / "discogan_edges2shoes" / "0001"


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the run, whose data lie in `pairs` beside it."""
    shutil.copytree(finished.parents[1] / "pairs", tmp_path / "pairs")
    return shutil.copytree(finished, tmp_path / "run")


def test_weights_alone_are_evaluated_on_data_that_moved_and_stay_as_they_are(run, ganforge, tmp_path):
    gift = shutil.copytree(run / "checkpoints" / "step-00000001", tmp_path / "gift")
    (gift / "G_AB.safetensors").rename(gift / "day2night.safetensors")
    before = sorted(gift.iterdir())
    (tmp_path / "pairs").rename("moved")
    words = ["evaluate", gift / "day2night.safetensors"]
    refused = ganforge(*words)
    assert refused.status == 2
    assert "dataset.root: no folder 'pairs'" in refused.err
    result = ganforge(*words, "--set", "dataset.root=moved", "--json")
    assert (result.status, result.err) == (0, "")
    assert json.loads(result.out) == json.loads((run / "metrics.json").read_text())
    assert sorted(gift.iterdir()) == before
    assert ganforge(*words, "--set", "dataset.root=moved", "--out", "found").status == 0
    assert json.loads((tmp_path / "found" / "metrics.json").read_text())["step"] == 1


def test_other_statistics_of_batch_norm_are_told_and_leave_no_metrics_in_the_run(run, ganforge):
    before = (run / "metrics.json").read_text()
    result = ganforge("evaluate", run, "--norm", "running")
    assert result.status == 0
    assert result.err == "note: these are not the run's own metrics: train.norm is recalibrated, not running\n"
    assert (run / "metrics.json").read_text() == before
    own = ganforge("evaluate", run, "--norm", "recalibrated")
    assert (own.status, own.err) == (0, "")


def test_the_same_component_keeps_its_settings_under_its_short_name(run, ganforge):
    limited = ganforge("evaluate", run, "--set", "evaluations.way_back.limit=1", "--json")
    again = ["evaluations.way_back.limit=1", "evaluations.way_back.use=reconstruction"]
    both = ganforge("evaluate", run, *(word for text in again for word in ("--set", text)), "--json")
    assert both.status == limited.status == 0
    assert json.loads(both.out) == json.loads(limited.out)
    assert "cycle_error_A cannot be measured: the samples do not differ from their mean" in both.err


def test_other_data_are_told_and_leave_no_metrics_in_the_run(run, ganforge, tmp_path):
    before = (run / "metrics.json").read_text()
    draw_pairs(tmp_path / "other", (("train", 4), ("val", 3)))
    other = ganforge("evaluate", run, "--set", "dataset.root=other", "--json")
    assert other.status == 0
    assert json.loads(other.out)["test"]["pairs"] != json.loads(before)["test"]["pairs"]
    note = "note: these are not the run's own metrics: "
    assert other.err.startswith(f"{note}test.A has changed since the run began: it was 4 samples, ")
    squashed = ganforge("evaluate", run, "--set", "dataset.root=pairs", "--set", "dataset.background=black")
    assert (squashed.status, squashed.err) == (0, f"{note}dataset.background is set\n")
    assert (run / "metrics.json").read_text() == before
    result = ganforge("evaluate", run, "--set", "dataset.root=pairs")
    assert result.err == ""
    assert "figures: " in result.out
    (tmp_path / "pairs" / "val" / "1_AB.jpg").unlink()
    assert ganforge("evaluate", run, "--set", "dataset.root=pairs").err.startswith(note)
    assert (run / "metrics.json").read_text() == before


def test_other_evaluations_than_the_recipes_can_be_asked_for(run, ganforge, tmp_path):
    before = (run / "metrics.json").read_text()
    sets = ("dataset.root=pairs", "evaluations.back.use=reconstruction", "evaluations.pairs=false")
    words = [word for one in sets for word in ("--set", one)]
    result = ganforge("evaluate", run, *words, "--json")
    assert result.status == 0, result.err
    assert (
        result.err
        == "note: these are not the run's own metrics: evaluations.back.use is set; evaluations.pairs is set\n"
    )
    found = json.loads(result.out)["test"]
    assert "cycle_l1_A" in found["back"]
    assert "pairs" not in found
    assert (run / "metrics.json").read_text() == before
    wrong = ganforge("evaluate", run, "--set", "evaluations.back.use=reconstuction")
    assert wrong.status == 2
    assert "unknown evaluation 'reconstuction'; did you mean 'reconstruction'?" in wrong.err


def test_an_evaluation_that_needs_a_network_that_is_not_there_says_so_and_others_go_on(run, ganforge, tmp_path):
    (tmp_path / "alone").mkdir()
    alone = shutil.copy(run / "checkpoints" / "step-00000001" / "G_AB.safetensors", tmp_path / "alone" / "mine")
    result = ganforge("evaluate", alone, "--set", "dataset.root=pairs")
    assert result.status == 2
    assert "diversity_AB" in result.out
    assert "diversity_BA" not in result.out
    lacking = "the direction AB needs the network G_BA for 'reconstructed': its weights are missing"
    assert f"evaluations.way_back: {lacking}; or leave it out: evaluations.way_back = false" in result.err
    assert result.err.count("\n") == 1


def test_what_was_trained_cannot_be_changed(run, ganforge):
    result = ganforge("evaluate", run, "--set", "generator.width=3")
    assert result.status == 2
    assert "--set generator.width=3: of trained networks, only dataset.* and evaluations.* may change" in result.err
