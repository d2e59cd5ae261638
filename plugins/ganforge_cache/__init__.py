"""The packed cache: samples that take work are made once, in parallel, and kept; with `ganforge data` commands."""

from typing import TYPE_CHECKING, Any

from ganforge import Register, hookimpl

if TYPE_CHECKING:
    import typer


def packed(samples: Any, shape: Any, what: str, report: Any) -> Any:
    """Make samples once, in parallel, and keep them packed in the user's cache folder, mapped into memory."""
    from ganforge_cache.cache import ready

    return ready(samples, shape, what, report)


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the cache packed."""
    register.cache("packed", packed)


@hookimpl(trylast=True)
def ganforge_commands(app: "typer.Typer") -> None:
    """Add `prepare` and `clear` to `ganforge data`, which is there already, unless nobody else has data commands."""
    import typer

    from ganforge_cache.commands import clear, prepare

    groups = [group.typer_instance for group in app.registered_groups]
    data = next((group for group in groups if group and group.info.name == "data"), None)
    if data is None:
        data = typer.Typer(name="data", help="Prepare the data sets of recipes.", no_args_is_help=True)
        app.add_typer(data)
    data.command("prepare")(prepare)
    data.command("clear")(clear)
