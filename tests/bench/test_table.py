"""`ganforge bench --all`: cases of this machine, each in a process of its own, resumed, and told as a page."""

import json
import os
import signal
import sys
import threading
import time

import pytest
import torch

from ganforge_bench.table import cases, report, running

CPU = torch.device("cpu")
STEP = {
    "round_seconds": {"ganforge": [0.5]},
    "steps_per_second": 2.0,
    "pairs_per_second": 8.0,
    "share_of_matrix_rate": 0.5,
    "memory_mib": 1234.0,
    "first_step_seconds": 2.5,
    "precision": "fp32",
    "shares": {"forward": 0.25, "host overhead": 0.75},
}
RATIO = {
    "plain_steps_per_second": 1.0,
    "plain_ratio": 2.0,
    "plain_ratio_quartiles": [1.9, 2.1],
    "plain_processor_ratio": 1.5,
    "goal": 1.35,
}
BESIDE = {
    "beside": {"title": "C", "goal": 1.8},
    "beside_steps_per_second": 4.0,
    "beside_processor_ratio": 0.4,
    "beside_memory_mib": 617.0,
    "round_seconds": {"ganforge": [0.5, 0.6, 0.5], "beside": [0.25, 0.2, 0.25]},
}
MACHINE = {"device": "D", "cores": 2, "torch": "2", "ganforge": "0"}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_case_is_of_a_recipe_that_is_shipped_and_understood(device, understand):
    found = cases.cases(torch.device(device))
    assert len({case.name for case in found}) == len(found)
    for case in found:
        understand(case.recipe, *case.sets)
        if case.beside:
            understand(case.beside.recipe, *case.sets)
            assert case.words[case.words.index("--beside") + 1] == case.beside.recipe
    goals = {case.name: case.goal for case in found if case.goal}
    goals |= {f"beside {case.name}": case.beside.goal for case in found if case.beside}
    if device == "cpu":
        assert goals.pop("discogan-bf16", 2.8) == 2.8  # only where the processor has it
        assert goals == {"discogan-fp32": 1.35, "cyclegan": 1.3, "beside cyclegan": 1.8, "toy-compiled": 4.0}
    else:
        assert goals.pop("beside cyclegan-1") == goals.pop("beside cyclegan-8") == 1.8
        assert goals == {"discogan": 4, "cyclegan-1": 3, "cyclegan-8": 3, "toy": 10}


def test_a_process_is_timed_and_ended_with_all_that_it_started_where_it_takes_too_long():
    code = "import sys; sum(range(3_000_000)); print('out'); print('err', file=sys.stderr); sys.exit(3)"
    ended = running.run([sys.executable, "-S", "-c", code], 60)
    assert (ended.status, ended.out, ended.err) == (3, "out\n", "err\n")
    assert 0.02 <= ended.processor <= ended.seconds + 0.5
    began = time.monotonic()
    child = "import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', 'import time; time.sleep(60)'])"
    assert running.run([sys.executable, "-S", "-c", child], 0.5) is None  # the pipes are closed: the child is gone, too
    assert time.monotonic() - began < 30


def test_a_case_that_is_stopped_ends_its_process_and_leaves_no_result(tmp_path, monkeypatch):
    def measure():
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        running.run([sys.executable, "-S", "-c", "import time; time.sleep(60)"], 60)

    began = time.monotonic()
    with pytest.raises(running.StoppedError):
        measured(tmp_path, [running.Job("one", "one", 1, measure)], monkeypatch)
    assert time.monotonic() - began < 30
    assert not (tmp_path / "one.json").exists()


def job(name, measured, series=""):
    calls = []

    def measure():
        calls.append(name)
        return dict(measured)

    return running.Job(name, f"the {name}", 10, measure, series), calls


def measured(tmp_path, jobs, monkeypatch, minutes=1.0):
    monkeypatch.setattr(running, "_jobs", lambda device, seconds: jobs)
    return running.measure_all(tmp_path, CPU, seconds=1, minutes=minutes, report=lambda *told: None)


def test_what_is_there_is_not_measured_again_and_what_grows_ends_where_it_failed(tmp_path, monkeypatch):
    one, calls = job("one", {"x": 1})
    small, _ = job("small", {"failed": "out of memory"}, "size")
    large, never = job("large", {"x": 2}, "size")
    jobs = [one, small, large]
    for _ in range(2):
        found = measured(tmp_path, jobs, monkeypatch)
        assert found["one"] == {"title": "the one", "series": "", "x": 1}
        assert found["small"]["failed"] == "out of memory"
        assert found["large"]["failed"] == "a smaller case failed"
    assert (calls, never) == (["one"], [])
    (tmp_path / "one.json").unlink()
    measured(tmp_path, jobs, monkeypatch)
    assert calls == ["one", "one"]


def test_no_case_is_begun_when_the_time_is_over(tmp_path, monkeypatch):
    one, calls = job("one", {"x": 1})
    assert measured(tmp_path, [one], monkeypatch, minutes=-1) == {}
    assert calls == []


def test_another_machines_results_and_broken_ones_are_refused_in_one_line(tmp_path, monkeypatch, ganforge):
    one, _ = job("one", {"x": 1})
    measured(tmp_path, [one], monkeypatch)
    (tmp_path / "one.json").write_text("{")
    result = ganforge("bench", "--all", "--out", tmp_path)
    assert result.status == 2
    assert result.err == f"error: {tmp_path}/one.json is not JSON; delete it to measure it again\n"
    (tmp_path / "machine.json").write_text('{"device": "another"}')
    result = ganforge("bench", "--all", "--out", tmp_path)
    assert result.status == 2
    assert "another machine or version; name another folder with --out" in result.err


def test_a_case_is_a_bench_and_one_that_fails_says_why(monkeypatch):
    case = cases.Case("toy", "toy", "discogan_toy", ("train.batch=16",), goal=2.0)
    told = []

    def run(words, limit):
        told.append(words[3:])
        return running.Ended(*answers.pop(0), 1.0, 1.0) if answers else None

    monkeypatch.setattr(running, "run", run)
    answers = [(0, json.dumps({"plain_ratio": 2.0}), ""), (1, "", "x\nerror: out of memory\n")]
    assert running._case(case, CPU, 6)["plain_ratio"] == 2.0
    assert running._case(case, CPU, 6)["failed"] == "out of memory"
    assert running._case(case, CPU, 6)["failed"] == "took longer than 120 s"
    assert told[0] == [
        *("ganforge", "bench", "discogan_toy", "--set", "train.batch=16", "--fresh", "2"),
        *("--device", "cpu", "--seconds", "6"),
    ]


def test_the_toy_is_trained_as_in_its_recipe_and_by_the_script(monkeypatch):
    def run(words, limit, **variables):
        plain = words[1].endswith("toy.py")
        assert variables == ({"OMP_NUM_THREADS": "1"} if plain else {})
        started.append(words[2:3] if plain else words[3:6])
        return running.Ended(0, "", "", 1.0, 90.0 if plain else 40.0)

    started = []
    monkeypatch.setattr(running, "run", run)
    assert running._toy(CPU) == {"ganforge_seconds": 40.0, "plain_seconds": 90.0, "ratio": 2.25, "goal": 2.0}
    assert started == [["ganforge", "run", "discogan_toy"], ["20000"]]
    monkeypatch.setattr(running, "run", lambda *_, **__: None)
    assert running._toy(CPU) == {"failed": "the ganforge training failed or took longer than 600 s"}


def test_looking_is_timed_after_a_first_time_that_does_not_count(monkeypatch):
    times = iter((9.0, 1.0, 2.0, 3.0, 4.0, 5.0) * 5)
    monkeypatch.setattr(running, "run", lambda words, limit: running.Ended(0, "", "", next(times), 0.5))
    found = running._looks()["commands"]
    assert found["ganforge --help"] == {"seconds": 3.0, "processor_seconds": 0.5}
    assert len(found) == 5
    monkeypatch.setattr(running, "run", lambda words, limit: running.Ended(1, "", "", 1.0, 1.0))
    assert running._looks() == {"failed": "`ganforge --help` failed or took longer than 60 s"}


def test_the_page_tells_all_and_says_what_is_missed_and_what_failed():
    found = {
        "a": {"title": "A", "series": "", **STEP, **RATIO},
        "b": {"title": "B", "series": "", **STEP, **RATIO, **BESIDE, "goal": 2.5},
        "g": {"title": "batch: 8", "series": "batch", "size": 8, **STEP},
        "m": {"title": "gan", "series": "method", "size": "gan", **STEP},
        "f": {"title": "F", "series": "batch", "failed": "out | of\nmemory"},
        "looking": {"title": "looking", "series": "", "commands": {"ganforge list": {"seconds": 0.5}}},
        "toy-run": {
            "title": "toy",
            "series": "",
            "plain_seconds": 60.0,
            "ganforge_seconds": 40.0,
            "ratio": 1.5,
            "ratio_quartiles": [1.4, 1.6],
            "goal": 2.0,
        },
    }
    text = report.markdown(found, MACHINE)
    assert "| A | 1 | 2 | 2.00x | 1.90 to 2.10 | 1.35x: reached | 1.50x | 8 | 50 % | 1,234 | 2.5 |" in text
    assert "2.5x: missed" in text
    assert "| C | 2 | 4 | 2.00x | 2.00 to 2.50 | 1.8x: reached | 2.50x | 16 |  | 617 (0.50x) |  |" in text
    assert "| A | 25 % | 75 % |" in text
    assert "| toy | 60.0 s | 40.0 s | 1.50x | 2x: missed |" in text
    assert "| `ganforge list` | 0.50 |" in text
    assert "| batch: 8 | 2 | 8 | 1,234 | fp32 |" in text
    assert "* F: out | of\\nmemory" in text
    assert report.picture(found).startswith(b"\x89PNG")
    assert report.picture({}) is None
    assert report.markdown({}, MACHINE).startswith("# How fast a step is")
