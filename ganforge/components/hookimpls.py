"""Hook implementations of plugins: checked before pluggy registers them, called with all of a hook's arguments."""

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

# The argument names of each hook.
HOOKS = {
    name: tuple(inspect.signature(spec).parameters)
    for name, spec in vars(hookspecs).items()
    if name.startswith("ganforge_")
}
# Hooks that return an iterable, with the types of its items: checked here, so that errors name the plugin.
RETURNED: dict[str, tuple[type, ...]] = {
    "ganforge_recipes": (str, os.PathLike),
    "ganforge_archives": (Archive,),
    "ganforge_observers": (object,),
}
# Hooks that return one object, with its types.
RETURNED_ALONE: dict[str, tuple[type, ...]] = {"ganforge_locate": (str, os.PathLike)}


@frozen
class Implementation:
    """A plugin's implementation of a hook; call it with all of the hook's arguments."""

    implementation: pluggy.HookImpl
    hook: str

    def __call__(self, **arguments: Any) -> Any:
        """Call the implementation; raise a PluginError if it returns an object of a wrong type."""
        result: Any = self.implementation.function(*(arguments[name] for name in self.implementation.argnames))
        alone = RETURNED_ALONE.get(self.hook)
        if result is not None and alone and not isinstance(result, alone):
            raise PluginError(f"'{self.hook}' returned {result!r}, expected a path or None")
        if result is None or self.hook not in RETURNED:
            return result
        if not isinstance(result, Iterable):
            raise PluginError(f"'{self.hook}' ({_place(self.implementation.function)}) returned {result!r}, not a list")
        found = list(result)
        for one in found:
            if not isinstance(one, RETURNED[self.hook]):
                expected = " or ".join(kind.__name__ for kind in RETURNED[self.hook])
                raise PluginError(f"'{self.hook}' returned a list with {one!r}, expected {expected}")
        return found


def check_hooks(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    """Refuse hooks that pluggy would ignore, or reject with a long traceback.

    Raises:
        PluginError: a hook or argument does not exist, a hook is not marked with `hookimpl` or is a wrapper, or the
            object, or one of its name, is registered already.
    """
    if manager.is_registered(plugin) or manager.has_plugin(name):
        raise PluginError(f"it, or another plugin named '{name}', is already registered")
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
            # Hooks are called plugin by plugin, so that errors name the plugin: a wrapper would wrap nothing.
            raise PluginError(f"'{hook}' ({_place(function)}): hook wrappers are not supported")
        for argument in pluggy.HookImpl(plugin, "", function, options).argnames:
            if argument not in HOOKS[hook]:
                takes = f"takes {', '.join(HOOKS[hook]) or 'no arguments'}, not '{argument}'"
                hint = nearest(argument, HOOKS[hook])
                raise PluginError(f"'{hook}' ({_place(function)}) {takes}" + (f"; {hint}" if hint else ""))


def _require_unmarked(plugin: object, name: str) -> None:
    """Refuse a function that is named like a hook but not marked with `hookimpl`."""
    function = inspect.getattr_static(plugin, name, None)
    if not name.startswith("ganforge_") or not inspect.isfunction(function):
        return
    if name in HOOKS:
        raise PluginError(f"'{name}' ({_place(function)}) lacks @hookimpl")
    if function.__module__ == getattr(plugin, "__name__", type(plugin).__module__):
        raise PluginError(f"'{name}' ({_place(function)}) is not a hook and lacks @hookimpl; {nearest(name, HOOKS)}")


def _place(function: Any) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)
