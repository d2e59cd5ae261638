"""State that components keep in Python, outside modules' parameters and buffers: detected if it changes, and restored.

It is searched wherever a component's code can reach it: in its object and class, in closures and defaults of its
functions, and in all variables of its package.
"""

import logging
import random
import re
import threading
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from pathlib import PurePath
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GenericAlias,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    UnionType,
    WrapperDescriptorType,
)
from typing import Any, TypeVar

import numpy
import torch
from attrs import frozen
from torch import Tensor, nn

DEPTH = 8  # of nested containers and objects
# Fields of a module that hold its registered state.
INNER = {"_parameters", "_buffers", "_non_persistent_buffers_set", "_modules", "training"}
# Objects that never change, or whose changes change no result.
FIXED = (
    *(int, float, complex, str, bytes, range, slice, type(None), type(...), type(NotImplemented), Enum, PurePath),
    *(
        numpy.dtype,
        numpy.generic,
        torch.dtype,
        torch.device,
        torch.layout,
        torch.memory_format,
        torch.finfo,
        torch.iinfo,
    ),
    *(BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType, GetSetDescriptorType, MemberDescriptorType),
    *(CodeType, GenericAlias, UnionType, TypeVar, re.Pattern, logging.Logger, type(threading.Lock())),
)
FOREIGN = ("torch", "torchvision", "builtins", "ganforge")  # packages whose variables belong to no component


@frozen
class Kept:
    """One piece of state: whether it has changed, and how to restore it."""

    moved: Callable[[], bool]
    put_back: Callable[[], None]


class Fields:
    """All Python state of a component.

    Attributes:
        stuck: state that cannot be restored, such as an iterator; empty if there is none.
    """

    def __init__(self, name: str, made: object) -> None:
        self.name = name
        self.stuck = ""
        self.kept: list[Kept] = []
        self._seen: dict[int, object] = {}
        self._around: list[dict[str, Any]] = []  # variables of modules, not all of this component
        function = made.func if isinstance(made, partial) else made
        self._package = _package(function if isinstance(function, FunctionType) else type(function))
        self._look(function, DEPTH)
        if isinstance(made, partial):
            self._look(made.keywords, DEPTH)
        stuck = self.stuck
        for variables in self._around:
            put, drop = variables.__setitem__, variables.__delitem__
            self._watch(partial(_variables, variables), put, drop, DEPTH)
        self.stuck = stuck

    def moved(self) -> bool:
        """Whether something has changed."""
        return any(kept.moved() for kept in self.kept)

    def put_back(self) -> None:
        """Restore everything."""
        for kept in self.kept:
            kept.put_back()

    def _look(self, value: Any, depth: int) -> None:
        """Find mutable state in a value."""
        if isinstance(value, FIXED) or id(value) in self._seen:
            return
        if depth < 0:
            self.stuck = self.stuck or f"a {type(value).__name__} too deep inside other objects"
            return
        self._seen[id(value)] = value
        if isinstance(value, FunctionType):
            if self._is_own(value):
                self._look_into_function(value)
        elif isinstance(value, type):
            for base in value.__mro__:
                if self._is_own(base):
                    self._watch(partial(_variables, base), partial(setattr, base), partial(delattr, base), DEPTH)
        elif isinstance(value, ModuleType):
            self._look_around(vars(value))
        elif isinstance(value, property | staticmethod | classmethod):
            for function in (getattr(value, "__func__", None), getattr(value, "fget", None)):
                self._look(function, depth)
        elif isinstance(value, nn.Module):
            for module in value.modules():
                self._look_into_object(module, DEPTH)
        elif isinstance(value, list | deque | dict | set):
            before = _listed(value)
            self.kept.append(Kept(lambda: not _all_same(_listed(value), before), partial(_fill, value, before)))
            for item in before:
                for one in item if isinstance(value, dict) else (item,):
                    self._look(one, depth - 1)
        elif isinstance(value, tuple):
            for item in value:
                self._look(item, depth - 1)
        elif isinstance(value, Iterator):
            self.stuck = self.stuck or "an iterator"
        elif (kept := _state(value)) is not None:
            self.kept.append(kept)
        elif isinstance(value, MethodType):
            self._look(value.__func__, depth)
            self._look(value.__self__, depth)
        elif isinstance(value, partial):
            self._look((value.func, value.args, value.keywords), depth)
        elif hasattr(value, "__wrapped__"):  # such as a cached function, which gives the same for the same arguments
            self._look(value.__wrapped__, depth)
        elif hasattr(value, "__dict__") or any("__slots__" in vars(base) for base in type(value).__mro__):
            self._look_into_object(value, depth - 1)
        elif not callable(value):
            self.stuck = self.stuck or f"a {type(value).__name__}"

    def _look_into_function(self, function: FunctionType) -> None:
        self._look(function.__dict__, DEPTH)
        self._look(function.__defaults__, DEPTH)
        self._look(function.__kwdefaults__, DEPTH)
        for cell in function.__closure__ or ():
            self._watch(partial(_in_cell, cell), partial(setattr, cell), partial(delattr, cell), DEPTH)
        for name in set(_mentioned(function.__code__)) & function.__globals__.keys():
            self._look(function.__globals__[name], DEPTH)
        self._look_around(function.__globals__)

    def _look_around(self, variables: dict[str, Any]) -> None:
        if _package(variables) == self._package not in FOREIGN and not any(one is variables for one in self._around):
            self._around.append(variables)

    def _look_into_object(self, made: object, depth: int) -> None:
        put, drop = partial(object.__setattr__, made), partial(object.__delattr__, made)
        if isinstance(made, threading.local):  # which allows only its own
            put, drop = partial(setattr, made), partial(delattr, made)
        self._watch(partial(_fields, made), put, drop, depth)
        if isinstance(made, nn.Module):
            for held in (made._parameters, made._modules):
                self._watch(partial(dict, held), held.__setitem__, held.__delitem__, None)
        self._look(type(made), DEPTH)

    def _watch(
        self,
        read: Callable[[], dict[str, Any]],
        put: Callable[[str, Any], object],
        drop: Callable[[str], object],
        depth: int | None,
    ) -> None:
        """Watch names and their values, and look into each value; not if the depth is None."""
        before = read()

        def put_back() -> None:
            now = read()
            for name in now.keys() - before.keys():
                drop(name)
            for name, value in before.items():
                if name not in now or now[name] is not value:
                    put(name, value)

        self.kept.append(Kept(lambda: not _all_same(list(read().items()), list(before.items())), put_back))
        if depth is not None:
            for value in before.values():
                self._look(value, depth)

    def _is_own(self, made: type | FunctionType) -> bool:
        """Whether a class or function is from the component's package."""
        return _package(made) == self._package and self._package not in FOREIGN


def _package(made: Any) -> str:
    name = made.get("__name__", "") if isinstance(made, dict) else getattr(made, "__module__", None)
    return str(name or getattr(made, "__name__", "")).partition(".")[0]


def _mentioned(code: CodeType) -> Iterator[str]:
    """Yield the names of variables in a function's code and in its inner functions."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _mentioned(constant)


def _variables(holder: type | Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of a module or class."""
    found = vars(holder) if isinstance(holder, type) else holder
    return {name: value for name, value in found.items() if not name.startswith("__")}


def _fields(made: object) -> dict[str, Any]:
    """Return the fields of an object."""
    slots = [getattr(base, "__slots__", ()) for base in type(made).__mro__]
    names = [name for found in slots for name in ([found] if isinstance(found, str) else found)]
    names += getattr(made, "__dict__", {})
    inner = INNER if isinstance(made, nn.Module) else set()
    return {n: getattr(made, n) for n in names if n not in inner and not n.startswith("__") and hasattr(made, n)}


def _in_cell(cell: Any) -> dict[str, Any]:
    try:
        return {"cell_contents": cell.cell_contents}
    except ValueError:  # it is empty
        return {}


def _state(value: Any) -> Kept | None:
    """Watch a value whose state can be copied; None for other values."""
    if isinstance(value, Tensor):
        version, copy = value._version, value.detach().clone()
        return Kept(lambda: value._version != version or not _equal(value, copy), partial(_restore, value, copy))
    if isinstance(value, numpy.ndarray):
        numbers = value.copy()
        return Kept(lambda: value.tobytes() != numbers.tobytes(), lambda: numpy.copyto(value, numbers))
    if isinstance(value, random.Random):
        state = value.getstate()
        return Kept(lambda: value.getstate() != state, lambda: value.setstate(state))
    if isinstance(value, numpy.random.Generator | numpy.random.RandomState):
        bits = value.bit_generator if isinstance(value, numpy.random.Generator) else value._bit_generator
        drawn = bits.state
        return Kept(lambda: repr(bits.state) != repr(drawn), partial(setattr, bits, "state", drawn))
    if isinstance(value, array | bytearray):
        items = value[:]
        return Kept(lambda: value != items, partial(value.__setitem__, slice(None), items))
    if isinstance(value, torch.Generator):
        seeds = value.get_state()
        return Kept(lambda: not torch.equal(value.get_state(), seeds), partial(_reseed, value, seeds))
    return None


def _restore(tensor: Tensor, copy: Tensor) -> None:
    if not _equal(tensor, copy):
        tensor.data.copy_(copy)


def _reseed(generator: torch.Generator, state: Tensor) -> None:
    generator.set_state(state)


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.equal(one.nan_to_num(), other.nan_to_num()))


def _listed(value: Any) -> list[Any]:
    return list(value.items()) if isinstance(value, dict) else list(value)


def _all_same(now: list[Any], before: list[Any]) -> bool:
    def flat(items: list[Any]) -> list[Any]:
        return [part for item in items for part in (item if isinstance(item, tuple) else (item,))]

    mine, theirs = flat(now), flat(before)
    return len(mine) == len(theirs) and all(
        one is other or (type(one) is type(other) and isinstance(one, int | float | str) and one == other)
        for one, other in zip(mine, theirs, strict=True)
    )


def _fill(value: Any, items: list[Any]) -> None:
    if _all_same(_listed(value), items):
        return
    value.clear()
    if isinstance(value, list | deque):
        value.extend(items)
    else:
        value.update(items)
