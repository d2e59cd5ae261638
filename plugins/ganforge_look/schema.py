"""`ganforge schema`: a JSON Schema of recipes, with all installed components, for TOML editors."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ganforge import PluginFiles, Plugins, aside, offered, plugins_with, tell, to_json, write_output

ANSWER = "schema"

_out = typer.Option("--out", metavar="FILE", help="Write to a file instead of the terminal.")


def schema(context: typer.Context, out: Annotated[Path | None, _out] = None, plugin: PluginFiles = None) -> None:
    """Write a JSON Schema (Draft 4) of recipes: tables, keys, types, ranges, choices, defaults, descriptions."""
    index = context.obj.index
    with aside():
        found = None if plugin else index.find(ANSWER)
        if found is None:
            plugins = plugins_with(context, plugin)
            with index.watching():
                found = schema_of(plugins)
            offered(context, plugin)  # so that the index is stored
            if not plugin:
                index.keep(ANSWER, found)
    text = to_json(found, indent=2) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        tell(f"wrote {write_output(out, text)}")


def schema_of(plugins: Plugins) -> dict[str, Any]:
    """Return the schema of recipes that name the components of these plugins."""
    from ganforge_look.tables import Tables

    return Tables(plugins.registry).recipe()
