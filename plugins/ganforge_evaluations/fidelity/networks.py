"""Networks whose features are compared: the Inception network of the FID literature, or one of the user's own field."""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from attrs import frozen
from torch import Tensor, nn

from ganforge import InputError
from ganforge_evaluations.fidelity.archives import fetched
from ganforge_evaluations.fidelity.resize import NEEDED, RESIZINGS, Resizing

SIDE = 299  # pixels of Inception's input
CLASSES = 1008  # of the Inception network of the FID literature, by which its weights are known from torchvision's
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which torchvision's weights expect
BATCH = 32

State = Mapping[str, Tensor]


@frozen(eq=False)
class FeatureNetwork:
    """A network that reads features off pictures.

    Attributes:
        name: what it is.
        digest: of its weights, or of its file.
        channels: of a picture that it takes.
        size: (height, width) of a picture that it takes.
        read: takes float32 [n, channels, *size] in [0, 255] on the CPU, returns float32 [n, F] there.
    """

    name: str
    digest: str
    channels: int
    size: tuple[int, int]
    read: Callable[[Tensor], Tensor]

    def features(self, pictures: Tensor, resizing: Resizing) -> Tensor:
        """Read features, float32 [N, F], off uint8 [N, C, H, W]; grey pictures count as three equal channels.

        Raises:
            InputError: the network does not take pictures of so many channels, or what it needs is not installed.
        """
        with exactly():
            return torch.cat([self.read(self._fit(part, resizing)) for part in torch.split(pictures, BATCH)])

    def _fit(self, pictures: Tensor, resizing: Resizing) -> Tensor:
        large = RESIZINGS[resizing](pictures, self.size)
        return large.expand(-1, self.channels, -1, -1)

    def require(self, channels: int) -> None:
        """Refuse pictures of another number of channels.

        Raises:
            InputError: says which the network takes.
        """
        if channels not in (1, self.channels):
            takes = f"1 or {self.channels} channels" if self.channels > 1 else "1 channel"
            raise InputError(
                f"{self.name} takes pictures of {takes}, and these have {channels}; features = FILE.onnx names a "
                "network that takes them",
                key="features",
            )


def exactly() -> AbstractContextManager[None]:
    """Have convolutions computed in full single precision, and in the same way each time, however a run trains."""
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


def find_network(features: Path | None, device: torch.device) -> FeatureNetwork:
    """Return the Inception network of the FID literature, or the one in a file.

    Args:
        features: a safetensors file of the weights of that network, or of torchvision's `inception_v3`; or an ONNX file
            of any network that takes float32 [N, C, H, W] in [0, 1] and returns [N, F].
        device: where it works; an ONNX file's always on the CPU.

    Raises:
        InputError: there is no such file, the weights were not fetched, or a package is missing.
    """
    if features is None:
        return _inception(fetched("inception"), device, "what was fetched")
    try:
        content = features.read_bytes()
    except OSError as error:
        raise InputError(f"'{features}' cannot be read: {error.strerror}", key="features") from error
    if features.suffix == ".onnx":
        return _onnx(features, content)
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        state = load(content)
    except SafetensorError as error:
        raise InputError(f"'{features}' cannot be read: {error}", key="features") from error
    classes = len(state["fc.bias"]) if "fc.bias" in state else 0
    make = _inception if classes == CLASSES else _torchvision
    return make(state, device, f"'{features}'")


def _inception(state: State, device: torch.device, source: str) -> FeatureNetwork:
    """Build the network as torch-fidelity's `FeatureExtractorInceptionV3`, up to its 2,048 features.

    That class itself loads weights by pickle, and takes whole numbers only, which antialiased pictures are not.
    """
    try:
        from torch_fidelity import feature_extractor_inceptionv3 as parts
    except ImportError as error:
        raise InputError(NEEDED) from error
    convolution = parts.BasicConv2d
    with torch.device("meta"):
        network = nn.Sequential()
        for name, layer in {
            "Conv2d_1a_3x3": convolution(3, 32, kernel_size=3, stride=2),
            "Conv2d_2a_3x3": convolution(32, 32, kernel_size=3),
            "Conv2d_2b_3x3": convolution(32, 64, kernel_size=3, padding=1),
            "MaxPool_1": nn.MaxPool2d(kernel_size=3, stride=2),
            "Conv2d_3b_1x1": convolution(64, 80, kernel_size=1),
            "Conv2d_4a_3x3": convolution(80, 192, kernel_size=3),
            "MaxPool_2": nn.MaxPool2d(kernel_size=3, stride=2),
            "Mixed_5b": parts.InceptionA(192, pool_features=32),
            "Mixed_5c": parts.InceptionA(256, pool_features=64),
            "Mixed_5d": parts.InceptionA(288, pool_features=64),
            "Mixed_6a": parts.InceptionB(288),
            "Mixed_6b": parts.InceptionC(768, channels_7x7=128),
            "Mixed_6c": parts.InceptionC(768, channels_7x7=160),
            "Mixed_6d": parts.InceptionC(768, channels_7x7=160),
            "Mixed_6e": parts.InceptionC(768, channels_7x7=192),
            "Mixed_7a": parts.InceptionD(768),
            "Mixed_7b": parts.InceptionE_1(1280),
            "Mixed_7c": parts.InceptionE_2(2048),
            "AvgPool": nn.AdaptiveAvgPool2d(1),
            "Flatten": nn.Flatten(),
        }.items():
            network.add_module(name, layer)
    used = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    _fill(network, used, source, "the Inception network of FID")
    network.eval().to(device).to(memory_format=torch.channels_last)

    def read(pictures: Tensor) -> Tensor:
        features: Tensor = network((pictures.to(device) - 128) / 128)
        return features.float().cpu()

    return FeatureNetwork("inception-2015-12-05", digest_of(used), 3, (SIDE, SIDE), read)


def _torchvision(state: State, device: torch.device, source: str) -> FeatureNetwork:
    """Build torchvision's `inception_v3`, which is not the network of the FID literature, up to its 2,048 features."""
    from torchvision.models import inception_v3

    with torch.device("meta"):
        network = inception_v3(weights=None, init_weights=False, aux_logits=False)
    network.fc = nn.Identity()
    used = {name: tensor for name, tensor in state.items() if not name.startswith(("fc.", "AuxLogits."))}
    _fill(network, used, source, "torchvision's inception_v3 or the Inception network of FID")
    network.eval().to(device).to(memory_format=torch.channels_last)
    mean, deviation = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, DEVIATION))

    def read(pictures: Tensor) -> Tensor:
        features: Tensor = network((pictures.to(device) / 255 - mean) / deviation)
        return features.float().cpu()

    return FeatureNetwork("torchvision's inception_v3", digest_of(used), 3, (SIDE, SIDE), read)


def _onnx(path: Path, content: bytes) -> FeatureNetwork:
    """Open a network of any kind, which says itself what pictures it takes."""
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"'{path}' needs onnxruntime: pip install 'ganforge[export]'", key="features") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is said below
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has many, none of them derived from one of its own
        whole = "expected a file that holds its weights, as torch.onnx.export(..., external_data=False) writes it"
        raise InputError(f"'{path}' is no network in ONNX, {whole}: {error}", key="features") from error
    taken = session.get_inputs()[0]
    fixed = [size for size in taken.shape[1:] if isinstance(size, int)]
    if len(taken.shape) != 4 or len(fixed) != 3 or isinstance(taken.shape[0], int) or taken.type != "tensor(float)":
        expected = "float [N, C, H, W] with N open and numbers for the others"
        raise InputError(f"'{path}' takes {taken.type} {taken.shape}, expected {expected}", key="features")

    def read(pictures: Tensor) -> Tensor:
        features = torch.from_numpy(session.run(None, {taken.name: (pictures / 255).contiguous().numpy()})[0])
        if features.ndim != 2 or len(features) != len(pictures):
            raise InputError(f"'{path}' returns {list(features.shape)}, expected features [N, F]", key="features")
        return features.float()

    return FeatureNetwork(path.name, hashlib.sha256(content).hexdigest()[:16], fixed[0], (fixed[1], fixed[2]), read)


def _fill(network: nn.Module, state: State, source: str, what: str) -> None:
    """Give a network that has no memory yet its weights; an InputError says if these are another network's."""
    full = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    try:
        network.load_state_dict(full, strict=True, assign=True)
    except RuntimeError as error:
        raise InputError(f"{source} does not hold the weights of {what}", key="features") from error
    network.requires_grad_(False)


def digest_of(state: State) -> str:
    """Return what tells weights from all others, whatever file they stand in."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
