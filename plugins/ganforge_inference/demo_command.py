"""`ganforge demo`."""

import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from ganforge import Device, InputError, NormName, PluginFiles, plugins_with, tell
from ganforge_inference.commands import TrainedAt


def demo(
    context: typer.Context,
    run: TrainedAt,
    host: Annotated[
        str, typer.Option(help="Address to serve at; 0.0.0.0 is reachable from other machines.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port; by default a free one.")] = None,
    share: Annotated[bool, typer.Option("--share", help="Ask gradio for a public link, through the network.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn, such as a style.")] = 0,
    norm: NormName = None,
    plugin: PluginFiles = None,
    device: Device = "auto",
) -> None:
    """Serve a web page that translates dropped pictures."""
    if find_spec("gradio") is None:
        raise InputError("the demo needs gradio: pip install 'ganforge[demo]'")
    plugins = plugins_with(context, plugin)
    from ganforge import find_saved, pick_device
    from ganforge_inference import demo as showing
    from ganforge_inference.translator import Translator, pictures_of

    saved = find_saved(run, plugins, norm)
    pictures_of(saved.outline)
    directions = [name for name in saved.outline.directions if saved.outline.translates(name)]
    if not directions:
        raise InputError("this run translates nothing: it draws, or its generators are missing")
    trained = saved.load(pick_device(device))
    translators = {name: Translator(trained, name, seed=seed, saved=saved) for name in directions}
    with TemporaryDirectory(prefix="ganforge-demo-") as folder:
        blocks = showing.page(translators, f"{trained.plan.name}, step {trained.step:,}", Path(folder))
        address = showing.launch(blocks, Path(folder), host=host, port=port, share=share)
        tell(f"demo: {address} (press Ctrl-C to stop)")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
        blocks.close(verbose=False)
