"""Checks of a component for a plugin's own tests: `assert_sound(component)`.

from ganforge.testing import components_of, assert_sound

@pytest.mark.parametrize("component", components_of("my_plugin"), ids=str)
def test_my_components_are_sound(component):
    assert_sound(component)

These are the checks of `ganforge check`.
"""

from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import Any

from ganforge.components.component import KINDS, Component
from ganforge.components.plugins import Plugins
from ganforge.components.registry import Registry

CHECKS = "ganforge_check.checks"  # a plugin shipped with ganforge
_loaded: list[Plugins] = []  # of the components that were returned: checks need the registry beside them


def components_of(plugin: str | Path | None = None) -> list[Component]:
    """Return all components of an installed plugin, of a plugin file, or of every installed plugin."""
    plugins = Plugins()
    plugins.load_installed()
    name = plugin
    if isinstance(plugin, Path):
        name = plugin.stem
        plugins.load_file(plugin)
    found = [component for kind in KINDS for component in plugins.registry.of(kind)]
    failed = [one for one in plugins.failures() if name in (None, one.name)]
    assert not failed, f"plugin '{failed[0].name}' failed: {failed[0].error}"
    _loaded.append(plugins)
    return [component for component in found if name in (None, component.plugin)]


def assert_sound(component: Component, *, slow: bool = False, skip: Collection[str] = (), **settings: Any) -> None:
    """Check that a component keeps the contract of its kind.

    Args:
        component: one that `components_of` returned.
        slow: also run checks that take more than about a second.
        skip: names of checks to skip, such as `gradcheck`.
        settings: settings of the component. Without those that have no default, most checks are skipped.

    Raises:
        AssertionError: a check failed; the message says which, how, and what to do.
        InputError: the component has no such setting.
    """
    checks: Any = import_module(CHECKS)
    subject = checks.subject_of(component, _registry_of(component), settings)
    outcomes = checks.examine(subject, slow=slow, skip=skip)
    name = f"{component.kind} '{component.qualified}'"
    lines = [
        f"{finding.place}: {name}: {outcome.check.name}: {finding.problem}; {finding.fix}"
        for outcome in outcomes
        for finding in outcome.findings
    ]
    assert not lines, "\n".join(lines)


def _registry_of(component: Component) -> Registry[Component]:
    """Return the registry that contains a component."""
    for plugins in _loaded:
        if any(one is component for one in plugins.registry.of(component.kind)):
            return plugins.registry
    raise ValueError(f"{component.qualified} was not returned by components_of")
