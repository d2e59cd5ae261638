"""A device's rates for large matrix products and copies, and the arithmetic in a step."""

import time
from collections.abc import Callable, Sequence
from statistics import median, quantiles

import torch

from ganforge import Batches, Counter, Engine

MATRIX = {"cpu": 2048, "cuda": 8192, "mps": 4096}  # side of the matrices whose product is timed
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
COPIED = 1 << 26  # floats that are copied to measure the memory


def wait(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def count_operations(engine: Engine, batches: Batches, steps: int) -> float:
    """Return the floating-point operations of a step, two for each multiply-add, in products and convolutions."""
    with Counter() as counter:  # type: ignore[no-untyped-call]
        for step in range(steps):
            for _ in engine.turns(step, batches(step)):
                pass
    return float(counter.operations) / steps


def matrix_rate(device: torch.device, precision: str) -> float:
    """Return the operations per second of one large matrix product in a precision."""
    side = MATRIX.get(device.type, 2048)
    kind = HALVES.get(precision, torch.float32)
    one, other = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    return 2 * side**3 / _fastest(lambda: one @ other, device)


def copy_rate(device: torch.device) -> float:
    """Return the bytes per second that a copy of memory reads and writes."""
    source = torch.ones(COPIED, device=device)
    target = torch.empty_like(source)
    return 8 * COPIED / _fastest(lambda: target.copy_(source), device)


def device_name(device: torch.device) -> str:
    """Return the device's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return str(torch.cpu.get_capabilities().get("cpu_name", "cpu")) if device.type == "cpu" else str(device)


def summary(ratios: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Return the median of ratios, and their quartiles.

    >>> summary([1.0, 2.0, 3.0, 4.0, 5.0])
    (3.0, (2.0, 4.0))
    """
    if len(ratios) == 1:
        return ratios[0], (ratios[0], ratios[0])
    low, _, high = quantiles(ratios, n=4, method="inclusive")
    return median(ratios), (low, high)


def _fastest(call: Callable[[], object], device: torch.device) -> float:
    times = []
    for _ in range(5):
        wait(device)
        began = time.perf_counter()
        call()
        wait(device)
        times.append(time.perf_counter() - began)
    return min(times)
