"""Random draws of a part of a batch: those of the whole batch's rows, its own ones, or the same as everywhere."""

import random

import numpy
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from ganforge import PluginError
from ganforge.training import rows
from ganforge.training.rows import Draws, Rows, Shared

CPU = torch.device("cpu")


def in_parts(draw, count=4, parts=2, draws=None):
    """What a function draws in each part of a batch, for which it has a state each, and what is drawn afterwards."""
    size, found, after = count // parts, [], []
    for place in range(parts):
        if draws is None:  # as on several devices
            torch.manual_seed(0)
        with Shared(Rows(count, place * size, size), CPU, False, draws):
            found.append(draw(torch.ones(size, 6)))
        after.append(float(torch.rand(())))
    return found, after


ATEN = {schema.name for schema in torch._C._jit_get_all_schemas() if schema.name.startswith("aten::")}
DRAWING = {
    name
    for name in (name.removeprefix("aten::") for name in ATEN)
    for overload in getattr(getattr(torch.ops.aten, name, None), "overloads", list)()
    if torch.Tag.nondeterministic_seeded in getattr(getattr(torch.ops.aten, name), overload).tags
}
LOW = ("_cudnn", "_efficient", "_flash", "_scaled", "miopen", "_fused", "_lstm", "_nested", "_triton", "_fill")


def test_every_function_of_torch_that_draws_is_known():
    known = rows._DRAWING | rows._OTHERS | rows._TWINS.keys()
    called = {
        (place.__name__, name)
        for name in DRAWING
        if not name.startswith(LOW)  # which no module calls by these names
        for place in (torch, torch.Tensor, functional)
        if callable(function := getattr(place, name, None)) and function not in known
    }
    assert {"multinomial", "dropout_"} <= DRAWING
    assert not called


INSIDE = {
    "gumbel_softmax": functional.gumbel_softmax,
    "normal": lambda rows: torch.normal(rows, 0.1),
    "Normal": lambda rows: torch.distributions.Normal(rows, 1.0).sample(),
    "attention": lambda rows: nn.MultiheadAttention(6, 1, dropout=0.5)(rows, rows, rows)[0],
    "alpha_dropout": lambda rows: functional.alpha_dropout(rows, 0.5, training=True),
}


@pytest.mark.parametrize("name", INSIDE)
def test_what_draws_inside_draws_each_parts_own_numbers_and_leaves_one_random_state(name):
    torch.manual_seed(1)
    module = nn.MultiheadAttention(6, 1, dropout=0.5)
    draw = (lambda mine: module(mine, mine, mine)[0]) if name == "attention" else INSIDE[name]
    found, after = in_parts(draw)
    assert not torch.equal(found[0], found[1])
    assert after[0] == after[1]
    again, _ = in_parts(draw)
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))


IN_PLACE = {
    "dropout": lambda rows: functional.dropout(rows, 0.5, inplace=True),
    "dropout2d": lambda rows: functional.dropout2d(rows[..., None, None], 0.5, inplace=True),
    "rrelu": lambda rows: nn.RReLU(inplace=True)(rows),
    "torch.dropout_": lambda rows: torch.dropout_(rows, 0.5, True),
    "torch.rrelu_": lambda rows: torch.rrelu_(input=rows, training=True),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_what_draws_in_place_changes_the_tensor_and_draws_each_parts_own_numbers(name):
    def draw(ones):
        given = -ones.requires_grad_()
        changed = IN_PLACE[name](given).view_as(given)
        assert torch.equal(given, changed)
        (gradient,) = torch.autograd.grad(changed.sum(), ones)
        assert torch.equal(gradient, changed)  # the slope of -1 is the value there, of -ones its opposite
        return changed.detach()

    found, after = in_parts(draw)
    assert not torch.equal(found[0], found[1])
    assert after[0] == after[1]
    again, _ = in_parts(draw)
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))


def test_what_is_not_of_the_rows_is_the_same_in_all_parts():
    for draw in (lambda rows: torch.randperm(2), lambda rows: torch.distributions.Beta(1.0, 1.0).sample()):
        for draws in (None, Draws()):
            torch.manual_seed(0)
            found, _ = in_parts(draw, count=6, draws=draws)
            assert torch.equal(*found)


def test_a_formula_that_is_computed_again_draws_the_same_also_of_python_and_numpy():
    def draw(rows):
        return [torch.rand(()), torch.distributions.Beta(1.0, 1.0).sample(), random.random(), numpy.random.rand()]

    random.seed(0)
    numpy.random.seed(0)
    (one, other), _ = in_parts(draw, count=6, draws=Draws())
    assert one == other
    assert random.random() not in one
    assert numpy.random.rand() not in one


def test_dropout_inside_a_checkpoint_is_refused_but_not_where_nothing_is_dropped():
    layer = nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5))
    rows = torch.ones(2, 6, requires_grad=True)
    with Shared(Rows(4, 2, 2), CPU, False, None):
        with pytest.raises(PluginError, match=r"'dropout' draws random numbers inside torch.utils.checkpoint"):
            checkpoint(layer, rows, use_reentrant=False)
        with pytest.raises(PluginError, match=r"'gumbel_softmax' draws random numbers inside"):
            checkpoint(functional.gumbel_softmax, rows, use_reentrant=False)
        layer[1].p = 0.0
        kept = checkpoint(layer, rows, use_reentrant=False)
        layer.eval()
        layer[1].p = 0.5
        assert torch.equal(checkpoint(layer, rows, use_reentrant=False), kept)
    kept.sum().backward()
    assert rows.grad is not None


def test_a_probability_may_be_a_tensor_and_a_function_may_work_in_place():
    (one, other), after = in_parts(lambda mine: torch.empty(len(mine), 9).bernoulli_(p=torch.full((2, 9), 0.5)))
    assert not torch.equal(one, other)
    assert after[0] == after[1]
    found, after = in_parts(lambda mine: functional.rrelu(-mine, training=True, inplace=True))
    assert all(((rows < 0) & (rows > -1)).all() for rows in found)
    assert after[0] == after[1]
