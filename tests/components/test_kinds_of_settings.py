"""Settings and methods of the kinds that a plugin's author may use."""

import tomllib

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
