"""Textbook steps compute what the recipes do, and what does not is refused."""

import pytest
import torch

from ganforge import InputError, assemble, make_dataset
from ganforge_bench import bench, plain

CONV = ["dataset.root=none", "dataset.size=32", "generator.width=4", "discriminator.width=4", "train.batch=3"]
RESNET = [*CONV, "dataset.load=36"]
TOY = ["generator.hidden=8", "discriminator.hidden=8"]
CASES = {
    "discogan": ("discogan_edges2shoes", CONV),
    "cyclegan": ("cyclegan_horse2zebra", RESNET),
    "toy": ("discogan_toy", TOY),
}


def assembled(plan):
    dataset = make_dataset(plan)
    return assemble(plan, dataset, bench.random_sources(plan, dataset), torch.device("cpu"))


@pytest.mark.parametrize("name", CASES)
def test_a_textbook_step_has_the_losses_and_learns_what_ganforge_does(name, understand):
    recipe, sets = CASES[name]
    engine, batches = assembled(understand(recipe, *sets, "compute.precision=fp32"))
    batch = batches(0)
    step = plain._load(plain.TEXTBOOK / f"{name}.py").make(batch, 8 if name == "toy" else 4)
    plain._take_weights(step.networks, engine.networks, name)
    for number in range(3):
        theirs, ours = step(batch), engine.step(number, batch)
        assert list(theirs) == list(ours)  # the players take turns in the same order
        for player in ours:
            torch.testing.assert_close(theirs[player], ours[player][0], rtol=1e-4, atol=1e-5)
    for network, module in engine.networks.items():
        for one, other in zip(step.networks[network].parameters(), module.parameters(), strict=True):
            if one.ndim > 1:  # a bias that a norm takes away again learns noise
                torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)


def test_a_textbook_step_imports_nothing_of_ganforge():
    for path in plain.TEXTBOOK.glob("[!_]*.py"):
        assert not [
            line for line in path.read_text().splitlines() if "import" in line and "ganforge" in line.split("import")[0]
        ]


OTHER = """\
from torch import nn, zeros
class Step:
    networks = {"G_AB": nn.Linear(2, 2)}
    def __call__(self, batch):
        return {"generator": zeros(())}
def make(batch, width):
    return Step()
"""


@pytest.mark.parametrize(
    ("file", "sets", "message"),
    [
        ("discogna", TOY, "--plain: no file 'discogna'; among the shipped steps, did you mean 'discogan'?"),
        (
            "toy",
            ["train.batch=8", "losses.reconstruction.weight=9.0"],
            "--plain toy does not compute what the recipe does",
        ),
        ("toy", ["discriminator.layers=4"], "--plain toy: D_A is not the recipe's network: 12,"),
        ("empty.py", TOY, "--plain empty.py: AttributeError: module 'plain_step' has no attribute 'make'"),
        ("broken.py", TOY, "--plain broken.py: ZeroDivisionError: division by zero"),
        ("syntax.py", TOY, "--plain syntax.py: SyntaxError: "),
        ("text.txt", TOY, "--plain: 'text.txt' is not a Python file"),
        (
            "other.py",
            TOY,
            "--plain other.py: G_AB is not the recipe's network: 6 numbers in 2 parameters, not ",
        ),
    ],
)
def test_a_plain_step_that_computes_something_else_is_refused(file, sets, message, understand, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    contents = {"empty.py": "", "broken.py": "1 / 0", "syntax.py": "def", "text.txt": "", "other.py": OTHER}
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    plan = understand("discogan_toy", *sets)
    engine, batches = assembled(plan)
    with pytest.raises(InputError) as caught:
        plain.written(file, engine, batches, bench._width(plan))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
