"""The documents say what the code does."""

import ast
import importlib.util
import inspect
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from ganforge.cli.main import command_line
from ganforge.components import hookspecs
from ganforge.components.component import KINDS
from ganforge.components.plugins import Plugins
from ganforge.recipe import layers
from ganforge.recipe.resolve import resolve

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
    assert listed == set(command_line(plugins).commands)


def test_every_kind_of_component_has_its_signature_documented():
    assert set(re.findall(r"^\| (\w+) \| ", CONTRIBUTING, re.MULTILINE)) >= set(KINDS)


def test_continuous_integration_runs_the_readmes_test_command():
    (command,) = [block.strip() for block in blocks("sh") if "pytest" in block]
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_every_file_and_picture_that_a_document_links_to_is_there():
    for document in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            if "reference/" not in link:  # made when the site is built, which then looks at such links
                assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_the_readmes_loss_plugin_and_recipe_train_as_they_stand(ganforge, tmp_path):
    (tmp_path / "my_loss.py").write_text(blocks("python")[0])
    (tmp_path / "mine.toml").write_text(blocks("toml")[1])
    sets = ("train.steps=5", "record.sample_every=0", "compute.compile=false", "evaluations.modes=false")
    result = ganforge("run", "mine.toml", *(word for text in sets for word in ("--set", text)))
    assert result.status == 0, result.err


def test_the_readmes_recipe_for_two_folders_is_sound(ganforge, tmp_path):
    from PIL import Image

    for name in ("cats", "dogs"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(40):
            Image.new("RGB", (70, 50)).save(tmp_path / "pictures" / name / f"{number}.jpg")
    (tmp_path / "cats2dogs.toml").write_text(blocks("toml")[0])
    assert ganforge("validate", "cats2dogs.toml").status == 0


DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:^|\n)([^\n]*)\n*\n```(\w+)\n(.*?)\n```", re.DOTALL)
NAMED = re.compile(r"`([\w.-]+\.(?:py|toml))`[^`]*:$")  # the line before a block that is a file: "`my_loss.py`:"
TYPED = re.compile(r"`ganforge (\w[^`]*)`")
STAND_IN = "discogan_edges2shoes"  # what a part of a recipe is laid over


class Block:
    """A block of code of a document; `file` is its name where the line before says that it is a file."""

    def __init__(self, document, before, kind, text):
        named = NAMED.search(before)
        self.document, self.kind, self.text, self.file = document, kind, text, named and named[1]

    def __str__(self):
        return f"{self.document.relative_to(ROOT)}: {self.text[:40]!r}"


BLOCKS = [Block(document, *found) for document in DOCUMENTS for found in BLOCK.findall(document.read_text())]


def commands_of(document):
    """The words of each line of a document's shell blocks and inline code that calls ganforge."""
    lines = [(words, False) for words in TYPED.findall(document.read_text())]
    for block in BLOCKS:
        if block.document == document and block.kind == "sh":
            for line in re.split(r"\n|&&", block.text.replace("\\\n", " ")):
                if found := re.match(r"\s*(?:torchrun .*-m )?ganforge (.*)", line):
                    lines.append((found[1], True))
    return [(shlex.split(line, comments=True), whole) for line, whole in lines]


def test_blocks_are_found():
    assert {block.kind for block in BLOCKS} >= {"python", "toml", "sh", "json", "text"}
    assert sum(block.file is not None for block in BLOCKS) > 20


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind == "python"], ids=str)
def test_python_blocks_compile_and_import_what_there_is(block):
    tree = ast.parse(block.text)
    compile(tree, str(block), "exec")
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
            if all(importlib.util.find_spec(module.partition(".")[0]) for module in modules):
                exec(compile(ast.Module([node], []), str(block), "exec"), {})
            else:  # an extra's, or a file or folder of the document itself
                text = block.document.read_text()
                own = {module for module in modules for end in (".py", "/") if module.partition(".")[0] + end in text}
                assert set(modules) - {"gradio_client"} <= own


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind == "toml"], ids=str)
def test_toml_blocks_are_recipes_or_parts_of_them(block, plugins, tmp_path):
    table = tomllib.loads(block.text)
    if {"project", "dependencies"} & table.keys():  # of a pyproject.toml
        return
    for other in BLOCKS:
        if other.document == block.document and other.file and other.kind == "python":
            (tmp_path / other.file).write_text(other.text)
    path, own = tmp_path / "recipe.toml", Plugins()
    own.load_installed()
    whole = "extends" in table or {"dataset", "coupling", "train"} <= table.keys()
    path.write_text(("" if whole else f'extends = "{STAND_IN}"\n') + block.text)
    for name in table.get("plugins", ()):
        own.load_file(tmp_path / name)
    resolve(layers.load(path, [], own.recipes()), own.registry)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_commands_have_the_options_and_recipes_that_documents_say(document, plugins):
    group = command_line(plugins)
    for words, whole in commands_of(document):
        command, rest = group, words
        while hasattr(command, "commands") and rest and not rest[0].isupper():  # `ganforge new KIND` is any of them
            assert rest[0] in command.commands, f"no command {' '.join(words)}"
            command, rest = command.commands[rest[0]], rest[1:]
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        options = [word.partition("=")[0] for word in rest if word.startswith("--")]
        assert [one for one in options if one not in {*known, "--help", "--no-plugins"}] == [], " ".join(words)
        if whole and not hasattr(command, "commands") and not any(word.isupper() or word == "..." for word in rest):
            context = command.make_context(words[0], list(rest), resilient_parsing=False)
            named = [context.params.get("recipe"), *(context.params.get("recipes") or ())]
            recipes = [name for name in named if isinstance(name, str) and re.fullmatch(r"\w+", name)]
            assert [name for name in recipes if name not in plugins.recipes()] == []


SHOWN = sorted(
    {
        tuple(words)
        for document in DOCUMENTS
        for words, _ in commands_of(document)
        if words[0] in ("show", "list", "recipes", "plugins")
        and all(re.fullmatch(r"[a-z][\w-]*", word) for word in words)
    }
)


# What recipes cost takes longer to find out: one by default, all with `-m "slow or not slow"`.
COSTLY = [words for words in SHOWN if words[:2] == ("show", "recipe")][1:]


@pytest.mark.parametrize(
    "words",
    [pytest.param(words, marks=pytest.mark.slow) if words in COSTLY else words for words in SHOWN],
    ids=" ".join,
)
def test_commands_that_only_look_run(words, ganforge):
    assert ganforge(*words).status == 0


WHOLE = sorted({block.document for block in BLOCKS if block.file == "mine.toml"})


@pytest.mark.parametrize("document", WHOLE, ids=lambda document: document.stem)
def test_whole_examples_train(document, ganforge, tmp_path):
    for block in BLOCKS:
        if block.document == document and block.file:
            (tmp_path / block.file).write_text(block.text)
    sizes = {"train.steps": 3, "train.batch": 4, "record.sample_every": 0, "compute.compile": "false"}
    recipe = (tmp_path / "mine.toml").read_text()
    if "turntable" in recipe:
        sizes |= {"dataset.models": 2, "dataset.test_models": 1, "dataset.size": 16, "evaluations.azimuth": "false"}
    elif "modes = false" not in recipe:  # of the toy; it takes longer than the training
        sizes |= {"evaluations.modes": "false"}
    sets = [word for key, value in sizes.items() for word in ("--set", f"{key}={value}")]
    result = ganforge("run", "mine.toml", *sets, "--device", "cpu")
    assert result.status == 0, result.err
    assert "warning" not in result.err, result.err
