"""What the tab key offers, without torch once the index knows what there is."""

import os
import subprocess
import sys

import pytest

from ganforge.cli.main import command_line

CODE = "import sys; from ganforge.cli.main import main\ntry: main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Complete a line in a folder with a recipe and a run; return the words, and whether torch was imported."""
    folder = tmp_path_factory.mktemp("completion")
    (folder / "mine.toml").write_text('extends = "discogan_toy"\n')
    (folder / ".hidden.toml").write_text("")
    run = folder / "runs" / "discogan_toy" / "0001"
    run.mkdir(parents=True)
    (run / "recipe.lock.toml").write_text("")
    environment = {**os.environ, "GANFORGE_CACHE": str(folder / "cache"), "_GANFORGE_COMPLETE": "complete_bash"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment.pop("PYTEST_CURRENT_TEST", None)

    def complete(line):
        variables = {"COMP_WORDS": f"ganforge {line}", "COMP_CWORD": str(len(line.split(" ")))}
        command = [sys.executable, "-c", CODE]
        done = subprocess.run(
            command, cwd=folder, env={**environment, **variables}, capture_output=True, text=True, check=False
        )
        *errors, torch = done.stderr.splitlines()
        assert errors == []
        return done.stdout.split(), torch == "True"

    complete("show loss hu")  # the first one looks at all plugins
    return complete


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("list lo", ["loss"]),
        ("show ru", ["run"]),
        ("show loss hu", ["huber"]),
        ("show loss ganforge_losses/hub", ["ganforge_losses/huber"]),
        ("show recipe discogan_toy", ["discogan_toy", "discogan_toy_wide"]),
        ("run mi", ["mine.toml"]),
        ("run .hi", []),
        ("resume runs/d", ["runs/discogan_toy/", "runs/discogan_toy/0001"]),
        ("diff mi", ["mine.toml"]),
        ("run mine.toml --set train.st", ["train.start=", "train.start_lenient=", "train.steps="]),
        ("run mine.toml --set losses.reconstruction.w", ["losses.reconstruction.weight="]),
        ("run mine.toml --set generator.hi", ["generator.hidden="]),
        ("run no_such_recipe --set generator.hi", []),
        ("show nonsense x", []),
    ],
)
def test_words_are_completed_without_torch(words, line, offered):
    assert words(line) == (offered, False)


def test_every_command_that_takes_a_recipe_or_a_run_completes_it(plugins):
    import typer

    commands = typer.main.get_command(command_line(plugins)).commands
    lacking = [
        f"{name} {parameter.name}"
        for name, command in commands.items()
        for parameter in command.params
        if parameter.metavar in ("RECIPE", "RUN") and not parameter._custom_shell_complete
    ]
    assert lacking == []
