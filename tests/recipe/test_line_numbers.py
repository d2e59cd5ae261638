"""At which line a key stands, in every form that TOML knows, and how much work it is to find out."""

import tomllib

import pytest

from ganforge.recipe import layers, line_numbers as module
from ganforge.recipe.layers import Layer
from ganforge.recipe.nested import has

FORMS = [
    "a.b.c = 1",
    'x = 1\n[a]\n  # b = 2\nb = [\n  1, # ]\n  "]",\n  2,\n]\n',
    'x = """\nb = 1\n[c]\n"""\n\nb = 2\n',
    "[a]\nb = { c = 1, d = 2 }",
    '["a".b]\nc = 1',
    "[[a]]\nb = 1\n[[a]]\nb = 2",
    "[[a]]\n[[a.b]]\nx=1\n[[a.b]]\nx=2\n[a.b.c]\ny=1\n[[a]]\n[[a.b]]\nx=3\n[a.d]\nz = {q = {r = 1, s = [{t=1},{u=2}]}}\n",
    "[[a.b]]\n[a.b.c]\nx=1\n[[a.b]]\ny=1\n[a.e]\nk=1\n",
    'x = \'\'\'\n[a]\n\'\'\'\'\ny = """"""\nz="""\\""""""\nq = \'a#b\'\n\'w#\' = 1\n"a\\"b" = 2\n',
    "[a.b.c]\nx=1\n[a]\ny=2\n[a.b]\nz=1\n",
    "a = [[1,2],[3,\n4],\n[5]]\nb=[{x=1},{y=2}]\n",
    '"" = 1\n',
    ' \t [ a . "b" ]  # c ] \n  x . y = 1 # [\n  x.z = 2\n',
    '# \u2028 x\na = "\u2028\x85"\nb = 1\n',
    "d = 1979-05-27T07:32:00Z\ne=inf\nf=0x1F\n\n\n[g]",
    'a = """x\\\n  y"""\nb = 2\nc=[ # [\n]\n',
]


def asked_of_the_parser(text, path):
    """Where the shortest sound beginning of the text that holds a key goes beyond the one before it."""
    lines, begin = [line + "\n" for line in text.split("\n")], 0
    for end in range(1, len(lines) + 1):
        try:
            table = tomllib.loads("".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue
        if has(table, path):
            return begin + 1
        begin = end
    return None


def paths(value, path=()):
    """All that can be asked for in a table."""
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths(inner, (*path, str(key)))


@pytest.mark.parametrize("text", FORMS)
def test_every_key_is_found_where_the_parser_itself_finds_it(text):
    table = tomllib.loads(text)
    layer = Layer("x.toml", text, table)
    for path in paths(table):
        assert layer.line(path) == asked_of_the_parser(text, path), path
    assert layer.line(("absent",)) is None


def test_a_statement_is_parsed_once_however_many_keys_are_asked_for(monkeypatch):
    text = "[train]\n" + "".join(f"k{number} = {number}\n" for number in range(400))
    recipe = layers.parse(text, "x.toml", None)
    parsed, loads = [], tomllib.loads
    monkeypatch.setattr(module.tomllib, "loads", lambda part: (parsed.append(len(part)), loads(part))[1])
    assert [recipe.where(("train", f"k{number}")) for number in (0, 399)] == ["x.toml:2", "x.toml:401"]
    assert all(recipe.where(("train", f"k{number}")) == f"x.toml:{number + 2}" for number in range(400))
    assert sum(parsed) < len(text)
