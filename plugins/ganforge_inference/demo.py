"""A web page that translates pictures, served entirely from this machine."""

import html
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from attrs import frozen
from PIL import Image
from torch import Tensor

from ganforge import InputError, PluginError, Prepared, RunFailedError, Stored, as_float, noting
from ganforge_inference.output import encoded, suffix_of, telling, to_image, write_made
from ganforge_inference.translator import Translator

EXAMPLES = 8  # largest number of test pictures of a domain
LONGEST = 2048  # pixels of a side on the page; the downloaded file is not reduced
STYLE = """
.held .grid-wrap { height: auto !important; min-height: 0 !important; max-height: none !important; overflow: hidden }
.held .grid-container { grid-template-columns: repeat(4, minmax(0, 1fr)) !important }
"""


@frozen
class Shown:
    """A picture and its translation: as shown on the page, as a file, and with a caption."""

    before: Image.Image
    after: Image.Image
    file: Path
    words: str


def examples_of(translator: Translator) -> list[Tensor]:
    """Return test pictures of the source domain, [C, H, W] in [0, 1]; none if the data are missing."""
    with suppress(InputError), noting(""):
        samples = translator.dataset.open("test")[translator.source]
        if isinstance(samples, Prepared):
            return [as_float(samples.make(item)) for item in samples.items[:EXAMPLES]]
        if isinstance(samples, Stored):
            return list(as_float(samples.load(range(min(EXAMPLES, samples.length)))))
    return []


def shown(translator: Translator, given: Path | Tensor, name: str, folder: Path) -> Shown:
    """Translate a picture file, or pixels [C, H, W] in [0, 1], and write the translation into a folder.

    Raises:
        InputError: the file is not a picture that the networks take.
        RunFailedError: the translation cannot be written.
    """
    pixels = translator.read(given).pixels if isinstance(given, Path) else given
    start = time.perf_counter()
    made = translator(pixels)
    seconds = time.perf_counter() - start
    depth = translator.depths[1]
    suffix = suffix_of(None, depth, len(made))
    file = folder / f"{Path(name).stem}_{translator.direction}{suffix}"
    with telling(file):
        write_made(encoded(made, depth, suffix), file)
    device = translator.trained.device.type
    kind = "" if depth.kind == "uint8" else f", {depth.kind}"
    words = f"{_size(pixels)} to {_size(made)}{kind} in {seconds:.2f} s ({device})"
    if translator.size == "training":
        words += f"; {_size(pixels)} is the only size that these networks translate"
    return Shown(visible(pixels), visible(made), file, words)


def visible(pixels: Tensor) -> Image.Image:
    """Convert pixels [C, H, W] in [0, 1] for the screen: 8 bits, in colour or only the first channel."""
    channels = pixels[:3] if len(pixels) >= 3 else pixels[:1]
    picture = to_image(channels)
    picture.thumbnail((LONGEST, LONGEST))
    return picture


def page(translators: Mapping[str, Translator], title: str, folder: Path) -> Any:
    """Return the page, `gradio.Blocks`, which shows a dropped picture beside its translation.

    Args:
        translators: by direction.
        title: title of the page.
        folder: folder for uploads and translations.
    """
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "GRADIO_TEMP_DIR": str(folder)}
    gradio: Any = import_module("gradio")
    names = {direction: f"{one.source} to {one.target}" for direction, one in translators.items()}
    examples = {direction: examples_of(one) for direction, one in translators.items()}
    first = next(iter(translators))

    def nothing(words: str) -> tuple[Any, ...]:
        return None, html.escape(words, quote=False), gradio.DownloadButton(value=None, interactive=False)

    def show(direction: str, given: Path | Tensor, name: str) -> tuple[Any, ...]:
        try:
            found = shown(translators[direction], given, name, folder)
        except (InputError, PluginError, RunFailedError) as error:
            return nothing(f"Not translated: {str(error).replace(str(given), name)}")
        return (found.before, found.after), found.words, gradio.DownloadButton(value=str(found.file), interactive=True)

    def translate(file: str | None, direction: str) -> tuple[Any, ...]:
        if file is None:
            return nothing("")
        return show(direction, Path(file), Path(file).name)

    def translate_example(direction: str, chosen: gradio.SelectData) -> tuple[Any, ...]:
        return (*show(direction, examples[direction][chosen.index], f"example_{chosen.index + 1}"), None)

    def gallery_of(direction: str) -> Any:
        return gradio.Gallery(value=[visible(pixels) for pixels in examples[direction]])

    with gradio.Blocks(title=title, analytics_enabled=False) as blocks:
        gradio.Markdown(f"## {title}")
        with gradio.Row():
            with gradio.Column(scale=1, min_width=280):
                choices = [(name, direction) for direction, name in names.items()]
                direction = gradio.Radio(choices, value=first, label="Direction", visible=len(choices) > 1)
                file = gradio.File(label="Drop a picture here", type="filepath", height=140)
                gradio.Markdown("Or choose a test picture:", visible=any(examples.values()))
                gallery = gradio.Gallery(
                    [visible(pixels) for pixels in examples[first]],
                    columns=4,
                    height="auto",
                    object_fit="contain",
                    show_label=False,
                    allow_preview=False,
                    elem_classes="held",
                    interactive=False,
                    format="png",
                    buttons=[],
                    visible=any(examples.values()),
                )
            with gradio.Column(scale=2, min_width=320):
                slider = gradio.ImageSlider(
                    label="Before and after", type="pil", format="png", interactive=False, buttons=["fullscreen"]
                )
                words = gradio.HTML()
                download = gradio.DownloadButton("Save the translation", interactive=False)
        shows = [slider, words, download]
        once = {"concurrency_id": "translating", "concurrency_limit": 1}  # the directions share their networks
        file.upload(translate, [file, direction], shows, api_name="translate", **once)
        file.clear(translate, [file, direction], shows, api_name=False)
        gallery.select(translate_example, [direction], [*shows, file], api_name=False, **once)
        direction.change(gallery_of, [direction], [gallery], api_name=False)
        direction.change(translate, [file, direction], shows, api_name=False, **once)
    return blocks


def launch(blocks: Any, folder: Path, *, host: str, port: int | None, share: bool) -> str:
    """Serve the page in its own threads, and return its address.

    Raises:
        InputError: the port is in use, or the host is not an address of this machine.
    """
    gradio: Any = import_module("gradio")
    theme = gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # no font is downloaded
    try:
        _, local, public = blocks.launch(
            server_name=host,
            server_port=_free(host, port),
            share=share,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
            allowed_paths=[str(folder)],
            enable_monitoring=False,
            ssr_mode=False,
            theme=theme,
            css=STYLE,
        )
    except OSError as error:
        raise InputError(f"the demo cannot be served at {host}: {error}") from error
    return str(public or local)


def _free(host: str, port: int | None) -> int:
    """Return a free port; raise an OSError if the given one is not free."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port or 0))
        return int(probe.getsockname()[1])


def _size(pixels: Tensor) -> str:
    """Format a picture's size, width first."""
    return f"{pixels.shape[2]} x {pixels.shape[1]}"
