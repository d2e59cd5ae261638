"""Samples that are made once: equal to what is made one by one, whole or not there, whoever dies or comes in between."""

import errno
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch

from ganforge import InputError, Note, Plugins, Prepared, compare, folders
from ganforge.errors import PluginError
from ganforge_cache import cache, preparing

SHAPE = (1, 2, 2)


def number_in(path):
    """Read a number from a file as a picture; `broken` is none."""
    text = path.read_text()
    if text == "broken":
        raise InputError(f"'{path.name}' is broken", key="root")
    return torch.full(SHAPE, int(text), dtype=torch.uint8)


def slow_number_in(path):
    time.sleep(0.004)
    return number_in(path)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def files(tmp_path):
    return write(tmp_path / "files", range(100))


def write(folder, texts):
    folder.mkdir(exist_ok=True)
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(str(text))
    return [folder / f"{number}.txt" for number in range(len(texts))]


def rewrite_in_secret(path):
    """Change a file's content, but neither its size nor its time."""
    state = path.stat()
    path.write_text(path.read_text()[::-1].replace("5", "6"))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)


def values(stored):
    return stored.load(range(stored.length))[:, 0, 0, 0].tolist()


def test_samples_are_those_that_are_made_one_by_one_in_any_order(home, files):
    stored = cache.ready(Prepared(files, number_in, ""), SHAPE, "numbers")
    assert values(stored) == list(range(100))
    assert stored.load([7, 3])[:, 0, 0, 0].tolist() == [7, 3]
    assert stored.load(range(1)).shape == (1, *SHAPE)


def test_what_is_loaded_is_a_copy_that_may_be_changed(home, files):
    stored = cache.ready(Prepared(files, number_in, ""), SHAPE, "numbers")
    stored.load(range(2)).fill_(255)
    stored.load([0]).fill_(255)
    assert values(stored)[:2] == [0, 1]


def test_a_second_time_nothing_is_made(home, files):
    made = []

    def make(path):
        made.append(path)
        return number_in(path)

    for _ in range(2):
        cache.ready(Prepared(files, make, ""), SHAPE, "numbers")
    assert made == files


@pytest.mark.parametrize(
    "change",
    [
        lambda files: {"settings": "other"},
        lambda files: {"items": files[:-1]},
        lambda files: {"items": files[::-1]},
        lambda files: {"on_broken": "skip"},
        lambda files: files[5].write_text("105") and {},
        lambda files: os.utime(files[5], ns=(0, 0)),
        lambda files: rewrite_in_secret(files[5]),
    ],
    ids=["settings", "fewer files", "another order", "on_broken", "another size", "another time", "another content"],
)
def test_another_cache_is_made_for_whatever_differs(change, home, files):
    cache.ready(Prepared(files, number_in, ""), SHAPE, "numbers")
    changed = {"items": files, "settings": "", **(change(files) or {})}
    assert cache.find(Prepared(make=number_in, **changed), SHAPE) is None


def test_a_plugin_whose_code_was_changed_makes_its_samples_anew(home, files, tmp_path):
    def load(text):
        (tmp_path / "my_plugin.py").write_text(text)
        spec = preparing.importlib.util.spec_from_file_location("my_plugin_that_changes", tmp_path / "my_plugin.py")
        sys.modules[spec.name] = preparing.importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[spec.name])
        return sys.modules[spec.name].make

    code = "import torch\ndef make(path):\n    return torch.full((1, 2, 2), {}, dtype=torch.uint8)\n"
    assert values(cache.ready(Prepared(files, load(code.format(1)), ""), SHAPE, "x"))[0] == 1
    assert values(cache.ready(Prepared(files, load(code.format(22)), ""), SHAPE, "x"))[0] == 22


def test_broken_items_are_listed_and_counted(home, tmp_path):
    files = write(tmp_path / "files", [0, "broken", 2, "broken", 4])
    with pytest.raises(InputError) as caught:
        cache.ready(Prepared(files, number_in, ""), SHAPE, "numbers")
    assert str(caught.value) == (
        "'1.txt' is broken; '3.txt' is broken; 2 of 5 cannot be used: repair or remove them, "
        'or set dataset.on_broken = "skip"'
    )
    assert caught.value.key == "root"
    assert list(cache.entries()) == []


def test_skipped_items_leave_no_gap_and_the_labels_stay_with_their_samples(home, tmp_path):
    files = write(tmp_path / "files", ["broken", 1, 2, "broken", 4, "broken"])
    labels = {"name": [path.stem for path in files]}
    for _ in range(2):  # made, and from the cache
        stored = cache.ready(Prepared(files, number_in, "", labels, "skip"), SHAPE, "numbers")
        assert values(stored) == [1, 2, 4]
        assert stored.labels == {"name": ["1", "2", "4"]}
        assert stored.skipped == ("'0.txt' is broken", "'3.txt' is broken", "'5.txt' is broken")


def odd_number_in(path):
    """Warn of odd numbers; and of every number, what is only odd if others have another one."""
    number = number_in(path)
    if number[0, 0, 0] % 2:
        warnings.warn(f"{int(number[0, 0, 0])} is odd", stacklevel=1)
    compare(f"of {path.suffix}")
    return number


def test_what_is_odd_is_kept_with_the_samples_in_their_order(home, tmp_path):
    files = write(tmp_path / "files", [0, "broken", *range(2, 200)])
    for _ in range(2):  # made, and from the cache
        stored = cache.ready(Prepared(files, odd_number_in, "", on_broken="skip"), SHAPE, "x")
        assert stored.notes == (
            Note("of .txt", tuple(str(files[number]) for number in (0, 2, 3)), 199, unlike=True),
            Note("3 is odd", tuple(str(files[number]) for number in (3, 5, 7)), 99),
        )


def test_nothing_but_broken_items_is_an_error_even_if_they_are_skipped(home, tmp_path):
    files = write(tmp_path / "files", ["broken"] * 7)
    with pytest.raises(InputError, match=r"'4.txt' is broken; and 2 more$"):
        cache.ready(Prepared(files, number_in, "", on_broken="skip"), SHAPE, "numbers")


def deep_number_in(dtype, path):
    return (number_in(path).float() * 257).to(dtype)


@pytest.mark.parametrize("name", ["uint16", "float32"])
def test_samples_keep_their_type_and_have_a_cache_of_their_own(name, home, tmp_path):
    dtype = getattr(torch, name)
    files = write(tmp_path / "files", [7, "broken", 200, "broken", 255])
    shallow = cache.ready(Prepared(files, number_in, "", on_broken="skip"), SHAPE, "x")
    make = partial(deep_number_in, dtype)
    stored = cache.ready(Prepared(files, make, "", on_broken="skip", dtype=name), SHAPE, "x")
    samples = stored.load([2, 0, 1])
    assert samples.dtype == dtype
    assert samples.float()[:, 0, 1, 1].tolist() == [255 * 257, 7 * 257, 200 * 257]
    assert shallow.load([1]).dtype == torch.uint8
    assert stored.load(range(3)).shape == (3, *SHAPE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: torch.zeros(1, 2, 3, dtype=torch.uint8), r"uint8 \[1, 2, 3\], expected uint8 \[1, 2, 2\]"),
        (lambda path: torch.zeros(SHAPE), r"float32 \[1, 2, 2\], expected uint8 \[1, 2, 2\]"),
        (lambda path: 1 / 0, r"0.txt failed: ZeroDivisionError"),
    ],
)
def test_a_plugin_that_makes_something_else_is_named(make, message, home, files):
    with pytest.raises(PluginError, match=message):
        cache.ready(Prepared(files, make, ""), SHAPE, "numbers")


def test_several_processes_make_what_one_makes(home, tmp_path, monkeypatch):
    monkeypatch.setattr(preparing, "ALONE_SECONDS", 0.0)
    files = write(tmp_path / "files", ["broken" if number == 77 else number % 256 for number in range(300)])
    told = []
    stored = cache.ready(
        Prepared(files, odd_number_in, "", on_broken="skip"),
        SHAPE,
        "x",
        lambda *told_of: told.append(told_of),
        processes=2,
    )
    assert values(stored) == [number % 256 for number in range(300) if number != 77]
    assert [(note.names[0], note.count) for note in stored.notes] == [(str(files[0]), 299), (str(files[1]), 149)]
    assert told[0] == ("preparing x", 0, 300)
    assert told[-1] == ("preparing x", 300, 300)


def test_processes_know_a_plugins_neighbours_and_no_modules_of_the_current_folder(home, tmp_path, monkeypatch):
    files = write(tmp_path / "files", range(10))
    for name, text in {
        "beside/mine": "from helpers import make",
        "beside/helpers": "import torch\ndef make(path):\n    import late\n    return torch.full((1, 2, 2), late.read(path), dtype=torch.uint8)",
        "beside/late": "def read(path):\n    return int(path.read_text())",
        "here/random": "1 / 0",
        "here/socket": "1 / 0",
        "here/torch": "1 / 0",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(text)
    plugins = Plugins()
    plugins.load_file(tmp_path / "beside" / "mine.py")
    monkeypatch.chdir(tmp_path / "here")
    forkserver._forkserver._stop()  # another test's processes were started elsewhere
    make = plugins.known["mine"].module.make
    preparing._start_server()
    context = multiprocessing.get_context("forkserver")
    known = (make.__module__, folders)
    with ProcessPoolExecutor(1, mp_context=context, initializer=preparing._begin, initargs=known) as pool:
        assert pool.submit(make, files[7]).result().unique().tolist() == [7]
    key = cache._key(Prepared(files, make, ""), SHAPE)
    (tmp_path / "beside" / "late.py").write_text("changed = True")
    assert cache._key(Prepared(files, make, ""), SHAPE) != key


def test_a_function_that_cannot_travel_is_called_here(home, files, monkeypatch):
    monkeypatch.setattr(preparing, "ALONE_SECONDS", 0.0)
    assert values(cache.ready(Prepared(files, lambda path: number_in(path), ""), SHAPE, "x", processes=2))[9] == 9


def test_a_cache_that_was_cut_short_is_made_again(home, files):
    cache.ready(Prepared(files, number_in, ""), SHAPE, "numbers")
    (entry,) = cache.entries()
    file = entry.folder / cache.SAMPLES
    file.write_bytes(file.read_bytes()[:-1])
    assert list(cache.entries()) == []
    assert values(cache.ready(Prepared(files, number_in, ""), SHAPE, "numbers")) == list(range(100))


def test_what_a_killed_process_left_is_not_used_and_is_removed(home, files):
    prepared = Prepared(files, number_in, "")
    left = home / f".{cache._key(prepared, SHAPE)}.abc"
    left.mkdir(parents=True)
    (left / cache.SAMPLES).write_bytes(b"\0" * 500)
    assert list(cache.entries()) == []
    assert values(cache.ready(prepared, SHAPE, "numbers")) == list(range(100))
    assert not left.exists()


def test_clear_removes_all_or_some_and_what_is_left_over(home, files):
    for settings in ("one", "other"):
        cache.ready(Prepared(files, number_in, settings), SHAPE, settings)
    one = cache.find(Prepared(files, number_in, "one"), SHAPE)
    size = one.size
    assert cache.clear([one.folder.name]) == size
    assert [entry.what for entry in cache.entries()] == ["other"]
    assert cache.clear() > 0
    assert list(cache.entries()) == []
    assert cache.clear() == 0


def test_a_cleared_cache_stays_readable_for_who_has_it_open(home, files):
    stored = cache.ready(Prepared(files, number_in, ""), SHAPE, "numbers")
    cache.clear()
    assert values(stored) == list(range(100))


def test_a_full_disk_is_one_line_with_what_to_do(home, files, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        InputError, match=r"cannot write the cache of 0 MiB to '.*', where [\d,]+ MiB are free: No space"
    ) as caught:
        cache.ready(Prepared(files, number_in, ""), SHAPE, "numbers")
    assert "GANFORGE_CACHE" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path for path in home.iterdir() if path.suffix != ".lock"] == []


def test_a_cache_folder_that_is_a_file_is_named(tmp_path, files, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot write the cache .*/file'"):
        cache.ready(Prepared(files, number_in, ""), SHAPE, "numbers")


@pytest.mark.parametrize("named", [None, "~nobody-here/cache"])
def test_a_user_without_a_home_is_told_to_name_a_cache(named, files, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 123456789)
    for name in ("HOME", "XDG_CACHE_HOME", "GANFORGE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    if named:
        monkeypatch.setenv("GANFORGE_CACHE", named)
    with pytest.raises(InputError, match=r"^[^\n]* home folder [^\n]*; set GANFORGE_CACHE to a writable folder"):
        cache.ready(Prepared(files, number_in, ""), SHAPE, "numbers")


def test_names_of_any_bytes_are_packed_and_told_on_one_line(home, tmp_path):
    files = [tmp_path / os.fsdecode(name) for name in (b"caf\xe9", b"a\nb", b"\x1b[31m")]
    for number, file in enumerate(files):
        file.write_text(str(number))
    assert values(cache.ready(Prepared(files, number_in, ""), SHAPE, "numbers")) == [0, 1, 2]
    for file in files[:2]:
        file.write_text("broken")
    stored = cache.ready(Prepared(files, number_in, "", on_broken="skip"), SHAPE, "numbers")
    assert stored.skipped == (r"'caf\udce9' is broken", r"'a\nb' is broken")
    with pytest.raises(InputError, match=r"^'caf\\udce9' is broken; 'a\\nb' is broken; 2 of 3 cannot be used"):
        cache.ready(Prepared(files, number_in, ""), SHAPE, "numbers")


def test_a_cache_folder_that_is_no_text_is_refused(files, monkeypatch):
    monkeypatch.setenv("GANFORGE_CACHE", os.fsdecode(b"/tmp/caf\xe9"))
    with pytest.raises(InputError, match="is not UTF-8; set GANFORGE_CACHE to another folder"):
        cache.ready(Prepared(files, number_in, ""), SHAPE, "numbers")


READER = """
import torch

def number_in(path):
    return torch.full((1, 1, 1), int(path.read_text()), dtype=torch.uint8)
"""
USERS = """
import os, sys, traceback
from pathlib import Path
from ganforge import InputError, Prepared
from ganforge_cache import cache
sys.path.insert(0, sys.argv[1])
import reader

def as_user(number, umask, work):
    if (child := os.fork()):
        assert os.waitpid(child, 0)[1] == 0
        return
    os.setgroups([]), os.setgid(4000), os.setuid(number), os.umask(umask)
    try:
        print(number, work(), flush=True)
    except InputError as error:
        print(number, str(error).rpartition(": ")[2], flush=True)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)

def numbers(settings):
    files = [Path(sys.argv[1]) / str(number) for number in range(3)]
    def work():
        stored = cache.ready(Prepared(files, reader.number_in, settings), (1, 1, 1), "x")
        return stored.load(range(stored.length)).flatten().tolist()
    return work

os.environ["GANFORGE_CACHE"] = f"{sys.argv[1]}/own"
numbers("one")(), cache.clear()  # imports what the other users need, who may not be allowed to read it themselves
for umask in (0o002, 0o022):
    os.environ["GANFORGE_CACHE"] = f"{sys.argv[1]}/cache{umask}"
    as_user(4001, umask, numbers("one"))
    as_user(4002, umask, numbers("one"))
    as_user(4002, umask, numbers("two"))
    as_user(4002, umask, lambda: cache.clear() > 0)
    as_user(4001, umask, lambda: cache.clear() > 0)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be other users")
def test_users_of_a_group_share_a_cache_and_all_others_may_read_it():
    with tempfile.TemporaryDirectory() as folder:  # not `tmp_path`, which is closed to others
        os.chmod(folder, 0o777)
        for number in range(3):
            (Path(folder) / str(number)).write_text(str(number))
        (Path(folder) / "reader.py").write_text(READER)
        words = [sys.executable, "-c", USERS, folder]
        result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        *("4001 [0, 1, 2]", "4002 [0, 1, 2]", "4002 [0, 1, 2]", "4002 True", "4001 False"),
        *("4001 [0, 1, 2]", "4002 [0, 1, 2]", "4002 Permission denied; set GANFORGE_CACHE to another folder"),
        *("4002 Permission denied; 0.0 MiB of other caches were freed", "4001 True"),
    ]


def prepare_elsewhere(folder, count):
    """Prepare in another process: a small program that uses this module."""
    program = (
        "import sys; from pathlib import Path; from ganforge import Prepared; from ganforge_cache import cache, preparing\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_cache\n"
        f"preparing.ALONE_SECONDS = 0.2\n"
        f"files = [Path({str(folder)!r}) / f'{{number}}.txt' for number in range({count})]\n"
        "print('ready', flush=True)\n"
        "cache.ready(Prepared(files, test_cache.slow_number_in, ''), (1, 2, 2), 'x', processes=2)\n"
    )
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_ten_kills_never_leave_a_cache_that_is_then_used(home, tmp_path):
    files = write(tmp_path / "files", [number % 256 for number in range(1000)])
    prepared = Prepared(files, slow_number_in, "")
    randomly = random.Random(0)
    cut_short = 0
    for _ in range(10):
        with prepare_elsewhere(tmp_path / "files", len(files)) as process:
            process.stdout.readline()
            time.sleep(randomly.uniform(0.0, 6.0))
            process.send_signal(signal.SIGKILL)
        entry = cache.find(prepared, SHAPE)
        if entry is None:
            cut_short += 1
        else:
            assert values(cache.ready(prepared, SHAPE, "x")) == [number % 256 for number in range(1000)]
            cache.clear()
    assert cut_short >= 3
    assert values(cache.ready(prepared, SHAPE, "x", processes=1)) == [number % 256 for number in range(1000)]
    assert [path.name for path in home.iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
def test_two_processes_end_with_one_good_cache(home, tmp_path):
    files = write(tmp_path / "files", [number % 256 for number in range(200)])
    with prepare_elsewhere(tmp_path / "files", 200) as one, prepare_elsewhere(tmp_path / "files", 200) as other:
        one.communicate(), other.communicate()
    assert (one.returncode, other.returncode) == (0, 0)
    (entry,) = cache.entries()
    assert entry.length == 200
    stored = cache.ready(Prepared(files, partial(slow_number_in), ""), SHAPE, "x")
    assert values(stored) == [number % 256 for number in range(200)]
