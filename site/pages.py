"""Pages of the site that nobody writes by hand; mkdocs calls the `on_...` functions while it builds the site.

Components, recipes, views and hooks are described from the registry and the signatures. Files of the repository outside
docs/ become pages where another page links to them. A comment `<!-- cost: RECIPE... -->` becomes a table of parameters
and arithmetic.
"""

import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from attrs import NOTHING
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import ganforge
from ganforge import Coupling, Plugins
from ganforge.components import hookspecs
from ganforge.components.component import KINDS, Component
from ganforge.components.offer import described
from ganforge.recipe.layers import summary

ROOT = Path(__file__).parents[1]
ROOT_PAGES = {f"{name}.md": f"{name.lower()}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG")}
ENGINE_TABLES = ("train", "compute", "record", "losses", "values")
LANGUAGES = {".py": "python", ".toml": "toml", ".sh": "sh"}
LINK = re.compile(r"(\]\()(?!\w+:|#|/)([^)\s#]+)")  # the target of a link, without its anchor
CODE = re.compile(r"(```.*?```|~~~~.*?~~~~|`[^`\n]*`)", re.DOTALL)
COST = re.compile(r"<!-- cost: (.+?) -->")  # recipes, and overrides for all of them
MATH = re.compile(r"(?<![\\$\w])\$([^$\n]+)\$(?![\w$])")
COMPONENT = """
::: {path}
    options:
      heading_level: 3
      show_root_heading: false
      show_root_toc_entry: false
      show_bases: false
      members: {members}
      filters: ['!^_']
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called when mkdocs has listed docs/: add the pages that are made, and name them in the navigation."""
    written = {file.src_uri: file.content_string for file in files if file.is_documentation_page()}
    counting.update(started(sorted({words for text in written.values() for words in COST.findall(text)})))
    made = {page: (ROOT / name).read_text() for name, page in ROOT_PAGES.items()} | reference()
    made |= sources(written | made)
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    config.nav = [expanded(item, sorted(written | made)) for item in config.nav or ()]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Called when a page has been read: fill in costs, and point links at the repository's files on the site."""
    markdown = COST.sub(lambda match: costs_table(counting[match[1]].result()[match[1]]), markdown)

    def change(match: re.Match[str]) -> str:
        path = linked(page.file.src_uri, match[2])
        return match[1] + (os.path.relpath(target(path), Path(page.file.src_uri).parent) if path else match[2])

    parts = CODE.split(markdown)
    parts[::2] = [MATH.sub(as_mathml, LINK.sub(change, part)) for part in parts[::2]]
    return "".join(parts)


counting: dict[str, Future[dict[str, Any]]] = {}  # what is counted while other pages are made


def started(asked: list[str]) -> dict[str, Future[dict[str, Any]]]:
    """Begin to count what recipes take; return the answer to come for each comment."""

    def count() -> dict[str, Any]:
        words = [sys.executable, str(ROOT / "site" / "costs.py"), *asked]
        return dict(json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout))

    pool = ThreadPoolExecutor(1)
    answer = pool.submit(count)
    pool.shutdown(wait=False)
    return dict.fromkeys(asked, answer)


def costs_table(costs: Iterable[Mapping[str, Any]]) -> str:
    """Return the table of what a step of each recipe takes."""
    rows = []
    for cost in costs:
        alike: dict[int, list[str]] = {}
        for name, count in cost["parameters"].items():
            alike.setdefault(count, []).append(name)
        parameters = "; ".join(
            f"{', '.join(names)}: {count:,}{' each' if len(names) > 1 else ''}" for count, names in alike.items()
        )
        link = f"[{cost['recipe']}](../reference/recipes/{cost['recipe']}.md)"
        recipe = ", ".join([link, *map(code, cost["sets"])])
        rows.append((recipe, parameters, f"{cost['batch']:,}", f"{cost['gflop']:,.4g} GFLOP"))
    return table(("recipe", "parameters", "batch", "arithmetic of a step"), rows)


def as_mathml(match: re.Match[str]) -> str:
    """Return a formula as MathML, which browsers show without a script."""
    return convert(match[1])


def expanded(item: Any, pages: Iterable[str]) -> Any:
    """Return an entry of the navigation with the pages of a folder in place of a name such as `methods/`."""
    if isinstance(item, dict):
        return {title: expanded(inner, pages) for title, inner in item.items()}
    if isinstance(item, list):
        found = [expanded(inner, pages) for inner in item]
        return [page for one in found for page in (one if isinstance(one, list) else [one])]
    if not item.endswith("/"):
        return item
    inside = [page for page in pages if page.startswith(item) and "/" not in page.removeprefix(item)]
    return sorted(inside, key=lambda page: (Path(page).name != "index.md", page))


# Links


def origin(page: str) -> Path:
    """Return the file of the repository that a page of the site shows."""
    for name, other in ROOT_PAGES.items():
        if page == other:
            return ROOT / name
    inside = page.removeprefix("source/").removesuffix(".md") if page.startswith("source/") else f"docs/{page}"
    return ROOT / inside


def target(path: Path) -> str:
    """Return where a file or folder of the repository is on the site."""
    inside = path.relative_to(ROOT).as_posix()
    if inside in ROOT_PAGES:
        return ROOT_PAGES[inside]
    in_docs = inside.startswith("docs/") and path.suffix in (".md", ".png", ".svg")
    return inside.removeprefix("docs/") if in_docs else f"source/{inside}.md"


def linked(page: str, link: str) -> Path | None:
    """Return the file or folder of the repository that a link leads to; None where it is a page that is made."""
    path = Path(os.path.normpath(origin(page).parent / link))
    return path if path.exists() else None


def sources(pages: Mapping[str, str]) -> dict[str, str]:
    """Return pages for all files and folders outside of docs/ that these pages link to, and those that folders hold."""
    made: dict[str, str] = {}
    todo = dict(pages)
    while todo:
        page, text = todo.popitem()
        for match in LINK.finditer(CODE.sub("", text)):
            path = linked(page, match[2])
            if path and (name := target(path)) not in made and name.startswith("source/"):
                made[name] = folder(path) if path.is_dir() else fenced(path)
                todo[name] = made[name]
    return made


def fenced(path: Path) -> str:
    """Show a file."""
    return f"# {path.relative_to(ROOT)}\n\n~~~~{LANGUAGES.get(path.suffix, 'text')}\n{path.read_text()}\n~~~~\n"


def folder(path: Path) -> str:
    """List the files of a folder."""
    names = sorted(one.name for one in path.iterdir() if one.name not in ("__pycache__", "py.typed"))
    return f"# {path.relative_to(ROOT)}\n\n" + "".join(f"* [{name}]({path.name}/{name})\n" for name in names)


# The reference


@cache
def reference() -> dict[str, str]:
    """Return the text of each page of the reference."""
    plugins = Plugins()
    plugins.load_installed()
    components = {kind: list(plugins.registry.of(kind)) for kind in KINDS}
    recipes = plugins.recipes()
    listed = [(name, summary(path.read_text())) for name, path in recipes.items()]
    pages = {
        "tables.md": tables_page(),
        "recipes.md": "# Recipes\n\n"
        + table(("recipe", "summary"), [(f"[{name}](recipes/{name}.md)", text) for name, text in listed]),
        "views.md": views_page(components["coupling"], components["value"]),
        "hooks.md": hooks_page(),
        "python.md": python_page(),
    }
    pages |= {f"{kind}.md": kind_page(kind, found) for kind, found in components.items() if found}
    pages |= {f"recipes/{name}.md": recipe_page(name, path.read_text()) for name, path in recipes.items()}
    links = "".join(
        f"* [{text.partition(chr(10))[0].removeprefix('# ')}]({name})\n"
        for name, text in sorted(pages.items())
        if "/" not in name
    )
    pages["index.md"] = f"# Reference\n\nGenerated from the code when this site is built.\n\n{links}"
    return {f"reference/{name}": text for name, text in pages.items()}


def table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table of Markdown."""
    head = list(heads)
    lines = [head, ["---"] * len(head), *([cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def cell(value: object) -> str:
    """Show a value within a table."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def code(value: object) -> str:
    """Show a value as code, and nothing as nothing."""
    return f"`{value}`" if str(value) else ""


def settings(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the table of settings."""
    found = [(code(row["setting"]), row["type"], code(row["shown"]), row["range"]) for row in rows]
    return table(("setting", "type", "default", "range"), found) if found else ""


def kind_page(kind: str, components: Iterable[Component]) -> str:
    """Show all components of a kind."""
    parts = [f"# {kind.capitalize()}: components\n\n`ganforge list {kind}` lists the installed ones.\n"]
    for component in components:
        one = described(component)
        asks = "".join(
            f"\nasks for{f', for the {player}' if player else ''}: {', '.join(map(code, names)) or 'nothing'}\n"
            for player, names in one.asks.items()
        )
        path = f"{component.factory.__module__}.{component.factory.__qualname__}"
        shown = COMPONENT.format(path=path, members=str(kind in ("loss", "value", "update")).lower())
        parts.append(f"## {one.name}\n\nplugin: `{one.plugin}`\n{asks}\n{settings(one.settings)}\n{shown}")
    return "\n".join(parts)


def tables_page() -> str:
    """Show the tables of a recipe that belong to the engine."""
    parts = ["# The engine's tables in a recipe\n\n`ganforge show train`, and so on, prints each of them.\n"]
    for name in ENGINE_TABLES:
        words = [sys.executable, "-m", "ganforge", "show", name, "--json"]
        shown = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        rows = [
            (code(row["setting"]), row["type"], code(json.dumps(row["default"])), row["range"], row["doc"])
            for row in shown["settings"]
        ]
        parts.append(
            f"## {name}\n\n{shown['doc']}\n\n{table(('setting', 'type', 'default', 'range', 'meaning'), rows)}"
        )
    return "\n".join(parts)


def recipe_page(name: str, text: str) -> str:
    """Show a recipe, with a link to the one that it extends."""
    parent = str(tomllib.loads(text).get("extends", "")).removesuffix(".toml")
    extends = f"Extends [{parent}]({parent}.md).\n\n" if parent else ""
    return f"# {name}\n\n{extends}```toml\n{text}```\n\n`ganforge validate {name}` checks it and its data.\n"


def views_page(couplings: Iterable[Component], values: Iterable[Component]) -> str:
    """Show the wiring of each coupling, and all values that losses may ask for."""
    parts = [
        "# Views and their tensors\n\nA loss asks by name for a field of the batch, a network or constant of a view, "
        "or a value that is made of these. A view that lacks something does not offer the values that are made of it.\n"
    ]
    for one in couplings:
        coupling = one.factory(**{name: default(setting) for name, setting in one.signature.settings.items()})
        parts.append(f"## {one.name}\n\n{one.summary}\n\n{networks_table(coupling)}\n{wiring_table(coupling)}")
    rows = [(code(one.name), *asked_and_said(one), code(one.plugin)) for one in values]
    parts.append(f"## Values\n\n{table(('value', 'computed from', 'meaning', 'plugin'), rows)}")
    return "\n".join(parts)


def default(setting: Any) -> Any:
    """Return a setting's default, or an example where the recipe must give one."""
    return ("A", "B", "C") if setting.default is NOTHING else setting.default


def networks_table(coupling: Coupling) -> str:
    """Return the table of a coupling's networks."""
    rows = [
        (code(one.name), one.role, ", ".join(one.domains), one.player or "nobody: frozen") for one in coupling.networks
    ]
    return table(("network", "role", "domains", "updated by"), rows)


def wiring_table(coupling: Coupling) -> str:
    """Return the table of a coupling's views."""
    rows = [
        (code(view.name), *(wired(one) for one in (view.fields, view.networks, view.constants)))
        for view in coupling.views
    ]
    return table(("view", "fields", "networks", "constants"), rows)


def wired(names: Mapping[str, Any]) -> str:
    """Show what stands behind names."""
    return ", ".join(f"`{name}` = {value}" for name, value in names.items())


def asked_and_said(value: Component) -> tuple[str, str]:
    """Return what a value asks for, of all players, and its first line."""
    asked = dict.fromkeys(name for names in value.asks().values() for name in names)
    return ", ".join(map(code, asked)), value.summary


def hooks_page() -> str:
    """Show every hook with its signature."""
    parts = ["# Hooks\n\nMark an implementation with `ganforge.hookimpl`; it takes any of the arguments, by name.\n"]
    for name, function in vars(hookspecs).items():
        if name.startswith("ganforge_"):
            signature = f"{name}({', '.join(inspect.signature(function).parameters)})"
            parts.append(f"## {name}\n\n```text\n{signature}\n```\n\n{inspect.getdoc(function)}\n")
    return "\n".join(parts)


def python_page() -> str:
    """Show every public class and function of `ganforge`."""
    tree = (ROOT / "ganforge" / "__init__.py").read_text()
    names = sorted(set(re.findall(r"(\w+) as \1\b", tree)), key=str.lower)
    shown = [name for name in names if inspect.isclass(thing := getattr(ganforge, name)) or inspect.isfunction(thing)]
    parts = [f"::: {thing.__module__}.{thing.__qualname__}\n" for thing in (getattr(ganforge, name) for name in shown)]
    head = "# Python: the names in `ganforge`\n\nEverything that a plugin may import, and `ganforge.Translator`.\n\n"
    return head + "\n".join(parts)
