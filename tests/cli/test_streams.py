"""What is written reaches every kind of reader, or none, and never ends a command."""

import codecs
import io
import os
import subprocess
import sys

import pytest

from ganforge.cli import main as cli, streams
from ganforge.errors import InputError

TERMINAL = b"\x1b"


def start(*words, **how):
    return subprocess.Popen([sys.executable, "-m", "ganforge", *words], stdin=subprocess.DEVNULL, **how)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Run the command line with a standard output of some encoding, and return what it wrote."""

    def call(encoding, *words):
        path = tmp_path / "written"
        monkeypatch.setattr("sys.argv", ["ganforge", *words])
        with path.open("wb") as file:
            monkeypatch.setattr("sys.stdout", io.TextIOWrapper(file, encoding, "strict"))
            with pytest.raises(SystemExit) as end:
                cli.main()
        assert end.value.code == 0
        return path.read_bytes()

    return call


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8", "utf-16"])
def test_every_encoding_of_the_console_will_do(encoding, written):
    assert "ńkowski" in written(encoding, "list", "evaluation").decode(encoding).replace("\\u0144", "ń")
    assert "Usage: ganforge list" in written(encoding, "list", "--help").decode(encoding)


def test_a_file_begins_with_the_mark_of_its_encoding(written):
    assert written("utf-16", "recipes").startswith(codecs.BOM_UTF16)


def test_what_is_no_terminal_gets_no_codes_even_where_colour_is_forced(written, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    for words in (["list", "loss"], ["show", "loss", "gan"], ["--help"]):
        assert TERMINAL not in written("utf-8", *words)


@pytest.mark.parametrize("stream", [None, io.StringIO()], ids=["none", "text alone"])
def test_there_may_be_no_stream_or_one_of_texts_alone(stream, monkeypatch):
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr("sys.argv", ["ganforge", "recipes"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert sys.stdout is stream
    assert stream is None or "discogan_toy" in stream.getvalue()


class Reader(io.RawIOBase):
    """Takes bytes in small parts, sometimes none at all, and fails in the end."""

    def __init__(self, error):
        self.error, self.taken, self.calls = error, b"", 0

    def write(self, data):
        self.calls += 1
        if self.calls % 2:
            return None
        if len(self.taken) >= 9:
            raise self.error
        self.taken += bytes(data[:3])
        return min(3, len(data))


@pytest.mark.parametrize(("error", "refused"), [(BrokenPipeError(32, "x"), False), (OSError(28, "full"), True)])
def test_what_the_reader_does_not_take_is_dropped(error, refused, monkeypatch):
    reader = Reader(error)
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BufferedWriter(Raw(reader)), "ascii"))
    with streams.lasting() as told:
        for _ in range(3):
            print("abcdefghijkl")  # noqa: T201
        assert (told() is error) is refused
    assert reader.taken == b"abcdefghi"


class Raw(Reader):
    """A raw stream that hands all on."""

    def __init__(self, reader):
        self.reader = reader

    def writable(self):
        return True

    def write(self, data):
        return self.reader.write(data)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no full device")
def test_a_full_disk_is_told_of_in_the_end(tmp_path):
    with open("/dev/full", "wb") as full:
        process = start("recipes", stdout=full, stderr=subprocess.PIPE, cwd=tmp_path)
    assert process.communicate()[1] == b"error: the output could not be written completely: No space left on device\n"
    assert process.returncode == 1


def test_a_training_goes_on_when_nobody_reads_it_any_more(toy):
    sets = [word for text in ("train.steps=40", "record.log_every=1") for word in ("--set", text)]
    process = start("run", str(toy), *sets, cwd=toy.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
    assert process.stdout.readline().startswith(b"toy: runs")
    process.stdout.close()
    assert process.wait() == 0
    assert (toy.parent / "runs" / "toy" / "0001" / "checkpoints" / "latest").read_text() == "step-00000040"


def test_a_list_ends_without_a_word_when_nobody_reads_it(tmp_path):
    with start("recipes", cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_closed_descriptor_is_not_taken_for_a_file(tmp_path):
    command = f"{sys.executable} -m ganforge recipes >&- 2>&- <&-"
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path).returncode == 0


def test_the_version_is_one_line_and_needs_no_plugin(ganforge, monkeypatch):
    monkeypatch.setattr(cli, "_plugins", lambda: 1 / 0)
    assert ganforge("--version").out.startswith("ganforge 0.")


@pytest.mark.parametrize("words", [["run"], ["run", "a", "b"], ["lst"], ["run", "--oops"], ["list", "--plugin"]])
def test_wrong_words_are_told_apart_from_failures(words, ganforge):
    assert ganforge(*words).status == 2


ODD = "a\x1b[31m[red]\nb\u202e\udcff"


@pytest.mark.parametrize(
    "words",
    [
        ["run", ODD],
        [ODD],
        ["list", ODD],
        ["show", "loss", ODD],
        ["list", "--plugin", ODD],
        ["run", "discogan_toy", "--set", ODD],
        ["run", "discogan_toy", "--set", f"train.steps={ODD}"],
        ["run", "discogan_toy", "--device", ODD],
        ["resume", ODD],
        ["evaluate", ODD],
        ["translate", ODD, "x", "--direction", "AB", "--out", "y"],
        ["report", ODD],
        ["compare", ODD],
        ["bench", ODD],
        ["data", "show", ODD],
        ["data", "fetch", ODD],
        ["draw", ODD, "--out", "x"],
    ],
    ids=lambda words: " ".join(words[:2]).encode("ascii", "replace").decode(),
)
def test_names_do_not_drive_the_terminal(words, ganforge):
    result = ganforge(*words)
    assert result.status == 2
    for char in ("\x1b", "\u202e", "\udcff", "[red]\n"):
        assert char not in result.out + result.err
    assert "[red]" in result.err


def test_a_recipe_of_an_odd_name_is_shown_as_it_is(toy, ganforge):
    odd = toy.with_name(f"{ODD[:-2]}.toml")
    toy.rename(odd)
    assert ganforge("validate", odd).out.endswith("a\\x1b[31m[red]\\nb.toml: no problems\n")
    out = ganforge("run", odd).out
    assert "\x1b" not in out
    assert "a\\x1b[31m[red]\\nb: runs/" in out


def test_an_error_is_answered_a_line_for_each_of_its_arguments(ganforge, monkeypatch):
    def fail():
        raise InputError("one\nline", "another")

    monkeypatch.setattr(cli, "_plugins", fail)
    assert ganforge("list").err == "error: one\\nline\nerror: another\n"


@pytest.mark.slow
def test_matplotlib_tells_nothing_of_a_home_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    home = {**os.environ, "HOME": str(tmp_path / "file"), "XDG_CONFIG_HOME": "", "MPLCONFIGDIR": ""}
    with start("list", "evaluation", env=home, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.communicate()[1] == b""
