"""How numbers are computed: which precision and memory layout a device is fastest with, and calling networks so."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from attrs import evolve
from torch import Tensor, nn

from ganforge.data.dataset import Shape
from ganforge.errors import InputError
from ganforge.recipe.plan import Train

SMALL_BATCH = 10_000  # numbers in a batch below which a step is bound by overhead, not by arithmetic
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def settle(train: Train, shapes: Mapping[str, Shape], device: torch.device) -> Train:
    """Replace every `auto` by what suits the device and the size of a batch; the lock then holds the choice.

    Pictures are computed in bfloat16 where the hardware multiplies it natively (measured on a CPU with AVX512-BF16 and
    AMX: 2.2 times as fast as fp32), and in the memory layout channels_last. Small batches of points gain by neither,
    but by having their steps recorded (1.8 times as fast).

    Raises:
        InputError: what is asked for does not go together.
    """
    size = train.batch * max(math.prod(shape) for shape in shapes.values())
    large = size >= SMALL_BATCH and all(len(shape) == 3 for shape in shapes.values())
    precision = train.precision
    if precision == "auto":
        precision = "bf16" if large and _multiplies_bf16(device) else "tf32" if device.type == "cuda" else "fp32"
    channels_last = train.channels_last
    if channels_last == "auto":
        channels_last = large and (device.type == "cpu" or precision in HALVES)
    if train.cuda_graph is True and device.type != "cuda":
        raise InputError(f"train.cuda_graph: CUDA graphs need a CUDA device, not '{device.type}'")
    if precision == "fp16" and (train.compile in (True, "trace") or train.cuda_graph is True):
        raise InputError("train.compile: a step in fp16, whose gradients' scale moves, cannot be recorded; try bf16")
    recorded = train.compile
    if recorded == "auto":
        recorded = "trace" if size < SMALL_BATCH and device.type in ("cpu", "cuda") and precision != "fp16" else False
    threads = train.threads or (1 if device.type == "cpu" and size < SMALL_BATCH else 0)
    return evolve(
        train,
        precision=precision,
        channels_last=channels_last,
        compile=recorded,
        cuda_graph=train.cuda_graph is True,
        threads=threads,
    )


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def apply(train: Train) -> None:
    """Set what is set for the whole process: threads, denormal numbers, and how fp32 products are made on CUDA."""
    # Weights that decay to nothing pass through denormal numbers, on which a CPU is several times slower.
    torch.set_flush_denormal(True)
    if train.threads:
        torch.set_num_threads(train.threads)
    fast = train.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = fast
    torch.backends.cudnn.allow_tf32 = fast


def caller(train: Train) -> Callable[[nn.Module], Callable[..., Any]]:
    """Return how networks are called: as they are, or with their products in half precision."""
    if train.precision not in HALVES:
        return lambda network: network
    return lambda network: autocast(network, HALVES[train.precision])


def autocast(network: nn.Module, half: torch.dtype) -> Callable[[Tensor], Any]:
    """Return how a network is called in half precision: its weights and what it returns stay fp32."""

    def call(samples: Tensor) -> Any:
        with torch.autocast(samples.device.type, half):
            result = network(samples)
        if isinstance(result, Tensor):
            return result.float()
        score, features = result
        return score.float(), tuple(feature.float() for feature in features)

    return call


def laid_out(samples: Tensor, channels_last: bool) -> Tensor:
    """Return pictures in the memory layout that is wanted; anything else as it is."""
    if not channels_last or samples.ndim != 4:
        return samples
    return samples.contiguous(memory_format=torch.channels_last)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; the CPU's allocator has no class of its own for it."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
