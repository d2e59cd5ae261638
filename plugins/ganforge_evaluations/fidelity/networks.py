"""Networks whose features are compared: the Inception network of the FID literature, or one that the user gives."""

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
CLASSES = 1008  # outputs of the FID literature's Inception network, which distinguish its weights from torchvision's
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which torchvision's weights expect
BATCH = 32

State = Mapping[str, Tensor]


@frozen(eq=False)
class FeatureNetwork:
    """A network that computes features of pictures.

    Attributes:
        name: its name.
        digest: digest of its weights, or of its file.
        channels: channels of its input.
        size: (height, width) of its input.
        read: takes float32 [n, channels, *size] in [0, 255] on the CPU, returns float32 [n, F] there.
    """

    name: str
    digest: str
    channels: int
    size: tuple[int, int]
    read: Callable[[Tensor], Tensor]

    def features(self, pictures: Tensor, resizing: Resizing) -> Tensor:
        """Return the features, float32 [N, F], of uint8 [N, C, H, W]; grey pictures become three equal channels.

        Raises:
            InputError: the network does not take this number of channels, or a package is missing.
        """
        with exactly():
            return torch.cat([self.read(self._fit(part, resizing)) for part in torch.split(pictures, BATCH)])

    def _fit(self, pictures: Tensor, resizing: Resizing) -> Tensor:
        large = RESIZINGS[resizing](pictures, self.size)
        return large.expand(-1, self.channels, -1, -1)

    def require(self, channels: int) -> None:
        """Refuse pictures with another number of channels.

        Raises:
            InputError: the number is wrong; the message says which ones the network takes.
        """
        if channels not in (1, self.channels):
            takes = f"1 or {self.channels} channels" if self.channels > 1 else "1 channel"
            raise InputError(
                f"{self.name} takes pictures of {takes}, got {channels}; set features = FILE.onnx to a network "
                "that takes them",
                key="features",
            )


def exactly() -> AbstractContextManager[None]:
    """Compute convolutions in full single precision and deterministically, whatever the run's settings."""
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


def find_network(features: Path | None, device: torch.device) -> FeatureNetwork:
    """Return the Inception network of the FID literature, or the one in a file.

    Args:
        features: a safetensors file of the weights of that network, or of torchvision's `inception_v3`; or an ONNX file
            of any network that takes float32 [N, C, H, W] in [0, 1] and returns [N, F].
        device: device of the network; an ONNX file always runs on the CPU.

    Raises:
        InputError: there is no such file, the weights were not fetched, or a package is missing.
    """
    if features is None:
        return _inception(fetched("inception"), device, "the fetched file")
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

    That class loads weights with pickle, and accepts only integers, which antialiased pictures are not.
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
    """Open a network of any kind, whose file says what pictures it takes."""
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"'{path}' needs onnxruntime: pip install 'ganforge[export]'", key="features") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are reported below
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many types without a common base
        whole = "expected a file that holds its weights, as torch.onnx.export(..., external_data=False) writes it"
        raise InputError(f"'{path}' is not an ONNX network, {whole}: {error}", key="features") from error
    taken = session.get_inputs()[0]
    fixed = [size for size in taken.shape[1:] if isinstance(size, int)]
    if len(taken.shape) != 4 or len(fixed) != 3 or isinstance(taken.shape[0], int) or taken.type != "tensor(float)":
        expected = "float [N, C, H, W] with a dynamic N and fixed C, H, W"
        raise InputError(f"'{path}' takes {taken.type} {taken.shape}, expected {expected}", key="features")

    def read(pictures: Tensor) -> Tensor:
        features = torch.from_numpy(session.run(None, {taken.name: (pictures / 255).contiguous().numpy()})[0])
        if features.ndim != 2 or len(features) != len(pictures):
            raise InputError(f"'{path}' returns {list(features.shape)}, expected features [N, F]", key="features")
        return features.float()

    return FeatureNetwork(path.name, hashlib.sha256(content).hexdigest()[:16], fixed[0], (fixed[1], fixed[2]), read)


def _fill(network: nn.Module, state: State, source: str, what: str) -> None:
    """Load weights into a network on the meta device; raise an InputError if they are of another network."""
    full = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    try:
        network.load_state_dict(full, strict=True, assign=True)
    except RuntimeError as error:
        raise InputError(f"{source} does not hold the weights of {what}", key="features") from error
    network.requires_grad_(False)


def digest_of(state: State) -> str:
    """Return a digest of weights that does not depend on their file."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
