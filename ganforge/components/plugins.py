"""Finding and loading plugins: installed ones by entry point, local ones by file; a broken one takes nobody along."""

import importlib.util
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
from attrs import define, field

from ganforge.components import hookspecs
from ganforge.components.registry import Register, Registry
from ganforge.disk import UNWRITABLE
from ganforge.errors import InputError, PluginError, nearest

GROUP = "ganforge"
OWN = "ganforge"  # the distribution that ganforge and what it ships come in
ALLOWED = "GANFORGE_PLUGINS"


@define
class Plugin:
    """One plugin, loaded or not; `error` says why not."""

    name: str
    version: str
    origin: str
    module: Any = field(default=None, repr=False)
    error: str = ""

    @property
    def hooks(self) -> tuple[str, ...]:
        """The hooks that it answers, without their common prefix."""
        names = [name for name in dir(hookspecs) if name.startswith("ganforge_")]
        return tuple(name.removeprefix("ganforge_") for name in names if hasattr(self.module, name))


class Plugins:
    """The plugins of this process, their hooks and their registry.

    `say` is told what the user should know of them. `allowed` names the installed plugins and the files that may be
    loaded beside ganforge's own ones; without it, all may.
    """

    def __init__(self, say: Callable[[str], None] = lambda _: None, allowed: Collection[str] | None = None) -> None:
        self.say, self._allowed = say, allowed
        self.manager = pluggy.PluginManager("ganforge")
        self.manager.add_hookspecs(hookspecs)
        self.known: dict[str, Plugin] = {}
        self._registry: Registry | None = None

    def load_installed(self) -> None:
        """Load every entry point of the group `ganforge`, one by one."""
        for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
            self._load_entry(entry)

    def load_file(self, path: Path) -> None:
        """Load a local plugin file.

        Raises:
            InputError: there is no such file, or a plugin of its name is loaded already.
            PluginError: it raised while it was imported, or answers hooks wrongly.
        """
        if not path.is_file():
            hint = nearest(path.name, (other.name for other in path.parent.glob("*.py")))
            raise InputError(f"no plugin file '{path}'" + (f"; {hint}" if hint else ""))
        if self._allowed is not None and path.resolve() not in map(Path.resolve, map(Path, self._allowed)):
            raise InputError(f"plugin file {path} is not loaded: --no-plugins or {ALLOWED} does not allow it")
        name = path.stem
        plugin = Plugin(name, "local", str(path.resolve()))
        if earlier := self.known.get(name):
            if earlier.origin == plugin.origin:
                return
            raise InputError(f"plugin '{name}' of {path} is loaded already, from {earlier.origin}; rename the file")
        spec = importlib.util.spec_from_file_location(f"ganforge_local_{name}", path)
        if spec is None or spec.loader is None:
            raise InputError(f"{path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        self.say(f"loads code: {path}")
        try:
            spec.loader.exec_module(module)
            self._adopt(plugin, module)
        except Exception as error:
            raise PluginError(f"plugin file {path} failed: {brief(error)}") from error
        self.known[name] = plugin
        if self._registry is not None:
            self._register(plugin, self._registry)
            if plugin.error:
                raise PluginError(f"plugin file {path} failed: {plugin.error}")

    @property
    def registry(self) -> Registry:
        """All components; the plugins register them on first use, since that imports torch."""
        if self._registry is None:
            self._registry = Registry()
            for plugin in self.known.values():
                self._register(plugin, self._registry)
        return self._registry

    def recipes(self) -> dict[str, Path]:
        """Return the shipped recipes by name; two of one name are told apart as `plugin/name`."""
        found: dict[str, list[tuple[str, Path]]] = {}
        for name, paths in self.each("ganforge_recipes"):
            for path in map(Path, paths):
                if path.is_file():
                    found.setdefault(path.stem, []).append((name, path))
        return {
            stem if len(places) == 1 else f"{name}/{stem}": path
            for stem, places in sorted(found.items())
            for name, path in places
        }

    def each(self, hook: str, **arguments: Any) -> Iterator[tuple[str, Any]]:
        """Call one hook plugin by plugin and yield (plugin, result); one that raises is disabled and remembered.

        Raises:
            OSError: the disk is full or cannot be written.
            InputError: an observer cannot look on as it is asked to.
        """
        for implementation in reversed(self.manager.hook.__dict__[hook].get_hookimpls()):
            try:
                result = implementation.function(*(arguments[name] for name in implementation.argnames))
            except Exception as error:
                if _is_of_disk(error) or (isinstance(error, InputError) and hook == "ganforge_observers"):
                    raise
                self._disable(implementation.plugin, implementation.plugin_name, error)
                self.say(f"warning: plugin '{implementation.plugin_name}' is disabled: {brief(error)}")
                continue
            if result is not None:
                yield implementation.plugin_name, result

    def attach(self, name: str, make: Callable[[], object]) -> None:
        """Make an observer, whose methods answer hooks from then on; one that raises is left out, and said so.

        Raises:
            OSError: the disk is full or cannot be written.
            InputError: what it is asked for is wrong, or it lacks what it needs; or a ValueError of its settings.
        """
        observer: object = None
        try:
            observer = make()
            self.manager.register(observer, name)
        except Exception as error:
            if isinstance(error, InputError | ValueError) or _is_of_disk(error):
                raise
            if self.manager.is_registered(observer):
                self.manager.unregister(observer)
            self.say(f"warning: observer '{name}' is disabled: {brief(error)}")

    @staticmethod
    def version() -> str:
        """Return ganforge's own version."""
        return version("ganforge")

    def foreign(self) -> list[Plugin]:
        """Loaded plugins that ganforge does not ship."""
        return [plugin for plugin in self.known.values() if plugin.module is not None and plugin.origin != OWN]

    def failures(self) -> Iterable[Plugin]:
        """Plugins that could not be loaded or were disabled."""
        return [plugin for plugin in self.known.values() if plugin.error]

    def _load_entry(self, entry: EntryPoint) -> None:
        origin = entry.dist.name if entry.dist else entry.value
        plugin = Plugin(entry.name, entry.dist.version if entry.dist else "", origin)
        if earlier := self.known.get(entry.name):
            # Pluggy would skip the second one without a word.
            plugin.error = f"'{entry.name}' is taken: {earlier.origin} claims the same entry point"
            self.known[f"{entry.name} ({origin})"] = plugin
            return
        self.known[entry.name] = plugin
        if self._allowed is not None and origin != OWN and entry.name not in self._allowed:
            plugin.error = f"--no-plugins or {ALLOWED} does not allow it"
            return
        try:
            self._adopt(plugin, entry.load())
        except Exception as error:
            plugin.error = brief(error)

    def _adopt(self, plugin: Plugin, module: ModuleType) -> None:
        """Register what a plugin answers, if it does so rightly."""
        self.manager.register(module, plugin.name)
        try:
            self.manager.check_pending()
            for caller in self.manager.get_hookcallers(module) or ():
                for implementation in caller.get_hookimpls():
                    # Hooks are called plugin by plugin, so that one that raises is known: a wrapper wraps nothing.
                    if implementation.plugin is module and (implementation.wrapper or implementation.hookwrapper):
                        raise PluginError(f"'{caller.name}': hook wrappers are not supported")
        except (pluggy.PluginValidationError, PluginError):
            self.manager.unregister(module)
            raise
        plugin.module = module

    def _register(self, plugin: Plugin, registry: Registry) -> None:
        """Let one plugin register its components: all of them, or none where it fails."""
        register = Register(plugin.name)
        try:
            for implementation in self.manager.hook.ganforge_register.get_hookimpls():
                if implementation.plugin is plugin.module:
                    implementation.function(register)
        except Exception as error:
            self._disable(plugin.module, plugin.name, error)  # a red row in `plugins`, and no word elsewhere
        else:
            registry.add(register)

    def _disable(self, module: object, name: str, error: Exception) -> None:
        self.manager.unregister(module)
        if name in self.known:
            self.known[name].error = brief(error)
            self.known[name].module = None


def _is_of_disk(error: Exception) -> bool:
    """Whether the disk is at fault, not the plugin."""
    return isinstance(error, OSError) and error.errno in UNWRITABLE


def brief(error: BaseException) -> str:
    """Describe an exception in one line, with the place in the plugin where it arose."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}".replace("\n", " ")
