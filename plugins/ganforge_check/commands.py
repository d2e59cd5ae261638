"""`ganforge check`."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from ganforge import (
    KINDS,
    AsJson,
    Component,
    InputError,
    PluginFiles,
    Plugins,
    aside,
    nearest,
    plugins_with,
    printable,
    structure,
    tell,
    to_json,
)

if TYPE_CHECKING:
    from ganforge_check.checks import Outcome

_names = typer.Argument(
    metavar="[NAME]...",
    help="Plugin files, plugins, components (`l1`, `plugin/l1`, `loss:l1`) or kinds; by default all components.",
)
_set = typer.Option("--set", metavar="KEY=VALUE", help="A setting of the component, such as width=8; repeatable.")


def check(
    context: typer.Context,
    names: Annotated[list[str] | None, _names] = None,
    sets: Annotated[list[str] | None, _set] = None,
    slow: Annotated[
        bool, typer.Option("--slow", help="Also run checks that take seconds, such as torch.compile.")
    ] = False,
    skip: Annotated[list[str] | None, typer.Option(metavar="CHECK", help="Leave out a check; repeatable.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also show the claims that hold.")] = False,
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """Check that components keep the rules of their kinds: report what was checked, what failed, why, and the fix.

    The exit status is 0 if all checks passed and 1 if one failed.
    """
    with aside():
        plugins = plugins_with(context, [*(plugin or ()), *map(Path, filter(_is_file, names or ()))])
        from ganforge_check.checks import all_checks, examine, subject_of

        known = [one.name for one in all_checks()]
        for name in skip or ():
            if name not in known:
                raise InputError(f"unknown check '{name}'; {nearest(name, known)}")
        chosen = _chosen(plugins, names or [])
        settings = _settings(chosen, sets or [])
        found = []
        for component in chosen:
            subject = subject_of(component, plugins.registry, settings)
            found.append((component, subject.place, examine(subject, slow=slow, skip=skip or ())))
    failed = any(outcome.findings for _, _, outcomes in found for outcome in outcomes)
    if as_json:
        typer.echo(to_json([_row(*one) for one in found]))
    else:
        _print(found, verbose=verbose or len(found) == 1)
    raise typer.Exit(1 if failed else 0)


def _is_file(name: str) -> bool:
    return name.endswith(".py")


def _chosen(plugins: Plugins, names: Sequence[str]) -> list[Component]:
    """Return the components of files, plugins, kinds and names, each once; raise an InputError for an unknown one."""
    every = [component for kind in KINDS for component in plugins.registry.of(kind)]
    if not names:
        return every
    found: dict[tuple[str, str], Component] = {}
    for name in names:
        matching = [one for one in every if _matches(one, name)]
        if not matching:
            for failed in plugins.failures():
                if failed.name == name:
                    raise InputError(f"plugin '{name}' failed: {failed.error}")
            if name in plugins.known or _is_file(name):
                raise InputError(f"'{name}' registers no component")
            offered = {*KINDS, *plugins.known, *(one.name for one in every)}
            raise InputError(f"no plugin, kind or component '{name}'; {nearest(name, offered)}")
        found |= {(one.kind, one.qualified): one for one in matching}
    return list(found.values())


def _matches(component: Component, name: str) -> bool:
    """Whether the name of a file, a plugin, a kind or a component selects this component."""
    if _is_file(name):
        return component.plugin == Path(name).stem
    kind, _, own = name.rpartition(":")
    return kind in ("", component.kind) and own in (
        component.plugin,
        component.name,
        component.qualified,
        *([] if kind else [component.kind]),
    )


def _settings(chosen: Sequence[Component], sets: Sequence[str]) -> dict[str, Any]:
    """Read the given settings, which are for a single component."""
    if not sets:
        return {}
    if len(chosen) != 1:
        raise InputError(f"--set is for one component, not for {len(chosen)}: name it, such as loss:l1")
    return dict(_setting(chosen[0], text) for text in sets)


def _setting(component: Component, text: str) -> tuple[str, Any]:
    """Read KEY=VALUE, where the value is TOML or a word; raise an InputError if it is wrong."""
    key, equals, value = text.partition("=")
    known = component.signature.settings
    if not equals or key not in known:
        raise InputError(f"--set {text}: expected KEY=VALUE; {nearest(key, known) or 'it has no settings'}")
    try:
        given = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        given = value
    problems: list[str] = []
    read = structure(given, known[key], (key,), lambda _, message, __: problems.append(message))
    if problems:
        raise InputError(f"--set {text}: {problems[0]}")
    return key, read


def _row(component: Component, place: str, outcomes: Sequence["Outcome"]) -> dict[str, Any]:
    """Return the JSON of a component's results."""
    checks = [
        {
            "check": outcome.check.name,
            "claim": outcome.check.claim,
            "state": "failed" if outcome.findings else "left out" if outcome.left_out else "passed",
            "why": outcome.left_out,
            "findings": [{"problem": f.problem, "fix": f.fix, "place": f.place} for f in outcome.findings],
        }
        for outcome in outcomes
    ]
    return {"kind": component.kind, "name": component.qualified, "place": place, "checks": checks}


def _print(found: Sequence[tuple[Component, str, Sequence["Outcome"]]], *, verbose: bool) -> None:
    """Print for each component what failed, why, and the fix; for a single component, also what holds."""
    console = Console(emoji=False, soft_wrap=True)

    def show(text: str, style: str = "") -> None:
        console.print(escape(printable(text)), style=style, highlight=False)

    total = {"passed": 0, "failed": 0, "left out": 0}
    for component, _, outcomes in found:
        failed = sum(bool(outcome.findings) for outcome in outcomes)
        left = [outcome for outcome in outcomes if outcome.left_out and not outcome.findings]
        passed = len(outcomes) - failed - len(left)
        for state, count in (("passed", passed), ("failed", failed), ("left out", len(left))):
            total[state] += count
        told = f"{failed} failed, {passed} passed" if failed else f"{passed} passed"
        show(
            f"{component.kind} {component.qualified}  {told}{f', {len(left)} left out' if left else ''}",
            "bold red" if failed else "bold",
        )
        for outcome in outcomes:
            if outcome.findings:
                show(f"  failed  {outcome.check.name}: {outcome.check.claim}", "red")
                for finding in outcome.findings:
                    show(f"          {finding.place}: {finding.problem}")
                    show(f"          fix: {finding.fix}")
            elif verbose and not outcome.left_out:
                show(f"  passed  {outcome.check.name}: {outcome.check.claim}")
        reasons: dict[str, list[str]] = {}
        for outcome in left:
            reasons.setdefault(outcome.left_out, []).append(outcome.check.name)
        for reason, names in reasons.items() if verbose or failed else ():
            show(f"  left out  {', '.join(names)}: {reason}", "dim")
    tell(f"{len(found)} checked: {total['passed']} claims hold, {total['failed']} do not, {total['left out']} left out")
