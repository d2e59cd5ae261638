"""Downloads that break off, lie or attack, from a real server on this machine; unpacking of hostile archives."""

import hashlib
import io
import shutil
import socket
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ganforge import Archive, InputError, Remote, fetch

PICTURES = {f"{number}.jpg": bytes([number]) * 5000 for number in range(40)}


def tar_of(files, mode="w:gz"):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def zip_of(files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


NOISE = b"".join(hashlib.sha256(bytes([one, other])).digest() for one in range(200) for other in range(40))
GOOD = tar_of({f"shoes/train/{name}": content for name, content in PICTURES.items()} | {"shoes/noise": NOISE})


class Server:
    """Serves files as it is told to, and remembers what it was asked for."""

    def __init__(self):
        self.files, self.etag, self.ranges, self.drop_after, self.answers = {}, '"1"', True, [], []
        self.kind, self.requests, self.sent, self.wrong_range = "application/gzip", [], 0, False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request):
        self.requests.append((request.path, request.headers.get("Range")))
        status = self.answers.pop(0) if self.answers else 200
        content = self.files.get(request.path.strip("/"))
        if content is None:
            status = 404
        if status != 200:
            request.send_error(status)
            return
        start = 0
        wanted = request.headers.get("Range")
        if self.ranges and wanted and request.headers.get("If-Range") == self.etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                request.send_error(416)
                return
            request.send_response(206)
            first = start + 7 if self.wrong_range else start
            request.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        else:
            request.send_response(200)
        request.send_header("Content-Length", str(len(content) - start))
        request.send_header("Content-Type", self.kind)
        request.send_header("ETag", self.etag)
        request.end_headers()
        stop = start + self.drop_after.pop(0) if self.drop_after else len(content)
        request.wfile.write(content[start:stop])
        self.sent += len(content[start:stop])


@pytest.fixture
def server():
    server = Server()
    server.files["shoes.tar.gz"] = GOOD
    yield server
    server.http.shutdown()
    server.http.server_close()


def silent(what, done, total):
    pass


def archive_of(*urls, content=GOOD, name="shoes.tar.gz", packed=True):
    remote = Remote(name, urls, hashlib.md5(content, usedforsecurity=False).hexdigest(), packed)
    return Archive("shoes", (remote,), 1000, "free", "https://example.org/shoes")


def load(archive, parent, report=silent, **more):
    return fetch.fetch(archive, parent, report, wait_seconds=0.001, **more)


def test_a_data_set_is_downloaded_and_unpacked_and_nothing_else_stays(server, tmp_path):
    told = []
    target = load(archive_of(f"{server.url}/shoes.tar.gz"), tmp_path / "data", lambda *told_of: told.append(told_of))
    assert target == tmp_path / "data" / "shoes"
    assert {path.name: path.read_bytes() for path in (target / "train").iterdir()} == PICTURES
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["shoes"]
    downloading = [done for what, done, _ in told if what == "downloading shoes.tar.gz"]
    assert downloading == sorted(downloading)
    assert downloading[-1] == len(GOOD)


def test_a_download_that_breaks_off_goes_on_from_there(server, tmp_path):
    server.drop_after = [10_000, 20_000]
    load(archive_of(f"{server.url}/shoes.tar.gz"), tmp_path)
    assert [wanted for _, wanted in server.requests] == [None, "bytes=10000-", "bytes=30000-"]
    assert server.sent == len(GOOD)


def test_a_second_command_goes_on_where_the_first_one_gave_up(server, tmp_path):
    server.drop_after = [20_000] + [0] * 20
    with pytest.raises(InputError, match=r"cannot download shoes.tar.gz .* 0.0 MiB are here; the same command goes on"):
        load(archive_of(f"{server.url}/shoes.tar.gz"), tmp_path)
    server.drop_after = []
    load(archive_of(f"{server.url}/shoes.tar.gz"), tmp_path)
    assert server.requests[-1][1] == "bytes=20000-"
    assert server.sent == len(GOOD)


@pytest.mark.parametrize("change", ["another file", "no ranges", "weak tag", "wrong range"])
def test_what_is_here_is_loaded_anew_where_going_on_is_not_safe(change, server, tmp_path):
    server.drop_after = [20_000]
    if change == "weak tag":
        server.etag = 'W/"1"'
    server.ranges = change != "no ranges"
    server.wrong_range = change == "wrong range"
    archive = archive_of(f"{server.url}/shoes.tar.gz", f"{server.url}/mirror/shoes.tar.gz")
    server.files["mirror/shoes.tar.gz"] = GOOD
    if change == "another file":
        answer = server.answer

        def answer_once_more(request):
            server.etag = f'"{len(server.requests)}"'
            answer(request)

        server.answer = answer_once_more
    assert (load(archive, tmp_path) / "noise").read_bytes() == NOISE


def test_a_wrong_checksum_is_told_and_can_be_accepted_without_loading_again(server, tmp_path):
    archive = archive_of(f"{server.url}/shoes.tar.gz", content=b"another")
    with pytest.raises(InputError) as caught:
        load(archive, tmp_path)
    for part in (hashlib.md5(GOOD).hexdigest(), hashlib.md5(b"another").hexdigest(), "--accept-checksum"):
        assert part in str(caught.value)
    assert not (tmp_path / "shoes").exists()
    load(archive, tmp_path, accept_checksum=True)
    assert (tmp_path / "shoes" / "train").is_dir()
    assert len(server.requests) == 1


def test_the_next_address_is_tried_and_mirrors_come_first(server, tmp_path):
    archive = archive_of(f"{server.url}/gone.tar.gz", f"{server.url}/shoes.tar.gz")
    load(archive, tmp_path / "one")
    assert [path for path, _ in server.requests] == ["/gone.tar.gz", "/shoes.tar.gz"]
    server.requests.clear()
    load(archive, tmp_path / "other", mirrors=[server.url + "/"])
    assert [path for path, _ in server.requests] == ["/shoes.tar.gz"]


def test_a_server_that_is_busy_is_asked_again(server, tmp_path):
    server.answers = [503, 500, 200]
    load(archive_of(f"{server.url}/shoes.tar.gz"), tmp_path)
    assert len(server.requests) == 3


def test_a_web_page_is_no_archive(server, tmp_path):
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(InputError, match=r"a web page instead of the file.* By hand: https://example.org/shoes"):
        load(archive_of(f"{server.url}/shoes.tar.gz"), tmp_path)


def test_without_a_network_it_is_one_line_that_says_what_to_do(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/shoes.tar.gz"
        with pytest.raises(
            InputError, match=r"cannot download .*refused.*By hand: https://example.org/shoes"
        ) as caught:
            load(archive_of(url), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_plain_file_comes_beside_an_archive_and_both_stay_if_they_are_kept(server, tmp_path):
    server.files |= {"img.zip": zip_of({"img/1.jpg": b"1"}), "list.txt": b"1.jpg -1"}
    remotes = tuple(
        Remote(name, (f"{server.url}/{name}",), hashlib.md5(content).hexdigest(), name.endswith("zip"))
        for name, content in server.files.items()
        if name in ("img.zip", "list.txt")
    )
    target = load(Archive("faces", remotes, 1000, "free"), tmp_path, keep=True)
    assert sorted(path.relative_to(target).as_posix() for path in target.rglob("*")) == ["img", "img/1.jpg", "list.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces", "img.zip", "list.txt"]


def test_what_is_there_already_is_not_touched(server, tmp_path):
    (tmp_path / "shoes").mkdir()
    with pytest.raises(InputError, match="is there already; remove it first"):
        load(archive_of(f"{server.url}/shoes.tar.gz"), tmp_path)
    assert server.requests == []


def test_a_disk_that_is_too_small_is_told_before_the_download(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1999))
    with pytest.raises(InputError, match=r"'shoes' needs about .* GiB"):
        load(archive_of(f"{server.url}/shoes.tar.gz"), tmp_path)
    assert server.requests == []


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write to '.*file'"):
        load(archive_of(f"{server.url}/shoes.tar.gz"), tmp_path / "file")


def member(name, **fields):
    """Make a tar archive of one good file and one member of another kind."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("good"))
        info = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(info, field, value)
        tar.addfile(info)
    return packed.getvalue()


def zip_link():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return packed.getvalue()


def spoilt_zip():
    packed = bytearray(zip_of({"noise": NOISE}))
    packed[5000] ^= 255
    return bytes(packed)


HOSTILE = {
    "tar, up and out": (tar_of({"../evil": b"x"}), "a path outside"),
    "tar, hidden up": (tar_of({"a/../../evil": b"x"}), "a path outside"),
    "tar, absolute": (tar_of({"/tmp/evil": b"x"}), "a path outside"),
    "zip, up and out": (zip_of({"../evil": b"x"}), "a path outside"),
    "zip, absolute": (zip_of({"/evil": b"x"}), "a path outside"),
    "zip, backslashes": (zip_of({"..\\evil": b"x"}), "a path outside"),
    "zip, drive": (zip_of({"C:\\evil": b"x"}), "a path outside"),
    "symbolic link": (member("link", type=tarfile.SYMTYPE, linkname="/etc"), "no plain file"),
    "hard link": (member("link", type=tarfile.LNKTYPE, linkname="good"), "no plain file"),
    "pipe": (member("pipe", type=tarfile.FIFOTYPE), "no plain file"),
    "device": (member("device", type=tarfile.CHRTYPE), "no plain file"),
    "zip, link": (zip_link(), "no plain file"),
    "twice": (tar_of({"a": b"x"}, "w") and tar_of({"a": b"x", "./a": b"y"}), "twice"),
    "a file as a folder": (tar_of({"a": b"x", "a/b": b"y"}), "refused|cannot write"),
    "cut short": (GOOD[: len(GOOD) // 2], "is damaged"),
    "spoilt": (spoilt_zip(), "is damaged"),
    "nothing in it": (tar_of({}), "holds no files"),
    "no archive": (b"<html>" * 1000, "is damaged"),
    "empty": (b"", "is damaged|cannot"),
}


@pytest.mark.parametrize(("packed", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_or_damaged_archive_is_refused_and_leaves_nothing(packed, message, server, tmp_path):
    server.files["evil.tar.gz"] = packed
    archive = archive_of(f"{server.url}/evil.tar.gz", content=packed, name="evil.tar.gz")
    with pytest.raises(InputError, match=message):
        load(archive, tmp_path / "deep" / "data")
    assert not list(tmp_path.rglob("evil"))
    assert [path.name for path in (tmp_path / "deep" / "data").iterdir()] == [".shoes.download"]


def test_a_bomb_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "SPARE", 1000)
    server.files["bomb.tar.gz"] = bomb = tar_of({"zeros": bytes(10_000_000)})
    with pytest.raises(InputError, match="refused as a bomb"):
        load(archive_of(f"{server.url}/bomb.tar.gz", content=bomb, name="bomb.tar.gz"), tmp_path)


def test_too_many_files_are_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "MAX_MEMBERS", 39)
    with pytest.raises(InputError, match="holds more than 39 files"):
        load(archive_of(f"{server.url}/shoes.tar.gz"), tmp_path)


def test_the_command_downloads_from_a_mirror(server, ganforge, tmp_path, monkeypatch):
    server.files["edges2shoes.tar.gz"] = tar_of({"edges2shoes/train/1_AB.jpg": b"1"})
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**12))
    words = ["data", "fetch", "edges2shoes", "there", "--mirror", server.url]
    refused = ganforge(*words)
    assert refused.status == 2
    assert "--accept-checksum" in refused.err
    assert ganforge(*words, "--accept-checksum").status == 0
    assert (tmp_path / "there" / "edges2shoes" / "train" / "1_AB.jpg").read_bytes() == b"1"


def test_an_unknown_data_set_is_answered_with_those_there_are(ganforge):
    result = ganforge("data", "fetch", "shoes")
    assert result.status == 2
    assert "there are: celeba, edges2handbags, edges2shoes, facades, maps" in result.err
