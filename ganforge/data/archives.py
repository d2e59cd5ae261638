"""What is known of a public data set that can be downloaded."""

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
    """A published data set.

    Attributes:
        name: of the data set and of its folder.
        files: what is to be downloaded; nothing where it may only be had by hand.
        size: about how many bytes.
        licence: what its users must know, in one sentence.
        by_hand: where a person finds it, if the addresses fail or there are none.
    """

    name: str
    files: tuple[Remote, ...]
    size: int
    licence: str
    by_hand: str = ""
