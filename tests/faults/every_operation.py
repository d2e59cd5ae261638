"""Kills a small run before its Nth file operation, for every N, and resumes it: python every_operation.py FOLDER EVERY.

Each attempt is a fork of this process, which has all imported. It prints a line for each N, and the number of them.
"""

import contextlib
import importlib
import io
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import torch
from safetensors import safe_open

torch.set_num_threads(1)

RECIPE = """\
extends = "discogan_toy"
[generator]
hidden = 4
[discriminator]
hidden = 4
[train]
steps = 6
batch = 16
[record]
log_every = 1
sample_every = 2
checkpoint_every = 2
evaluate_every = 2
keep = 1
best = "clean"
observers = ["csv"]
[compute]
compile = false
"""
FIGURES = "matplotlib.backends.backend_agg"
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink")


def kill_before(number: int) -> list[str]:
    """Kill this process before its file operation of that number, counted from 1; return what lists them."""
    done: list[str] = []

    def look(event: str, arguments: tuple[object, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        if (event in CHANGES or writes) and not str(arguments[0]).startswith(("/dev/", "/proc/")):
            done.append(event)
            if len(done) == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)
    return done


def ganforge(*words: str, number: int | None = None) -> tuple[int, str]:
    """Run a command in a fork; return its status, and the number of file operations where `number` is 0."""
    reading, writing = os.pipe()
    if child := os.fork():
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said
    from ganforge.cli.main import main

    sys.argv = ["ganforge", *words, "--device", "cpu"]
    status, said = 0, io.StringIO()
    done = kill_before(number) if number is not None else []
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as stop:
            status = int(stop.code or 0)
    os.write(writing, (str(len(done)) if number == 0 else said.getvalue()).encode())
    os._exit(status)


def end_of(run: Path) -> dict[str, object]:
    """Return what a run ends with, but for its speed."""
    found: dict[str, object] = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if path.is_dir():
            found[name] = "folder"
        elif path.name in ("log.jsonl", "log.csv"):
            lines = path.read_text().splitlines()
            if path.suffix == ".csv":
                found[name] = [line.split(",")[:1] + line.split(",")[2:] for line in lines]
            else:
                records = [json.loads(line) for line in lines]
                found[name] = [{k: v for k, v in record.items() if k != "steps_per_second"} for record in records]
        elif path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:  # whose metadata lie in any order
                found[name] = file.metadata() | {key: file.get_tensor(key).tolist() for key in file.keys()}  # noqa: SIM118
        elif path.name not in (".lock", "report.html"):
            found[name] = path.read_bytes()
    return found


def main(folder: Path, every: int) -> None:
    """Try every Nth operation."""
    os.chdir(folder)
    Path("small.toml").write_text(RECIPE)
    for module in ("ganforge.cli.main", "ganforge.runs.opening", "ganforge_evaluations.mode_coverage", FIGURES):
        importlib.import_module(module)  # once, and not in every fork
    status, said = ganforge("run", "small.toml", "--out", "whole", number=0)
    assert status == 0, said
    whole, operations = end_of(Path("whole/small/0001")), int(said)
    bad = 0
    for number in range((every + 1) // 2, operations + 1, every):
        shutil.rmtree("runs", ignore_errors=True)
        run = Path("runs/small/0001")
        status, _ = ganforge("run", "small.toml", number=number)
        saved = any((run / "checkpoints").glob("step-*")) if status else True
        words = ("resume", str(run)) if saved else ("run", "small.toml", "--out", "runs")
        if not saved:
            shutil.rmtree("runs", ignore_errors=True)
        resumed, said = ganforge(*words)
        ended = end_of(run) if run.exists() else {}
        wrong = [name for name in whole | ended if whole.get(name) != ended.get(name)]
        sys.stdout.write(f"{number}: {status}, {words[0]} {resumed}, differs: {', '.join(wrong)}\n")
        if resumed or wrong or status not in (0, -signal.SIGKILL):
            bad += 1
            sys.stdout.write(said)
        sys.stdout.flush()
    sys.stdout.write(f"{operations} operations, {bad} bad\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
