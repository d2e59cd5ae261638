"""The documents say what the code does."""

import inspect
import re
from pathlib import Path

import typer

from ganforge.cli.main import command_line
from ganforge.components import hookspecs
from ganforge.components.registry import KINDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL)


def test_every_hook_is_documented_with_its_exact_signature():
    hooks = {
        f"{name}({', '.join(inspect.signature(function).parameters)})"
        for name, function in vars(hookspecs).items()
        if name.startswith("ganforge_")
    }
    assert set(re.findall(r"`(ganforge_\w+\(.*?\))`", CONTRIBUTING)) == hooks


def test_the_readme_lists_exactly_the_commands_there_are(plugins):
    listed = set(re.findall(r"^\| `ganforge (\w+)", README, re.MULTILINE))
    assert listed == set(typer.main.get_command(command_line(plugins)).commands)


def test_every_kind_of_component_has_its_signature_documented():
    assert set(re.findall(r"^\| (\w+) \| ", CONTRIBUTING, re.MULTILINE)) >= set(KINDS)


def test_continuous_integration_runs_the_readmes_test_command():
    (command,) = [block.strip() for block in blocks("sh") if "pytest" in block]
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_every_file_and_picture_that_a_document_links_to_is_there():
    for document in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_the_readmes_loss_plugin_and_recipe_train_as_they_stand(ganforge, tmp_path):
    (tmp_path / "my_loss.py").write_text(blocks("python")[0])
    (tmp_path / "mine.toml").write_text(blocks("toml")[1])
    result = ganforge("run", "mine.toml", "--set", "train.steps=5", "--set", "record.sample_every=0")
    assert result.status == 0, result.err


def test_the_readmes_recipe_for_two_folders_is_sound(ganforge, tmp_path):
    from PIL import Image

    for name in ("cats", "dogs"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(40):
            Image.new("RGB", (70, 50)).save(tmp_path / "pictures" / name / f"{number}.jpg")
    (tmp_path / "cats2dogs.toml").write_text(blocks("toml")[0])
    assert ganforge("validate", "cats2dogs.toml").status == 0
