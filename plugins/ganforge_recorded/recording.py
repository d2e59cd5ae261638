"""Deciding whether a step is replayed, and repeatedly comparing the replay with the unrecorded step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from attrs import evolve
from torch import Tensor, nn

from ganforge import (
    Compute,
    Formula,
    Player,
    PluginError,
    Steps,
    Turn,
    UnreadyError,
    UnrecordableError,
)
from ganforge_recorded import program
from ganforge_recorded.alike import Likeness
from ganforge_recorded.attached import Attached
from ganforge_recorded.before import Before, Weight
from ganforge_recorded.captured import free_memory_on, has_graphs
from ganforge_recorded.fields import Fields
from ganforge_recorded.recorder import Play

AGAIN = 3  # times that programs are recorded again because something was replaced between steps
MOST = 16  # programs of one run; with more, something changes in every step


class Recording(Steps):
    """Plays steps: replayed from a program as long as that gives the same results, otherwise unrecorded.

    Args:
        modules: all modules that may change in a step, by name.
        formulas: the formulas of the step.
        players: the players by name.
        compute: whether and how to record.

    Attributes:
        reason: why steps are not recorded; empty while they are.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        formulas: Sequence[Formula],
        players: Mapping[str, Player],
        compute: Compute,
    ) -> None:
        devices = {parameter.device for module in modules.values() for parameter in module.parameters()}
        if compute.cuda_graph == "auto" and not any(map(has_graphs, devices)):
            compute = evolve(compute, cuda_graph=False)
        self.modules, self.formulas, self.players, self.compute = modules, formulas, players, compute
        self.asked = compute.compile is True or compute.cuda_graph is True
        self.wanted = self.asked or compute.compile == "trace" or compute.cuda_graph == "auto"
        self._captures = compute.cuda_graph is not False
        self.reason = ""
        self._likeness = Likeness.of(compute, any(device.type == "cuda" for device in devices))
        self.programs: dict[str, program.Program] = {}
        self._plays: dict[str, int] = {}
        self._seen: set[str] = set()
        self._unready: set[str] = set()
        self._attached: dict[str, Attached] = {}
        self._again = 0
        if self.wanted and any(player.watched for player in players.values()):
            self._refuse("an update asks for values")

    def play(
        self,
        play: Play,
        inputs: Sequence[Tensor],
        like: str,
        names: Callable[[str], Sequence[str]],
        steady: Sequence[Tensor] = (),
    ) -> Iterator[Turn]:
        """Play a step; steps with the same `like` share a program. The arguments are those of `Steps.play`."""
        if like in self.programs and (replaced := self._attached[like].replaced()):
            self._forget(replaced)
        if self.wanted and like not in self.programs and self._is_due(like):
            self._record(play, inputs, like, steady)
        if not self.wanted or like not in self.programs:
            yield from play(inputs)
            return
        count = self._plays[like] = self._plays.get(like, 0) + 1
        if count & (count - 1):
            made = self.programs[like]
            for name, losses, gradients in made.play(inputs):
                if made.overwrites and self.players[name].updates:  # which may keep gradients for the next step
                    gradients = [None if gradient is None else gradient.clone() for gradient in gradients]
                yield name, losses, gradients
                self._renew(like)
        else:
            yield from self._audit(play, inputs, like, names)

    @property
    def how(self) -> str:
        """How steps are played."""
        if not self.programs:
            return "unrecorded"
        recorded = "CUDA graphs" if all(made.overwrites for made in self.programs.values()) else "recorded"
        return f"{recorded}, compiled" if self.compute.compile is True else recorded

    def _renew(self, like: str) -> None:
        """Go on with the memory that replaces another since the last turn; the next step records again."""
        if self._attached[like].moved():
            self.programs[like].renew()

    def _forget(self, replaced: str) -> None:
        """Drop all programs, since they would go on with what was replaced between steps; record them anew."""
        self._again += 1
        if self._again > AGAIN:
            self._refuse(f"{replaced} between steps")
        self._drop()

    def _drop(self) -> None:
        self.programs.clear()
        self._attached.clear()
        self._plays.clear()

    def _refuse(self, reason: str) -> None:
        """Play steps unrecorded from now on.

        Raises:
            PluginError: the recipe insists on recorded steps.
        """
        if self.asked:
            raise PluginError(f"this recipe's step cannot be recorded: {reason}")
        self.wanted, self.reason = False, reason
        self._drop()

    def _is_due(self, like: str) -> bool:
        """Whether to record a kind of step; for graphs one is played before, so that all other memory is in use."""
        if len(self.programs) >= MOST or len(self._seen) > MOST:
            self._refuse("settings of losses change in every step")
            return False
        seen = like in self._seen
        self._seen.add(like)
        return seen or not self._captures

    def _record(self, play: Play, inputs: Sequence[Tensor], like: str, steady: Sequence[Tensor]) -> None:
        buffers = [buffer for module in self.modules.values() for buffer in module.buffers()]
        try:
            made = program.record(play, inputs, buffers, self.compute, self._unchanged, steady)
            if made.uncaptured and (self.compute.cuda_graph is True or self.compute.compile is False):
                raise UnrecordableError(made.uncaptured)
            needs = max(one.memory for one in (*self.programs.values(), made))
            if needs and free_memory_on(inputs[0].device) < needs:
                raise UnrecordableError(
                    "unrecorded steps, with which it is compared, may not fit into memory beside it"
                )
            self.programs[like], self._attached[like] = made, Attached(self._read_by(made))
        except UnreadyError as error:
            if str(error) in self._unready:
                self._refuse(f"{error} is created again in every step")
            self._unready.add(str(error))
        except torch.OutOfMemoryError:
            if self.asked:
                raise
            self._refuse("there is not enough memory")
        except UnrecordableError as error:
            self._refuse(str(error))

    def _read_by(self, made: program.Program) -> dict[str, nn.Module]:
        """Return the modules that a program depends on: those of formulas, and those whose tensors it reads."""
        read = {id(tensor) for tensor in made.constants.values()}
        formulas = {id(formula.made) for formula in self.formulas}
        return {
            name: module
            for name, module in self.modules.items()
            if id(module) in formulas or any(id(one) in read for one in (*module.parameters(), *module.buffers()))
        }

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Restore what playing changes, and raise if it changes what a program would not change.

        Raises:
            UnreadyError: a buffer was created.
            UnrecordableError: Python's or NumPy's random numbers were drawn, a buffer was replaced, or a parameter or
                a component's Python state has changed.
        """
        before = Before(self.modules)
        weights = [
            Weight(f"{root}.{name}", one)
            for root, module in self.modules.items()
            for name, one in module.named_parameters()
        ]
        fields = [Fields(name, made) for name, made in self._made()]
        try:
            for field in fields:
                if field.stuck:
                    raise UnrecordableError(f"{field.name} holds {field.stuck}, which could not be restored")
            yield
            moved = [field.name for field in fields if field.moved()]
            if moved:
                raise UnrecordableError(f"{moved[0]} keeps state outside buffers and parameters")
            if learnt := next((weight.name for weight in weights if weight.moved()), ""):
                raise UnrecordableError(f"the parameter {learnt} changes while losses are computed")
            if made := before.made():
                raise UnreadyError(f"the buffer {made}")
            if replaced := before.replaced():
                raise UnrecordableError(f"the buffer {replaced} is replaced instead of changed in place")
            if before.drew_elsewhere():
                raise UnrecordableError("it draws random numbers of Python or NumPy")
        finally:
            for field in fields:
                field.put_back()
            for weight in weights:
                weight.put_back()
            before.put_back()

    def _made(self) -> Iterator[tuple[str, Any]]:
        """Yield every object that may keep state, with its name."""
        yield from ((formula.label, formula.made) for formula in self.formulas)
        made = [formula.made for formula in self.formulas]
        yield from ((name, module) for name, module in self.modules.items() if not any(module is one for one in made))

    def _audit(
        self, play: Play, inputs: Sequence[Tensor], like: str, names: Callable[[str], Sequence[str]]
    ) -> Iterator[Turn]:
        """Play a step both ways, and use the unrecorded result; stop recording if they differ."""
        plain, same = iter(play(inputs)), self._likeness
        replay = iter(self.programs[like].play([value.clone() for value in inputs]))
        nearby = iter(play(same.rounded(inputs)) if same.loose else ())
        culprit = ""
        while True:
            before = Before(self.modules)
            with before.unseen():
                replayed = None if culprit else next(replay, None)
                after = Before(self.modules)
                before.put_back()
                near = None if culprit else next(nearby, None)
                before.put_back()
            turn = next(plain, None)
            if turn is None:
                break
            if not culprit:
                player = turn[0]
                culprit = same.difference(turn, replayed, near, names(player), self.players[player].names)
                culprit = culprit or after.difference(same.same)
            yield turn
            self._renew(like)
        if culprit:
            self._refuse(f"{culprit} differs when replayed")
