"""Packs on a hub: pushed, found by name, used like any other path; nothing else is sent or fetched."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from ganforge.components.plugins import Plugins
from ganforge.runs.load import find_saved
from tests.share.conftest import TOKEN

PACK = sorted(
    [f"{name}.safetensors" for name in ("D_A", "D_B", "G_AB", "G_BA")] + ["README.md", "preview.png", "recipe.toml"]
)


@pytest.fixture
def picture(tmp_path):
    Image.new("RGB", (50, 70), (200, 100, 0)).save(tmp_path / "shoe.png")
    return tmp_path / "shoe.png"


@pytest.fixture
def pushed(hub, pack, ganforge):
    """A hub with the pack on it, and no memory of how it came there."""
    assert ganforge("push", pack, "me/shoes").status == 0
    hub.requests.clear()
    return hub


def test_a_pack_is_pushed_and_of_what_lies_beside_it_nothing(hub, pack, ganforge):
    (pack / "thesis.txt").write_text("mine")
    (pack / "inner").mkdir()
    (pack / "inner" / "G_AB.safetensors").write_bytes(b"no weights")
    result = ganforge("push", pack, "me/shoes")
    assert result.status == 0, result.err
    assert result.out == f"{hub.address}/me/shoes\n"
    assert not hub.repositories["me/shoes"]["private"]
    files = hub.files("me/shoes")
    assert sorted(files) == [".gitattributes", *PACK]
    assert all(files[name] == (pack / name).read_bytes() for name in PACK)


def test_a_newer_pack_replaces_the_older_one_whole_and_leaves_the_rest(hub, shared_run, pack, ganforge, tmp_path):
    assert ganforge("push", pack, "shoes", "--private").status == 0
    assert hub.repositories["me/shoes"]["private"]
    hub.commit("me/shoes", {**hub.files("me/shoes"), "LICENSE": b"mine"})
    assert ganforge("pack", shared_run, "--out", "small", "--direction", "AB", "--no-preview").status == 0
    assert ganforge("push", "small", "hub:me/shoes").status == 0
    assert sorted(hub.files("me/shoes")) == [
        ".gitattributes",
        "G_AB.safetensors",
        "LICENSE",
        "README.md",
        "recipe.toml",
    ]
    assert hub.repositories["me/shoes"]["private"]


def test_what_shall_be_private_is_not_pushed_where_all_can_see_it(hub, pack, ganforge):
    hub.create("me/open")
    refused = ganforge("push", pack, "me/open", "--private")
    assert refused.status == 2
    assert refused.err.startswith(f"error: {hub.address}/me/open exists and is public")
    assert sorted(hub.files("me/open")) == [".gitattributes"]


def test_a_name_stands_wherever_a_path_to_weights_may(pushed, pack, picture, shared_run, ganforge, tmp_path):
    pushed.commit(
        "me/shoes", {**pushed.files("me/shoes"), "evil.pkl": b"pickle", "x/G_AB.safetensors": b"", "a.bin": b"b"}
    )
    for what, out in (("hub:me/shoes", "hub"), (pack, "pack")):
        result = ganforge("translate", what, picture, "--direction", "AB", "--out", out)
        assert result.status == 0, result.err
    assert (tmp_path / "hub" / "shoe.png").read_bytes() == (tmp_path / "pack" / "shoe.png").read_bytes()
    assert pushed.asked_for() == PACK
    pushed.requests.clear()
    root = ["--set", f"dataset.root={shared_run.parents[1] / 'pairs'}"]
    assert ganforge("evaluate", "hub:me/shoes", *root).status == 0
    assert not (tmp_path / "hub:me").exists()
    words = ["--set", "record.sample_every=0", "--set", "evaluations.pairs=false", "--set", "evaluations.grid=false"]
    assert ganforge("validate", pack / "recipe.toml", *root, "--set", "train.start=hub:me/nothing").status == 0
    result = ganforge("run", pack / "recipe.toml", *root, *words, "--set", "train.start=hub:me/shoes@main")
    assert result.status == 0, result.err
    assert pushed.asked_for() == []  # all of it is in the cache
    lock = (tmp_path / "runs" / "discogan_edges2shoes" / "0001" / "recipe.lock.toml").read_text()
    assert 'start = "hub:me/shoes@main"' in lock
    assert ganforge("pack", tmp_path / "runs" / "discogan_edges2shoes" / "0001", "--out", "tuned").status == 0
    assert 'base_model: "me/shoes"\n' in (tmp_path / "tuned" / "README.md").read_text()


def test_a_revision_is_taken_and_a_folder_of_that_name_goes_before(pushed, pack, picture, ganforge, tmp_path):
    first = pushed.repositories["me/shoes"]["revisions"]["main"]
    pushed.commit("me/shoes", {"README.md": b"nothing left"})
    words = [picture, "--direction", "AB", "--out"]
    gone = ganforge("translate", "hub:me/shoes", *words, "gone")
    assert gone.status == 2
    assert gone.err.endswith("error: hub:me/shoes holds no ganforge weights\n")
    assert ganforge("translate", f"hub:me/shoes@{first}", *words, "old").status == 0
    wrong = ganforge("translate", "hub:me/shoes@v9", *words, "wrong")
    assert wrong.status == 2
    assert wrong.err.endswith("error: hub:me/shoes@v9: the model has no such revision\n")
    pushed.requests.clear()
    (tmp_path / "hub:me").mkdir()
    shutil.copytree(pack, tmp_path / "hub:me" / "shoes")
    assert ganforge("translate", "hub:me/shoes", *words, "local").status == 0
    assert pushed.requests == []


def test_without_a_network_the_cache_serves_and_else_a_line_says_so(pushed, picture, ganforge, monkeypatch):
    words = [picture, "--direction", "AB", "--out"]
    assert ganforge("translate", "hub:me/shoes", *words, "one").status == 0
    pushed.server.shutdown()
    pushed.server.server_close()
    again = ganforge("translate", "hub:me/shoes", *words, "two")
    assert again.status == 0, again.err
    other = ganforge("translate", "hub:me/hats", *words, "three")
    assert other.status == 2
    message = "error: hub:me/hats: the hub cannot be reached, and the model is not in the cache\n"
    assert other.err.endswith(message)
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert ganforge("translate", "hub:me/shoes", *words, "four").status == 0
    assert ganforge("translate", "hub:me/hats", *words, "five").err.endswith(message)


def test_who_may_not_is_told_how_to_sign_in(pushed, pack, picture, ganforge, monkeypatch):
    pushed.create("other/secret", private=True)
    pushed.repositories["other/secret"]["private"] = True
    pushed.create("other/gated")
    pushed.gated.add("other/gated")
    words = [picture, "--direction", "AB", "--out", "out"]
    sign_in = "sign in with `hf auth login`, or set HF_TOKEN\n"
    missing = ganforge("translate", "hub:me/hats", *words)
    assert missing.status == 2
    assert missing.err.endswith(f"error: hub:me/hats: no such model, or this account has no access: {sign_in}")
    gated = ganforge("translate", "hub:other/gated", *words)
    assert gated.err.endswith(f"its owner requires your consent first: open its page on the hub, and {sign_in}")
    foreign = ganforge("push", pack, "other/shoes")
    assert (foreign.status, foreign.err.endswith(f"error: other/shoes: this account may not do that: {sign_in}")) == (
        2,
        True,
    )
    monkeypatch.delenv("HF_TOKEN")
    hidden = ganforge("translate", "hub:other/secret", *words)
    assert hidden.err.endswith(f"no such model, or this account has no access: {sign_in}")
    refused = ganforge("push", pack, "me/shoes")
    assert (refused.status, refused.err.endswith(f"this account may not do that: {sign_in}")) == (2, True)
    assert TOKEN not in "".join(one.err + one.out for one in (missing, gated, foreign, hidden, refused))


@pytest.mark.parametrize("name", ["hub:", "hub:a/b/c", "hub:me/x@", "hub:me/ü", "hub:../x"])
def test_what_is_no_name_is_refused_without_a_question(name, hub, picture, ganforge):
    result = ganforge("translate", name, picture, "--out", "out")
    assert result.status == 2
    assert "Traceback" not in result.err
    assert len(result.err.splitlines()) == 1
    assert hub.requests == []


def test_only_packs_are_pushed(hub, shared_run, pack, ganforge, tmp_path):
    for folder, problem in (
        (shared_run, f"'{shared_run}' is not a pack; make one with: ganforge pack RUN --out DIR"),
        (tmp_path / "pakc", f"no folder '{tmp_path / 'pakc'}'; did you mean 'pack'?"),
    ):
        result = ganforge("push", folder, "me/x")
        assert (result.status, result.err) == (2, f"error: {problem}\n")
    assert ganforge("push", pack, "me/x@v1").err == "error: 'me/x@v1': a pack is pushed without a revision\n"
    (pack / "strange.safetensors").write_bytes(b"no weights")
    assert ganforge("push", pack, "me/x").status == 2
    assert hub.requests == []


def test_without_the_extra_a_line_says_what_to_install(pack, picture, ganforge, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for words in (("push", pack, "me/x"), ("translate", "hub:me/x", picture, "--out", "out")):
        result = ganforge(*words)
        assert (result.status, result.err) == (2, "error: this needs the extra 'hub': pip install 'ganforge[hub]'\n")


def test_a_full_disk_fails_with_another_status(pushed, picture, ganforge, monkeypatch):
    import huggingface_hub

    def full(*_, **__):
        raise OSError(28, "No space left on device", "/cache/blobs/x")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    result = ganforge("translate", "hub:me/shoes", picture, "--direction", "AB", "--out", "out")
    assert result.status == 1
    assert result.err == "error: hub:me/shoes: '/cache/blobs/x' cannot be written: No space left on device\n"


def test_a_foreign_plugin_may_know_other_names(pack, plugins, tmp_path):
    (tmp_path / "shelf.py").write_text(
        "from pathlib import Path\nfrom ganforge import hookimpl\n\n@hookimpl\ndef ganforge_locate(name):\n"
        f"    return Path({str(pack)!r}) if name == 'shelf:one' else None\n"
    )
    mine = Plugins()
    mine.load_installed()
    mine.load_file(tmp_path / "shelf.py")
    assert find_saved(tmp_path.__class__("shelf:one"), mine).directions == ("AB", "BA")


@pytest.mark.slow
def test_the_librarys_own_environment_variables_hold(hub, pack, picture, tmp_path):
    own = {
        "HF_ENDPOINT": hub.address,
        "HF_HUB_CACHE": str(tmp_path / "own"),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
    }
    call = [sys.executable, "-m", "ganforge"]
    for words in (
        ["push", pack, "me/own"],
        ["translate", "hub:me/own", picture, "--direction", "AB", "--out", "own_out"],
    ):
        done = subprocess.run(
            [*call, *map(str, words)], env={**os.environ, **own}, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "own_out" / "shoe.png").exists()
    assert json.dumps(sorted(path.name for path in (tmp_path / "own").iterdir())).count("models--me--own") == 1
