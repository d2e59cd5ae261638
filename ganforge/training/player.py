"""Players: the parameters that a sum of losses updates, with their optimizer, schedules and updates."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from ganforge.components.guard import brief
from ganforge.components.schedule import Schedule
from ganforge.errors import PluginError
from ganforge.recipe.plan import LossPlan
from ganforge.training import sharing
from ganforge.training.formula import Formula, cut, mapped, paired
from ganforge.training.numerics import out_of_memory
from ganforge.training.values import Values


@frozen(eq=False)
class Term:
    """A loss on one view for one player; `asks` maps each argument to the name of a value."""

    loss: LossPlan
    view: str
    formula: Formula
    asks: Mapping[str, str]

    @property
    def name(self) -> str:
        """Its key in logs: `role.direction`, such as `adversarial.AB`."""
        return f"{self.loss.role}.{self.view}"

    def value(self, values: Values, player: str) -> Tensor:
        """Compute the loss, a scalar tensor.

        Raises:
            PluginError: the loss raised, gives no gradient, or is not a real scalar on its inputs' device.
        """
        given = {argument: values.ask(self.view, name, player) for argument, name in self.asks.items()}
        values.let_learn(player)
        value = values.compute(self.formula, self.view, self.asks, given, player, (player, self.formula.label))
        device = next((item.device for item in given.values() if isinstance(item, Tensor)), None)
        if not isinstance(value, Tensor) or value.ndim != 0:
            got = f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            problem = f"must return a scalar tensor, got {got}"
        elif device is not None and value.device != device:
            problem = f"must return a tensor on {device}, got one on {value.device}"
        elif value.is_complex():
            problem = f"must return a real number, got one of {value.dtype}"
        elif not value.requires_grad:
            problem = f"gives no gradient to the {player}: its result is detached from the {player}'s networks"
        else:
            return value
        component = self.loss.choice.component
        raise PluginError(f"{self.formula.label}: '{component.qualified}' {problem} ({component.written})")


class Update:
    """An update around optimizer steps: an object with any of the methods `before`, `after` and `shown`.

    If the object's attribute `players` is not empty, it is called only for these players.

    Attributes:
        asks: names of the values that `after` asks for.
    """

    def __init__(self, role: str, made: Any) -> None:
        self.role, self.made = role, made
        methods = {name: getattr(made, name, None) for name in ("before", "after", "shown")}
        self._methods = {name: (method, _asked(method)) for name, method in methods.items() if method}
        self.asks = values_of(made)

    def serves(self, player: str) -> bool:
        """Return whether it is called for a player."""
        return not self.players or player in self.players

    @property
    def players(self) -> Sequence[str]:
        """The players for which it is called; none means all."""
        return getattr(self.made, "players", ())

    def before(self, **offered: Any) -> bool:
        """Call `before` with the arguments that it asks for; False means that the optimizer must not step yet."""
        return self._call("before", offered) is not False

    def after(self, **offered: Any) -> None:
        """Call `after` with the arguments that it asks for."""
        self._call("after", offered)

    def shown(self, network: str) -> Mapping[str, Tensor]:
        """Return the tensors that replace a network's weights outside training."""
        return self._call("shown", {"network": network}) or {}

    def _call(self, name: str, offered: Mapping[str, Any]) -> Any:
        if name not in self._methods:
            return None
        method, asked = self._methods[name]
        try:
            with torch.no_grad():
                return method(*(offered[one] for one in asked))
        except PluginError:
            raise
        except Exception as error:
            problem = f"'{type(self.made).__name__}.{name}' raised {brief(error)}"
            raise PluginError(f"updates.{self.role}: {problem}") from error


class Player:
    """A player: its losses, the parameters that they update, and how.

    Args:
        name: its name, such as `generator`.
        terms: its losses on the views of the coupling.
        modules: the modules that it updates, by name.
        optimizer: the optimizer of their parameters.
        schedules: schedules of the optimizer's settings, by their keys in its parameter groups.
        updates: the updates around its optimizer steps.
        scaler: scales gradients for fp16.

    Attributes:
        names: the names of the parameters, in the order of the gradients.
        pending: gradients that an update holds back, to be added to the next ones.
        watched: for each view, the values that updates ask for after the step.
    """

    def __init__(
        self,
        name: str,
        terms: Sequence[Term],
        modules: Mapping[str, nn.Module],
        optimizer: torch.optim.Optimizer,
        schedules: Mapping[str, Schedule],
        updates: Sequence[Update],
        scaler: torch.amp.GradScaler,
    ) -> None:
        self.name, self.terms, self.modules = name, terms, modules
        self.optimizer, self.schedules, self.scaler = optimizer, schedules, scaler
        self.updates = [update for update in updates if update.serves(name)]
        named = list(learnable(modules))
        self.names, self.parameters = [key for key, _ in named], [parameter for _, parameter in named]
        self.pending: list[Tensor | None] | None = None
        self.watched: dict[str, list[str]] = {}
        self._seen: dict[str, dict[str, Any]] = {}

    @property
    def rate(self) -> float:
        """The current learning rate."""
        return float(self.optimizer.param_groups[0]["lr"])

    def differentiate(self, losses: Mapping[int, Tensor], scales: Sequence[Tensor]) -> list[Tensor | None]:
        """Return the gradients of a weighted sum of losses; None for parameters on which it does not depend.

        Args:
            losses: the losses by their index.
            scales: their weights.

        Raises:
            PluginError: the sum cannot be differentiated, for example because a loss changed a value in place.
        """
        scales = [self.scaler.scale(scale) for scale in scales]
        try:
            found = torch.autograd.grad(list(losses.values()), self.parameters, scales, allow_unused=True)
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            names = ", ".join(self.terms[place].name for place in losses)
            reason = str(error).partition(" Hint: enable anomaly")[0]
            if "a second time" in reason:
                reason = (
                    "one of them uses a tensor with a graph from an earlier call; make it a value, and ask for it, or "
                    "detach it, for example where it is added to an average"
                )
            raise PluginError(f"losses of the {self.name} ({names}) cannot be differentiated: {reason}") from None
        return _separate(found, self.parameters)

    def watch(self, values: Values) -> None:
        """Store the current values that updates ask for, appended to those of earlier parts of the batch."""
        for view, names in self.watched.items():
            seen = self._seen.setdefault(view, {})
            for name in names:
                value = cut(values.ask(view, name, self.name))
                if values.scheme.is_of_batch(view, name, self.name):
                    value = mapped(sharing.gather, value)
                    value = paired(_joined, seen[name], value) if name in seen else value
                seen[name] = value

    def update(self, step: int, gradients: Sequence[Tensor | None]) -> None:
        """Step the optimizer, with the updates before and after it."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        for name, schedule in self.schedules.items():
            for group in self.optimizer.param_groups:
                group[name] = schedule.at(step)
        if self.updates and not self._is_due(step):
            return
        self.scaler.step(self.optimizer)
        self.scaler.update()
        for update in self.updates:
            offered = {"player": self.name, "networks": self.modules, "step": step}
            wanted = update.asks
            for seen in [self._seen[view] for view in self._seen if wanted] or [{}]:
                if set(wanted) <= seen.keys():
                    update.after(**offered, **{name: seen[name] for name in wanted})
        self._seen = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "pending": self.pending,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.optimizer.load_state_dict(state["optimizer"])
        _lay_out_alike(self.optimizer)
        self.scaler.load_state_dict(state["scaler"])
        device = self.parameters[0].device
        self.pending = state["pending"] and [None if g is None else g.to(device) for g in state["pending"]]

    def _is_due(self, step: int) -> bool:
        """Ask the updates in turn whether to step; once one says no, the others are not asked."""
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimizer)
        for parameter, waiting in zip(self.parameters, self.pending or (), strict=False):
            if waiting is not None:
                parameter.grad = waiting if parameter.grad is None else parameter.grad.add_(waiting)
        offered = {"player": self.name, "parameters": self.parameters, "step": step}
        if all(update.before(**offered) for update in self.updates):
            self.pending = None
            return True
        found = [parameter.grad for parameter in self.parameters]
        if not self.scaler.is_enabled() or all(g is None or bool(g.isfinite().all()) for g in found):
            self.pending = found
        if self.scaler.is_enabled():
            self.scaler.update()
        return False


def values_of(update: Any) -> list[str]:
    """Return the names of the values that the method `after` of an update, or of its class, asks for."""
    method = getattr(update, "after", None)
    return [name for name in _asked(method) if name not in ("self", "player", "networks", "step")] if method else []


def _asked(method: Callable[..., Any]) -> list[str]:
    """Return the names of a method's parameters, without variadic ones."""
    parameters = inspect.signature(method).parameters.values()
    return [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def learnable(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the trainable parameters, each once, with its module's name and its own."""
    known: set[nn.Parameter] = set()
    for name, module in modules.items():
        for key, parameter in module.named_parameters():
            if parameter.requires_grad and parameter not in known:
                known.add(parameter)
                yield f"{name}.{key}", parameter


def _joined(one: Tensor, other: Tensor) -> Tensor:
    return torch.cat([one, other]) if one.ndim else one


def _separate(gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> list[Tensor | None]:
    """Give each gradient its own memory, laid out like its parameter: later code works in place."""
    with torch._C.DisableTorchFunction():  # a recorder must not count this as reading values
        places = [None if gradient is None else gradient.untyped_storage().data_ptr() for gradient in gradients]
    found: list[Tensor | None] = []
    for place, (gradient, parameter) in enumerate(zip(gradients, parameters, strict=True)):
        shared = places[place] in places[:place]
        if gradient is not None and (shared or gradient.stride() != parameter.stride()):
            gradient = torch.empty_like(parameter).copy_(gradient)
        found.append(gradient)
    return found


def _lay_out_alike(optimizer: torch.optim.Optimizer) -> None:
    """Give loaded optimizer state the memory layout of its parameters, on which fused optimizers rely."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter).copy_(value)
