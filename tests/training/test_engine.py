"""The lean step against the paper's equations written out plainly, and what it must not compute."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ganforge.errors import PluginError
from ganforge.training.formula import Formula
from ganforge.training.player import Term
from ganforge.training.values import Values

PICTURES = """
[dataset]
use = "edges2photo"
root = "{root}"
size = 16
[coupling]
use = "discogan"
[generator]
use = "conv"
width = 2
[discriminator]
use = "conv"
width = 2
[losses.adversarial]
use = "gan"
[losses.reconstruction]
use = "l2"
weight = 3.0
[optimizer]
use = "adam"
lr = 1e-3
weight_decay = 1e-4
[train]
steps = 6
batch = 6
"""


def textbook_step(kind: str, nets: dict[str, nn.Module], optimizers, a, b, weight: float) -> dict[str, torch.Tensor]:
    """One step of Kim et al. 2017 from its equations, with a forward pass of the generators for each player."""
    grads = {}

    def player(names: list[str], loss: torch.Tensor, optimizer) -> None:
        parameters = [p for name in names for p in nets[name].parameters()]
        found = torch.autograd.grad(loss, parameters)
        for parameter, gradient in zip(parameters, found, strict=True):
            parameter.grad = gradient
        for name in names:
            grads.update({f"{name}.{key}": p.grad.clone() for key, p in nets[name].named_parameters()})
        optimizer.step()

    def D(name, x):
        return torch.sigmoid(nets[name](x)[0])

    def L_D(name, real, fake):  # Eq. 6
        return -torch.log(D(name, real)).mean() - torch.log(1 - D(name, fake)).mean()

    def mse(x, y):  # Eq. 3 with d = MSE
        return ((x - y) ** 2).mean()

    x_AB = nets["G_AB"](a)  # Eq. 1
    loss = L_D("D_B", b, x_AB.detach())
    names = ["D_B"]
    if kind == "discogan":  # Eq. 8
        loss = loss + L_D("D_A", a, nets["G_BA"](b).detach())
        names = ["D_A", "D_B"]
    player(names, loss, optimizers["discriminator"])

    x_AB = nets["G_AB"](a)
    loss = -torch.log(D("D_B", x_AB)).mean()  # Eq. 4
    names = ["G_AB"]
    if kind != "gan":
        loss = loss + weight * mse(nets["G_BA"](x_AB), a)  # Eq. 2, 3, 5
        names = ["G_AB", "G_BA"]
    if kind == "discogan":  # Eq. 7
        x_BA = nets["G_BA"](b)
        loss = loss - torch.log(D("D_A", x_BA)).mean() + weight * mse(nets["G_AB"](x_BA), b)
    player(names, loss, optimizers["generator"])
    return grads


@pytest.mark.parametrize("kind", ["gan", "gan-recon", "discogan"])
@pytest.mark.parametrize("pictures", [False, True], ids=["points", "pictures"])
def test_six_steps_equal_the_papers_equations(kind, pictures, toy, pairs, tmp_path, make_engine):
    source = toy
    if pictures:
        source = tmp_path / "pictures.toml"
        source.write_text(PICTURES.format(root=pairs))
    sets = [f"coupling.use={kind}", "optimizer.lr=1e-3", "optimizer.weight_decay=1e-4"]
    if kind == "gan":
        sets.append("losses.reconstruction=false")
    engine, batches = make_engine(source, *sets)
    for network in engine.networks.values():
        network.double()
    nets = {name: copy.deepcopy(network) for name, network in engine.networks.items()}
    optimizers = {
        player: torch.optim.Adam(
            [p for name, net in nets.items() if name.startswith(letter) for p in net.parameters()],
            lr=1e-3,
            betas=(0.5, 0.999),
            weight_decay=1e-4,
        )
        for player, letter in (("discriminator", "D"), ("generator", "G"))
    }
    for step in range(6):
        batch = {domain: samples.double() for domain, samples in batches(step).items()}
        engine.step(step, batch)
        grads = textbook_step(kind, nets, optimizers, batch["A"], batch["B"], 3.0 if pictures else 10.0)
        for name, network in engine.networks.items():
            for key, parameter in network.named_parameters():
                torch.testing.assert_close(parameter.grad, grads[f"{name}.{key}"], rtol=1e-6, atol=1e-9)
                torch.testing.assert_close(parameter, dict(nets[name].named_parameters())[key], rtol=1e-6, atol=1e-9)


def calls_of_a_step(engine, batch, step: int) -> dict[str, int]:
    calls = dict.fromkeys(engine.networks, 0)

    def count(name):
        def hook(*_):
            calls[name] += 1

        return hook

    handles = [network.register_forward_hook(count(name)) for name, network in engine.networks.items()]
    engine.step(step, batch)
    for handle in handles:
        handle.remove()
    return calls


def test_both_players_share_one_forward_pass_of_each_generator(toy, make_engine):
    engine, batches = make_engine(toy)
    # G: one translation, one way back; D: real and fake for itself, fake for the generator.
    assert calls_of_a_step(engine, batches(0), 0) == {"G_AB": 2, "G_BA": 2, "D_A": 3, "D_B": 3}


def test_a_discriminator_step_makes_no_cycle_and_no_generator_gradient(toy, make_engine):
    engine, batches = make_engine(toy, "train.every.discriminator=3", "train.alternate=true")
    assert calls_of_a_step(engine, batches(0), 0) == {"G_AB": 1, "G_BA": 1, "D_A": 2, "D_B": 2}
    assert all(p.grad is None for name in ("G_AB", "G_BA") for p in engine.networks[name].parameters())


def test_a_generator_step_judges_no_real_samples_and_leaves_the_discriminators_without_gradient(toy, make_engine):
    engine, batches = make_engine(toy, "train.every.discriminator=3", "train.alternate=true")
    before = {key: value.clone() for key, value in engine.networks["D_B"].state_dict().items()}
    assert calls_of_a_step(engine, batches(1), 1) == {"G_AB": 2, "G_BA": 2, "D_A": 1, "D_B": 1}
    assert all(p.grad is None for name in ("D_A", "D_B") for p in engine.networks[name].parameters())
    assert all(torch.equal(before[key], value) for key, value in engine.networks["D_B"].state_dict().items())


def test_identity_is_l1_on_other_tensors_by_rebinding(toy, make_engine):
    rebind = 'losses.identity={use="l1", on={reconstructed="identity", source="real"}}'
    engine, batches = make_engine(toy, rebind)
    batch = batches(0)
    expected = (engine.networks["G_AB"](batch["B"]) - batch["B"]).abs().mean().detach()
    values = dict(zip(engine.loss_names("generator", 0), engine.step(0, batch)["generator"].tolist(), strict=True))
    assert values["generator.identity.AB"] == pytest.approx(float(expected), rel=1e-6)


def test_the_logged_sum_is_weighted_by_the_schedule(toy, make_engine):
    engine, batches = make_engine(
        toy, "losses.adversarial.player=generator", "losses.reconstruction.weight={steps=[0, 5], values=[2.0, 7.0]}"
    )
    for step, weight in ((4, 2.0), (5, 7.0)):
        values = dict(
            zip(
                engine.loss_names("generator", step),
                engine.step(step, batches(step))["generator"].tolist(),
                strict=True,
            )
        )
        adversarial = values["generator.adversarial.AB"] + values["generator.adversarial.BA"]
        reconstruction = values["generator.reconstruction.AB"] + values["generator.reconstruction.BA"]
        assert values["generator"] == pytest.approx(adversarial + weight * reconstruction, rel=1e-5)


def test_a_loss_that_raises_or_is_no_scalar_is_named(make_engine, toy):
    engine, _ = make_engine(toy)
    loss = engine.players["generator"].terms[0].loss
    values = Values(engine.scheme, {"A": torch.zeros(2, 2), "B": torch.zeros(2, 2)})

    def broken(fake):
        raise RuntimeError("boom")

    def value(call):
        formula = Formula("losses.adversarial.AB", loss.choice, SimpleNamespace(generator=call))
        return Term(loss, "AB", formula, {"fake": "fake"}).value(values, "generator")

    with pytest.raises(PluginError, match=r"losses.adversarial.AB: 'ganforge_losses/gan' raised"):
        value(broken)
    with pytest.raises(PluginError, match=r"must return a scalar tensor, got shape \[2, 2\]"):
        value(lambda fake: fake)


def test_a_penalty_on_the_discriminators_gradient_can_be_written_as_a_loss(toy, tmp_path, make_engine, plugins):
    """R1 (Mescheder et al. 2018): the step serves a loss that differentiates the discriminator."""
    file = tmp_path / "r1_penalty.py"
    file.write_text(
        "import torch\n"
        "from attrs import frozen\n"
        "from ganforge import hookimpl\n"
        "@frozen\n"
        "class R1:\n"
        "    def discriminator(self, discriminator, real):\n"
        "        real = real.clone().requires_grad_()\n"
        "        (slope,) = torch.autograd.grad(discriminator(real)[0].sum(), real, create_graph=True)\n"
        "        return slope.square().flatten(1).sum(1).mean()\n"
        "@hookimpl\n"
        "def ganforge_register(register):\n"
        "    register.loss('r1-test', R1)\n"
    )
    plugins.load_file(file)
    engine, batches = make_engine(toy, 'losses.penalty={use="r1-test", weight=10}')
    before = engine.networks["D_A"].judge.weight.clone()
    losses = engine.step(0, batches(0))
    assert "discriminator.penalty.BA" in engine.loss_names("discriminator", 0)
    assert torch.isfinite(losses["discriminator"]).all()
    assert not torch.equal(before, engine.networks["D_A"].judge.weight)
