"""What the methods of the proof asked of the core, each need by itself."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from ganforge.components.plugins import Plugins
from ganforge.errors import RecipeError
from ganforge.recipe import layers
from ganforge.recipe.resolve import resolve
from ganforge.recipe.tables import Compute
from ganforge.training import build
from ganforge.training.check import check
from ganforge.training.formula import UnrecordableError
from ganforge_recorded import program


def record(network: nn.Module, loss):
    """Record a step of one player."""

    def play(inputs):
        value = loss(network(inputs[0]))
        yield "generator", value.detach()[None], torch.autograd.grad(value, list(network.parameters()))

    inputs = [torch.randn(4, 3)]
    return play, inputs, program.record(play, inputs, [], Compute(compile="trace"), nullcontext)


def test_rows_picked_by_number_are_recorded_and_drawn_anew():
    play, inputs, recorded = record(nn.Linear(3, 5), lambda made: made[:, torch.randperm(5)[:2]].square().sum())
    for step in range(4):
        torch.manual_seed(step)
        (_, loss, gradients), *_ = recorded.play(inputs)
        torch.manual_seed(step)
        (_, expected, others), *_ = play(inputs)
        assert torch.equal(loss, expected)
        assert all(map(torch.equal, gradients, others))


@pytest.mark.parametrize("loss", [lambda made: made[made > 0].sum(), lambda made: made[made.sum(1) > 0].sum()])
def test_rows_picked_by_a_mask_are_not_recorded(loss):
    with pytest.raises(UnrecordableError, match="reads the values"):
        record(nn.Linear(3, 2), loss)


def test_a_recipe_has_tables_of_values_and_updates(toy, understand):
    toy.write_text(toy.read_text() + '[values.shown]\nuse = "identity"\n[updates.ema]\nuse = "ema"\n')
    plan = understand(toy)
    assert plan.values["shown"].of_recipe
    assert list(plan.updates) == ["ema"]


COUPLED = """
import torch
from ganforge import Coupling, Network, View, hookimpl

def fake(generator, source):
    return generator(source)

class Own(Coupling):
    networks = (Network("G", "generator", ("A", "B")), Network("D", "discriminator", ("B",)))
    views = (
        View("AB", ("A", "B"), {"source": "A", "real": "B"}, {"generator": "G", "discriminator": "D"},
             {"codes": [torch.eye(2), 3]}),
    )

@hookimpl
def ganforge_register(register):
    register.value("fake", fake)
    register.coupling("own", Own)
"""


def load(toy, *sets):
    """Resolve the toy's recipe with a plugin that has a value and a coupling of its own."""
    path = toy.with_name("coupled.py")
    path.write_text(COUPLED)
    plugins = Plugins()
    plugins.load_installed()
    plugins.load_file(path)
    return resolve(layers.load(toy, ["losses.reconstruction=false", *sets], plugins.recipes()), plugins.registry)


def test_of_two_values_of_one_name_that_of_the_couplings_plugin_counts(toy):
    assert load(toy, "coupling.use=own").values["fake"].choice.component.plugin == "coupled"
    assert load(toy, "coupling.use=gan").values["fake"].choice.component.plugin == "ganforge_translation"


def test_values_of_one_name_of_other_plugins_are_chosen_by_the_recipe(toy, tmp_path):
    load(toy)
    (tmp_path / "third.py").write_text(COUPLED.replace('"fake", fake', '"other", fake'))
    plugins = Plugins()
    plugins.load_installed()
    for name in ("coupled", "third"):
        plugins.load_file(tmp_path / f"{name}.py")

    def offered(*sets):
        recipe = layers.load(toy, ["losses.reconstruction=false", "coupling.use=third/own", *sets], plugins.recipes())
        plan = resolve(recipe, plugins.registry)
        check(plan, build.make_dataset(plan))
        return plan.values["fake"].choice.component.qualified

    with pytest.raises(RecipeError, match=r"several plugins offer.*one of coupled/fake, ganforge_translation/fake"):
        offered()
    assert offered("values.fake.use=coupled/fake") == "coupled/fake"


def test_constants_that_are_tensors_lie_where_the_networks_are(toy):
    scheme, _ = build.make_scheme(load(toy, "coupling.use=own"), {}, torch.device("meta"), {})
    codes, number = scheme.wirings["AB"].view.constants["codes"]
    assert codes.device.type == "meta"
    assert number == 3
