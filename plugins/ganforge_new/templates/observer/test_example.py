"""Tests of the observer `example`."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ganforge import Folder
from ganforge.testing import assert_sound, components_of

from .example import Example


def test_sound() -> None:
    for component in components_of(Path(__file__).with_name("example.py")):
        assert_sound(component)


def test_the_newest_record_is_kept(tmp_path: Path) -> None:
    with Folder(tmp_path) as folder:
        run: Any = SimpleNamespace(files=folder)
        for step in (50, 100):
            Example().ganforge_logged(run, {"step": step})
    assert (tmp_path / "example.json").read_text() == '{"step": 100}'
