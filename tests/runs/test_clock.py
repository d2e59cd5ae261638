"""Where a run's time goes."""

import re
from contextlib import suppress

import pytest

from ganforge.runs import clock
from ganforge.runs.clock import Clock


def test_each_second_counts_once_for_what_was_begun_last(monkeypatch):
    now = iter([10.0, 12.0, 15.0, 16.0, 20.0, 20.5])
    monkeypatch.setattr(clock.time, "monotonic", lambda: next(now))
    counted = Clock("steps")
    with suppress(ValueError), counted.on("evaluation"):  # after 2 seconds
        with counted.on("saving"):  # after 3 more
            pass  # 1
        raise ValueError  # 4
    assert counted.seconds == {"steps": 2.5, "evaluation": 7.0, "saving": 1.0}  # 0.5


def test_a_run_ends_with_the_shares_of_its_time(toy, ganforge):
    result = ganforge("run", toy, "--set", "record.sample_every=4")
    line = next(line for line in result.out.splitlines() if line.startswith("time: "))
    parts = dict(re.findall(r"([a-z ]+) ([0-9.]+) %", line))
    assert {name.strip() for name in parts} == {"start", "steps", "samples", "log", "saving", "the end"}
    assert sum(map(float, parts.values())) == pytest.approx(100, abs=0.5)  # each is rounded
