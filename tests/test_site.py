"""The documentation site: built strictly, without a dead link, and looked at in a browser at both widths."""

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.browser


class Page(HTMLParser):
    """The links and anchors of a page, and what it loads by itself."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors, self.loaded = [], set(), []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors.add(given.get("id"))
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in ("img", "script", "iframe") and given.get("src"):
            self.loaded.append(given["src"])
        if tag == "link" and given.get("rel") == "stylesheet":
            self.loaded.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material")
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(build, cwd=ROOT, env=os.environ, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in site.rglob("*.html")}


@pytest.fixture(scope="module")
def address(site):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_no_link_of_any_page_is_dead(pages):
    assert len(pages) > 150
    dead = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links begin at the root
            continue
        for link in page.links:
            if re.match(r"\w+:", link):
                continue
            to, anchor = urldefrag(link)
            other = Path(os.path.normpath(path.parent / unquote(to))) if to else path
            other = other / "index.html" if other.is_dir() else other
            if not other.exists() or (anchor and other in pages and unquote(anchor) not in pages[other].anchors):
                dead.append(f"{path.name}: {link}")
    assert dead == []


def test_no_page_loads_anything_from_elsewhere(pages):
    assert {src for page in pages.values() for src in page.loaded if re.match(r"(\w+:)?//", src)} == set()


def test_every_component_recipe_and_hook_has_its_place(pages, plugins):
    texts = {path.stem: path.read_text() for path in pages if path.parent.name == "reference"}
    for component in plugins.registry.of("loss"):
        assert f'id="{component.name}"' in texts["loss"]
    assert 'id="ganforge_register"' in texts["hooks"]
    assert "reconstructed" in texts["views"]
    assert {path.stem for path in pages if path.parent.name == "recipes"} == set(plugins.recipes())


@pytest.mark.parametrize("width", [375, 1280])
def test_pages_fit_the_screen_and_the_search_finds(address, width):
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or pytest.skip("no Chromium here")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        asked, problems = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        for name in ("index", "ideas", "kinds/loss", "reference/loss", "compare", "questions"):
            page.goto(f"{address}/{name}.html")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
            assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth)"), name
        page.goto(f"{address}/index.html")
        if width < 1000:
            page.locator("label[for=__search]").first.click()
        page.locator(".md-search__input").fill("charbonnier")
        page.locator(".md-search-result__item a").first.wait_for(timeout=60_000)
        assert "harbonnier" in page.locator(".md-search-result__list").inner_text()
        browser.close()
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert problems == []
