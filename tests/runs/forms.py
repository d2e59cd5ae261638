"""Forms in which a file of a run's folder may be found: whole, damaged, or no file at all."""

import os
from pathlib import Path

CONTENTS = {
    "empty": b"",
    "no UTF-8": b"\xff\xfe\xfa" * 100,
    "NUL bytes": b"\0" * 5000,
    "torn": b'{"step": 2, "',
    "a list": b"[1, 2]",
    "a number": b"7",
    "null": b"null",
    "of wrong types": b'{"step": "2", "losses": 3, "modes": 4}',
    "nested deeply": b'{"step": 2, "modes": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "TOML nested deeply": b"step = " + b"[" * 100_000 + b"]" * 100_000,
    "a TOML key of many parts": b"step" + b".a" * 100_000 + b" = 1",
    "a huge integer": b'{"step": 1' + b"0" * 5000 + b"}",
    "a large integer": b'{"step": 1' + b"0" * 400 + b"}",
    "a huge TOML integer": b"step = 1" + b"0" * 5000,
    "not a number": b'{"step": NaN}',
    "a key twice": b'{"step": 2, "step": 2}',
}
OTHERS = ("absent", "folder", "pipe", "link to nowhere", "link to itself", "link to /dev/zero", "link out", "of 100 MB")
FORMS = (*CONTENTS, *OTHERS)


def make(path: Path, form: str) -> None:
    """Bring a path into a form, whatever was there."""
    path.unlink(missing_ok=True)
    if form in CONTENTS:
        path.write_bytes(CONTENTS[form])
    elif form == "folder":
        path.mkdir()
    elif form == "pipe":
        os.mkfifo(path)
    elif form == "of 100 MB":
        with path.open("wb") as file:
            file.truncate(100_000_000)
    elif form == "link out":
        outside = path.parent.with_name(f"{path.parent.name} outside")
        outside.write_text('{"step": 4, "warning": "of another run"}\n')
        path.symlink_to(outside)
    elif form != "absent":
        path.symlink_to({"nowhere": "nowhere", "itself": path.name, "/dev/zero": "/dev/zero"}[form[8:]])
