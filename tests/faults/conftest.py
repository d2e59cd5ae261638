"""What several fault-injection tests share."""

import subprocess

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB, if this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield place
    subprocess.run(["umount", place], check=True)
