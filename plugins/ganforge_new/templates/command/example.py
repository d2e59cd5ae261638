"""The command `example`."""

import typer
from ganforge import InputError, RunFolder, hookimpl, records, tell


def example(run: RunFolder) -> None:
    """Print the losses that a run has logged last."""
    logged = [record for record in records(run) if "losses" in record]
    if not logged:
        raise InputError(f"{run} holds no log of losses")
    tell(f"step {logged[-1]['step']}")
    for name, loss in logged[-1]["losses"].items():
        tell(f"{name} {loss:.4g}")


@hookimpl
def ganforge_commands(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(example)


if __name__ == "__main__":
    typer.run(example)
