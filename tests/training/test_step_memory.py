"""How many bytes a step takes: counted as they come and go, and extrapolated from small batches."""

import pytest
import torch

from ganforge.training import step_memory
from ganforge.training.step_memory import Count, Line, line_of_translation, lines_of_step

DEEP = """
'''A generator that keeps 20 layers of 10,000 numbers for each sample.'''
import torch
from torch import nn
from ganforge import hookimpl

class Deep(nn.Module):
    '''Twenty exponentials, each of which needs its result on the way back.'''
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(10_000))
    def forward(self, x):
        '''[N, 2] to [N, 2].'''
        x = x[:, :1] * self.weight
        for _ in range(20):
            x = torch.exp(-x)
        return x[:, :2] + 0.0

def deep(source_shape, target_shape):
    '''Deep.'''
    return Deep()

@hookimpl
def ganforge_register(register):
    register.generator("deep", deep)
"""


def most(lines, batch):
    return max(line.at(batch) for line in lines)


def test_tensors_count_as_long_as_they_are_there():
    weight = torch.ones(1000, requires_grad=True)
    with Count(torch.device("cpu")) as count:
        doubled = weight * 2
        seen = doubled.view(10, 100)  # takes nothing
        loss = seen.exp().sum()
        torch.autograd.grad(loss, [weight])
        del doubled, seen, loss
        torch.zeros(10)
    before, forward, back, _, after, last = count.moments
    assert (before, forward, back) == (0, 8008, 8008)  # twice 1,000 numbers, the sum, and its gradient
    assert (after, last) == (0, 40)


def test_what_a_large_batch_takes_follows_from_two_small_ones(tmp_path, plugins, toy, make_engine):
    (tmp_path / "deep_networks.py").write_text(DEEP)
    plugins.load_file(tmp_path / "deep_networks.py")
    engine, batches = make_engine(toy, "coupling.use=gan", "losses.reconstruction=false", "generator.use=deep")
    one = {domain: samples[:1] for domain, samples in batches(0).items()}
    for batch in (1, 2, 100):
        kept = batch * 20 * 10_000 * 4
        assert kept < most(lines_of_step(engine, one, batch), batch) < 1.2 * kept  # beside it the layer that is made
    assert 2 * 40_000 <= line_of_translation(engine, one, "generator").at(1) < 3.1 * 40_000  # a layer, and the next one


@pytest.mark.parametrize("layout", ["true", "false"])
def test_of_pictures_it_is_nearly_what_is_counted_in_the_large_batch_itself(layout, pairs, make_engine):
    sets = [f"dataset.root={pairs}", "generator.width=8", "discriminator.width=8", "train.batch=4"]
    engine, batches = make_engine("discogan_edges2shoes", *sets, f"compute.channels_last={layout}")
    one = {domain: samples[:1] for domain, samples in batches(0).items()}
    counted = max(step_memory._counted_step(engine, one, 24))
    assert most(lines_of_step(engine, one, 24), 24) == pytest.approx(counted, rel=0.05)


def test_on_cuda_the_devices_own_figures_count(monkeypatch):
    taken, resets = iter([100, 130, 180, 170]), []
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda device: next(taken))
    monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda device: 250 if len(resets) < 2 else 400)
    monkeypatch.setattr("torch.cuda.reset_peak_memory_stats", resets.append)
    weight = torch.ones((), requires_grad=True)
    with Count(torch.device("cuda")) as count:
        torch.autograd.grad(weight * 2, [weight])
    assert count.moments == [30, 150, 80, 300]  # each part begins and has its most, without the 100 from before
    assert resets == [torch.device("cuda")] * 2


def test_a_line_is_fixed_and_for_each():
    assert Line(10.0, 2.5).at(4) == 20.0
