"""Planted faults: for each claim of `ganforge check` plugins that break it, each a few lines.

`python -m tests.check.faults` prints docs/results/check.md: each fault with what the check says of it.
"""

import sys
import tempfile
from pathlib import Path

from attrs import frozen

from ganforge import Component, Plugins
from ganforge_check.checks import Outcome, all_checks, examine, subject_of

HEAD = """\
import random
from pathlib import Path
import numpy
import torch
from attrs import field, frozen, validators
from torch import Tensor, nn
from ganforge import *
from ganforge import hookimpl, Dataset, Stored, Prepared, Coupling, Network, View, Findings, random_generator
"""
FOOT = """
@hookimpl
def ganforge_register(register):
    register.{kind}("faulty", {name})
"""


@frozen
class Fault:
    """A fault: the check that must find it, the kind of component, what is wrong, and the code of `it`."""

    check: str
    kind: str
    what: str
    code: str


def loss(check: str, what: str, body: str) -> Fault:
    """A distance with a fault; its docstring and signature are sound."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return Fault(check, "loss", what, f'def it(reconstructed, source):\n    "E[|x - y|]"\n{lines}\n')


def layer(check: str, what: str, body: str, first: str = "", last: str = "") -> Fault:
    """A generator of one convolution with a fault."""
    return Fault(check, "generator", what, GENERATOR.format(body=body, first=first or "pass", last=last))


GENERATOR = """
class Net(nn.Module):
    def __init__(self, source, target):
        super().__init__()
        if len(source) != 3 or source[1:] != target[1:]:
            raise ValueError("takes pictures of one size")
        self.layer = nn.Conv2d(source[0], target[0], 3, padding=1)
        {first}
    def forward(self, x):
        {body}
{last}
def it(source_shape, target_shape):
    "One convolution."
    return Net(source_shape, target_shape)
"""

JUDGE = """
class Net(nn.Module):
    def __init__(self, shape):
        super().__init__()
        if len(shape) != 3:
            raise ValueError("takes pictures")
        self.layer = nn.Conv2d(shape[0], 4, 4, 4)
        self.score = nn.Conv2d(4, 1, 1)
    def forward(self, x):
        hidden = self.layer(x)
        {body}
def it(shape):
    "Two convolutions."
    return Net(shape)
"""

COUPLING = """
TO_B, TO_A = {{"source": "A", "real": "B"}}, {{"source": "B", "real": "A"}}
@frozen
class it(Coupling):
    "A generator and a discriminator."
    networks = (Network("G", "generator", ("A", "B")), Network("D", "discriminator", ("B",)){more})
    views = (View("AB", ("A", "B"), TO_B, {{{networks}}}),)
"""

DATA = """
@frozen
class it(Dataset):
    "Random pictures."
    @property
    def shapes(self):
        return {{"A": (3, 8, 8), "B": (3, 8, 8)}}
    def open(self, split):
        def stored(domain):
            drawn = random_generator(0, domain, split)
            count = 6
            samples = torch.rand(count, 3, 8, 8, generator=drawn)
            labels = {{"age": list(range(count))}}
            {change}
            return Stored(len(samples), lambda rows: samples[list(rows)], labels)
        found = {{domain: stored(domain) for domain in ("A", "B")}}
        {last}
        return found
"""

FILES = """
import tempfile
FOLDER = Path(tempfile.mkdtemp())
def make(item):
    {body}
@frozen
class it(Dataset):
    "Pictures of raw files."
    @property
    def shapes(self):
        return {{"A": (1, 8, 8)}}
    def open(self, split):
        paths = []
        for number in range(3):
            path = FOLDER / f"{{split}}_{{number}}.raw"
            path.write_bytes(bytes((number + 7 * place + 50 * len(split)) % 251 for place in range(64)))
            paths.append(str(path))
        return {{"A": Prepared(paths, make, "raw")}}
"""
READ = "return torch.tensor(list(Path(item).read_bytes()), dtype=torch.uint8)"
REFUSE = """data = Path(item).read_bytes()
    if len(data) != 64:
        raise InputError({what})
    return torch.tensor(list(data), dtype=torch.uint8).reshape(1, 8, 8)"""

EVALUATION = """
def it(trained):
    "Mean of |G(x) - y|."
    samples = trained.samples("test")
    direction = trained.directions[0]
    source, target = (samples[name].load(range(4)).float() for name in (trained.source(direction), trained.target(direction)))
    value = float((trained.translate(direction, source) - target).abs().mean())
    {body}
"""

UPDATE = """
class it(nn.Module):
    "Scales gradients."
    {body}
"""

OPTIMIZER = """
class Descent(torch.optim.Optimizer):
    def __init__(self, parameters, rate):
        super().__init__(parameters, {{"{lr}": rate}})
        self.count = 0
    @torch.no_grad()
    def step(self, closure=None):
        self.count += 1
        for group in self.param_groups:
            for parameter in {which}:
                parameter.add_({move})
def it(parameters):
    "Gradient descent."
    {made}
"""

OBSERVER = """
class it:
    "Looks on."
    def __init__(self, run):
        self.run = run
    {body}
"""

SCALES = """
class it{base}:
    "E[D(G(x))]"
    def __init__(self):
        {first}
    def generator(self, fake_score):
        {body}
"""

FAULTS = [
    # every kind
    Fault("described", "loss", "no docstring", "def it(fake):\n    return fake.mean()\n"),
    Fault(
        "settings",
        "loss",
        "number without a range",
        'def it(fake, *, power: float = 2.0):\n    "E[|x|^p]"\n    return fake.abs().pow(power).mean()\n',
    ),
    Fault(
        "settings",
        "loss",
        "default with an item of another type",
        'def it(fake, *, powers: tuple[float, ...] = (1.0, "2")):\n    "E[|x|^p]"\n    return fake.abs().mean()\n',
    ),
    # losses
    Fault(
        "sourced",
        "loss",
        "docstring without formula or paper",
        'def it(fake):\n    "How far it is."\n    return fake.mean()\n',
    ),
    loss("scalar", "one value for each sample", "return (reconstructed - source).abs().flatten(1).mean(1)"),
    loss("scalar", "a Python number", "return 1.0"),
    loss("scalar", "half precision", "return (reconstructed - source).abs().mean().half()"),
    loss("finite", "root at zero", "return (reconstructed - source).square().flatten(1).sum(1).sqrt().mean()"),
    loss(
        "finite",
        "logarithm of zero",
        "return (reconstructed + 1e-12).log().square().mean() + (0 * reconstructed).log().mean()",
    ),
    Fault(
        "finite",
        "loss",
        "exponential that overflows",
        'def it(fake_score):\n    "E[log(1 + e^-s)]"\n    return torch.log(1 + torch.exp(-fake_score)).mean()\n',
    ),
    loss(
        "gradient",
        "detached",
        "return (reconstructed.detach() - source).abs().mean() * torch.ones((), requires_grad=True)",
    ),
    loss("gradient", "rounded", "return ((255 * reconstructed).round() / 255 - source).abs().mean()"),
    Fault(
        "gradient",
        "loss",
        "one of two scores detached",
        'class it:\n    "E[s] - E[r]"\n    def discriminator(self, real_score, fake_score):\n        return fake_score.detach().mean() - real_score.mean()\n',
    ),
    Fault(
        "gradient",
        "loss",
        "gradient into the real samples",
        'class it:\n    "E[|grad D(x)|^2]"\n    def discriminator(self, discriminator, real):\n        real.requires_grad_()\n        found = torch.autograd.grad(discriminator(real)[0].sum(), real, create_graph=True)[0]\n        return found.square().mean()\n',
    ),
    Fault(
        "gradient",
        "loss",
        "backward called inside",
        'class it:\n    "E[D(x)]"\n    def discriminator(self, discriminator, real):\n        value = discriminator(real)[0].square().mean()\n        value.backward(retain_graph=True)\n        return value\n',
    ),
    loss("gradcheck", "factor detached", "d = (reconstructed - source).abs()\nreturn (d.detach() * d).mean()"),
    loss("gradcheck", "float32 inside", "return (reconstructed - source).float().abs().mean()"),
    loss("mean", "sum over the batch", "return (reconstructed - source).abs().sum()"),
    loss("mean", "statistics of the batch", "return (reconstructed.mean(0) - source.mean(0)).square().mean()"),
    loss("in-place", "argument changed", "return reconstructed.sub_(source).abs().mean()"),
    Fault("in-place", "value", "argument clamped", 'def it(fake):\n    "Clamped."\n    return fake.clamp_(0.4, 0.6)\n'),
    Fault(
        "resumed",
        "loss",
        "counter in Python",
        SCALES.format(
            base="", first="self.count = 0", body="self.count += 1\n        return fake_score.mean() * self.count"
        ),
    ),
    Fault(
        "resumed",
        "loss",
        "average in an attribute",
        SCALES.format(
            base="(nn.Module)",
            first="super().__init__(); self.average = None",
            body="m = fake_score.mean(); self.average = m.detach() if self.average is None else 0.9 * self.average + 0.1 * m.detach(); return m - self.average",
        ),
    ),
    Fault(
        "resumed",
        "loss",
        "buffer that is not saved",
        SCALES.format(
            base="(nn.Module)",
            first='super().__init__(); self.register_buffer("n", torch.zeros(()), persistent=False)',
            body="self.n.add_(1); return fake_score.mean() * self.n",
        ),
    ),
    Fault(
        "resumed",
        "value",
        "history in a list",
        'class it:\n    "The one before."\n    def __init__(self):\n        self.past = []\n    def forward(self, fake):\n        self.past.append(fake)\n        return self.past[0]\n',
    ),
    loss(
        "resumed",
        "numpy's random numbers",
        "return (reconstructed - source).abs().mean() * float(numpy.random.default_rng().random())",
    ),
    Fault(
        "recorded",
        "loss",
        "counter that counts for nothing yet",
        SCALES.format(
            base="",
            first="self.count = 0",
            body="self.count += 1\n        return fake_score.mean() * (2.0 if self.count > 1000 else 1.0)",
        ),
    ),
    Fault(
        "recorded",
        "loss",
        "list of a module grows",
        'SEEN = []\ndef it(fake_score):\n    "E[s]"\n    SEEN.append(1)\n    return fake_score.mean()\n',
    ),
    loss(
        "bf16",
        "small difference of products",
        "x, y = reconstructed.flatten(1), source.flatten(1)\nreturn ((x @ x.T - y @ y.T).diagonal() / x.square().sum(1) - (1 - y.square().sum(1) / x.square().sum(1))).mul(1e4).abs().mean() + x.square().mean()",
    ),
    loss("no-waiting", ".item()", "d = (reconstructed - source).abs().mean()\nd.item()\nreturn d"),
    loss(
        "no-waiting",
        "float(tensor)",
        "d = (reconstructed - source).abs()\nreturn d.mean() / (1 + float(d.detach().max()))",
    ),
    loss("no-waiting", "`if tensor:`", "d = (reconstructed - source).abs().mean()\nif d > 2:\n    d = 2 * d\nreturn d"),
    loss("no-waiting", "mask of unknown size", "d = (reconstructed - source).abs()\nreturn d[d > 0].mean()"),
    loss("no-waiting", ".cpu()", "return (reconstructed - source).abs().mean() + 0 * source.cpu().mean()"),
    loss("compiled", "branch by a value", "d = (reconstructed - source).abs().mean()\nreturn 2 * d if d > 0.1 else d"),
    # networks
    layer("shapes", "another size", "return self.layer(x)[..., ::2]"),
    layer("shapes", "not finite", "return self.layer(x) / 0"),
    layer("learns", "forgotten parameter", "return self.layer(x)", "self.scale = nn.Parameter(torch.ones(2))"),
    layer("learns", "no graph", "return self.layer(x).detach()"),
    layer("modes", "dropout left on", "return nn.functional.dropout(self.layer(x), 0.5)"),
    layer(
        "modes",
        "buffer moves in evaluation",
        "self.seen += 1; return self.layer(x)",
        'self.register_buffer("seen", torch.zeros(()))',
    ),
    layer(
        "restored", "weights in an attribute", "return self.layer(x) * self.scale", "self.scale = torch.rand(()) + 0.5"
    ),
    layer(
        "restored",
        "statistics in an attribute",
        "self.mean = 0.9 * self.mean + 0.1 * x.mean().detach() if self.training else self.mean; return self.layer(x) - self.mean",
        "self.mean = 0.0",
    ),
    layer(
        "seeded", "numpy's random numbers", "return self.layer(x)", "self.layer.weight.data.mul_(numpy.random.rand())"
    ),
    layer(
        "seeded",
        "seeds itself",
        "return self.layer(x)",
        "torch.manual_seed(0); nn.init.normal_(self.layer.weight); nn.init.zeros_(self.layer.bias)",
    ),
    layer(
        "other-sizes",
        "multiple that is not true",
        "return nn.functional.interpolate(nn.functional.avg_pool2d(self.layer(x), 4), scale_factor=4)",
        "self.multiple = 2",
    ),
    Fault("judgements", "discriminator", "no features", JUDGE.format(body="return self.score(hidden)")),
    Fault(
        "judgements",
        "discriminator",
        "one score for the batch",
        JUDGE.format(body="return self.score(hidden).mean(), (hidden,)"),
    ),
    Fault(
        "logits",
        "discriminator",
        "sigmoid at the end",
        JUDGE.format(body="return torch.sigmoid(self.score(hidden)), (hidden,)"),
    ),
    Fault(
        "logits",
        "discriminator",
        "relu at the end",
        JUDGE.format(body="return torch.relu(self.score(hidden)), (hidden,)"),
    ),
    Fault(
        "logits",
        "discriminator",
        "tanh times ten",
        JUDGE.format(body="return 10 * torch.tanh(self.score(hidden)), (hidden,)"),
    ),
    Fault(
        "module",
        "network",
        "no parameters",
        'class Net(nn.Module):\n    pass\ndef it(shape):\n    "Nothing."\n    return Net()\n',
    ),
    # couplings and updates
    Fault(
        "wired",
        "coupling",
        "view names a network that is not there",
        COUPLING.format(more="", networks='"generator": "G", "discriminator": "D_B"'),
    ),
    Fault(
        "all-used",
        "coupling",
        "network that no view uses",
        COUPLING.format(
            more=', Network("F", "generator", ("B", "A"))', networks='"generator": "G", "discriminator": "D"'
        ),
    ),
    Fault(
        "updated",
        "coupling",
        "network that is never updated",
        COUPLING.format(
            more=', Network("F", "generator", ("B", "A"))', networks='"generator": "G", "discriminator": "D"'
        ),
    ),
    Fault(
        "updated",
        "coupling",
        "network that two players update",
        """
class Head(nn.Module):
    def __init__(self, generator, shape):
        super().__init__()
        self.generator = generator
        self.own = nn.Linear(2, 2)
def head(generator, shape):
    "Holds the generator."
    return Head(generator, shape)
G = Network("G", "generator", ("A", "B"))
@frozen
class it(Coupling):
    "A head that holds another player's network."
    networks = (G, Network("D", "discriminator", ("B",)), Network("H", "head", ("A",), "discriminator", {"generator": G}))
    views = (View("AB", ("A", "B"), {"source": "A", "real": "B"}, {"generator": "G", "discriminator": "D", "head": "H"}),)
""",
    ),
    Fault(
        "goes-on",
        "coupling",
        "noise that is counted in Python",
        """
COUNT = [0]
def fake(generator, source):
    "G(x), a little more in each step."
    COUNT[0] += 1
    return generator(source) + 0.01 * COUNT[0]
"""
        + COUPLING.format(more="", networks='"generator": "G", "discriminator": "D"'),
    ),
    Fault(
        "parts",
        "coupling",
        "value that is normalised over the batch",
        """
def fake(generator, source):
    "G(x) less its mean over the batch."
    made = generator(source)
    return made - made.mean(0)
"""
        + COUPLING.format(more="", networks='"generator": "G", "discriminator": "D"'),
    ),
    Fault(
        "goes-on",
        "update",
        "counter in Python",
        UPDATE.format(
            body="count = 0\n    def before(self, parameters):\n        self.count += 1\n        for one in parameters:\n            one.grad.mul_(1 / self.count)\n        return True"
        ),
    ),
    Fault(
        "hooked",
        "update",
        "weights become infinite",
        UPDATE.format(
            body="def before(self, parameters):\n        for one in parameters:\n            one.grad.div_(0)\n        return True"
        ),
    ),
    Fault(
        "hooked",
        "update",
        "shows another shape",
        UPDATE.format(body='def shown(self, network):\n        return {"first.weight": torch.zeros(1)}'),
    ),
    # data sets
    Fault("samples", "dataset", "0..255 as floats", DATA.format(change="samples = samples * 255", last="")),
    Fault("samples", "dataset", "another shape", DATA.format(change="samples = samples[..., :4]", last="")),
    Fault("samples", "dataset", "float64", DATA.format(change="samples = samples.double()", last="")),
    Fault("samples", "dataset", "not finite", DATA.format(change="samples[0] = float('nan')", last="")),
    Fault("domains", "dataset", "domain that is missing", DATA.format(change="", last='del found["B"]')),
    Fault("domains", "dataset", "empty split", DATA.format(change="samples = samples[:0]; labels = {}", last="")),
    Fault("repeatable", "dataset", "drawn anew", DATA.format(change="samples = torch.rand(6, 3, 8, 8)", last="")),
    Fault(
        "disjoint",
        "dataset",
        "test samples are training samples",
        DATA.format(change="samples = torch.rand(6, 3, 8, 8, generator=random_generator(0, domain))", last=""),
    ),
    Fault("disjoint", "dataset", "one sample leaks", DATA.format(change="samples[0] = 0.5", last="")),
    Fault("labels", "dataset", "fewer labels than samples", DATA.format(change='labels = {"age": [1, 2]}', last="")),
    Fault(
        "broken-files",
        "dataset",
        "broken file makes a sample",
        FILES.format(
            body="data = Path(item).read_bytes().ljust(64)\n    return torch.tensor(list(data), dtype=torch.uint8).reshape(1, 8, 8)"
        ),
    ),
    Fault("broken-files", "dataset", "broken file raises another error", FILES.format(body=READ + ".reshape(1, 8, 8)")),
    Fault(
        "broken-files",
        "dataset",
        "broken file is not named",
        FILES.format(body=REFUSE.format(what='"a file is broken"')),
    ),
    # evaluations
    Fault(
        "finds",
        "evaluation",
        "not a number where nothing differs",
        EVALUATION.format(body='return Findings({"ratio": value / value if value else float("nan")})'),
    ),
    Fault("finds", "evaluation", "a tensor", EVALUATION.format(body='return Findings({"error": torch.tensor(value)})')),
    Fault("finds", "evaluation", "finds nothing", EVALUATION.format(body="return Findings({})")),
    Fault(
        "tells-apart",
        "evaluation",
        "compares targets with themselves",
        EVALUATION.format(body='return Findings({"error": float((target - target).abs().mean())})'),
    ),
    Fault(
        "steady",
        "evaluation",
        "unseeded samples",
        EVALUATION.format(body='return Findings({"error": value + float(numpy.random.default_rng().random())})'),
    ),
    Fault(
        "steady",
        "evaluation",
        "counter in Python",
        "COUNT = []\n" + EVALUATION.format(body='COUNT.append(1); return Findings({"error": value + len(COUNT)})'),
    ),
    Fault(
        "steady",
        "evaluation",
        "weights are changed",
        EVALUATION.format(
            body='[p.data.add_(1) for n in trained.networks.values() for p in n.parameters()]; return Findings({"error": value})'
        ),
    ),
    # optimizers
    Fault(
        "descends",
        "optimizer",
        "uphill",
        OPTIMIZER.format(
            lr="lr", which='group["params"]', move="0.01 * parameter.grad", made="return Descent(parameters, 0.01)"
        ),
    ),
    Fault(
        "descends",
        "optimizer",
        "forgets a parameter",
        OPTIMIZER.format(
            lr="lr", which='group["params"][1:]', move="-0.01 * parameter.grad", made="return Descent(parameters, 0.01)"
        ),
    ),
    Fault(
        "descends",
        "optimizer",
        "no optimizer",
        OPTIMIZER.format(lr="lr", which='group["params"]', move="0", made="return list(parameters)"),
    ),
    Fault(
        "carried-on",
        "optimizer",
        "counter in an attribute",
        OPTIMIZER.format(
            lr="lr",
            which='group["params"]',
            move="-0.01 / self.count * parameter.grad",
            made="return Descent(parameters, 0.01)",
        ),
    ),
    Fault(
        "rate",
        "optimizer",
        "learning rate by another name",
        OPTIMIZER.format(
            lr="rate", which='group["params"]', move="-0.01 * parameter.grad", made="return Descent(parameters, 0.01)"
        ),
    ),
    # observers
    Fault("answers", "observer", "misspelt hook", OBSERVER.format(body="@hookimpl\n    def ganforge_loged(self): ...")),
    Fault("answers", "observer", "unmarked method", OBSERVER.format(body="def ganforge_logged(self): ...")),
    Fault(
        "looks-on",
        "observer",
        "raises in a hook",
        OBSERVER.format(body="@hookimpl\n    def ganforge_logged(self, run, record):\n        record['nothing']"),
    ),
    Fault(
        "looks-on",
        "observer",
        "raises when it begins",
        OBSERVER.format(body="@hookimpl\n    def ganforge_started(self, run):\n        run.nothing"),
    ),
]

SOUND = [
    loss("", "distance", "return (reconstructed - source).abs().mean()"),
    layer("", "convolution", "return torch.sigmoid(self.layer(x))", "self.multiple = 1"),
    Fault(
        "", "discriminator", "two convolutions", JUDGE.format(body="return self.score(torch.tanh(hidden)), (hidden,)")
    ),
    Fault("", "coupling", "one direction", COUPLING.format(more="", networks='"generator": "G", "discriminator": "D"')),
    Fault("", "dataset", "random pictures", DATA.format(change="", last="")),
    Fault("", "dataset", "raw files", FILES.format(body=REFUSE.format(what='f"{item} is cut short"'))),
    Fault("", "evaluation", "distance", EVALUATION.format(body='return Findings({"error": value})')),
    Fault(
        "",
        "update",
        "scales gradients",
        UPDATE.format(
            body="def before(self, parameters):\n        for one in parameters:\n            one.grad.mul_(0.5)\n        return True"
        ),
    ),
    Fault(
        "",
        "optimizer",
        "descent",
        OPTIMIZER.format(
            lr="lr",
            which='group["params"]',
            move='-group["lr"] * parameter.grad',
            made="return Descent(parameters, 0.01)",
        ),
    ),
    Fault(
        "",
        "observer",
        "looks on",
        OBSERVER.format(body="@hookimpl\n    def ganforge_logged(self, run, record):\n        dict(record)"),
    ),
    Fault("", "value", "as it is", 'def it(fake):\n    "As it is."\n    return fake\n'),
]


class Bench:
    """Loads faults; all that register a component alone share one set of plugins."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.shared, self.count = folder, loaded(), 0

    def outcomes(self, fault: Fault) -> list[Outcome]:
        """Make the check that is to find a fault; of a sound component all that are not slow."""
        component, plugins = self.load(fault)
        known = all_checks()
        others = [one.name for one in known if one.name != fault.check] if fault.check else []
        slow = any(one.slow for one in known if one.name == fault.check)
        return examine(subject_of(component, plugins.registry, {}), slow=slow, skip=others)

    def load(self, fault: Fault) -> tuple[Component, Plugins]:
        """Write a plugin file with a fault's component, and load it."""
        others = {"fake": "value", "head": "network"}
        found = {name: kind for name, kind in others.items() if f"def {name}(" in fault.code}
        self.count += 1
        file = self.folder / f"fault_{self.count}.py"
        lines = [f'    register.{kind}("{name}", {name})\n' for name, kind in found.items()]
        file.write_text(HEAD + fault.code + FOOT.format(kind=fault.kind, name="it") + "".join(lines))
        plugins = loaded() if found else self.shared
        plugins.load_file(file)
        return plugins.registry.find(fault.kind, f"{file.stem}/faulty"), plugins

    def said_of(self, fault: Fault) -> str:
        """Return what a fault's own check finds first; nothing where it finds nothing."""
        problems = [finding.problem for one in self.outcomes(fault) for finding in one.findings]
        return problems[0].replace(f"{self.folder}/", "") if problems else ""


def loaded() -> Plugins:
    """Return all installed plugins."""
    plugins = Plugins()
    plugins.load_installed()
    return plugins


INTRODUCTION = """\
# What `ganforge check` finds

For each claim that `ganforge check` proves ([what each check proves](../plugins/check.md)) faults are planted in small
components: {faults} in all, of {checks} claims. Each is found by the check that claims to find it. None of ganforge's own
components is flagged (`tests/test_conformance.py`).

`python -m tests.check.faults > docs/results/check.md` makes this page; a test holds that it is current.
"""


def table() -> str:
    """Return the page docs/results/check.md: each claim, the faults planted against it, and what the check says."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        rows = [(fault, bench.said_of(fault) or "**not found**") for fault in FAULTS]
    lines = [INTRODUCTION.format(faults=len(FAULTS), checks=len(all_checks()))]
    lines += ["| check | kind | planted fault | what the check says |", "| --- | --- | --- | --- |"]
    cells = ([fault.check, fault.kind, fault.what, said] for fault, said in rows)
    lines += [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in cells]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
