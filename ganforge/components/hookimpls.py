"""Answers of plugins to hooks: looked at before pluggy takes them, called with all that a hook offers."""

import inspect
import os
from collections.abc import Iterable
from typing import Any

import pluggy
from attrs import frozen

from ganforge.components import hookspecs
from ganforge.components.api import renamed
from ganforge.data.archives import Archive
from ganforge.errors import PluginError, nearest

# Each hook with the names of its arguments.
HOOKS = {
    name: tuple(inspect.signature(spec).parameters)
    for name, spec in vars(hookspecs).items()
    if name.startswith("ganforge_")
}
# Hooks that return many of a kind, which is looked at while the plugin can still be blamed.
RETURNED: dict[str, tuple[type, ...]] = {
    "ganforge_recipes": (str, os.PathLike),
    "ganforge_archives": (Archive,),
    "ganforge_observers": (object,),
}
# The same of hooks that return one.
RETURNED_ALONE: dict[str, tuple[type, ...]] = {"ganforge_locate": (str, os.PathLike)}


@frozen
class Implementation:
    """A plugin's implementation of a hook, to be called with all of the hook's arguments."""

    implementation: pluggy.HookImpl
    hook: str

    def __call__(self, **arguments: Any) -> Any:
        """Call it; a PluginError says that what it returns is not what the hook is for."""
        result: Any = self.implementation.function(*(arguments[name] for name in self.implementation.argnames))
        alone = RETURNED_ALONE.get(self.hook)
        if result is not None and alone and not isinstance(result, alone):
            raise PluginError(f"'{self.hook}' returned {result!r}")
        if result is None or self.hook not in RETURNED:
            return result
        if not isinstance(result, Iterable):
            raise PluginError(f"'{self.hook}' ({_place(self.implementation.function)}) returned {result!r}, not a list")
        found = list(result)
        for one in found:
            if not isinstance(one, RETURNED[self.hook]):
                raise PluginError(f"'{self.hook}' returned {one!r} among others")
        return found


def check_hooks(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    """Refuse, in a line, hooks that pluggy would pass over or answer with a page.

    Raises:
        PluginError: a hook's name or argument does not exist, its mark lacks, or it is a wrapper; or the same object,
            or another one of its name, answers already.
    """
    if manager.is_registered(plugin) or manager.has_plugin(name):
        raise PluginError(f"it, or another '{name}', answers hooks already")
    for attribute in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, attribute)
        if options is None:
            _require_unmarked(plugin, attribute)
            continue
        hook, function = options.get("specname") or attribute, getattr(plugin, attribute)
        if hook not in HOOKS and (new := renamed("hook", hook, _place(function))):
            hook = new
            function.ganforge_impl["specname"] = hook  # where pluggy looks for it
        if hook not in HOOKS:
            raise PluginError(f"unknown hook '{hook}' ({_place(function)}); {nearest(hook, HOOKS)}")
        if options["wrapper"] or options["hookwrapper"]:
            # Hooks are called plugin by plugin, so that one that raises is known: a wrapper wraps nothing.
            raise PluginError(f"'{hook}' ({_place(function)}): hook wrappers are not supported")
        for argument in pluggy.HookImpl(plugin, "", function, options).argnames:
            if argument not in HOOKS[hook]:
                takes = f"takes {', '.join(HOOKS[hook]) or 'nothing'}, and no '{argument}'"
                hint = nearest(argument, HOOKS[hook])
                raise PluginError(f"'{hook}' ({_place(function)}) {takes}" + (f"; {hint}" if hint else ""))


def _require_unmarked(plugin: object, name: str) -> None:
    """Refuse a function that is named as a hook and lacks the mark of one."""
    function = inspect.getattr_static(plugin, name, None)
    if not name.startswith("ganforge_") or not inspect.isfunction(function):
        return
    if name in HOOKS:
        raise PluginError(f"'{name}' ({_place(function)}) lacks @hookimpl")
    if function.__module__ == getattr(plugin, "__name__", type(plugin).__module__):
        raise PluginError(f"'{name}' ({_place(function)}) is no hook and lacks @hookimpl; {nearest(name, HOOKS)}")


def _place(function: Any) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)
