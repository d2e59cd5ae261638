"""Pictures that hold pairs side by side, as in the archives of pix2pix (Isola et al. 2017)."""

from pathlib import Path
from typing import Literal

from ganforge import Found, InputError, Split
from ganforge_data.listing import list_pictures, require_folder
from ganforge_data.opened import Opened

Side = Literal["left", "right"]


def opposite(side: Side) -> Side:
    """Return the other side."""
    return "right" if side == "left" else "left"


def split_folder(root: Path, split: Split) -> Path:
    """Return an archive's `train/`, or its `test/` or `val/`; it need not exist."""
    folder = root / split
    return root / "val" if split == "test" and not folder.is_dir() else folder


def validation_folder(root: Path) -> Path:
    """Return an archive's folder of validation pictures: `validation/`, or `val/` beside `test/`.

    Raises:
        InputError: there is none.
    """
    known = [root / "validation", *([root / "val"] if (root / "test").is_dir() else [])]
    if found := next((folder for folder in known if folder.is_dir()), None):
        return found
    raise InputError(f"'{root}' holds no folder 'validation', nor a 'val' beside 'test'", key="validation")


def split_files(root: Path, key: str, split: Split) -> Found:
    """List the pictures in `train/`, or in `test/` or `val/`, of an archive's folder."""
    root = require_folder(root, key)
    folder = split_folder(root, split)
    if not folder.is_dir():
        inner = [path.name for path in root.iterdir() if (path / "train").is_dir()]
        hint = f"; did you mean '{root / inner[0]}'?" if inner else f"; dataset.{key} holds train/ and val/ or test/"
        raise InputError(f"'{root}' holds no folder '{folder.name}'{hint}", key=key)
    return list_pictures(folder, key)


def cut_half(opened: Opened, side: Side, path: Path) -> Opened:
    """Return one half of a picture that holds a pair.

    Raises:
        InputError: its width is odd.
    """
    width, height = opened.bands[0].size
    if width % 2:
        raise InputError(f"'{path}' is {width} pixels wide and cannot be halved into a pair")
    middle = width // 2
    box = (0, 0, middle, height) if side == "left" else (middle, 0, width, height)
    return opened.changed(lambda band: band.crop(box))
