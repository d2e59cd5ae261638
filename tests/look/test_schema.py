"""`ganforge schema`: what an editor knows of recipes."""

import enum
import json
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import pytest
from attrs import frozen, validators
from attrs.validators import ge, in_, lt

from ganforge.components.settings import read_signature
from ganforge.recipe import layers
from ganforge_look.schema import schema_of
from ganforge_look.types import of_setting

jsonschema = pytest.importorskip("jsonschema")
RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.fixture(scope="module")
def schema(plugins):
    return schema_of(plugins)


@pytest.fixture(scope="module")
def faults(schema):
    """Find what is wrong with a recipe: the paths of its keys."""
    validator = jsonschema.Draft4Validator(schema)
    return lambda table: [".".join(map(str, error.absolute_path)) for error in validator.iter_errors(table)]


def test_it_is_a_schema_of_draft_4(schema):
    assert schema["$schema"] == "http://json-schema.org/draft-04/schema#"
    jsonschema.Draft4Validator.check_schema(schema)
    assert '"const":' not in json.dumps(schema)  # which draft 4 does not know


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_fits_as_it_stands_and_with_all_that_it_extends(faults, plugins, path):
    assert faults(tomllib.loads(path.read_text())) == []
    assert faults(layers.load(path, (), plugins.recipes()).table) == []


def test_a_locked_recipe_fits(faults, ganforge, toy, tmp_path):
    assert ganforge("run", "toy.toml", "--set", "train.steps=1").status == 0
    assert faults(tomllib.loads((tmp_path / "runs/toy/0001/recipe.lock.toml").read_text())) == []


@pytest.mark.parametrize(
    ("planted", "where"),
    [
        ('[genrator]\nuse = "mlp"', ""),
        ("extends = 3", "extends"),
        ('[train]\nsteps = "many"', "train.steps"),
        ("[train]\nsteps = 0", "train.steps"),
        ("[train]\nstep = 3", "train"),
        ("[train.every]\ndiscriminator = 0", "train.every.discriminator"),
        ('[train]\nnorm = "other"', "train.norm"),
        ('[record]\nobservers = ["no-such-one"]', "record.observers.0"),
        ('[dataset]\nuse = "no-such-one"', "dataset"),
        ('[losses.adversarial]\nuse = "l2"\nscale = 0', "losses.adversarial"),
        ('[losses.adversarial]\nuse = "l2"\nscael = 1.0', "losses.adversarial"),
        ("[losses]\nadversarial = true", "losses.adversarial"),
        ('[losses.x]\nuse = "l2"\nweight = "1"', "losses.x"),
        ('[losses.x]\nuse = "l2"\nweight = { steps = [0], value = [1] }', "losses.x"),
        ('[optimizer]\nuse = "adam"\nbetas = [0.5]', "optimizer"),
        ('[optimizer]\nuse = "adam"\nlr = -1.0', "optimizer"),
        ('[optimizer.generator]\nlr = "fast"', "optimizer"),
        ('[generator]\nuse = "mlp"\noutput = "tanh"', "generator"),
        ('[generator]\nuse = "mlp"\n[generator.AB]\nhidden = 0', "generator"),
        ("[generator]\nhiden = 3", "generator"),
        ('[values.shown]\nuse = "l2"', "values.shown"),
        ('[compute]\nprecision = "fp8"', "compute.precision"),
    ],
)
def test_planted_errors_are_found_where_they_are(faults, planted, where):
    assert where in faults(tomllib.loads(planted))


@pytest.mark.parametrize(
    "sound",
    [
        "[losses]\nreconstruction = false",
        '[losses.x]\nuse = "ganforge_losses/l2"\nweight = { steps = [0, 9], values = [1, 2.0], between = "linear" }',
        '[optimizer]\nuse = "adam"\nlr = { steps = [0], values = [1e-3] }\n[optimizer.generator]\nlr = 1e-4',
        '[generator]\nhidden = 3\n[generator.AB]\nuse = "mlp"',
        '[record]\nobservers = ["csv"]\n[observers.csv]',
        '[dataset]\nuse = "folders"\nroot = "x"\nvalidation = 0.1',
        '[lock]\nname = "x"\ndevices = 2',
    ],
)
def test_what_is_sound_is_not_found_fault_with(faults, sound):
    assert faults(tomllib.loads(sound)) == []


def test_types_ranges_choices_defaults_and_descriptions_are_those_of_the_signature():
    @frozen
    class Inner:
        deep: int = 3

    class Kind(enum.Enum):
        FIRST, SECOND = "first", "second"

    def made(
        *,
        count: Annotated[int, ge(1)],
        share: Annotated[float, ge(0), lt(1)] = 0.5,
        mode: Literal["a", "b"] = "a",
        name: Annotated[str, in_(("x", "y"))] = "x",
        kind: Kind = Kind.SECOND,
        pair: tuple[float, int] = (1.0, 2),
        sizes: Annotated[list[int], validators.deep_iterable(ge(1))] = [1],  # noqa: B006
        root: Path | None = None,
        inner: Inner = Inner(),
    ):
        pass

    found = {name: of_setting(one) for name, one in read_signature(made).settings.items()}
    assert found == {
        "count": {"type": "integer", "minimum": 1},
        "share": {"type": "number", "minimum": 0, "maximum": 1, "exclusiveMaximum": True, "default": 0.5},
        "mode": {"enum": ["a", "b"], "default": "a"},
        "name": {"type": "string", "enum": ["x", "y"], "default": "x"},
        "kind": {"enum": ["first", "second"], "default": "second"},
        "pair": {
            "type": "array",
            "items": [{"type": "number"}, {"type": "integer"}],
            "minItems": 2,
            "maxItems": 2,
            "default": [1.0, 2],
        },
        "sizes": {
            "allOf": [{"type": "array", "items": {"type": "integer"}}, {"items": {"minimum": 1}}],
            "default": [1],
        },
        "root": {"type": "string"},
        "inner": {
            "type": "object",
            "properties": {"deep": {"type": "integer", "default": 3}},
            "additionalProperties": False,
            "default": {"deep": 3},
        },
    }
    setting = read_signature(made).settings["count"]
    assert of_setting(setting, "how many")["description"] == "how many"


def test_descriptions_and_plugin_files_come_with_it(ganforge, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from ganforge import hookimpl\n"
        "def far(fake, *, eps: float = 1.0):\n"
        '    """Farness.\n\n    Args:\n        fake: it.\n        eps: how far\n            away.\n    """\n'
        "@hookimpl\ndef ganforge_register(register): register.loss('far', far)\n"
    )
    result = ganforge("schema", "--out", "schema.json", "--plugin", "mine.py")
    assert (result.status, result.out) == (0, "wrote schema.json\n")
    branches = json.loads((tmp_path / "schema.json").read_text())["definitions"]["loss"]["anyOf"]
    (mine,) = [one for one in branches if one["properties"].get("use", {}).get("enum") == ["far", "mine/far"]]
    assert mine["properties"]["use"]["description"] == "Farness."
    assert mine["properties"]["eps"] == {
        "description": "how far away.",
        "anyOf": [{"type": "number"}, mine["properties"]["eps"]["anyOf"][1]],
        "default": 1.0,
    }
    assert "far" not in ganforge("schema").out.split('"')
    assert ganforge("schema", "--out", tmp_path / "no" / "x.json").status == 2
