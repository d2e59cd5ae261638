"""What is known of a public data set, or of a network's weights, that can be downloaded."""

from collections.abc import Callable
from pathlib import Path

from attrs import frozen


@frozen
class Remote:
    """One file to download.

    Attributes:
        name: its file name.
        urls: where it is, the first choice first.
        md5: checksum, in hexadecimal; empty where none is known.
        sha256: a better one.
        packed: whether it is a tar or zip archive to be unpacked.
    """

    name: str
    urls: tuple[str, ...]
    md5: str = ""
    packed: bool = True
    sha256: str = ""


@frozen
class Archive:
    """A published data set, or the weights of a network.

    Attributes:
        name: of the data set and of its folder.
        files: what is to be downloaded; nothing where it may only be had by hand.
        size: about how many bytes.
        licence: what its users must know, in one sentence.
        by_hand: where a person finds it, if the addresses fail or there are none.
        shared: whether it is fetched once for all, to `user_folder("data")`; otherwise to where the user says.
        convert: turns what was fetched, in a folder, into what is to lie there in the end.
    """

    name: str
    files: tuple[Remote, ...]
    size: int
    licence: str
    by_hand: str = ""
    shared: bool = False
    convert: Callable[[Path], None] | None = None
