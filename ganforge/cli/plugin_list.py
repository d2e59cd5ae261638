"""Save a list of the installed plugins in a file, and restore them from it."""

import hashlib
import json
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import tomli_w
from attrs import NOTHING, asdict, frozen

from ganforge.cli.common import say, tell
from ganforge.components.api import OWN
from ganforge.components.offer import Offer
from ganforge.components.plugin_folders import sources
from ganforge.components.plugins import LOCAL, Plugins
from ganforge.components.settings import read_fields
from ganforge.components.structure import fill
from ganforge.errors import InputError, RunFailedError
from ganforge.system.disk import read_text
from ganforge.system.folder import write_output

HEAD = f"# Plugins of {OWN}; `{OWN} plugins --restore FILE` says how to install them.\n"


@frozen
class Package:
    """An installed distribution; `origin` is where pip got it from, if not from an index."""

    name: str
    version: str
    origin: str = ""
    editable: bool = False

    def asked(self) -> list[str]:
        """Return the arguments for `pip install`."""
        if self.origin.startswith("file:"):
            path = unquote(urlsplit(self.origin).path)
            return ["--editable", path] if self.editable else [path]
        return [f"{self.name} @ {self.origin}" if self.origin else f"{self.name}=={self.version}"]


@frozen
class File:
    """A plugin file, or a module beside it that it imports, with the SHA-256 of its content."""

    path: str
    sha256: str


def save(path: Path, offer: Offer, plugins: Plugins) -> None:
    """Write names, versions and origins of the installed plugins, and paths and digests of local ones.

    Raises:
        InputError: the file cannot be written, or the name of a local file is not UTF-8.
    """
    for one in offer.plugins:
        if one.error:
            say(f"warning: plugin '{one.name}' is not loaded: {one.error}", style="yellow")
    names = sorted({one.origin for one in offer.plugins if one.origin != OWN and one.version not in ("", LOCAL)})
    packages = [package for package in map(_package, names) if package]
    local = [plugins.known[one.name].module for one in offer.plugins if one.version == LOCAL and not one.error]
    files = sorted({file for module in local for file in sources(module.__name__)})
    table = {
        OWN: Plugins.version(),
        "package": [asdict(one) for one in packages],
        "file": [{"path": str(file), "sha256": _digest(file)} for file in files],
    }
    text = HEAD + tomli_w.dumps({key: value for key, value in table.items() if value})
    try:
        write_output(path, text)
    except UnicodeEncodeError as error:
        raise InputError(f"the name of a plugin file is not UTF-8: {error.object[error.start :]!r}") from error
    tell(f"wrote {path}: {len(packages)} packages, {len(files)} local files")


def restore(path: Path, plugins: Plugins, *, run: bool) -> None:
    """Print the commands that install missing or different packages; with `run`, run them.

    Raises:
        InputError: it is not such a file, or a local file is missing or differs.
        RunFailedError: pip failed.
    """
    packages, files, version = _read(path)
    if version != Plugins.version():
        say(f"warning: saved with {OWN} {version}, this is {Plugins.version()}", style="yellow")
    wanted = [one.asked() for one in packages if one != _package(one.name)]
    for asked in wanted:
        if run:
            _install(asked)
        else:
            tell(f"pip install {shlex.join(asked)}")
    if not wanted:
        say("all packages are installed as saved")
    if wrong := list(_faults(files)):
        raise InputError(*wrong)


def _package(name: str) -> Package | None:
    """Return the facts about an installed distribution; None if it is not installed."""
    try:
        found: Distribution = distribution(name)
    except (PackageNotFoundError, ValueError):
        return None
    origin, editable = "", False
    with suppress(ValueError, KeyError, TypeError, AttributeError):  # the installer may have written anything
        about = json.loads(found.read_text("direct_url.json") or "{}")
        editable = bool(about.get("dir_info", {}).get("editable"))
        vcs = about.get("vcs_info")
        origin = f"{vcs['vcs']}+{about['url']}@{vcs['commit_id']}" if vcs else str(about.get("url", ""))
    return Package(str(found.name), str(found.version), origin, editable)


def _read(path: Path) -> tuple[list[Package], list[File], str]:
    """Read a file that `save` wrote, without trusting it."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        table = tomllib.loads(read_text(path))
        packages = [_made(Package, one) for one in table.get("package", [])]
        files = [_made(File, one) for one in table.get("file", [])]
        for package in packages:
            if package.origin.startswith("file:"):
                Requirement(package.name)
            else:
                Requirement(package.asked()[0])
        return packages, files, str(table[OWN])
    except (tomllib.TOMLDecodeError, TypeError, ValueError, KeyError, AttributeError, InvalidRequirement) as error:
        raise InputError(f"'{path}' is not a list of plugins that `{OWN} plugins --save` wrote: {error}") from error


def _made(cls: type, table: Any) -> Any:
    """Make an object from a table, with the checks of recipes."""
    faults: list[str] = []
    values = fill(table, read_fields(cls), (), lambda key, message, _: faults.append(f"{'.'.join(key)}: {message}"))
    if faults or NOTHING in values.values():
        raise ValueError(faults[0])
    return cls(**values)


def _faults(files: list[File]) -> Iterator[str]:
    for file in files:
        if not Path(file.path).is_file():
            yield f"the local file {file.path} does not exist"
        elif _digest(Path(file.path)) != file.sha256:
            yield f"the local file {file.path} has changed since it was saved: its SHA-256 differs"


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _install(asked: list[str]) -> None:
    say(f"pip install {shlex.join(asked)}")
    done = subprocess.run([sys.executable, "-m", "pip", "install", *asked], check=False, stdout=sys.stderr)
    if done.returncode:
        raise RunFailedError(f"pip failed: pip install {shlex.join(asked)}")
