"""Wrong recipes: every problem at once, each with its line and a suggestion, and exit status 2."""

import pytest
from attrs import evolve

from ganforge.components.coupling import PLAYERS
from ganforge.components.schedule import Schedule
from ganforge.recipe.tables import Train


@pytest.fixture
def toy(default_toy):
    """The small recipe as it is, since tests append tables to it."""
    return default_toy


def answer(ganforge, recipe):
    result = ganforge("validate", recipe)
    assert result.status == 2
    assert "Traceback" not in result.err
    return [line.removeprefix("error: ") for line in result.err.splitlines() if line.startswith("error: ")]


WRONG = {
    "unknown component": ('use = "l2"', 'use = "l22"', ":14: losses.reconstruction.use: unknown loss 'l22'; did you mean 'l2'?"),
    "unknown setting": ("hidden = 8", "hiden = 8", ":7: generator.hiden: unknown setting 'hiden'; did you mean 'hidden'?"),
    "unknown table": ("[train]", "[trian]\nx = 1\n[train]", ":18: trian: unknown table 'trian'; did you mean 'train'?"),
    "wrong type": ("steps = 8", 'steps = "8"', ':19: train.steps: expected whole number, got "8"'),
    "out of range": ("batch = 16", "batch = 0", ":20: train.batch: expected x >= 1, got 0"),
    "broken toml": ("[coupling]", "[coupling", ":3: not valid TOML: Expected ']' at the end of a table declaration"),
    "missing plugin": (
        "[dataset]",
        'plugins = ["my_los.py"]\n[dataset]',
        ":1: plugins[0]: no plugin file '{folder}/my_los.py'; did you mean 'my_loss.py'?",
    ),
    "missing tensor": (
        'use = "discogan"',
        'use = "gan"',
        ":14: losses.reconstruction.use: 'l2' asks for 'inverse' (for its 'reconstructed'), which the coupling 'gan' does not offer; it offers: ",
    ),
    "unknown argument": ("weight = 10.0", 'on = {sorce = "real"}', ":15: losses.reconstruction.on.sorce: 'l2' does not ask for 'sorce'; did you mean 'source'?"),
    "unknown tensor": ("weight = 10.0", 'on = {source = "rel"}', ":15: losses.reconstruction.on.source: 'l2' asks for 'rel', which the coupling 'discogan' does not offer; did you mean 'real'?"),
    "no use": ('use = "adam"', "", ":16: optimizer.use: names no optimizer; there are: adam, adamw, rmsprop, sgd"),
    "missing table": ('[coupling]\nuse = "discogan"', "", ": coupling: the table [coupling] is missing"),
    "missing required": ("steps = 8\n", "", ":18: train.steps: missing; expected whole number; set train.steps"),
    "not finite": ("weight = 10.0", "weight = nan", ":15: losses.reconstruction.weight: expected number or table with steps, values, between, every, got nan"),
    "bad schedule": ("weight = 10.0", "weight = {steps=[5], values=[1]}", ":15: losses.reconstruction.weight: steps must ascend from 0"),
    "wrong network": ('use = "mlp"\nhidden = 8\n[disc', 'use = "conv"\n[disc', ":5: generator: 'conv' needs pictures [channels, height, width], got samples [2]; try 'mlp'"),
    "a value for a table": ('[dataset]\nuse = "mixture"\n[coupling]\nuse = "discogan"', 'coupling = 3\n[dataset]\nuse = "mixture"', ":1: coupling: expected a table [coupling]"),
    "a name for a coupling": ('[dataset]\nuse = "mixture"\n[coupling]\nuse = "discogan"', 'coupling = "joint"\n[dataset]\nuse = "mixture"', ':1: coupling: expected a table; write [coupling] use = "joint"'),
    "a name for a loss": ('[losses.reconstruction]\nuse = "l2"\nweight = 10.0', '[losses]\nreconstruction = "l1"', ':14: losses.reconstruction: expected a table; write [losses.reconstruction] use = "l1"'),
    "a name for a network": ('[losses.adversarial]', 'B = "conv"\n[losses.adversarial]', ':11: discriminator.B: expected a table; write [discriminator.B] use = "conv"'),
    "a name for losses": ("[dataset]", 'updates = "ema"\n[dataset]', ':1: updates: expected tables [updates.<role>]; write [updates.ema] use = "ema"'),
    "a name for observers": ("[record]", '[record]\nobservers = "csv"', ':22: record.observers: expected a list of names; write observers = ["csv"]'),
    "a name for an optimizer": ("[train]", 'generator = "sgd"\n[train]', ':18: optimizer.generator: expected a table; write [optimizer.generator] use = "sgd"'),
    "a text for compute": ("[dataset]", 'compute = "fp32"\n[dataset]', ":1: compute: expected a table [compute]"),
    "a key of record": ("[train]", "[train]\nkeep = 2", ":19: train.keep: unknown setting 'keep'; it belongs in [record]"),
    "a key of compute": ("[record]", '[record]\nprecision = "fp32"', ":22: record.precision: unknown setting 'precision'; it belongs in [compute]"),
    "a key of train": ("[record]", "[compute]\nseed = 1\n[record]", ":22: compute.seed: unknown setting 'seed'; it belongs in [train]"),
    "an interval of old": ("[train]", "[train]\ndiscriminator_every = 3", ":19: train.discriminator_every: unknown setting 'discriminator_every'; set train.every.discriminator"),
    "unknown player": ("[train]", "[train]\nevery = { critic = 2, discriminater = 5 }", ":19: train.every.discriminater: there is no player 'discriminater'; did you mean 'discriminator'?"),
    "no interval": ("[train]", "[train]\nevery = { discriminator = 0 }", ":19: train.every: expected x >= 1 for each, got {{ discriminator = 0 }}"),
    "alternating never": ("[train]", "[train]\nalternate = true", ":19: train.alternate: needs the intervals of discriminator and generator to differ"),
    "alternating with gaps": ("[train]", "[train]\nalternate = true\nevery = { discriminator = 2, generator = 3 }", ":19: train.alternate: needs an interval of 1 in train.every for discriminator or generator"),
    "record that is no table": ("[dataset]", "compute = 3\n[dataset]", ":1: compute: expected a table [compute]"),
    "no player": ("weight = 10.0", 'player = "discriminater"', ":15: losses.reconstruction.player: there is no player 'discriminater'; did you mean 'discriminator'?"),
    "a phase of old": ("weight = 10.0", 'phase = "discriminator"', ":15: losses.reconstruction.phase: unknown setting 'phase'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_recipe_is_answered_by_line_and_suggestion(case, toy, ganforge):
    (toy.parent / "my_loss.py").write_text("")
    old, new, expected = WRONG[case]
    text = toy.read_text()
    assert old in text
    toy.write_text(text.replace(old, new, 1))
    errors = answer(ganforge, toy)
    assert any(f"{toy}{expected.format(folder=toy.parent)}" in error for error in errors), errors


def test_a_loss_that_has_no_method_for_its_player_is_refused(toy, ganforge, tmp_path):
    (tmp_path / "one_sided.py").write_text(
        "from attrs import frozen\nfrom ganforge import hookimpl\n"
        "@frozen\nclass OneSided:\n    'Small translations.'\n"
        "    def generator(self, fake):\n        return fake.square().mean()\n"
        "@hookimpl\ndef ganforge_register(register):\n    register.loss('one-sided', OneSided)\n"
    )
    table = '[losses.small]\nuse = "one-sided"\nplayer = "discriminator"\n'
    toy.write_text('plugins = ["one_sided.py"]\n' + toy.read_text() + table)
    assert answer(ganforge, toy) == [
        f"{toy}:28: losses.small.player: 'one-sided' has no method for the discriminator",
    ]


def test_all_problems_come_at_once_in_one_answer(toy, ganforge):
    text = (
        toy.read_text().replace('use = "l2"', 'use = "l3"').replace("steps = 8", "steps = 0").replace("hidden", "hiden")
    )
    toy.write_text(text)
    errors = answer(ganforge, toy)
    assert [error.split(": ")[1] for error in errors] == [
        "generator.hiden",
        "discriminator.hiden",
        "losses.reconstruction.use",
        "train.steps",
    ]


def test_an_unknown_key_of_set_is_named_as_it_was_typed(toy, ganforge):
    result = ganforge("validate", toy, "--set", "train.step=5")
    assert result.status == 2
    assert "--set train.step=5: train.step: unknown setting 'step'; did you mean 'steps'?" in result.err


def test_a_setting_of_one_network_alone_is_located_there(toy, understand, ganforge):
    toy.write_text(toy.read_text() + "[generator.BA]\nhidden = 4\n")
    plan = understand(toy)
    assert plan.networks["G_AB"][1].settings["hidden"] == 8
    assert plan.networks["G_BA"][1].settings["hidden"] == 4
    toy.write_text(toy.read_text().replace("hidden = 4", "hidden = -4"))
    assert answer(ganforge, toy) == [f"{toy}:26: generator.BA.hidden: expected x >= 1, x <= 65536, got -4"]


def test_each_player_may_have_its_own_optimizer(toy, understand):
    plan = understand(toy, "optimizer.discriminator.use=sgd", "optimizer.discriminator.lr=0.5")
    assert plan.optimizers["discriminator"].component.name == "sgd"
    assert plan.optimizers["generator"].component.name == "adam"


def test_the_shipped_recipes_are_the_papers(understand):
    plan = understand("discogan_edges2shoes", "dataset.root=x")
    adam = plan.optimizers["generator"].settings
    assert (adam["lr"], adam["betas"], adam["weight_decay"]) == (2e-4, (0.5, 0.999), 1e-4)
    assert plan.train.batch == 200
    reference = understand("discogan_edges2shoes_reference", "dataset.root=x")
    weights = {loss.role: loss.weight_at(20_000) for loss in reference.losses}
    assert weights == {"adversarial": 0.05, "features": 0.45, "reconstruction": 0.5, "judgement": 0.5}
    assert [reference.train.playing(PLAYERS, step) for step in range(3)] == [
        ("discriminator",),
        ("generator",),
        ("generator",),
    ]


def test_base_64_small_differs_from_base_64_in_width_batch_and_steps_alone(toy, understand):
    def plan(base):
        toy.write_text(f'extends = "{base}"\n[dataset]\nuse = "folders"\na = "a"\nb = "b"\n')
        return understand(toy)

    small, whole = plan("base_64_small"), plan("base_64")
    widths = {
        name: (choice.settings["width"], small.networks[name][1].settings["width"])
        for name, (_, choice) in whole.networks.items()
    }
    assert widths == dict.fromkeys(("G_AB", "G_BA", "D_A", "D_B"), (64, 16))
    assert (small.train.batch, small.train.steps) == (32, 10_000)
    assert evolve(small.train, batch=200, steps=50_000) == whole.train
    assert (small.optimizers, small.losses, small.evaluations) == (whole.optimizers, whole.losses, whole.evaluations)


@pytest.mark.parametrize("name", ["gan_toy", "gan_edges2shoes"])
def test_the_baselines_differ_from_discogan_in_nothing_else(name, understand):
    sets = ["dataset.root=x"] if "shoes" in name else []
    baseline, model = understand(name, *sets), understand(name.replace("gan_", "discogan_"), *sets)
    assert baseline.train == model.train
    assert baseline.dataset == model.dataset
    assert baseline.optimizers == model.optimizers
    assert baseline.networks["G_AB"] == model.networks["G_AB"]
    assert [loss.role for loss in baseline.losses] == ["adversarial"]


@pytest.mark.parametrize(("steps", "values"), [([], []), ([1], [1.0]), ([0, 0], [1.0, 2.0]), ([0, 5], [1.0])])
def test_a_schedule_begins_at_zero_ascends_and_has_a_value_for_each_step(steps, values):
    with pytest.raises(ValueError, match="steps"):
        Schedule(steps, values)


def test_wasserstein_rhythm():
    train = Train(10, 1, every={"generator": 5})
    assert [len(train.playing(PLAYERS, step)) for step in range(6)] == [2, 1, 1, 1, 1, 2]


def test_of_players_that_alternate_the_rarest_one_goes_first():
    train = Train(10, 1, every={"discriminator": 2, "encoder": 4}, alternate=True)
    players = ("discriminator", "generator", "encoder")
    assert [train.playing(players, step) for step in range(5)] == [
        ("encoder",),
        ("generator",),
        ("discriminator",),
        ("generator",),
        ("encoder",),
    ]


def test_a_missing_table_is_located_in_the_recipe_and_not_in_an_override(toy, ganforge):
    toy.write_text(toy.read_text().replace("[train]", "[lock]"))
    result = ganforge("validate", toy, "--set", "generator.hidden=4")
    assert f"error: {toy}: train: the table [train] is missing" in result.err


REMOVABLE = """
[losses.other]
use = "wrong"
[values.other]
use = "wrong"
[updates.other]
use = "wrong"
[evaluations.other]
use = "wrong"
[observers.other]
use = "wrong"
"""


@pytest.mark.parametrize(
    "role", ["losses.other", "values.other", "updates.other", "evaluations.other", "observers.other"]
)
def test_a_fault_of_an_inherited_role_says_how_to_leave_it_out_and_so_it_goes(role, toy, ganforge):
    toy.write_text(toy.read_text() + REMOVABLE)
    own = toy.with_name("own.toml")
    own.write_text('extends = "toy.toml"\n')
    (error,) = [error for error in answer(ganforge, own) if f": {role}.use: " in error]
    assert error.endswith(f"; or leave it out: {role} = false")
    own.write_text(f'extends = "toy.toml"\n{role} = false\n')
    assert not [error for error in answer(ganforge, own) if role in error]
    assert role not in ganforge("validate", toy, "--set", f"{role}=false").err
    assert "or leave it out" not in ganforge("validate", toy).err


def test_a_loss_that_an_overriding_coupling_cannot_have_may_be_left_out(toy, ganforge):
    hint = "; or leave it out: losses.reconstruction = false\n"
    own = toy.with_name("own.toml")
    own.write_text('extends = "toy.toml"\n[coupling]\nuse = "gan"\n')
    assert ganforge("validate", own).err.endswith(hint)
    assert ganforge("validate", toy, "--set", "coupling.use=gan").err.endswith(hint)
    assert ganforge("validate", own, "--set", "losses.reconstruction=false").status == 0
