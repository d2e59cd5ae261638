"""Networks that a check tries values and losses with: the plugin's own, in the roles in which they work."""

import json

PLUGIN = '''"""Codes of samples."""
from typing import Any
from attrs import frozen
from ganforge import Coupling, Network, Shape, View, hookimpl
from torch import Tensor, nn
class First(nn.Module):
    """Codes of samples, in two parts."""
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.layer = nn.Conv2d(shape[0], 4, 3, padding=1)
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return two codes, [N, 2, H, W] each."""
        made = self.layer(x)
        return made[:, :2], made[:, 2:]
class Second(nn.Module):
    """Samples of codes."""
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.layer = nn.Conv2d(4, shape[0], 3, padding=1)
    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Return samples, [N, *shape]."""
        return self.layer((one * other).repeat(1, 2, 1, 1))
@frozen
class Mine(Coupling):
    """A network from samples to codes, and one back."""
    @property
    def networks(self) -> list[Network]:
        """The networks."""
        roles = {"P": "one", "Q": "two"}
        made = [Network(name, role, ("B",), "generator") for name, role in roles.items()]
        return [Network("G", "generator", ("A", "B")), Network("D", "discriminator", ("B",)), *made]
    @property
    def views(self) -> list[View]:
        """From A to B."""
        networks = {"generator": "G", "discriminator": "D", "coder": "P", "decoder": "Q"}
        return [View("AB", ("A", "B"), {"source": "A", "real": "B"}, networks)]
def back(coder: Any, decoder: Any, real: Tensor) -> Tensor:
    """Real samples, coded and decoded: Q(P(x))."""
    one, other = coder(real)
    return decoder(one, other)
def kept(back: Tensor, real: Tensor) -> Tensor:
    """E|Q(P(x)) - x|^2."""
    return (back - real).square().mean()
def more(generator: Any, source: Tensor) -> Tensor:
    """E|m(x)|^2, with a method that not every generator has."""
    return generator.more(source).square().mean()
@hookimpl
def ganforge_register(register: Any) -> None:
    register.coupling("mine", Mine)
    register.network("two-like", First)
    register.network("one-like", Second)
    register.value("back", back)
    register.loss("kept", kept)
    register.loss("more", more)
'''


def test_networks_are_tried_in_each_role_and_what_another_plugins_cannot_do_is_no_fault(ganforge, tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    result = ganforge("check", "mine.py", "--json")
    assert result.status == 0, result.out
    states = {one["name"]: {check["state"] for check in one["checks"]} for one in json.loads(result.out)}
    assert all("failed" not in found for found in states.values())
    assert states["mine/back"] == {"passed"}
    more = next(one for one in json.loads(result.out) if one["name"] == "mine/more")
    reasons = {check["why"] for check in more["checks"] if check["check"] in ("scalar", "finite", "gradient")}
    assert len(reasons) == 1
    assert reasons.pop().startswith("another plugin's network stands in and does not fit: AttributeError: ")
