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
    Snapshot,
    Steps,
    Turn,
    UnreadyError,
    UnrecordableError,
    buffers_of,
)
from ganforge_recorded import program
from ganforge_recorded.attached import Attached
from ganforge_recorded.captured import has_graphs
from ganforge_recorded.fields import Fields
from ganforge_recorded.recorder import Play

CLOSE = {"fp32": 1e-4}  # allowed difference on CUDA, where gradients are added in any order; others: LOOSE
SMALL = 0.1  # of the largest gradient: differences of smaller ones are compared with this
AGAIN = 3  # times that programs are recorded again because something was replaced between steps
MOST = 16  # programs of one run; with more, something changes in every step
LOOSE = 1e-2  # allowed difference of a compiled program, whose operations are fused


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
        self.reason = ""
        self._loose = 0.0
        if any(device.type == "cuda" for device in devices):
            self._loose = CLOSE.get(compute.precision, LOOSE)
        if compute.compile is True:
            self._loose = LOOSE
        self.programs: dict[str, program.Program] = {}
        self._plays: dict[str, int] = {}
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
        if self.wanted and like not in self.programs:
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

    def _record(self, play: Play, inputs: Sequence[Tensor], like: str, steady: Sequence[Tensor]) -> None:
        if len(self.programs) >= MOST:
            self._refuse("settings of losses change in every step")
            return
        buffers = [buffer for module in self.modules.values() for buffer in module.buffers()]
        try:
            made = program.record(play, inputs, buffers, self.compute, self._unchanged, steady)
            if made.uncaptured and (self.compute.cuda_graph is True or self.compute.compile is False):
                raise UnrecordableError(made.uncaptured)
            self.programs[like], self._attached[like] = made, Attached(self._read_by(made))
        except UnreadyError as error:
            if str(error) in self._unready:
                self._refuse(f"{error} is created again in every step")
            self._unready.add(str(error))
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
        before = _Before(self.modules)
        weights = [
            _Weight(f"{root}.{name}", one)
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
        plain = iter(play(inputs))
        replay = self.programs[like].play([value.clone() for value in inputs])
        culprit = ""
        while True:
            before = _Before(self.modules)
            replayed = None if culprit else next(replay, None)
            after = _Before(self.modules)
            before.put_back()
            turn = next(plain, None)
            if turn is None:
                break
            if not culprit:
                culprit = self._difference(turn, replayed, names) or after.difference(self._same) or ""
            yield turn
            self._renew(like)
        if culprit:
            self._refuse(f"{culprit} differs when replayed")

    def _difference(self, turn: Turn, replayed: Turn | None, names: Callable[[str], Sequence[str]]) -> str:
        """Name the first loss, otherwise the first parameter, that differs; empty if all are the same."""
        name, losses, gradients = turn
        if replayed is None or replayed[0] != name:
            return f"the turn of the {name}"
        if not self._same(losses, replayed[1]):
            pairs = zip(names(name), losses, replayed[1], strict=True)
            return f"the loss {[called for called, one, other in pairs if not self._same(one, other)][-1]}"
        top = max((_largest(mine) for mine in gradients if mine is not None), default=0.0)
        for parameter, mine, theirs in zip(self.players[name].names, gradients, replayed[2], strict=True):
            if (mine is None) != (theirs is None) or (mine is not None and not self._same(mine, theirs, SMALL * top)):
                return f"the gradient of {parameter}"
        return ""

    def _same(self, one: Tensor, other: Tensor | None, scale: float = 0.0) -> bool:
        """Whether two tensors are equal, or nearly where operations need not give the same twice."""
        if other is None or one.shape != other.shape:
            return False
        if not (self._loose and one.is_floating_point()):
            return alike(one, other)
        allowed = self._loose * max(_largest(one), scale)
        return torch.allclose(one, other, rtol=self._loose, atol=allowed, equal_nan=True)


def alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers, and nan at the same places."""
    if one.shape != other.shape or not one.is_floating_point():
        return torch.equal(one, other)
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


def _largest(numbers: Tensor) -> float:
    return float(numbers.nan_to_num(0, 0, 0).abs().max()) if numbers.numel() else 0.0


class _Weight:
    """A parameter, its memory, and the numbers in it."""

    def __init__(self, name: str, parameter: Tensor) -> None:
        self.name, self._parameter = name, parameter
        self._memory, self._numbers = parameter.data, parameter.detach().clone()

    def moved(self) -> bool:
        """Whether it has other numbers, or other memory."""
        same = self._parameter.data_ptr() == self._memory.data_ptr()
        return not (same and alike(self._memory, self._numbers))

    def put_back(self) -> None:
        """Restore it."""
        if self.moved():
            self._parameter.data = self._memory
            self._memory.copy_(self._numbers)


class _Before(Snapshot):
    """A snapshot of everything, and what has changed since."""

    def made(self) -> str:
        """Name the first new buffer; empty if there is none."""
        there = {(id(module), key) for _, module, key, buffer, _ in self.buffers if buffer is not None}
        now = [(name, module, key) for name, module, key, buffer in buffers_of(self.modules) if buffer is not None]
        return next((name for name, module, key in now if (id(module), key) not in there), "")

    def replaced(self) -> str:
        """Name the first buffer that was replaced by another tensor; empty if there is none."""
        return next(
            (name for name, module, key, buffer, _ in self.buffers if module._buffers.get(key) is not buffer), ""
        )

    def difference(self, same: Callable[[Tensor, Tensor], bool]) -> str:
        """Name the first buffer that changed, or the random state; empty if none did."""
        for name, module, key, _, value in self.buffers:
            now = module._buffers.get(key)
            if (now is None) != (value is None) or (now is not None and value is not None and not same(now, value)):
                return f"the buffer {name}"
        drawn = Snapshot({}).random
        states = zip(
            [drawn["cpu"], *drawn.get("cuda", ())], [self.random["cpu"], *self.random.get("cuda", ())], strict=True
        )
        return "" if all(torch.equal(mine, theirs) for mine, theirs in states) else "what is drawn at random"

    def drew_elsewhere(self) -> bool:
        """Whether Python's or NumPy's random numbers were drawn since."""
        now = Snapshot({}).random
        return bool(now["python"] != self.random["python"] or now["numpy"] != self.random["numpy"])
