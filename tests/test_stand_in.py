"""The recipes on the stand-in for edges2shoes, where it lies beside the checkout; and on a GPU, where there is one."""

import json

import pytest
import torch

NARROW = [
    "--set",
    "generator.width=4",
    "--set",
    "discriminator.width=4",
    "--set",
    "train.batch=8",
    "--set",
    "train.steps=4",
]
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize(
    "recipe",
    ["discogan_edges2shoes", "gan_edges2shoes", "gan_recon_edges2shoes", "discogan_edges2shoes_reference"],
)
def test_the_recipes_run_on_the_archives_layout(recipe, edges2shoes, ganforge, tmp_path):
    result = ganforge("run", recipe, "--set", f"dataset.root={edges2shoes}", *NARROW)
    assert result.status == 0, result.err
    run = tmp_path / "runs" / recipe / "0001"
    assert (run / "samples" / "step-00000004.png").exists()
    photo = edges2shoes / "val" / "1_AB.jpg"
    assert ganforge("translate", run, photo, "--direction", "AB", "--out", "out").status == 0
    assert (tmp_path / "out" / "1_AB.png").exists()


@gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_commands_run_on_cuda_and_their_weights_translate_on_a_cpu(precision, pairs, ganforge, tmp_path):
    sets = ["--set", f"dataset.root={pairs}", "--set", "train.batch=4", "--set", "train.steps=4"]
    result = ganforge("run", "discogan_edges2shoes", *sets, "--set", f"train.precision={precision}", "--device", "cuda")
    assert result.status == 0, result.err
    run = tmp_path / "runs" / "discogan_edges2shoes" / "0001"
    assert ganforge("resume", run, "--set", "train.steps=6", "--device", "cuda").status == 0
    words = ["translate", run, pairs / "val" / "1_AB.jpg", "--direction", "AB", "--device", "cpu", "--out", "out"]
    assert ganforge(*words).status == 0


@gpu
def test_the_toy_runs_on_cuda_as_on_the_cpu(toy, ganforge, tmp_path):
    for device in ("cpu", "cuda"):
        assert ganforge("run", toy, "--device", device, "--out", device).status == 0
    logs = [
        json.loads((tmp_path / device / "toy" / "0001" / "log.jsonl").read_text().splitlines()[0])["losses"]
        for device in ("cpu", "cuda")
    ]
    assert logs[0] == pytest.approx(logs[1], rel=1e-3)
