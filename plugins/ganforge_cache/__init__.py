"""The packed cache: costly samples are made once, in parallel, and kept; with commands of `ganforge data`."""

from typing import TYPE_CHECKING, Any

from ganforge import Register, hookimpl

if TYPE_CHECKING:
    import typer


def packed(samples: Any, shape: Any, what: str, report: Any) -> Any:
    """Makes samples once, in parallel, keeps them packed in the user's cache folder, and maps them into memory."""
    from ganforge_cache.cache import ready

    return ready(samples, shape, what, report)


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the cache `packed`."""
    register.cache("packed", packed)


@hookimpl(trylast=True)
def ganforge_commands(app: "typer.Typer") -> None:
    """Add `prepare` and `clear` to `ganforge data`, which is created if no other plugin has done so."""
    import typer

    from ganforge_cache.commands import clear, prepare

    groups = [group.typer_instance for group in app.registered_groups]
    data = next((group for group in groups if group and group.info.name == "data"), None)
    if data is None:
        data = typer.Typer(name="data", help="Prepare the data sets of recipes.", no_args_is_help=True)
        app.add_typer(data)
    data.command("prepare")(prepare)
    data.command("clear")(clear)
