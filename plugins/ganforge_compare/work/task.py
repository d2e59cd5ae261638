"""One training of a comparison: the commands that start or resume it, wherever that happens, and its output."""

import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from ganforge import InputError, hold, read_text
from ganforge_compare.comparison import Member
from ganforge_compare.display import Doing

TAIL = 1 << 13  # bytes read from the end of a training's output
SHOWN_LINES = 5
TASKS = "tasks.json"


@frozen
class Task:
    """A training.

    Attributes:
        label: the member's label.
        folder: the run's folder.
        output: the file for its output.
        run: arguments of `ganforge` that start it.
        resume: arguments that resume it.
    """

    label: str
    folder: str
    output: str
    run: list[str]
    resume: list[str]

    def prepare(self) -> tuple[list[str], BinaryIO]:
        """Prepare the folder; return the arguments of `ganforge`, and the file for its output.

        Raises:
            InputError: a folder cannot be written, or another process uses the run.
        """
        folder, output = Path(self.folder), Path(self.output)
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            if not any((folder / "checkpoints").glob("step-*")):
                _clear(folder)
            output.unlink(missing_ok=True)
            file = output.open("xb")
        except OSError as error:
            raise InputError(f"cannot write to {output}: {error.strerror}") from error
        return (self.resume if folder.exists() else self.run), file


def task_of(member: Member, options: Sequence[str], devices: Sequence[str]) -> Task:
    """Return the training of a member, with `options` for `run`, and `devices` for both `run` and `resume`."""
    sets = [*member.point.sets, f"train.seed={member.seed}"]
    run = ["run", member.recipe, *options, *(word for text in sets for word in ("--set", text))]
    resume = ["resume", str(member.folder), "--set", f"train.steps={member.plan.train.steps}"]
    # Load the recipe's plugins, not the run's identical copies or the bytecode that may lie beside them.
    resume += [word for path in member.plan.plugin_files for word in ("--plugin", str(path))]
    run += ["--out", str(member.out)]
    return Task(member.label, str(member.folder), str(member.output), [*run, *devices], [*resume, *devices])


def read_tasks(array: Path) -> list[Task]:
    """Read the tasks of an array of jobs from its folder.

    Raises:
        InputError: its file is damaged.
    """
    path = array / TASKS
    try:
        return [Task(**table) for table in json.loads(read_text(path))]
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged: {error}; without it, jobs cannot be found in Slurm's queue") from error


def _clear(folder: Path) -> None:
    """Remove what a run left that was stopped before its first checkpoint."""
    if folder.exists():
        number = 1
        while (aside := folder.with_name(f"stopped-{number}")).exists():
            number += 1
        held = hold(folder)
        folder.rename(aside)
        held.release()


def doing(member: Member) -> Doing:
    """Return what a training does, from the last lines of its output and its log."""
    steps = Doing("step", member.steps_done(), member.plan.train.steps)
    lines = last_lines(member.output)
    for line in reversed(lines):
        if line.startswith("step "):
            return steps
        if found := re.fullmatch(r"(.+): (\d{1,15})/(\d{1,15})", line):
            return Doing(found[1], int(found[2]), int(found[3]))
    return steps if lines else Doing("starting", 0, steps.total)


def last_lines(path: Path) -> list[str]:
    """Return the last lines of a training's output."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
        return file.read(TAIL).decode(errors="replace").splitlines()
    return []


def failure(member: Member, how: str, *others: Path) -> str:
    """Describe a failed training, with the last lines of its output and of other files."""
    texts = ["\n".join(last_lines(path)).strip().splitlines()[-SHOWN_LINES:] for path in (member.output, *others)]
    return "\n".join([f"{member.label} {how}:", *(f"  {line}" for lines in texts for line in lines)])
