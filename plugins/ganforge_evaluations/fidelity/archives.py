"""Where the weights of known networks are published; `ganforge data fetch` keeps them as safetensors, for all runs.

The checksums come from users of these files; two file names contain the beginning of the publisher's own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ganforge import Archive, InputError, Remote, user_folder, write_file

if TYPE_CHECKING:
    from torch import Tensor

GITHUB = "https://github.com"


def to_safetensors(folder: Path) -> None:
    """Turn the state dicts (`*.pth`) in a folder into one file, `weights.safetensors`.

    Only tensors are read. AlexNet's classifier, nine tenths of its weights, is left out since it is not needed.

    Raises:
        InputError: a file holds anything else.
        OSError: the disk is full or cannot be written.
    """
    import torch
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    files = sorted(folder.glob("*.pth"))
    for file in files:
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
            found = {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}
        except OSError:
            raise
        except Exception as error:  # torch raises many types, and quotes the file's content
            raise InputError(f"'{file.name}' is not a state dict of tensors: {type(error).__name__}") from error
        tensors |= {name: tensor for name, tensor in found.items() if not name.startswith("classifier.")}
    write_file(folder / "weights.safetensors", save(tensors))
    for file in files:
        file.unlink()


ARCHIVES = (
    Archive(
        "inception",
        (
            Remote(
                "weights-inception-2015-12-05-6726825d.pth",
                (
                    f"{GITHUB}/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
                    f"{GITHUB}/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
                ),
                packed=False,
                sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            ),
        ),
        95_628_359,
        "The Inception network of FID (Google, 2015-12-05, Apache License 2.0), converted by M. Seitzer's pytorch-fid.",
        f"{GITHUB}/toshas/torch-fidelity/releases/tag/v0.2.0; then add --mirror file:///FOLDER, which has the file",
        shared=True,
        convert=to_safetensors,
    ),
    Archive(
        "lpips",
        (
            Remote(
                "alexnet-owt-7be5be79.pth",
                ("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",),
                packed=False,
                sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            ),
            Remote(
                "alex.pth",
                (
                    "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/alex.pth",
                ),
                packed=False,
                sha256="df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
            ),
        ),
        244_414_920,
        "AlexNet of torchvision (BSD 3-Clause), with the layers of LPIPS 0.1 (Zhang et al. 2018, BSD 2-Clause).",
        f"{GITHUB}/richzhang/PerceptualSimilarity/tree/master/lpips/weights/v0.1, and torchvision's AlexNet; then add "
        "--mirror file:///FOLDER, the folder with both files",
        shared=True,
        convert=to_safetensors,
    ),
)


def fetched(name: str) -> Mapping[str, "Tensor"]:
    """Read the weights stored by `ganforge data fetch NAME`.

    Raises:
        InputError: they were not fetched, or are damaged; the message says what to do.
    """
    folder = user_folder("data") / name
    file = folder / "weights.safetensors"
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not file.is_file():
        once = f"fetch them once with `ganforge data fetch {name}`"
        raise InputError(f"needs the weights '{name}', which are not in '{folder}'; {once}")
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        again = f"delete '{folder}' and fetch them again with `ganforge data fetch {name}`"
        raise InputError(f"'{file}' cannot be read: {error}; {again}") from error
