"""The batch of any step, as a pure function of seed and step."""

import pytest
import torch
from attrs import frozen

from ganforge import Dataset, Drawn, InputError, Prepared, Stored
from ganforge.data.augment import Augment
from ganforge.data.batches import Batches
from ganforge.data.reading import read


@frozen
class Numbers(Dataset):
    """Samples that are their own indices."""

    lengths: tuple[int, int] = (10, 7)
    paired: bool = False

    @property
    def shapes(self):
        return {"A": (1,), "B": (1,)}

    @property
    def groups(self):
        return [["A", "B"]] if self.paired else [["A"], ["B"]]

    def open(self, split):
        return {
            domain: Stored(length, lambda indices: torch.tensor(list(indices)).float()[:, None])
            for domain, length in zip("AB", self.lengths, strict=True)
        }


def batches(dataset=None, batch=4, seed=0, **more):
    dataset = dataset or Numbers()
    sources = read(dataset, "train")
    return Batches(sources, batch=batch, seed=seed, device=torch.device("cpu"), groups=dataset.groups, **more)


def test_any_step_can_be_asked_for_first():
    one, other = batches(), batches()
    forward = [one(step)["A"] for step in range(12)]
    for step in (11, 3, 7, 0):
        assert torch.equal(other(step)["A"], forward[step])


def test_every_epoch_passes_once_over_all_samples_in_its_own_order():
    seen = torch.cat([batches()(step)["A"] for step in range(10)]).flatten().tolist()
    epochs = [seen[start : start + 10] for start in range(0, 40, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_another_seed_gives_another_order():
    assert not torch.equal(batches(seed=0)(0)["A"], batches(seed=1)(0)["A"])


def test_paired_samples_stay_together_and_others_do_not():
    together = batches(Numbers((10, 10), True))
    assert all(torch.equal(together(step)["A"], together(step)["B"]) for step in range(9))
    apart = batches(Numbers((10, 10), False))
    assert any(not torch.equal(apart(step)["A"], apart(step)["B"]) for step in range(9))


def test_fewer_samples_than_a_batch_is_an_error_that_says_what_to_do():
    with pytest.raises(
        InputError, match=r"domain B has 7 training samples, fewer than a batch of 8; set train.batch to 7"
    ):
        batches(batch=8)


def test_pictures_become_floats_from_zero_to_one():
    class Pictures(Numbers):
        def open(self, split):
            return {"A": Stored(2, lambda indices: torch.tensor([[0], [255]], dtype=torch.uint8)[list(indices)])}

    assert sorted(batches(Pictures(), batch=2)(0)["A"].flatten().tolist()) == [0.0, 1.0]


def test_drawn_samples_are_fresh_at_every_step_and_the_same_for_a_step():
    class Noise(Numbers):
        def open(self, split):
            return {"A": Drawn(lambda count, generator: torch.randn(count, 1, generator=generator))}

    one = batches(Noise())
    assert torch.equal(one(3)["A"], one(3)["A"])
    assert not torch.equal(one(3)["A"], one(4)["A"])


def pictures(count=20, side=6):
    return torch.arange(count * 3 * side * side).reshape(count, 3, side, side).remainder(256).to(torch.uint8)


def batches_of(tensor, **settings):
    sources = {domain: Stored(len(tensor), lambda indices: tensor[list(indices)].clone()) for domain in "AB"}
    return Batches(sources, batch=8, seed=0, device=torch.device("cpu"), **settings)


@pytest.mark.parametrize("residency", ["host", "disk"])
def test_a_batch_is_the_same_wherever_the_samples_are(residency):
    here, there = batches_of(pictures(), residency="device"), batches_of(pictures(), residency=residency)
    for step in (0, 1, 2, 7, 3, 4):  # in a row, and out of it
        for domain, samples in here(step).items():
            assert torch.equal(samples, there(step)[domain])


def test_samples_go_where_they_fit(monkeypatch):
    assert batches_of(pictures()).residency == "device"
    monkeypatch.setattr("ganforge.data.batches.free_memory", lambda: 3.9 * pictures().numel())
    assert batches_of(pictures()).residency == "disk"


def test_an_error_while_a_batch_is_fetched_ahead_comes_out_where_the_batch_is_asked_for():
    def load(indices):
        if 5 in list(indices):
            raise InputError("the disk is gone")
        return torch.zeros(len(list(indices)), 1, dtype=torch.uint8)

    sources = {"A": Stored(16, load)}
    fetched = Batches(sources, batch=8, seed=0, device=torch.device("cpu"), residency="disk")
    with pytest.raises(InputError, match="the disk is gone"):
        fetched(0), fetched(1)


def test_augmented_batches_depend_on_seed_and_step_alone():
    changed = Augment(flip=0.5, shift=0.2, brightness=0.1, contrast=0.2)
    one, other = batches_of(pictures(), augment=changed), batches_of(pictures(), augment=changed, residency="disk")
    plain = batches_of(pictures())
    for step in (3, 0):
        assert torch.equal(one(step)["A"], other(step)["A"])
        assert not torch.equal(one(step)["A"], plain(step)["A"])
        assert 0 <= float(one(step)["A"].min()) <= float(one(step)["A"].max()) <= 1


def test_paired_pictures_are_moved_alike():
    together = batches_of(pictures(), groups=[["A", "B"]], augment=Augment(flip=0.5, shift=0.3))
    assert all(torch.equal(together(step)["A"], together(step)["B"]) for step in range(5))


def test_paired_domains_of_different_lengths_are_refused():
    with pytest.raises(
        InputError, match=r"domains that belong together need the same number of samples, got \{'A': 10, 'B': 7\}"
    ):
        batches(Numbers((10, 7), True))


def test_samples_to_be_prepared_need_a_plugin_that_offers_a_cache():
    @frozen
    class Files(Numbers):
        def open(self, split):
            return {"A": Prepared(["file"], torch.tensor, "")}

    with pytest.raises(InputError, match="data train A must be prepared, but no plugin offers a cache"):
        read(Files(), "train")


def test_nothing_waits_for_a_cuda_device_when_a_batch_is_sent_to_it(monkeypatch):
    sent_as = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: sent_as.append("pinned") or tensor)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, _, non_blocking: sent_as.append(non_blocking) or tensor)
    drawn = Drawn(lambda count, random: torch.rand(count, 2, generator=random))
    batches = Batches({"A": drawn}, batch=4, seed=0, device=torch.device("cpu"))
    batches.device = torch.device("cuda")
    batches(0)
    assert sent_as == ["pinned", True]
