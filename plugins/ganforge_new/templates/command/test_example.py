"""Tests of the command `example`."""

from pathlib import Path

import pytest
from ganforge import InputError

from .example import example


def test_the_last_losses_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1, "losses": {"a": 2.0}}\n{"step": 2, "losses": {"a": 0.5}}\n')
    example(tmp_path)
    assert capsys.readouterr().out == "step 2\na 0.5\n"


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no log"):
        example(tmp_path)
