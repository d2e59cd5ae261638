"""A check is a claim about components of some kinds, with a function that finds violations of it."""

import inspect
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib import import_module
from typing import Any

from attrs import NOTHING, define, evolve, field, frozen

from ganforge import Component, InputError, Registry, Setting, brief, contained, drawn_from, structure

# The modules whose functions are checks, in the order in which these run.
MODULES = ("every", "losses", "forms", "networks", "couplings", "datasets", "evaluations", "optimizers", "observers")


class LeftOutError(Exception):
    """A check cannot run on a component; the message says why, and what would make it possible."""


@frozen
class Finding:
    """A violation of a claim.

    Attributes:
        problem: what is wrong, with the numbers that were measured.
        fix: what to do about it.
        place: `file:line` in the component's code; by default that of the component itself.
    """

    problem: str
    fix: str
    place: str = ""


@define(eq=False)
class Subject:
    """A component to check, with its settings.

    Attributes:
        component: the component.
        registry: all components, from which the values and networks that it needs are made.
        settings: all settings; `NOTHING` for one that a recipe must give.
        kept: objects that several checks share.
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
        """Return the object kept under a name; make it on first use."""
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]

    def complete(self) -> Mapping[str, Any]:
        """Return the settings; raise a LeftOutError that names one that must be given."""
        if missing := [name for name, value in self.settings.items() if value is NOTHING]:
            raise LeftOutError(f"needs settings: --set {missing[0]}=...")
        return self.settings


@frozen
class Check:
    """A claim about components.

    Attributes:
        name: words joined by hyphens.
        kinds: kinds of the components that it applies to.
        claim: a sentence.
        find: yields violations; raises a LeftOutError if it cannot run.
        slow: whether it takes more than about a second.
    """

    name: str
    kinds: tuple[str, ...]
    claim: str
    find: Callable[[Subject], Iterator[Finding]]
    slow: bool = False


@frozen
class Outcome:
    """The result of a check: findings, if any, or why it was left out."""

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
    """Return the default settings of a component; `NOTHING` for those that a recipe must give."""
    return {name: setting.default for name, setting in component.signature.settings.items()}


def subject_of(component: Component, registry: Registry[Component], settings: Mapping[str, Any]) -> Subject:
    """Return a component to check, with the given settings and defaults for all others.

    Raises:
        InputError: the component has no such setting.
    """
    known = component.signature.settings
    if unknown := [name for name in settings if name not in known]:
        raise InputError(f"{component.kind} '{component.qualified}' has no setting '{unknown[0]}'")
    return Subject(component, registry, {**defaults_of(component), **settings})


def examine(subject: Subject, *, slow: bool = False, skip: Collection[str] = ()) -> list[Outcome]:
    """Run all checks of a component's kind; an exception that it raises is a finding.

    Args:
        subject: the component.
        slow: whether to run slow checks, too.
        skip: names of checks to leave out.
    """
    found = []
    for check in all_checks():
        if subject.component.kind not in check.kinds and check.kinds:
            continue
        if check.name in skip:
            found.append(Outcome(check, left_out="skipped by --skip"))
        elif check.slow and not slow:
            found.append(Outcome(check, left_out="slow: add --slow to run it"))
        else:
            found.append(_outcome(check, subject))
    return found


def _outcome(check: Check, subject: Subject) -> Outcome:
    """Run a check from a fixed random state, with warnings ignored."""
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
        findings.append(Finding(f"it raised {brief(error)}", "set a breakpoint there to see why", place))
    found = (evolve(finding, place=finding.place or subject.place) for finding in findings)
    return Outcome(check, tuple(dict.fromkeys(found)))


def place_of(error: BaseException, subject: Subject) -> str:
    """Return the innermost line of the component's own file in a traceback; empty if there is none."""
    file = subject.place.rpartition(":")[0]
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{file}:{lines[-1]}" if lines else ""


def caller_of(subject: Subject) -> str:
    """Return the innermost line of the component's own file, or else of its package, on the current call stack."""
    file = subject.place.rpartition(":")[0]
    frames = traceback.extract_stack()
    own = [frame for frame in frames if frame.filename == file]
    return f"{file}:{own[-1].lineno}" if own else ""


def narrow(component: Component, **given: Any) -> dict[str, Any]:
    """Return settings for a small network: whole numbers above 16 become 8 where their range allows it."""
    settings = component.signature.settings
    return {**{name: _narrowed(one) for name, one in settings.items()}, **given}


def _narrowed(setting: Setting) -> Any:
    if setting.type is not int or isinstance(setting.default, bool) or setting.default is NOTHING:
        return setting.default
    if setting.default <= 16 or structure(8, setting, (setting.name,), lambda *_: None) is NOTHING:
        return setting.default
    return 8
