"""Checks of components of every kind: their docstring and their settings."""

import inspect
import re
from collections.abc import Iterator

from attrs import NOTHING

from ganforge import Setting, plain, structure
from ganforge_check.checks import Finding, Subject, claims

# A formula, or where it comes from.
SOURCE = re.compile(r"[=|^+*/−∑√]|\w\(|E\[|Eq\.|arXiv|https?:|\b(19|20)\d\d\b")


@claims()
def described(subject: Subject) -> Iterator[Finding]:
    """A docstring says what it is: its first line is what `ganforge list` shows."""
    if not subject.component.summary:
        yield Finding("it has no docstring", "add one whose first line says what it is")


@claims("loss")
def sourced(subject: Subject) -> Iterator[Finding]:
    """A docstring gives its formula, or names the paper that it is from."""
    factory = subject.component.factory
    methods = vars(factory).values() if isinstance(factory, type) else ()
    told = " ".join(inspect.getdoc(one) or "" for one in (factory, *methods) if callable(one) and one.__doc__)
    if told and not SOURCE.search(told):
        fix = "add one of them, such as 'E[|x - y|]' or 'Zhu 2017, Eq. 2'"
        yield Finding("its docstring has neither a formula nor a source", fix)


@claims()
def settings(subject: Subject) -> Iterator[Finding]:
    """Every default is a value that a recipe can hold, and every number says its range."""
    for setting in subject.component.signature.settings.values():
        yield from _of_default(setting)
        if _is_number(setting) and not setting.ranges:
            fix = f"annotate it, such as {setting.name}: Annotated[float, attrs.validators.gt(0)]"
            yield Finding(f"the setting '{setting.name}' has no range", fix)


def _is_number(setting: Setting) -> bool:
    """Whether it is one number, or None."""
    return setting.type in (int, float, int | None, float | None)


def _of_default(setting: Setting) -> Iterator[Finding]:
    """A default passes through a locked recipe unchanged."""
    if setting.default is NOTHING or setting.default is None:
        return
    problems: list[str] = []
    read = structure(plain(setting.default), setting, (setting.name,), lambda _, message, __: problems.append(message))
    if problems:
        yield Finding(f"the default of '{setting.name}': {problems[0]}", "give one that its type and range allow")
    elif read != setting.default:
        yield Finding(f"the default of '{setting.name}' reads back as {read}", "give one that TOML can hold")
