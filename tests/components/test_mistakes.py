"""What a plugin's author gets wrong is answered with file and line, what was expected, what came, and the right name."""

import pytest

HEAD = "import torch\nfrom attrs import frozen\nfrom torch import nn\nfrom ganforge import Coupling, Dataset, Drawn, Findings, hookimpl\n"
REGISTER = "@hookimpl\ndef ganforge_register(register):\n    "


def loss(signature="reconstructed, source", body="return (reconstructed - source).abs().mean()", name="'mine'"):
    return f"{HEAD}def mine({signature}):\n    '''Mine.'''\n    {body}\n{REGISTER}register.loss({name}, mine)\n"


def component(kind, code, more=""):
    return f"{HEAD}{code}\n{REGISTER}register.{kind}('mine', Mine)\n{more}"


def network(parameters, made, returned):
    return f"class Mine(nn.Module):\n    def __init__(self, {parameters}):\n        super().__init__()\n        self.layer = nn.Linear(2, {made})\n    def forward(self, x):\n        return {returned}"


DATA = "@frozen\nclass Mine(Dataset):\n    shapes = {'A': (2,), 'B': (2,)}\n"

# By name: the plugin file, what overrides the recipe to use it, and what is said. {file} is the plugin file.
MISTAKES = {
    "misspelt tensor": (
        loss("reconstructd, source"), "losses.mine.use=mine",
        "losses.mine.use: 'mine' ({file}:5) asks for 'reconstructd', which the coupling 'discogan' does not offer; did you mean 'reconstructed'?",
    ),
    "positional setting": (
        loss("reconstructed, source, eps"), "losses.mine.use=mine",
        "'mine' ({file}:5) asks for 'eps', which the coupling 'discogan' does not offer; make it keyword-only if it is a setting: write it after a '*'; it offers: ",
    ),
    "positional setting with a default": (
        loss("reconstructed, source, rael=0.1"), "losses.mine.use=mine",
        "'mine' ({file}:5) asks for 'rael', which the coupling 'discogan' does not offer; make it keyword-only if it is a setting: write it after a '*'; it offers: ",
    ),
    "misspelt engine's argument": (
        component("generator", network("source_shap, target_shape", 2, "self.layer(x)")), "generator.use=mine",
        "generator 'mine' ({file}:5): asks for 'source_shap', but the engine gives source_shape, target_shape, target_mean; did you mean 'source_shape'?",
    ),
    "missing annotation": (
        loss("reconstructed, source, *, eps=0.1"), "",
        "loss 'mine' ({file}:5): setting 'eps' has no type annotation; write `eps: float = 0.1`",
    ),
    "missing annotation without a default": (
        loss("reconstructed, source, *, eps"), "", "setting 'eps' has no type annotation; write `eps: float`",
    ),
    "default of another type": (
        loss("reconstructed, source, *, eps: float = '0.1'"), "",
        "loss 'mine' ({file}:5): setting 'eps' has the default \"0.1\"; expected number",
    ),
    "none as the default of a number": (
        loss("reconstructed, source, *, eps: float = None"), "",
        "setting 'eps' has the default None; expected number; add `| None` to the annotation",
    ),
    "true as the default of a number": (
        loss("reconstructed, source, *, eps: int = True"), "", "setting 'eps' has the default true; expected whole number",
    ),
    "default that is no choice": (
        loss("reconstructed, source, *, side: __import__('typing').Literal['a', 'b'] = 'c'"), "",
        "setting 'side' has the default \"c\"; expected \"a\" or \"b\"",
    ),
    "default out of its range": (
        loss("reconstructed, source, *, eps: __import__('typing').Annotated[float, __import__('attrs').validators.gt(0)] = 0"), "",
        "setting 'eps' has the default 0; expected x > 0",
    ),
    "misspelt annotation": (
        loss("reconstructed, source, *, eps: Flaot = 0.1"), "",
        "NameError: name 'Flaot' is not defined ({file}:5); did you mean 'float'?",
    ),
    "misspelt annotation, read later": (
        loss("reconstructed, source, *, eps: 'Flaot' = 0.1"), "",
        "loss 'mine' ({file}:5): the annotations of mine cannot be read: name 'Flaot' is not defined",
    ),
    "hidden settings": (
        loss("reconstructed, source, **settings"), "",
        "loss 'mine' ({file}:5): '**settings' hides settings; write each of them, as `name: float = 1.0`",
    ),
    "a key of the engine": (
        loss("reconstructed, source, *, weight: float = 1.0"), "",
        "loss 'mine' ({file}:5): the setting 'weight' is a key of every loss; rename it",
    ),
    "a key of every table": (
        component("optimizer", "def Mine(parameters, *, use: str = 'x'):\n    pass"), "",
        "optimizer 'mine' ({file}:5): the setting 'use' is a key of every optimizer; rename it",
    ),
    "misspelt hook": (
        HEAD + "@hookimpl\ndef ganforge_regster(register): pass\n", "",
        "unknown hook 'ganforge_regster' ({file}:5); did you mean 'ganforge_register'?",
    ),
    "misspelt hook without its mark": (
        HEAD + "def ganforge_regster(register): pass\n", "",
        "'ganforge_regster' ({file}:5) is not a hook and lacks @hookimpl; did you mean 'ganforge_register'?",
    ),
    "misspelt argument of a hook": (
        HEAD + "@hookimpl\ndef ganforge_register(registr): pass\n", "",
        "'ganforge_register' ({file}:5) takes register, not 'registr'; did you mean 'register'?",
    ),
    "misspelt kind": (
        HEAD + REGISTER + "register.los('mine', print)\n", "",
        "AttributeError: 'Register' object has no attribute 'los' ({file}:7); did you mean 'loss'?",
    ),
    "misspelt name of ganforge": (
        "from ganforge import Regster\n", "", "cannot import name 'Regster' from 'ganforge'", "did you mean 'Register'?",
    ),
    "misspelt module": (
        "import troch\n", "", "ModuleNotFoundError: No module named 'troch' ({file}:1); did you mean 'torch'?",
    ),
    "misspelt neighbour": (
        "import helprs\n", "", "ModuleNotFoundError: No module named 'helprs' ({file}:1); did you mean 'helpers'?",
    ),
    "module that is nowhere": (
        "\nimport zzzz_nowhere\n", "", "ModuleNotFoundError: No module named 'zzzz_nowhere' ({file}:2)",
    ),
    "syntax error": ("x = 1\ndef f(:\n", "", "SyntaxError: invalid syntax ({file}:2)"),
    "wrong indentation": ("def f():\nreturn 1\n", "", "IndentationError: expected an indented block after function definition on line 1 ({file}:2)"),
    "registered twice": (
        loss() + "    register.loss('mine', mine)\n", "", "loss 'mine' is registered twice, at {file}:10 and {file}:11",
    ),
    "called, not registered": (
        HEAD + REGISTER + "register.loss('mine', torch.zeros(1).mean())\n", "",
        "register.loss ({file}:7) takes a name and a function or class, got str and Tensor",
    ),
    "name with a slash": (loss(name="'a/mine'"), "", "loss 'a/mine' ({file}:5): a name must not be empty or contain '/'"),
    "sys.exit": (HEAD + "import sys\nsys.exit('bye')\n", "", "SystemExit: bye ({file}:6)"),
    "nothing registered": ("x = 1\n", "losses.mine.use=mine", "warning: plugin file {file} implements no hook, such as `@hookimpl def ganforge_register(register)`"),
    "a setting that no recipe can hold": (
        loss("reconstructed, source, *, by: nn.Module = None"), "",
        "loss 'mine' ({file}:5): setting 'by' is a Module, which a recipe cannot hold; use numbers, texts, lists, tables, ",
    ),
    "a setting under another name, with a schedule": (
        component("loss", "class Mine:\n    def __init__(self, *, margin: float = 1.0):\n        self._margin = margin\n    def generator(self, fake):\n        return (self._margin - fake).abs().mean()"),
        "losses.mine={use='mine',margin={steps=[0,4],values=[5.0,9.0],between='linear'}}",
        "loss 'plug/mine' ({file}:5) must keep its setting 'margin' as `self.margin`, unchanged: it has a schedule",
    ),
    "a setting that is converted, with a schedule": (
        component("loss", "class Mine:\n    def __init__(self, *, margin: float = 1.0):\n        self.margin = margin / 2\n    def generator(self, fake):\n        return (self.margin - fake).abs().mean()"),
        "losses.mine={use='mine',margin={steps=[0,4],values=[5.0,9.0],between='linear'}}",
        "must keep its setting 'margin' as `self.margin`, unchanged: it has a schedule",
    ),
    "module without its state": (
        component("loss", "class Mine(nn.Module):\n    def __init__(self, *, a: float = 1.0):\n        self.a = a\n    def generator(self, fake):\n        return self.a * fake.abs().mean()"),
        "losses.mine.use=mine",
        "loss 'plug/mine' ({file}:5) is a module without its state: call super().__init__() first in its __init__",
    ),
    "buffer before the module's state": (
        component("loss", "class Mine(nn.Module):\n    def __init__(self, *, a: float = 1.0):\n        self.register_buffer('a', torch.ones(1))\n    def generator(self, fake):\n        return (self.a * fake).abs().mean()"),
        "losses.mine.use=mine", "loss 'plug/mine' ({file}:5) failed: AttributeError: cannot assign buffer before Module.__init__() call",
    ),
    "parameter made in a call": (
        component("generator", "class Mine(nn.Module):\n    def __init__(self, source_shape, target_shape):\n        super().__init__()\n        self.o = nn.Linear(2, 2)\n    def forward(self, x):\n        if not hasattr(self, 'l'):\n            self.l = nn.Linear(2, 2)\n        return self.l(self.o(x))"),
        "generator.use=mine",
        "generator 'plug/mine' makes the parameter 'l.bias' when it is called; make it in __init__, with its shape",
    ),
    "lazy parameter": (
        component("generator", network("source_shape, target_shape", 2, "self.last(self.layer(x))").replace("self.layer = ", "self.last = nn.LazyLinear(2)\n        self.layer = ")),
        "generator.use=mine",
        "generator 'plug/mine' makes the parameter 'last.bias' when it is called; make it in __init__, with its shape",
    ),
    "parameter that a loss makes in a call": (
        component("loss", "class Mine(nn.Module):\n    def generator(self, fake):\n        if not hasattr(self, 'l'):\n            self.l = nn.Parameter(torch.ones(2))\n        return (self.l * fake).abs().mean()"),
        "losses.mine.use=mine", "losses.mine.AB makes the parameter 'l' when it is called; make it in __init__, with its shape",
    ),
    "values in a circle": (
        f"{HEAD}def a(b):\n    return b\ndef b(a):\n    return a\ndef mine(a):\n    return a.mean()\n{REGISTER}register.value('a', a)\n    register.value('b', b)\n    register.loss('mine', mine)\n",
        "losses.mine.use=mine",
        "'mine' asks for 'a', but values ask for each other: 'a', which asks for 'b', which asks for 'a'; no value may depend on itself",
    ),
    "average with a graph": (
        component("loss", "class Mine(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.register_buffer('m', torch.zeros(2))\n    def generator(self, fake):\n        self.m = 0.9 * self.m + 0.1 * fake.mean(0)\n        return (self.m - fake).abs().mean()"),
        "losses.mine.use=mine", "or detach it, for example where it is added to an average",
    ),
    "tensor that no network has": (
        component("update", "class Mine:\n    def shown(self, network):\n        return {'nothere': torch.zeros(3)}"),
        "updates.mine.use=mine", "an update shows 'nothere' of G_AB, which has no such tensor",
    ),
    "loss that returns nothing": (
        loss(body="pass"), "losses.mine.use=mine",
        "losses.mine.AB: 'plug/mine' must return a scalar tensor, got NoneType ({file}:5)",
    ),
    "loss that returns a number": (
        loss(body="return source.mean().item()"), "losses.mine.use=mine",
        "losses.mine.AB: 'plug/mine' must return a scalar tensor, got float ({file}:5)",
    ),
    "loss that returns a row": (
        loss(body="return source.mean(1)"), "losses.mine.use=mine",
        "losses.mine.AB: 'plug/mine' must return a scalar tensor, got shape [16] ({file}:5)",
    ),
    "loss that raises in torch": (
        loss(body="return source.reshape(7, 3).mean()"), "losses.mine.use=mine",
        "losses.mine.AB: 'plug/mine' raised RuntimeError: shape '[7, 3]' is invalid for input of size 32 ({file}:7)",
    ),
    "misspelt player": (
        component("loss", "class Mine:\n    def generater(self, fake):\n        return fake.mean()"), "losses.mine.use=mine",
        "'mine' has no method for any of discriminator, generator",
    ),
    "value that returns nothing": (
        component("value", "def Mine(fake):\n    pass"), "values.shown.use=mine",
        "'NoneType' object has no attribute 'flatten'", "it was given None as its 'shown'",
    ),
    "generator of another shape": (
        component("generator", network("source_shape, target_shape", 3, "self.layer(x)")), "generator.use=mine",
        "generator 'plug/mine' ({file}:5) returned shape [2, 3], expected a tensor of shape [2, 2]",
    ),
    "generator of two tensors": (
        component("generator", network("source_shape, target_shape", 2, "self.layer(x), x")), "generator.use=mine",
        "generator 'plug/mine' ({file}:5) returned tuple, expected a tensor of shape [2, 2]",
    ),
    "generator that is none": (
        component("generator", "def Mine(source_shape, target_shape):\n    return 5"), "generator.use=mine",
        "generator 'plug/mine' ({file}:5) made int, expected a torch.nn.Module",
    ),
    "discriminator without features": (
        component("discriminator", network("shape", 1, "self.layer(x)")), "discriminator.use=mine",
        "discriminator 'plug/mine' ({file}:5) must return (score, tuple of features), got Tensor",
    ),
    "misspelt method of an update": (
        component("update", "class Mine:\n    def befor(self, parameters):\n        return True"), "",
        "update 'mine' ({file}:5): needs a method before, after or shown, got befor; did you mean 'before'?",
    ),
    "misspelt argument of an update": (
        component("update", "class Mine:\n    def before(self, parametres):\n        return True"), "",
        "update 'mine' ({file}:5): 'before' takes player, parameters, step, not 'parametres'; did you mean 'parameters'?",
    ),
    "optimizer that returns nothing": (
        component("optimizer", "def Mine(parameters, *, lr: float = 1.0):\n    pass"), "optimizer.use=mine",
        "optimizer 'plug/mine' returned NoneType, expected a torch.optim.Optimizer ({file}:5)",
    ),
    "evaluation that returns numbers": (
        component("evaluation", "def Mine(trained):\n    return {'a': 1.0}"), "evaluations.mine.use=mine",
        "evaluation 'mine' ({file}:5) returns dict, expected ganforge.Findings",
    ),
    "evaluation of words": (
        component("evaluation", "def Mine(trained):\n    return Findings({'a': 'b'})"), "evaluations.mine.use=mine",
        "evaluation 'mine' ({file}:5) returns metrics that are not numbers: could not convert string to float: 'b'",
    ),
    "evaluation that misspells": (
        component("evaluation", "def Mine(trained):\n    return trained.sample('test')"), "evaluations.mine.use=mine",
        "evaluation 'mine' failed: AttributeError: 'Trained' object has no attribute 'sample' ({file}:6); did you mean 'samples'?",
    ),
    "misspelt hook of an observer": (
        component("observer", "class Mine:\n    @hookimpl\n    def ganforge_loged(self): pass"), "observers.mine.use=mine",
        "warning: observer 'plug/mine' is disabled: unknown hook 'ganforge_loged' ({file}:6); did you mean 'ganforge_logged'?",
    ),
    "observers that are none": (
        HEAD + "@hookimpl\ndef ganforge_observers(run): return 5\n", "train.steps=1",
        "warning: plugin 'plug' is disabled: 'ganforge_observers' ({file}:5) returned 5, not a list",
    ),
    "data set without open": (component("dataset", DATA), "", "dataset 'mine' ({file}:5): the class lacks open"),
    "data set of no base": (
        component("dataset", "class Mine:\n    pass"), "dataset.use=mine",
        "dataset 'plug/mine' is not derived from ganforge.Dataset ({file}:5)",
    ),
    "data set that opens nothing": (
        component("dataset", DATA + "    def open(self, split): pass"), "dataset.use=mine",
        "Mine.open ({file}:8) returned NoneType for 'train', expected ganforge's Stored, Prepared or Drawn for each domain",
    ),
    "data set of tensors": (
        component("dataset", DATA + "    def open(self, split): return {'A': torch.rand(5, 2), 'B': None}"), "dataset.use=mine",
        "Mine.open ({file}:8) returned Tensor for 'train', expected ganforge's Stored, Prepared or Drawn for each domain",
    ),
    "samples of another shape": (
        component("dataset", DATA + "    def open(self, split): return {d: Drawn(lambda n, g: torch.rand(n, 3)) for d in 'AB'}"), "dataset.use=mine",
        "dataset 'plug/mine' returns samples of shape [3] in domain A, but declares [2] ({file}:5)",
    ),
    "coupling without views": (
        component("coupling", "@frozen\nclass Mine(Coupling):\n    networks = ()"), "", "coupling 'mine' ({file}:5): the class lacks views",
    ),
    "coupling of no base": (
        component("coupling", "class Mine:\n    pass"), "coupling.use=mine", "'plug/mine' is not derived from ganforge.Coupling ({file}:5)",
    ),
}  # fmt: skip
GOES_ON = ("misspelt hook of an observer", "observers that are none")
RECIPES_FAULT = ("misspelt tensor", "positional setting", "positional setting with a default", "nothing registered")
RECIPES_FAULT += ("misspelt player", "coupling of no base", "values in a circle")


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_in_a_line(name, ganforge, toy, tmp_path):
    code, use, *said = MISTAKES[name]
    file = tmp_path / "plug.py"
    file.write_text(code)
    (tmp_path / "helpers.py").write_text("")
    sets = ["--set", use] if use else []
    result = ganforge("run", toy, "--plugin", file, "--set", "train.steps=2", *sets)
    assert result.status == (0 if name in GOES_ON else 2 if name in RECIPES_FAULT else 3), result.err
    lines = [line for line in result.err.splitlines() if line.startswith(("error: ", "warning: "))]
    for part in said:
        assert any(part.format(file=file) in line for line in lines), result.err


def test_what_a_plugin_prints_at_import_does_not_stand_among_the_output(ganforge, tmp_path):
    (tmp_path / "plug.py").write_text("print('hello')\n" + loss())
    result = ganforge("list", "loss", "--json", "--plugin", tmp_path / "plug.py")
    assert result.status == 0
    assert "hello" not in result.out
    assert "hello" in result.err


def test_two_files_that_clash_and_two_that_offer_the_same(ganforge, toy, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "plug.py").write_text(loss())
    first, second = (tmp_path / folder / "plug.py" for folder in ("one", "two"))
    clash = ganforge("list", "--plugin", first, "--plugin", second)
    assert clash.status == 2
    assert f"plugin 'plug' of {second} is already loaded from {first}; rename the file" in clash.err
    other = second.rename(tmp_path / "two" / "other.py")
    both = ("--plugin", first, "--plugin", other)
    several = ganforge("run", toy, *both, "--set", "losses.mine.use=mine")
    assert several.status == 2
    assert "several plugins offer the loss 'mine': write 'other/mine' or 'plug/mine'" in several.err
    assert ganforge("run", toy, *both, "--set", "losses.mine.use=other/mine", "--set", "train.steps=1").status == 0


@pytest.mark.parametrize("words", [["plugins"], ["list"], ["show", "loss", "l1"], ["recipes"]], ids=" ".join)
def test_other_commands_go_on_beside_a_broken_file(words, ganforge, tmp_path):
    (tmp_path / "plug.py").write_text("def f(:\n")
    assert ganforge(*words).status == 0
    assert "SyntaxError" in ganforge("plugins", "--plugin", tmp_path / "plug.py").out
