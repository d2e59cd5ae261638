"""Precision, memory layout and threads: the settings that are fastest on a device."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext

import torch
from attrs import evolve, frozen
from torch import Tensor

from ganforge.data.dataset import Shape
from ganforge.errors import InputError
from ganforge.recipe.tables import Compute
from ganforge.training import ranks
from ganforge.training.cpu import Faster
from ganforge.training.rows import Draws, Rows, Shared

SMALL_BATCH = 10_000  # numbers in a batch; below this, overhead dominates a step, not arithmetic
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@frozen
class Precision:
    """How formulas are computed.

    Attributes:
        device: the type of the device.
        half: the precision of products; None for that of their inputs.
        faster: whether faster algorithms for CPUs are used.
        products: whether convolutions are among them; a compiler cannot use these algorithms.
        rows: the rows of the step's batch that are played; None for all.
        sync: whether batch normalisation then uses the statistics of all ranks' rows.
        times: choose algorithms as for a batch this many times as large, to measure its memory.
    """

    device: str = "cpu"
    half: torch.dtype | None = None
    faster: bool = False
    products: bool = True
    rows: Rows | None = None
    sync: bool = False
    times: float = 1.0

    @classmethod
    def of(cls, compute: Compute, device: torch.device) -> "Precision":
        """Return the precision that a recipe asks for."""
        faster = device.type == "cpu" and compute.channels_last is True
        half = HALVES.get(compute.precision)
        # Without instructions for it, a product in half precision takes 20 times as long as a convolution.
        native = half is None or (half is torch.bfloat16 and _multiplies_bf16(device))
        sync = compute.sync_norm and ranks.world() > 1
        return cls(device.type, half, faster, native and compute.compile is not True, sync=sync)

    @contextmanager
    def around(
        self, full: bool, draws: Draws | None = None, given: Callable[[], Iterable[Tensor]] = tuple
    ) -> Iterator[None]:
        """Within the context, compute products in half precision unless `full`, and draw as recorded in `draws`.

        `given` returns the tensors that are computed with; some may be parts of the rows that are played.
        """
        half = None if full else self.half
        if not (half or self.faster or self.rows):  # contexts slow down small networks
            yield
            return
        with (
            torch.autocast(self.device, half) if half else nullcontext(),
            Faster(self.products, self.times, half) if self.faster else nullcontext(),
            Shared(self.rows, torch.device(self.device), self.sync, draws, given()) if self.rows else nullcontext(),
        ):
            yield


AS_IT_IS = Precision()


def settle(compute: Compute, batch: int, shapes: Mapping[str, Shape], device: torch.device) -> Compute:
    """Replace `auto` by what suits the device and the batch size; the lock then records the choice.

    Only whether steps have CUDA graphs is found out in the first steps, on a CUDA device.

    Pictures are computed in bfloat16 if the hardware multiplies it natively (measured on a CPU with AVX512-BF16 and
    AMX: 2.2 times as fast as fp32), and in the memory layout channels_last. Small batches of points gain from neither,
    but from recorded steps (1.8 times as fast).

    Raises:
        InputError: the settings conflict.
    """
    size = batch * max(math.prod(shape) for shape in shapes.values())
    large = size >= SMALL_BATCH and any(len(shape) == 3 for shape in shapes.values())
    precision = compute.precision
    if precision == "auto":
        precision = "bf16" if large and _multiplies_bf16(device) else "tf32" if device.type == "cuda" else "fp32"
    channels_last = compute.channels_last
    if channels_last == "auto":
        channels_last = large and (device.type == "cpu" or precision in HALVES)
    if compute.cuda_graph is True and device.type != "cuda":
        raise InputError(f"compute.cuda_graph: CUDA graphs need a CUDA device, not '{device.type}'")
    if precision == "fp16" and (compute.compile in (True, "trace") or compute.cuda_graph is True):
        raise InputError("compute.compile: fp16 steps cannot be recorded: their gradient scale changes; try bf16")
    recorded = compute.compile
    if recorded == "auto":
        recorded = "trace" if size < SMALL_BATCH and device.type in ("cpu", "cuda") and precision != "fp16" else False
    threads = compute.threads or (1 if device.type == "cpu" and size < SMALL_BATCH else 0)
    return evolve(
        compute,
        precision=precision,
        channels_last=channels_last,
        compile=recorded,
        cuda_graph=compute.cuda_graph if device.type == "cuda" and precision != "fp16" else False,
        threads=threads,
    )


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def apply(compute: Compute) -> None:
    """Apply the settings of the whole process: threads, denormal numbers, and fp32 products on CUDA."""
    # Weights that decay to zero pass through denormal numbers, which make a CPU several times slower.
    torch.set_flush_denormal(True)
    if compute.threads:
        torch.set_num_threads(compute.threads)
    fast = compute.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = fast
    torch.backends.cudnn.allow_tf32 = fast


def laid_out(samples: Tensor, channels_last: bool) -> Tensor:
    """Return pictures in the wanted memory layout, and anything else unchanged."""
    if not channels_last or samples.ndim != 4:
        return samples
    return samples.contiguous(memory_format=torch.channels_last)


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out; the CPU allocator has no class of its own for it."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def single_value(error: BaseException) -> str:
    """Return what gave a normalising layer a single value per channel, `batch` or `sample`; "" for other errors."""
    told = {"Expected more than 1 value per channel": "batch", "Expected more than 1 spatial element": "sample"}
    return next((whole for words, whole in told.items() if words in str(error)), "")
