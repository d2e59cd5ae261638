"""Random recipes: each is accepted, or refused as wrong input with a located message; never a crash, never a hang.

The long form, 10,000 recipes: pytest -m slow tests/faults/test_recipes.py
"""

import math
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings, strategies as some

from ganforge.components.component import KINDS
from ganforge.components.plugins import Plugins
from ganforge.errors import InputError, RecipeError, printable
from ganforge.recipe import layers as recipes
from ganforge.recipe.resolve import resolve
from ganforge.training import build
from ganforge.training.check import check

SECONDS = 20.0  # within which a recipe is judged, on a busy machine
PLUGINS = Plugins()
PLUGINS.load_installed()
SHIPPED = PLUGINS.recipes()
TEXTS = [path.read_text() for path in SHIPPED.values()]
COMPONENTS = [found for kind in KINDS for found in PLUGINS.registry.of(kind)]
NAMES = sorted({found.name for found in COMPONENTS})
KEYS = sorted(
    {name for found in COMPONENTS for name in found.signature.settings} | {"use", "weight", "player", "views"}
)
FIELDS = {
    "train": ["steps", "batch", "seed", "every", "alternate", "augment", "norm"],
    "compute": ["precision", "compile", "residency", "threads"],
    "record": ["best", "observers", "samples", "keep", "evaluate_every"],
}
INNER = ["train.augment", "train.every", "record.observers", "observers.x"]
SETTINGS = [key for keys in FIELDS.values() for key in keys]

words = some.sampled_from(
    [*NAMES, *KEYS, *FIELDS, *SETTINGS, *KINDS, *SHIPPED, "AB", "auto", "/etc/passwd", "../..", "a\x1b[31m\u202eb"]
)
numbers = some.one_of(
    some.integers(-3, 300),
    some.sampled_from([0, 1, 2**31, 2**63, 10**30, -(2**63)]),
    some.floats(allow_subnormal=False),  # a run in this process may have switched them off
    some.sampled_from([math.inf, -math.inf, math.nan]),
)
plain = some.one_of(words, numbers, some.booleans(), some.text(max_size=8))
values = some.recursive(
    plain,
    lambda inner: some.one_of(some.lists(inner, max_size=4), some.dictionaries(words, inner, max_size=3)),
    max_leaves=6,
)


def toml(value):
    """Write a value as TOML does."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(char):08x}" if not "\ud800" <= char <= "\udfff" else "?" for char in value) + '"'
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    return repr(value)


@some.composite
def composed(draw):
    """A recipe made of tables: a shipped one extended, or all of its own."""
    lines = []
    if draw(some.booleans()):
        lines.append(f"extends = {toml(draw(some.one_of(some.sampled_from(sorted(SHIPPED)), plain)))}")
    tables = ["dataset", "coupling", "generator", "discriminator", "optimizer", *FIELDS, "losses.x", "evaluations.x"]
    for table in draw(some.lists(some.sampled_from([*tables, *INNER, "oops"]), unique=True, max_size=9)):
        lines.append(f"[{table}]")
        kind = {"losses.x": "loss", "evaluations.x": "evaluation", "observers.x": "observer"}.get(table, table)
        fitting = [found for found in COMPONENTS if found.kind == kind]
        keys = FIELDS.get(table, KEYS)
        if fitting and draw(some.integers(0, 9)):
            component = draw(some.sampled_from(fitting))
            lines.append(f"use = {toml(component.name)}")
            keys = [*component.signature.settings, *keys[:2]]
        chosen = draw(some.lists(some.sampled_from([key for key in keys if key != "use"]), unique=True, max_size=3))
        lines += [f"{key} = {toml(draw(values))}" for key in chosen]
    return "\n".join(lines)


@some.composite
def mutated(draw):
    """A shipped recipe with lines and characters changed."""
    lines = draw(some.sampled_from(TEXTS)).splitlines()
    for _ in range(draw(some.integers(1, 4))):
        place = draw(some.integers(0, len(lines) - 1)) if lines else 0
        change = draw(some.sampled_from(["delete", "double", "swap", "value", "insert", "cut", "key"]))
        line = lines[place] if lines else ""
        if change == "delete":
            lines[place : place + 1] = []
        elif change == "double":
            lines.insert(place, line)
        elif change == "swap" and lines:
            other = draw(some.integers(0, len(lines) - 1))
            lines[place], lines[other] = lines[other], line
        elif change == "value" and "=" in line:
            lines[place] = f"{line.partition('=')[0]}= {toml(draw(values))}"
        elif change == "key" and "=" in line:
            lines[place] = f"{draw(words)} = {line.partition('=')[2]}"
        elif lines:
            at = draw(some.integers(0, len(line)))
            lines[place] = line[:at] + (draw(some.text(max_size=3)) + line[at:] if change == "insert" else "")
    return "\n".join(lines)


overrides = some.lists(some.builds("{}.{}={}".format, words, words, some.one_of(values.map(toml), words)), max_size=2)
anything = some.tuples(some.one_of(composed(), mutated()), overrides)


def judge(folder, text, sets):
    """Read a recipe as `ganforge run` does, up to where data would be read; return whether it was accepted."""
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    before = sorted(folder.iterdir())
    start = time.monotonic()
    try:
        plan = resolve(recipes.load(str(path), sets, SHIPPED), PLUGINS.registry)
        check(plan, build.make_dataset(plan))
        accepted = True
    except InputError as error:
        message = printable(str(error))
        assert message.strip()
        if isinstance(error, RecipeError):
            assert all(problem.where or problem.key for problem in error.problems), message  # noqa: PT017
        accepted = False
    assert time.monotonic() - start < SECONDS
    assert sorted(folder.iterdir()) == before
    return accepted


def play(folder, count, **how):
    counts = {True: 0, False: 0}

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        **how,
    )
    @given(anything)
    def check(example):
        counts[judge(folder, *example)] += 1

    check()
    return counts


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def test_some_random_recipes(folder):
    play(folder, 150, derandomize=True)


@pytest.mark.slow
def test_ten_thousand_random_recipes(folder):
    counts = play(folder, 10_000)
    sys.stdout.write(f"accepted {counts[True]}, refused {counts[False]}\n")
    assert min(counts.values()) > 100
