"""The licence and the author of a package."""

import datetime
import subprocess
import sys
from pathlib import Path

import typer
from attrs import frozen

from ganforge import InputError, read_text

TEXTS = Path(__file__).parent / "templates" / "licenses"
USUAL = "MIT"


@frozen
class Licence:
    """A licence: its SPDX name and its text; both are empty if there is none."""

    name: str = ""
    text: str = ""


def choose(name: str | None, author: str | None) -> Licence:
    """Return a licence with this year and the author; ask for the author if neither an option nor git gives one.

    Raises:
        InputError: the author is unknown.
    """
    if name == "none":
        return Licence()
    name = name or USUAL
    holder = author if author is not None else _from_git() or _asked()
    if not holder.strip() or not holder.isprintable():
        raise InputError(f"the licence {name} needs the name of its author: --author NAME, or --license none")
    text = read_text(TEXTS / f"{name}.txt")
    return Licence(name, text.replace("YEAR", str(datetime.date.today().year)).replace("AUTHOR", holder.strip()))


def refuse(name: str | None, author: str | None) -> None:
    """Refuse a licence or an author without a package."""
    if name is not None or author is not None:
        raise InputError("--license and --author are for packages: add --package")


def _from_git() -> str:
    try:
        found = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False)
    except (OSError, ValueError):  # git is missing, or the name is not UTF-8
        return ""
    return found.stdout.strip()


def _asked() -> str:
    if not sys.stdin.isatty():
        return ""
    return str(typer.prompt("Who holds the copyright", err=True))
