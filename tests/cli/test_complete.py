"""What the tab key offers, without torch once the index knows what there is."""

import json
import os
import subprocess
import sys

import pytest

from ganforge.cli.main import command_line

# Completes line after line, as so many presses of the key would.
CODE = """
import contextlib, io, json, os, sys
from ganforge.cli.main import main
offered = []
for line in sys.argv[1:]:
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = f"ganforge {line}", str(len(line.split(" ")))
    sys.argv, out = ["ganforge"], io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main()
    offered.append(out.getvalue().split())
print(json.dumps([offered, "torch" in sys.modules]))
"""
LINES = {
    "list lo": ["loss"],
    "show ru": ["run"],
    "show loss hu": ["huber"],
    "show loss ganforge_losses/hub": ["ganforge_losses/huber"],
    "show recipe discogan_toy": ["discogan_toy", "discogan_toy_wide"],
    "run mi": ["mine.toml"],
    "run .hi": [],
    "resume runs/d": ["runs/discogan_toy/", "runs/discogan_toy/0001"],
    "translate runs/discogan_toy/": ["runs/discogan_toy/0001", "runs/discogan_toy/0001/"],
    "diff mi": ["mine.toml"],
    "run mine.toml --set train.st": ["train.start=", "train.start_lenient=", "train.steps="],
    "run mine.toml --set losses.reconstruction.w": ["losses.reconstruction.weight="],
    "validate mine.toml --set generator.hi": ["generator.hidden="],
    "run no_such_recipe --set generator.hi": [],
    "show nonsense x": [],
}


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """Complete lines in a folder with a recipe and a run; return the words, and whether torch was imported."""
    folder, cache = tmp_path_factory.mktemp("completion"), tmp_path_factory.mktemp("cache")
    (folder / "mine.toml").write_text('extends = "discogan_toy"\n')
    (folder / ".hidden.toml").write_text("")
    run = folder / "runs" / "discogan_toy" / "0001"
    run.mkdir(parents=True)
    (run / "recipe.lock.toml").write_text("")
    environment = {**os.environ, "GANFORGE_CACHE": str(cache), "_GANFORGE_COMPLETE": "complete_bash"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment.pop("PYTEST_CURRENT_TEST", None)

    def call(*lines):
        command = [sys.executable, "-c", CODE, *lines]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return json.loads(done.stdout)

    return call


@pytest.mark.slow
def test_words_are_completed_without_torch(complete):
    assert complete("show loss hu") == [[["huber"]], True]  # the first time all plugins are looked at
    offered, torch = complete(*LINES)
    assert dict(zip(LINES, offered, strict=True)) == LINES
    assert not torch


def test_every_command_that_takes_a_recipe_or_a_run_completes_it(plugins):
    commands = command_line(plugins).commands
    lacking = [
        f"{name} {parameter.name}"
        for name, command in commands.items()
        for parameter in command.params
        if parameter.metavar in ("RECIPE", "RUN", "RECIPE...") and not parameter._custom_shell_complete
    ]
    assert lacking == []
