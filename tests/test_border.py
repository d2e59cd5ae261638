"""What strangers do at the border of the core, rightly or wrongly: it works, or one line says what is wrong."""

import json
import sys

import pytest
import torch

from ganforge.errors import PluginError, RecipeError
from ganforge.runs.assemble import assemble, settle
from ganforge.testing import assert_sound, components_of
from ganforge.training import build

HEAD = """
'''A stranger's plugin.'''
import torch
from attrs import frozen
from torch import nn
from ganforge import Coupling, Dataset, Drawn, Network, Stored, View, hookimpl
"""


@pytest.fixture
def with_plugin(tmp_path, plugins):
    """Write a plugin file of some lines, load it, and return its path."""

    def write(name, text):
        file = tmp_path / f"{name}.py"
        file.write_text(HEAD + text)
        plugins.load_file(file)
        return file

    return write


def coupling(name, body):
    return f"""
@frozen
class Mine(Coupling):
    '''A coupling.'''
{body}
@hookimpl
def ganforge_register(register):
    register.coupling("{name}", Mine)
"""


VIEW = 'View("AB", ("A", "B"), {"source": "A", "real": "B"}, {"generator": "G_AB", "discriminator": "D_B"})'
G_AB = 'Network("G_AB", "generator", ("A", "B"))'
D_B = 'Network("D_B", "discriminator", ("B",))'


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        (
            "misfit-role",
            f'    networks = ({G_AB}, {D_B}, Network("E", "encoder", ("A",), "generator"))\n    views = ({VIEW},)\n',
            "the table [encoder] is missing",
        ),
        (
            "misfit-player",
            f'    networks = ({G_AB}, {D_B}, Network("E", "encoder", ("A",), "painter"))\n    views = ({VIEW},)\n',
            "E is updated by 'painter', which is not a player: discriminator, generator",
        ),
        (
            "misfit-network",
            f"    networks = ({G_AB},)\n    views = ({VIEW},)\n",
            "the view AB has a network 'D_B' as its discriminator, which is not among its networks",
        ),
        (
            "misfit-twice",
            f"    networks = ({G_AB}, {D_B})\n    views = ({VIEW}, {VIEW})\n",
            "two views are called 'AB'",
        ),
        (
            "misfit-attribute",
            f"    networks = ({G_AB}, {D_B})\n    @property\n    def views(self):\n        return self.oops\n",
            "failed: AttributeError: 'Mine' object has no attribute 'oops'",
        ),
        (
            "misfit-domain",
            '    networks = (Network("G_AB", "generator", ("A", "E")), Network("D_B", "discriminator", ("E",)))\n'
            + f"    views = ({VIEW},)\n",
            "G_AB needs the domain E; the data set has A, B",
        ),
        (
            "misfit-training",
            f'    networks = ({G_AB}, {D_B}, Network("training", "generator", ("A", "B")))\n    views = ({VIEW},)\n',
            "a network is called 'training', which cannot be the name of its weights' file; rename it",
        ),
        (
            "misfit-path",
            f'    networks = ({G_AB}, {D_B}, Network("../G", "generator", ("A", "B")))\n    views = ({VIEW},)\n',
            "a network is called '../G', which cannot be the name of its weights' file; rename it",
        ),
        (
            "misfit-noise",
            f'    networks = ({G_AB}, {D_B})\n    views = ({VIEW},)\n    noise = {{"Z": 3}}\n',
            "noise 'Z' has the shape 3, expected whole numbers, such as (8,)",
        ),
        (
            "misfit-drawn",
            f'    networks = ({G_AB}, {D_B})\n    views = ({VIEW},)\n    noise = {{"A": (3,)}}\n',
            "the coupling draws 'A' as noise, but it is a domain of the data set",
        ),
        (
            "misfit-pairs",
            f'    networks = ({G_AB}, {D_B})\n    views = ({VIEW},)\n    pairs = ("A", "B")\n',
            "pairs holds 'A', expected groups of fields, such as (('A', 'B'),)",
        ),
        ("misfit-none", f"    networks = ({G_AB}, {D_B})\n    views = ()\n", "it has no direction: views is empty"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("misfit") else "",
)
def test_a_coupling_that_does_not_fit_is_answered_by_a_located_line(name, body, message, toy, with_plugin, make_engine):
    with_plugin(name.replace("-", "_"), coupling(name, body))
    with pytest.raises(RecipeError) as caught:
        make_engine(toy, f"coupling.use={name}", "losses.reconstruction=false")
    assert message in str(caught.value)
    assert all(problem.where for problem in caught.value.problems)


def test_one_generator_for_one_domain(toy, with_plugin, make_engine):
    body = (
        '    networks = (Network("G", "generator", ("A",)), Network("D", "discriminator", ("A",)))\n'
        '    views = (View("A", ("A",), {"source": "A", "real": "A"}, {"generator": "G", "discriminator": "D"}),)\n'
    )
    with_plugin("one_domain", coupling("one-domain", body))
    engine, batches = make_engine(toy, "coupling.use=one-domain", "losses.reconstruction=false")
    losses = engine.step(0, batches(0))
    assert torch.isfinite(losses["generator"]).all()
    assert engine.loss_names("generator", 0) == ["generator", "generator.adversarial.A"]


NOISE = """
@frozen
class FromNoise(Coupling):
    '''A generator that makes something of nothing.'''
    @property
    def noise(self):
        return {{"Z": {shape}}}
    networks = (Network("G", "generator", ("Z", "B")), Network("D", "discriminator", ("B",)))
    views = (View("ZB", ("Z", "B"), {{"source": "Z", "real": "B"}}, {{"generator": "G", "discriminator": "D"}}),)

class Grow(nn.Module):
    '''Noise to pictures.'''
    def __init__(self, source_shape, target_shape):
        super().__init__()
        self.shape = target_shape
        self.grow = nn.Linear(16, 3 * 16 * 16)
    def forward(self, noise):
        return torch.sigmoid(self.grow(noise.flatten(1))).reshape(-1, *self.shape)

@hookimpl
def ganforge_register(register):
    register.coupling("{name}", FromNoise)
    register.generator("{name}", Grow)
"""


@pytest.mark.parametrize("shape", [(16,), (16, 1, 1)], ids=str)
def test_noise_of_any_shape_is_drawn_left_alone_by_augmentation_and_sampled(shape, tmp_path, pairs, ganforge):
    name = f"from-noise-{len(shape)}"
    (tmp_path / "from_noise.py").write_text(HEAD + NOISE.format(shape=shape, name=name))
    recipe = tmp_path / "noise.toml"
    recipe.write_text(
        f'extends = "discogan_edges2shoes"\nplugins = ["from_noise.py"]\n[dataset]\nroot = "{pairs}"\nsize = 16\n'
        f'[coupling]\nuse = "{name}"\n[generator]\nuse = "{name}"\n[discriminator]\nwidth = 2\n'
        "[losses]\nreconstruction = false\n[evaluations]\npairs = false\n"
        "[train]\nsteps = 4\nbatch = 4\naugment = { brightness = 0.1, flip = 0.5 }\n[record]\nsample_every = 2\n"
    )
    result = ganforge("run", recipe)
    assert result.status == 0, result.err
    assert "disabled" not in result.err
    run = tmp_path / "runs" / "noise" / "0001"
    assert (run / "samples" / "step-00000004.png").exists()
    assert (run / "figures" / "grid.png").exists()


def test_augmentation_leaves_noise_alone(tmp_path, pairs, plugins, with_plugin, understand):
    with_plugin("still_noise", NOISE.format(shape=(16, 1, 1), name="still-noise"))
    sets = ["coupling.use=still-noise", "generator.use=still-noise", "losses.reconstruction=false", "train.batch=4"]
    sets += [f"dataset.root={pairs}", "dataset.size=16", "train.augment={brightness=0.5}", "discriminator.width=2"]
    plan, dataset = settle(understand("discogan_edges2shoes", *sets), torch.device("cpu"))
    _, batches = assemble(plan, dataset, build.read_data(plan, dataset)["train"], torch.device("cpu"))
    noise = batches(0)["Z"]
    assert noise.shape == (4, 16, 1, 1)
    assert float(noise.min()) < 0, "augmentation clamps pictures to 0..1"
    assert torch.equal(noise, batches(0)["Z"])
    assert not torch.equal(noise, batches(1)["Z"])


def test_domains_and_directions_may_be_any_word(tmp_path, pairs, ganforge):
    (tmp_path / "words.py").write_text(
        HEAD
        + """
from pathlib import Path
from ganforge import PictureDataset
from ganforge_data.edges2photo import Edges2Photo
@frozen(kw_only=True)
class DayNight(PictureDataset):
    '''Edges and photos under other names.'''
    root: Path
    size: int
    @property
    def pairs(self):
        return Edges2Photo(root=self.root, size=self.size)
    @property
    def shapes(self):
        return dict(zip(("day", "night"), self.pairs.shapes.values()))
    def open(self, split):
        return dict(zip(("day", "night"), self.pairs.open(split).values()))
    def read(self, domain, path):
        return self.pairs.read({"day": "A", "night": "B"}[domain], path)
G = Network("G", "generator", ("day", "night")), Network("F", "generator", ("night", "day"))
D = Network("D_day", "discriminator", ("day",)), Network("D_night", "discriminator", ("night",))
@frozen
class Words(Coupling):
    '''DiscoGAN in words.'''
    networks = (*G, *D)
    views = (
        View("day2night", ("day", "night"), {"source": "day", "real": "night"},
             {"generator": "G", "discriminator": "D_night", "inverse": "F"}),
        View("night2day", ("night", "day"), {"source": "night", "real": "day"},
             {"generator": "F", "discriminator": "D_day", "inverse": "G"}),
    )
@hookimpl
def ganforge_register(register):
    register.dataset("day-night", DayNight)
    register.coupling("words", Words)
"""
    )
    recipe = tmp_path / "words_recipe.toml"
    recipe.write_text(
        'extends = "discogan_edges2shoes"\nplugins = ["words.py"]\n'
        f'[dataset]\nuse = "day-night"\nroot = "{pairs}"\nsize = 16\n[coupling]\nuse = "words"\n'
        "[generator]\nwidth = 2\n[generator.night2day]\nwidth = 3\n[discriminator]\nwidth = 2\n"
        '[evaluations.back]\nuse = "reconstruction"\n'
        "[train]\nsteps = 3\nbatch = 4\n[record]\nsample_every = 0\n"
    )
    result = ganforge("run", recipe)
    assert result.status == 0, result.err
    run = tmp_path / "runs" / "words_recipe" / "0001"
    metrics = json.loads((run / "metrics.json").read_text())["test"]
    assert {"cycle_l1_day", "cycle_l1_night"} <= metrics["back"].keys()
    assert "diversity_day2night" in metrics["diversity"]
    picture = next((pairs / "val").glob("*.jpg"))
    translated = ganforge("translate", run, picture, "--direction", "night2day", "--out", tmp_path / "out")
    assert translated.status == 0, translated.err
    assert list((tmp_path / "out").glob("*.png"))
    wrong = ganforge("translate", run, picture, "--direction", "day2nite", "--out", tmp_path / "out2")
    assert wrong.status == 2
    assert "did you mean 'day2night'?" in wrong.err


def test_a_discriminator_loss_on_a_value_made_of_the_fake_runs_the_generator_once(toy, with_plugin, make_engine):
    with_plugin(
        "made_of_fake",
        """
def blurred(fake):
    '''A value made of the fake.'''
    return fake.mean(0, keepdim=True).expand_as(fake)
@frozen
class Judge:
    '''Judges blurred fakes.'''
    def discriminator(self, discriminator, blurred):
        return discriminator(blurred)[0].square().mean()
@hookimpl
def ganforge_register(register):
    register.value("blurred", blurred)
    register.loss("judge-blurred", Judge)
""",
    )
    engine, batches = make_engine(toy, "losses.blurred={use='judge-blurred'}", "compute.compile=false")
    calls = []
    engine.networks["G_AB"].register_forward_hook(lambda *_: calls.append(1))
    engine.step(0, batches(0))
    assert len(calls) == 2, "one translation, and one way back for the other direction"


def test_a_loss_object_is_made_once_and_its_random_weights_are_those_of_the_run(tmp_path, toy, ganforge):
    (tmp_path / "random_weights.py").write_text(
        HEAD
        + """
from pathlib import Path
class Projected(nn.Module):
    '''A distance seen through frozen random weights.'''
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(2, 4).requires_grad_(False)
        with Path("made.txt").open("a") as file:
            file.write(f"{float(self.project.weight[0, 0].detach())}\\n")
    def generator(self, reconstructed, source):
        return (self.project(reconstructed) - self.project(source)).square().mean()
@hookimpl
def ganforge_register(register):
    register.loss("projected", Projected)
"""
    )
    recipe = tmp_path / "projected.toml"
    recipe.write_text('plugins = ["random_weights.py"]\n' + toy.read_text() + '[losses.projected]\nuse = "projected"\n')
    assert ganforge("run", recipe, "--set", "train.steps=2").status == 0
    first = (tmp_path / "made.txt").read_text().split()
    (tmp_path / "made.txt").unlink()
    assert ganforge("resume", tmp_path / "runs" / "projected" / "0001", "--set", "train.steps=4").status == 0
    again = (tmp_path / "made.txt").read_text().split()
    assert len(first) == 2, "once for each direction"
    assert first == again


def test_a_loss_that_asks_for_another_plugins_value_is_sound(tmp_path):
    file = tmp_path / "asks_far.py"
    file.write_text(
        HEAD
        + """
def near(somebody_elses_value):
    '''E[v]: small values of somebody else.'''
    return somebody_elses_value.mean()
@hookimpl
def ganforge_register(register):
    register.loss("near", near)
"""
    )
    for component in components_of(file):
        assert_sound(component)


def test_scores_at_several_scales_in_half_precision(toy, with_plugin, make_engine):
    with_plugin(
        "scales",
        """
class Scales(nn.Module):
    '''Two judges, who look at all and at half.'''
    def __init__(self, shape):
        super().__init__()
        self.judges = nn.ModuleList([nn.Linear(2, 4), nn.Linear(1, 4)])
    def forward(self, points):
        made = [judge(points[:, :judge.in_features]) for judge in self.judges]
        return [one.mean(1, keepdim=True) for one in made], [tuple([one]) for one in made]
@hookimpl
def ganforge_register(register):
    register.discriminator("scales", Scales)
""",
    )
    engine, batches = make_engine(toy, "discriminator.use=scales", "compute.precision=bf16")
    losses = engine.step(0, batches(0))
    assert all(torch.isfinite(found).all() for found in losses.values())
    seen = []

    def look(module, arguments, result):
        seen.append(result[0][0].dtype)

    engine.networks["D_B"].register_forward_hook(look)
    engine.step(1, batches(1))
    assert set(seen) == {torch.bfloat16}


def test_a_loss_without_gradient_is_named(tmp_path, toy, ganforge):
    (tmp_path / "cut_off.py").write_text(
        HEAD
        + """
def cut_off(fake):
    '''Cut off by mistake.'''
    return fake.detach().mean()
@hookimpl
def ganforge_register(register):
    register.loss("cut-off", cut_off)
"""
    )
    result = ganforge("run", toy, "--plugin", tmp_path / "cut_off.py", "--set", "losses.off={use='cut-off'}")
    assert result.status == 3
    assert "losses.off.AB: 'cut_off/cut-off' gives no gradient to the generator" in result.err


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("fake.sub_(1).abs().mean()", "error: losses of the generator (adversarial.AB, "),
        ("fake.mean() * 1j", "losses.wrong.AB: 'wrong/wrong' must return a real number, got one of torch.complex64"),
    ],
)
def test_a_loss_that_cannot_be_differentiated_is_named_in_one_line(returned, message, tmp_path, toy, ganforge):
    (tmp_path / "wrong.py").write_text(
        HEAD
        + f"""
def wrong(fake):
    return {returned}
@hookimpl
def ganforge_register(register):
    register.loss("wrong", wrong)
"""
    )
    result = ganforge("run", toy, "--plugin", tmp_path / "wrong.py", "--set", "losses.wrong={use='wrong'}")
    assert result.status == 3
    assert message in result.err
    assert "Traceback" not in result.err


def test_values_that_ask_for_each_other_are_refused(toy, with_plugin, make_engine):
    with_plugin(
        "circle",
        """
def hen(egg):
    '''Of an egg.'''
    return egg
def egg(hen):
    '''Of a hen.'''
    return hen
def small(hen):
    '''A small hen.'''
    return hen.mean()
@hookimpl
def ganforge_register(register):
    register.value("hen", hen)
    register.value("egg", egg)
    register.loss("small-hen", small)
""",
    )
    circle = "values ask for each other: 'hen', which asks for 'egg', which asks for 'hen'"
    with pytest.raises(RecipeError, match=f"asks for 'hen', but {circle}"):
        make_engine(toy, "losses.hen={use='small-hen'}")


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["losses.adversarial.player=painter"], "there is no player 'painter'"),
        (["losses.reconstruction.on={reconstructed='oops'}"], "asks for 'oops'"),
        (["values.shown={use='oops'}"], "unknown value 'oops'"),
        (["values.shown={use='fake', on={oops='real'}}"], "'fake' does not ask for 'oops'"),
        (["updates.ema={use='emma'}"], "did you mean 'ema'?"),
        (["losses.reconstruction.weight={steps=[1], values=[2.0]}"], "steps must ascend from 0"),
        (["optimizer.lr={steps=[0], values=[-1.0]}"], "expected x >= 0"),
        (["optimizer.lr={steps=[0], values=[1e-3], every=2}"], "only the weight of a loss"),
        (["generator.AB.hidden=8", "generator.G_BA.hidden=oops"], "generator.G_BA.hidden: expected whole number"),
        (["train.every={painter=2}"], "there is no player 'painter'"),
        (["optimiser.lr=1"], "unknown table 'optimiser'; did you mean 'optimizer'?"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_tables_are_located(sets, message, toy, make_engine):
    with pytest.raises(RecipeError) as caught:
        make_engine(toy, *sets)
    assert message in str(caught.value)


def test_a_network_of_another_role_learns_with_its_player_and_a_frozen_one_is_not_saved(tmp_path, toy, ganforge):
    (tmp_path / "roles.py").write_text(
        HEAD
        + """
G = Network("G_AB", "generator", ("A", "B"))
@frozen
class Roles(Coupling):
    '''A generator, a head that learns with it, and a frozen measure.'''
    networks = (G, Network("D_B", "discriminator", ("B",)),
                Network("H", "heads", ("B",), "generator", facts={"generator": G, "units": 3}),
                Network("M", "measure", ("B",)))
    views = (View("AB", ("A", "B"), {"source": "A", "real": "B"},
                  {"generator": "G_AB", "discriminator": "D_B", "heads": "H", "measure": "M"}),)
def head(shape, generator, units):
    '''A head.'''
    assert isinstance(generator, nn.Module)
    return nn.Linear(shape[0], units)
def apart(heads, measure, fake, real):
    '''Heads see fakes as they see real samples.'''
    return (measure(heads(fake)).mean(0) - measure(heads(real)).mean(0)).square().mean()
def measure(shape, *, units: int = 3):
    '''A frozen measure.'''
    return nn.Linear(units, 2)
@hookimpl
def ganforge_register(register):
    register.coupling("roles", Roles)
    register.network("head", head)
    register.network("measure", measure)
    register.loss("apart", apart)
"""
    )
    recipe = tmp_path / "roles_recipe.toml"
    text = (
        toy.read_text()
        .replace('use = "discogan"', 'use = "roles"')
        .replace("[losses.reconstruction]", "[losses.apart]")
    )
    text = text.replace('use = "l2"', 'use = "apart"')
    recipe.write_text(f'plugins = ["roles.py"]\n{text}[heads]\nuse = "head"\n[measure]\nuse = "measure"\n')
    result = ganforge("run", recipe)
    assert result.status == 0, result.err
    folder = tmp_path / "runs" / "roles_recipe" / "0001" / "checkpoints" / "step-00000008"
    saved = sorted(path.name for path in folder.glob("*.safetensors"))
    assert saved == ["D_B.safetensors", "G_AB.safetensors", "H.safetensors", "training.safetensors"]
    missing = ganforge("run", recipe, "--set", "heads=false")
    assert missing.status == 2


def test_looking_changes_nothing(tmp_path, ganforge, pairs):
    (tmp_path / "noisy.py").write_text(
        HEAD
        + """
class Noisy(nn.Module):
    '''A generator with dropout and batch norm that draws random numbers at test time too.'''
    def __init__(self, source_shape, target_shape):
        super().__init__()
        self.first, self.norm = nn.Conv2d(source_shape[0], 4, 3, padding=1), nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, target_shape[0], 3, padding=1)
    def forward(self, x):
        hidden = nn.functional.dropout(self.norm(self.first(x)), 0.5, training=True)
        return torch.sigmoid(self.last(hidden) + 0.1 * torch.randn_like(x[:, :1]))
@hookimpl
def ganforge_register(register):
    register.generator("noisy", Noisy)
"""
    )
    recipe = tmp_path / "looked.toml"
    recipe.write_text(
        f'extends = "discogan_edges2shoes"\nplugins = ["noisy.py"]\n[dataset]\nroot = "{pairs}"\nsize = 16\n'
        '[generator]\nuse = "noisy"\n[discriminator]\nwidth = 2\n[train]\nsteps = 6\nbatch = 4\n'
        '[updates.ema]\nuse = "ema"\n[compute]\nprecision = "fp32"\n'
    )
    from safetensors.torch import load_file

    def weights(out, *words):
        result = ganforge("run", recipe, "--out", out, *(word for text in words for word in ("--set", text)))
        assert result.status == 0, result.err
        run = next((tmp_path / out).glob("*/*/"))
        if "train.steps=4" in words:
            assert ganforge("resume", run, "--set", "train.steps=6").status == 0
        folder = run / "checkpoints" / "step-00000006"
        return {path.name: load_file(path) for path in folder.glob("*.safetensors")}

    quiet = weights("quiet", "record.sample_every=0", "record.checkpoint_every=0")
    looked = weights("looked", "record.sample_every=1", "record.checkpoint_every=1", "record.evaluate_every=2")
    parted = weights("parted", "record.sample_every=3", "record.evaluate_every=3", "train.steps=4")
    for other in (looked, parted):
        assert other.keys() == quiet.keys()
        for name, tensors in quiet.items():
            assert tensors.keys() == other[name].keys()
            for key, value in tensors.items():
                assert torch.equal(value, other[name][key]), (name, key)


def test_three_players_each_with_rhythm_optimizer_and_losses(toy, with_plugin, make_engine):
    with_plugin(
        "three_players",
        """
class Three(Coupling):
    '''A classifier that learns to tell the domains apart, and a generator that has to fool it as well.'''
    players = ("classifier", "discriminator", "generator")
    networks = (Network("G_AB", "generator", ("A", "B")), Network("D_B", "discriminator", ("B",)),
                Network("C", "classes", ("B",), "classifier"))
    views = (View("AB", ("A", "B"), {"source": "A", "real": "B"},
                  {"generator": "G_AB", "discriminator": "D_B", "classes": "C"}),)
def classes(shape, *, hidden: int = 4):
    '''Two classes.'''
    return nn.Sequential(nn.Linear(shape[0], hidden), nn.ReLU(), nn.Linear(hidden, 2))
def class_of_fake(classes, fake):
    '''What the classifier makes of a fake.'''
    return classes(fake)
class Classify:
    '''Real samples are of class 0, sources of class 1; fakes should be of class 0.'''
    def classifier(self, classes, real, source):
        return classes(real)[:, 1].mean() - classes(source)[:, 1].mean() + classes(real).square().mean()
    def generator(self, class_of_fake):
        return class_of_fake[:, 1].mean()
@hookimpl
def ganforge_register(register):
    register.coupling("three", Three)
    register.network("classes", classes)
    register.value("class_of_fake", class_of_fake)
    register.loss("classify", Classify)
""",
    )
    sets = ["coupling.use=three", "losses.reconstruction=false", "losses.classes={use='classify'}"]
    sets += ["classes.use=classes", "train.every={classifier=2}", "optimizer.classifier={use='sgd', lr=0.1}"]
    engine, batches = make_engine(toy, *sets, "optimizer.generator.lr=1e-3", "compute.compile=false")
    assert list(engine.step(0, batches(0))) == ["classifier", "discriminator", "generator"]
    assert list(engine.step(1, batches(1))) == ["discriminator", "generator"]
    assert type(engine.players["classifier"].optimizer).__name__ == "SGD"
    assert engine.players["classifier"].rate == 0.1
    assert engine.players["generator"].rate == 1e-3
    names = set(engine.players["classifier"].names)
    assert names == {"C.0.weight", "C.0.bias", "C.2.weight", "C.2.bias"}
    recorded, _ = make_engine(toy, *sets, 'compute.compile="trace"')
    plain, _ = make_engine(toy, *sets, "compute.compile=false")
    for step in range(6):
        mine, theirs = recorded.step(step, batches(step)), plain.step(step, batches(step))
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[player], theirs[player]) for player in mine)
    assert recorded.recording.reason == ""


SHARED = """
class Encoder(nn.Module):
    '''Layers around one that both encoders share.'''
    def __init__(self, shape, shared):
        super().__init__()
        self.first, self.shared = nn.Linear(2, 4), shared
    def forward(self, x):
        return self.shared(self.first(x))
def shared(shape):
    '''The shared layer.'''
    return nn.Linear(4, 2)
@frozen
class Mine(Coupling):
    '''Two encoders with a shared layer, which belongs to a player.'''
    @property
    def networks(self):
        layer = Network("S", "shared", ("A",), "PLAYER")
        both = [Network(f"E_{d}", "encoder", (d,), "generator", {"shared": layer}) for d in "AB"]
        return [Network("G_AB", "generator", ("A", "B")), Network("D_B", "discriminator", ("B",)), layer, *both]
    @property
    def views(self):
        networks = {"generator": "G_AB", "discriminator": "D_B", "one": "E_A", "other": "E_B", "layer": "S"}
        return [View("AB", ("A", "B"), {"source": "A", "real": "B"}, networks)]
def alike(one, other, source, real):
    '''Codes of samples are alike.'''
    return (one(source) - other(real)).square().mean()
@hookimpl
def ganforge_register(register):
    register.coupling("KIND", Mine)
    register.network("KIND-encoder", Encoder)
    register.network("KIND-layer", shared)
    register.loss("KIND-alike", alike)
"""


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_layer_that_two_networks_share_is_updated_once_and_by_one_player(player, toy, with_plugin, make_engine):
    kind = f"shared-{player}"
    with_plugin(kind.replace("-", "_"), SHARED.replace("PLAYER", player).replace("KIND", kind))
    tables = [f"coupling.use={kind}", f"encoder.use={kind}-encoder", f"shared.use={kind}-layer"]
    tables += ["losses.reconstruction=false", f"losses.alike={{use='{kind}-alike'}}", "optimizer.lr=1e-3"]
    if player == "discriminator":
        with pytest.raises(
            PluginError, match=r"the discriminator and the generator both update E_A\.shared\.weight: pass"
        ):
            make_engine(toy, *tables)
        return
    engine, batches = make_engine(toy, *tables, "optimizer.weight_decay=0.0")
    layer = engine.networks["S"]
    assert sum(one is layer.weight for one in engine.players["generator"].parameters) == 1
    before = layer.weight.detach().clone()
    engine.step(0, batches(0))
    assert (layer.weight - before).abs().max() <= 1.001e-3  # Adam's first step is the learning rate


def test_many_values_that_ask_for_each_other_are_planned_at_once(toy, with_plugin, make_engine):
    values = "".join(
        f"def deep{n}(deep{n - 1}, deep{n - 2}):\n    return deep{n - 1} + deep{n - 2}\n" for n in range(2, 60)
    )
    names = ", ".join(f"deep{n}" for n in range(60))
    with_plugin(
        "deep_values",
        f"""
def deep0(fake):
    return fake
def deep1(fake):
    return fake / 2
{values}
def deepest(deep59):
    '''The mean of the last one.'''
    return deep59.mean() * 1e-12
@hookimpl
def ganforge_register(register):
    for value in ({names}):
        register.value(value.__name__, value)
    register.loss("deepest", deepest)
""",
    )
    engine, batches = make_engine(toy, "losses.deepest={use='deepest'}", "compute.compile=false")
    losses = engine.step(0, batches(0))
    assert losses["generator"].isfinite().all()


def test_an_update_gets_what_it_asks_for_and_may_take_more(toy, with_plugin, make_engine):
    with_plugin(
        "asking_update",
        """
SEEN = []
class Asking:
    '''Writes down what it is given.'''
    def before(self, parameters, player):
        SEEN.append(("before", player, len(parameters)))
    def after(self, step, networks, **more):
        SEEN.append(("after", step, sorted(networks), more))
@hookimpl
def ganforge_register(register):
    register.update("asking", Asking)
""",
    )
    engine, batches = make_engine(toy, "updates.asking={use='asking'}")
    engine.step(0, batches(0))
    seen = next(module for name, module in sys.modules.items() if name.endswith(".asking_update")).SEEN
    assert seen[0][:2] == ("before", "discriminator")
    assert seen[1] == ("after", 0, ["D_A", "D_B"], {})
    assert seen[3] == ("after", 0, ["G_AB", "G_BA"], {})
    assert len(seen) == 4


def test_a_data_set_that_draws_a_domain_makes_a_model_that_draws(tmp_path, ganforge):
    (tmp_path / "drawn.py").write_text(
        HEAD
        + """
from functools import partial
def draw(shape, count, random):
    return torch.randn(count, *shape, generator=random)
@frozen
class Blobs(Dataset):
    '''Bright pictures, and noise to make them of.'''
    @property
    def shapes(self):
        return {"Z": (4,), "B": (3, 8, 8)}
    def open(self, split):
        pictures = torch.randint(100, 200, (20, 3, 8, 8), dtype=torch.uint8)
        return {"Z": Drawn(partial(draw, (4,))), "B": Stored(20, pictures.__getitem__)}
class FromNoise(Coupling):
    '''A generator that makes something of nothing.'''
    networks = (Network("G", "generator", ("Z", "B")), Network("D", "discriminator", ("B",)))
    views = (View("ZB", ("Z", "B"), {"source": "Z", "real": "B"}, {"generator": "G", "discriminator": "D"}),)
class Grow(nn.Module):
    '''Noise to pictures.'''
    def __init__(self, source_shape, target_shape):
        super().__init__()
        self.shape, self.grow = target_shape, nn.Linear(4, 3 * 8 * 8)
    def forward(self, noise):
        return torch.sigmoid(self.grow(noise)).reshape(-1, *self.shape)
@hookimpl
def ganforge_register(register):
    register.dataset("blobs", Blobs)
    register.coupling("blob-noise", FromNoise)
    register.generator("blob-grow", Grow)
"""
    )
    recipe = tmp_path / "blobs.toml"
    recipe.write_text(
        'plugins = ["drawn.py"]\n[dataset]\nuse = "blobs"\n[coupling]\nuse = "blob-noise"\n'
        '[generator]\nuse = "blob-grow"\n[discriminator]\nuse = "mlp"\nhidden = 4\n[losses.adversarial]\nuse = "gan"\n'
        '[optimizer]\nuse = "adam"\n[evaluations.diversity]\nuse = "diversity"\n'
        '[evaluations.grid]\nuse = "grid"\n'
        "[train]\nsteps = 3\nbatch = 4\n[record]\nsample_every = 1\n"
    )
    result = ganforge("run", recipe)
    assert result.status == 0, result.err
    run = tmp_path / "runs" / "blobs" / "0001"
    assert (run / "samples" / "step-00000003.png").exists()
    assert "diversity_ZB" in json.loads((run / "metrics.json").read_text())["test"]["diversity"]
    assert (run / "figures" / "grid.png").exists()


def test_labels_of_samples_or_as_fields_of_their_own_and_a_setting_called_precision(toy, with_plugin, understand):
    with_plugin(
        "labelled",
        """
POINTS = torch.arange(40.0).reshape(20, 2)
KINDS = torch.arange(20) % 3
@frozen
class Labelled(Dataset):
    '''Points whose labels are known in two ways.'''
    @property
    def shapes(self):
        return {"A": (2,), "B": (2,), "B.kind": ()}
    @property
    def groups(self):
        return [["A"], ["B", "B.kind"]]
    def open(self, split):
        labels = {"age": [float(place) for place in range(20)]}
        return {"A": Stored(20, POINTS.__getitem__), "B": Stored(20, POINTS.__getitem__, labels),
                "B.kind": Stored(20, KINDS.__getitem__)}
class Labels(Coupling):
    '''A GAN that knows the labels of what is real.'''
    networks = (Network("G_AB", "generator", ("A", "B")), Network("D_B", "discriminator", ("B",)))
    views = (View("AB", ("A", "B"), {"source": "A", "real": "B", "kind": "B.kind", "age": "B.age"},
                  {"generator": "G_AB", "discriminator": "D_B"}),)
@frozen
class Told:
    '''Checks that labels belong to their samples.'''
    precision: float = 0.5
    def generator(self, fake, real, kind, age):
        assert kind.dtype == torch.int64
        assert torch.equal(real[:, 0], 2 * age)
        assert torch.equal(kind, age.long() % 3)
        return self.precision * fake.square().mean()
@hookimpl
def ganforge_register(register):
    register.dataset("labelled", Labelled)
    register.coupling("labels", Labels)
    register.loss("told", Told)
""",
    )
    sets = ["dataset.use=labelled", "coupling.use=labels", "losses.reconstruction=false", "losses.told={use='told'}"]
    plan, dataset = settle(understand(toy, *sets, "compute.compile=false"), torch.device("cpu"))
    sources = build.read_data(plan, dataset)["train"]
    engine, batches = assemble(plan, dataset, sources, torch.device("cpu"))
    for step in range(3):
        engine.step(step, batches(step))
    assert engine.loss_names("generator", 0)[-1] == "generator.told.AB"
