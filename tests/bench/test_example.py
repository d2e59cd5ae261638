"""`examples/discogan.py` teaches what ganforge computes, and runs by itself."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganforge import assemble, make_dataset
from ganforge_bench import bench

EXAMPLE = Path(__file__).parents[2] / "examples" / "discogan.py"


def test_the_example_has_the_losses_of_the_recipe_over_20_steps(understand):
    plan = understand("discogan_toy", "compute.precision=fp32", "compute.compile=false")
    dataset = make_dataset(plan)
    engine, batches = assemble(plan, dataset, bench.random_sources(plan, dataset), torch.device("cpu"))
    batch = batches(0)
    step = runpy.run_path(str(EXAMPLE))["make"](batch)
    for name, network in step.networks.items():
        weights = engine.networks[name].double().parameters()
        with torch.no_grad():
            for theirs, ours in zip(network.double().parameters(), weights, strict=True):
                theirs.copy_(ours)
    before = [parameter.clone() for network in step.networks.values() for parameter in network.parameters()]
    for number in range(20):
        batch = {name: samples.double() for name, samples in batches(number).items()}
        theirs, ours = step(batch), engine.step(number, batch)
        assert list(theirs) == list(ours) == ["discriminator", "generator"]
        for player in ours:
            assert float(theirs[player]) == pytest.approx(float(ours[player][0]), rel=1e-6)
    after = [parameter for network in step.networks.values() for parameter in network.parameters()]
    assert not any(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.slow
def test_the_example_runs_by_itself_and_writes_a_picture(tmp_path):
    alone = "import runpy, sys; sys.modules['ganforge'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    words = [sys.executable, "-c", alone, str(EXAMPLE), "200"]
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=tmp_path, env=variables, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    losses, speed, picture = done.stdout.splitlines()
    assert losses.startswith("200: L_D ")
    assert speed.endswith(" steps/s")
    with Image.open(tmp_path / picture) as drawn:
        assert len(drawn.getcolors()) == 7  # five modes of A, the crosses and the ground
