"""Imports point one way, and no file is a hidden pickle reader."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import ganforge

ROOT = Path(__file__).parents[1]
CORE = ROOT / "ganforge"
PLUGINS = ROOT / "plugins"

# The rooms of the core, each importing only from itself and from those below it; the first ones lie lowest.
ROOMS = (
    "errors",
    "system",
    "data",
    "components",
    "recipe",
    "training",
    "runs",
    "cli",
    "testing",
    "__main__",
)


def imports_of(path: Path, *, everywhere: bool = True) -> set[str]:
    """Modules that a file imports, other than for type checking."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    nodes = ast.walk(tree) if everywhere else tree.body
    found: set[str] = set()
    for node in nodes:
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room_of(path: Path) -> str:
    """The folder of the core that a file lies in; a file of the core's own folder is a room of its own."""
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def modules_of(path: Path) -> set[Path]:
    """Files of the core that a file imports."""
    found = set()
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "ganforge":
            for length in range(len(parts), 1, -1):
                file = CORE.joinpath(*parts[1:length]).with_suffix(".py")
                if file.is_file():
                    found.add(file)
                    break
    return found


FILES = [path for path in sorted(CORE.rglob("*.py")) if path.name != "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_the_cores_rooms_import_only_from_those_below(path):
    height = ROOMS.index(room_of(path))
    for module in modules_of(path):
        assert ROOMS.index(room_of(module)) <= height, f"{path} imports {module}"


def test_no_circle_of_imports():
    waiting = {path: modules_of(path) - {path} for path in FILES}
    while waiting:
        free = [path for path, needs in waiting.items() if not needs & waiting.keys()]
        assert free, f"these import each other: {sorted(map(str, waiting))}"
        for path in free:
            del waiting[path]


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: str(path.relative_to(CORE)))
def test_the_core_imports_no_plugin(path):
    assert not any(name.startswith("ganforge_") for name in imports_of(path))


@pytest.mark.parametrize("path", sorted(PLUGINS.rglob("*.py")), ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_a_plugin_imports_ganforge_and_itself_and_no_other_plugin(path):
    own = path.relative_to(PLUGINS).parts[0]
    for name in imports_of(path):
        top, _, rest = name.partition(".")
        if top.startswith("ganforge_"):
            assert top == own
        if top == "ganforge":
            assert "." not in rest or rest.startswith("testing."), f"{name}: a plugin imports from ganforge itself"


EXPORTS = [
    (node.module, alias.name)
    for node in ast.walk(ast.parse((CORE / "__init__.py").read_text()))
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
    if alias.asname
]


@pytest.mark.parametrize(("module", "name"), EXPORTS, ids=[name for _, name in EXPORTS])
def test_what_ganforge_exports_is_there_and_is_what_type_checkers_are_told(module, name):
    assert getattr(ganforge, name) is getattr(importlib.import_module(module), name)


def test_type_checkers_are_told_of_all_that_is_imported_on_first_use():
    lazy = {name for names in ganforge._HOMES.values() for name in names.split()}
    assert lazy | vars(ganforge).keys() >= {name for _, name in EXPORTS} >= lazy


@pytest.mark.parametrize("command", [["--help"], ["recipes"], ["run", "broken.toml"]], ids=" ".join)
def test_answers_without_torch(command, tmp_path):
    (tmp_path / "broken.toml").write_text("[dataset\n")
    code = (
        "import sys; from ganforge.cli.main import main\n"
        f"sys.argv = ['ganforge', *{command!r}]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)


# SECURITY.md names these: other tools' files that the user asks for, of which tensors and nothing else are read.
IMPORTING = {
    "torch.hub.load_state_dict_from_url": ["ganforge_losses/perceptual.py"],
    "torch.load": ["ganforge_evaluations/fidelity/archives.py", "ganforge_import/state.py"],
}
ALLOWED = [path for paths in IMPORTING.values() for path in paths]


def test_nothing_reads_or_writes_pickle():
    for path in [*CORE.rglob("*.py"), *PLUGINS.rglob("*.py")]:
        names = imports_of(path)
        assert not names & {"pickle", "dill", "joblib", "shelve"}, path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in IMPORTING:
                assert path.relative_to(PLUGINS).as_posix() in IMPORTING[ast.unparse(node.func)]
                assert "weights_only=True" in ast.unparse(node)
            elif isinstance(node, ast.Attribute):
                assert ast.unparse(node) not in {"torch.save", "np.load"}, path
                assert ast.unparse(node) not in IMPORTING or path.relative_to(PLUGINS).as_posix() in ALLOWED, path


def test_the_core_knows_no_network_formula_or_data_set():
    words = {"Conv2d", "Linear", "BatchNorm2d", "softplus", "mse_loss", "binary_cross_entropy", "Adam"}
    for path in CORE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert not used & words, path
