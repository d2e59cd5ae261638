"""Writing a component from the template of its kind: as three files, or as a package."""

import ast
import errno
import keyword
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import typer
from attrs import frozen

from ganforge import UNWRITABLE, Folder, InputError, Plugins, RunFailedError, plugins_with, read_text, write_file
from ganforge_new.licences import Licence

TEMPLATES = Path(__file__).parent / "templates"
NAME = re.compile(r"[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?")
# Files of a package that do not depend on the kind, with their templates.
PACKAGE = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "tests.yml": ".github/workflows/tests.yml",
}
PATH = "from pathlib import Path\n"
LICENCE_LINES = 'license = "LICENCE"\nlicense-files = ["LICENSE"]\n'


@frozen
class Component:
    """The component to write. In templates it is called `example`, and its class `Example`.

    >>> one = Component("loss", "my-NewLoss")
    >>> one.module, one.type
    ('my_new_loss', 'MyNewLoss')
    """

    kind: str
    name: str

    @property
    def module(self) -> str:
        """Its name as a module or function."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.name).replace("-", "_").lower()

    @property
    def type(self) -> str:
        """Its name as a class."""
        return "".join(part[:1].upper() + part[1:] for part in re.split("[-_]", self.name))

    def check(self) -> None:
        """Refuse a name that is not valid in Python, or that the file itself uses for something else."""
        if not NAME.fullmatch(self.name):
            rule = "use letters, digits, '-' and '_'; start with a letter, end with a letter or digit"
            raise InputError(f"'{self.name}' cannot be the name of a component; {rule}")
        used = {name for file in ("example.py", "test_example.py") for name in _names(self.template(file))}
        for name in (self.module, self.type):
            if keyword.iskeyword(name):
                raise InputError(f"'{name}' is a Python keyword; choose another name")
            if name in used:
                raise InputError(f"'{name}' has another meaning in the file of a {self.kind}; choose another name")

    def template(self, file: str) -> str:
        """Return a template of its kind."""
        return read_text(TEMPLATES / self.kind / file)

    def fill(self, text: str) -> str:
        """Replace the example's name in a template: as given where it is quoted, otherwise as a Python name."""
        text = re.sub(r"""(["'`])example\1""", rf"\g<1>{self.name}\1", text)
        text = text.replace("ganforge-example", self.distribution)
        return text.replace("example", self.module).replace("Example", self.type)

    @property
    def distribution(self) -> str:
        """The name of its package for pip."""
        return f"ganforge-{self.module.replace('_', '-')}"


def require_free(component: Component, context: typer.Context) -> None:
    """Refuse a name that a component, plugin, recipe, command or module already has."""
    plugins = plugins_with(context, None)
    name, module = component.name, component.module
    commands: Mapping[str, object] = getattr(context.find_root().command, "commands", {})
    taken = ""
    if component.kind == "command" and module.replace("_", "-") in commands:
        taken = f"there is a command '{module.replace('_', '-')}' already"
    elif found := [one for one in plugins.registry.of(component.kind) if one.name == name]:
        taken = f"there is a {component.kind} '{name}' already, in {found[0].plugin}"
    elif {module, f"ganforge_{module}"} & plugins.known.keys():
        taken = f"there is a plugin '{module}' already"
    elif module in plugins.recipes():
        taken = f"there is a recipe '{module}' already"
    elif find_spec(module) is not None:
        taken = f"'{module}' is a module that is installed already"
    if taken:
        raise InputError(f"{taken}; choose another name")


def write_files(component: Component, out: Path) -> list[Path]:
    """Write the plugin file, its test and its recipe; return their paths.

    Raises:
        InputError: one of them exists already, or `out` is not a folder.
        RunFailedError: the disk is full or cannot be written; none of them is left.
    """
    test = component.template("test_example.py").replace("from .example", "from example")
    texts = {
        "example.py": component.template("example.py"),
        "test_example.py": test,
        "example.toml": component.template("example.toml"),
    }
    paths = {out / component.fill(name): component.fill(text) for name, text in texts.items()}
    _require_absent(*paths)
    with _writing(out):
        try:
            for path, text in paths.items():
                write_file(path, text)
        except OSError:
            for path in paths:
                with suppress(OSError):
                    path.unlink()
            raise
    return list(paths)


def write_package(component: Component, out: Path, licence: Licence) -> Path:
    """Write a package, whole or not at all; return its folder.

    Raises:
        InputError: it exists already, or `out` is not a folder.
        RunFailedError: the disk is full or cannot be written.
    """
    folder = out / component.distribution
    _require_absent(folder)
    with _writing(out), Folder(out) as place, place.stage(folder.name) as made:
        for name, text in _package(component, licence).items():
            made.write(component.fill(name), component.fill(text))
        if licence.text:
            made.write("LICENSE", licence.text)
    return folder


def _package(component: Component, licence: Licence) -> dict[str, str]:
    """Return the texts of a package by path."""
    file, recipe = component.template("example.py"), component.template("example.toml")
    about = file.partition("\n")[0].strip('."')  # such as: The loss `example`
    test = component.template("test_example.py")
    # The tests import the installed package, as ganforge does.
    for before, after in (
        ('Path(__file__).with_name("example.py")', '"ganforge_example"'),
        ("from .example", "from ganforge_example.example"),
    ):
        test = test.replace(before, after)
    if "Path" not in test.replace(PATH, ""):  # the import is then unused
        test = test.replace(f"\n\n{PATH}\n", "\n\n").replace(PATH, "")
    start = read_text(TEMPLATES / "package" / ("command.py" if component.kind == "command" else "component.py"))
    texts = {target: read_text(TEMPLATES / "package" / source) for source, target in PACKAGE.items()}
    project = texts["pyproject.toml"].replace("0.0.0", Plugins.version())
    project = project.replace("LICENCE", licence.name) if licence.name else project.replace(LICENCE_LINES, "")
    texts |= {"pyproject.toml": project, "ganforge_example/__init__.py": start}
    return {
        **{name: text.replace("The component `example`", about) for name, text in texts.items()},
        "ganforge_example/py.typed": "",
        "ganforge_example/example.py": file,
        "ganforge_example/example.toml": recipe.replace('plugins = ["example.py"]\n', ""),
        "tests/test_example.py": test,
    }


def _names(text: str) -> Iterator[str]:
    """Yield the names that a file defines or uses, except the example's own."""
    for node in ast.walk(ast.parse(text)):
        found = ""
        if isinstance(node, ast.Name):
            found = node.id
        elif isinstance(node, ast.arg):
            found = node.arg
        elif isinstance(node, ast.alias):
            found = node.asname or node.name
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found = node.name
        if found.lower() != "example":
            yield found


def _require_absent(*paths: Path) -> None:
    for path in paths:
        if os.path.lexists(path):
            raise InputError(f"'{path}' exists already; choose another name, or another folder with --out")


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Create the folder to write to; turn disk errors into one line."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            raise InputError(f"'{out}' is not a folder") from error
        kind = RunFailedError if error.errno in UNWRITABLE else InputError
        raise kind(f"cannot write into '{out}': {error.strerror}") from error
