"""Data sets: toy mixtures, pairs, folders, CelebA attributes, azimuth folders, turntables, coats; and downloads."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ganforge import Archive, Register, hookimpl

if TYPE_CHECKING:
    import typer


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the data sets."""
    from ganforge_data import azimuth, celeba, coats, crops, edges2photo, folders, mixture, pairs, turntable

    register.dataset("mixture", mixture.Mixture)
    register.dataset("edges2photo", edges2photo.Edges2Photo)
    register.dataset("photos", edges2photo.Photos)
    register.dataset("folders", folders.Folders)
    register.dataset("pairs", pairs.Pairs)
    register.dataset("crops", crops.Crops)
    register.dataset("celeba", celeba.CelebA)
    register.dataset("azimuth", azimuth.Azimuth)
    register.dataset("turntable", turntable.Turntable)
    register.dataset("coats", coats.Coats)


@hookimpl
def ganforge_archives() -> Iterable[Archive]:
    """Return the published data sets."""
    from ganforge_data.archives import ARCHIVES

    return ARCHIVES


@hookimpl
def ganforge_commands(app: "typer.Typer") -> None:
    """Add `ganforge data` with its commands."""
    import typer

    from ganforge_data import commands

    help = "List, show, prepare and download the data sets of recipes."
    data = typer.Typer(name="data", help=help, no_args_is_help=True, add_completion=False)
    data.command("list")(commands.list_data)
    data.command("show")(commands.show)
    data.command("fetch")(commands.fetch)
    app.add_typer(data)
