"""A CUDA device that is pretended on a CPU: tensors say where they are, and computing with both is an error, as there.

All numbers are real, so that whole commands run. Only Python's calls in the main thread are watched.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
# Functions that may have tensors of both: they copy between them, or compute nothing.
MIXING = {"copy_", "__setitem__", "__set__", "__get__", "set_", "type_as", "__deepcopy__", "is_same_size"}
MIXING |= {"_has_compatible_shallow_copy_type"}
JOINING = {"cat", "stack"}  # do not take numbers from a CPU, as others do


def on_cuda(tensor):
    """Whether a tensor is pretended to be on the device."""
    return tensor.__dict__.get("_on_cuda", False)


class Pretended(TorchFunctionMode):
    """Answers for the device."""

    def __torch_function__(self, function, types, arguments=(), options=None):
        """Call a function of torch as if there were a device."""
        options, name = dict(options or {}), getattr(function, "__name__", "")
        owner = getattr(getattr(function, "__self__", None), "__name__", "")
        if name == "__get__" and owner in ("device", "is_cuda"):
            there = on_cuda(arguments[0])
            return there if owner == "is_cuda" else CUDA if there else CPU
        if name == "__set__" and owner == "data":
            function(*arguments)
            arguments[0]._on_cuda = on_cuda(arguments[1])
            return None
        if name in ("numpy", "__array__") and on_cuda(arguments[0]):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if name in ("cpu", "cuda"):
            return moved(arguments[0], name == "cuda")
        return (self.to if name == "to" else self.compute)(function, arguments, options)

    def to(self, function, arguments, options):
        """Move and convert a tensor."""
        tensor, device, given = arguments[0], None, list(arguments[1:])
        if given and isinstance(given[0], str | torch.device):
            device = torch.device(given[0])
            given[0] = as_real(device)
        elif given and isinstance(given[0], Tensor):
            device = CUDA if on_cuda(given[0]) else CPU
        elif options.get("device") is not None:
            device = torch.device(options["device"])
            options["device"] = as_real(device)
        made = function(tensor, *given, **options)
        if device is not None and device.type == "meta":
            return made
        if made is not tensor:
            made._on_cuda = on_cuda(tensor)
        return moved(made, on_cuda(tensor) if device is None else device.type == "cuda")

    def compute(self, function, arguments, options):
        """Compute where the arguments are, or where the function is asked to."""
        options.pop("pin_memory", None)
        asked = options.get("device")
        if asked is not None:
            asked = torch.device(asked)
            options["device"] = as_real(asked)
        tensors = [one for one in tree_leaves((arguments, options)) if isinstance(one, Tensor)]
        name = getattr(function, "__name__", "")
        places = {on_cuda(one) for one in tensors if one.ndim or name in JOINING}
        indexes = name == "__getitem__" and on_cuda(arguments[0])  # indices may be on the CPU
        if len(places) > 1 and name not in MIXING and not indexes:
            raise RuntimeError(f"Expected all tensors to be on the same device, found cuda:0 and cpu ('{name}')")
        there = any(map(on_cuda, tensors)) if asked is None else asked.type == "cuda"
        if there and isinstance(options.get("generator"), torch.Generator):
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        found, given = function(*arguments, **options), {id(one) for one in tensors}
        for one in tree_leaves(found):
            if isinstance(one, Tensor) and id(one) not in given:
                one._on_cuda = there
        return found


def as_real(device):
    """The device where something is really computed."""
    return device if device.type == "meta" else CPU


def moved(tensor, there):
    """A tensor on the device, or on the CPU: a copy, unless it is there."""
    if on_cuda(tensor) == there:
        return tensor
    made = tensor.clone(memory_format=torch.preserve_format)
    made._on_cuda = there
    return made


@contextmanager
def pretended(monkeypatch) -> Iterator[None]:
    """Let there be one CUDA device within the context."""
    state = torch.zeros(16, dtype=torch.uint8)
    answers = {
        **dict.fromkeys(("_lazy_init", "synchronize", "empty_cache", "reset_peak_memory_stats", "set_device")),
        **dict.fromkeys(("set_rng_state", "set_rng_state_all", "manual_seed", "manual_seed_all")),
        **dict.fromkeys(("memory_allocated", "memory_reserved", "current_device"), 0),
        **dict.fromkeys(("max_memory_allocated", "max_memory_reserved"), 2**20),
        "is_available": True,
        "is_bf16_supported": True,
        "device_count": 1,
        "device": nullcontext(),
        "get_device_name": "pretended",
        "mem_get_info": (2**36, 2**37),
        "get_rng_state": state,
        "get_rng_state_all": [state],
        "current_stream": SimpleNamespace(synchronize=lambda: None),
    }
    for name, answer in answers.items():  # a function each, since torch's compiler counts them
        monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer, **__: answer)
    monkeypatch.setattr(Tensor, "pin_memory", Tensor.clone)
    monkeypatch.setattr(torch.optim.Optimizer, "_accelerator_graph_capture_health_check", lambda _: None, raising=False)
    with Pretended():
        yield
