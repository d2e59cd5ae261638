"""Measurements in a new process: the time to the first step, and the memory of a later step."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ganforge import InputError, Plan, PluginError, Report, RunFailedError, resident_memory
from ganforge_bench.rates import wait


def ask(options: Sequence[str]) -> dict[str, Any]:
    """Run the first steps of a recipe in a new process.

    Args:
        options: arguments of `ganforge bench`: the recipe with its settings, and the device.

    Returns:
        `first_step_seconds`, from the start of the process, and what `first_steps` returns.

    Raises:
        InputError, PluginError, RunFailedError: the process failed with this message.
    """
    began = time.time()
    # -P: modules in the current folder must not hide others.
    words = [sys.executable, "-P", "-m", "ganforge", "bench", *options, "--fresh", "0"]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    if done.returncode:
        kinds = {kind.status: kind for kind in (InputError, PluginError)}
        told = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
        told = told or [f"the process of the first steps exited with status {done.returncode}"]
        raise kinds.get(done.returncode, RunFailedError)(*told)
    found: dict[str, Any] = json.loads(done.stdout)
    return {"first_step_seconds": found.pop("first_step_at") - began, **found}


def first_steps(
    plan: Plan, device: torch.device, *, real_data: bool, report: Report, rounds: int = 0, seconds: float = 0.0
) -> dict[str, Any]:
    """Make a recipe's engine and run its first steps in this process.

    Args:
        plan: the resolved recipe.
        device: where to train.
        real_data: use the recipe's data set; otherwise random samples of its shapes.
        report: called with (what, done, total).
        rounds: then measure its speed in at least so many rounds; 0: do not.
        seconds: roughly how long the rounds take.

    Returns:
        Memory in MiB. Of the host: after loading torch and plugins, after making networks and data, and the peak by the
        third step. Of a CUDA device: the peaks that torch allocated and reserved in that step. `memory_mib` is what
        training takes: on a CUDA device the peak allocated, with graphs the peak reserved, which includes unrecorded
        steps for comparison; otherwise the host's peak less what it had after loading torch. With `rounds`, also the
        speed, named as by `bench`; without, the time of day of the first step's end, in seconds.
    """
    from ganforge_bench.bench import prepared, speed

    loaded = _host("VmRSS")
    plan, _, engine, batches, _ = prepared(plan, device, real_data=real_data, report=report)
    resident = _host("VmRSS")
    engine.step(0, batches(0))
    wait(device)
    now = time.time()
    engine.step(1, batches(1))  # the second step audits a recording again; the third does not
    wait(device)
    _reset(device)
    engine.step(2, batches(2))
    wait(device)
    peak = _host("VmHWM")
    found = {"host_loaded_mib": loaded, "host_resident_mib": resident, "host_peak_mib": peak}
    if device.type == "cuda":
        allocated, reserved = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
        found |= {"device_allocated_mib": allocated / 2**20, "device_reserved_mib": reserved / 2**20}
        # The memory in which graphs compute is reserved, but not allocated.
        found["memory_mib"] = (reserved if "graphs" in engine.recording.how else allocated) / 2**20
    else:
        found["memory_mib"] = peak - loaded
    return found | (speed(plan, engine, batches, seconds, rounds, report) if rounds else {"first_step_at": now})


def _reset(device: torch.device) -> None:
    """Reset the memory peaks; where a system cannot, the peak counts from the start of the process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _host(name: str) -> float:
    """Return this process's memory in MiB: VmRSS is the present size, VmHWM the peak."""
    if (found := resident_memory(name)) is not None:
        return found / 2**20
    if os.name != "posix":
        return float("nan")
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 1024
