"""What is measured in a fresh process: the time to the first step, and the memory of a later one."""

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
    """Play the first steps of a recipe in a new process.

    Args:
        options: of `ganforge bench`: the recipe with its settings, and the device.

    Returns:
        `first_step_seconds`, from the start of the process, and what `first_steps` returns.

    Raises:
        InputError, PluginError, RunFailedError: the process failed, and said this.
    """
    began = time.time()
    # -P: no module of the current folder goes before others.
    words = [sys.executable, "-P", "-m", "ganforge", "bench", *options, "--fresh"]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    if done.returncode:
        kinds = {kind.status: kind for kind in (InputError, PluginError)}
        told = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
        told = told or [f"the process of the first steps ended with status {done.returncode}"]
        raise kinds.get(done.returncode, RunFailedError)(*told)
    found: dict[str, Any] = json.loads(done.stdout)
    return {"first_step_seconds": found.pop("first_step_at") - began, **found}


def first_steps(plan: Plan, device: torch.device, *, real_data: bool, report: Report) -> dict[str, Any]:
    """Make a recipe's engine and play its first steps, in this process.

    Returns:
        The time of day when the first step was done, in seconds, and MiB of memory: of the host when torch and plugins
        were loaded, when networks and data were there, and at most in the third step; of a CUDA device what torch has
        allocated and reserved at most in that step. `memory_mib` is what training takes: of a CUDA
        device what is allocated, else what the host has at most, without what it had when torch was loaded.
    """
    from ganforge_bench.bench import prepared

    loaded = _host("VmRSS")
    _, _, engine, batches, _ = prepared(plan, device, real_data=real_data, report=report)
    resident = _host("VmRSS")
    engine.step(0, batches(0))
    wait(device)
    now = time.time()
    engine.step(1, batches(1))  # in which a recorded step is proved once more, as it is not in the next one
    wait(device)
    _reset(device)
    engine.step(2, batches(2))
    wait(device)
    host = {"host_loaded_mib": loaded, "host_resident_mib": resident, "host_peak_mib": _host("VmHWM")}
    if device.type == "cuda":
        allocated, reserved = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
        there = {"device_allocated_mib": allocated / 2**20, "device_reserved_mib": reserved / 2**20}
        return {"first_step_at": now, **host, **there, "memory_mib": allocated / 2**20}
    return {"first_step_at": now, **host, "memory_mib": host["host_peak_mib"] - loaded}


def _reset(device: torch.device) -> None:
    """Have peaks of memory counted from now on; where a system cannot, its peak is that since the process began."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _host(name: str) -> float:
    """Return MiB of memory of this process: VmRSS is what it has now, VmHWM the most that it had."""
    if (found := resident_memory(name)) is not None:
        return found / 2**20
    if os.name != "posix":
        return float("nan")
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 1024
