"""What every component must keep, to be called from a plugin's own tests: `assert_sound(component)`.

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

from ganforge.components.plugins import Plugins
from ganforge.components.registry import KINDS, Component, Registry

CHECKS = "ganforge_check.checks"  # a plugin that is shipped with ganforge
_loaded: list[Plugins] = []  # of which components were returned; a check wants what else there is


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
    """Check a component against all that its kind claims.

    Args:
        component: one of those that `components_of` returned.
        slow: whether to make checks that take more than about a second, too.
        skip: names of checks that are not to be made, such as `gradcheck`.
        settings: of the component; those that a recipe must give belong here, else most checks are left out.

    Raises:
        AssertionError: it breaks a claim; the message says which, how, and what to do.
        InputError: it has no such setting.
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
    """Return the registry that a component stands in."""
    for plugins in _loaded:
        if any(one is component for one in plugins.registry.of(component.kind)):
            return plugins.registry
    raise ValueError(f"{component.qualified} is none of those that components_of returned")
