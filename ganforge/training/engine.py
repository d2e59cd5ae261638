"""The training step. It knows phases and views, and no network, no formula and no data set."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import torch
from attrs import frozen
from torch import Tensor, nn

from ganforge.components.coupling import Coupling
from ganforge.components.view import FROM_FAKE, View
from ganforge.errors import PluginError
from ganforge.recipe.plan import LossPlan, Phase, Train
from ganforge.training import numerics, program


@frozen
class Term:
    """One loss on one view in one phase; `asks` gives the view's tensor for each argument."""

    loss: LossPlan
    view: str
    call: Callable[..., Tensor]
    asks: Mapping[str, str]

    @property
    def name(self) -> str:
        """`role.direction`, such as `adversarial.AB`: its key in logs."""
        return f"{self.loss.role}.{self.view}"

    def value(self, view: View) -> Tensor:
        """Compute the loss, a scalar tensor.

        Raises:
            PluginError: the loss raised, or returned something else than a scalar on its inputs' device.
        """
        try:
            given = {argument: view.tensor(tensor) for argument, tensor in self.asks.items()}
            value = self.call(**given)
        except (PluginError, program.UnrecordableError):
            raise
        except Exception as error:
            if numerics.out_of_memory(error):
                raise
            raise PluginError(f"losses.{self.name}: '{self.loss.choice.component.qualified}' raised") from error
        if not isinstance(value, Tensor) or value.ndim != 0:
            got = f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise PluginError(
                f"losses.{self.name}: '{self.loss.choice.component.qualified}' must return a scalar tensor, got {got}"
            )
        device = next((tensor.device for tensor in given.values() if isinstance(tensor, Tensor)), value.device)
        if value.device != device:
            raise PluginError(
                f"losses.{self.name}: '{self.loss.choice.component.qualified}' must return a tensor on {device}, "
                f"got one on {value.device}"
            )
        return value


class Engine:
    """Networks, their optimizers and the losses of each phase: all that a training step needs."""

    def __init__(
        self,
        coupling: Coupling,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[Phase, torch.optim.Optimizer],
        terms: Mapping[Phase, Sequence[Term]],
        train: Train,
        device: torch.device,
    ) -> None:
        """Take what a plan was built into."""
        self.coupling, self.networks, self.optimizers, self.terms = coupling, networks, optimizers, terms
        self.train = train
        call = numerics.caller(train)
        self._calls = {name: call(network) for name, network in networks.items()}
        # Half precision of few exponent bits: gradients are scaled up so that small ones do not vanish.
        self.scalers = {phase: torch.amp.GradScaler(device.type, enabled=train.precision == "fp16") for phase in terms}
        roles = {network.name: network.role for network in coupling.networks}
        self._parameters = {
            name: [parameter for parameter in network.parameters() if parameter.requires_grad]
            for name, network in networks.items()
        }
        self._learns = {phase: {name for name in networks if roles[name] == phase} for phase in terms}
        self._learnt = {
            phase: [parameter for name in names for parameter in self._parameters[name]]
            for phase, names in self._learns.items()
        }
        self._recorded = train.compile in ("trace", True) or train.cuda_graph is True
        self.unrecordable = ""  # why not, if it was tried
        self._programs: dict[str, program.Program] = {}
        # Directions whose fake the discriminator phase looks at.
        self._judged = {term.view for term in terms["discriminator"] if FROM_FAKE & set(term.asks.values())}

    def step(self, step: int, batch: Mapping[str, Tensor]) -> dict[Phase, Tensor]:
        """Play the phases of one step; return for each its weighted sum and every unweighted loss, as one tensor."""
        batch = {name: numerics.laid_out(samples, self.train.channels_last is True) for name, samples in batch.items()}
        losses: dict[Phase, Tensor] = {}
        for phase, found in self._play(step, batch):
            losses[phase] = found
            self.scalers[phase].step(self.optimizers[phase])
            self.scalers[phase].update()
        return losses

    def fitting_batch(self, step: int, one: Mapping[str, Tensor], size: int) -> int:
        """Halve a batch until a step has memory for it; nothing is learnt, gradients are lost.

        Args:
            step: of which the losses' weights are taken.
            one: a sample of each domain, [1, ...].
            size: of the first batch that is tried.
        """
        while size > 1:
            batch = {domain: sample.expand(size, *sample.shape[1:]).contiguous() for domain, sample in one.items()}
            try:
                for _ in self._compute(self._weights(step), batch):
                    pass
            except Exception as error:
                if not numerics.out_of_memory(error):
                    raise
                size //= 2
            else:
                break
        return max(1, size)

    def _play(self, step: int, batch: Mapping[str, Tensor]) -> Iterable[tuple[Phase, Tensor]]:
        """Compute losses and gradients of the phases of a step; where it pays, by a program recorded for its like."""
        weights = self._weights(step)
        if not self._recorded:
            return self._compute(weights, batch)
        key = str(weights)
        if key not in self._programs:
            play = partial(self._compute, weights)
            try:
                self._programs[key] = program.record(play, batch, self.networks.values(), self._learnt, self.train)
            except program.UnrecordableError as error:
                if self.train.compile is True or self.train.cuda_graph is True:
                    raise PluginError(f"this recipe's step cannot be recorded: {error}") from error
                self._recorded, self.unrecordable = False, str(error)
                return self._compute(weights, batch)
        return self._programs[key].play(batch)

    def _weights(self, step: int) -> dict[Phase, list[float]]:
        """Return the phases that a step plays, each with the weights of its losses."""
        phases = [phase for phase in self.train.phases(step) if self.terms[phase]]
        return {phase: [term.loss.table.weight_at(step) for term in self.terms[phase]] for phase in phases}

    def _compute(
        self, weights: Mapping[Phase, Sequence[float]], batch: Mapping[str, Tensor]
    ) -> Iterator[tuple[Phase, Tensor]]:
        """Yield phase after phase with its losses, gradients left in the parameters; update before the next one."""
        views = self.coupling.views(self._calls, batch)

        # The generators' one forward pass serves both phases; if only the discriminators learn, it needs no graph.
        if "discriminator" in weights:
            self._let_learn("generator")
            with torch.set_grad_enabled("generator" in weights):
                for view in views:
                    if view.name in self._judged:
                        _ = view.fake

        # The discriminators learn from fakes that are cut off from their generators.
        if "discriminator" in weights:
            detached = [view.detached() for view in views]
            yield "discriminator", self._backward("discriminator", detached, weights["discriminator"])

        # The generators learn against the discriminators as they are now, which stand still.
        if "generator" in weights:
            yield "generator", self._backward("generator", views, weights["generator"])

    def _backward(self, phase: Phase, views: Sequence[View], weights: Sequence[float]) -> Tensor:
        """Compute the weighted sum of a phase's losses and its gradients for that phase's networks."""
        self._let_learn(phase)
        by_name = {view.name: view for view in views}
        values = [term.value(by_name[term.view]) for term in self.terms[phase]]
        for parameter in self._learnt[phase]:
            parameter.grad = None
        # The gradient of the weighted sum is that of each loss times its weight.
        factors = [torch.full((), weight, device=value.device) for weight, value in zip(weights, values, strict=True)]
        torch.autograd.backward(values, self.scalers[phase].scale(factors))
        found = torch.stack(values).detach()
        return torch.cat([(found * torch.stack(factors)).sum()[None], found])

    def _let_learn(self, phase: Phase) -> None:
        """Freeze every network but the phase's own, so that no gradient is computed for the others."""
        for name, parameters in self._parameters.items():
            learns = name in self._learns[phase]
            if parameters and parameters[0].requires_grad != learns:
                for parameter in parameters:
                    parameter.requires_grad_(learns)

    def loss_names(self, phase: Phase) -> list[str]:
        """Name what `step` returns for a phase, in order, as the log does."""
        return [phase, *(f"{phase}.{term.name}" for term in self.terms[phase])]
