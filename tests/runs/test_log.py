"""What a run leaves as text is read without trust, and what is written as JSON is JSON."""

import json
import math
import os

import pytest

from ganforge import InputError, Measured, Results, last_step, read_lock, read_results, records, to_json
from ganforge.runs import log
from ganforge_observers import log as writer
from tests.conftest import run_at
from tests.runs.forms import FORMS, make

SOUND = b'{"step": 1, "losses": {"a": 0.5}}\n'


def test_sound_records_are_read_in_their_order(tmp_path):
    lines = [
        '{"step": 0, "sample_diversity": {"AB": 0.5}}',
        '{"step": 4.0, "losses": {"a": 1}, "rates": {"generator": 0.1}, "steps_per_second": 9.5, "mine": [1, {}]}',
        '{"step": 4, "metrics": {"modes": {"coverage": 0.5}, "grid": {}}}\r',
        '{"step": 4, "warning": "odd"}',
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    assert list(records(tmp_path)) == [
        {"step": 0, "sample_diversity": {"AB": 0.5}},
        {"step": 4, "losses": {"a": 1}, "rates": {"generator": 0.1}, "steps_per_second": 9.5, "mine": [1, {}]},
        {"step": 4, "metrics": {"modes": {"coverage": 0.5}, "grid": {}}},
        {"step": 4, "warning": "odd"},
    ]
    assert last_step(tmp_path) == 4


def test_the_diversity_of_samples_is_told_from_the_evaluation_in_old_logs_too():
    assert log.record_of(b'{"step": 4, "diversity": {"AB": 0.5}}') == {"step": 4, "sample_diversity": {"AB": 0.5}}


def test_a_value_that_is_not_finite_is_left_out():
    line = b'{"step": 2, "losses": {"a": NaN, "b": -Infinity, "c": 1e999, "d": null, "e": 1%s, "f": 2}}' % (b"0" * 400)
    assert log.record_of(line) == {"step": 2, "losses": {"f": 2.0}}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b'{"step": 2, "losses": {"a": 0.',
        b'{"step": 2, "lo{"step": 3, "losses": {"a": 0.5}}',
        b'{"step": 2, "warning": "\xff"}',
        b'{"step": 2}\0\0\0\0',
        b"\0" * 100,
        '{"step": 2}'.encode("utf-16"),
        b'{"losses": {"a": 0.5}}',
        b'{"step": "2"}',
        b'{"step": true}',
        b'{"step": null}',
        b'{"step": NaN}',
        b'{"step": -1}',
        b'{"step": 2.5}',
        b'{"step": [2]}',
        b'{"step": 1e300}',
        b'{"step": 1%s}' % (b"0" * 400),
        b'{"step": 1%s}' % (b"0" * 5000),
        b'{"step": 2, "losses": 7}',
        b'{"step": 2, "losses": [1]}',
        b'{"step": 2, "losses": {"a": "x"}}',
        b'{"step": 2, "losses": {"a": true}}',
        b'{"step": 2, "losses": {"a": [1]}}',
        b'{"step": 2, "metrics": {"a": 1}}',
        b'{"step": 2, "metrics": {"a": {"b": {"c": 1}}}}',
        b'{"step": 2, "diversity": 1}',
        b'{"step": 2, "rates": null}',
        b'{"step": 2, "steps_per_second": "fast"}',
        b'{"step": 2, "warning": {}}',
        b'{"step": 2, "step": 3}',
        b'{"step": 2, "losses": {"a": 1, "a": 2}}',
        b'[{"step": 2}]',
        b'{"step": 2} {"step": 3}',
        b"2",
        b"null",
        b'"step"',
        b'{"step": 2, "mine": %s}' % (b"[" * 100_000 + b"]" * 100_000),
        b'{"a":' * 100_000,
        b'{"step": 2, "warning": "%s"}' % (b"x" * (1 << 21)),
    ],
    ids=lambda line: repr(line[:40]),
)
def test_a_line_that_is_no_record_is_skipped(line, tmp_path):
    later = SOUND.replace(b"1", b"9")
    (tmp_path / "log.jsonl").write_bytes(SOUND + line + b"\n" + later)
    assert [record["step"] for record in records(tmp_path)] == [1, 9]
    (tmp_path / "log.jsonl").write_bytes(SOUND + later + line)
    assert [record["step"] for record in records(tmp_path)] == [1, 9]
    writer.cut(run_at(tmp_path, 8))
    assert (tmp_path / "log.jsonl").read_bytes() == SOUND


def test_a_line_without_end_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "LINE_BYTES", 64)
    for length in (63, 64, 65, 127, 128, 129, 1000):
        (tmp_path / "log.jsonl").write_bytes(b"x" * length + b"\n" + SOUND + b"x" * length)
        assert [record["step"] for record in records(tmp_path)] == [1]
        with (tmp_path / "log.jsonl").open("rb") as file:
            assert max(map(len, log.bounded_lines(file))) <= 64


def told(read, path):
    """What a reader returns; nothing where the file is not there, the message where it refuses."""
    try:
        return read(path)
    except FileNotFoundError:
        return {}
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("log.jsonl", lambda folder: list(records(folder))),
        ("log.jsonl", last_step),
        ("metrics.json", read_results),
        ("recipe.lock.toml", lambda folder: read_lock(folder)[1]),
    ],
    ids=["log", "last step", "metrics", "lock"],
)
def test_no_form_of_a_file_hangs_a_reader_or_ends_it_otherwise_than_with_its_name(name, read, form, tmp_path):
    make(tmp_path / name, form)
    found = told(read, tmp_path)
    assert found in ([], {}, 0, None) or (str(tmp_path / name) in found and "\n" not in found)


@pytest.mark.parametrize("form", FORMS)
def test_whatever_stands_in_the_logs_place_makes_way_when_a_run_goes_on(form, tmp_path):
    run = run_at(tmp_path, 4)
    make(tmp_path / "log.jsonl", form)
    if form == "folder":
        with pytest.raises(IsADirectoryError):
            writer.cut(run)
        return
    writer.cut(run)
    writer.append(run, {"step": 4, "warning": "w"})
    assert (tmp_path / "log.jsonl").read_text() == '{"step": 4, "warning": "w"}\n'
    assert not (tmp_path / "log.jsonl").is_symlink()


def test_metrics_that_are_not_finite_are_nan(tmp_path):
    (tmp_path / "metrics.json").write_text('{"step": 8, "test": {"kid": {"a": NaN, "b": 0.5, "c": null}}}')
    found = read_results(tmp_path)
    assert found.last.step == 8
    assert found.best is None
    assert found.last.metrics["test"]["kid"] == pytest.approx({"a": math.nan, "b": 0.5, "c": math.nan}, nan_ok=True)


def test_what_is_written_of_metrics_is_read_again(tmp_path):
    last = Measured(8, {"validation": {"kid": {"a": 1.5}}, "test": {"kid": {"a": 2}}}, {"test": {"kid": {"n": 3}}})
    best = Measured(6, {"validation": {"kid": {"a": 1.25}}}, stopped=True)
    for written in (Results(last), Results(last, best, "-kid.a"), Results(Measured(0))):
        (tmp_path / "metrics.json").write_text(written.text())
        assert read_results(tmp_path) == written
    (tmp_path / "metrics.json").unlink()
    assert read_results(tmp_path) is None


def test_a_record_begins_on_a_line_of_its_own_after_one_that_is_torn(tmp_path):
    run = run_at(tmp_path)
    writer.append(run, {"step": 1})
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(b'{"step": 2, "los')  # the disk was full
    writer.append(run, {"step": 3})
    writer.append(run, {"step": 4})
    assert [record["step"] for record in records(tmp_path)] == [1, 3, 4]


def test_a_log_whose_last_line_has_no_end_keeps_its_record(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"step": 2}')
    writer.cut(run_at(tmp_path, 2))
    assert (tmp_path / "log.jsonl").read_text() == '{"step": 1}\n{"step": 2}\n'
    assert os.listdir(tmp_path) == ["log.jsonl"]


def test_what_is_written_is_json():
    def refuse(word):
        raise AssertionError(word)

    nest = {"a": float("nan"), "b": [float("inf"), 1.5, (2, -float("inf"))], "c": {"d": "NaN", "e": None}}
    wanted = {"a": None, "b": [None, 1.5, [2, None]], "c": {"d": "NaN", "e": None}}
    assert json.loads(to_json(nest), parse_constant=refuse) == wanted
