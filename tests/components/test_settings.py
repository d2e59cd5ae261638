"""The schema that a signature is, and what it makes of TOML values."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from attrs import field, frozen, validators
from torch import nn

from ganforge.components.settings import Signature, read_signature
from ganforge.components.structure import fill, plain
from ganforge.errors import PluginError


@frozen
class Inner:
    low: float = 0.0
    high: float = 1.0


@frozen
class Thing:
    """A thing."""

    root: Path
    size: int | tuple[int, int] = 64
    inner: Inner = Inner(low=0.5)
    names: dict[str, str] = field(factory=dict)
    share: float = field(default=0.1, validator=[validators.gt(0), validators.lt(1)])


def function(
    given, also, *, rate: Annotated[float, validators.gt(0)] = 1.0, mode: Literal["a", "b"] = "a", flag: bool = False
):
    """Do something."""


def read(factory, table):
    problems = []
    values = fill(table, read_signature(factory).settings, (), lambda *problem: problems.append(problem))
    return values, [f"{'.'.join(key)}: {message}" for key, message, _ in problems]


def test_positional_parameters_are_given_and_keyword_only_ones_are_settings():
    signature = read_signature(function)
    assert signature.given == ("given", "also")
    assert [(s.name, s.default, s.ranges) for s in signature.settings.values()] == [
        ("rate", 1.0, "x > 0"),
        ("mode", "a", ""),
        ("flag", False, ""),
    ]


def test_values_take_their_types_and_defaults():
    values, problems = read(Thing, {"root": "here", "size": [32, 48], "inner": {"high": 2}})
    assert not problems
    assert values == {
        "root": Path("here"),
        "size": (32, 48),
        "inner": Inner(low=0.5, high=2.0),
        "names": {},
        "share": 0.1,
    }
    assert plain(values["inner"]) == {"low": 0.5, "high": 2.0}
    assert plain(values["size"]) == [32, 48]


@pytest.mark.parametrize(
    ("factory", "table", "problem"),
    [
        (function, {"rate": "1"}, 'rate: expected number, got "1"'),
        (function, {"rate": True}, "rate: expected number, got true"),
        (function, {"rate": 0}, "rate: expected x > 0, got 0"),
        (function, {"rate": float("inf")}, "rate: expected number, got inf"),
        (function, {"mode": "c"}, 'mode: expected "a" or "b", got "c"'),
        (function, {"flag": 1}, "flag: expected true or false, got 1"),
        (function, {"flaq": True}, "flaq: unknown setting 'flaq'"),
        (Thing, {}, "root: missing; expected path"),
        (Thing, {"root": "x", "size": 1.5}, "size: expected whole number or [whole number, whole number], got 1.5"),
        (
            Thing,
            {"root": "x", "size": [1, 2, 3]},
            "size: expected whole number or [whole number, whole number], got [1, 2, 3]",
        ),
        (Thing, {"root": "x", "size": "64"}, 'size: expected whole number or [whole number, whole number], got "64"'),
        (Thing, {"root": "x", "names": 3}, "names: expected table of texts, got 3"),
        (Thing, {"root": "x", "names": {"a": 3}}, "names: expected table of texts, got { a = 3 }"),
        (Thing, {"root": "x", "inner": 3}, "inner: expected table with low, high, got 3"),
        (Thing, {"root": "x", "inner": {"hihg": 3}}, "inner.hihg: unknown setting 'hihg'"),
        (Thing, {"root": "x", "share": 1}, "share: expected x > 0, x < 1, got 1"),
    ],
)
def test_a_wrong_value_says_what_was_expected_and_what_came(factory, table, problem):
    assert problem in read(factory, table)[1]


def test_a_module_without_an_init_of_its_own_has_no_settings():
    class Latest(nn.Module):
        def generator(self, fake):
            return fake.mean()

    assert read_signature(Latest) == Signature((), {})


def test_a_setting_without_annotation_or_hidden_in_keywords_is_the_plugins_fault():
    with pytest.raises(PluginError, match="setting 'eps' has no type annotation"):
        read_signature(lambda x, *, eps=1: x)
    with pytest.raises(PluginError, match="hides settings"):
        read_signature(lambda x, **settings: x)


def test_a_range_beside_none_is_kept_and_none_passes():
    def call(
        *, step: Annotated[float, validators.gt(0)] | None = None, many: Annotated[int | None, validators.ge(2)] = 3
    ):
        """Call."""

    assert read(call, {"step": 2.0}) == ({"step": 2.0, "many": 3}, [])
    assert read(call, {}) == ({"step": None, "many": 3}, [])
    assert read(call, {"step": -1, "many": 1})[1] == ["step: expected x > 0, got -1", "many: expected x >= 2, got 1"]


def test_a_range_of_a_part_of_a_union_is_refused():
    def call(*, size: Annotated[int, validators.gt(0)] | tuple[int, int] = 3):
        """Call."""

    with pytest.raises(PluginError, match="'size': put Annotated around the whole union"):
        read_signature(call)


def test_what_is_no_setting_may_be_annotated_for_type_checkers_alone():
    def loss(fake: "Unheard", *, weight: "float" = 1.0) -> "Unheard":  # noqa: F821
        return fake

    signature = read_signature(loss)
    assert signature.given == ("fake",)
    assert signature.settings["weight"].type is float
