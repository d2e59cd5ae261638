"""Imports point one way, and no file is a hidden pickle reader."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "ganforge"
PLUGINS = ROOT / "plugins"

# Each module of the core and the modules of the core that it may import; the reading order is from top to bottom.
ALLOWED = {
    "errors": set(),
    "describe": set(),
    "settings": {"describe", "errors"},
    "registry": {"errors", "settings"},
    "recipe": {"errors", "settings"},
    "archives": set(),
    "fetch": {"archives", "disk", "errors"},
    "hookspecs": {"archives", "registry"},
    "plugins": {"disk", "errors", "registry", "hookspecs"},
    "view": set(),
    "coupling": {"view"},
    "data": set(),
    "disk": set(),
    "making": {"data", "errors"},
    "cache": {"data", "disk", "errors", "making"},
    "augment": set(),
    "batches": {"augment", "cache", "data", "errors"},
    "numerics": {"data", "errors", "plan"},
    "plan": {"augment", "coupling", "recipe", "registry"},
    "resolve": {"coupling", "errors", "plan", "recipe", "registry", "settings"},
    "program": {"plan"},
    "engine": {"coupling", "errors", "numerics", "plan", "program", "view"},
    "meter": {"engine", "plan"},
    "build": {"batches", "coupling", "data", "engine", "errors", "plan", "registry", "settings", "view"},
    "checkpoint": {"disk", "errors"},
    "lock": {"plan", "registry", "settings"},
    "norm": set(),
    "signals": set(),
    "trained": {
        "batches",
        "build",
        "checkpoint",
        "data",
        "errors",
        "norm",
        "plan",
        "plugins",
        "recipe",
        "resolve",
        "view",
    },
    "start": {
        "batches",
        "build",
        "checkpoint",
        "data",
        "disk",
        "errors",
        "numerics",
        "plan",
        "plugins",
        "run",
        "trained",
    },
    "run": {
        "batches",
        "build",
        "checkpoint",
        "data",
        "disk",
        "engine",
        "errors",
        "lock",
        "meter",
        "norm",
        "numerics",
        "plan",
        "plugins",
        "registry",
        "signals",
        "trained",
        "view",
    },
    "translate": {"data", "errors", "trained"},
    "compare": {
        "build",
        "data",
        "disk",
        "errors",
        "lock",
        "numerics",
        "plan",
        "run",
        "start",
        "trained",
    },
    "sheet": {"batches", "data"},
    "bench": {"batches", "build", "data", "engine", "meter", "numerics", "plan"},
    "testing": {"coupling", "errors", "plugins", "registry", "settings", "view"},
    "__main__": {"cli"},
}
FREE = {
    "cli",
    "cli_data",
    "command",
    "__init__",
}  # the command line sees everything; the package's face names everything


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


@pytest.mark.parametrize("path", sorted(CORE.glob("*.py")), ids=lambda path: path.stem)
def test_the_cores_imports_point_one_way(path):
    modules = {other.stem for other in CORE.glob("*.py")}
    if path.stem in FREE:
        return
    found = {name.split(".")[1] for name in imports_of(path) if name.startswith("ganforge.")} & modules
    assert found <= ALLOWED[path.stem]


@pytest.mark.parametrize("path", sorted(CORE.glob("*.py")), ids=lambda path: path.stem)
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


@pytest.mark.parametrize("command", [["--help"], ["recipes"], ["run", "broken.toml"]], ids=" ".join)
def test_answers_without_torch(command, tmp_path):
    (tmp_path / "broken.toml").write_text("[dataset\n")
    code = (
        "import sys; from ganforge.cli import main\n"
        f"sys.argv = ['ganforge', *{command!r}]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)


def test_nothing_reads_or_writes_pickle():
    for path in [*CORE.rglob("*.py"), *PLUGINS.rglob("*.py")]:
        names = imports_of(path)
        assert not names & {"pickle", "dill", "joblib", "shelve"}, path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in {("torch", "load"), ("torch", "save"), ("np", "load")}, path


def test_the_core_knows_no_network_formula_or_data_set():
    words = {"Conv2d", "Linear", "BatchNorm2d", "softplus", "mse_loss", "binary_cross_entropy", "Adam"}
    for path in CORE.glob("*.py"):
        tree = ast.parse(path.read_text())
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert not used & words, path
