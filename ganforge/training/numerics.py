"""How numbers are computed: which precision and memory layout a device is fastest with."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

import torch
from attrs import evolve, frozen
from torch import Tensor

from ganforge.data.dataset import Shape
from ganforge.errors import InputError
from ganforge.recipe.plan import Compute
from ganforge.training import ranks
from ganforge.training.cpu import Faster
from ganforge.training.rows import Draws, Rows, Shared

SMALL_BATCH = 10_000  # numbers in a batch below which a step is bound by overhead, not by arithmetic
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@frozen
class Precision:
    """How formulas are computed.

    Attributes:
        device: where.
        half: the precision of products; None if they are as precise as their inputs.
        faster: whether some functions are computed in another way, as a CPU is faster so.
        compiled: whether products are left to a compiler, which cannot take the other ways.
        rows: those of the step's batch that are played, where these are not all.
        sync: whether batch normalisation then takes the statistics of all ranks' rows.
        times: by which a batch stands for one that is so many times as large, whose memory is to be known.
    """

    device: str = "cpu"
    half: torch.dtype | None = None
    faster: bool = False
    compiled: bool = False
    rows: Rows | None = None
    sync: bool = False
    times: float = 1.0

    @classmethod
    def of(cls, compute: Compute, device: torch.device) -> "Precision":
        """Return the one that a recipe asks for."""
        faster = device.type == "cpu" and compute.channels_last is True
        sync = compute.sync_norm and ranks.world() > 1
        return cls(device.type, HALVES.get(compute.precision), faster, compute.compile is True, sync=sync)

    @contextmanager
    def around(self, full: bool, draws: Draws | None = None) -> Iterator[None]:
        """Compute something with products in half precision, unless `full`; draw as `draws` says, if there are some."""
        half = None if full else self.half
        if not (half or self.faster or self.rows):  # small networks notice every context
            yield
            return
        with (
            torch.autocast(self.device, half) if half else nullcontext(),
            Faster(not (half or self.compiled), self.times) if self.faster else nullcontext(),
            Shared(self.rows, torch.device(self.device), self.sync, draws) if self.rows else nullcontext(),
        ):
            yield


AS_IT_IS = Precision()


def settle(compute: Compute, batch: int, shapes: Mapping[str, Shape], device: torch.device) -> Compute:
    """Replace every `auto` by what suits the device and the size of a batch; the lock then holds the choice.

    Pictures are computed in bfloat16 where the hardware multiplies it natively (measured on a CPU with AVX512-BF16 and
    AMX: 2.2 times as fast as fp32), and in the memory layout channels_last. Small batches of points gain by neither,
    but by having their steps recorded (1.8 times as fast).

    Raises:
        InputError: what is asked for does not go together.
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
        raise InputError("compute.compile: a step in fp16, whose gradients' scale moves, cannot be recorded; try bf16")
    recorded = compute.compile
    if recorded == "auto":
        recorded = "trace" if size < SMALL_BATCH and device.type in ("cpu", "cuda") and precision != "fp16" else False
    threads = compute.threads or (1 if device.type == "cpu" and size < SMALL_BATCH else 0)
    return evolve(
        compute,
        precision=precision,
        channels_last=channels_last,
        compile=recorded,
        cuda_graph=compute.cuda_graph is True,
        threads=threads,
    )


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def apply(compute: Compute) -> None:
    """Set what is set for the whole process: threads, denormal numbers, and how fp32 products are made on CUDA."""
    # Weights that decay to nothing pass through denormal numbers, on which a CPU is several times slower.
    torch.set_flush_denormal(True)
    if compute.threads:
        torch.set_num_threads(compute.threads)
    fast = compute.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = fast
    torch.backends.cudnn.allow_tf32 = fast


def laid_out(samples: Tensor, channels_last: bool) -> Tensor:
    """Return pictures in the memory layout that is wanted; anything else as it is."""
    if not channels_last or samples.ndim != 4:
        return samples
    return samples.contiguous(memory_format=torch.channels_last)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; the CPU's allocator has no class of its own for it."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def single_value(error: BaseException) -> str:
    """Of what a normalising layer had a single value for each channel, a `batch` or a `sample`; else nothing."""
    told = {"Expected more than 1 value per channel": "batch", "Expected more than 1 spatial element": "sample"}
    return next((whole for words, whole in told.items() if words in str(error)), "")
