"""What every component must keep, to be called from a plugin's own tests: `assert_sound(component)`.

from ganforge.testing import components_of, assert_sound

@pytest.mark.parametrize("component", components_of("my_plugin"), ids=str)
def test_my_components_are_sound(component):
    assert_sound(component)
"""

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
from ganforge.errors import InputError, nearest

HOOKS = [name for name in dir(hookspecs) if name.startswith("ganforge_")]
TENSORS = (
    *("source", "real", "fake", "reconstructed", "identity", "shown", "shown_real"),
    *("real_score", "fake_score", "real_features", "fake_features"),
)
SHAPES = ((3, 64, 64), (1, 32, 64), (2,))


def components_of(plugin: str | Path | None = None) -> list[Component]:
    """Return all components of an installed plugin, of a plugin file, or of every installed plugin."""
    plugins = Plugins()
    plugins.load_installed()
    name = plugin.stem if isinstance(plugin, Path) else plugin
    if isinstance(plugin, Path):
        plugins.load_file(plugin)
    found = [component for kind in KINDS for component in plugins.registry.of(kind)]
    failed = [one for one in plugins.failures() if name in (None, one.name)]
    assert not failed, f"plugin '{failed[0].name}' failed: {failed[0].error}"
    return [component for component in found if name in (None, component.plugin)]


def assert_sound(component: Component) -> None:
    """Check a component against the rules of its kind, as far as that is possible without data.

    Raises:
        AssertionError: it breaks one.
    """
    assert component.summary, f"{component.qualified} has no docstring: its first line is what `ganforge list` shows"
    for setting in component.signature.settings.values():
        _assert_default(component, setting)
    if component.kind == "generator":
        _assert_generator(component)
    elif component.kind == "discriminator":
        _assert_discriminator(component)
    elif component.kind == "loss":
        _assert_loss(component)
    elif component.kind == "coupling":
        _assert_coupling(component)
    elif component.kind == "optimizer":
        _assert_optimizer(component)
    elif component.kind == "observer":
        _assert_observer(component)


def _assert_default(component: Component, setting: Setting) -> None:
    """A default passes through a locked recipe unchanged."""
    if setting.default is NOTHING or setting.default is None:
        return
    problems: list[str] = []
    read = structure(plain(setting.default), setting, (setting.name,), lambda _, message, __: problems.append(message))
    assert not problems, f"{component.qualified}: the default of '{setting.name}': {problems[0]}"
    assert read == setting.default, f"{component.qualified}: the default of '{setting.name}' is read back as {read}"


def _settings(component: Component) -> dict[str, Any]:
    """Return the defaults; a component with required settings must be tested by its author."""
    return {name: setting.default for name, setting in component.signature.settings.items()}


def _has_defaults(component: Component) -> bool:
    return all(setting.default is not NOTHING for setting in component.signature.settings.values())


def _make_network(component: Component, **given: Any) -> nn.Module | None:
    """Make a network for a shape; None where it says, with a ValueError, that it is not for this shape."""
    try:
        network = component.factory(*(given[name] for name in component.signature.given), **_settings(component))
    except (ValueError, InputError):
        return None
    assert isinstance(network, nn.Module), f"{component.qualified} makes no torch.nn.Module"
    return network


def _assert_generator(component: Component) -> None:
    if not _has_defaults(component):
        return
    fits = 0
    for shape in SHAPES:
        network = _make_network(component, source_shape=shape, target_shape=shape, target_mean=torch.zeros(shape))
        if network is None:
            continue
        fits += 1
        made = network(torch.rand(2, *shape))
        assert made.shape == (2, *shape), f"{component.qualified} makes {list(made.shape)} of {[2, *shape]}"
        assert torch.isfinite(made).all(), f"{component.qualified} makes numbers that are not finite"
    assert fits, f"{component.qualified} takes none of the shapes {SHAPES}"


def _assert_discriminator(component: Component) -> None:
    if not _has_defaults(component):
        return
    fits = 0
    for shape in SHAPES:
        network = _make_network(component, shape=shape)
        if network is None:
            continue
        fits += 1
        score, features = network(torch.rand(2, *shape))
        scores = score if isinstance(score, list | tuple) else [score]
        assert all(len(one) == 2 for one in scores), f"{component.qualified}: one score, or one map, for each sample"
        assert isinstance(features, tuple | list), f"{component.qualified}: features are a tuple"
    assert fits, f"{component.qualified} takes none of the shapes {SHAPES}"


def _assert_loss(component: Component) -> None:
    """For each player, a finite scalar, also of extreme scores, with a finite gradient for what it judges."""
    if not _has_defaults(component):
        return
    for player, asked in component.asks().items():
        if not all(name in TENSORS for name in asked):  # a network, or a value that another plugin makes
            continue
        for scale in (1.0, 1e3):
            tensors = {name: _tensor(name, scale) for name in asked}
            made: Any = component.factory
            if isinstance(made, type):
                value = getattr(made(**_settings(component)), component.method(player) or "")(**tensors)
            else:
                value = made(**tensors, **_settings(component))
            assert isinstance(value, Tensor), f"{component.qualified} must return a tensor"
            assert value.ndim == 0, f"{component.qualified} must return a scalar, not {list(value.shape)}"
            assert torch.isfinite(value), f"{component.qualified} is {float(value.detach())} for scores of {scale:g}"
            value.backward()  # type: ignore[no-untyped-call]
            for tensor in (
                leaf for group in tensors.values() for leaf in (group if isinstance(group, tuple) else (group,))
            ):
                if tensor.grad is not None:
                    assert torch.isfinite(tensor.grad).all(), f"{component.qualified}: the gradient is not finite"


def _tensor(name: str, scale: float) -> Tensor | tuple[Tensor, ...]:
    """Stand in for one of a view's tensors."""
    generator = torch.Generator().manual_seed(len(name))
    if name.endswith("score"):
        return (torch.randn(4, 1, generator=generator) * scale).requires_grad_()
    if name.endswith("features"):
        return tuple(torch.randn(4, width, generator=generator).requires_grad_() for width in (8, 16))
    return torch.rand(4, 3, 8, 8, generator=generator).requires_grad_()


def _assert_coupling(component: Component) -> None:
    if not _has_defaults(component):
        return
    coupling = component.factory(**_settings(component))
    assert isinstance(coupling, Coupling), f"{component.qualified} is not derived from ganforge.Coupling"
    names = [network.name for network in coupling.networks]
    assert len(set(names)) == len(names), f"{component.qualified} names a network twice"
    for view in coupling.views:
        unknown = set(view.networks.values()) - set(names)
        assert not unknown, f"{component.qualified}: the view {view.name} has networks that there are not: {unknown}"
    for network in coupling.networks:
        players = (*coupling.players, None)
        assert network.player in players, f"{component.qualified}: {network.name} has the player '{network.player}'"


def _assert_optimizer(component: Component) -> None:
    """One step on a parabola goes downhill."""
    if "lr" not in component.signature.settings:
        return
    parameter = nn.Parameter(torch.tensor([1.0]))
    optimizer = component.factory([parameter], **{**_settings(component), "lr": 0.1})
    assert isinstance(optimizer, torch.optim.Optimizer), f"{component.qualified} makes no torch optimizer"
    parameter.square().sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert float(parameter.detach().abs()) < 1, f"{component.qualified} steps uphill"


def _assert_observer(component: Component) -> None:
    """A class answers hooks, and only those that there are; what a function returns is seen in a run alone."""
    if not isinstance(component.factory, type):
        return
    marked = [name for name in dir(component.factory) if hasattr(getattr(component.factory, name), "ganforge_impl")]
    assert marked, f"{component.qualified} answers no hook: mark its methods with ganforge.hookimpl"
    unknown = [name for name in marked if name not in HOOKS]
    assert not unknown, f"{component.qualified} answers '{unknown[0]}', which is no hook; {nearest(unknown[0], HOOKS)}"
