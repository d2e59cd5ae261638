"""Descriptions of public data sets and weights that can be downloaded."""

from collections.abc import Callable
from pathlib import Path

from attrs import frozen


@frozen
class Remote:
    """One file to download.

    Attributes:
        name: file name.
        urls: where to download it, in order of preference.
        md5: checksum in hexadecimal; empty if unknown.
        sha256: a stronger checksum.
        packed: whether it is a tar or zip archive to unpack.
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
        name: name of the data set and of its folder.
        files: what to download; empty if users must fetch it by hand.
        size: approximate size in bytes.
        licence: what users must know about the licence, in one sentence.
        by_hand: where users find it if the addresses fail or there are none.
        shared: whether it is stored once for all projects in `user_folder("data")`; otherwise users name the folder.
        convert: turns the downloaded files in a folder into what is kept there.
    """

    name: str
    files: tuple[Remote, ...]
    size: int
    licence: str
    by_hand: str = ""
    shared: bool = False
    convert: Callable[[Path], None] | None = None
