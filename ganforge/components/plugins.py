"""Find and load plugins: installed ones by entry point, local ones by file. A broken plugin does not affect others."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from importlib.machinery import all_suffixes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy
from attrs import define, field

from ganforge.components import hookspecs
from ganforge.components.api import OWN, misfit, require_version, version
from ganforge.components.component import Component
from ganforge.components.guard import brief, contained, guarded
from ganforge.components.hookimpls import Implementation, check_hooks
from ganforge.components.index import OFFER, Index
from ganforge.components.installed import Unreadable, entry_points, origin_of
from ganforge.components.plugin_folders import PluginFolder, new_folder
from ganforge.components.registry import Register, Registry
from ganforge.errors import InputError, PluginError, RunFailedError, StoppedError, nearest
from ganforge.system.disk import UNWRITABLE

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "ganforge"
ALLOWED = "GANFORGE_PLUGINS"
REFUSED = f"--no-plugins or {ALLOWED} does not allow it"
LOCAL = "local"  # the version of a plugin file
# Errors that implementations of these hooks may raise, since the user asked for what they do.
ASKED: dict[str, tuple[type[Exception], ...]] = {
    "ganforge_observers": (InputError,),
    "ganforge_locate": (InputError, RunFailedError),
}
BEFORE_RUNS = ("ganforge_register", "ganforge_recipes", "ganforge_archives", "ganforge_locate", "ganforge_commands")


@define
class Plugin:
    """A plugin, loaded or not; `error` says why not."""

    name: str
    version: str
    origin: str
    module: Any = field(default=None, repr=False)
    error: str = ""
    hooks: tuple[str, ...] = ()  # that it implements, without the prefix `ganforge_`


class Plugins:
    """The plugins of this process, their hooks and their registry.

    `say` receives messages for the user. `allowed` names the installed plugins and the files that may be loaded besides
    ganforge's own; None allows all. `index` knows what the plugins offered when they were last loaded.
    """

    def __init__(
        self,
        say: Callable[[str], None] = lambda _: None,
        allowed: Collection[str] | None = None,
        index: Index | None = None,
    ) -> None:
        self.say, self.allowed, self.index = say, allowed, index or Index()
        self.manager = pluggy.PluginManager("ganforge")
        self.manager.add_hookspecs(hookspecs)
        self._known: dict[str, Plugin] = {}
        self._entries: set[str] = set()  # entry points that were loaded, or failed
        self._installed = False
        self.waiting = False  # whether installed plugins are loaded only when needed, since the index knows them
        self._registry: Registry[Component] | None = None
        self._folders: dict[Path, PluginFolder] = {}

    def load_installed(self, only: Collection[str] | None = None) -> None:
        """Load every entry point of the group `ganforge`, or `only` those with these names; each once."""
        if self._installed:
            return
        if only is None:
            self._installed, self.waiting = True, False
        with self.index.watching():
            entries = [entry for entry in entry_points(group=GROUP) if entry.name not in self._entries]
            for entry in sorted(entries, key=lambda entry: entry.name):
                if only is None or entry.name in only:
                    self._entries.add(entry.name)
                    self._load_entry(entry)

    def load_when_needed(self) -> None:
        """Load installed plugins on first use if the index knows which hooks they implement, else now."""
        self.waiting = self.index.find(OFFER) is not None
        if not self.waiting:
            self.load_installed()

    @property
    def known(self) -> dict[str, Plugin]:
        """All plugins by name, including those that failed."""
        if self.waiting:
            self.load_installed()
        return self._known

    def load_file(self, path: Path, *, alone: bool = False) -> None:
        """Load a local plugin file and register its components; it may import the modules beside it.

        `alone` says that it is one of a run's copies: modules beside it take precedence over installed ones.

        Raises:
            InputError: the file does not exist, or a plugin of its name is already loaded.
            PluginError: it raised on import or while registering components, or implements hooks wrongly.
        """
        if not os.path.isfile(path):  # also False for names that no file can have
            hint = nearest(path.name, (other.name for other in path.parent.glob("*.py")))
            raise InputError(f"no plugin file '{path}'" + (f"; {hint}" if hint else ""))
        if self.allowed is not None and path.resolve() not in map(Path.resolve, map(Path, self.allowed)):
            raise InputError(f"plugin file {path} is not loaded: --no-plugins or {ALLOWED} does not allow it")
        name, beside = path.stem, path.resolve().parent
        plugin = Plugin(name, LOCAL, str(path.resolve()))
        if earlier := self.known.get(name):
            if earlier.origin == plugin.origin and not earlier.error:
                return
            if earlier.origin == plugin.origin:
                raise PluginError(f"plugin file {path} failed: {earlier.error}")
            raise InputError(f"plugin '{name}' of {path} is already loaded from {earlier.origin}; rename the file")
        if path.suffix not in all_suffixes():
            raise InputError(f"{path} is not a Python file")
        registry = self.registry
        self.say(f"loading code: {path}")
        folder = self._folders.get(beside) or self._folders.setdefault(beside, new_folder(beside, alone=alone))
        self._known[name] = plugin
        try:
            with guarded():
                self._adopt(plugin, folder.load(path))
            self._register(plugin, registry)
            if not plugin.hooks:
                self.say(
                    f"warning: plugin file {path} implements no hook, such as "
                    "`@hookimpl def ganforge_register(register)`"
                )
        except Exception as error:
            self._disable(plugin.module, name, error)
            cause = None if isinstance(error, PluginError) else error
            raise PluginError(f"plugin file {path} failed: {plugin.error}") from cause

    @property
    def registry(self) -> Registry[Component]:
        """All components; plugins register them on first use, since that imports torch."""
        if self._registry is None:
            if self.waiting:
                self.load_installed()
            self._registry = Registry()
            for plugin in list(self._known.values()):
                try:
                    self._register(plugin, self._registry)
                except Exception as error:
                    self._disable(plugin.module, plugin.name, error)  # only `ganforge plugins` shows it
        return self._registry

    def recipes(self) -> dict[str, Path]:
        """Return the shipped recipes by name; if several plugins ship one of the same name, by `plugin/name`."""
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
        """Call a hook plugin by plugin and yield (plugin, result); a plugin that raises is disabled.

        Raises:
            OSError: the disk is full or not writable.
            InputError: an observer's request is invalid, or named weights do not exist.
            RunFailedError: named weights cannot be loaded.
        """
        return self.ask(hook, lambda answer: answer(**arguments))

    def ask(self, hook: str, work: Callable[[Callable[..., Any]], Any]) -> Iterator[tuple[str, Any]]:
        """Like `each`, but let `work` call each implementation, which takes the hook's arguments by name.

        Errors that `work` raises count as errors of the plugin.
        """
        if self.waiting:
            self._load_those_who_answer(hook)
        for implementation in reversed(self.manager.hook.__dict__[hook].get_hookimpls()):
            try:
                with guarded() if hook in BEFORE_RUNS else contained():
                    result = work(Implementation(implementation, hook))
            except Exception as error:
                asked = isinstance(error, ASKED.get(hook, ()))
                if asked or _is_of_disk(error) or isinstance(error, StoppedError):
                    raise
                self._disable(implementation.plugin, implementation.plugin_name, error)
                self.say(f"warning: plugin '{implementation.plugin_name}' is disabled: {brief(error)}")
                continue
            if result is not None:
                yield implementation.plugin_name, result

    def attach(self, name: str, make: Callable[[], object]) -> None:
        """Make an observer and admit it; if it raises, leave it out and warn.

        Raises:
            OSError: the disk is full or not writable.
            InputError: its settings are wrong, or it lacks something that it needs.
            ValueError: its settings are wrong.
        """
        try:
            with contained():
                observer = make()
        except Exception as error:
            if isinstance(error, InputError | ValueError) or _is_of_disk(error):
                raise
            self.say(f"warning: observer '{name}' is disabled: {brief(error)}")
        else:
            self.admit(name, observer)

    def admit(self, name: str, observer: object) -> None:
        """Register an observer's methods as hook implementations; if they are wrong, leave it out and warn."""
        try:
            with contained():
                check_hooks(self.manager, observer, name)
                self.manager.register(observer, name)
        except Exception as error:
            self.say(f"warning: observer '{name}' is disabled: {brief(error)}")

    @property
    def sound(self) -> bool:
        """Whether all allowed installed plugins are loaded without errors, and no plugin files."""
        rows = self._known.values()
        return self._installed and all(row.version != LOCAL and row.error in ("", REFUSED) for row in rows)

    @staticmethod
    def version() -> str:
        """Return ganforge's own version."""
        return version(OWN)

    def foreign(self) -> list[Plugin]:
        """Loaded plugins that ganforge does not ship."""
        return [plugin for plugin in self.known.values() if plugin.module is not None and plugin.origin != OWN]

    def failures(self) -> Iterable[Plugin]:
        """Plugins that could not be loaded or were disabled."""
        return [plugin for plugin in self.known.values() if plugin.error]

    def _load_those_who_answer(self, hook: str) -> None:
        """Load the plugins that implement a hook according to the index; for hooks of runs, all plugins."""
        kept = self.index.find(OFFER) if hook in BEFORE_RUNS else None
        name = hook.removeprefix("ganforge_")
        self.load_installed(None if kept is None else [one["name"] for one in kept["plugins"] if name in one["hooks"]])

    def _load_entry(self, entry: "EntryPoint | Unreadable") -> None:
        plugin = Plugin(entry.name, "", entry.value)
        try:
            plugin.origin, plugin.version = origin_of(entry)
        except PluginError as error:
            plugin.error = brief(error)
        if earlier := self._known.get(entry.name):
            # Pluggy would skip the second one silently.
            plugin.error = f"'{entry.name}' is taken: {earlier.origin} claims the same entry point"
            self._known[f"{entry.name} ({plugin.origin})"] = plugin
            return
        self._known[entry.name] = plugin
        if self.allowed is not None and plugin.origin != OWN and entry.name not in self.allowed:
            plugin.error = REFUSED
        if plugin.error:
            return
        try:
            if plugin.origin != OWN:
                require_version(entry.dist)
            with guarded():
                self._adopt(plugin, entry.load())
        except Exception as error:
            plugin.error = brief(error)

    def _adopt(self, plugin: Plugin, module: Any) -> None:
        """Check a plugin's hook implementations and register them."""
        if misfitting := misfit(module):
            self.say(f"warning: plugin '{plugin.name}': {misfitting}")
        check_hooks(self.manager, module, plugin.name)
        try:
            self.manager.register(module, plugin.name)
        except Exception:
            self._forget(module)
            raise
        plugin.module = module
        plugin.hooks = tuple(sorted(one.name.removeprefix("ganforge_") for one in self._answered(module)))

    def _answered(self, module: object) -> Iterable[pluggy.HookCaller]:
        return self.manager.get_hookcallers(module) or ()

    def _register(self, plugin: Plugin, registry: Registry[Component]) -> None:
        """Let one plugin register its components: all of them, or none if it fails."""
        register = Register(plugin.name)
        with guarded():
            for implementation in self.manager.hook.ganforge_register.get_hookimpls():
                if implementation.plugin is plugin.module:
                    Implementation(implementation, "ganforge_register")(register=register)
        registry.add(register.components.values())

    def _disable(self, module: object, name: str, error: Exception) -> None:
        self._forget(module)
        if name in self._known:
            self._known[name].error = brief(error)
            self._known[name].module = None
            self._known[name].hooks = ()

    def _forget(self, module: object) -> None:
        if self.manager.is_registered(module):
            self.manager.unregister(module)


def _is_of_disk(error: Exception) -> bool:
    """Return whether the disk is at fault, not the plugin."""
    return isinstance(error, OSError) and error.errno in UNWRITABLE
