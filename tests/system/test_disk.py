"""Texts that people wrote: any line ends, one encoding, and one sentence for every other."""

import os
from pathlib import Path

import pytest

from ganforge import InputError, read_text


@pytest.mark.parametrize(
    "content",
    [b"a\nb\n", b"a\r\nb\r\n", b"a\rb\r", b"a\r\nb\r", b"\xef\xbb\xbfa\nb\n"],
    ids=["unix", "windows", "old-mac", "mixed", "marked"],
)
def test_lines_end_alike_and_the_mark_is_gone(tmp_path, content):
    (tmp_path / "x.csv").write_bytes(content)
    assert read_text(tmp_path / "x.csv") == "a\nb\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("é".encode("utf-16"), "'x.csv' is UTF-16; save it as UTF-8"),
        (b"\xfe\xff\0a", "'x.csv' is UTF-16; save it as UTF-8"),
        ("é".encode("utf-32"), "'x.csv' is UTF-32; save it as UTF-8"),
        (b"\0\0\xfe\xff\0\0\0a", "'x.csv' is UTF-32; save it as UTF-8"),
        (
            "a,b".encode("utf-16-le"),
            "'x.csv' contains NUL bytes, so it is UTF-16, UTF-32 or not text; save it as UTF-8",
        ),
        (
            b"\xef\xbb\xbfone\rtwo\r\nthr\xe9e\n",
            "'x.csv' is not UTF-8: line 3 holds the byte 0xe9; save it as UTF-8",
        ),
        (b"one\x0btwo\x1c\xe2\x80\xa8\xff", "'x.csv' is not UTF-8: line 1 holds the byte 0xff; save it as UTF-8"),
    ],
)
def test_other_encodings_are_told(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    Path("x.csv").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_text(Path("x.csv"))
    assert str(caught.value) == message


def test_what_is_no_readable_file_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("folder").mkdir()
    for name, message in {
        "pipe": "'pipe' is not a regular file, expected a text file",
        "folder": "'folder' is a folder, expected a text file",
        "none": "'none' cannot be read: No such file or directory",
        "pipe/none": "'pipe/none' cannot be read: Not a directory",
        "x" * 300: f"'{'x' * 300}' cannot be read: File name too long",
    }.items():
        with pytest.raises(InputError) as caught:
            read_text(Path(name))
        assert str(caught.value) == message
