"""Public data sets: their addresses, and their sizes in bytes.

No checksum is the publishers' own: those of pix2pix's archives are from one user's script, those of CycleGAN's from
TensorFlow Datasets, which got them from an older address. A file without one is accepted, and its checksum is printed.
"""

from pathlib import Path

from ganforge import Archive, Remote

PIX2PIX = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets"
DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="
PIX2PIX_LICENCE = (
    "Collected for pix2pix (Isola et al. 2017) from other people's pictures: for research; cite its sources."
)


CYCLEGAN = "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets"
COLLECTED = "Collected for CycleGAN (Zhu et al. 2017) from {}: for research; cite its sources."
IMAGENET, FLICKR, WIKIART = "ImageNet", "Flickr", "WikiArt and Flickr"


def _pix2pix(name: str, size: int, md5: str) -> Archive:
    remote = Remote(f"{name}.tar.gz", (f"{PIX2PIX}/{name}.tar.gz",), md5)
    return Archive(name, (remote,), size, PIX2PIX_LICENCE, f"{PIX2PIX}/")


def _cyclegan(name: str, size: int, sha256: str, source: str, prefix: str = "") -> Archive:
    """Describe an archive that holds trainA/, trainB/, testA/ and testB/."""
    remote = Remote(f"{name}.zip", (f"{CYCLEGAN}/{name}.zip",), sha256=sha256)
    return Archive(f"{prefix}{name}", (remote,), size, COLLECTED.format(source), f"{CYCLEGAN}/")


ARCHIVES = (
    _pix2pix("edges2shoes", 2_000_000_000, "71da478b54fedde126e234a2a050bc15"),
    _pix2pix("edges2handbags", 8_000_000_000, "815592f22fa7f7534a286a25bb73bf03"),
    _pix2pix("facades", 29_000_000, "e2e25dd517e9d15828416ab329da2854"),
    _pix2pix("maps", 240_000_000, "e5f65d26eb288457f5ac056deb94d154"),
    _pix2pix("night2day", 1_900_000_000, ""),
    Archive(
        "cityscapes",
        (),
        0,
        "Cityscapes (Cordts et al. 2016) may not be redistributed, so pix2pix and CycleGAN do not offer it.",
        "register at https://www.cityscapes-dataset.com, load gtFine_trainvaltest.zip and leftImg8bit_trainvaltest.zip "
        "there, and make pairs from them with prepare_cityscapes_dataset.py of junyanz/pytorch-CycleGAN-and-pix2pix",
    ),
    _cyclegan("horse2zebra", 116_867_962, "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1", IMAGENET),
    _cyclegan("apple2orange", 78_456_409, "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8", IMAGENET),
    _cyclegan(
        "summer2winter_yosemite",
        132_640_856,
        "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9",
        FLICKR,
    ),
    _cyclegan("monet2photo", 305_231_073, "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04", WIKIART),
    _cyclegan(
        "cezanne2photo", 279_885_071, "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff", WIKIART
    ),
    _cyclegan(
        "vangogh2photo", 306_590_349, "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff", WIKIART
    ),
    _cyclegan("ukiyoe2photo", 292_946_532, "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08", WIKIART),
    _cyclegan(
        "iphone2dslr_flower", 339_964_458, "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113", FLICKR
    ),
    _cyclegan(
        "maps",
        1_476_754_427,
        "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e",
        "Google Maps",
        prefix="cyclegan_",
    ),
    _cyclegan(
        "facades",
        35_135_868,
        "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0",
        "the CMP Facade Database",
        prefix="cyclegan_",
    ),
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
    """Say how to get a missing data set."""
    if folder.name in {archive.name for archive in ARCHIVES}:
        return f"get it with `ganforge data fetch {folder.name} {folder.parent}`"
    return "unpack the data set there"
