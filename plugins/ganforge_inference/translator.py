"""A trained direction as a callable that translates pictures."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Literal, TypeVar, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganforge import (
    Depth,
    InputError,
    Picture,
    PictureDataset,
    PluginError,
    Plugins,
    Saved,
    Trained,
    as_float,
    find_saved,
    out_of_memory,
    pick_device,
)
from ganforge_inference.direction import pick_direction
from ganforge_inference.output import MODES, Array
from ganforge_inference.sizes import Size, padded, resized, size_named
from ganforge_inference.tiles.layout import Grid
from ganforge_inference.tiles.tiler import Report, Tiler

PIXELS = Depth("float32", 0.0, 1.0)  # of numbers that are pixels already
BATCH = 32  # largest batch
NUMBERS = 32 * 3 * 256 * 256  # rough number of values in a batch
CACHED = 4 * 3 * 256 * 256  # the same on a CPU, whose caches limit the speed
KINDS = {"uint8": torch.uint8, "uint16": torch.uint16, "int16": torch.int16, "int32": torch.int32}
DEEP = ("uint16", "int32", "float32")  # types of one-channel pictures that Pillow has
SLACK = 1e-5  # by which floats may exceed [0, 1]

Kind = TypeVar("Kind", bound="Array | Tensor | Image.Image")


class Translator:
    """A trained direction, such as `AB`, that translates pictures of any size.

    >>> import ganforge
    >>> translate = ganforge.Translator.load("runs/day2night/0001", "AB")  # doctest: +SKIP
    >>> translate("street.jpg").save("street_at_night.png")  # doctest: +SKIP
    >>> night = translate(day)  # doctest: +SKIP

    It returns the kind of object that it is called with:

    * a path: the picture is read like files of the source domain, and a PIL picture is returned; or a NumPy array,
      [H, W, C], if PIL does not support its channels or bits;
    * a PIL picture: like a file of it; EXIF orientation is ignored;
    * a NumPy array [H, W], [H, W, C] or [N, H, W, C];
    * a torch tensor [C, H, W] or [N, C, H, W] on any device; the result is on the same device, without a gradient.

    Arrays and tensors hold either **floats**, which are pixels in [0, 1] as the networks see them and become floats of
    the same type in [0, 1]; or **integers** as in files of the source domain, of the same type (mostly uint8), which
    are read like these files and become numbers as in files of the target domain, of its type. `depths` gives these
    types and the meaning of the numbers: `translate.depths[0].pixels(t)` converts a tensor of any numbers to pixels.

    Pictures too large for memory are cut into tiles, which are joined so that the result is that of the whole picture:
    see `load`.

    Calls from several threads take turns. They do not change random state, modes or gradients. What a direction draws,
    such as a style, depends on the seed: it is the same for every picture and every call.

    Attributes:
        direction: such as `AB`.
        source: the source domain.
        target: the target domain.
        channels: channels of the input and of the output.
        depths: what the numbers in files of the two domains mean.
        size: the size at which pictures are translated: their `own`; that of `training`, if the networks support no
            other; or (height, width).
        saved: the weights.
        trained: the networks, their recipe and their data set.
        notes: notes on the requested size and tiles.

    Errors are `ganforge.InputError`s of one line: for an unreadable picture, wrong channels or types, or floats outside
    [0, 1].
    """

    def __init__(
        self,
        trained: Trained,
        direction: str,
        *,
        size: Size = "own",
        tile: int | None = None,
        overlap: int | None = None,
        seed: int = 0,
        saved: Saved | None = None,
    ) -> None:
        self.trained, self.direction, self.saved, self.seed = trained, direction, saved, seed
        self.source, self.target = trained.source(direction), trained.target(direction)
        self.dataset = pictures_of(trained)
        depths, shapes = self.dataset.depths, self.dataset.shapes
        self.depths = (depths[self.source], depths[self.target])
        self.channels = (shapes[self.source][0], shapes[self.target][0])
        self.training_size = (shapes[self.source][1], shapes[self.source][2])
        self.multiple, self.least = trained.multiple(direction), trained.least(direction)
        self.size = self._possible(size)
        self._lock = RLock()
        self.tiler = self._tiler(tile, overlap)
        self.notes = self._notes(size)

    @classmethod
    def load(
        cls,
        path: str | Path,
        direction: str | None = None,
        *,
        device: str = "auto",
        norm: Literal["recalibrated", "running", "batch"] | None = None,
        size: str | tuple[int, int] = "own",
        tile: int | None = None,
        overlap: int | None = None,
        seed: int = 0,
        plugins: Sequence[str | Path] = (),
    ) -> "Translator":
        """Load a direction from a run's or checkpoint's folder, or a weights file.

        Args:
            path: where the weights are.
            direction: such as "AB"; None for the only one.
            device: "auto", "cpu", "cuda" or "mps".
            norm: statistics of batch normalisation, if they differ from the recipe's.
            size: "own" translates pictures at their own size, if the networks can, otherwise like "training", at the
                training size; (height, width), "512x768" or "512" resizes them.
            tile: height and width of the tiles into which larger pictures are cut; by default chosen from free memory.
            overlap: pixels that tiles share with their neighbours; by default enough for a seamless result.
            seed: seed of what is drawn, such as a style.
            plugins: plugin files that the weights need besides the installed ones.

        Raises:
            InputError: there are no such weights or no such direction; they do not translate pictures; or the networks
                do not support the size or the tiles.
        """
        known = Plugins()
        known.load_installed()
        for file in plugins:
            known.load_file(Path(file))
        saved = find_saved(Path(path), known, norm)
        chosen = pick_direction(saved, direction, translating=True)
        pictures_of(saved.outline)
        wanted = size_named(size if isinstance(size, str) else "x".join(map(str, size)))
        trained = saved.load(pick_device(device), chosen)
        return cls(trained, chosen, size=wanted, tile=tile, overlap=overlap, seed=seed, saved=saved)

    @overload
    def __call__(self, picture: str | Path) -> Image.Image | Array: ...
    @overload
    def __call__(self, picture: Kind) -> Kind: ...
    def __call__(self, picture: Any) -> Any:
        """Translate a picture, or a batch: see the class."""
        if isinstance(picture, str | Path):
            return self._image(self._translated([self.read(Path(picture))], self.depths[1])[0])
        if isinstance(picture, Image.Image):
            return self._image(self._translated([self._read_image(picture)], self.depths[1])[0])
        if isinstance(picture, np.ndarray):
            return self._array(picture)
        if isinstance(picture, Tensor):
            return self._tensor(picture)
        what = "a path, a PIL picture, a NumPy array or a tensor"
        raise InputError(f"a translator takes {what}, not {type(picture).__name__}")

    def read(self, path: Path) -> Picture:
        """Read a picture of the source domain from a file, at the size at which it is translated.

        Raises:
            InputError: it cannot be read, or has the wrong channels or size.
            PluginError: reading it raised another exception.
        """
        try:
            if self.size == "training":
                picture = Picture(as_float(self.dataset.read(self.source, path)), PIXELS)
            else:
                picture = self.dataset.picture(self.source, path)
        except InputError:
            raise
        except Exception as error:
            raise PluginError(f"reading '{path}' failed: {type(error).__name__}: {error}") from error
        expected = [self.channels[0], *(self.training_size if self.size == "training" else picture.size)]
        if list(picture.numbers.shape) != expected:
            raise InputError(f"'{path}' was read as {list(picture.numbers.shape)}, expected {expected}")
        return resized(picture, self.size) if isinstance(self.size, tuple) else picture

    @contextmanager
    def working(self) -> Iterator[None]:
        """Prepare the networks for `whole`, and make other threads wait."""
        with self._lock, self.trained.evaluating():
            yield

    def batch_of(self, picture: Picture) -> int:
        """Return the batch size for pictures of this size."""
        numbers = picture.size[0] * picture.size[1] * max(self.channels)
        alone = self.trained.device.type == "cpu" and self.trained.plan.train.norm != "batch"
        return max(1, min(BATCH, (CACHED if alone else NUMBERS) // numbers))

    def whole(self, pictures: Sequence[Picture]) -> Tensor:
        """Translate pictures of one size and type, float [N, C', H, W] in [0, 1] on the CPU; only while `working`.

        Raises:
            InputError: they are too large for memory, or networks would normalise over a single value.
        """
        height, width = pictures[0].size
        numbers = torch.stack([picture.numbers for picture in pictures]).to(self.trained.device)
        pixels = pictures[0].depth.pixels(numbers)
        with _telling_of_memory(height, width):
            made = self._make(pixels if self.multiple is None else padded(pixels, self.multiple, self.least))
        return made[:, :, :height, :width].clamp_(0, 1).nan_to_num_(0)

    def grid_for(self, picture: Picture) -> Grid | None:
        """Return the tiles of a picture, or None if it is translated whole; only while `working`."""
        return None if self.tiler is None else self.tiler.grid_for(picture.size)

    def by_tiles(
        self, picture: Picture, grid: Grid, depth: Depth, report: Report = lambda what, done, total: None
    ) -> Picture:
        """Translate a picture by tiles into numbers of a depth; only while `working`.

        Raises:
            InputError: a tile is too large for memory.
        """
        assert self.tiler is not None
        with _telling_of_memory(*picture.size):
            return self.tiler.translate(picture, grid, depth, report)

    def _make(self, pixels: Tensor) -> Tensor:
        """Translate pixels [N, C, H, W] on the device, of a size that networks take, to [N, C', H, W] on the CPU."""
        batch = max(BATCH, len(pixels))
        made = self.trained.translate(self.direction, pixels, batch, seed=self.seed, alike=True)
        if made.shape[2:] != pixels.shape[2:]:
            raise PluginError(
                f"a network with the attribute `multiple` returned {list(made.shape)} for {list(pixels.shape)}"
            )
        return made

    def _tiler(self, tile: int | None, overlap: int | None) -> Tiler | None:
        """Return a tiler, if the networks take any size."""
        if self.multiple is None:
            if tile is not None:
                height, width = self.training_size
                raise InputError(f"--tile: the networks of direction {self.direction} translate {height}x{width} only")
            return None
        return Tiler(
            self._make,
            [self.trained.networks[name] for name in self.trained.needed(self.direction)],
            self.channels,
            multiple=self.multiple,
            least=self.least,
            device=self.trained.device,
            tile=tile,
            overlap=overlap,
        )

    def _notes(self, wanted: Size) -> list[str]:
        notes = []
        if self.size == "training" and wanted == "own":
            height, width = self.training_size
            notes.append(
                f"the networks of direction {self.direction} translate {height}x{width} only, so pictures are resized "
                f"like training pictures (dataset.fit is '{self.trained.plan.dataset.settings.get('fit')}')"
            )
        if self.tiler is not None and self.tiler.tile is not None:
            with self.working():
                notes += self.tiler.check()
        return notes

    def _possible(self, size: Size) -> Size:
        """Return the size at which to translate; raise an InputError if the networks do not support it."""
        if self.multiple is not None:
            return size
        if size in ("own", "training", self.training_size):
            return "training"
        height, width = self.training_size
        raise InputError(
            f"the networks of direction {self.direction} translate {height}x{width} only: choose --size training"
        )

    def _translated(self, pictures: Sequence[Picture], depth: Depth) -> list[Picture]:
        """Translate pictures of one size into numbers of a depth."""
        made: list[Picture] = []
        with self.working():
            count = self.batch_of(pictures[0])
            if grid := self.grid_for(pictures[0]):
                return [self.by_tiles(picture, grid, depth) for picture in pictures]
            for start in range(0, len(pictures), count):
                for pixels in self.whole(pictures[start : start + count]):
                    made.append(Picture(torch.from_numpy(depth.numbers(pixels)), depth))
        return made

    def _read_image(self, image: Image.Image) -> Picture:
        """Read a PIL picture as if it were a file; in mode I, 32 bits may hold the domain's 16."""
        kind = self.depths[0].kind
        if image.mode == "I" and kind in ("uint16", "int16") and self.channels[0] == 1:
            numbers, limits = np.asarray(image), np.iinfo(kind)
            if limits.min <= numbers.min() and numbers.max() <= limits.max:
                return self._read_array(numbers[None].astype(kind))
        straight = image.convert("LA") if image.mode == "La" else image  # Pillow converts it to nothing else
        upright = straight.convert("RGBA") if straight.has_transparency_data else straight
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "picture.tif"
            try:
                upright.save(path, "TIFF", exif=b"")
            except (OSError, ValueError, KeyError):  # a mode that files cannot have
                upright.convert("RGB").save(path, "TIFF", exif=b"")
            return self.read(path)

    def _read_array(self, array: Array) -> Picture:
        """Read numbers [C, H, W], in the type and range of the source domain's files, as if they were in a file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "picture.npy"
            np.save(path, np.moveaxis(array, 0, -1), allow_pickle=False)
            return self.read(path)

    def _image(self, picture: Picture) -> Image.Image | Array:
        """Return a PIL picture, or an array [H, W, C] if PIL has no such mode."""
        numbers = picture.numbers.numpy()
        channels, kind = len(numbers), picture.depth.kind
        if channels == 1 and kind in DEEP:
            return Image.fromarray(numbers[0])
        if kind != "uint8" or channels not in MODES:
            return np.ascontiguousarray(np.moveaxis(numbers, 0, -1))
        return Image.fromarray(numbers[0] if channels == 1 else np.moveaxis(numbers, 0, -1).copy())

    def _array(self, array: Array) -> Array:
        if array.ndim not in (2, 3, 4):
            raise InputError(f"expected an array [H, W], [H, W, C] or [N, H, W, C], got {list(array.shape)}")
        try:
            tensor = torch.from_numpy(np.array(array, array.dtype.newbyteorder("="), order="C"))  # a copy
        except TypeError as error:
            raise InputError(f"expected {self._types()}; got {array.dtype}") from error
        tensor = tensor[..., None] if array.ndim == 2 else tensor
        made = self._tensor(tensor.movedim(-1, -3)).movedim(-3, -1).contiguous().numpy()
        return made[..., 0] if array.ndim == 2 and made.shape[-1] == 1 else made

    def _tensor(self, tensor: Tensor) -> Tensor:
        batch = tensor.detach() if tensor.ndim == 4 else tensor.detach()[None]
        if batch.ndim != 4 or not all(batch.shape[1:]):
            raise InputError(f"expected a tensor [C, H, W] or [N, C, H, W], got {list(tensor.shape)}")
        if batch.shape[1] != self.channels[0]:
            raise InputError(f"expected {self.channels[0]} channels, got {batch.shape[1]}, in {list(tensor.shape)}")
        if batch.is_floating_point():
            _require_pixels(batch)
            pictures = [self._resized(Picture(one.float().cpu().clone(), PIXELS)) for one in batch]
            depth, kind = PIXELS, batch.dtype
        elif batch.dtype == KINDS.get(self.depths[0].kind):
            pictures = [self._read_array(one.cpu().numpy()) for one in batch]
            depth, kind = self.depths[1], KINDS.get(self.depths[1].kind, torch.float32)
        else:
            raise InputError(f"expected {self._types()}; got {str(tensor.dtype).removeprefix('torch.')}")
        made = self._translated(pictures, depth) if pictures else []
        size = made[0].size if made else tuple(batch.shape[2:])
        result = torch.empty(len(made), self.channels[1], *size, dtype=kind)
        for place, picture in enumerate(made):
            result[place] = picture.numbers
        result = result.to(tensor.device)
        return result if tensor.ndim == 4 else result[0]

    def _resized(self, picture: Picture) -> Picture:
        """Resize given pixels to the size at which they are translated."""
        if self.size == "own":
            return picture
        return resized(picture, self.training_size if self.size == "training" else self.size)

    def _types(self) -> str:
        kind = self.depths[0].kind
        whole = "" if kind == "float32" else f" or numbers of {kind}, as in the files of domain {self.source}"
        return f"floats in [0, 1]{whole}"


def pictures_of(trained: Trained) -> PictureDataset:
    """Return the data set; raise an InputError if its samples are not pictures."""
    if not isinstance(trained.dataset, PictureDataset):
        raise InputError(f"this run translates samples of '{trained.plan.dataset.component.name}', not pictures")
    return trained.dataset


@contextmanager
def _telling_of_memory(height: int, width: int) -> Iterator[None]:
    """Turn an out-of-memory error into one that says what to do."""
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise InputError(f"{height}x{width} pixels need more memory than available; choose a smaller --tile") from error


def _require_pixels(pictures: Tensor) -> None:
    """Raise an InputError if floats are not pixels in [0, 1]."""
    if pictures.numel() == 0:
        return
    low, high = (float(number) for number in torch.aminmax(pictures))
    if not (low == low and abs(low) < float("inf") and abs(high) < float("inf")):
        raise InputError("floats must lie in [0, 1]; some are not finite")
    if low < -SLACK or high > 1 + SLACK:
        raise InputError(
            f"floats must lie in [0, 1], got {low:g} to {high:g}; `depths[0].pixels` converts numbers to pixels"
        )
