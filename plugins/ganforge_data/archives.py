"""Where public data sets are published. Sizes in bytes; the checksums of pix2pix's archives are of second hand."""

from pathlib import Path

from ganforge import Archive, Remote

PIX2PIX = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets"
DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="
PIX2PIX_LICENCE = (
    "Collected for pix2pix (Isola et al. 2017) from other people's pictures: for research; cite its sources."
)


def _pix2pix(name: str, size: int, md5: str) -> Archive:
    remote = Remote(f"{name}.tar.gz", (f"{PIX2PIX}/{name}.tar.gz",), md5)
    return Archive(name, (remote,), size, PIX2PIX_LICENCE, f"{PIX2PIX}/")


ARCHIVES = (
    _pix2pix("edges2shoes", 2_000_000_000, "71da478b54fedde126e234a2a050bc15"),
    _pix2pix("edges2handbags", 8_000_000_000, "815592f22fa7f7534a286a25bb73bf03"),
    _pix2pix("facades", 29_000_000, "e2e25dd517e9d15828416ab329da2854"),
    _pix2pix("maps", 240_000_000, "e5f65d26eb288457f5ac056deb94d154"),
    Archive(
        "celeba",
        (
            Remote(
                "img_align_celeba.zip",
                (f"{DRIVE}0B7EVK8r0v71pZjFTYXZWM3FlRnM",),
                "00d2c5bc6d35e252742224ab0c1e8fcb",
            ),
            Remote(
                "list_attr_celeba.txt",
                (f"{DRIVE}0B7EVK8r0v71pblRyaVFSWGxPY0U",),
                "75e246fa4810816ffd6ee81facbd244c",
                packed=False,
            ),
            Remote(
                "list_eval_partition.txt",
                (f"{DRIVE}0B7EVK8r0v71pY0NSMzRuSXJEVkk",),
                "d32c9cbf5e040fd4025c592c306e6668",
                packed=False,
            ),
        ),
        1_450_000_000,
        "CelebA (Liu et al. 2015) is for non-commercial research only; its pictures are not its publishers' property.",
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, folder Img and Anno; put them into DIR/celeba",
    ),
)


def way_to(folder: Path) -> str:
    """Say how to get a data set that is not in its folder."""
    if folder.name in {archive.name for archive in ARCHIVES}:
        return f"get it with `ganforge data fetch {folder.name} {folder.parent}`"
    return "unpack the data set there"
