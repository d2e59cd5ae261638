"""The command line. Commands import torch only if they need it, so that the others start fast."""

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated, Any

import typer

from ganforge.cli import inspection, train
from ganforge.cli.common import say, tell
from ganforge.cli.streams import lasting, silent
from ganforge.components.guard import trace
from ganforge.components.index import Index
from ganforge.components.plugins import ALLOWED, Plugins
from ganforge.disk import UNWRITABLE
from ganforge.errors import GanforgeError, InputError, PluginError, StoppedError

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


def command_line(plugins: Plugins, *, alone: bool = False) -> typer.Typer:
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
    if not alone:
        for _ in plugins.ask("ganforge_commands", partial(_add_commands, app, set(COMMANDS))):
            pass
    return app


def _add_commands(app: typer.Typer, taken: set[str], answer: Callable[..., None]) -> None:
    """Let a plugin add its commands: all of them, or none if they are invalid."""
    before: list[tuple[typer.Typer, list[Any], list[Any]]] = []
    for part in _parts(app):
        before += [(part, held, list(held)) for held in (part.registered_commands, part.registered_groups)]
    try:
        answer(app=app)
        # To save time, build only new commands, and groups that were extended.
        added = typer.Typer()
        added.registered_commands = app.registered_commands[len(before[0][2]) :]
        added.registered_groups = app.registered_groups[len(before[1][2]) :]
        names = typer.main.get_group(added).commands.keys()
        if len(names) < len(added.registered_commands) + len(added.registered_groups) or names & taken:
            raise PluginError("it adds a command that already exists")
        for part, held, earlier in before[2:]:
            if held != earlier:
                typer.main.get_group(part)
        taken |= names
    except BaseException:
        for _, held, earlier in before:
            held[:] = earlier
        raise


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
