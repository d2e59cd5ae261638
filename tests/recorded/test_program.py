"""A recorded step gives what the step itself gives, number by number, and says so where it cannot."""

import copy
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from torch import nn

from ganforge.errors import UnrecordableError
from ganforge.recipe.tables import Compute
from ganforge.training.state import Snapshot
from ganforge_recorded import program

TRACE = Compute(compile="trace")


def play_both(make_engine, recipe, sets=(), steps=12):
    """Train twice, once recorded and once not; return both engines and whether every loss was equal."""
    engines, same = [], True
    for compiled in ('"trace"', "false"):
        engine, batches = make_engine(recipe, *sets, f"compute.compile={compiled}")
        engines.append((engine, batches))
    (recorded, batches), (plain, _) = engines
    for step in range(steps):
        mine, theirs = recorded.step(step, batches(step)), plain.step(step, batches(step))
        assert mine.keys() == theirs.keys()
        same = same and all(torch.equal(mine[player], theirs[player]) for player in mine)
    return recorded, plain, same


def same_state(one, other) -> bool:
    """Tell whether all weights and running statistics of two engines are equal."""
    return all(
        torch.equal(value, other.networks[name].state_dict()[key])
        for name, network in one.networks.items()
        for key, value in network.state_dict().items()
    )


@pytest.mark.parametrize(
    "sets",
    [
        [],
        ["coupling.use=gan-recon"],
        ["coupling.use=gan", "losses.reconstruction=false"],
        ["train.every.discriminator=3", "train.alternate=true"],
        ["train.every.generator=2"],
        ["losses.reconstruction.weight={steps=[0, 5], values=[0.1, 10.0]}"],
        ["losses.adversarial.smoothing=0.1"],
        ["losses.features={use='feature-matching', weight=0.5}"],
        ["losses.identity={use='l1', on={reconstructed='identity', source='real'}}"],
        ["optimizer.use=sgd", "optimizer.lr=0.001", "optimizer.momentum=0.9"],
        ["generator.output=relu"],
    ],
    ids=str,
)
def test_recorded_steps_of_points_equal_the_others_bit_by_bit(sets, toy, make_engine):
    recorded, plain, same = play_both(make_engine, toy, sets)
    assert recorded.recording.programs
    assert not plain.recording.programs
    assert same
    assert same_state(recorded, plain)


@pytest.mark.parametrize(
    "sets",
    [
        [],
        pytest.param(["compute.precision=bf16"], marks=pytest.mark.slow),
        pytest.param(["compute.channels_last=true"], marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_recorded_steps_of_pictures_equal_the_others_with_their_batch_norm(sets, tmp_path, pairs, make_engine):
    recipe = tmp_path / "pictures.toml"
    recipe.write_text(
        f'[dataset]\nuse = "edges2photo"\nroot = "{pairs}"\nsize = 32\n[coupling]\nuse = "discogan"\n'
        '[generator]\nuse = "conv"\nwidth = 4\n[discriminator]\nuse = "conv"\nwidth = 4\n'
        '[losses.adversarial]\nuse = "gan"\n[losses.reconstruction]\nuse = "l2"\n[optimizer]\nuse = "adam"\n'
        "[train]\nsteps = 6\nbatch = 6\n"
    )
    recorded, plain, same = play_both(make_engine, recipe, sets, steps=4)
    assert recorded.recording.programs
    assert same
    assert same_state(recorded, plain)
    assert any(key.endswith("num_batches_tracked") for net in plain.networks.values() for key in net.state_dict())


@pytest.mark.parametrize(
    ("weight", "programs"),
    [
        ("{steps=[0, 5], values=[0.1, 10.0]}", 2),
        ("{steps=[0, 5], values=[0.0, 10.0]}", 2),
        ("{steps=[0, 9], values=[0.1, 10.0], between='linear'}", 1),
    ],
)
def test_a_schedule_is_recorded_once_for_each_of_its_weights_or_once_if_they_always_move(
    weight, programs, toy, make_engine
):
    recorded, plain, same = play_both(make_engine, toy, [f"losses.reconstruction.weight={weight}"], steps=9)
    assert len(recorded.recording.programs) == programs
    assert same
    assert same_state(recorded, plain)


def linear_play(network, loss):
    """Return a play of one player, as an engine has it, on one input."""

    def play(inputs):
        value = loss(network(inputs[0]))
        gradients = torch.autograd.grad(value, list(network.parameters()), allow_unused=True)
        yield "generator", value.detach()[None], gradients

    return play


@contextmanager
def unchanged(network):
    """Put back the network's buffers and all random state."""
    before = Snapshot({"network": network})
    try:
        yield
    finally:
        before.put_back()


def record(network, loss, inputs):
    """Return a program of one player, and what it was recorded from."""
    play = linear_play(network, loss)
    return program.record(play, inputs, network.buffers(), TRACE, partial(unchanged, network)), play


def losses_of(turns):
    """Return the one player's losses."""
    ((_, losses, _),) = turns
    return losses


def test_a_program_gives_the_losses_and_gradients_of_other_batches():
    network = nn.Linear(3, 2)
    recorded, play = record(network, lambda made: made.square().mean(), [torch.randn(4, 3)])
    for _ in range(3):
        batch = [torch.randn(4, 3)]
        ((_, losses, gradients),), ((_, expected, theirs),) = recorded.play(batch), play(batch)
        assert torch.equal(losses, expected)
        assert all(torch.equal(mine, other) for mine, other in zip(gradients, theirs, strict=True))


@pytest.mark.parametrize(
    ("loss", "in_place"),
    [
        (lambda made: (made @ made.T).relu().mean(), {"relu_"}),
        (lambda made: (2 * (made @ made.T)).neg().mean(), {"mul_", "neg_"}),
        (lambda made: ((fixed := made.detach()) @ fixed.T + fixed @ fixed.T).mean() + made.sum(), {"add_"}),
        (lambda made: ((made @ made.T) + (made.double() @ made.double().T)).mean(), set()),
        (lambda made: ((made @ made.T) + made[None] @ made.T).mean(), set()),
        (lambda made: (read := made @ made.T).relu().mean() + read.mean(), set()),
        (lambda made: (read := made @ made.T)[0].mean() + read.relu().mean(), set()),
    ],
)
def test_a_result_takes_the_memory_of_one_that_nothing_else_reads(loss, in_place):
    torch.manual_seed(0)
    network, batch = nn.Linear(3, 2), [torch.randn(4, 3)]
    recorded, play = record(network, loss, batch)
    names = [getattr(node.target, "__name__", "") for node in recorded.parts[0].call.graph.nodes]
    # Sums of gradients, `add_`, may be in place in all of them.
    assert {"relu_", "mul_", "neg_", *in_place} & set(names) == in_place
    for _ in range(2):  # the second time, on memory of the first
        ((_, losses, gradients),), ((_, expected, theirs),) = recorded.play(batch), play(batch)
        assert torch.equal(losses, expected)
        assert all(torch.equal(mine, other) for mine, other in zip(gradients, theirs, strict=True))


def test_random_numbers_are_drawn_anew_in_every_step():
    network, batch = nn.Linear(3, 2), [torch.randn(4, 3)]
    state = torch.get_rng_state()
    recorded, play = record(network, lambda made: (made * torch.rand(made.shape)).sum(), batch)
    assert torch.equal(torch.get_rng_state(), state), "recording took random numbers"
    values = [losses_of(recorded.play(batch)) for _ in range(3)]
    assert len({float(value) for value in values}) == 3
    torch.set_rng_state(state)
    again = [losses_of(play(batch)) for _ in range(3)]
    assert [float(value) for value in values] == [float(value) for value in again]


def test_recording_leaves_running_statistics_and_gradients_alone():
    network, batch = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), [torch.randn(4, 3)]
    before = copy.deepcopy(network.state_dict())
    recorded, _ = record(network, lambda made: made.square().sum(), batch)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    list(recorded.play(batch))
    assert int(network[1].num_batches_tracked) == 1


def test_a_parameter_that_a_loss_does_not_depend_on_has_no_gradient():
    network = nn.Linear(3, 2)
    network.unused = nn.Parameter(torch.ones(2))
    recorded, _ = record(network, lambda made: made.square().mean(), [torch.randn(4, 3)])
    ((_, _, gradients),) = recorded.play([torch.randn(4, 3)])
    found = [gradient is not None for gradient in gradients]
    assert found == [name != "unused" for name, _ in network.named_parameters()]


def test_what_one_part_leaves_the_next_one_takes_and_both_see_the_weights_of_their_time():
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)

    def play(inputs):
        made = one(inputs[0])
        for network in (one, other):
            loss = other(made).square().mean()
            yield (
                "player",
                loss.detach()[None],
                torch.autograd.grad(loss, list(network.parameters()), retain_graph=True),
            )

    def train(turns):
        """Move the second network between its two uses."""
        found = []
        for _, losses, gradients in turns:
            found += [losses.clone(), *(gradient.clone() for gradient in gradients)]
            with torch.no_grad():
                other.bias.add_(0.5)
        return found

    recorded = program.record(play, [torch.randn(4, 2)], [], TRACE, partial(unchanged, other))
    state, batch = copy.deepcopy(other.state_dict()), [torch.randn(4, 2)]
    mine = train(recorded.play(batch))
    other.load_state_dict(state)
    assert all(torch.equal(value, theirs) for value, theirs in zip(mine, train(play(batch)), strict=True))


@pytest.mark.parametrize(
    "loss",
    [
        lambda made: made.to(torch.promote_types(made.dtype, torch.bfloat16)).sum(),
        lambda made: made.to(torch.result_type(made, torch.ones(2))).sum(),
        lambda made: made.sum() if torch.can_cast(made.dtype, torch.int8) else -made.sum(),
    ],
    ids=["promoted", "of a result", "castable"],
)
def test_what_looks_at_types_alone_is_recorded(loss):
    network, batch = nn.Linear(3, 2), [torch.randn(4, 3)]
    recorded, play = record(network, loss, batch)
    assert torch.equal(losses_of(recorded.play(batch)), losses_of(play(batch)))


@pytest.mark.parametrize(
    "loss",
    [
        lambda made: made.sum() * made.detach().max().item(),
        lambda made: made.sum() if bool(made.sum() > 0) else -made.sum(),
        lambda made: made[made > 0].sum(),
        lambda made: made.sum() * len(made.detach().flatten().tolist()),
        lambda made: made.sum() * float(made.detach().numpy().max()),
        lambda made: made.sum() * torch.from_dlpack(made.detach()).max(),
    ],
    ids=["item", "branch", "mask", "tolist", "numpy", "dlpack"],
)
def test_what_looks_at_values_is_not_recorded(loss):
    with pytest.raises(UnrecordableError, match="reads the values"):
        record(nn.Linear(3, 2), loss, [torch.randn(4, 3)])


def test_what_depends_on_more_than_the_shapes_of_a_batch_is_not_recorded():
    calls = []

    def counted(made):
        calls.append(None)
        return made.sum() * len(calls)

    with pytest.raises(UnrecordableError, match="is called differently for another batch"):
        record(nn.Linear(3, 2), counted, [torch.randn(4, 3)])


def test_a_tensor_is_changed_in_place_only_where_it_is_a_buffer():
    network, mean = nn.Linear(3, 2), torch.zeros(2)
    with pytest.raises(UnrecordableError, match="changes a tensor that is not a module's buffer"):
        record(
            network, lambda made: (made - mean.lerp_(made.detach().mean(0), 0.1)).square().mean(), [torch.randn(4, 3)]
        )
    network.register_buffer("mean", torch.zeros(2))

    def centred(made):
        return (made - network.mean.lerp_(made.detach().mean(0), 0.1)).square().mean()

    recorded, play = record(network, centred, [torch.randn(4, 3)])
    assert not network.mean.any()
    for _ in range(3):
        batch, before = [torch.randn(4, 3)], network.mean.clone()
        losses, moved = losses_of(recorded.play(batch)), network.mean.clone()
        network.mean.copy_(before)
        assert torch.equal(losses, losses_of(play(batch)))
        assert torch.equal(network.mean, moved)


PEEKING = '''
"""Look at a value."""
from torch import Tensor
from ganforge import Register, hookimpl

def peek(fake: Tensor) -> Tensor:
    """Weigh by the largest value."""
    return fake.mean() * fake.detach().max().item()

@hookimpl
def ganforge_register(register: Register) -> None:
    register.loss("peek", peek)
'''


def test_a_loss_that_looks_at_values_trains_unrecorded_with_a_warning(default_toy, ganforge, tmp_path):
    (tmp_path / "peeking.py").write_text(PEEKING)
    words = ["--plugin", tmp_path / "peeking.py", "--set", "losses.peek={use='peek', weight=0.01}"]
    result = ganforge("run", default_toy, *words, "--out", tmp_path / "runs")
    assert result.status == 0, result.err
    assert "not recorded" in " ".join((result.out + result.err).split())
    asked = ganforge("run", default_toy, *words, "--set", "compute.compile=true")
    assert asked.status == 3
    assert "cannot be recorded" in asked.err


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["compute.cuda_graph=true"], "CUDA graphs need a CUDA device"),
        (["compute.precision=fp16", 'compute.compile="trace"'], "cannot be recorded"),
        (["compute.compile=maybe"], "compute.compile"),
    ],
    ids=str,
)
def test_what_cannot_be_recorded_is_refused(sets, message, toy, ganforge, tmp_path):
    words = [word for text in sets for word in ("--set", text)]
    result = ganforge("run", toy, *words, "--out", tmp_path / "runs", "--device", "cpu")
    assert result.status == 2
    assert message in result.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_compiled_steps_are_near_the_others(toy, make_engine):
    engine, batches = make_engine(toy, "compute.compile=true")
    plain, _ = make_engine(toy, "compute.compile=false")
    for step in range(20):
        mine, theirs = engine.step(step, batches(step)), plain.step(step, batches(step))
        for player in mine:
            torch.testing.assert_close(mine[player], theirs[player], rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_graph_gives_what_its_operations_give():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).cuda()
    play = linear_play(network, lambda made: made.square().mean())
    compute = Compute(compile="trace", cuda_graph=True)
    batch = [torch.randn(4, 3, device="cuda")]
    replayed = program.record(play, batch, [], compute, partial(unchanged, network))
    for _ in range(3):
        batch = [torch.randn(4, 3, device="cuda")]
        ((_, losses, gradients),), ((_, expected, theirs),) = replayed.play(batch), play(batch)
        torch.testing.assert_close(losses, expected)
        for mine, other in zip(gradients, theirs, strict=True):
            torch.testing.assert_close(mine, other)
