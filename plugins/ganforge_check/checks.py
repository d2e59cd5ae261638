"""A check is a claim about components of some kinds, and a function that finds what contradicts it."""

import inspect
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib import import_module
from typing import Any

from attrs import NOTHING, define, evolve, field, frozen

from ganforge import Component, InputError, Registry, Setting, brief, contained, drawn_from, structure

# The modules whose functions are checks, in the order in which they are made.
MODULES = ("every", "losses", "networks", "couplings", "datasets", "evaluations", "optimizers", "observers")


class LeftOutError(Exception):
    """A check cannot be made of a component; the message says why, and what would make it possible."""


@frozen
class Finding:
    """What contradicts a claim.

    Attributes:
        problem: what is wrong, with the numbers that were measured.
        fix: what to do about it, a sentence.
        place: `file:line` in the component's code; that of the component where it is not known better.
    """

    problem: str
    fix: str
    place: str = ""


@define(eq=False)
class Subject:
    """A component that is checked, with its settings.

    Attributes:
        component: what is checked.
        registry: every component there is: values are made by others, networks by couplings' roles.
        settings: all settings; a `NOTHING` among them is one that a recipe must give.
        kept: what one check has made and others use.
    """

    component: Component
    registry: Registry[Component] = field(repr=False)
    settings: Mapping[str, Any]
    kept: dict[str, Any] = field(factory=dict, repr=False)

    @property
    def place(self) -> str:
        """The file and line of the component's code, or of the call that registers it."""
        factory = self.component.factory
        try:
            return f"{inspect.getsourcefile(factory)}:{inspect.getsourcelines(factory)[1]}"
        except (OSError, TypeError):
            return self.component.place

    def keep(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what was made under a name before; make it now if it was not."""
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]

    def complete(self) -> Mapping[str, Any]:
        """Return the settings; a LeftOutError names those that must be given first."""
        if missing := [name for name, value in self.settings.items() if value is NOTHING]:
            raise LeftOutError(f"needs settings: --set {missing[0]}=...")
        return self.settings


@frozen
class Check:
    """A claim about components.

    Attributes:
        name: in words joined by hyphens.
        kinds: of the components that it is about.
        claim: a sentence.
        find: yields what contradicts it; raises a LeftOutError where it cannot tell.
        slow: whether it takes more than about a second.
    """

    name: str
    kinds: tuple[str, ...]
    claim: str
    find: Callable[[Subject], Iterator[Finding]]
    slow: bool = False


@frozen
class Outcome:
    """What came of a check: nothing, findings, or why it was left out."""

    check: Check
    findings: tuple[Finding, ...] = ()
    left_out: str = ""


_CHECKS: list[Check] = []


def claims(*kinds: str, slow: bool = False) -> Callable[..., Any]:
    """Make a check of a function: its name is the function's, and its claim the first paragraph of the docstring."""

    def register(find: Callable[[Subject], Iterator[Finding]]) -> Callable[[Subject], Iterator[Finding]]:
        claim = " ".join((inspect.getdoc(find) or "").partition("\n\n")[0].split())
        _CHECKS.append(Check(find.__name__.strip("_").replace("_", "-"), kinds, claim, find, slow))
        return find

    return register


def all_checks() -> list[Check]:
    """Return every check."""
    for name in MODULES:
        import_module(f"ganforge_check.{name}")
    return list(_CHECKS)


def defaults_of(component: Component) -> dict[str, Any]:
    """Return the settings of a component as they are if a recipe gives none; `NOTHING` where it must."""
    return {name: setting.default for name, setting in component.signature.settings.items()}


def subject_of(component: Component, registry: Registry[Component], settings: Mapping[str, Any]) -> Subject:
    """Return what is checked of a component, with some settings given and all others by default.

    Raises:
        InputError: it has no such setting.
    """
    known = component.signature.settings
    if unknown := [name for name in settings if name not in known]:
        raise InputError(f"{component.kind} '{component.qualified}' has no setting '{unknown[0]}'")
    return Subject(component, registry, {**defaults_of(component), **settings})


def examine(subject: Subject, *, slow: bool = False, skip: Collection[str] = ()) -> list[Outcome]:
    """Make all checks of a component's kind; what it raises is a finding of the check that called it.

    Args:
        subject: the component.
        slow: whether to make slow checks, too.
        skip: names of checks that are left out.
    """
    found = []
    for check in all_checks():
        if subject.component.kind not in check.kinds and check.kinds:
            continue
        if check.name in skip:
            found.append(Outcome(check, left_out="not wanted"))
        elif check.slow and not slow:
            found.append(Outcome(check, left_out="slow: --slow makes it, too"))
        else:
            found.append(_outcome(check, subject))
    return found


def _outcome(check: Check, subject: Subject) -> Outcome:
    """Make a check from a fixed random state; what is odd for warnings' sake is not told here."""
    findings: list[Finding] = []
    try:
        with contained(), drawn_from(0), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            findings += check.find(subject)
    except LeftOutError as error:
        if not findings:
            return Outcome(check, left_out=str(error))
    except Exception as error:
        place = place_of(error, subject)
        findings.append(Finding(f"it raised {brief(error)}", "see why, with a breakpoint there", place))
    found = (evolve(finding, place=finding.place or subject.place) for finding in findings)
    return Outcome(check, tuple(dict.fromkeys(found)))


def place_of(error: BaseException, subject: Subject) -> str:
    """Return the innermost line of the component's own file that an exception came through; or nothing."""
    file = subject.place.rpartition(":")[0]
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{file}:{lines[-1]}" if lines else ""


def caller_of(subject: Subject) -> str:
    """Return the innermost line of the component's own file, or else of its package, that is at work now."""
    file = subject.place.rpartition(":")[0]
    frames = traceback.extract_stack()
    own = [frame for frame in frames if frame.filename == file]
    return f"{file}:{own[-1].lineno}" if own else ""


def narrow(component: Component, **given: Any) -> dict[str, Any]:
    """Return settings that make a small network of a component: whole numbers above 16 become 8, if that may be."""
    settings = component.signature.settings
    return {**{name: _narrowed(one) for name, one in settings.items()}, **given}


def _narrowed(setting: Setting) -> Any:
    if setting.type is not int or isinstance(setting.default, bool) or setting.default is NOTHING:
        return setting.default
    if setting.default <= 16 or structure(8, setting, (setting.name,), lambda *_: None) is NOTHING:
        return setting.default
    return 8
