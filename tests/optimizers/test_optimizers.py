"""Settings of optimizers that torch does not have by itself."""

import copy

import pytest
import torch
from torch import nn

from ganforge.testing import components_of

OPTIMIZERS = {component.name: component.factory for component in components_of("ganforge_optimizers")}
GRADIENTS = [1.0, -2.0, 0.5]


def steps(optimizer, parameter, before=lambda step: None):
    """Take steps along fixed gradients, and return where they lead."""
    found = []
    for step, gradient in enumerate(GRADIENTS):
        before(step)
        parameter.grad = torch.tensor(gradient, dtype=parameter.dtype)
        optimizer.step()
        found.append(float(parameter.detach()))
    return found


def parameter():
    return nn.Parameter(torch.zeros((), dtype=torch.float64))


def test_beta2_takes_the_place_of_the_second_beta():
    one, other = parameter(), parameter()
    mine = OPTIMIZERS["adam"]([one], lr=0.1, betas=(0.2, 0.9), beta2=0.5)
    theirs = OPTIMIZERS["adam"]([other], lr=0.1, betas=(0.2, 0.5))
    assert steps(mine, one) == steps(theirs, other)


def test_beta2_may_change_from_step_to_step():
    one, other = parameter(), parameter()
    mine = OPTIMIZERS["adam"]([one], lr=0.1, betas=(0.2, 0.9), beta2=0.9)
    plain = torch.optim.Adam([other], lr=0.1, betas=(0.2, 0.9), fused=True)

    def change(step):
        mine.param_groups[0]["beta2"] = 0.9 + 0.03 * step
        plain.param_groups[0]["betas"] = (0.2, 0.9 + 0.03 * step)

    assert steps(mine, one, change) == steps(plain, other, change)


def test_a_schedule_of_beta2_is_followed(make_engine, toy):
    schedule = "optimizer.beta2={steps=[0, 2], values=[0.9, 0.99], between='linear'}"
    engine, batches = make_engine(toy, schedule)
    found = []
    for step in range(4):
        engine.step(step, batches(step))
        found.append(engine.players["generator"].optimizer.param_groups[0]["betas"])
    assert [beta2 for _, beta2 in found] == pytest.approx([0.9, 0.945, 0.99, 0.99])
    assert {beta1 for beta1, _ in found} == {0.5}


def pair(**options):
    """Return our Adam and torch's, over equal parameters of several shapes."""
    networks = []
    for _ in range(2):
        torch.manual_seed(0)
        networks.append(nn.Sequential(nn.Linear(3, 17), nn.Linear(17, 5), nn.BatchNorm1d(5)))
    plain = torch.optim.AdamW if options.pop("decoupled", False) else torch.optim.Adam
    name = "adamw" if plain is torch.optim.AdamW else "adam"
    betas, decay = options.get("betas", (0.5, 0.999)), options.get("weight_decay", 0.0)
    mine = OPTIMIZERS[name](list(networks[0].parameters()), lr=1e-2, betas=betas, weight_decay=decay)
    theirs = plain(networks[1].parameters(), lr=1e-2, betas=betas, weight_decay=decay, fused=True)
    assert type(mine) is not type(theirs)
    return [(mine, networks[0]), (theirs, networks[1])]


def take(optimizer, network, step, missing=()):
    """Take a step with random gradients, which some parameters lack."""
    torch.manual_seed(step)
    for place, parameter in enumerate(network.parameters()):
        gradient = torch.randn_like(parameter)
        parameter.grad = None if place in missing else gradient
    optimizer.step()


def assert_same_state(mine, theirs):
    one, other = mine.state_dict(), theirs.state_dict()
    assert one["param_groups"] == other["param_groups"]
    assert one["state"].keys() == other["state"].keys()
    for place, state in other["state"].items():
        for name, value in state.items():
            assert torch.equal(one["state"][place][name], value)


@pytest.mark.parametrize(
    "options", [{}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled": True}, {"betas": (0.0, 0.99)}]
)
def test_adam_is_torchs_adam_bit_for_bit(options):
    (mine, one), (theirs, other) = both = pair(**options)
    for step in range(30):
        for optimizer, network in both:
            optimizer.param_groups[0]["lr"] = 1e-2 / (1 + step)
            take(optimizer, network, step, missing=(0, 3) if step in (0, 7, 8) else (range(6) if step == 12 else ()))
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(one.parameters(), other.parameters(), strict=True))
    assert_same_state(mine, theirs)


def test_adam_continues_from_a_saved_state_of_torchs_and_the_other_way_round():
    (mine, one), (theirs, other) = both = pair()
    for step in range(3):
        for optimizer, network in both:
            take(optimizer, network, step, missing=(2,) if step == 1 else ())
    saved = [copy.deepcopy(optimizer.state_dict()) for optimizer in (mine, theirs)]
    mine.load_state_dict(saved[1])
    theirs.load_state_dict(saved[0])
    again = copy.deepcopy(mine)
    for step in range(3, 6):
        for optimizer, network in both:
            take(optimizer, network, step)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(one.parameters(), other.parameters(), strict=True))
    assert_same_state(mine, theirs)
    assert float(again.state_dict()["state"][0]["step"]) == 3
    take(again, nn.ParameterList(again.param_groups[0]["params"]), 3)


def test_adam_begins_again_where_its_state_is_cleared():
    (mine, _), (theirs, _) = both = pair()
    for step in range(4):
        for optimizer, network in both:
            take(optimizer, network, step)
            if step == 1:
                optimizer.state.clear()
    assert_same_state(mine, theirs)
    assert float(mine.state_dict()["state"][0]["step"]) == 2


def test_adam_skips_what_a_scaler_found_infinite():
    found = []
    for optimizer, network in pair():
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        for step in range(5):
            torch.manual_seed(step)
            loss = network(torch.randn(8, 3)).square().mean()
            optimizer.zero_grad()
            scaler.scale(loss * (float("inf") if step == 2 else 1.0)).backward()
            scaler.step(optimizer)
            scaler.update()
        found.append(optimizer)
    assert_same_state(*found)
    assert float(found[0].state_dict()["state"][0]["step"]) == 4


def test_adam_of_parameters_that_differ_in_type_is_torchs():
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2, dtype=torch.float64))]
    optimizer = OPTIMIZERS["adam"](parameters)
    assert type(optimizer) is torch.optim.Adam
    for one in parameters:
        one.grad = torch.ones_like(one)
    optimizer.step()
    assert all(bool((one != 0).all()) for one in parameters)
