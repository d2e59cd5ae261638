"""The package is found from any folder, whatever lies in it."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "words", [["-c", "from ganforge import Register"], ["script.py"], ["-m", "ganforge", "recipes"]]
)
def test_a_folder_that_holds_a_clone_does_not_hide_the_package(words, tmp_path):
    (tmp_path / "ganforge").mkdir()
    (tmp_path / "script.py").write_text("from ganforge import Register\n")
    subprocess.run([sys.executable, *words], cwd=tmp_path, check=True)
