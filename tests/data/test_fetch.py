"""Downloads from a server that misbehaves, and archives that do."""

import hashlib
import io
import random
import shutil
import socket
import stat
import struct
import tarfile
import threading
import warnings
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from ganforge import Archive, InputError, Remote
from ganforge_data import unpack as module
from ganforge_data.archives import ARCHIVES
from ganforge_data.fetch import fetch
from ganforge_data.unpack import unpack

NOISE = random.Random(0).randbytes(300_000)  # some blocks, which do not get smaller when they are packed
FILES = {"a.bin": NOISE, "b/c.txt": b"three"}


class Page:
    """A file as a server offers it; a test changes its attributes between two requests."""

    def __init__(self, content, **ways):
        self.content = content
        self.headers = {"ETag": '"one"', "Content-Type": "application/gzip"}
        self.ranges = True  # whether a part of it can be asked for
        self.careless = False  # whether If-Range is ignored
        self.shift = 0  # how far off the Content-Range is
        self.length = True  # whether its length is told
        self.reach = None  # the byte that no answer gets beyond
        self.script = []  # how the next requests are answered: a status, "half", "reset", "nothing" or "changed"
        vars(self).update(ways)


class Site:
    """What a server has, and what it was asked for."""

    def __init__(self):
        self.pages, self.asked, self.sent = {}, [], 0

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        site, part = self.server.site, self.headers["Range"]
        site.asked.append((self.path, part))
        page = site.pages.get(self.path)
        way = page.script.pop(0) if page and page.script else "whole" if page else 404
        if isinstance(way, int):
            self.send_error(way)
        elif way != "nothing":
            if way == "changed":
                page.headers = {"ETag": '"two"'}
            tag = page.headers.get("ETag", page.headers.get("Last-Modified"))
            same = page.careless or self.headers["If-Range"] == tag
            start = int(part.removeprefix("bytes=").removesuffix("-")) if part and page.ranges and same else 0
            self.send(page, start, way)

    def send(self, page, start, way):
        end = len(page.content)
        if start >= end:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start + page.shift}-{end - 1}/{end}")
        if page.length:
            self.send_header("Content-Length", str(end - start))
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if way in ("half", "reset"):
            end = (start + end) // 2
        if page.reach is not None:
            end = max(start, min(end, page.reach))
        self.server.site.sent += end - start
        self.wfile.write(page.content[start:end])
        if way == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *_):
        pass


@pytest.fixture
def site(monkeypatch):
    """A server on this machine."""
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.site = Site()
        server.site.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.site
        server.shutdown()
        thread.join()


@pytest.fixture
def page(site):
    """A good archive on the server."""
    page = site.pages["/things.tar.gz"] = Page(tar(*FILES.items()))
    return page


def silent(what, done, total):
    assert 0 < done <= total, what


load = partial(fetch, report=silent, wait_seconds=0)


def things(content, *urls):
    """A data set of one archive."""
    remote = Remote("things.tar.gz", urls, md5(content))
    return Archive("things", (remote,), len(content), "Free.", "https://example.org/things")


def md5(content):
    return hashlib.md5(content).hexdigest()


def tar(*members, mode="w:gz"):
    """Pack files, given as (name, content), and what else tar knows, given as TarInfo."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return packed.getvalue()


def special(name, kind, target=""):
    """What a tar archive can hold besides files."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zipped(*members, method=zipfile.ZIP_DEFLATED, mode=stat.S_IFREG | 0o644):
    """Pack files, given as (name, content)."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, method
            archive.writestr(info, content)
    return packed.getvalue()


def flipped(content, at):
    """Damage one byte."""
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_download_is_unpacked_and_nothing_else_is_left(site, page, tmp_path):
    parent = tmp_path / "new" / "data"
    assert load(things(page.content, site.url("/things.tar.gz")), parent) == parent / "things"
    assert files(parent / "things") == FILES
    assert names(parent) == ["things"]
    assert site.asked == [("/things.tar.gz", None)]


def test_what_is_here_is_not_loaded_again_after_a_break(site, page, tmp_path):
    page.script = ["half", "nothing", 503, "half"]
    load(things(page.content, site.url("/things.tar.gz")), tmp_path)
    size = len(page.content)
    half = size // 2
    more = (half + size) // 2
    assert [part for _, part in site.asked] == [None, *[f"bytes={half}-"] * 3, f"bytes={more}-"]
    assert site.sent == size
    assert files(tmp_path / "things") == FILES


def test_a_reset_connection_is_gone_on_with(site, page, tmp_path):
    page.script = ["reset", "reset"]
    load(things(page.content, site.url("/things.tar.gz")), tmp_path)
    assert files(tmp_path / "things") == FILES


def test_a_second_call_goes_on_where_the_first_gave_up(site, page, tmp_path):
    archive = things(page.content, site.url("/things.tar.gz"))
    page.reach = 200_000
    with pytest.raises(InputError, match=r"0\.2 MiB are downloaded; the same command continues from there"):
        load(archive, tmp_path)
    assert [part for _, part in site.asked] == [None, *["bytes=200000-"] * 3]
    assert names(tmp_path) == [".things.download"]
    page.script = [503] * 4
    with pytest.raises(InputError, match=r"Service Unavailable\)\. 0\.2 MiB are downloaded"):
        load(archive, tmp_path)
    page.reach = None
    load(archive, tmp_path)
    assert site.asked[-1] == ("/things.tar.gz", "bytes=200000-")
    assert site.sent == len(page.content)
    assert files(tmp_path / "things") == FILES


def test_an_interrupt_loses_nothing(site, page, tmp_path):
    def interrupt(what, done, total):
        if done > 150_000:
            raise KeyboardInterrupt

    archive = things(page.content, site.url("/things.tar.gz"))
    with pytest.raises(KeyboardInterrupt):
        fetch(archive, tmp_path, interrupt)
    load(archive, tmp_path)
    assert site.asked[1] == ("/things.tar.gz", "bytes=196608-")
    assert names(tmp_path) == ["things"]


def test_a_date_will_do_where_there_is_no_tag(site, page, tmp_path):
    page.headers = {"Last-Modified": "Mon, 01 Jan 2018 00:00:00 GMT"}
    page.script = ["half"]
    load(things(page.content, site.url("/things.tar.gz")), tmp_path)
    assert site.sent == len(page.content)


@pytest.mark.parametrize("ways", [{"ranges": False}, {"headers": {"ETag": 'W/"one"'}}, {"headers": {}}])
def test_where_nothing_promises_the_same_bytes_it_starts_anew(ways, site, page, tmp_path):
    vars(page).update(ways, script=["half"])
    load(things(page.content, site.url("/things.tar.gz")), tmp_path)
    assert site.sent == len(page.content) // 2 + len(page.content)
    assert files(tmp_path / "things") == FILES


def test_no_promise_is_made_where_it_would_start_anew(site, page, tmp_path):
    vars(page).update(headers={"ETag": 'W/"one"'}, reach=200_000)
    with pytest.raises(InputError, match=r"ended at 200,000 of .* bytes\)\. Try again later"):
        load(things(page.content, site.url("/things.tar.gz")), tmp_path)
    assert site.asked == [("/things.tar.gz", None)] * 4


@pytest.mark.parametrize("careless", [False, True])
@pytest.mark.parametrize("new", [{"a.bin": NOISE[::-1]}, {"short.txt": b"short"}])
def test_a_changed_file_starts_anew_and_ends_whole(careless, new, site, page, tmp_path):
    page.reach = 200_000
    with pytest.raises(InputError, match="200,000"):
        load(things(page.content, site.url("/things.tar.gz")), tmp_path)
    page.content, page.headers, page.careless, page.reach = tar(*new.items()), {"ETag": '"two"'}, careless, None
    load(things(page.content, site.url("/things.tar.gz")), tmp_path)
    assert files(tmp_path / "things") == new


def test_a_file_that_changes_between_two_tries_is_not_mixed(site, page, tmp_path):
    page.script = ["half", "changed"]
    load(things(page.content, site.url("/things.tar.gz")), tmp_path)
    assert site.asked[1:] == [("/things.tar.gz", f"bytes={len(page.content) // 2}-")]
    assert site.sent == len(page.content) // 2 + len(page.content)


@pytest.mark.parametrize("ways", [{"shift": 1}, {"shift": -1}, {"script": ["half", 416]}])
def test_another_part_than_was_asked_for_is_not_taken(ways, site, page, tmp_path):
    vars(page).update({"script": ["half"]} | ways)
    load(things(page.content, site.url("/things.tar.gz")), tmp_path)
    assert [part is None for _, part in site.asked] == [True, False, True]
    assert files(tmp_path / "things") == FILES


@pytest.mark.parametrize("ways", [{"shift": 1}, {"script": ["half", 416] * 20}])
def test_a_server_that_lets_nobody_go_on_is_not_asked_for_ever(ways, site, page, tmp_path):
    vars(page).update(ways, reach=len(page.content) // 2)
    with pytest.raises(InputError, match="cannot download"):
        load(things(page.content, site.url("/things.tar.gz")), tmp_path)
    assert len(site.asked) == 4


@pytest.mark.parametrize("torn", ["", '{"url": ', "[]", '{"url": "http://else.where/", "tag": "1"}', "\0\xff"])
def test_notes_that_cannot_be_read_start_anew(torn, site, page, tmp_path):
    archive = things(page.content, site.url("/things.tar.gz"))
    page.reach = 200_000
    with pytest.raises(InputError, match="200,000"):
        load(archive, tmp_path)
    page.reach = None
    (tmp_path / ".things.download" / "things.tar.gz.part.json").write_text(torn, encoding="latin-1")
    load(archive, tmp_path)
    assert site.asked[-1] == ("/things.tar.gz", None)
    assert files(tmp_path / "things") == FILES


def test_a_server_in_trouble_is_asked_again_but_not_for_what_it_has_not(site, page, tmp_path):
    page.script = [500, 503]
    load(things(page.content, site.url("/absent.tar.gz"), site.url("/things.tar.gz")), tmp_path)
    assert [path for path, _ in site.asked] == ["/absent.tar.gz", *["/things.tar.gz"] * 3]


def test_mirrors_come_first_and_the_next_address_helps(site, page, tmp_path):
    site.pages["/page/things.tar.gz"] = Page(b"<html>Too many users</html>", headers={"Content-Type": "text/html"})
    archive = things(page.content, site.url("/things.tar.gz"))
    load(archive, tmp_path, mirrors=[site.url("/none"), site.url("/page/")])
    assert [path for path, _ in site.asked] == ["/none/things.tar.gz", "/page/things.tar.gz", "/things.tar.gz"]
    assert files(tmp_path / "things") == FILES


def test_a_part_is_not_lost_to_another_address_that_fails(site, page, tmp_path):
    site.pages["/page/things.tar.gz"] = Page(b"<html>Too many users</html>", headers={"Content-Type": "text/html"})
    archive = things(page.content, site.url("/things.tar.gz"), site.url("/none.tar.gz"), "nonsense:")
    page.reach = 200_000
    for _ in range(2):
        with pytest.raises(InputError) as caught:
            load(archive, tmp_path, mirrors=[site.url("/page")])
    assert "/page/things.tar.gz: the server sent a web page instead of the file; " in str(caught.value)
    assert "/none.tar.gz: Not Found; nonsense:: unknown url type: nonsense). 0.2 MiB are downloaded" in str(
        caught.value
    )
    page.reach = None
    load(archive, tmp_path)
    assert site.sent == len(page.content) + 4 * len(b"<html>Too many users</html>") // 2


def test_another_address_never_goes_on_with_the_first_ones_bytes(site, page, tmp_path):
    site.pages["/other.tar.gz"] = Page(page.content, script=["half"])
    page.reach = 200_000
    load(things(page.content, site.url("/things.tar.gz"), site.url("/other.tar.gz")), tmp_path)
    half = len(page.content) // 2
    assert site.asked[-2:] == [("/other.tar.gz", None), ("/other.tar.gz", f"bytes={half}-")]


def test_offline_is_one_error_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/things.tar.gz"
        with pytest.raises(InputError) as caught:
            load(things(b"", url), tmp_path)
    assert str(caught.value).startswith(f"cannot download things.tar.gz ({url}: [Errno ")
    assert str(caught.value).endswith(
        "Connection refused). Try again later, or give another URL with --mirror. By hand: https://example.org/things"
    )


def test_a_wrong_checksum_is_refused_and_taken_on_request_without_another_download(site, page, tmp_path):
    archive = things(b"what was published once", site.url("/things.tar.gz"))
    for _ in range(2):
        with pytest.raises(InputError, match="If you trust it, add --accept-checksum") as caught:
            load(archive, tmp_path)
    assert f"has the md5 {md5(page.content)}, expected {md5(b'what was published once')}" in str(caught.value)
    assert files(tmp_path / ".things.download") == {"things.tar.gz": page.content}
    load(archive, tmp_path, accept_checksum=True)
    assert len(site.asked) == 1
    assert files(tmp_path / "things") == FILES
    assert names(tmp_path) == ["things"]


def test_a_break_that_no_length_betrays_is_found_by_the_checksum(site, page, tmp_path):
    page.length, page.script = False, ["half"]
    archive = things(page.content, site.url("/things.tar.gz"))
    with pytest.raises(InputError, match="the download is damaged"):
        load(archive, tmp_path)
    with pytest.raises(InputError, match=r"damaged or not an archive: .* to download it again, delete it"):
        load(archive, tmp_path, accept_checksum=True)
    (tmp_path / ".things.download" / "things.tar.gz").unlink()
    load(archive, tmp_path)
    assert files(tmp_path / "things") == FILES


def test_a_better_checksum_counts_and_what_has_none_is_told(site, page, tmp_path):
    digest = hashlib.sha256(page.content).hexdigest()
    url, told = site.url("/things.tar.gz"), []

    def archive(**sums):
        return Archive("things", (Remote("things.tar.gz", (url,), **sums),), len(page.content), "Free.")

    with pytest.raises(InputError, match=f"has the sha256 {digest}, expected 00"):
        load(archive(md5=md5(page.content), sha256="00"), tmp_path)
    load(archive(md5="11", sha256=digest), tmp_path, tell=told.append)
    assert told == []
    shutil.rmtree(tmp_path / "things")
    load(archive(), tmp_path, tell=told.append)
    assert told == [f"things.tar.gz has the sha256 {digest}; no checksum is published to verify it"]
    assert files(tmp_path / "things") == FILES


def test_what_may_only_be_had_by_hand_says_how(tmp_path):
    with pytest.raises(InputError, match=r"'things' cannot be downloaded\. By hand: ask them"):
        load(Archive("things", (), 0, "Not free.", "ask them"), tmp_path)
    assert names(tmp_path) == []


def test_a_zip_archive_may_bring_a_folder_of_its_own_name(site, tmp_path):
    packed = zipped(("maps/trainA/1.jpg", b"one"), ("__MACOSX/maps/._1.jpg", b"junk"))
    site.pages["/maps.zip"] = Page(packed)
    load(Archive("other_maps", (Remote("maps.zip", (site.url("/maps.zip"),), md5(packed)),), 99, "Free."), tmp_path)
    assert files(tmp_path / "other_maps") == {"trainA/1.jpg": b"one"}


def test_the_published_data_sets_have_names_and_checksums_of_their_own():
    assert len({archive.name for archive in ARCHIVES}) == len(ARCHIVES) == 17
    remotes = [remote for archive in ARCHIVES for remote in archive.files]
    assert all(len(remote.sha256) in (0, 64) and len(remote.md5) in (0, 32) for remote in remotes)
    sums = [remote.sha256 or remote.md5 for remote in remotes]
    assert [remote.name for remote in remotes if not (remote.sha256 or remote.md5)] == ["night2day.tar.gz"]
    assert len(set(sums)) == len(sums)


@pytest.mark.parametrize("there", ["folder", "file", "dangling link"])
def test_what_is_there_already_is_left_alone(there, site, page, tmp_path):
    target = tmp_path / "things"
    if there == "folder":
        target.mkdir()
    elif there == "file":
        target.touch()
    else:
        target.symlink_to("nowhere")
    with pytest.raises(InputError, match="exists already; remove it, or choose another folder"):
        load(things(page.content, site.url("/things.tar.gz")), tmp_path)
    assert site.asked == []
    assert names(tmp_path) == ["things"]


@pytest.mark.parametrize("pack", [tar, zipped])
def test_progress_grows_and_ends_at_the_total(pack, site, page, tmp_path):
    page.content, page.script = pack(("empty", b""), *FILES.items(), ("z.bin", NOISE)), ["half"]
    told = []
    fetch(things(page.content, site.url("/things.tar.gz")), tmp_path, lambda *told_: told.append(told_), wait_seconds=0)
    size = len(page.content)
    assert list(dict.fromkeys(what for what, _, _ in told)) == ["downloading things.tar.gz", "unpacking things.tar.gz"]
    for stage in ("downloading things.tar.gz", "unpacking things.tar.gz"):
        done = [done for what, done, total in told if what == stage and total == size]
        assert done == sorted(done)
        assert done[-1] == size
        assert len(done) > 4


def test_keep_leaves_the_archive_beside_the_folder(site, page, tmp_path):
    load(things(page.content, site.url("/things.tar.gz")), tmp_path, keep=True)
    assert names(tmp_path) == ["things", "things.tar.gz"]
    assert (tmp_path / "things.tar.gz").read_bytes() == page.content


def test_a_plain_file_lies_beside_what_was_packed(site, tmp_path):
    pictures, labels = zipped(("pictures/1.jpg", b"one"), ("pictures/2.jpg", b"two")), b"1.jpg 1 -1\n"
    site.pages |= {"/pictures.zip": Page(pictures), "/labels.txt": Page(labels)}
    archive = Archive(
        "faces",
        (
            Remote("pictures.zip", (site.url("/pictures.zip"),), md5(pictures)),
            Remote("labels.txt", (site.url("/labels.txt"),), md5(labels), packed=False),
        ),
        1000,
        "Free.",
    )
    site.pages["/labels.txt"].script = [404]
    with pytest.raises(InputError, match=r"cannot download labels\.txt .* with --mirror\.$"):
        load(archive, tmp_path)
    load(archive, tmp_path)
    assert files(tmp_path / "faces") == {"pictures/1.jpg": b"one", "pictures/2.jpg": b"two", "labels.txt": labels}
    assert names(tmp_path) == ["faces"]
    assert [path for path, _ in site.asked] == ["/pictures.zip", "/labels.txt", "/labels.txt"]


@pytest.mark.parametrize(
    ("packed", "unpacked"),
    [
        (["things/1", "things/in/2"], ["1", "in/2"]),
        (["./things/1"], ["1"]),
        (["things/1", ".DS_Store"], ["1"]),
        (["things/things/1"], ["things/1"]),
        (["other/1", "other/2"], ["other/1", "other/2"]),
        (["things/1", "readme"], ["readme", "things/1"]),
        (["things"], ["things"]),
    ],
)
def test_only_a_single_top_folder_of_the_data_sets_name_is_lifted(packed, unpacked, site, page, tmp_path):
    page.content = tar(*((name, b"x") for name in packed))
    load(things(page.content, site.url("/things.tar.gz")), tmp_path)
    assert sorted(files(tmp_path / "things")) == unpacked
    assert names(tmp_path) == ["things"]


def refusal(content, folder):
    """Unpack an archive that must be refused; return why it was."""
    with pytest.raises(InputError) as caught:
        kept(content, folder)
    assert str(caught.value).startswith(f"'{folder / 'archive'}' ")
    return str(caught.value)


def kept(content, folder):
    """Unpack an archive; return what it held."""
    target = folder / "target"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    (folder / "archive").write_bytes(content)
    unpack(folder / "archive", target, silent)
    return files(target)


METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def test_every_packing_is_known_by_its_content(tmp_path):
    folder = special("b", tarfile.DIRTYPE)
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        assert kept(tar(folder, *FILES.items(), mode=mode), tmp_path) == FILES
    for method in METHODS:
        assert kept(zipped(("b/", b""), *FILES.items(), method=method), tmp_path) == FILES


def test_a_tar_archive_whose_names_look_like_a_zip_is_none(tmp_path):
    inner = zipped(("inner", b"x"))
    assert kept(tar(("PK", b"1"), ("inner.zip", inner), mode="w"), tmp_path) == {"PK": b"1", "inner.zip": inner}


def test_modes_of_an_archive_are_not_taken_over(tmp_path):
    info = special("program", tarfile.REGTYPE)
    info.mode = 0o6777
    kept(tar(info, ("a", b"x")), tmp_path)
    kept_mode = (tmp_path / "target" / "program").stat().st_mode
    assert not kept_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IXUSR)


def encrypted(content):
    """Set the flag that a zip archive's only file is encrypted, at both places."""
    for sign, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = content.index(sign) + offset
        content = content[:at] + bytes([content[at] | 1]) + content[at + 1 :]
    return content


def negative():
    """Pack a file of less than no bytes."""
    info = tarfile.TarInfo("less")
    info.size = -1
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(10240)


def commented(size):
    """Pack a file with a comment as long as one likes."""
    info = tarfile.TarInfo("a")
    info.pax_headers = {"comment": "x" * size}
    return tar(info, ("b", b"x"))


ESCAPES = ["../evil", "a/../../evil", "OUTSIDE/evil", "C:\\evil", "C:evil", "a/C:/evil", "..\\evil", "\\evil", "//evil"]
HOSTILE = [
    *((tar, (("good", b"x"), (name, b"evil")), "a path outside its folder") for name in ESCAPES),
    *((zipped, (("good", b"x"), (name, b"evil")), "a path outside its folder") for name in ESCAPES),
    (tar, (special("../evil", tarfile.DIRTYPE),), "a path outside its folder"),
    (zipped, (("../evil/", b""),), "a path outside its folder"),
    (tar, (special("link", tarfile.SYMTYPE, "OUTSIDE"), ("link/evil", b"x")), "'link', which is not a plain file"),
    (tar, (special("link", tarfile.LNKTYPE, "OUTSIDE/own"),), "'link', which is not a plain file"),
    (tar, (("a", b"x"), special("b", tarfile.LNKTYPE, "a")), "'b', which is not a plain file"),
    *((tar, (special("odd", kind),), "'odd', which is not a plain file") for kind in (b"3", b"4", b"6", b"S", b"Z")),
    (partial(zipped, mode=stat.S_IFLNK | 0o777), (("link", b"OUTSIDE"),), "'link', which is not a plain file"),
    (partial(zipped, mode=stat.S_IFIFO | 0o644), (("pipe", b""),), "'pipe', which is not a plain file"),
    (tar, (("a", b"1"), ("./a", b"2")), "/a' twice"),
    (zipped, (("a", b"1"), ("a", b"2")), "/a' twice"),
    (tar, (("a", b"1"), ("a/b", b"2")), "/a' twice"),
    (tar, (("a", b"1"), ("a/b/c", b"2")), "/a/b' twice"),
    (tar, (("a/b", b"1"), ("a", b"2")), "/a' twice"),
    (tar, (("a", b"1"), special("a", tarfile.DIRTYPE)), "/a' twice"),
    (tar, ((".", b"1"),), "twice"),
    (tar, (), "no files"),
    (zipped, (), "no files"),
    (tar, (special("folder", tarfile.DIRTYPE),), "no files"),
    (zipped, (("folder/", b""),), "no files"),
    (lambda: b"", (), "damaged or not an archive: empty file"),
    (lambda: b"hello " * 1000, (), "damaged or not an archive: "),
    (lambda: b"PK\3\4" + b"hello " * 1000, (), "damaged or not an archive: File is not a zip file"),
    (lambda: b"\x1f\x8b" + b"hello " * 1000, (), "damaged or not an archive: "),
    (lambda: encrypted(zipped(("a", b"x"))), (), "'a', which is encrypted"),
    (negative, (), "'less', which is not a plain file"),
    (partial(commented, 5 << 20), (), "damaged or not an archive: more than 4,194,304 bytes between two files"),
    (lambda: tar(("a", b"x"), mode="w") + bytes(5 << 20), (), "damaged or not an archive: more than 4,194,304 bytes"),
]


@pytest.mark.parametrize(("pack", "members", "message"), HOSTILE)
def test_a_hostile_archive_leaves_nothing_and_a_good_one_works_after_it(pack, members, message, site, page, tmp_path):
    outside, parent = tmp_path / "outside", tmp_path / "in" / "data"
    outside.mkdir()
    (outside / "own").write_bytes(b"mine")
    placed = []
    for member in members:
        if isinstance(member, tarfile.TarInfo):
            placed.append(special(member.name, member.type, member.linkname.replace("OUTSIDE", str(outside))))
        else:
            placed.append((member[0].replace("OUTSIDE", str(outside)), member[1].replace(b"OUTSIDE", bytes(outside))))
    good, page.content = page.content, pack(*placed)
    parent.mkdir(parents=True)
    file = parent / ".things.download" / "things.tar.gz"
    file.parent.mkdir()
    file.write_bytes(page.content)
    with pytest.raises(InputError) as caught:
        load(things(page.content), parent)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"'{file}' ")
    assert files(tmp_path) == {
        "outside/own": b"mine",
        "in/data/.things.download/things.tar.gz": page.content,
    }
    assert names(parent) == [".things.download"]
    file.unlink()
    page.content = good
    load(things(good, site.url("/things.tar.gz")), parent)
    assert files(parent / "things") == FILES


@pytest.mark.parametrize("pack", [tar, zipped])
def test_a_bomb_is_refused_before_it_fills_the_disk(pack, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GROWTH", 2)
    monkeypatch.setattr(module, "SPARE", 1 << 20)
    members = [(f"{number}", bytes(300_000)) for number in range(8)]
    assert kept(pack(*members[:3]), tmp_path) == dict(members[:3])
    assert "unpacks to more than 1 MiB: refused as a bomb" in refusal(pack(*members), tmp_path)
    assert sum(map(len, files(tmp_path / "target").values())) <= 1 << 20


@pytest.mark.parametrize("pack", [tar, zipped])
def test_too_many_files_are_refused(pack, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_MEMBERS", 3)
    members = [(f"{number}", b"x") for number in range(4)]
    assert kept(pack(*members[:3]), tmp_path) == dict(members[:3])
    assert "holds more than 3 files: refused" in refusal(pack(*members), tmp_path)


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_a_truncated_tar_archive_is_refused_wherever_it_was_cut(suffix, tmp_path):
    content = tar(*((f"{number}.txt", b"%d" % number * number) for number in range(1, 40)), mode=f"w:{suffix}")
    for size in range(0, len(content), 7):
        assert "is damaged or not an archive: " in refusal(content[:size], tmp_path), size


@pytest.mark.parametrize(
    "content",
    [
        *(zipped(("a", NOISE[:3000]), ("b", b"three" * 50), method=method) for method in METHODS),
        *(tar(("a", NOISE[:3000]), ("b", b"three" * 50), mode=f"w:{suffix}") for suffix in ("gz", "bz2", "xz")),
    ],
)
def test_one_damaged_byte_is_found_by_the_archives_own_checksums(content, tmp_path):
    assert kept(content, tmp_path) == {"a": NOISE[:3000], "b": b"three" * 50}
    for at in range(100, 3000, 97):
        assert "is damaged or not an archive: " in refusal(flipped(content, at), tmp_path), at


def test_a_disk_that_is_too_small_is_said_before_the_download(site, page, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3 << 30))
    archive = Archive("things", things(page.content, site.url("/things.tar.gz")).files, 2 << 30, "Free.")
    with pytest.raises(
        InputError, match=r"needs about 4\.0 GiB in '.*' while it is unpacked, but only 3\.0 GiB are free"
    ):
        load(archive, tmp_path)
    assert site.asked == []


def test_a_disk_that_fills_up_is_no_trouble_of_the_network(site, page, tmp_path, monkeypatch):
    class Full(io.BytesIO):
        name = "things.tar.gz.part"

        def write(self, block):
            raise OSError(28, "No space left on device")

    opened = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, *how, **more: Full() if how == ("wb",) else opened(path, *how, **more)
    )
    with pytest.raises(InputError, match=r"^cannot write to 'things\.tar\.gz\.part': No space left on device$"):
        load(things(page.content, site.url("/things.tar.gz")), tmp_path)
    assert len(site.asked) == 1


def test_a_parent_that_is_a_file_is_refused(site, page, tmp_path):
    (tmp_path / "data").write_text("mine")
    with pytest.raises(InputError, match=r"cannot write to '.*data': Not a directory"):
        load(things(page.content, site.url("/things.tar.gz")), tmp_path / "data")
    assert site.asked == []
    assert files(tmp_path) == {"data": b"mine"}


def test_an_unknown_data_set_is_answered_with_those_there_are(ganforge, tmp_path):
    result = ganforge("data", "fetch", "nonsense")
    assert result.status == 2
    assert "no data set 'nonsense' to download; choose from: apple2orange, celeba, cezanne2photo" in result.err
    assert names(tmp_path) == []


def test_the_command_fetches_from_a_mirror(ganforge, site, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 40))
    site.pages["/edges2shoes.tar.gz"] = Page(
        tar(("edges2shoes/train/1_AB.jpg", b"1"), ("edges2shoes/val/1_AB.jpg", b"2"))
    )
    words = ["data", "fetch", "edges2shoes", "sets", "--mirror", site.url("")]
    refused = ganforge(*words)
    assert refused.status == 2
    assert "expected 71da478b54fedde126e234a2a050bc15" in refused.err
    result = ganforge(*words, "--accept-checksum", "--keep")
    assert result.status == 0, result.err
    assert result.out.startswith("edges2shoes, about 2 GB to download. Collected for pix2pix")
    assert result.out.endswith("edges2shoes is in sets/edges2shoes\n")
    assert files(tmp_path / "sets" / "edges2shoes") == {"train/1_AB.jpg": b"1", "val/1_AB.jpg": b"2"}
    assert names(tmp_path / "sets") == ["edges2shoes", "edges2shoes.tar.gz"]
    assert len(site.asked) == 1
    again = ganforge(*words)
    assert again.status == 2
    assert "'sets/edges2shoes' exists already; remove it, or choose another folder" in again.err


# Weights are fetched once, for all runs, and kept as safetensors.

INCEPTION = "weights-inception-2015-12-05-6726825d.pth"


@pytest.fixture
def weights_home(tmp_path, monkeypatch):
    monkeypatch.setenv("GANFORGE_DATA", str(tmp_path / "home"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 40))
    return tmp_path / "home"


def state_file(state):
    content = io.BytesIO()
    torch.save(state, content)
    return content.getvalue()


def test_weights_are_fetched_checked_and_kept_as_safetensors(ganforge, site, weights_home):
    state = {"conv.weight": torch.rand(2, 3).T, "conv.steps": torch.tensor(7)}
    site.pages[f"/{INCEPTION}"] = Page(state_file(state))
    words = ["data", "fetch", "inception", "--mirror", site.url("")]
    refused = ganforge(*words)
    assert refused.status == 2
    assert "expected 6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2" in refused.err
    result = ganforge(*words, "--accept-checksum")
    assert result.status == 0, result.err
    assert result.out.startswith("inception, about 0.096 GB to download. The Inception network of FID (Google")
    assert result.out.endswith(f"inception is in {weights_home}/inception\n")
    assert list(files(weights_home)) == ["inception/weights.safetensors"]
    found = load_file(weights_home / "inception" / "weights.safetensors")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    again = ganforge(*words)
    assert again.status == 2
    assert f"'{weights_home}/inception' exists already; remove it" in again.err
    assert len(site.asked) == 1


def test_weights_come_from_a_folder_too_and_those_of_lpips_of_two_files(ganforge, tmp_path, weights_home):
    there = tmp_path / "there"
    there.mkdir()
    (there / "alexnet-owt-7be5be79.pth").write_bytes(
        state_file({"features.0.weight": torch.ones(2), "classifier.1.bias": torch.ones(2)})
    )
    (there / "alex.pth").write_bytes(state_file({"lin0.model.1.weight": torch.zeros(1, 2, 1, 1)}))
    result = ganforge("data", "fetch", "lpips", "--mirror", there.as_uri(), "--accept-checksum")
    assert result.status == 0, result.err
    assert load_file(weights_home / "lpips" / "weights.safetensors").keys() == {
        "features.0.weight",
        "lin0.model.1.weight",
    }


class Evil:
    """Would make a folder when it is unpickled."""

    def __reduce__(self):
        import os

        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize("content", [Evil(), [1, 2], {"a": 1}, None], ids=["code", "list", "numbers", "noise"])
def test_what_holds_anything_but_tensors_is_refused_and_none_of_it_kept(content, ganforge, site, weights_home):
    page = b"no weights" if content is None else state_file(content)
    site.pages[f"/{INCEPTION}"] = Page(page)
    result = ganforge("data", "fetch", "inception", "--mirror", site.url(""), "--accept-checksum")
    assert result.status == 2
    assert f"'{INCEPTION}' is not a state dict of tensors" in result.err
    assert len(result.err.splitlines()) == 1
    assert not (weights_home / "inception").exists()
    assert not Path("unpickled").exists()


def test_a_disk_that_gets_full_while_weights_are_converted_leaves_nothing_half(
    ganforge, site, weights_home, monkeypatch
):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    site.pages[f"/{INCEPTION}"] = Page(state_file({"a": torch.ones(2)}))
    words = ["data", "fetch", "inception", "--mirror", site.url(""), "--accept-checksum"]
    with monkeypatch.context() as patch:
        patch.setattr("ganforge_evaluations.fidelity.archives.write_file", full)
        result = ganforge(*words)
    assert result.status == 2
    assert f"cannot write to '{weights_home}': No space left on device" in result.err
    assert not (weights_home / "inception").exists()
    assert ganforge(*words).status == 0
    assert len(site.asked) == 1  # what was downloaded had stayed


def test_weights_have_a_folder_of_their_own(ganforge, weights_home):
    result = ganforge("data", "fetch", "inception", "sets")
    assert result.status == 2
    assert f"'inception' is stored in '{weights_home}' for all runs: leave out 'sets'" in result.err
