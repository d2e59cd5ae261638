"""`ganforge bench`: a plain step of the same mathematics, and figures that fit together."""

import json

import pytest
import torch

from ganforge import assemble, make_dataset
from ganforge_bench import bench

SMALL = ["dataset.size=16", "generator.width=4", "discriminator.width=4", "train.batch=4", "dataset.root=none"]


def both(plan):
    """The engine of a plan, and the plain step, from the same start."""
    dataset, cpu = make_dataset(plan), torch.device("cpu")
    sources = bench.random_sources(plan, dataset)
    engine, batches = assemble(plan, dataset, sources, cpu)
    return engine, bench._plain(plan, dataset, sources, cpu), batches


@pytest.mark.parametrize("recipe", ["discogan_edges2shoes", "gan_edges2shoes", "gan_recon_edges2shoes"])
def test_the_plain_step_learns_what_the_engine_learns(recipe, understand):
    engine, plain, batches = both(understand(recipe, *SMALL, "compute.precision=fp32"))
    for step in range(3):
        engine.step(step, batches(step))
        plain(step, batches(step))
    for name, network in engine.networks.items():
        for one, other in zip(network.parameters(), plain.engine.networks[name].parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_the_plain_step_keeps_the_recipes_rhythm(understand):
    _, plain, batches = both(understand("discogan_edges2shoes_reference", *SMALL))
    before = {name: [value.clone() for value in net.parameters()] for name, net in plain.engine.networks.items()}
    plain(0, batches(0))  # D alone
    changed = {
        name: any(not torch.equal(*pair) for pair in zip(before[name], net.parameters(), strict=True))
        for name, net in plain.engine.networks.items()
    }
    assert changed == {"G_AB": False, "G_BA": False, "D_A": True, "D_B": True}


def test_the_figures_fit_together_and_need_no_data(ganforge, tmp_path):
    words = [word for setting in SMALL for word in ("--set", setting)]
    result = ganforge("bench", "discogan_edges2shoes", *words, "--seconds", "1", "--json")
    assert result.status == 0, result.err
    found = json.loads(result.out)
    assert found["ratio"] == pytest.approx(found["steps_per_second"] / found["plain_steps_per_second"])
    assert found["pairs_per_second"] == pytest.approx(4 * found["steps_per_second"])
    assert found["device"] == "cpu" or found["threads"] >= 1
    parts = found["parts_ms"]
    assert set(parts) == {"data", "discriminator phase", "generator phase", "optimizers", "logging"}
    assert all(value > 0 for value in parts.values())
    assert sum(parts.values()) < 10_000 / found["steps_per_second"]
    assert not (tmp_path / "runs").exists()


def test_operations_are_those_counted_by_hand(understand):
    """Two linear networks 2-8-2 and 2-8-1: forward, and backward for weights and (but for the first layer) inputs."""
    sets = ["generator.layers=2", "generator.hidden=8", "discriminator.layers=2", "discriminator.hidden=8"]
    sets += ["train.batch=10", "generator.output=linear"]
    engine, _, batches = both(understand("gan_toy", *sets))
    g, d = 2 * (2 * 8 + 8 * 2), 2 * (2 * 8 + 8 * 1)  # of one sample, forward
    d_phase = 2 * (d + d + 2 * 8 * 1)  # real and fake: forward, weights, the hidden layer's gradient
    g_phase = d + d + (g + 2 * 8 * 2)  # the judgement and its way back to the fake; then the generator's backward
    assert bench.count_operations(engine, batches, 1) == 10 * (g + d_phase + g_phase)


def test_a_recipe_of_points_and_real_data_are_measured_too(ganforge, pairs):
    assert "ratio" in ganforge("bench", "gan_toy", "--seconds", "0.5").out
    words = [word for setting in SMALL[:-1] for word in ("--set", setting)]
    result = ganforge(
        "bench", "discogan_edges2shoes", *words, "--set", f"dataset.root={pairs}", "--data", "--seconds", "0.5"
    )
    assert result.status == 0, result.err
    assert "discriminator phase, ms" in result.out
    assert ganforge("bench", "discogan_edges2shoes", *words, "--data").status == 2
