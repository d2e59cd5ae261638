"""A recorded step gives what the step itself gives, number by number, and says so where it cannot."""

import copy

import pytest
import torch
from torch import nn

from ganforge.recipe.plan import Train
from ganforge.training import program

TRACE = Train(steps=1, batch=1, compile="trace")


def play_both(make_engine, recipe, sets=(), steps=12):
    """Train twice, once recorded and once not; return both engines and whether every loss was equal."""
    engines, same = [], True
    for compiled in ('"trace"', "false"):
        engine, batches = make_engine(recipe, *sets, f"train.compile={compiled}")
        engines.append((engine, batches))
    (recorded, batches), (plain, _) = engines
    for step in range(steps):
        mine, theirs = recorded.step(step, batches(step)), plain.step(step, batches(step))
        assert mine.keys() == theirs.keys()
        same = same and all(torch.equal(mine[phase], theirs[phase]) for phase in mine)
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
        ["train.discriminator_every=3", "train.alternate=true"],
        ["train.generator_every=2"],
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
    assert recorded._programs
    assert not plain._programs
    assert same
    assert same_state(recorded, plain)


@pytest.mark.parametrize("sets", [[], ["train.precision=bf16"], ["train.channels_last=true"]], ids=str)
def test_recorded_steps_of_pictures_equal_the_others_with_their_batch_norm(sets, tmp_path, pairs, make_engine):
    recipe = tmp_path / "pictures.toml"
    recipe.write_text(
        f'[dataset]\nuse = "edges2photo"\nroot = "{pairs}"\nsize = 32\n[coupling]\nuse = "discogan"\n'
        '[generator]\nuse = "conv"\nwidth = 4\n[discriminator]\nuse = "conv"\nwidth = 4\n'
        '[losses.adversarial]\nuse = "gan"\n[losses.reconstruction]\nuse = "l2"\n[optimizer]\nuse = "adam"\n'
        "[train]\nsteps = 6\nbatch = 6\n"
    )
    recorded, plain, same = play_both(make_engine, recipe, sets, steps=4)
    assert recorded._programs
    assert same
    assert same_state(recorded, plain)
    assert any(key.endswith("num_batches_tracked") for net in plain.networks.values() for key in net.state_dict())


def test_a_schedule_is_recorded_once_for_each_of_its_weights(toy, make_engine):
    weight = "losses.reconstruction.weight={steps=[0, 5], values=[0.1, 10.0]}"
    engine, batches = make_engine(toy, weight, 'train.compile="trace"')
    for step in range(9):
        engine.step(step, batches(step))
    assert len(engine._programs) == 2


def linear_play(network, loss):
    """Return a play of one phase, as an engine has it, on the batch's one domain."""

    def play(batch):
        for parameter in network.parameters():
            parameter.grad = None
        value = loss(network(batch["A"]))
        torch.autograd.backward([value], [torch.ones(())])
        yield "generator", value.detach()[None]

    return play


def test_random_numbers_are_drawn_anew_in_every_step():
    network = nn.Linear(3, 2)
    play = linear_play(network, lambda made: (made * torch.rand(made.shape)).sum())
    batch = {"A": torch.randn(4, 3)}
    state = torch.get_rng_state()
    recorded = program.record(play, batch, [network], {"generator": list(network.parameters())}, TRACE)
    assert torch.equal(torch.get_rng_state(), state), "recording took random numbers"
    values = [next(iter(recorded.play(batch)))[1] for _ in range(3)]
    assert len({float(value) for value in values}) == 3
    torch.set_rng_state(state)
    again = [next(iter(play(batch)))[1] for _ in range(3)]
    assert [float(value) for value in values] == [float(value) for value in again]


def test_recording_leaves_running_statistics_and_gradients_alone():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = copy.deepcopy(network.state_dict())
    play = linear_play(network, lambda made: made.square().sum())
    batch = {"A": torch.randn(4, 3)}
    recorded = program.record(play, batch, [network], {"generator": list(network.parameters())}, TRACE)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    list(recorded.play(batch))
    assert int(network[1].num_batches_tracked) == 1


@pytest.mark.parametrize(
    "loss",
    [
        lambda made: made.sum() * made.detach().max().item(),
        lambda made: made.sum() if bool(made.sum() > 0) else -made.sum(),
        lambda made: made[made > 0].sum(),
    ],
    ids=["item", "branch", "mask"],
)
def test_what_looks_at_values_is_not_recorded(loss):
    network = nn.Linear(3, 2)
    with pytest.raises(program.UnrecordableError, match="looks at the values"):
        program.record(
            linear_play(network, loss),
            {"A": torch.randn(4, 3)},
            [network],
            {"generator": list(network.parameters())},
            TRACE,
        )


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


def test_a_loss_that_looks_at_values_trains_unrecorded_with_a_warning(toy, ganforge, tmp_path):
    (tmp_path / "peeking.py").write_text(PEEKING)
    words = ["--plugin", tmp_path / "peeking.py", "--set", "losses.peek={use='peek', weight=0.01}"]
    result = ganforge("run", toy, *words, "--out", tmp_path / "runs")
    assert result.status == 0, result.err
    assert "not recorded" in " ".join((result.out + result.err).split())
    asked = ganforge("run", toy, *words, "--set", "train.compile=true")
    assert asked.status == 3
    assert "cannot be recorded" in asked.err


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["train.cuda_graph=true"], "CUDA graphs need a CUDA device"),
        (["train.precision=fp16", 'train.compile="trace"'], "cannot be recorded"),
        (["train.compile=maybe"], "train.compile"),
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
    engine, batches = make_engine(toy, "train.compile=true")
    plain, _ = make_engine(toy, "train.compile=false")
    for step in range(20):
        mine, theirs = engine.step(step, batches(step)), plain.step(step, batches(step))
        for phase in mine:
            torch.testing.assert_close(mine[phase], theirs[phase], rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_graph_gives_what_its_operations_give():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).cuda()
    parameters = list(network.parameters())

    def play(batch):
        for parameter in parameters:
            parameter.grad = None
        value = network(batch["A"]).square().mean()
        torch.autograd.backward([value], [torch.ones((), device="cuda")])
        yield "generator", value.detach()[None]

    batch = {"A": torch.randn(4, 3, device="cuda")}
    train = Train(steps=1, batch=1, compile="trace", cuda_graph=True)
    replayed = program.record(play, batch, [network], {"generator": parameters}, train)
    for _ in range(3):
        batch = {"A": torch.randn(4, 3, device="cuda")}
        losses = next(iter(replayed.play(batch)))[1].clone()
        gradients = [parameter.grad.clone() for parameter in parameters]
        expected = next(iter(play(batch)))[1]
        torch.testing.assert_close(losses, expected)
        for mine, parameter in zip(gradients, parameters, strict=True):
            torch.testing.assert_close(mine, parameter.grad)


def test_a_step_with_a_strangers_component_is_not_recorded(tmp_path, toy, ganforge):
    (tmp_path / "counting.py").write_text(
        "from ganforge import hookimpl\n"
        "def small(fake):\n    '''Small translations.'''\n    return fake.square().mean()\n"
        "@hookimpl\ndef ganforge_register(register):\n    register.loss('small', small)\n"
    )
    recipe = tmp_path / "mine.toml"
    recipe.write_text('plugins = ["counting.py"]\n' + toy.read_text() + '[losses.small]\nuse = "small"\n')
    result = ganforge("run", recipe)
    assert result.status == 0
    assert "not recorded: components of counting take part" in " ".join(result.out.split())
