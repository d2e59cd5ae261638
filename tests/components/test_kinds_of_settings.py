"""Settings and methods of the kinds that a plugin's author may use."""

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NewType

import pytest
from attrs.validators import ge

from ganforge.components.settings import read_signature
from ganforge.errors import PluginError

Width = NewType("Width", int)

PLUGIN = """
import enum
from ganforge import hookimpl
class Kind(enum.Enum):
    L1 = "l1"
    L2 = "l2"
def mine(fake, real, *, kind: Kind = Kind.L1):
    '''The difference of means.'''
    difference = fake.mean() - real.mean()
    return difference.abs() if kind is Kind.L1 else difference.square()
class Static:
    '''The mean of fakes.'''
    @staticmethod
    def generator(fake):
        return fake.abs().mean()
@hookimpl
def ganforge_register(register):
    register.loss("mine", mine)
    register.loss("static", Static)
"""


def test_an_enum_is_written_by_its_values(toy, ganforge, tmp_path):
    (tmp_path / "plug.py").write_text(PLUGIN)
    words = ("--plugin", "plug.py", "--set", "losses.mine.use=mine", "--set", "losses.mine.kind=l2")
    result = ganforge("run", toy, *words)
    assert result.status == 0, result.err
    lock = tomllib.loads((tmp_path / "runs/toy/0001/recipe.lock.toml").read_text())
    assert lock["losses"]["mine"]["kind"] == "l2"
    wrong = ganforge("validate", toy, *words, "--set", "losses.mine.kind=l3")
    assert 'losses.mine.kind: expected "l1" or "l2", got "l3"' in wrong.err
    shown = ganforge("show", "loss", "mine", "--plugin", "plug.py")
    assert '"l1"' in shown.out
    assert '"l1" or "l2"' in shown.out


def test_a_method_of_a_loss_may_be_static(toy, ganforge, tmp_path):
    (tmp_path / "plug.py").write_text(PLUGIN)
    result = ganforge("run", toy, "--plugin", "plug.py", "--set", "losses.static.use=static")
    assert result.status == 0, result.err


def with_setting(hint: Any) -> Callable[..., None]:
    def made(*, x=None):
        pass

    made.__annotations__["x"] = hint | None if isinstance(hint, type) else hint
    made.__kwdefaults__ = {}
    return made


@pytest.mark.parametrize(
    "hint", [list[Annotated[int, ge(1)]], Width, dict[str, list[float]], tuple[int, ...], Sequence[str], Path | None]
)
def test_types_that_a_recipe_can_hold_are_settings(hint):
    assert list(read_signature(with_setting(hint)).settings) == ["x"]


@pytest.mark.parametrize("hint", [Callable[[int], int], object, complex, set, bytes, list[bytes]])
def test_types_that_a_recipe_cannot_hold_are_refused(hint):
    with pytest.raises(PluginError, match="which a recipe cannot hold; use numbers"):
        read_signature(with_setting(hint))
