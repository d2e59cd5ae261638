"""The memory that a run needs: said before its first step, refused where there is not as much, and nothing moves."""

import re
import subprocess
import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ganforge.runs import memory_need
from ganforge.runs.memory_need import Need
from ganforge.system.memory import Room
from ganforge.training.step_memory import Line, size_of
from ganforge_bench.bench import prepared
from tests.conftest import draw_pairs

# Dropout draws, batch normalisation and the pool keep buffers, the average makes some on first use.
RECIPE = """\
extends = "discogan_edges2shoes"
[dataset]
root = "{root}"
size = 32
[generator]
width = 8
[discriminator]
width = 8
[values.shown]
use = "pool"
[updates.ema]
use = "ema"
[evaluations]
pairs = false
[train]
steps = 4
batch = 4
[compute]
precision = "fp32"
[record]
log_every = 2
checkpoint_every = 2
sample_every = 0
"""


@pytest.fixture
def pictures(tmp_path):
    """A recipe of four steps on a few small pictures."""
    path = tmp_path / "pictures.toml"
    path.write_text(RECIPE.format(root=draw_pairs(tmp_path / "pairs", (("train", 24), ("val", 4)), 64)))
    return path


@pytest.fixture
def counted(monkeypatch):
    """What is needed without what the process has already, however small it is."""
    monkeypatch.setattr(memory_need, "NO_QUESTION", 0.0)
    monkeypatch.setattr(memory_need, "resident_memory", lambda: 0.0)
    monkeypatch.setattr(memory_need, "LATER", 0.0)


def state_of(run):
    """All that a run has learnt and keeps."""
    latest = (run / "checkpoints" / "latest").read_text()
    files = sorted((run / "checkpoints" / latest).glob("*.safetensors"))
    return {f"{file.stem}.{key}": value for file in files for key, value in load_file(file).items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def limited(monkeypatch, free, whole):
    monkeypatch.setattr(memory_need, "room_on", lambda device: Room(free, whole))


def test_a_run_that_says_what_it_needs_learns_the_same_also_when_it_goes_on(pictures, ganforge, tmp_path, monkeypatch):
    said = ganforge("run", pictures, "--out", "silent")
    assert (said.status, "memory:" in said.out) == (0, False)  # so little is no question
    monkeypatch.setattr(memory_need, "NO_QUESTION", 0.0)
    assert ganforge("run", pictures, "--set", "train.steps=2", "--out", "told").status == 0
    told = tmp_path / "told" / "pictures" / "0001"
    went_on = ganforge("resume", told, "--set", "train.steps=4")
    assert re.search(r"^memory: about \d+\.\d\d GiB of [\d,]+\.\d\d GiB$", went_on.out, re.MULTILINE)
    assert same(state_of(tmp_path / "silent" / "pictures" / "0001"), state_of(told))


def test_what_does_not_fit_is_refused_with_a_batch_that_does(pictures, counted, ganforge, monkeypatch):
    most = 30 * 2**20
    limited(monkeypatch, most, most)
    sets = ["--set", "dataset.size=64", "--set"]
    refused = ganforge("run", pictures, *sets, "train.batch=12")
    assert refused.status == 1
    assert re.search(r"out of memory: batch 12 needs about 0\.\d\d GiB, but there are 0\.03 GiB: try", refused.err)
    fits, parts = re.search(
        r"--set train\.batch=(\d+), or --set train\.accumulate=(\d+)$", refused.err.strip()
    ).groups()
    assert 1 <= int(fits) < 12
    for more in ([f"train.batch={fits}"], ["train.batch=12", "--set", f"train.accumulate={parts}"]):
        fitting = ganforge("run", pictures, *sets, *more)
        assert (fitting.status, fitting.out.count("GiB of 0.03 GiB")) == (0, 1), fitting.err


def test_where_not_even_one_sample_fits_it_says_what_matters(pictures, counted, ganforge, monkeypatch):
    limited(monkeypatch, 1000, 1000)
    said = ganforge("run", pictures).err
    assert "even a batch of 1 does not fit; use smaller samples or narrower networks" in said


def test_what_the_system_may_still_make_free_is_a_warning(pictures, counted, ganforge, monkeypatch):
    limited(monkeypatch, 2**20, 2**40)
    done = ganforge("run", pictures)
    assert done.status == 0
    assert "of memory are needed, but only 0.00 GiB are free now" in done.out + done.err


def test_a_run_that_goes_on_cannot_take_another_batch(pictures, counted, ganforge, tmp_path, monkeypatch):
    assert ganforge("run", pictures, "--set", "train.steps=2").status == 0
    limited(monkeypatch, 1000, 1000)
    refused = ganforge("resume", tmp_path / "runs" / "pictures" / "0001", "--set", "train.steps=4")
    assert refused.status == 1
    assert refused.err.strip().endswith("resume where there is more")


def test_a_component_that_breaks_on_small_batches_leaves_it_unsaid(pictures, counted, ganforge, tmp_path):
    (tmp_path / "picky.py").write_text(
        "from ganforge import hookimpl\ndef picky(fake):\n    'Picky.'\n    assert len(fake) == 4 or fake.is_meta\n"
        "    return fake.mean()\n@hookimpl\ndef ganforge_register(register):\n    register.loss('picky', picky)\n"
    )
    plugin = ["--plugin", tmp_path / "picky.py", "--set", "losses.picky={use='picky'}"]
    done = ganforge("run", pictures, *plugin)
    assert (done.status, "memory:" in done.out) == (0, False)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_what_an_optimizer_will_keep_is_known_before_it_does(optimizer, toy, understand, make_engine):
    sets = [f"optimizer.use={optimizer}", "optimizer.lr=0.01"]
    plan, (engine, batches) = understand(toy, *sets), make_engine(toy, *sets)
    player = engine.players["generator"]
    foreseen = memory_need._state_of(plan, "generator", player.parameters)
    engine.step(0, batches(0))
    kept = [value for state in player.optimizer.state.values() for value in state.values()]
    assert foreseen == size_of([value for value in kept if isinstance(value, torch.Tensor)])


def test_the_largest_batch_that_fits_lies_below_the_first_line_that_does_not():
    found = Need(100.0, [Line(50.0, 1.0), Line(0.0, 10.0), Line(20.0, 0.0)])
    assert [found.at(batch) for batch in (1, 10)] == [151.0, 200.0]
    assert [found.fitting(most) for most in (149.0, 151.0, 159.0, 205.0)] == [0, 1, 5, 10]
    assert found.at(found.fitting(205.0)) <= 205.0


def test_on_cuda_there_is_what_is_free_and_what_torch_holds(monkeypatch):
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (600, 1000))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda device: 50)
    assert memory_need.room_on(torch.device("cuda")) == Room(650, 650)


METHODS = ["cut", "dcgan", "dualgan", "gcgan", "munit", "pix2pix", "pix2pixhd", "r3gan", "stargan", "wgan", "wgan_gp"]


@pytest.mark.parametrize("method", ["cyclegan", *(pytest.param(name, marks=pytest.mark.slow) for name in METHODS)])
def test_no_method_learns_otherwise_for_having_been_measured(method, understand):
    learnt = []
    for measured in (False, True):
        plan = understand(f"{method}_turntable", "train.batch=4", "compute.compile=false")
        torch.manual_seed(0)
        plan, _, engine, batches, _ = prepared(plan, torch.device("cpu"), real_data=False, report=lambda *_: None)
        if measured:
            one = {name: samples[:1] for name, samples in batches(0).items()}
            assert memory_need.need_of(plan, engine, one, 4, 8).at(4) > 2**20
        for step in range(2):
            engine.step(step, batches(step))
        state = {f"{name}.{key}": v for name, net in engine.networks.items() for key, v in net.state_dict().items()}
        state |= {f"{label}.{key}": v for label, held in engine.held.items() for key, v in held.state().items()}
        learnt.append({**state, "random": torch.get_rng_state()})
    assert same(*learnt)


@pytest.mark.slow
def test_under_a_real_limit_the_batch_that_is_proposed_runs(pictures, tmp_path):
    program = (
        "import resource, torch; from ganforge.system.memory import resident_memory; from ganforge.cli.main import main\n"
        "limit = int(resident_memory('VmSize')) + 2**30; resource.setrlimit(resource.RLIMIT_AS, (limit, limit)); main()"
    )
    for split, count in (("train", 256), ("val", 4)):
        (tmp_path / "many" / split).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (128, 64), (number, 90, 160)).save(tmp_path / "many" / split / f"{number}.png")

    def run(batch):
        sets = [f"dataset.root={tmp_path / 'many'}", "dataset.size=64", f"train.batch={batch}", "train.steps=2"]
        sets += ["generator.width=32", "discriminator.width=32", "compute.threads=1"]
        words = [sys.executable, "-c", program, "run", str(pictures), *(f"--set={text}" for text in sets)]
        return subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)

    refused = run(128)
    assert refused.returncode == 1, refused
    fits = int(re.search(r"--set train\.batch=(\d+)", refused.stderr.strip())[1])
    fitting = run(fits)
    assert fitting.returncode == 0, fitting
