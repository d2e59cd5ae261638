"""The command line. Torch is imported inside of the commands that need it, so that the others answer at once."""

import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer

from ganforge.cli import look, train
from ganforge.cli.command import say
from ganforge.components.plugins import ALLOWED, Plugins
from ganforge.errors import GanforgeError, PluginError, StoppedError

NO_PLUGINS = "--no-plugins"
COMMANDS: dict[str, Callable[..., None]] = {
    "run": train.run,
    "resume": train.resume,
    "list": look.list_components,
    "show": look.show,
    "validate": look.validate,
    "recipes": look.list_recipes,
    "plugins": look.list_plugins,
}


def main() -> None:
    """Run the command line and exit with ganforge's exit status."""
    try:
        plugins = _plugins()
        app = command_line(plugins)
        app(obj=plugins, prog_name="ganforge", args=[word for word in sys.argv[1:] if word != NO_PLUGINS])
    except GanforgeError as error:
        for line in error.args:
            say(f"error: {line}", style="red")
        if isinstance(error, PluginError) and error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        sys.exit(error.status)
    except StoppedError as stopped:
        sys.exit(128 + stopped.number)
    except KeyboardInterrupt:
        sys.exit(130)


def command_line(plugins: Plugins) -> typer.Typer:
    """Return all commands: the core's own, and those that plugins add."""
    app = typer.Typer(
        name="ganforge",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(everywhere)
    for name, command in COMMANDS.items():
        app.command(name)(command)
    for _ in plugins.each("ganforge_commands", app=app):
        pass
    return app


_no_plugins = typer.Option(NO_PLUGINS, help="Load no code but ganforge's own; may stand anywhere.")


def everywhere(no_plugins: Annotated[bool, _no_plugins] = False) -> None:
    """Train GANs that translate between two domains without paired data."""


def _plugins() -> Plugins:
    # Plugins bring commands of their own, so this is settled before there is a command line to read.
    if NO_PLUGINS in sys.argv[1:]:
        os.environ[ALLOWED] = ""  # also for the processes of a comparison
    allowed = os.environ.get(ALLOWED)
    names = None if allowed is None else [name for name in allowed.split(os.pathsep) if name]
    plugins = Plugins(partial(say, style="yellow"), names)
    plugins.load_installed()
    return plugins
