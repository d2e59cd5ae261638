"""The demo's page translates what is dropped on it, and asks no other machine for anything."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from ganforge.errors import InputError
from ganforge.runs.load import find_saved
from ganforge_inference import demo
from ganforge_inference.translator import Translator

WORDS = re.compile(r"35 x 21 to 35 x 21 in \d+\.\d\d s \(cpu\)")


@pytest.fixture
def translators(shared_run, plugins):
    """Both directions of a run."""
    saved = find_saved(shared_run, plugins)
    trained = saved.load(torch.device("cpu"))
    return {name: Translator(trained, name, saved=saved) for name in ("AB", "BA")}


@pytest.fixture
def photo(tmp_path):
    """A picture of an odd size."""
    numbers = np.random.default_rng(0).integers(0, 256, (21, 35, 3), dtype=np.uint8)
    Image.fromarray(numbers).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.slow
def test_a_picture_is_shown_beside_its_translation_which_can_be_saved(translators, photo, tmp_path):
    found = demo.shown(translators["BA"], photo, "photo", tmp_path)
    with Image.open(photo) as picture:
        assert found.before.tobytes() == picture.tobytes()
    assert found.after.tobytes() == translators["BA"](photo).tobytes()
    assert found.file == tmp_path / "photo_BA.png"
    with Image.open(found.file) as picture:
        assert picture.tobytes() == found.after.tobytes()
    assert WORDS.fullmatch(found.words)
    (tmp_path / "none.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"none.png' is not a readable picture"):
        demo.shown(translators["BA"], tmp_path / "none.png", "none", tmp_path)


def test_held_pictures_are_examples_where_the_data_are(translators, shared_run):
    examples = demo.examples_of(translators["AB"])
    assert [tuple(pixels.shape) for pixels in examples] == [(3, 16, 32)] * 4
    assert all(0 <= pixels.min() < pixels.max() <= 1 for pixels in examples)
    pairs = shared_run.parents[1] / "pairs"
    pairs.rename(pairs.with_name("elsewhere"))
    try:
        assert demo.examples_of(translators["AB"]) == []
    finally:
        pairs.with_name("elsewhere").rename(pairs)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (4, "RGB"), (7, "RGB")])
def test_any_channels_can_be_seen(channels, mode):
    seen = demo.visible(torch.rand(channels, 5, 4096))
    assert (seen.mode, seen.size) == (mode, (2048, 3))


def test_the_page_needs_its_extra(shared_run, ganforge, monkeypatch):
    monkeypatch.setattr("ganforge_inference.demo_command.find_spec", lambda name: None)
    result = ganforge("demo", shared_run)
    assert (result.status, result.err) == (2, "error: the demo needs gradio: pip install 'ganforge[demo]'\n")


@pytest.fixture
def served(shared_run):
    """The address of a demo in a process of its own, and the process; it is ended by Ctrl-C."""
    pytest.importorskip("gradio")
    words = [sys.executable, "-m", "ganforge", "demo", str(shared_run), "--device", "cpu"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            yield re.search(r"demo: (http://127\.0\.0\.1:\d+/)", line)[1], process
        finally:
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest, errors) == (0, "", "")


@pytest.mark.filterwarnings("ignore")  # gradio's own client
def test_a_program_may_ask_the_page_and_bad_files_are_told(served, photo, translators, tmp_path):
    from gradio_client import Client, handle_file

    client = Client(served[0], verbose=False, analytics_enabled=False, download_files=str(tmp_path / "got"))
    (before, after), words, _ = client.predict(handle_file(photo), "BA", api_name="/translate")
    assert WORDS.fullmatch(words)
    with Image.open(before) as picture:
        assert picture.size == (35, 21)
    with Image.open(after) as picture:
        assert picture.convert("RGB").tobytes() == translators["BA"](photo).tobytes()
    (tmp_path / "none.png").write_bytes(b"no picture")
    pictures, words, _ = client.predict(handle_file(tmp_path / "none.png"), "BA", api_name="/translate")
    assert words.startswith("Not translated: 'none.png' is not a readable picture: ")
    assert pictures is None
    taken = [sys.executable, "-m", "ganforge", "demo", str(translators["BA"].saved.weights.folder), "--port"]
    done = subprocess.run([*taken, served[0].split(":")[-1][:-1]], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert re.fullmatch(r"error: the demo cannot be served at 127\.0\.0\.1: .*Address already in use\n", done.stderr)


@pytest.mark.browser
def test_in_a_browser_a_dropped_picture_is_translated_and_no_request_leaves_the_machine(served, photo):
    selenium = pytest.importorskip("selenium.webdriver")
    found = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in found:
        pytest.skip("no Chromium here")
    options = selenium.ChromeOptions()
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"),
        *("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--disable-background-networking"),
    ):
        options.add_argument(argument)
    options.binary_location = found[0]
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    browser = selenium.Chrome(options=options, service=selenium.ChromeService(found[1]))
    try:
        browser.get(served[0])
        text_of(browser, re.compile("Drop a picture here"))
        browser.find_element("css selector", "input[type=file]").send_keys(str(photo))
        text_of(browser, WORDS)
        sizes = "return [...document.querySelectorAll('img')].map(i => `${i.naturalWidth}x${i.naturalHeight}`)"
        assert browser.execute_script(sizes).count("35x21") >= 2
        browser.find_element("css selector", ".held button").click()
        text_of(browser, re.compile(r"32 x 16 to 32 x 16 in"))
        (photo.parent / "none.png").write_bytes(b"no picture")
        browser.find_element("css selector", "input[type=file]").send_keys(str(photo.parent / "none.png"))
        text_of(browser, re.compile("Not translated: 'none.png' is not a readable picture"))
        messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    finally:
        browser.quit()
    asked = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert len(asked) > 20
    assert [url for url in asked if not url.startswith((served[0], "data:", f"blob:{served[0]}"))] == []


def text_of(browser, wanted, seconds=60):
    """Wait until the page says something."""
    until = time.monotonic() + seconds
    while not wanted.search(text := browser.find_element("tag name", "body").text):
        assert time.monotonic() < until, text
        time.sleep(0.2)
