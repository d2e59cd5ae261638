"""Play some rows of a step's batch as if the whole batch were there: random draws and batch normalisation.

If several processes share a batch, or one plays it part by part, each part has some of the rows. Random numbers are
drawn for the whole batch, and each part uses its rows, so that all processes keep the same random state. Batch
normalisation uses the statistics of all ranks' rows.
"""

import hashlib
import random
from collections.abc import Callable, Hashable, Iterable, Sequence, Set
from typing import Any, Self

import numpy
import torch
from attrs import define, field, frozen
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ganforge.errors import PluginError
from ganforge.training import sharing
from ganforge.training.cpu import is_checkpointed


@frozen
class Rows:
    """The rows of a batch that are played.

    Attributes:
        whole: number of samples in the batch.
        start: the first row.
        count: number of rows.
    """

    whole: int
    start: int
    count: int

    def of(self, samples: Tensor) -> Tensor:
        """Return these rows of a whole batch."""
        return samples[self.start : self.start + self.count]

    def part(self, count: int) -> "Rows | None":
        """Return the rows of a part of the batch of which `count` are played; None if it does not divide the rows.

        Every K-th sample of the rows is a part, for example. What follows each other in a batch does so in its parts.
        """
        if not count or self.count % count:
            return None
        share = self.count // count
        return Rows(self.whole // share, self.start // share, count)


@define
class Draws:
    """The random states before the calls of a formula that draw, by their number, so that it can repeat the draws.

    Python's and NumPy's are those before the formula.
    """

    states: dict[int, Tensor] = field(factory=dict)
    others: tuple[Any, Any] | None = None

    def draw(self, place: int, device: torch.device, made: Callable[[], Any]) -> Any:
        """Make the call number `place`; if it has drawn before, repeat that and leave the random state unchanged."""
        now = _state(device)
        if place not in self.states:
            found = made()
            if not torch.equal(_state(device), now):
                self.states[place] = now
            return found
        _set_state(device, self.states[place])
        try:
            return made()
        finally:
            _set_state(device, now)


class Tape:
    """The draws of all formulas in a step that is played in parts: each part repeats them and uses its rows."""

    def __init__(self) -> None:
        self._draws: dict[Hashable, tuple[Draws, frozenset[str]]] = {}

    def of(self, key: Hashable, through: frozenset[str] = frozenset()) -> Draws:
        """Return the draws of the value or loss under a key, which comes through these modules."""
        return self._draws.setdefault(key, (Draws(), through))[0]

    def updated(self, learnt: Set[str]) -> None:
        """Forget the draws of values that came through updated modules: these are recomputed."""
        self._draws = {key: one for key, one in self._draws.items() if not one[1] & learnt}


def _state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


def _set_others(states: tuple[Any, Any]) -> None:
    random.setstate(states[0])
    numpy.random.set_state(states[1])


_FACTORIES = {torch.rand, torch.randn, torch.randint}  # take a size
_LIKE = {torch.rand_like, torch.randn_like, torch.randint_like}  # take a tensor of that size
_MASKS = {  # multiply a tensor by random numbers
    functional.dropout,
    functional.dropout1d,
    functional.dropout2d,
    functional.dropout3d,
}
_IN_PLACE = {
    Tensor.normal_,
    Tensor.uniform_,
    Tensor.random_,
    Tensor.bernoulli_,
    Tensor.exponential_,
    Tensor.cauchy_,
    Tensor.log_normal_,
    Tensor.geometric_,
}
# These draw for the rows alone, from what only these rows have or inside torch; some draw only under some settings.
_OTHERS = {
    *(torch.normal, torch.bernoulli, torch.multinomial, torch.poisson, torch.binomial, torch.randperm),
    *(torch._standard_gamma, torch._sample_dirichlet, Tensor.bernoulli, Tensor.multinomial),
    *(torch.dropout, torch.native_dropout, torch.feature_dropout, torch.alpha_dropout, torch.feature_alpha_dropout),
    *(torch.gru, torch.lstm, torch.rnn_tanh, torch.rnn_relu, torch.rrelu, functional.rrelu),
    *(functional.alpha_dropout, functional.feature_alpha_dropout, functional.gumbel_softmax),
    *(functional.multi_head_attention_forward, functional.scaled_dot_product_attention),
    *(functional.fractional_max_pool2d, functional.fractional_max_pool2d_with_indices),
    *(functional.fractional_max_pool3d, functional.fractional_max_pool3d_with_indices),
}
_DRAWING = _FACTORIES | _LIKE | _MASKS | _IN_PLACE
_TWINS = {  # replace a tensor by what another function returns
    torch.dropout_: torch.dropout,
    torch.feature_dropout_: torch.feature_dropout,
    torch.alpha_dropout_: torch.alpha_dropout,
    torch.feature_alpha_dropout_: torch.feature_alpha_dropout,
    torch.rrelu_: torch.rrelu,
}


class Shared(TorchFunctionMode):
    """Makes torch functions draw for the whole batch, and normalise over it.

    Other functions draw from what only these rows have, or inside torch, such as attention with dropout. If they return
    rows, each part draws its own numbers, which differ from those of a whole batch; otherwise all draw the same.

    Args:
        rows: the rows that are played.
        device: the device.
        sync: whether batch normalisation uses the statistics of all ranks' rows.
        draws: the formula's draws, if it may be computed more than once.
        given: the tensors that the formula gets; some may be parts of the rows.
    """

    def __init__(
        self, rows: Rows, device: torch.device, sync: bool, draws: Draws | None, given: Iterable[Tensor] = ()
    ) -> None:
        super().__init__()
        self.device, self.sync, self.draws = device, sync, draws
        sizes = {rows.count, *(len(tensor) for tensor in given if tensor.ndim)}
        self._rows = {size: part for size in sizes if (part := rows.part(size))}  # by the number of those here
        self._called = 0
        self._before: tuple[Any, Any] | None = None

    def __enter__(self) -> Self:
        """Repeat the draws of Python and NumPy, if this formula has been computed before."""
        if self.draws is not None:
            now = (random.getstate(), numpy.random.get_state())
            if self.draws.others is None:
                self.draws.others = now
            else:
                self._before = now
                _set_others(self.draws.others)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        """Leave their random states as they were, if draws were repeated."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        if self._before is not None:
            _set_others(self._before)

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        """Call a torch function or its replacement."""
        options = options or {}
        if function is functional.batch_norm and self.sync:
            return sharing.batch_norm(*arguments, **options)
        if function in _TWINS or (options.get("inplace") and (function in _MASKS or function in _OTHERS)):
            given = arguments[0] if arguments else options["input"]
            options = {name: value for name, value in options.items() if name not in ("inplace", "input")}
            copies = (given.clone(), *arguments[1:])  # gradients may need it
            return given.copy_(self.__torch_function__(_TWINS.get(function, function), types, copies, options))
        if function not in _DRAWING and function not in _OTHERS:
            return function(*arguments, **options)
        if function in _MASKS and not (options.get("p", 1) and options.get("training", True)):
            return function(*arguments, **options)
        if function in _DRAWING:
            _require_no_checkpoint(function)
        call = self._draw if function in _DRAWING else self._call
        if self.draws is None:
            return call(function, arguments, options)
        place, self._called = self._called, self._called + 1
        return self.draws.draw(place, self.device, lambda: call(function, arguments, options))

    def _call(self, function: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Call another function; if it draws rows, do that from a random state that is this part's own."""
        before = _state(self.device)
        found = function(*arguments, **options)
        after = _state(self.device)
        if torch.equal(before, after):
            return found
        _require_no_checkpoint(function)
        first = found[0] if isinstance(found, tuple) and found else found
        rows = self._rows.get(len(first)) if isinstance(first, Tensor) and first.ndim else None
        if rows is None or rows.start == 0 or function is torch.randperm:
            return found
        seed = int.from_bytes(hashlib.sha256(before.numpy().tobytes() + bytes(str(rows.start), "ascii")).digest()[:7])
        try:
            _set_state(self.device, torch.Generator(self.device).manual_seed(seed).get_state())
            return function(*arguments, **options)
        finally:
            _set_state(self.device, after)

    def _draw(self, function: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if function in _FACTORIES:
            return self._make(function, arguments, options)
        given = arguments[0] if arguments and isinstance(arguments[0], Tensor) and arguments[0].ndim else None
        rows = None if given is None else self._rows.get(len(given))
        if given is None or rows is None:
            return function(*arguments, **options)
        if any(isinstance(one, Tensor) for one in (*arguments[1:], *options.values())):  # such as a probability each
            return self._call(function, arguments, options)
        further, whole = arguments[1:], _like(given, rows)
        if function in _LIKE:
            return rows.of(function(whole, *further, **options))
        if function in _IN_PLACE:
            return given.copy_(rows.of(function(whole, *further, **options)))
        if function in _MASKS:
            return given * rows.of(function(whole.fill_(1.0), *further, **options))
        return function(*arguments, **options)

    def _make(self, factory: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Call a factory, for the whole batch if its size is that of rows."""
        place = next((place for place, given in enumerate(arguments) if isinstance(given, Sequence)), None)
        size = options["size"] if "size" in options else arguments if place is None else arguments[place]
        rows = self._rows.get(size[0]) if size else None
        if rows is None:
            return factory(*arguments, **options)
        whole = (rows.whole, *size[1:])
        if "size" in options:
            return rows.of(factory(*arguments, **{**options, "size": whole}))
        before, after = ((), ()) if place is None else (arguments[:place], arguments[place + 1 :])
        return rows.of(factory(*before, whole, *after, **options))


def _require_no_checkpoint(function: Any) -> None:
    """Raise a PluginError if what a function draws is drawn again for gradients, where no mode divides it."""
    if is_checkpointed():
        raise PluginError(
            f"'{function.__name__}' draws random numbers inside torch.utils.checkpoint, which draws them again for "
            "gradients; these cannot be divided among devices or parts of a batch"
        )


def _like(given: Tensor, rows: Rows) -> Tensor:
    """Return an empty tensor for the whole batch of these rows, with their memory layout."""
    last = given.ndim == 4 and given.is_contiguous(memory_format=torch.channels_last) and not given.is_contiguous()
    layout = torch.channels_last if last else torch.contiguous_format
    size = (rows.whole, *given.shape[1:])
    return torch.empty(size, dtype=given.dtype, device=given.device, memory_format=layout)
