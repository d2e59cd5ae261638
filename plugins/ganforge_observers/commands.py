"""`ganforge report`."""

from typing import Annotated

import typer

from ganforge import RunFolder, printable


def make_report(
    run: RunFolder,
    show: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
) -> None:
    """Write a run's report.html: losses, metrics, samples, figures, warnings and recipe on one self-contained page."""
    from ganforge_observers.report import page

    page.require_run(run)
    path = page.write(run, say=lambda text: typer.echo(f"warning: {printable(text)}", err=True))
    typer.echo(printable(str(path)))
    if show:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
