"""Torch's profile of some steps as a trace, and the slowest operations as a table."""

import csv
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile as record

from ganforge import Batches, Engine, InputError, write_output
from ganforge_bench.rates import wait

STEPS = 3
DEAREST = 10
TRACE, TABLE = "trace.json", "operations.csv"


def require_folder(folder: Path) -> None:
    """Make the folder of a profile before anything is measured.

    Raises:
        InputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}") from error


def profile(engine: Engine, batches: Batches, device: torch.device, folder: Path, rhythm: int) -> list[dict[str, Any]]:
    """Profile some steps; write `trace.json`, for chrome://tracing and Perfetto, and `operations.csv`.

    Args:
        engine: an engine that is warmed up.
        batches: the engine's batches.
        device: the device it trains on.
        folder: where the files go; other files in it are kept.
        rhythm: number of steps after which every player has played.

    Returns:
        The ten slowest operations: their calls in a step, their own milliseconds in a step (without the operations that
        they call) on the CPU and on a CUDA device, and their share of the total.

    Raises:
        InputError: the folder cannot be written.
    """
    steps = rhythm * -(-STEPS // rhythm)
    profiler = _profiled(engine, batches, device, steps)
    with tempfile.TemporaryDirectory() as aside:
        trace = Path(aside, TRACE)
        profiler.export_chrome_trace(str(trace))
        write_output(folder / TRACE, trace.read_bytes())
    rows = _dearest(profiler.key_averages(), device, steps)
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    write_output(folder / TABLE, table.getvalue())
    return rows


def busy_seconds(engine: Engine, batches: Batches, device: torch.device, steps: int = 5) -> float:
    """Return the seconds of a step in which a CUDA device computes or copies."""
    events = _profiled(engine, batches, device, steps).key_averages()
    spent = [e.self_device_time_total for e in events if e.device_type == DeviceType.CUDA and not e.is_user_annotation]
    return float(sum(spent)) / 1e6 / steps


def _profiled(engine: Engine, batches: Batches, device: torch.device, steps: int) -> record:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # otherwise it logs at length that there is no device
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    profiler: record
    with record(activities=kinds, acc_events=True) as profiler:
        for step in range(steps):
            engine.step(step, batches(step))
        wait(device)
    return profiler


def _dearest(events: Any, device: torch.device, steps: int) -> list[dict[str, Any]]:
    """Return a row for each operation, the slowest first; kernels count for the operations that launch them."""
    on_device = device.type == "cuda"
    operations = [event for event in events if event.device_type == DeviceType.CPU and not event.is_user_annotation]

    def cost(event: Any) -> float:
        return float(event.self_device_time_total if on_device else event.self_cpu_time_total)

    total = sum(map(cost, operations)) or 1.0
    rows = []
    for event in sorted(operations, key=cost, reverse=True)[:DEAREST]:
        row = {"operation": event.key, "calls": event.count / steps}
        row["cpu_ms"] = event.self_cpu_time_total / 1000 / steps
        if on_device:
            row["device_ms"] = event.self_device_time_total / 1000 / steps
        rows.append({**row, "share": cost(event) / total})
    return rows
