"""CUDA graphs, on a stand-in: they give what the step gives; where they cannot be had, the step itself is played."""

from functools import partial

import pytest
import torch
from attrs import evolve
from torch import nn

from ganforge import PluginError
from ganforge.recipe.tables import Compute
from ganforge.training import numerics
from ganforge_recorded import lanes, program
from ganforge_recorded.alike import Likeness
from tests.coats import METHODS, engine_of
from tests.recorded.cuda_stand_in import ORDERS
from tests.recorded.test_losses import LOSSES, REASONS, assert_trains_alike
from tests.recorded.test_program import linear_play, unchanged

OFTEN = ("discogan",)
GRAPHS = Compute(compile="trace", cuda_graph=True)


def trained(method, folder, *sets, steps=20):
    """Return an engine after some steps, their losses, and the state of random numbers."""
    engine, batches = engine_of(method, folder, sets, double=False)
    torch.manual_seed(1)
    losses = [{name: one.clone() for name, one in engine.step(s, batches(s)).items()} for s in range(steps)]
    return engine, losses, torch.get_rng_state()


def assert_graphs_train_alike(device, method, folder, *sets):
    """With and without graphs, all bits are the same; return the engine with graphs."""
    mine, losses, drawn = trained(method, folder, *sets, 'compute.compile="trace"')
    device.wanted = False
    theirs, expected, drawn_there = trained(method, folder, *sets, "compute.compile=false")
    assert not theirs.recording.programs
    for one, other in zip(losses, expected, strict=True):
        assert all(torch.equal(one[player], other[player]) for player in other)
    for name, module in mine.modules.items():
        there = theirs.modules[name].state_dict()
        assert all(torch.equal(value, there[key]) for key, value in module.state_dict().items())
    assert torch.equal(drawn, drawn_there)
    return mine


@pytest.mark.parametrize(
    "method", [one if one in OFTEN else pytest.param(one, marks=pytest.mark.slow) for one in METHODS]
)
@pytest.mark.parametrize(
    "order", [one if one == "second" else pytest.param(one, marks=pytest.mark.slow) for one in ORDERS]
)
def test_twenty_steps_of_every_method_are_the_same(method, order, device, tmp_path):
    device.order = order
    engine = assert_graphs_train_alike(device, method, tmp_path)
    assert (engine.recording.reason, engine.recording.how) == ("", "CUDA graphs")


@pytest.mark.parametrize(("order", "parallel"), [*((order, True) for order in ORDERS), ("any", False)])
def test_streams_may_run_as_far_apart_as_they_like(order, parallel, device, toy):
    device.order, device.parallel = order, parallel
    engine = assert_trains_alike(toy)
    (made,) = engine.recording.programs.values()
    assert [part.captured._graph.parallel for part in made.parts] == [parallel, parallel]


def test_the_two_directions_of_a_coupling_have_a_stream_each(device, tmp_path):
    trained("discogan", tmp_path, 'compute.compile="trace"', steps=2)
    for graph in device.graphs:
        if graph.parallel:
            share = sum(lane is graph.lanes[0] for lane in graph.lanes) / len(graph.lanes)
            assert 0.25 < share < 0.75


@pytest.mark.parametrize("spoilt", ["waits", "memory"])
def test_the_stand_in_shows_a_stream_that_does_not_wait_and_memory_given_back_too_early(
    spoilt, device, toy, monkeypatch
):
    divide = lanes.divide

    def spoil(*given):
        plan = divide(*given)
        if spoilt == "waits":
            return evolve(plan, items=[evolve(item, after=None) for item in plan.items])
        ends = {}
        for item in plan.items:
            ends |= dict.fromkeys((*item.node.all_input_nodes, item.node), item)
        kept = {*plan.given, *plan.results}
        return evolve(
            plan,
            items=[
                evolve(item, last=[node for node, end in ends.items() if end is item and node not in kept])
                for item in plan.items
            ],
        )

    monkeypatch.setattr(lanes, "divide", spoil)
    found = set()
    for order in ORDERS:
        device.order = order
        found.add(assert_trains_alike(toy).recording.reason)
    assert any("differs when replayed" in reason for reason in found)


@pytest.mark.parametrize(
    "name",
    [name if place % 24 == 0 else pytest.param(name, marks=pytest.mark.slow) for place, name in enumerate(LOSSES)],
)
def test_a_loss_trains_with_graphs_as_it_does_without(name, device, toy):
    engine = assert_trains_alike(toy, f"losses.extra={{use='{name}', weight=0.1}}")
    assert bool(engine.recording.programs) == (not REASONS[name])
    assert all(made.overwrites for made in engine.recording.programs.values())


@pytest.mark.parametrize(
    "sets",
    [
        ["updates.wait={use='accumulate', turns=2}"],
        ["updates.clip={use='clip', norm=0.1}", "updates.mean.use=ema"],
        ["losses.adversarial.use=Wasserstein", "train.every.generator=3"],
        ["updates.clip.use=ClipOnce"],
        ["losses.extra={use='Centred', weight={steps=[0, 11], values=[0.1, 1.0], between='linear'}}"],
    ],
    ids=["accumulated", "clipped", "two patterns", "moved memory", "rising"],
)
def test_what_happens_between_graphs_is_as_without_them(sets, device, toy):
    assert_trains_alike(toy, *sets)
    assert device.graphs


def test_what_cannot_be_captured_is_recorded_without_graphs_or_played_as_it_is(device, toy, tmp_path):
    device.fail = RuntimeError("CUDA error: operation not permitted when stream is capturing")
    recording = assert_trains_alike(toy).recording
    (made,) = recording.programs.values()
    assert not made.overwrites
    assert "not permitted" in made.uncaptured
    assert recording.reason == ""

    device.always = True  # as for networks that are too large for `trace`
    engine, batches = engine_of("discogan", tmp_path, ["compute.compile=false"], double=False)
    engine.step(0, batches(0))
    engine.step(1, batches(1))
    assert not engine.recording.programs
    assert "cannot be captured as a CUDA graph: RuntimeError: CUDA error" in engine.recording.reason

    device.wanted = True
    engine, batches = engine_of("discogan", tmp_path, ["compute.compile=false"], double=False)
    engine.step(0, batches(0))
    with pytest.raises(PluginError, match="cannot be captured as a CUDA graph"):
        engine.step(1, batches(1))


def test_large_networks_have_graphs_too_unless_unrecorded_steps_would_not_fit_beside_them(device, tmp_path):
    device.always = True
    engine, batches = engine_of("discogan", tmp_path, ["compute.compile=false"], double=False)
    engine.step(0, batches(0))
    engine.step(1, batches(1))
    assert all(made.overwrites for made in engine.recording.programs.values())
    device.free = 0
    engine, batches = engine_of("discogan", tmp_path, ["compute.compile=false"], double=False)
    engine.step(0, batches(0))
    engine.step(1, batches(1))
    assert "may not fit into memory beside it" in engine.recording.reason


@pytest.mark.parametrize("sets", [["generator.use=dropping"], ["losses.extra={use='Centred', weight=0.1}"]], ids=str)
def test_playing_from_rounded_inputs_to_compare_changes_nothing(sets, device, toy, monkeypatch):
    monkeypatch.setattr(Likeness, "of", lambda *_: Likeness(1e-4, 2**-22))
    assert assert_trains_alike(toy, *sets).recording.how == "CUDA graphs"


def test_a_graph_that_goes_wrong_later_is_noticed_and_not_taken(device, toy, monkeypatch):
    replays = []
    replay = program.Captured.__call__

    def spoilt(self, values):
        replays.append(None)
        losses, *others = replay(self, values)
        return [losses + 1e-3 if len(replays) > 8 else losses, *others]

    monkeypatch.setattr(program.Captured, "__call__", spoilt)
    engine = assert_trains_alike(toy, "train.every.generator=100")
    assert engine.recording.reason == "the loss discriminator.adversarial.BA differs when replayed"


def test_gradients_on_cuda_may_differ_by_rounding_but_not_by_more():
    exact, half = Likeness(), Likeness.of(Compute(precision="bf16", compile=False), on_cuda=True)
    one = torch.linspace(-1.0, 3.0, 50)
    assert not exact.same(one, one * (1 + 1e-5))
    assert half.same(one, one * (1 + 5e-3))
    assert not half.same(one, one * 1.05)
    assert not half.same(one, one[:2])
    assert not half.same(one, torch.cat([one[:-1], torch.tensor([float("nan")])]))
    endless = torch.full((50,), torch.inf)
    assert half.same(endless, endless)
    assert not half.same(endless, -endless)
    noise = 1e-5 * torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    assert not half.same(noise[0], noise[1])
    assert half.same(*noise)  # the third shows that it is only rounding
    assert not half.same(one, -one, one + noise[0])


def turn(network, inputs):
    loss = network(inputs).square().mean()
    return "generator", loss.detach()[None], torch.autograd.grad(loss, list(network.parameters()))


def test_a_gradient_that_is_only_rounding_may_be_another_but_a_small_one_of_other_samples_may_not():
    """A bias before normalisation has no effect; a layer after much of it may have a tiny gradient that has."""
    torch.manual_seed(0)
    half = Likeness.of(Compute(precision="bf16", compile=False), on_cuda=True)
    layers = [nn.Conv2d(3, 32, 3), nn.InstanceNorm2d(32), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Conv2d(32, 4, 3)]
    network = nn.Sequential(*layers).bfloat16()
    with torch.no_grad():
        layers[4].weight.mul_(1e-4)
    names = [name for name, _ in network.named_parameters()]
    inputs = torch.rand(4, 3, 16, 16).bfloat16()
    (near,) = half.rounded([inputs])
    assert not torch.equal(inputs, near)
    right, nearby = turn(network, inputs), turn(network, near)
    again = turn(network, inputs * (1 - 2**-8))  # other kernels, as it were
    found = dict(zip(names, right[2], strict=True))
    assert float((found["0.bias"] - again[2][1]).norm() / found["0.bias"].norm()) > 0.5
    assert half.difference(right, again, nearby, ["loss"], names) == ""
    stale = turn(network, torch.rand(4, 3, 16, 16).bfloat16())
    for place, name in enumerate(names):
        if name.endswith("weight"):
            mixed = [*right[2][:place], stale[2][place], *right[2][place + 1 :]]
            found = half.difference(right, (*right[:2], mixed), nearby, ["loss"], names)
            assert found == f"the gradient of {name}"


@pytest.mark.parametrize(
    ("loss", "works"),
    [
        (lambda made: made.square().mean() * torch.rand((), device="cpu"), False),
        (lambda made: (made - torch.tensor(0.5)).square().mean(), True),
        (lambda made: made.square().mean() + torch.tensor(0.5).to(made.device), False),
        (lambda made: made.square().mean() * torch.ones((), device=made.device), True),
    ],
    ids=["a draw", "a number", "a copied number", "on the device"],
)
def test_what_another_device_computes_is_not_captured(loss, works, device):
    network = nn.Linear(3, 2).to("meta")
    arguments = ([torch.ones(4, 3, device="meta")], network.buffers(), GRAPHS, partial(unchanged, network))
    made = program.record(linear_play(network, loss), *arguments)
    assert ("another device than meta" in made.uncaptured) == (not works)


@pytest.mark.parametrize(
    ("place", "precision", "given", "found"),
    [
        ("cuda", "bf16", "auto", "auto"),
        ("cuda", "bf16", False, False),
        ("cuda", "tf32", True, True),
        ("cuda", "fp16", "auto", False),
        ("cpu", "fp32", "auto", False),
    ],
)
def test_graphs_are_tried_on_cuda(place, precision, given, found):
    compute = Compute(precision=precision, cuda_graph=given, compile=False)
    assert numerics.settle(compute, 4, {"A": (3, 64, 64)}, torch.device(place)).cuda_graph is found
