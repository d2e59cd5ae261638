"""Whole runs: what lies in the folder, what is in the weights, going on, stopping, failing."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors
import torch
from safetensors.torch import load_file


def weights(run, name="G_AB"):
    latest = (run / "checkpoints" / "latest").read_text()
    return load_file(run / "checkpoints" / latest / f"{name}.safetensors")


def records(run):
    """Every record of losses."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "losses" in line]


@pytest.mark.parametrize(
    ("coupling", "networks"),
    [("gan", {"G_AB", "D_B"}), ("gan-recon", {"G_AB", "G_BA", "D_B"}), ("discogan", {"G_AB", "G_BA", "D_A", "D_B"})],
)
def test_a_checkpoint_holds_exactly_the_couplings_networks_and_their_recipe(
    coupling, networks, toy, ganforge, tmp_path
):
    sets = ["--set", f"coupling.use={coupling}"]
    sets += ["--set", "losses.reconstruction=false"] if coupling == "gan" else []
    assert ganforge("run", toy, *sets).status == 0
    folder = tmp_path / "runs" / "toy" / "0001" / "checkpoints" / "step-00000008"
    assert {path.name for path in folder.iterdir()} == {f"{name}.safetensors" for name in networks} | {
        "training.safetensors",
        "state.json",
    }
    for name in networks:
        with safetensors.safe_open(folder / f"{name}.safetensors", "pt") as file:
            metadata = file.metadata()
            assert metadata["network"] == name
            assert f'use = "ganforge_translation/{coupling}"' in metadata["recipe"]
    assert not [path for path in tmp_path.rglob("*") if path.suffix in {".pt", ".pth", ".pkl", ".bin"}]


def test_the_lock_repeats_the_run_bit_by_bit(toy, ganforge, tmp_path):
    ganforge("run", toy, "--set", "train.seed=3")
    run = tmp_path / "runs" / "toy" / "0001"
    assert ganforge("run", run / "recipe.lock.toml").status == 0
    again = tmp_path / "runs" / "toy" / "0002"
    assert (run / "recipe.lock.toml").read_text() == (again / "recipe.lock.toml").read_text()
    for name in ("G_AB", "D_A"):
        assert all(torch.equal(value, weights(again, name)[key]) for key, value in weights(run, name).items())


def test_a_resumed_run_ends_as_an_undisturbed_one(toy, ganforge, tmp_path):
    ganforge("run", toy, "--set", "train.steps=13", "--out", "whole")
    ganforge("run", toy, "--set", "train.steps=5", "--out", "parts")
    run = tmp_path / "parts" / "toy" / "0001"
    result = ganforge("resume", run, "--set", "train.steps=13")
    assert result.status == 0
    whole = tmp_path / "whole" / "toy" / "0001"
    for name in ("G_AB", "G_BA", "D_A", "D_B", "training"):
        for key, value in weights(whole, name).items():
            assert torch.equal(value, weights(run, name)[key]), (name, key)
    assert [record["step"] for record in records(run)] == [2, 4, 5, 6, 8, 10, 12, 13]
    assert records(run)[-1]["losses"] == records(whole)[-1]["losses"]
    assert "steps = 13" in (run / "recipe.lock.toml").read_text()


def test_a_run_stopped_between_log_intervals_leaves_no_trace_of_it_in_the_log(toy, ganforge, tmp_path):
    """The sums of an unfinished log interval are part of the checkpoint."""
    sets = ["--set", "record.log_every=6", "--set", "train.steps=12"]
    ganforge("run", toy, *sets, "--out", "whole")
    ganforge("run", toy, *sets, "--out", "parts", "--set", "record.keep=0")
    run = tmp_path / "parts" / "toy" / "0001"
    (run / "checkpoints" / "latest").write_text("step-00000004")  # as after a crash at steps 5 to 7
    assert ganforge("resume", run).status == 0
    whole = tmp_path / "whole" / "toy" / "0001"
    assert [r["losses"] for r in records(run)] == [r["losses"] for r in records(whole)]


def test_a_finished_run_says_how_to_extend_it_and_other_changes_are_refused(toy, ganforge, tmp_path):
    ganforge("run", toy)
    run = tmp_path / "runs" / "toy" / "0001"
    assert "To extend it: --set train.steps=16" in ganforge("resume", run).out
    refused = ganforge("resume", run, "--set", "optimizer.lr=1")
    assert refused.status == 2
    assert "this would be another run" in refused.err
    missing = ganforge("resume", tmp_path / "runs" / "toy" / "0002")
    assert missing.status == 2
    assert "did you mean '0001'" in missing.err


def test_old_checkpoints_are_pruned_and_the_rest_kept(toy, ganforge, tmp_path):
    ganforge("run", toy, "--set", "record.checkpoint_every=1", "--set", "record.keep=2")
    kept = sorted(path.name for path in (tmp_path / "runs" / "toy" / "0001" / "checkpoints").iterdir())
    assert kept == ["latest", "step-00000007", "step-00000008"]


def test_an_interrupted_run_saves_and_says_how_to_go_on(toy, tmp_path):
    command = [
        sys.executable,
        "-m",
        "ganforge",
        "run",
        str(toy),
        "--set",
        "train.steps=1000000",
        "--set",
        "record.log_every=1",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "runs" / "toy" / "0001" / "log.jsonl"
    deadline = time.monotonic() + 60
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "continue with: ganforge resume runs/toy/0001" in err
    state = json.loads(
        (log.parent / "checkpoints" / (log.parent / "checkpoints" / "latest").read_text() / "state.json").read_text()
    )
    assert state["step"] > 0


def test_losses_that_are_no_longer_finite_stop_the_run(toy, ganforge):
    result = ganforge("run", toy, "--set", "optimizer.lr=1e15", "--set", "train.steps=50")
    assert result.status == 1
    assert "error: the loss '" in result.err
    assert re.search(r"is (nan|inf) at step \d+", result.err)


def test_a_loss_that_raises_shows_its_own_traceback_and_status_3(toy, ganforge, tmp_path):
    (tmp_path / "bad_loss.py").write_text(
        "from ganforge import hookimpl\n"
        "def bad(fake):\n"
        "    return fake.no_such_method()\n"
        "@hookimpl\n"
        "def ganforge_register(register):\n"
        "    register.loss('bad', bad)\n"
    )
    result = ganforge("run", toy, "--plugin", tmp_path / "bad_loss.py", "--set", "losses.bad.use=bad")
    assert result.status == 3
    assert "losses.bad.AB: 'bad_loss/bad' raised AttributeError: 'Tensor' object has no attribute" in result.err
    assert 'bad_loss.py", line 3' in result.err
    assert "no_such_method" in result.err


def test_the_charbonnier_plugin_of_the_design_trains_beside_its_recipe_and_travels_with_the_run(
    toy, ganforge, tmp_path
):
    from tests.components.test_plugins import CHARBONNIER

    (tmp_path / "my_loss.py").write_text(CHARBONNIER)
    toy.write_text(
        'plugins = ["my_loss.py"]\n' + toy.read_text().replace('use = "l2"', 'use = "charbonnier"\neps = 0.01')
    )
    result = ganforge("run", toy)
    assert result.status == 0
    assert "loading code: " in result.err
    run = tmp_path / "runs" / "toy" / "0001"
    assert "reconstruction" in str(records(run)[-1]["losses"])
    (tmp_path / "my_loss.py").unlink()
    (tmp_path / "moved").mkdir()
    run = run.rename(tmp_path / "moved" / "0001")
    assert ganforge("resume", run, "--set", "train.steps=10").status == 0
    (tmp_path / "my_loss.py").write_text(CHARBONNIER)
    words = ["resume", run, "--plugin", tmp_path / "my_loss.py", "--set", "train.steps=12"]
    assert ganforge(*words).status == 0
    assert "plugins/my_loss.py" in (run / "recipe.lock.toml").read_text()
    assert ganforge("resume", run, "--set", "train.steps=14").status == 0


@pytest.fixture
def pictures(tmp_path, pairs):
    """A recipe of eight steps on a few small pictures."""
    path = tmp_path / "pictures.toml"
    path.write_text(
        f'extends = "discogan_edges2shoes"\n[dataset]\nroot = "{pairs}"\nsize = 32\n'
        "[generator]\nwidth = 8\n[discriminator]\nwidth = 8\n"
        "[train]\nsteps = 8\nbatch = 4\n[record]\nlog_every = 2\ncheckpoint_every = 4\nsample_every = 0\n"
    )
    return path


@pytest.mark.parametrize(
    "precision",
    ["fp32", *(pytest.param(name, marks=pytest.mark.slow) for name in ("bf16", "fp16", "tf32"))],
)
@pytest.mark.parametrize("channels_last", ["true", pytest.param("false", marks=pytest.mark.slow)])
def test_a_resumed_run_of_any_precision_and_layout_ends_as_an_undisturbed_one(
    precision, channels_last, pictures, ganforge, tmp_path
):
    sets = ["--set", f"compute.precision={precision}", "--set", f"compute.channels_last={channels_last}"]
    assert ganforge("run", pictures, *sets, "--out", "whole").status == 0
    assert ganforge("run", pictures, *sets, "--set", "train.steps=3", "--out", "parts").status == 0
    whole, parts = (tmp_path / out / "pictures" / "0001" for out in ("whole", "parts"))
    assert ganforge("resume", parts, "--set", "train.steps=8").status == 0
    for name in ("G_AB", "D_A", "training"):
        for key, value in weights(whole, name).items():
            assert torch.equal(value, weights(parts, name)[key]), (name, key)
    assert all(tensor.dtype != torch.bfloat16 for tensor in weights(whole).values())
    start = records(whole)[0]["losses"]
    assert all(abs(start[name]) < 10 for name in start)


def test_what_is_chosen_automatically_stands_in_the_lock(pictures, toy, ganforge, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True})
    for recipe in (pictures, toy):
        assert ganforge("run", recipe, "--set", "train.steps=1").status == 0
    for name, lines in {
        "pictures": ['precision = "bf16"', "channels_last = true", "threads = 0"],
        "toy": ['precision = "fp32"', "channels_last = false", "threads = 1"],
    }.items():
        lock = (tmp_path / "runs" / name / "0001" / "recipe.lock.toml").read_text().splitlines()
        assert set(lines) <= set(lock)
    monkeypatch.setattr("torch.cpu.get_capabilities", dict)
    assert ganforge("run", pictures, "--set", "train.steps=1").status == 0
    assert 'precision = "fp32"' in (tmp_path / "runs" / "pictures" / "0002" / "recipe.lock.toml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_what_full_precision_learns(precision, pictures, ganforge, tmp_path):
    """Over three seeds, reconstruction after 200 steps is within 10 % of fp32's in the mean."""
    found = {"fp32": 0.0, precision: 0.0}
    for value, seed in itertools.product(found, (0, 1, 2)):
        sets = [f"compute.precision={value}", f"train.seed={seed}", "train.steps=200"]
        sets += ["record.log_every=50", "record.checkpoint_every=0"]
        out = tmp_path / f"{value}-{seed}"
        assert ganforge("run", pictures, *(word for one in sets for word in ("--set", one)), "--out", out).status == 0
        losses = records(out / "pictures" / "0001")[-1]["losses"]
        found[value] += losses["generator.reconstruction.AB"] + losses["generator.reconstruction.BA"]
    assert found[precision] == pytest.approx(found["fp32"], rel=0.1)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's list of open files")
def test_a_run_that_ended_holds_no_file_open(toy, ganforge, tmp_path):
    """Neither a descriptor nor a mapped checkpoint, which would stay on the disk after it is deleted."""

    def held() -> list[str]:
        opened = [str(Path(one).readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
        mapped = Path("/proc/self/maps").read_text().splitlines()
        return [line for line in (*opened, *mapped) if str(tmp_path) in line]

    assert ganforge("run", toy, "--set", "record.checkpoint_every=1").status == 0
    assert held() == []
    assert ganforge("resume", "runs/toy/0001", "--set", "train.steps=10").status == 0
    assert held() == []
    for checkpoint in (tmp_path / "runs" / "toy" / "0001" / "checkpoints").glob("step-*"):
        (checkpoint / "state.json").write_text("{}")
    assert ganforge("resume", "runs/toy/0001", "--set", "train.steps=12").status == 2
    assert held() == []


def test_devices_that_are_not_there_are_refused(toy, ganforge):
    result = ganforge("run", toy, "--device", "tpu")
    assert result.status == 2
    assert "there is no device 'tpu'; this machine has: " in result.err


def test_data_that_are_not_there_leave_no_run_behind(ganforge, tmp_path):
    result = ganforge("run", "discogan_edges2shoes")
    assert result.status == 2
    assert "dataset.root: no folder" in result.err
    assert not (tmp_path / "runs").exists()


def test_the_default_toy_shows_figure_4(ganforge, tmp_path):
    result = ganforge("run", "discogan_toy", "--set", "train.steps=20", "--set", "record.sample_every=10")
    assert result.status == 0
    run = tmp_path / "runs" / "discogan_toy" / "0001"
    assert f"figures: {run.relative_to(tmp_path)}/figures/figure4.png" in result.out
    assert (run / "figures" / "figure4.png").stat().st_size > 10_000
    assert {"coverage", "clean", "cycle_error_A"} <= json.loads((run / "metrics.json").read_text())["test"][
        "modes"
    ].keys()
    assert [path.name for path in sorted((run / "samples").iterdir())] == [f"step-{n:08d}.png" for n in (0, 10, 20)]
    before = (run / "metrics.json").read_text()
    (run / "metrics.json").unlink()
    assert ganforge("evaluate", run).status == 0
    assert (run / "metrics.json").read_text() == before


@pytest.mark.parametrize(
    ("sets", "threads"), [([], 1), (["--set", "compute.threads=2"], 2), (["--set", "train.batch=6000"], 3)]
)
def test_small_batches_take_one_thread_unless_told_otherwise(sets, threads, toy, ganforge):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert ganforge("run", toy, *sets, "--set", "train.steps=1").status == 0
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_a_signal_after_the_look_at_a_step_saves_too(ganforge, toy, tmp_path, monkeypatch):
    monkeypatch.setattr("ganforge.runs.loop.TICK_SECONDS", -1.0)
    (tmp_path / "late.py").write_text(
        "import os, signal\nfrom ganforge import hookimpl\n"
        "@hookimpl\ndef ganforge_ticked(run):\n    run.step == 3 and os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    assert ganforge("run", toy, "--plugin", "late.py").status == 143
    assert (tmp_path / "runs/toy/0001/checkpoints/latest").read_text() == "step-00000003"
