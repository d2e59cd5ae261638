"""The paper's three models train as they always did: 20 steps against numbers that were written down.

On the processor and torch that wrote them every bit must agree; elsewhere sums are made in another order, and they agree
as far as that allows. To write them anew: `GANFORGE_FREEZE=1 pytest tests/frozen`.
"""

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch

FILE = Path(__file__).parent / "results.json"
STEPS = 20
MODELS = {"gan": ["losses.reconstruction=false"], "gan-recon": [], "discogan": []}
PICTURES = """\
[dataset]
use = "edges2photo"
root = "ROOT"
size = 32
[coupling]
use = "discogan"
[generator]
use = "conv"
width = 4
[discriminator]
use = "conv"
width = 4
[losses.adversarial]
use = "gan"
[losses.reconstruction]
use = "l2"
[losses.features]
use = "feature-matching"
[optimizer]
use = "adam"
weight_decay = 1e-4
[train]
steps = 20
batch = 6
"""


def machine() -> str:
    """Name all that decides in which order sums are made."""
    name = torch.cpu.get_capabilities().get("cpu_name", "")
    return f"{torch.__version__} {torch.backends.cpu.get_cpu_capability()} {name}"


def play(engine, shape: tuple[int, ...]) -> dict[str, object]:
    """Train on random batches; return every loss of every step, and a digest of all weights and statistics."""
    random = torch.Generator().manual_seed(7)
    losses = []
    for step in range(STEPS):
        batch = {domain: torch.rand(6, *shape, generator=random) for domain in "AB"}
        losses.append({player: found.tolist() for player, found in engine.step(step, batch).items()})
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(engine.networks):
        for key, value in sorted(engine.networks[name].state_dict().items()):
            digest.update(f"{name}.{key}".encode() + value.contiguous().numpy().tobytes())
    return {"losses": losses, "digest": digest.hexdigest()}


@pytest.mark.parametrize(
    ("model", "rhythm"),
    [
        pytest.param("gan", "both", marks=pytest.mark.slow),
        pytest.param("gan-recon", "both", marks=pytest.mark.slow),
        ("discogan", "both"),
        ("discogan", "alternate"),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("pictures", [False, True], ids=["points", "pictures"])
def test_twenty_steps_give_the_numbers_of_always(model, pictures, precision, rhythm, toy, pairs, tmp_path, make_engine):
    source = toy
    if pictures:
        source = tmp_path / "pictures.toml"
        source.write_text(PICTURES.replace("ROOT", str(pairs)))
    sets = [f"coupling.use={model}", *MODELS[model], f"compute.precision={precision}"]
    if rhythm == "alternate":
        sets += ["train.every.discriminator=3", "train.alternate=true"]
    name = f"{model} {'pictures' if pictures else 'points'} {precision} {rhythm}"
    shape = (3, 32, 32) if pictures else (2,)
    made = {way: play(make_engine(source, *sets, f"compute.compile={way}")[0], shape) for way in ("false", "trace")}
    assert made["false"] == made["trace"]
    found = json.loads(FILE.read_text()) if FILE.exists() else {}
    if os.environ.get("GANFORGE_FREEZE"):
        found = {"machine": machine(), **{key: value for key, value in found.items() if key != "machine"}}
        found[name] = made["false"]
        FILE.write_text(json.dumps(found, indent=0))
        return
    if found["machine"] == machine():
        assert made["false"] == found[name]
    for mine, theirs in zip(made["false"]["losses"], found[name]["losses"], strict=True):
        for player, values in theirs.items():
            assert mine[player] == pytest.approx(values, rel=0.05 if precision == "bf16" else 2e-3, abs=1e-3)
