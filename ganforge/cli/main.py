"""The command line. Commands import torch only if they need it, so that the others start fast."""

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from functools import partial
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from ganforge.cli import inspection, train
from ganforge.cli.common import say, tell
from ganforge.cli.streams import lasting, silent
from ganforge.components.guard import trace
from ganforge.components.index import Index
from ganforge.components.plugins import ALLOWED, Plugins
from ganforge.errors import GanforgeError, InputError, PluginError, StoppedError
from ganforge.system.disk import UNWRITABLE

NO_PLUGINS = "--no-plugins"
VERSION = "--version"
COMMANDS: dict[str, Callable[..., None]] = {
    "run": train.run,
    "resume": train.resume,
    "list": inspection.list_components,
    "validate": inspection.validate,
    "recipes": inspection.list_recipes,
    "plugins": inspection.list_plugins,
}
TRAINING = ("run", "resume")  # all other commands may use the index instead of loading plugins


def main() -> None:
    """Run the command line and exit with ganforge's exit status."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns at length about an unwritable home
    with lasting() as refused:
        status = _answer()
        if (error := refused()) and not status:
            status = 1
            say(f"error: the output could not be written completely: {error.strerror}", style="red")
    sys.exit(status)


def _answer() -> int:
    """Run a command, and return its exit status."""
    try:
        plugins = Plugins() if sys.argv[1:2] == [VERSION] else _plugins()
        with plugins.index.watching():
            app = command_line(plugins, alone=plugins.waiting and _command() in COMMANDS)
        app(obj=plugins, prog_name="ganforge", args=[word for word in sys.argv[1:] if word != NO_PLUGINS])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except GanforgeError as error:
        further = error.further
        if isinstance(error, PluginError) and error.__cause__ is not None:
            further = trace(error.__cause__)
        if "RANK" in os.environ and _is_reported(error, further):
            return error.status
        for line in error.args:
            say(f"error: {line}", style="red")
        for line in further:
            say(line)
        return error.status
    except OSError as error:
        if error.errno not in UNWRITABLE | {errno.ENAMETOOLONG, errno.ENOENT}:  # a wrong name, or a file that is gone
            raise
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        say(f"error: {where}{error.strerror}", style="red")
        return InputError.status
    except StoppedError as stopped:
        return 128 + stopped.number
    except KeyboardInterrupt:
        return 130
    return 0


def _nothing(text: str) -> None:
    """Print nothing."""


def _is_reported(error: GanforgeError, further: Sequence[str]) -> bool:
    """Return whether a launcher, which started this process as one of several, reports the error."""
    from ganforge.training import ranks

    return ranks.report(error, further)


def command_line(plugins: Plugins, *, alone: bool = False) -> TyperGroup:
    """Return all commands: the core's, and, unless `alone`, those that plugins add."""
    app = typer.Typer(
        name="ganforge",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(everywhere)
    for name, command in COMMANDS.items():
        app.command(name)(command)
    built = cast(TyperGroup, typer.main.get_command(app))
    if not alone:
        for _ in plugins.ask("ganforge_commands", partial(_add_commands, app, built.commands)):
            pass
    return built


def _add_commands(app: typer.Typer, commands: MutableMapping[str, Any], answer: Callable[..., None]) -> None:
    """Let a plugin add its commands to those that are built: all of them, or none if they are invalid."""
    parts = list(_parts(app))
    before = [(list(part.registered_commands), list(part.registered_groups)) for part in parts]
    count, groups = len(app.registered_commands), len(app.registered_groups)
    try:
        answer(app=app)
        added = _built(app.registered_commands[count:], app.registered_groups[groups:])
        new = len(app.registered_commands) - count + len(app.registered_groups) - groups
        if len(added) < new or added.keys() & commands.keys():
            raise PluginError("it adds a command that already exists")
        changed = [
            part
            for part, held in zip(parts, before, strict=True)
            if held != (part.registered_commands, part.registered_groups)
        ]
        extended = [
            group
            for group in app.registered_groups[:groups]
            if group.typer_instance and any(part in changed for part in _parts(group.typer_instance))
        ]
        commands.update({**added, **_built([], extended)})
    except BaseException:
        for part, (earlier, sooner) in zip(parts, before, strict=True):
            part.registered_commands[:], part.registered_groups[:] = earlier, sooner
        raise


def _built(commands: Sequence[Any], groups: Sequence[Any]) -> MutableMapping[str, Any]:
    """Build commands and groups; building all again for each plugin would delay every start."""
    app = typer.Typer()
    app.registered_commands, app.registered_groups = list(commands), list(groups)
    return typer.main.get_group(app).commands


def _parts(app: typer.Typer) -> Iterator[typer.Typer]:
    """Yield a command line and all groups in it."""
    yield app
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from _parts(group.typer_instance)


def _tell_version(wanted: bool) -> None:
    if wanted:
        tell(f"ganforge {Plugins.version()}")
        raise typer.Exit


_no_plugins = typer.Option(NO_PLUGINS, help="Load only ganforge's own code; may be anywhere in the command.")
_version = typer.Option(VERSION, help="Show the version and exit.", is_eager=True, callback=_tell_version)


def everywhere(no_plugins: Annotated[bool, _no_plugins] = False, version: Annotated[bool, _version] = False) -> None:
    """Train GANs that translate between two domains without paired data."""


def _command() -> str:
    """Return the name of the command; "" if there is none, as during completion."""
    return next((word for word in sys.argv[1:] if word != NO_PLUGINS), "")


def _plugins() -> Plugins:
    # Plugins add commands, so this must be decided before the command line is parsed.
    if NO_PLUGINS in sys.argv[1:]:
        os.environ[ALLOWED] = ""  # also for the processes of a comparison
    allowed = os.environ.get(ALLOWED)
    names = None if allowed is None else [name for name in allowed.split(os.pathsep) if name]
    indexed = _command() not in TRAINING and "torch" not in sys.modules  # with torch, the process is not fresh
    follows = os.environ.get("LOCAL_RANK", "0") != "0" and "MASTER_ADDR" in os.environ  # another rank prints these
    tells = _nothing if follows else partial(say, style="yellow")
    plugins = Plugins(tells, names, Index(silent if indexed else None))
    plugins.load_when_needed()
    return plugins
