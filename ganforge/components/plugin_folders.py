"""Folders of plugin files: a plugin file may import the modules beside it, and a run keeps copies of them.

Each folder is a package, `ganforge_local_1` and so on, so that two folders may both contain a `helpers.py`. In its
modules, `import helpers` finds an installed module first, and otherwise the one in the folder.
"""

import ast
import builtins
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from attrs import field, frozen

PREFIX = "ganforge_local_"
# The folder of a script, or the current folder, which Python puts first in `sys.path`; nothing is installed there.
STARTED_IN = None if sys.flags.safe_path else sys.path[0]


@frozen
class PluginFolder:
    """A folder of plugin files.

    Attributes:
        package: the name of its package.
        path: the folder.
        alone: whether its modules take precedence over installed ones: it holds a run's copies, which were resolved
            when the run began.
    """

    package: str
    path: Path
    alone: bool = False
    _known: dict[str, bool] = field(factory=dict, eq=False, repr=False)

    def spec(self, name: str) -> ModuleSpec | None:
        """Find a module or package in the folder."""
        return PathFinder.find_spec(f"{self.package}.{name}", [str(self.path)])

    def has(self, name: str) -> bool:
        """Return whether a name refers to a module of the folder, and to no other."""
        if name not in self._known:
            self._known[name] = self._has(name)
        return self._known[name]

    def _has(self, name: str) -> bool:
        spec = self.spec(name)
        if spec is None or name in sys.stdlib_module_names:
            return False
        loaded = getattr(sys.modules.get(name), "__spec__", None)
        if spec.origin is not None and getattr(loaded, "origin", None) == spec.origin:
            return False  # the same file is loaded under its own name, such as ganforge in a clone of it
        installed = None if self.alone else _installed(name)
        return installed is None or (spec.origin is not None and installed.origin in (None, spec.origin))

    def load(self, file: Path) -> Any:
        """Import a plugin file of the folder and return its module."""
        import_module(self.package)
        name = f"{self.package}.{file.stem.replace('.', '_')}"
        if name not in sys.modules:  # another plugin may have imported it
            spec = spec_from_file_location(name, file.resolve())
            assert spec
            assert spec.loader
            module = module_from_spec(_with_neighbours(spec))
            sys.modules[name] = module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                sys.modules.pop(name, None)
                raise
        return sys.modules[name]  # the module may have replaced itself

    def load_absolute(
        self,
        name: str,
        variables: Mapping[str, Any] | None = None,
        local: Mapping[str, Any] | None = None,
        wanted: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        """Replace `__import__` in the folder's modules."""
        first = name.partition(".")[0]
        if level or not self.has(first):
            return builtins.__import__(name, variables, local, wanted, level)
        module = builtins.__import__(f"{self.package}.{name}", variables, local, wanted)
        return module if wanted else sys.modules[f"{self.package}.{first}"]

    def files(self, name: str) -> Iterator[Path]:
        """Yield the file of a module of the folder, or all files of a package."""
        spec = self.spec(name)
        if spec is None:
            return
        if spec.submodule_search_locations is None:
            yield Path(str(spec.origin))
        for root in spec.submodule_search_locations or ():
            for place, inner, files in os.walk(root):
                inner[:] = sorted(one for one in inner if one.isidentifier() and one != "__pycache__")
                yield from (Path(place, file) for file in sorted(files) if file.endswith(".py"))

    def parts(self, files: Sequence[Path], names: Sequence[str] = ()) -> list[Path]:
        """Return files together with all modules of the folder that they import, directly or indirectly."""
        found: dict[Path, None] = {}
        waiting = [*files, *(file for name in names for file in self.files(name))]
        while waiting:
            file = waiting.pop()
            if file not in found:
                found[file] = None
                waiting += [other for name in self._named(file) if self.has(name) for other in self.files(name)]
        return sorted(found)

    def _named(self, file: Path) -> Iterator[str]:
        """Yield the top-level names in a file's import statements, including those in functions."""
        upwards = len(file.relative_to(self.path).parts)  # dots of a relative import from the folder itself
        try:
            tree = ast.parse(file.read_bytes()) if file.suffix == ".py" else ast.Module([], [])
        except (SyntaxError, ValueError):  # it cannot be imported, and may not be meant to be
            return
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level in (0, upwards):
                names = [node.module] if node.module else [alias.name for alias in node.names]
                yield from (name.partition(".")[0] for name in names)


def _installed(name: str) -> ModuleSpec | None:
    """Find a module that is installed or on PYTHONPATH."""
    path = list(sys.path)
    if STARTED_IN in path:
        path.remove(STARTED_IN)
    for finder in sys.meta_path:
        if finder is not _Finder and hasattr(finder, "find_spec"):
            spec = finder.find_spec(name, path if finder is PathFinder else None)
            if spec is not None:
                return spec
    return None


class _Loader(SourceFileLoader):
    """Runs a module of a folder with its own `__import__`, always from source.

    A `__pycache__` in a folder from others may contain any code.
    """

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source; bytecode files are neither read nor written."""
        return self.source_to_code(self.get_data(self.path), self.path)

    def exec_module(self, module: ModuleType) -> None:
        folder = folders[module.__name__.partition(".")[0]]
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": folder.load_absolute}
        super().exec_module(module)


def _with_neighbours(spec: ModuleSpec) -> ModuleSpec:
    if type(spec.loader) is SourceFileLoader:
        spec.loader = _Loader(spec.loader.name, spec.loader.path)
    return spec


class _Finder:
    """Finds folders of plugin files as packages, and the modules in them."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        folder = folders.get(name.partition(".")[0])
        if folder is None:
            return None
        if name == folder.package:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [str(folder.path)]
            return spec
        found = PathFinder.find_spec(name, path)
        return found and _with_neighbours(found)


folders: dict[str, PluginFolder] = {}
sys.meta_path.insert(0, _Finder)


def new_folder(path: Path, *, alone: bool = False) -> PluginFolder:
    """Make a folder of plugin files a package."""
    folder = PluginFolder(f"{PREFIX}{len(folders) + 1}", path, alone)
    folders[folder.package] = folder
    return folder


def sources(module: str) -> list[Path]:
    """Return the file of a local plugin's module with all modules beside it that it imports; [] for other modules."""
    folder = folders.get(module.partition(".")[0])
    file = getattr(sys.modules.get(module), "__file__", None)
    return folder.parts([Path(file)]) if folder and file else []


def copied_as(path: Path) -> str:
    """Return the name of a plugin file's copy in its run: `plugins/x.py`, or `plugins/2/x.py` for a second folder."""
    number = path.parent.name
    return f"plugins/{number}/{path.name}" if number.isdecimal() else f"plugins/{path.name}"


def copy_plugins(files: Sequence[Path], target: Path) -> list[Path]:
    """Copy plugin files and the modules beside them that they import; return the copies of the plugin files.

    Files of one folder stay together: those of the first go to `target`, of the second to `target/2`, and so on.
    """
    copies = []
    places: dict[Path, Path] = {}
    for file in files:
        beside = file.resolve().parent
        place = places.setdefault(beside, target / str(len(places) + 1) if places else target)
        folder = next((one for one in reversed(folders.values()) if one.path == beside), PluginFolder("", beside))
        loaded = [name.split(".")[1] for name in list(sys.modules) if name.startswith(f"{folder.package}.")]
        parts = {part: part.relative_to(beside) for part in folder.parts([file.resolve()], loaded)}
        for part, name in {**parts, file: Path(file.name)}.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(part, place / name)
        copies.append(place / file.name)
    return copies
