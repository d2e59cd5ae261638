"""Which numbers of picture files are black and white, given by the recipe or decided from the files."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, cast

import numpy as np
from attrs import frozen
from attrs.validators import ge, le

from ganforge import Depth, InputError, Kind, Shape, nearest

AUTO: Final = "auto"
BITS = (8, 10, 12, 14, 16)  # of cameras and scanners
NAMES = {
    "uint8": "8 bits",
    "uint16": "16 bits",
    "int16": "signed 16 bits",
    "int32": "signed 32 bits",
    "float32": "floats",
}

Array = np.ndarray[Any, Any]


def _rising(_: object, attribute: Any, given: Any) -> None:
    """[low, high], the lower number first, or "auto"."""
    if given not in (AUTO, None) and not given[0] < given[1]:
        raise ValueError(f"{attribute.name}: the first number must be lower than the second")


Range = Annotated[Literal["auto"] | tuple[float, float], _rising]


@frozen(kw_only=True)
class Apart:
    """The settings of a data set that a domain may override: the table `[dataset.A]`.

    Attributes:
        channels: as for the data set.
        range: as for the data set.
        kind: type of the numbers in the domain's files; by default the files' own type.
    """

    channels: Annotated[int, ge(1), le(64)] | None = None
    range: Annotated[Literal["auto"] | tuple[float, float] | None, _rising] = None
    kind: Kind | None = None


def of_domains(dataset: Any, attribute: Any, apart: Mapping[str, Apart]) -> None:
    """Tables `[dataset.NAME]` of the domains."""
    for name in apart:
        if name not in dataset.domain_names:
            raise InputError(f"no domain '{name}'; {nearest(name, dataset.domain_names)}", key=name)


def shapes_of(dataset: Any, size: tuple[int, int]) -> dict[str, Shape]:
    """Return the shape of samples of a size for each domain, with the domain's channels."""
    given = {domain: dataset.apart.get(domain, Apart()) for domain in dataset.domain_names}
    return {domain: (apart.channels or dataset.channels, *size) for domain, apart in given.items()}


def depths_of(dataset: Any) -> dict[str, Depth]:
    """Return what the numbers of each domain's files mean, as set or decided; by default 8 bits."""
    found = {}
    for domain in dataset.domain_names:
        apart = dataset.apart.get(domain, Apart())
        kind: Kind = apart.kind or "uint8"
        given = apart.range or dataset.range
        low, high = whole_range(kind) if given == AUTO else given
        found[domain] = Depth(kind, low, high)
    return found


def whole_range(kind: Kind) -> tuple[float, float]:
    """Return the smallest and the largest number of a type; 0 and 1 for floats."""
    return (0.0, 1.0) if kind == "float32" else (float(np.iinfo(kind).min), float(np.iinfo(kind).max))


def auto_range(kind: Kind, low: float, high: float, whole: bool) -> tuple[float, float]:
    """Decide which numbers are black and white.

    Args:
        kind: type of the numbers.
        low: the smallest number.
        high: the largest number.
        whole: whether all are whole numbers.

    >>> auto_range("uint16", 3, 4001, True), auto_range("int16", -1000, 3000, True)
    ((0.0, 4095.0), (-1000, 3000))
    >>> auto_range("float32", 0.1, 0.9, False), auto_range("float32", 0, 200, True), auto_range("float32", -1, 1, False)
    ((0.0, 1.0), (0.0, 255.0), (-1, 1))
    """
    if kind == "uint8":
        return whole_range(kind)
    if kind in ("uint16", "int16") and low >= 0:
        bits = next(bits for bits in BITS if high < 2**bits)
        return 0.0, min(2.0**bits - 1, whole_range(kind)[1])
    if kind == "float32" and low >= 0 and (high <= 1 or (whole and high <= 255)):
        return (0.0, 1.0) if high <= 1 else (0.0, 255.0)
    return (low, high) if low < high else (low, low + max(1.0, abs(low)))  # all are equal


def own_depth(array: Array) -> Depth:
    """Return the depth of a file whose type differs from its domain's: the range of its type.

    For floats it is 0 to 1 or 0 to 255 if all lie in it, otherwise from the smallest to the largest.
    """
    kind = kind_of(array)
    if kind != "float32":
        return Depth(kind, *whole_range(kind))
    return Depth(kind, *auto_range(kind, float(array.min()), float(array.max()), whole=True))


def kind_of(array: Array) -> Kind:
    """Name the type of numbers that `as_known` returned."""
    return cast(Kind, array.dtype.name)


def as_known(array: Array, wanted: Kind = "int32") -> Array:
    """Return numbers in a type that a depth can have: their own, the next larger one, or float32.

    Integers of no such type, such as unsigned 32 bits, become int32 if it holds them and their domain is not one of
    float32, since one scale is for all files of a domain. Raises a ValueError if some numbers are not finite.
    """
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = array.astype(np.float32, copy=False)
        if not np.isfinite(array).all():
            raise ValueError("it holds numbers that are not finite (NaN or infinity)")
        return array
    for kind in (np.uint8, np.uint16, np.int16, np.int32):
        if np.can_cast(array.dtype, kind):
            return array.astype(kind, copy=False)
    limits = np.iinfo(np.int32)
    fitting = array.size == 0 or (array.min() >= limits.min and array.max() <= limits.max)
    return array.astype(np.int32 if fitting and wanted != "float32" else np.float32)


def is_wide(array: Array) -> bool:
    """Tell whether they are integers that int32 may not hold."""
    return array.dtype.kind in "ui" and not np.can_cast(array.dtype, np.int32)


def are_whole(array: Array) -> bool:
    """Tell whether all are whole numbers."""
    return array.dtype.kind != "f" or bool((array == np.floor(array)).all())


def in_words(depth: Depth) -> str:
    """Describe a depth, such as `16 bits, 0 to 4095 are black to white`."""
    return f"{NAMES[depth.kind]}, {number(depth.low)} to {number(depth.high)} are black to white"


def number(value: float) -> str:
    """Format a number for people.

    >>> number(65535.0), number(-0.25), number(2147483647.0)
    ('65535', '-0.25', '2147483647')
    """
    return f"{value:.0f}" if math.isfinite(value) and value == round(value) else f"{value:.6g}"
