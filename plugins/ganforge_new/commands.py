"""`ganforge new KIND NAME`, with a command for each kind."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from ganforge import tell
from ganforge_new.recipe import recipe

KINDS = {
    "loss": "A formula over values, which one player minimises.",
    "value": "A named tensor that losses and other values ask for.",
    "generator": "A network that translates.",
    "discriminator": "A network that tells real samples from fakes.",
    "network": "A network of another role, such as an encoder.",
    "coupling": "Which networks exist, who updates them, and which directions are played.",
    "update": "What happens around an optimizer's step.",
    "optimizer": "How parameters change by their gradients.",
    "dataset": "Where the samples of each domain come from.",
    "evaluation": "Metrics and figures of trained networks.",
    "observer": "What reads or reports a run while it trains.",
    "command": "A command of the command line.",
}

new = typer.Typer(
    no_args_is_help=True,
    help="Start a component: a working file with a test and a recipe, or a package of them.",
)

Name = Annotated[str, typer.Argument(help="Name, such as my-loss; the file is then my_loss.py.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder to write to; created if needed.")]
AsPackage = Annotated[bool, typer.Option("--package", help="Write a package that pip can install.")]
License = Annotated[
    Literal["MIT", "Apache-2.0", "BSD-3-Clause", "none"] | None,
    typer.Option(help="Licence of the package; by default MIT."),
]
Author = Annotated[str | None, typer.Option(help="Copyright holder; by default git's user.name.")]


def _add(kind: str, about: str) -> None:
    """Add the command of one kind."""

    @new.command(kind, help=about)
    def start(
        context: typer.Context,
        name: Name,
        out: Out = Path("."),
        package: AsPackage = False,
        license: License = None,
        author: Author = None,
    ) -> None:
        from ganforge_new import licences, writing

        component = writing.Component(kind, name)
        component.check()
        writing.require_free(component, context)
        if package:
            folder = writing.write_package(component, out, licences.choose(license, author))
            written = [folder]
            steps = [f"pip install -e {_word(folder)}", f"pytest {_word(folder)}", f"ganforge run {component.module}"]
        else:
            licences.refuse(license, author)
            written = writing.write_files(component, out)
            file, test, recipe = map(_word, written)
            steps = [f"pytest {test}", f"ganforge check {file}", f"ganforge run {recipe}"]
        for path in written:
            tell(f"wrote {path}")
        tell("next:")
        for step in steps:
            tell(f"  {step}")


for _kind, _about in KINDS.items():
    _add(_kind, _about)
new.command("recipe")(recipe)


def _word(path: Path) -> str:
    """Quote a path for the shell; one that starts with a dash must not look like an option."""
    return shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))
