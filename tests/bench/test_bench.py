"""`ganforge bench`: a plain step of the same mathematics, and figures that fit together."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch._C._autograd import DeviceType

from ganforge import assemble, make_dataset
from ganforge_bench import bench, fresh, parts, profiling, rates
from ganforge_bench.plain import PlainStep

SMALL = ["dataset.size=16", "generator.width=4", "discriminator.width=4", "train.batch=4", "dataset.root=none"]
WORDS = [word for setting in SMALL for word in ("--set", setting)]
START = {"first_step_seconds": 1.5, "memory_mib": 10.0}


@pytest.fixture(autouse=True)
def small_rates(monkeypatch):
    """Have little multiplied and copied: how fast a device is does not matter here."""
    monkeypatch.setattr(rates, "MATRIX", {"cpu": 64})
    monkeypatch.setattr(rates, "COPIED", 1 << 10)


@pytest.fixture
def started(monkeypatch):
    """Have no further process started, for tests that are not about what it measures."""
    monkeypatch.setattr(fresh, "ask", lambda options: dict(START))


def both(plan):
    """The engine of a plan, and the plain step, from the same start."""
    dataset, cpu = make_dataset(plan), torch.device("cpu")
    sources = bench.random_sources(plan, dataset)
    engine, batches = assemble(plan, dataset, sources, cpu)
    return engine, PlainStep.of(plan, dataset, sources, cpu), batches


@pytest.mark.parametrize("recipe", ["discogan_edges2shoes", "gan_edges2shoes", "gan_recon_edges2shoes"])
def test_the_plain_step_learns_what_the_engine_learns(recipe, understand):
    engine, plain, batches = both(understand(recipe, *SMALL, "compute.precision=fp32"))
    for step in range(3):
        losses = engine.step(step, batches(step))
        for player, loss in plain(step, batches(step)).items():
            torch.testing.assert_close(loss, losses[player][0], rtol=1e-3, atol=1e-4)
    for name, network in engine.networks.items():
        for one, other in zip(network.parameters(), plain.engine.networks[name].parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_the_plain_step_keeps_the_recipes_rhythm(understand):
    _, plain, batches = both(understand("discogan_edges2shoes_reference", *SMALL))
    before = {name: [value.clone() for value in net.parameters()] for name, net in plain.engine.networks.items()}
    plain(0, batches(0))  # D alone
    changed = {
        name: any(not torch.equal(*pair) for pair in zip(before[name], net.parameters(), strict=True))
        for name, net in plain.engine.networks.items()
    }
    assert changed == {"G_AB": False, "G_BA": False, "D_A": True, "D_B": True}


def test_the_figures_fit_together_and_need_no_data(ganforge, tmp_path):
    result = ganforge("bench", "discogan_edges2shoes", *WORDS, "--seconds", "1", "--json")
    assert result.status == 0, result.err
    found = json.loads(result.out)
    assert found["pairs_per_second"] == pytest.approx(4 * found["steps_per_second"])
    times = found["round_seconds"]
    assert len(times["ganforge"]) == len(times["plain"]) >= 5
    low, high = found["plain_ratio_quartiles"]
    assert min(times["plain"]) / max(times["ganforge"]) <= low <= found["plain_ratio"] <= high
    assert 0.2 < found["plain_processor_ratio"] < 5
    assert found["device"] == "cpu" or found["threads"] >= 1
    taken = found["parts_ms"]
    assert set(taken) == {"data", "discriminator phase", "generator phase", "optimizer", "logging"}
    assert all(value > 0 for value in taken.values())
    assert sum(taken.values()) < 10_000 / found["steps_per_second"]
    assert set(found["shares"]) == {"forward", "backward", "program", "optimizer", "host overhead"}
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert 0.1 < found["first_step_seconds"] < 600
    assert 0 < found["host_loaded_mib"] < found["host_resident_mib"]
    assert found["memory_mib"] == pytest.approx(found["host_peak_mib"] - found["host_loaded_mib"])
    assert found["settings"]["generator.width"] == 4
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("recorded", [True, False])
def test_a_recorded_step_is_a_program_and_another_one_goes_forward_and_backward(recorded, understand):
    engine, _, batches = both(understand("discogan_toy", f"compute.compile={'trace' if recorded else 'false'}"))
    for step in range(5):  # it is recorded in the first one, and proved in steps 1, 2 and 4
        engine.step(step, batches(step))
    optimizers = [player.optimizer.step for player in engine.players.values()]
    _, shares = parts.parts(engine, batches, torch.device("cpu"), 2, 2)  # steps 6 and 7
    assert (shares["program"] > 0, shares["forward"] > 0, shares["backward"] > 0) == (
        recorded,
        not recorded,
        not recorded,
    )
    assert all(share >= 0 for share in shares.values())
    assert sum(shares.values()) == pytest.approx(1)
    assert [player.optimizer.step for player in engine.players.values()] == optimizers


def test_what_is_watched_is_left_as_it_was_also_after_an_error(understand, monkeypatch):
    engine, _, batches = both(understand("gan_toy"))
    before = (parts.Formula.compute, parts.Player.differentiate, engine.recording.play)
    monkeypatch.setattr(parts.Meter, "add", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        parts.parts(engine, batches, torch.device("cpu"), 1, 1)
    assert (parts.Formula.compute, parts.Player.differentiate, engine.recording.play) == before


def test_on_cuda_time_is_that_of_the_devices_own_clock(monkeypatch):
    class Event:
        """Two milliseconds pass from each event to the next."""

        count = 0

        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            Event.count += 2
            self.at = Event.count

        def elapsed_time(self, other):
            return other.at - self.at

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    clock = parts.Clock(torch.device("cuda"))
    with clock.timed("outer"), clock.timed("inner"):  # 2 to 8, 4 to 6
        pass
    assert (clock.seconds("outer"), clock.seconds("inner"), clock.seconds("never")) == (0.006, 0.002, 0)


def test_operations_are_those_counted_by_hand(understand):
    """Two linear networks 2-8-2 and 2-8-1: forward, and backward for weights and (but for the first layer) inputs."""
    sets = ["generator.layers=2", "generator.hidden=8", "discriminator.layers=2", "discriminator.hidden=8"]
    sets += ["train.batch=10", "generator.output=linear"]
    engine, _, batches = both(understand("gan_toy", *sets))
    g, d = 2 * (2 * 8 + 8 * 2), 2 * (2 * 8 + 8 * 1)  # of one sample, forward
    d_phase = 2 * (d + d + 2 * 8 * 1)  # real and fake: forward, weights, the hidden layer's gradient
    g_phase = d + d + (g + 2 * 8 * 2)  # the judgement and its way back to the fake; then the generator's backward
    assert rates.count_operations(engine, batches, 1) == 10 * (g + d_phase + g_phase)


def test_operations_are_counted_where_a_gradient_is_differentiated(understand):
    narrow = ["generator.width=4", "discriminator.width=4", "train.batch=2"]
    engine, _, batches = both(understand("wgan_gp_turntable", *narrow))
    assert rates.count_operations(engine, batches, 1) > 0


def test_a_recipe_of_points_and_real_data_are_measured_too(ganforge, pairs, started):
    assert "plain ratio" in ganforge("bench", "gan_toy", "--seconds", "0.5").out
    sets = WORDS[:-2]
    root = ["--set", f"dataset.root={pairs}"]
    result = ganforge("bench", "discogan_edges2shoes", *sets, *root, "--data", "--seconds", "0.5")
    assert result.status == 0, result.err
    assert "discriminator phase" in result.out
    assert ganforge("bench", "discogan_edges2shoes", *sets, "--data").status == 2


def test_another_recipe_is_measured_in_the_same_rounds(ganforge, started):
    words = ["--plain", "none", "--beside", "gan_toy", "--set", "train.batch=16", "--seconds", "0.5", "--rounds", "2"]
    found = json.loads(ganforge("bench", "discogan_toy", *words, "--json").out)
    assert found["beside_step"] == "gan_toy"
    assert len(found["round_seconds"]["beside"]) == len(found["round_seconds"]["ganforge"])
    assert found["beside_ratio"] > 0
    assert found["beside_memory_ratio"] == 1
    assert "plain_ratio" not in found


@pytest.fixture
def allocating(monkeypatch):
    """Have an engine of steps that take 400, 400 and 100 MiB, for the device that is asked for, and say how they are."""
    taken = iter((400, 400, 100))

    def step(number, batch):
        torch.ones(next(taken) * 2**18)

    recording = SimpleNamespace(how="recorded")
    engine = SimpleNamespace(step=step, recording=recording)
    monkeypatch.setattr(bench, "prepared", lambda *_, **__: (None, None, engine, lambda step: {}, {}))

    def first_steps(device, how="recorded"):
        recording.how = how
        return fresh.first_steps(None, torch.device(device), real_data=False, report=None)

    return first_steps


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks cannot be reset here")
def test_memory_is_the_most_in_the_third_step(allocating):
    found = allocating("cpu")
    assert 90 < found["memory_mib"] < 300
    assert found["host_peak_mib"] - found["host_resident_mib"] > 90


@pytest.mark.parametrize(("how", "most"), [("recorded", 3), ("CUDA graphs", 5)])
def test_memory_on_cuda_is_that_of_torchs_allocator(how, most, allocating, monkeypatch):
    told = []
    answers = {"synchronize": None, "reset_peak_memory_stats": None, "max_memory_allocated": 3 << 20}
    for name, answer in (answers | {"max_memory_reserved": 5 << 20}).items():
        monkeypatch.setattr(torch.cuda, name, lambda device, name=name, answer=answer: told.append(name) or answer)
    found = allocating("cuda", how)
    assert (found["device_allocated_mib"], found["device_reserved_mib"], found["memory_mib"]) == (3, 5, most)
    assert told[:4] == ["synchronize", "synchronize", "reset_peak_memory_stats", "synchronize"]


def test_on_cuda_operations_are_dear_by_what_the_device_does(monkeypatch):
    def event(key, cpu, device, kind=DeviceType.CPU, annotation=False):
        times = {"self_cpu_time_total": cpu, "self_device_time_total": device}
        return SimpleNamespace(key=key, count=4, device_type=kind, is_user_annotation=annotation, **times)

    events = [
        event("mm", 1000, 6000),
        event("add", 3000, 2000),
        event("gemm", 0, 6000, DeviceType.CUDA),
        event("add_kernel", 0, 2000, DeviceType.CUDA),
        event("mine", 9000, 9000, DeviceType.CUDA, annotation=True),
    ]
    assert profiling._dearest(events, torch.device("cuda"), 2) == [
        {"operation": "mm", "calls": 2, "cpu_ms": 0.5, "device_ms": 3.0, "share": 0.75},
        {"operation": "add", "calls": 2, "cpu_ms": 1.5, "device_ms": 1.0, "share": 0.25},
    ]
    monkeypatch.setattr(profiling, "_profiled", lambda *_: SimpleNamespace(key_averages=lambda: events))
    assert profiling.busy_seconds(None, None, torch.device("cuda"), 4) == pytest.approx(0.002)


def test_each_step_is_measured_with_the_threads_and_products_of_its_recipe(monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda count: told.append(count))
    told = []
    products = torch.backends.cudnn, torch.backends.cuda.matmul

    class Batches:
        device = torch.device("cpu")

        def __call__(self, step):
            return {}

    def play(step, batch):
        told.append([each.allow_tf32 for each in products])

    steps = [bench.Contender(play, Batches(), threads, tf32) for threads, tf32 in ((3, True), (1, False))]
    kept = [each.allow_tf32 for each in products]
    try:
        for step in steps:
            step.seconds(1)
    finally:
        for each, allowed in zip(products, kept, strict=True):
            each.allow_tf32 = allowed
    assert told == [3, [True, True], 1, [False, False]]


@pytest.mark.slow
def test_what_the_new_process_says_of_a_recipe_is_said(ganforge):
    wrong = [*WORDS, "--set", "generator.layers=5", "--set", "dataset.size=24"]
    result = ganforge("bench", "discogan_edges2shoes", *wrong)
    assert result.status == 2
    assert "height and width must be multiples of 16" in result.err
    assert all(line.startswith("error: ") for line in result.err.splitlines())


def test_a_new_process_that_says_nothing_is_named_with_its_status(monkeypatch):
    monkeypatch.setattr(fresh.sys, "executable", "/bin/false")
    with pytest.raises(fresh.RunFailedError, match=r"^the process of the first steps exited with status 1$"):
        fresh.ask(["discogan_toy"])


def test_a_profile_is_a_trace_and_a_table_of_the_dearest_operations(ganforge, started, tmp_path):
    words = ["discogan_toy", "--seconds", "0.2", "--rounds", "1", "--plain", "none", "--set", "compute.compile=false"]
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "mine.txt").write_text("mine")
    (tmp_path / "profile" / "trace.json").write_text("older")
    result = ganforge("bench", *words, "--profile", "profile", "--json")
    assert result.status == 0, result.err
    rows = json.loads(result.out)["operations"]
    assert len(rows) == 10
    shares = [row["share"] for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert 0.3 < sum(shares) <= 1
    # 2 generators and 2 discriminators: 3 + 5 layers each; both judge twice, and in the generators' turn once more.
    (linear,) = [row for row in rows if row["operation"] == "aten::addmm"]
    assert linear["calls"] == pytest.approx(2 * (3 + 5 + 5 + 3 + 5), abs=6)
    with (tmp_path / "profile" / "operations.csv").open() as file:
        assert [row["operation"] for row in csv.DictReader(file)] == [row["operation"] for row in rows]
    assert json.loads((tmp_path / "profile" / "trace.json").read_text())["traceEvents"]
    assert sorted(path.name for path in (tmp_path / "profile").iterdir()) == [
        "mine.txt",
        "operations.csv",
        "trace.json",
    ]


def test_a_profile_where_a_file_is_is_refused_before_anything_is_measured(ganforge, tmp_path):
    (tmp_path / "taken").write_text("")
    result = ganforge("bench", "discogan_toy", "--profile", "taken")
    assert (result.status, result.err) == (2, "error: cannot write to taken: File exists\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name a recipe, or --all for the whole table of this machine; `ganforge recipes` lists them"),
        (
            ["discogan_toy", "--all"],
            "--all has its own recipes; with it, give only --device, --seconds, --minutes, --out",
        ),
        (
            ["--all", "--set", "train.batch=3"],
            "--all has its own recipes; with it, give only --device, --seconds, --minutes, --out",
        ),
    ],
)
def test_a_recipe_or_all_is_measured(words, message, ganforge):
    result = ganforge("bench", *words)
    assert (result.status, result.err) == (2, f"error: {message}\n")
