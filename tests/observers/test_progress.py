"""The progress display: a line that fits, and how long a training takes."""

import importlib
import io
import re
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

progress = importlib.import_module("ganforge_observers.progress")

RECORD = {"losses": {"generator": 12.345, "discriminator": 0.693}, "steps_per_second": 0.912}
COUNT = "12345/50000"


def drawn(width):
    """Move a training's bar on a terminal of some width, and return its last line."""
    bar = progress.ProgressBar()
    bar.live, bar.console = True, Console(width=width, force_terminal=True, file=io.StringIO(), color_system=None)
    bar.bar = progress.Line(bar.console)
    run = SimpleNamespace(step=12_000, plan=SimpleNamespace(train=SimpleNamespace(steps=50_000)))
    bar.ganforge_started(run)
    run.step = 12_345
    bar.ganforge_logged(run, RECORD)
    bar.ganforge_ended(run)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", bar.console.file.getvalue())
    return [line.rstrip() for line in re.split(r"[\r\n]", shown) if line.strip()][-1]


@pytest.mark.parametrize(
    ("width", "there", "gone"),
    [
        (40, ["-:--:--"], ["━", "generator"]),
        (60, ["training", "0.9 steps/s", "-:--:--"], ["━", "generator"]),
        (80, ["training", "0.9 steps/s", "-:--:--", "generator 12.345  discriminator 0.693"], ["━"]),
        (130, ["training", "━━━━", "0.9 steps/s", "-:--:--", "generator 12.345  discriminator 0.693"], []),
    ],
)
def test_a_narrow_terminal_shows_the_count_and_the_time_and_what_else_fits(width, there, gone):
    line = drawn(width)
    assert COUNT in line
    assert "…" not in line
    assert len(line) <= width
    assert [word for word in there if word not in line] == []
    assert [word for word in gone if word in line] == []


def told(monkeypatch, understand, recipe, seconds_a_step, *sets, device="cpu"):
    """Let a training tick for a minute, and return what it says."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    bar = progress.ProgressBar()
    bar.console = Console(width=200, file=io.StringIO())
    run = SimpleNamespace(step=0, plan=understand(recipe, *sets), device=torch.device(device))
    bar.ganforge_started(run)
    while now[0] < 60:
        run.step += 1
        now[0] += seconds_a_step * (10 if run.step == 1 else 1)
        bar.ganforge_ticked(run)
    return bar.console.file.getvalue().splitlines()


PICTURES = ("discogan_edges2shoes", 2.0, "dataset.root=x")


def test_a_long_training_says_once_how_long_it_takes_and_with_what_to_begin_on_a_cpu(monkeypatch, understand):
    time_left, smaller = told(monkeypatch, understand, *PICTURES)
    assert time_left == "about 28 h left at 0.5 steps/s"
    sets = [word for word in smaller.replace(",", "").split() if "=" in word]
    assert sets == ["train.batch=32", "train.steps=10000", "generator.width=16", "discriminator.width=16"]
    assert "base_64_small" in smaller
    assert told(monkeypatch, understand, *PICTURES, *sets) == ["about 5.6 h left at 0.5 steps/s"]
    assert told(monkeypatch, understand, *PICTURES, device="meta") == ["about 28 h left at 0.5 steps/s"]


def test_a_short_training_does_not_speak_of_time(monkeypatch, understand, toy):
    assert told(monkeypatch, understand, toy, 0.02, "train.steps=20000") == []


def test_names_are_shown_as_they_are(capsys):
    bar = progress.ProgressBar()
    bar.said -= 100
    bar.ganforge_working(None, "reading \x1b[31m[red]\na", 1, 2)
    bar.ganforge_warned(None, "[bold]\x1b[2Jx" + 200 * "y")
    assert capsys.readouterr().out == "reading \\x1b[31m[red]\\na: 1/2\nwarning: [bold]\\x1b[2Jx" + 200 * "y" + "\n"
    bar.console = Console(width=120, force_terminal=True, file=io.StringIO(), color_system=None)
    bar.live, bar.bar = True, progress.Line(bar.console)
    bar.ganforge_working(None, "\x1b[31m[red]\n" + 99 * "x", 1, 2)
    bar.ganforge_ended(None)
    assert "\\x1b[31m[red]\\nxxxxxxxxxxxx..." in bar.console.file.getvalue()
