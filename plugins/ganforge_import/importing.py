"""Converting state dicts of public networks to a folder of ganforge weights with their recipe."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import evolve, field, frozen
from torch import Tensor

from ganforge import (
    UNWRITABLE,
    Coupling,
    Folder,
    InputError,
    Network,
    Plan,
    RunFailedError,
    lock_text,
    make_dataset,
    nearest,
    outlines_of,
    printable,
    shapes_of,
    write_weights,
)
from ganforge_import.architectures import Architecture, nearest_architecture
from ganforge_import.methods import METHODS, USUAL, Method, Name, method_of, network_named
from ganforge_import.state import State, read_state

SHOWN = 5  # tensors named if some do not fit
RECIPE = "recipe.toml"
LEAVES = {"kernel": "filt"}  # ganforge's name of a tensor -> that of the public code
BATCH_COUNT = "num_batches_tracked"  # missing in files from before torch 0.4.1

Understand = Callable[[Sequence[str]], Plan]


@frozen(eq=False)
class Given:
    """A file, its content, and the network that it becomes."""

    path: Path
    network: Network
    state: State = field(repr=False)
    architecture: Architecture


@frozen(eq=False)
class Imported:
    """Weights for a plan's networks: each network's file, and its tensors by ganforge's names."""

    plan: Plan
    given: Sequence[Given]
    tensors: Mapping[str, State] = field(repr=False)

    @property
    def not_finite(self) -> list[str]:
        """The tensors with numbers that are not finite, by network and name."""
        named = ((f"{name}.{key}", tensor) for name, state in self.tensors.items() for key, tensor in state.items())
        return [name for name, tensor in named if not tensor.isfinite().all()]


def gather(
    names: Sequence[str], wanted: Name, understand: Understand, size: int | None, sets: Sequence[str], *, bgr: bool
) -> Imported:
    """Read files and match them to the networks of their method.

    Args:
        names: `FILE` or `FILE=NETWORK` each.
        wanted: a method, or the network that every file must hold.
        understand: resolves the method's recipe with overrides `key=value`.
        size: height and width of pictures in the recipe.
        sets: the user's own overrides.
        bgr: whether the networks were trained on BGR pictures.

    Raises:
        InputError: a file cannot be read, is not a known network, or does not fit; the message names its tensors.
    """
    method = method_of(wanted)
    data = [f"dataset.use={method.dataset}", "dataset.root=your_data"]
    before = understand([*data, *sets])
    given = [_given(name, method, before.coupling, wanted) for name in names]
    for place, one in enumerate(given):
        if other := next((g for g in given[:place] if g.network.name == one.network.name), None):
            raise InputError(f"{other.path} and {one.path} both become {one.network.name}: write FILE=NETWORK")
    plan = understand([*data, *_overrides(given, method, before, size), *sets])
    outlines = outlines_of(plan, shapes_of(plan, make_dataset(plan)))
    tensors = {}
    for one in given:
        fitted = _fitted(one, outlines[one.network.name].state_dict())
        tensors[one.network.name] = _turned(one, fitted) if bgr else fitted
    return Imported(plan, given, tensors)


def _given(name: str, method: Method, coupling: Coupling, wanted: Name) -> Given:
    """Read a file, and find which public network it is and which network it becomes."""
    networks = {network.name: network for network in coupling.networks}
    path, equals, named = name.rpartition("=")
    file = Path(path if equals and not os.path.exists(name) else name)
    state = read_state(file)
    architecture = nearest_architecture({key: tuple(tensor.shape) for key, tensor in state.items()})
    if architecture is None:
        known = "ResNet, U-Net, PatchGAN and PixelGAN of CycleGAN, pix2pix and CUT, and DiscoGAN's networks"
        keys = ", ".join(map(printable, list(state)[:3]))
        raise InputError(f"{file} is not a known network: it holds {keys} ...; known are the {known}")
    if wanted not in METHODS and wanted not in architecture.names:
        methods = ", ".join(METHODS)
        raise InputError(
            f"{file} is '{architecture.names[0]}', not '{wanted}'; to accept any network, give --as a method: {methods}"
        )
    if file != Path(name):
        chosen = named
    else:
        usual = method.files.get(USUAL[architecture.role], architecture.role)
        chosen = network_named(file.stem, method, networks) or usual
    if chosen not in networks:
        theirs = f"{chosen} in their code is {method.files.get(chosen)}"
        hint = theirs if chosen in method.files else nearest(chosen, networks)
        raise InputError(f"{file}: no network '{printable(chosen)}'; {hint}")
    network = networks[chosen]
    if network.role != architecture.role:
        raise InputError(f"{file} is a {architecture.role} '{architecture.names[0]}', so it cannot become {chosen}")
    return Given(file, network, state, architecture)


def _overrides(given: Sequence[Given], method: Method, before: Plan, size: int | None) -> Iterator[str]:
    """Yield the settings inferred from the files as overrides of the method's recipe."""
    told: dict[str, dict[str, Any]] = {}
    for one in given:
        settings = dict(one.architecture.settings)
        if one.architecture.use == "unet":
            settings["dropout"] = 0.5 if method.dropout else 0.0
        mine, role = {"use": one.architecture.use, **settings}, one.network.role
        first = told.setdefault(role, mine)
        if first is mine or first != mine:
            table = role if first is mine else f"{role}.{one.network.name}"
            yield from (f"{table}.{key}={json.dumps(value)}" for key, value in mine.items())
    if any(key.endswith("running_var") for one in given for key in one.state):
        yield "train.norm=batch"  # as in the public code
    channels = _channels(given)
    if len({*channels.values()}) == 1:
        yield f"dataset.channels={next(iter(channels.values()))}"
    else:
        yield from (f"dataset.{domain}.channels={count}" for domain, count in channels.items())
    sizes = [one.architecture.size for one in given if one.architecture.size is not None]
    if size is not None or sizes:
        sides = (size, size) if size is not None else sizes[0]
        yield f"dataset.size={list(sides)}"
        load, usual = before.dataset.settings.get("load"), before.dataset.settings["size"]
        if isinstance(load, int) and isinstance(usual, int):  # scaled as in the method's recipe
            yield f"dataset.load={[round(side * load / usual) for side in sides]}"


def _channels(given: Sequence[Given]) -> dict[str, int]:
    """Return the channels of each domain; a domain that no network shows has those of the others."""
    found: dict[str, int] = {}
    for one in sorted(
        given, key=lambda one: one.network.role != "generator"
    ):  # generators show each domain's channels separately
        domains, channels = one.network.domains, one.architecture.channels
        if len(channels) == len(domains):
            for domain, count in zip(domains, channels, strict=True):
                found.setdefault(domain, count)
        elif channels and not found.keys() >= {*domains}:  # of A and B stacked
            for domain in domains:
                found.setdefault(domain, max(1, channels[0] // len(domains)))
    usual = next(iter(found.values()), 3)
    return {domain: found.get(domain, usual) for domain in ("A", "B")}


def _fitted(given: Given, ours: Mapping[str, Tensor]) -> State:
    """Return the tensors under the names and in the types of ganforge's network.

    Raises:
        InputError: some are missing, left over, or of another shape.
    """
    names = dict(_public_names(given, ours))
    there = {**given.state}
    problems, found = [], {}
    for public, own in names.items():
        tensor = there.pop(public, None)
        if tensor is None and own.endswith(BATCH_COUNT):
            tensor = torch.zeros((), dtype=torch.int64)
        if tensor is None:
            problems.append(f"{public} is missing")
        elif tensor.shape != ours[own].shape:
            problems.append(f"{public} has the shape {list(tensor.shape)}, expected {list(ours[own].shape)}")
        elif tensor.is_floating_point() != ours[own].is_floating_point() or tensor.is_complex():
            problems.append(f"{public} holds {str(tensor.dtype).removeprefix('torch.')}")
        else:
            found[own] = tensor.detach().to(ours[own].dtype).contiguous()
    problems += [f"{printable(key)} does not belong to it" for key in there]
    if problems:
        rest = [f"{len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        told = "; ".join([*problems[:SHOWN], *rest])
        nearest_one = given.architecture.names[0]
        raise InputError(f"{given.path} does not fit '{nearest_one}', the nearest known network: {told}")
    return found


def _public_names(given: Given, ours: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Yield the public name and ganforge's name of each tensor: both list their modules in the same order."""
    modules = list(dict.fromkeys(key.rpartition(".")[0] for key in ours))
    if len(modules) != len(given.architecture.modules):
        name, role = given.architecture.names[0], given.network.role
        raise InputError(f"the recipe's {role} has other layers than '{name}' in {given.path}: leave them out of --set")
    public = dict(zip(modules, given.architecture.modules, strict=True))
    for key in ours:
        module, _, leaf = key.rpartition(".")
        yield f"{public[module]}.{LEAVES.get(leaf, leaf)}", key


def _turned(given: Given, tensors: State) -> State:
    """Convert a BGR network to RGB: reverse the colours where tensors take or produce them."""
    modules = list(dict.fromkeys(key.rpartition(".")[0] for key in tensors))
    own = dict(zip(given.architecture.modules, modules, strict=True))
    turned = dict(tensors)
    for module, dimension in given.architecture.turned.items():
        weight, bias = f"{own[module]}.weight", f"{own[module]}.bias"
        count = tensors[weight].shape[dimension]
        if count % 3:
            raise InputError(f"--bgr: {given.path} has {count} channels, not three colours")
        order = torch.arange(count).reshape(-1, 3).flip(1).flatten()  # a discriminator of pairs takes two pictures
        turned[weight] = tensors[weight].index_select(dimension, order)
        if bias in tensors and given.architecture.makes(module):
            turned[bias] = tensors[bias].index_select(0, order)
    return turned


def require_place(out: Path) -> Path:
    """Return the folder to write, with links resolved; raise an InputError if it exists."""
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"'{out}' exists already: choose another --out")
    return Path(os.path.realpath(out))


def write(imported: Imported, target: Path) -> None:
    """Write a folder of weights with their recipe, whole or not at all.

    Raises:
        RunFailedError: the disk is full or cannot be written.
    """
    about = ", ".join(f"{one.network.name} is {one.architecture.names[0]} of {one.path.name}" for one in imported.given)
    origins = {one.network.name: f"{one.path.name} {_digest(one.path)}" for one in imported.given}
    plan = evolve(imported.plan, recipe=evolve(imported.plan.recipe, summary=f"Imported weights: {printable(about)}."))
    recipe = lock_text(plan, {"name": target.name, "imported": origins}, passed_on=True)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with Folder(target.parent) as parent, parent.stage(target.name) as folder:
            for name, tensors in imported.tensors.items():
                write_weights(folder, 0, name, tensors, recipe)
            folder.write(RECIPE, recipe)
    except OSError as error:
        kind = RunFailedError if error.errno in UNWRITABLE else InputError
        raise kind(f"'{target}' cannot be written: {error.strerror or error}") from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256 {hashlib.file_digest(file, 'sha256').hexdigest()}"
