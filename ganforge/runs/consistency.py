"""Check that all ranks of a training have the same recipe, data, code and versions."""

import hashlib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ganforge
from ganforge.errors import InputError, printable
from ganforge.recipe.nested import flatten
from ganforge.training import ranks

if TYPE_CHECKING:
    from ganforge.runs.run import Run

OWN = ("lock.device", "lock.python")  # notes that may differ


def require_same(run: "Run") -> None:
    """Raise an InputError if ranks differ in recipe, data, plugins, code or versions."""
    facts = {key: str(value) for key, value in flatten(tomllib.loads(run.locked(passed_on=True))).items()}
    used = {choice.component.plugin for choice in run.plan.choices}
    modules = {"ganforge": ganforge, **{name: run.plugins.known[name].module for name in sorted(used)}}
    facts |= {f"code of {name}": _code(module) for name, module in modules.items()}
    told = ranks.exchange("what each rank trains", {key: facts[key] for key in facts if key not in OWN})
    for rank, theirs in enumerate(told):
        for key in sorted(told[0].keys() | theirs.keys()):
            first, other = told[0].get(key, "not there"), theirs.get(key, "not there")
            if first != other:
                raise InputError(f"rank {rank} differs from rank 0: {printable(key)} is {other}, not {first}")


def _code(module: Any) -> str:
    """Return a digest of a module, or of all modules of a package."""
    place = Path(module.__file__)
    files = sorted(place.parent.rglob("*.py")) if place.name == "__init__.py" else [place]
    content = hashlib.blake2b(digest_size=8)
    for path in files:
        content.update(path.name.encode() + path.read_bytes())
    return content.hexdigest()
