"""Finding and loading plugins: installed ones by entry point, local ones by file; a broken one takes nobody along."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from importlib.machinery import all_suffixes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy
from attrs import define, field

from ganforge.components import hookspecs
from ganforge.components.api import OWN, misfit, require_version, version
from ganforge.components.guard import brief, contained, guarded
from ganforge.components.hookimpls import Implementation, check_hooks
from ganforge.components.index import OFFER, Index
from ganforge.components.installed import Unreadable, entry_points, origin_of
from ganforge.components.plugin_folders import PluginFolder, new_folder
from ganforge.components.registry import Component, Register, Registry
from ganforge.disk import UNWRITABLE
from ganforge.errors import InputError, PluginError, RunFailedError, StoppedError, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "ganforge"
ALLOWED = "GANFORGE_PLUGINS"
REFUSED = f"--no-plugins or {ALLOWED} does not allow it"
LOCAL = "local"  # stands for the version of a plugin file
# What answers to hooks may raise: somebody asked for what they do.
ASKED: dict[str, tuple[type[Exception], ...]] = {
    "ganforge_observers": (InputError,),
    "ganforge_locate": (InputError, RunFailedError),
}
BEFORE_RUNS = ("ganforge_register", "ganforge_recipes", "ganforge_archives", "ganforge_locate", "ganforge_commands")


@define
class Plugin:
    """One plugin, loaded or not; `error` says why not."""

    name: str
    version: str
    origin: str
    module: Any = field(default=None, repr=False)
    error: str = ""
    hooks: tuple[str, ...] = ()  # that it answers, without their common prefix


class Plugins:
    """The plugins of this process, their hooks and their registry.

    `say` is told what the user should know of them. `allowed` names the installed plugins and the files that may be
    loaded beside ganforge's own ones; without it, all may. `index` knows what they offered when they were last loaded.
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
        self._entries: set[str] = set()  # that were loaded, or failed
        self._installed = False
        self.waiting = False  # to load what the index knows of until it is needed
        self._registry: Registry[Component] | None = None
        self._folders: dict[Path, PluginFolder] = {}

    def load_installed(self, only: Collection[str] | None = None) -> None:
        """Load every entry point of the group `ganforge`, or `only` those of these names, one by one; each once."""
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
        """Load installed plugins once they are asked for something, if the index knows who answers which hook."""
        self.waiting = self.index.find(OFFER) is not None
        if not self.waiting:
            self.load_installed()

    @property
    def known(self) -> dict[str, Plugin]:
        """All plugins by their names, those that failed among them."""
        if self.waiting:
            self.load_installed()
        return self._known

    def load_file(self, path: Path, *, alone: bool = False) -> None:
        """Load a local plugin file and register its components; it may import the modules beside it.

        `alone` says that it lies among a run's copies: modules beside it go before installed ones.

        Raises:
            InputError: there is no such file, or a plugin of its name is loaded already.
            PluginError: it raised while it was imported or registered its components, or answers hooks wrongly.
        """
        if not os.path.isfile(path):  # which also answers for names that no file can have
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
            raise InputError(f"plugin '{name}' of {path} is loaded already, from {earlier.origin}; rename the file")
        if path.suffix not in all_suffixes():
            raise InputError(f"{path} is not a Python file")
        registry = self.registry
        self.say(f"loads code: {path}")
        folder = self._folders.get(beside) or self._folders.setdefault(beside, new_folder(beside, alone=alone))
        self._known[name] = plugin
        try:
            with guarded():
                self._adopt(plugin, folder.load(path))
            self._register(plugin, registry)
            if not plugin.hooks:
                self.say(
                    f"warning: plugin file {path} answers no hook, such as `@hookimpl def ganforge_register(register)`"
                )
        except Exception as error:
            self._disable(plugin.module, name, error)
            cause = None if isinstance(error, PluginError) else error
            raise PluginError(f"plugin file {path} failed: {plugin.error}") from cause

    @property
    def registry(self) -> Registry[Component]:
        """All components; the plugins register them on first use, since that imports torch."""
        if self._registry is None:
            if self.waiting:
                self.load_installed()
            self._registry = Registry()
            for plugin in list(self._known.values()):
                try:
                    self._register(plugin, self._registry)
                except Exception as error:
                    self._disable(plugin.module, plugin.name, error)  # a red row in `plugins`, and no word elsewhere
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
            InputError: an observer cannot look on as it is asked to, or weights of a name cannot be had.
            RunFailedError: these cannot be loaded.
        """
        return self.ask(hook, lambda answer: answer(**arguments))

    def ask(self, hook: str, work: Callable[[Callable[..., Any]], Any]) -> Iterator[tuple[str, Any]]:
        """Do as `each`, and have `work` call each plugin's answer, which takes the hook's arguments by name.

        What `work` raises is laid at the plugin's door.
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
        """Make an observer and admit it; one that raises is left out, and said so.

        Raises:
            OSError: the disk is full or cannot be written.
            InputError: what it is asked for is wrong, or it lacks what it needs; or a ValueError of its settings.
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
        """Let an observer's methods answer hooks from now on; if they do so wrongly, it is left out, and said so."""
        try:
            with contained():
                check_hooks(self.manager, observer, name)
                self.manager.register(observer, name)
        except Exception as error:
            self.say(f"warning: observer '{name}' is disabled: {brief(error)}")

    @property
    def sound(self) -> bool:
        """Whether all installed plugins that may be loaded are, and nothing else is."""
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
        """Load the plugins that answer a hook, as the index knows; for those of runs all of them."""
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
            # Pluggy would skip the second one without a word.
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
        """Let a plugin answer hooks, if it does so rightly."""
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
        """Let one plugin register its components: all of them, or none where it fails."""
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
    """Whether the disk is at fault, not the plugin."""
    return isinstance(error, OSError) and error.errno in UNWRITABLE
