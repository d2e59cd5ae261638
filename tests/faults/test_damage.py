"""Checkpoints of real runs, damaged in every way that a disk can: each damage is named, or proven harmless."""

import random
import shutil

import pytest
import torch

from ganforge.errors import InputError
from ganforge.runs import checkpoint


@pytest.fixture
def saved(toy, ganforge, tmp_path):
    """A checkpoint of a run, and what is in it."""
    assert ganforge("run", toy).status == 0
    folder = tmp_path / "runs" / "toy" / "0001" / "checkpoints" / "step-00000008"
    return folder, contents(folder)


def contents(folder):
    """Load all there is, as resuming does; every value as bytes or JSON."""
    checkpoint.verify(folder)
    tensors = {}
    found = {"training": checkpoint.pack(checkpoint.load_training(folder), tensors)}
    for path in sorted(folder.glob("*.safetensors")):
        if path.name != "training.safetensors":
            loaded, metadata = checkpoint.read_tensors(path)
            tensors |= {f"{path.name} {key}": value for key, value in loaded.items()}
            found[path.name] = metadata
    found["bytes"] = {key: value.contiguous().flatten().view(torch.uint8).tolist() for key, value in tensors.items()}
    return found


def damage(folder, expected, path, data):
    """Write a damaged file and load; return whether it was refused, by name."""
    whole = path.read_bytes()
    path.write_bytes(data)
    try:
        found = contents(folder)
    except InputError as error:
        assert path.name in str(error)  # noqa: PT017
        return True
    else:
        assert found == expected, f"a wrong {path.name} was loaded without a word"
        return False
    finally:
        path.write_bytes(whole)


def flips(folder, expected, count):
    """Flip random bits of each file, one at a time."""
    numbers = random.Random(0)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for _ in range(count):
            changed = bytearray(whole)
            changed[numbers.randrange(len(whole))] ^= 1 << numbers.randrange(8)
            damage(folder, expected, path, changed)


def cuts(folder, expected, every):
    """Cut each file: at every so-manieth byte, at its ends, and around the end of its header."""
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        header = 8 + int.from_bytes(whole[:8], "little") if path.suffix == ".safetensors" else 0
        places = {0, 1, 7, 8, 9, header - 1, header, header + 1, len(whole) - 1, *range(0, len(whole), every)}
        for place in sorted(place for place in places if 0 <= place < len(whole)):
            assert damage(folder, expected, path, whole[:place]), f"{path.name} cut at {place} was not refused"


def test_flipped_bits_and_cuts_are_refused_by_name_or_harmless(saved):
    flips(*saved, 20)
    cuts(*saved, 2000)


@pytest.mark.slow
def test_a_thousand_flipped_bits_of_each_file_and_many_cuts(saved):
    flips(*saved, 1000)
    cuts(*saved, 25)


def test_a_file_that_is_not_there_or_is_another_ones_is_named(saved):
    folder, _ = saved
    for path in sorted(folder.iterdir()):
        if path.name == "state.json":
            continue
        aside = path.rename(path.with_suffix(".gone"))
        with pytest.raises(InputError, match=path.name):
            checkpoint.verify(folder)
        shutil.copy(folder / ("D_A.safetensors" if path.name != "D_A.safetensors" else "G_AB.safetensors"), path)
        with pytest.raises(InputError, match=path.name):
            checkpoint.verify(folder)
        aside.replace(path)
