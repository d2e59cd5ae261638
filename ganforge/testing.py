"""What every component must keep, to be called from a plugin's own tests: `assert_sound(component)`.

from ganforge.testing import components_of, assert_sound

@pytest.mark.parametrize("component", components_of("my_plugin"), ids=str)
def test_my_components_are_sound(component):
    assert_sound(component)
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from attrs import NOTHING
from torch import Tensor, nn

from ganforge.components import hookspecs
from ganforge.components.coupling import Coupling
from ganforge.components.plugins import Plugins
from ganforge.components.registry import KINDS, Component
from ganforge.components.settings import Setting, plain, structure
from ganforge.data.dataset import Shape
from ganforge.errors import InputError, nearest
from ganforge.recipe.resolve import misfits

HOOKS = [name for name in dir(hookspecs) if name.startswith("ganforge_")]
TENSORS = (
    *("source", "real", "fake", "reconstructed", "identity", "shown", "shown_real"),
    *("real_score", "fake_score", "real_features", "fake_features"),
)
Settings = dict[str, Any]
SHAPES = ((3, 64, 64), (1, 32, 64), (2,))  # what networks are tried on, each alike on both sides
MORE = (((8,), (3, 32, 32)), ((3, 256, 256), (3, 256, 256)))  # source and target for those that take none of them


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
    return [component for component in found if name in (None, component.plugin)]


def assert_sound(component: Component) -> None:
    """Check a component against the rules of its kind that can be tested without data.

    An AssertionError says which rule it breaks.
    """
    assert component.summary, f"{component.qualified} has no docstring: its first line is what `ganforge list` shows"
    settings = component.signature.settings
    for setting in settings.values():
        _assert_default(component, setting)
    defaults = {name: setting.default for name, setting in settings.items()}
    # What is made here and has required settings must be tested by its author.
    if component.kind in CHECKS and (NOTHING not in defaults.values() or component.kind in ("optimizer", "observer")):
        CHECKS[component.kind](component, defaults)


def _assert_default(component: Component, setting: Setting) -> None:
    """A default passes through a locked recipe unchanged."""
    if setting.default is NOTHING or setting.default is None:
        return
    problems: list[str] = []
    read = structure(plain(setting.default), setting, (setting.name,), lambda _, message, __: problems.append(message))
    assert not problems, f"{component.qualified}: the default of '{setting.name}': {problems[0]}"
    assert read == setting.default, f"{component.qualified}: the default of '{setting.name}' is read back as {read}"


def _networks(component: Component, settings: Settings) -> Iterator[tuple[Shape, Shape, nn.Module]]:
    """Yield source, target and a network for each pair that is not refused with a ValueError; it must take one."""
    fits = 0
    for source, target in (*((shape, shape) for shape in SHAPES), *MORE):
        if fits and (source, target) in MORE:
            return
        offered = {"shape": target, "source_shape": source, "target_shape": target, "target_mean": torch.zeros(target)}
        try:
            network = component.factory(*(offered[name] for name in component.signature.given), **settings)
        except (ValueError, InputError):
            continue
        assert isinstance(network, nn.Module), f"{component.qualified} makes no torch.nn.Module"
        fits += 1
        yield source, target, network
    assert fits, f"{component.qualified} takes none of the shapes {SHAPES} and {MORE}"


def _assert_generator(component: Component, settings: Settings) -> None:
    for source, target, network in _networks(component, settings):
        made = network(torch.rand(2, *source))
        assert made.shape == (2, *target), f"{component.qualified} makes {list(made.shape)} of {[2, *source]}"
        assert torch.isfinite(made).all(), f"{component.qualified} makes numbers that are not finite"


def _assert_discriminator(component: Component, settings: Settings) -> None:
    for _, shape, network in _networks(component, settings):
        score, features = network(torch.rand(2, *shape))
        scores = score if isinstance(score, list | tuple) else [score]
        assert all(len(one) == 2 for one in scores), f"{component.qualified}: one score, or one map, for each sample"
        assert isinstance(features, tuple | list), f"{component.qualified}: features are a tuple"


def _assert_loss(component: Component, settings: Settings) -> None:
    """For each player, a finite scalar, also of extreme scores, with a finite gradient for what it judges."""
    made: Any = component.factory
    for player, asked in component.asks().items():
        if not all(name in TENSORS for name in asked):  # a network, or a value that another plugin makes
            continue
        for scale in (1.0, 1e3):
            leaves = {name: _tensors(name, scale) for name in asked}
            values = {name: found if name.endswith("features") else found[0] for name, found in leaves.items()}
            if isinstance(made, type):
                value = getattr(made(**settings), component.method(player) or "")(**values)
            else:
                value = made(**values, **settings)
            assert isinstance(value, Tensor), f"{component.qualified} must return a tensor"
            assert value.ndim == 0, f"{component.qualified} must return a scalar, not {list(value.shape)}"
            assert torch.isfinite(value), f"{component.qualified} is {float(value.detach())} for scores of {scale:g}"
            value.backward()  # type: ignore[no-untyped-call]
            gradients = [leaf.grad for found in leaves.values() for leaf in found if leaf.grad is not None]
            finite = all(gradient.isfinite().all() for gradient in gradients)
            assert finite, f"{component.qualified}: the gradient is not finite"


def _tensors(name: str, scale: float) -> tuple[Tensor, ...]:
    """Stand in for one of a view's values: features are several tensors, all others one."""
    generator = torch.Generator().manual_seed(len(name))
    if name.endswith("score"):
        return ((torch.randn(4, 1, generator=generator) * scale).requires_grad_(),)
    if name.endswith("features"):
        return tuple(torch.randn(4, width, generator=generator).requires_grad_() for width in (8, 16))
    return (torch.rand(4, 3, 8, 8, generator=generator).requires_grad_(),)


def _assert_coupling(component: Component, settings: Settings) -> None:
    coupling = component.factory(**settings)
    assert isinstance(coupling, Coupling), f"{component.qualified} is not derived from ganforge.Coupling"
    problems = list(misfits(coupling))
    assert not problems, f"{component.qualified}: {problems[0]}"


def _assert_optimizer(component: Component, settings: Settings) -> None:
    """One step on a parabola goes downhill."""
    if "lr" not in settings:
        return
    parameter = nn.Parameter(torch.tensor([1.0]))
    optimizer = component.factory([parameter], **{**settings, "lr": 0.1})
    assert isinstance(optimizer, torch.optim.Optimizer), f"{component.qualified} makes no torch optimizer"
    parameter.square().sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert float(parameter.detach().abs()) < 1, f"{component.qualified} steps uphill"


def _assert_observer(component: Component, settings: Settings) -> None:
    """A class answers hooks, and only those that there are; what a function returns is seen in a run alone."""
    if not isinstance(component.factory, type):
        return
    marked = [name for name in dir(component.factory) if hasattr(getattr(component.factory, name), "ganforge_impl")]
    assert marked, f"{component.qualified} answers no hook: mark its methods with ganforge.hookimpl"
    unknown = [name for name in marked if name not in HOOKS]
    assert not unknown, f"{component.qualified} answers '{unknown[0]}', which is no hook; {nearest(unknown[0], HOOKS)}"


CHECKS: dict[str, Callable[[Component, Settings], None]] = {
    "generator": _assert_generator,
    "discriminator": _assert_discriminator,
    "loss": _assert_loss,
    "coupling": _assert_coupling,
    "optimizer": _assert_optimizer,
    "observer": _assert_observer,
}
