"""`ganforge bench --against`: a ratio with quartiles, and what else differs."""

import json

import pytest

from ganforge_bench import against, fresh, rates

BENCH = {
    "round_seconds": {"ganforge": [2.0, 2.0, 4.0]},
    "settings": {"train.batch": 8, "compute.threads": 1},
    "torch": "2.0",
}


def test_the_ratio_is_that_of_all_rounds_then_to_all_rounds_now():
    now = BENCH | {"round_seconds": {"ganforge": [1.0, 2.0]}}
    compared = against.compare(now, BENCH)  # 2 2 4 over 1, and 1 1 2 over 2
    assert compared == {"ratio": 2.0, "ratio_quartiles": [1.25, 2.0], "differs": {}}


def test_what_differs_is_named_with_what_it_was_and_is():
    settings = {"train.batch": 16, "train.seed": 0, "compute.threads": 2, "compute.residency": "disk"}
    compared = against.compare(BENCH | {"torch": "3.0", "settings": settings}, BENCH)
    assert compared["differs"] == {
        "torch": ["2.0", "3.0"],
        "compute.residency": [None, "disk"],
        "train.batch": [8, 16],
        "train.seed": [None, 0],
    }
    assert against.warnings(compared)[0] == (
        "warning: torch differs: '2.0' then, '3.0' now; the ratio is not one of speed alone"
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "3", "{}", "null", "[" * 100_000, '{"round_seconds": []}'),
        '{"round_seconds": {"ganforge": []}, "settings": {}}',
        '{"round_seconds": {"ganforge": [1, 0]}, "settings": {}}',
        '{"round_seconds": {"ganforge": [1, "x"]}, "settings": {}}',
        '{"round_seconds": {"ganforge": [NaN]}, "settings": {}}',
        '{"round_seconds": {"ganforge": [1]}, "settings": 3}',
    ],
)
def test_a_file_that_is_no_bench_is_refused_before_anything_is_measured(text, ganforge, tmp_path):
    (tmp_path / "other.json").write_text(text)
    result = ganforge("bench", "discogan_toy", "--against", "other.json")
    message = "error: 'other.json' is not a bench; expected a file that `ganforge bench RECIPE --json` wrote\n"
    assert (result.status, result.err) == (2, message)
    assert ganforge("bench", "discogan_toy", "--against", "none.json").status == 2


def test_a_bench_is_compared_with_one_that_it_wrote(ganforge, tmp_path, monkeypatch):
    monkeypatch.setattr(rates, "COPIED", 1 << 10)
    monkeypatch.setattr(rates, "MATRIX", {"cpu": 64})
    monkeypatch.setattr(fresh, "ask", lambda options: {"first_step_seconds": 1.0, "memory_mib": 1.0})
    words = ["bench", "gan_toy", "--seconds", "0.2", "--plain", "none", "--json"]
    first = ganforge(*words)
    (tmp_path / "first.json").write_text(first.out)
    found = json.loads(ganforge(*words, "--against", "first.json").out)["against"]
    assert found["file"] == "first.json"
    assert found["differs"] == {}
    low, high = found["ratio_quartiles"]
    assert 0 < low <= found["ratio"] <= high
    again = ganforge(*words, "--against", "first.json", "--set", "train.batch=65")
    assert again.err.startswith("warning: train.batch differs: 64 then, 65 now")
