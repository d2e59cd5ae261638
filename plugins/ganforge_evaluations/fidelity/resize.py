"""Resizing to a network's input size: the choice of filter can matter more than the method (Parmar 2022)."""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganforge import InputError

Resizing = Literal["clean", "legacy"]
NEEDED = "needs the package torch-fidelity: pip install 'ganforge[fid]'"


def clean(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize as clean-fid does (Parmar et al. 2022): Pillow's bicubic filter, antialiased, each channel as floats.

    Args:
        pictures: uint8 [N, C, H, W].
        size: (height, width).

    Returns:
        float32 [N, C, height, width] in [0, 255], not rounded.
    """
    height, width = size
    channels = pictures.flatten(0, 1).numpy().astype(np.float32)  # [N C, H, W]
    resized = [np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC)) for one in channels]
    return torch.from_numpy(np.stack(resized)).clamp(0, 255).reshape(*pictures.shape[:2], height, width)


def legacy(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize as the code of the FID's authors does inside its graph: bilinear, as in TensorFlow 1.

    Corners are not aligned, pixels are points at their upper left corners, and nothing is antialiased: in pictures
    larger than the network's input, pixels are skipped. The code is torch-fidelity's.

    Args:
        pictures: uint8 [N, C, H, W].
        size: (height, width).

    Returns:
        float32 [N, C, height, width] in [0, 255].

    Raises:
        InputError: torch-fidelity is not installed.
    """
    try:
        from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
    except ImportError as error:
        raise InputError(f'resizing = "legacy" {NEEDED}', key="resizing") from error
    resized: Tensor = interpolate_bilinear_2d_like_tensorflow1x(pictures.float(), size=size, align_corners=False)
    return resized


RESIZINGS: Mapping[Resizing, Callable[[Tensor, tuple[int, int]], Tensor]] = {"clean": clean, "legacy": legacy}
