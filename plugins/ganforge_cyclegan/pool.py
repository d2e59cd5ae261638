"""A history of translations for CycleGAN's discriminators (section 4, "Training details")."""

from typing import Annotated

import torch
from attrs.validators import ge, le
from torch import Tensor, nn


class Pool(nn.Module):
    """A pool of past fakes (Shrivastava et al. 2017, section 2.3), so that discriminators do not forget them.

    While the pool fills, every fake is stored and shown. Afterwards, with probability 1/2, a fake replaces a random one
    in the pool, which is shown instead. Each direction has its own pool, which is saved with the run.

    Args:
        size: size of the pool; 50 in the paper.
    """

    count: Tensor
    past: Tensor | None

    def __init__(self, *, size: Annotated[int, ge(1), le(65_536)] = 50) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("count", torch.zeros(1, dtype=torch.long))
        self.register_buffer("past", None)  # [size, *shape], once a fake has shown its shape

    def generator(self, fake: Tensor) -> Tensor:
        """The generator is judged by its present fakes."""
        return fake

    def discriminator(self, fake: Tensor) -> Tensor:
        """Exchange the fakes, [N, *shape], one after the other."""
        if self.past is None:
            self.past = fake.new_zeros(self.size, *fake.shape[1:])
        return torch.cat([self._exchange(one, self.past) for one in torch.split(fake, 1)])

    def _exchange(self, fake: Tensor, past: Tensor) -> Tensor:
        full = self.count >= self.size  # [1]; nothing here waits for the device
        place = torch.where(full, torch.randint(self.size, (1,), device=fake.device), self.count)
        enters = ~full | (torch.rand(1, device=fake.device) < 0.5)
        enters = enters.view(-1, *(1 for _ in fake.shape[1:]))
        found = past.index_select(0, place)
        past.index_copy_(0, place, torch.where(enters, fake, found))
        self.count.copy_((self.count + 1).clamp(max=self.size))
        return torch.where(enters & full.view_as(enters), found, fake)
