"""Whole commands on a pretended CUDA device: nothing computes with tensors of the device and of the CPU."""

import pytest
import torch
from PIL import Image

from tests.pretended_cuda import pretended

CARS = ["dataset.models=3", "dataset.test_models=2"]
NARROW = ["generator.width=4", "discriminator.width=4"]
ADA = ["updates.ada.use=ada", "values.shown={use='ada'}", "values.shown_real={use='ada', on={fake='real'}}"]
BEST = ["record.best=-cycle.cycle_l1_A", "record.evaluate_every=3", "evaluations.cycle.use=reconstruction"]
MOVED = ["train.augment={flip=0.5, shift=0.1, brightness=0.1}"]
CASES = {
    "discogan_toy": ["discogan_toy"],
    "recorded": ["discogan_toy", "compute.compile='trace'"],
    "azimuth": ["discogan_car2car_turntable", *NARROW, *CARS, "evaluations.azimuth.steps=1"],
    "from the host": ["gan_car2car_turntable", *NARROW, *CARS, "evaluations.azimuth=false", "compute.residency=host"],
    "augmented": ["gan_car2car_turntable", *NARROW, *CARS, "evaluations.azimuth=false", *ADA, *MOVED],
    "in parts": ["cyclegan_coats", *NARROW, "train.accumulate=2", "updates.ema.use=ema", *BEST],
    "pix2pix": ["pix2pix_coats", *NARROW],
    "stargan": ["stargan_coats", *NARROW],
    "cut": ["cut_turntable", *NARROW, *CARS],
    "munit": ["munit_turntable", *NARROW, *CARS],
    "dcgan": ["dcgan_turntable", *NARROW, *CARS],
    "r3gan": ["r3gan_turntable", *CARS],
}
SETS = [
    "train.batch=4",
    "train.steps=4",
    "record.sample_every=2",
    "record.checkpoint_every=2",
    "compute.cuda_graph=false",
]


def test_mixing_devices_is_an_error_here_as_there(monkeypatch):
    with pretended(monkeypatch):
        here, there = torch.ones(2), torch.ones(2, device="cuda")
        assert (there + 1).device.type == "cuda"
        assert (there * torch.tensor(2.0)).is_cuda
        assert not there.cpu().is_cuda
        assert there[torch.tensor([0])].is_cuda
        for mixed in (lambda: here + there, lambda: here[there.long()], lambda: torch.stack([here, there])):
            with pytest.raises(RuntimeError, match="same device"):
                mixed()
        with pytest.raises(TypeError, match="to numpy"):
            there.numpy()
        with pytest.raises(RuntimeError, match="generator"):
            torch.rand(2, device="cuda", generator=torch.Generator())


@pytest.mark.parametrize(
    "name", [name if name == "discogan_toy" else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_a_run_trains_resumes_is_evaluated_and_translates_on_cuda(name, ganforge, tmp_path, monkeypatch):
    recipe, *sets = CASES[name]

    def call(*words):
        result = ganforge(*words, "--device", "cuda")
        assert result.status == 0, result.err
        assert "failed" not in result.err

    with pretended(monkeypatch):
        call("run", recipe, *(word for setting in [*SETS, *sets] for word in ("--set", setting)))
        (run,) = (tmp_path / "runs").glob("*/0001")
        call("resume", run, "--set", "train.steps=6")
        call("evaluate", run)
        if recipe in ("dcgan_turntable", "r3gan_turntable"):
            call("draw", run, "--out", "drawn")
        elif "toy" not in recipe:
            Image.new("RGB", (70, 64)).save(tmp_path / "picture.png")
            direction = [] if recipe == "cut_turntable" else ["--direction", "AB"]
            call("translate", run, tmp_path / "picture.png", "--out", "translated", *direction)
