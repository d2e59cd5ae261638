"""Starting points for authors: a small file for each kind of component, or a package with it."""

from typing import TYPE_CHECKING

from ganforge import hookimpl

if TYPE_CHECKING:
    import typer


@hookimpl
def ganforge_commands(app: "typer.Typer") -> None:
    """Add `ganforge new`."""
    from ganforge_new.commands import new

    app.add_typer(new, name="new")
