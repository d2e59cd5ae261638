"""A small convolutional network, trained on the train split to predict labels of pictures and translations.

It judges all runs that are compared, so it depends only on the pictures and the settings, not on a run's seed, step or
device. It is kept in memory and in the user's cache, and is trained again only for other pictures or settings.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganforge import InputError, Stored, as_float, random_generator
from ganforge_evaluations import kept

BATCH = 64
SMALLEST = 4  # pixels of the last map's shorter side, at most
KEPT = 4
PROCEDURE = 1  # increase it if the same pictures must give another network
LEARNT_FROM = 10_000  # largest number of training pictures of a domain

Loss = Callable[[Tensor, Tensor], Tensor]

_kept: OrderedDict[str, nn.Module] = OrderedDict()


def choose(samples: Stored, limit: int) -> list[int]:
    """Return the sorted indices of all samples, or of a fixed selection within the limit."""
    if samples.length <= limit:
        return list(range(samples.length))
    return torch.randperm(samples.length, generator=random_generator(0, "choose"))[:limit].sort().values.tolist()


def learn(pictures: Tensor, targets: Tensor, loss: Loss, *, width: int, steps: int) -> nn.Module:
    """Return a network that predicts the targets from the pictures; call it through `read`.

    Args:
        pictures: uint8 [N, C, H, W].
        targets: float [N, T].
        loss: a torch function of output and target, [n, T] each, that returns a scalar.
        width: channels of the first layer.
        steps: steps of AdamW, on batches of 64 pictures.
    """
    about = (PROCEDURE, torch.__version__, tuple(pictures.shape), loss.__name__, width, steps)
    digest = hashlib.blake2b(repr(about).encode(), digest_size=16)
    for tensor in (pictures, targets):
        digest.update(tensor.contiguous().numpy().data)
    key = digest.hexdigest()
    if key not in _kept:
        with torch.enable_grad():
            _kept[key] = _remembered(key, pictures, targets, loss, width, steps)
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    return _kept[key]


def read(network: nn.Module, pictures: Tensor) -> Tensor:
    """Return the network's predictions for pictures, float in [0, 1] or uint8, [N, C, H, W]: float [N, T]."""
    with torch.no_grad():
        return torch.cat([network(as_float(part)) for part in torch.split(pictures, 4 * BATCH)])


def _remembered(key: str, pictures: Tensor, targets: Tensor, loss: Loss, width: int, steps: int) -> nn.Module:
    """Return the network from the user's cache; otherwise train it, and store it there if possible."""
    state = None
    with suppress(InputError):  # there is no cache folder
        state = kept.load("learnt", key)
    if state is None:
        network = _train(pictures, targets, loss, width, steps)
        with suppress(InputError, OSError):
            kept.save("learnt", key, network.state_dict())
        return network
    network = make_network(tuple(pictures.shape[1:]), targets.shape[1], width, random_generator(0, "learn"))
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def _train(pictures: Tensor, targets: Tensor, loss: Loss, width: int, steps: int) -> nn.Module:
    random = random_generator(0, "learn")
    network = make_network(tuple(pictures.shape[1:]), targets.shape[1], width, random)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(len(pictures), (BATCH,), generator=random)
        shown = as_float(pictures[chosen]).contiguous(memory_format=torch.channels_last)  # halves the time
        value = loss(network(spoil(shown, random)), targets[chosen])
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        rates.step()
    return network.eval().requires_grad_(False)


def make_network(shape: tuple[int, ...], outputs: int, width: int, random: torch.Generator) -> nn.Module:
    """Make a network that halves the picture until its shorter side has at most four pixels.

    Args:
        shape: (channels, height, width) of a picture.
        outputs: how many numbers it returns for each picture.
        width: channels of the first layer; four times as many from the third on.
        random: draws the weights.
    """
    channels, *sides = shape
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):  # the layers' own initial weights are replaced
        while not layers or min(sides) > SMALLEST:
            after = min(4 * width, width * 2 ** (len(layers) // 3))
            layers += [nn.Conv2d(channels, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            channels, sides = after, [(side + 1) // 2 for side in sides]
        network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * sides[0] * sides[1], outputs))
    for module in network:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=random)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    return network


def spoil(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Make clean pictures as imperfect as translations: shift, scale, blur, change brightness, add noise.

    The amounts are random, within limits where a person still sees the same object; nothing is mirrored or rotated.

    Args:
        pictures: float [N, C, H, W] in [0, 1].
        random: draws all amounts.
    """

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(len(pictures), *shape, generator=random) * (high - low) + low

    scale = uniform(0.92, 1.08, 1, 1)
    frame = torch.cat([scale * torch.eye(2), uniform(-0.08, 0.08, 2, 1)], dim=2)  # [N, 2, 3]
    grid = functional.affine_grid(frame, list(pictures.shape), align_corners=False)
    found = functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    for start in (len(found) // 3, 2 * len(found) // 3):  # a third stays sharp, the last third is blurred twice
        found[start:] = _blur(found[start:])
    noise = torch.randn(found.shape, generator=random)
    found.sub_(0.5).mul_(uniform(0.7, 1.2, 1, 1, 1)).add_(uniform(0.4, 0.6, pictures.shape[1], 1, 1))
    return found.addcmul_(noise, uniform(0, 0.06, 1, 1, 1))


def _blur(pictures: Tensor) -> Tensor:
    """Average each pixel with its neighbours, in a window of 5x5 with weights 1 4 6 4 1."""
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    count = pictures.shape[1]
    padded = functional.pad(pictures, (2, 2, 2, 2), mode="replicate")
    padded = padded.contiguous(memory_format=torch.channels_last)  # takes a third of the time
    rows = functional.conv2d(padded, line.expand(count, 1, 1, 5), groups=count)
    return functional.conv2d(rows, line.reshape(5, 1).expand(count, 1, 5, 1), groups=count)
