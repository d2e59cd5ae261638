"""Checks of observers: they implement existing hooks, and do not disturb a run."""

import tempfile
from collections.abc import Iterator
from contextlib import chdir
from functools import partial
from pathlib import Path

import tomli_w

from ganforge import HOOKS, InputError, Plugins, create, nearest, parse, resolve
from ganforge_check.checks import Finding, LeftOutError, Subject, claims, defaults_of
from ganforge_check.couplings import usual_coupling
from ganforge_check.playing import CPU, recipe_for
from ganforge_check.standins import with_standins


@claims("observer")
def answers(subject: Subject) -> Iterator[Finding]:
    """A class implements hooks by methods marked with hookimpl, and only hooks that exist."""
    factory = subject.component.factory
    if not isinstance(factory, type):
        raise LeftOutError("it is a function: what it returns is only known in a run")
    marked = [name for name in dir(factory) if hasattr(getattr(factory, name), "ganforge_impl")]
    if not marked:
        yield Finding("it implements no hook", "mark its methods with ganforge.hookimpl")
    for name in marked:
        if name not in HOOKS:
            yield Finding(f"it implements '{name}', which is not a hook; {nearest(name, HOOKS)}", "correct the name")


@claims("observer")
def looks_on(subject: Subject) -> Iterator[Finding]:
    """In a run of a few steps every hook is called, and none raises."""
    settings = subject.complete()
    said: list[str] = []
    plugins = Plugins(said.append)
    plugins.load_installed()
    coupling = usual_coupling(subject)
    table = recipe_for(subject.registry, coupling, defaults_of(coupling), steps=4)
    table["record"] |= {"sample_every": 2}
    # Some write into the current folder, not into the run's.
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        plan = resolve(parse(tomli_w.dumps(table), "check", Path()), with_standins(subject.registry))
        run = create(plan, plugins, Path(folder), CPU)
        try:
            observer = f"{subject.component.plugin}/checked"
            try:
                given = [run for _ in subject.component.signature.given]
                plugins.attach(observer, partial(subject.component.factory, *given, **settings))
            except (InputError, ValueError) as error:
                raise LeftOutError(f"it cannot run here: {error}") from error
            run.build()
            run.train()
        finally:
            run.close()
    for line in said:
        if observer in line:
            yield Finding(line.removeprefix("warning: "), "look at what it does there")
