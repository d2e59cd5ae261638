"""Whether a translation turns with its input (Kim et al. 2017, section 3.2.1, Figures 5, 6 and 8)."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import numpy as np
import torch
from attrs import evolve, frozen
from attrs.validators import ge
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from ganforge import Findings, InputError, Split, Trained, as_float, random_generator
from ganforge_evaluations.learnt import LEARNT_FROM, choose, learn, read
from ganforge_evaluations.model_share import model_share
from ganforge_evaluations.pictures import between, few, stored

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Thing = TypeVar("Thing")
DOMAINS = ("A", "B")
HALF_TURN = 180.0
TINY = 1e-3  # degrees of deviation that count as none
FAIR = 0.5  # share of an angle's predictions in a perfect translation, from which it counts as reached
COLUMNS, MODELS = 13, 2  # of `turning`, at most
CELL = 0.62  # inches of its pictures
JITTER = 0.2  # of the distance between angles
GAP = 2  # pixels between them

Picture = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@frozen(eq=False)
class Views:
    """Pictures of a domain, uint8 [N, C, H, W], their azimuths in [-180, 180) degrees [N], and all their labels."""

    pictures: Tensor
    angles: Tensor
    labels: Mapping[str, Sequence[Any]]

    @property
    def seen_from(self) -> list[tuple[Any, ...]]:
        """Azimuth and, if known, elevation of each picture."""
        elevations = self.labels.get("elevation", [None] * len(self.pictures))
        return list(zip(self.angles.tolist(), elevations, strict=True))


@frozen(eq=False)
class Turn:
    """A direction's inputs and translations, float [N, C, H, W]; the azimuths predicted for both, [N]; its metrics."""

    direction: str
    inputs: Views
    translations: Tensor
    read_inputs: Tensor
    read_translations: Tensor
    measured: Mapping[str, float]


def azimuth(
    trained: Trained,
    *,
    shared: bool | None = None,
    width: Annotated[int, ge(1)] = 16,
    steps: Annotated[int, ge(1)] = 400,
    probes: Annotated[int, ge(1)] = 1000,
) -> Findings:
    """Azimuths of translations against those of their inputs, predicted by a regressor; Figures 5, 6 and 8.

    As in the paper, a regressor is trained on a domain's train split: that of B predicts the azimuth of translations to
    B. It depends only on the data and these settings, so it judges all runs alike; it is trained once per process. Its
    own errors on the test inputs are `regressor_rmse_A` and `regressor_rmse_B`.

    Args:
        trained: networks that translate pictures with the label `azimuth`.
        shared: whether one regressor learns from both domains, which is better if both show the same kind of object;
            by default if the labels `shape` agree, or `model` if there is no `shape`.
        width: channels of the regressor's first layer.
        steps: its training steps, on batches of 64.
        probes: largest number of test pictures of a domain to translate.

    Returns:
        For each direction, such as AB, the metrics of `measure` under names such as `rmse_AB`; `rmse` and the absolute
        `correlation` of the first direction; the regressors' errors; the figures `azimuth` and `turning`. And
        `model_share_AB`, the share of the translations' variance among inputs at one angle, see `model_share`; compare
        it with `model_share_B`, that of real pictures.

    Raises:
        InputError: the samples are not pictures, or their azimuth is unknown; a shared regressor would need pictures of
            different shapes; or no direction translates between A and B.
    """
    directions = between(trained, DOMAINS)
    tests = {domain: _open(trained, "test", domain, probes) for domain in DOMAINS}
    seen = {domain: _open(trained, "train", domain, LEARNT_FROM) for domain in DOMAINS}
    alike = trained.dataset.shapes["A"] == trained.dataset.shapes["B"]
    if shared is None:
        kinds = _kinds(tests["A"])
        shared = alike and bool(kinds) and kinds == _kinds(tests["B"])
    if shared and not alike:
        raise InputError("one regressor cannot learn from pictures of different shapes", key="shared")
    regressors: dict[str, nn.Module] = {}
    for group in [DOMAINS] if shared else [("A",), ("B",)]:
        pictures = torch.cat([seen[domain].pictures for domain in group])
        units = torch.cat([to_units(seen[domain].angles) for domain in group]).float()
        network = learn(pictures, units, mse_loss, width=width, steps=1 if trained.rehearsal else steps)
        regressors |= dict.fromkeys(group, network)

    angles = {domain: to_degrees(read(regressors[domain], tests[domain].pictures)) for domain in DOMAINS}
    metrics = {f"regressor_rmse_{domain}": rmse(tests[domain].angles, angles[domain]) for domain in DOMAINS}
    metrics |= {
        f"model_share_{domain}": model_share(as_float(views.pictures), views.seen_from)
        for domain, views in tests.items()
    }
    turns = []
    for direction in directions:
        source, target = trained.source(direction), trained.target(direction)
        translations = trained.translate(direction, as_float(tests[source].pictures))
        predicted = to_degrees(read(regressors[target], translations))
        measured = measure(tests[source].angles, predicted)
        metrics |= {f"{name}_{direction}": value for name, value in measured.items()}
        metrics[f"model_share_{direction}"] = model_share(translations, tests[source].seen_from)
        turns.append(Turn(direction, tests[source], translations, angles[source], predicted, measured))
    about = {f"pictures_{turn.direction}": len(turn.translations) for turn in turns}
    about |= {f"learnt_from_{domain}": len(seen[domain].pictures) for domain in DOMAINS}
    metrics |= {"rmse": turns[0].measured["rmse"], "correlation": abs(turns[0].measured["correlation"])}
    title = f"{trained.plan.name}, step {trained.step:,}"
    return Findings(
        metrics,
        {
            "azimuth": partial(_draw_scatter, title, turns),
            "turning": partial(_draw_turning, title, turns, trained),
        },
        about,
    )


def measure(true: Tensor, predicted: Tensor) -> dict[str, float]:
    """Measure how predicted azimuths follow the true ones; all differences go the shorter way around the circle.

    * rmse: root mean square distance from the line predicted = true, or from the mirrored line predicted = -true if
      that is smaller. A constant prediction 0 has the RMS of the true angles: 47.4 for eleven from -75 to 75;
    * mirrored: 1 if it is the mirrored line, otherwise 0;
    * correlation: Pearson's; the circular one if the true angles span more than half a turn:
      |E exp(i(predicted - true))| - |E exp(i(predicted + true))|; 0 if predictions or true angles are constant;
    * angle_spread: standard deviation of the predictions over that of the true angles, around the circular means;
    * clusters: number of true angles for which the predictions nearest to them are at least half as many as the inputs
      at that angle. A perfect translation reaches all angles, a collapsed one a few.

    If a prediction is not finite, all metrics are nan.

    Args:
        true: azimuth of each input in degrees, [N].
        predicted: azimuth predicted for its translation, [N].
    """
    true, predicted = wrap(true.double()), wrap(predicted.double())
    straight, mirrored = rmse(true, predicted), rmse(-true, predicted)
    deviation, found = (float(_about_mean(angles).std(correction=0)) for angles in (true, predicted))
    angles = torch.tensor(_distinct(true), dtype=torch.float64)
    counts = (true[:, None] == angles).sum(0)
    nearest = wrap(predicted[:, None] - angles).abs().argmin(dim=1)  # [N]
    reached = nearest.bincount(minlength=len(angles)) >= FAIR * counts
    found_all = {
        "rmse": min(straight, mirrored),
        "mirrored": float(mirrored < straight),
        "correlation": _correlate(true, predicted) if min(deviation, found) > TINY else 0.0,
        "angle_spread": found / deviation if deviation > TINY else 0.0,
        "clusters": float(reached.sum()),
    }
    return found_all if predicted.isfinite().all() else dict.fromkeys(found_all, math.nan)


def rmse(true: Tensor, predicted: Tensor) -> float:
    """Return the root mean square of the differences of azimuths in degrees, [N] each, the shorter way around."""
    return float(wrap(predicted - true).square().mean().sqrt())


def wrap(angles: Tensor) -> Tensor:
    """Bring degrees to [-180, 180).

    >>> wrap(torch.tensor([350.0, 180.0, -75.0]))
    tensor([ -10., -180.,  -75.])
    """
    return (angles + HALF_TURN) % (2 * HALF_TURN) - HALF_TURN


def to_units(angles: Tensor) -> Tensor:
    """Convert degrees [N] to (sin, cos), [N, 2], which is continuous over a full turn."""
    radians = angles.deg2rad()
    return torch.stack([radians.sin(), radians.cos()], dim=1)


def to_degrees(units: Tensor) -> Tensor:
    """Convert (sin, cos) of any length, [N, 2], to degrees, float64 [N]."""
    return torch.atan2(units[:, 0].double(), units[:, 1].double()).rad2deg()


def _about_mean(angles: Tensor) -> Tensor:
    """Return angles as differences from their circular mean."""
    return wrap(angles - to_degrees(to_units(angles).mean(0, keepdim=True)))


def _correlate(true: Tensor, predicted: Tensor) -> float:
    """Return Pearson's correlation, or the circular one if the angles span more than half a turn."""
    if true.max() - true.min() <= HALF_TURN:
        return float(torch.corrcoef(torch.stack([_about_mean(true), _about_mean(predicted)]))[0, 1])
    same, opposite = (float(to_units(predicted - sign * true).mean(0).norm()) for sign in (1, -1))
    return same - opposite


def _distinct(angles: Tensor) -> list[float]:
    return sorted(set(angles.tolist()))


def _open(trained: Trained, split: Split, domain: str, limit: int) -> Views:
    """Load at most `limit` pictures of a domain, with their azimuths."""
    samples = stored(evolve(trained, rehearsal=0), split, domain)  # all labels are read, also in a rehearsal
    if len(trained.dataset.shapes[domain]) != 3 or "azimuth" not in samples.labels:
        raise InputError(
            "azimuth needs pictures with the label 'azimuth', as in the data sets 'azimuth' and 'turntable'"
        )
    angles = [_degrees(angle, domain) for angle in samples.labels["azimuth"]]
    chosen = choose(samples, few(trained, limit))
    labels = {name: [values[index] for index in chosen] for name, values in samples.labels.items()}
    wrapped = wrap(torch.tensor([angles[index] for index in chosen], dtype=torch.float64))
    return Views(samples.load(chosen), wrapped, labels)


def _degrees(label: Any, domain: str) -> float:
    """Return the label `azimuth` of a sample as a number; raise an InputError if it is not one."""
    with suppress(TypeError, ValueError):
        if math.isfinite(angle := float(label)):
            return angle
    raise InputError(f"the label 'azimuth' of domain {domain} is not a number: {label!r}")


def _kinds(views: Views) -> set[Any]:
    """Return the labels of the kind of object in the pictures; empty if there are none."""
    return set(next((views.labels[name] for name in ("shape", "model") if name in views.labels), ()))


def _draw_scatter(title: str, turns: Sequence[Turn]) -> "Figure":
    """Draw the predicted azimuth against the input's, as in Figure 5, with a panel for each direction."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(turns), 5.9), layout="constrained")
    figure.suptitle(title)
    for axes, turn in zip(figure.subplots(1, len(turns), squeeze=False)[0], turns, strict=True):
        _draw_panel(axes, turn)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9, markerscale=1.5)
    return figure


def _draw_panel(axes: "Axes", turn: Turn) -> None:
    from matplotlib.ticker import MultipleLocator

    true, mirrored = turn.inputs.angles, bool(turn.measured["mirrored"])
    reach = 1.15 * max(1.0, float(torch.cat([true, turn.read_inputs, turn.read_translations]).nan_to_num().abs().max()))
    gap = float(np.diff(_distinct(true)).min(initial=HALF_TURN))
    jitter = JITTER * gap * torch.rand(len(true), generator=random_generator(0, "jitter"))
    ends = [-reach, reach]
    axes.plot(ends, ends, "--", color="0.6" if mirrored else "black", label="turns alike", zorder=1)
    axes.plot(ends, ends[::-1], ":", color="black" if mirrored else "0.6", label="mirrored", zorder=1)
    axes.scatter(true - jitter, turn.read_inputs, s=9, color="0.6", linewidths=0, label="inputs")
    axes.scatter(
        true + jitter, turn.read_translations, s=11, color="tab:blue", alpha=0.8, linewidths=0, label="translations"
    )
    line = " from the mirrored line" if mirrored else ""
    axes.set_title(
        f"{turn.direction}: RMSE {turn.measured['rmse']:.1f}°{line}, correlation {turn.measured['correlation']:.2f}",
        fontsize=10,
    )
    axes.set(xlabel="azimuth of the input (degrees)", ylabel="predicted azimuth (degrees)", aspect="equal")
    axes.set(xlim=ends, ylim=ends)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(30 if reach < 120 else 60))


def _draw_turning(title: str, turns: Sequence[Turn], trained: Trained) -> "Figure":
    """Draw test models over all angles: inputs, translations, and reconstructions if there is a way back.

    Each model is a block of rows, as in the lower parts of Figures 5 and 6, with a column for each angle.
    """
    blocks: list[tuple[list[float], dict[str, Picture]]] = []
    for turn in turns:
        angles = _spread_out(_distinct(turn.inputs.angles), COLUMNS)
        source, target = trained.source(turn.direction), trained.target(turn.direction)
        back = [one for one in trained.directions if (trained.source(one), trained.target(one)) == (target, source)]
        for places in _choose_models(turn.inputs, angles):
            there = [index for index in places if index is not None]
            rows = {source: as_float(turn.inputs.pictures[there]), f"to {target}": turn.translations[there]}
            if back:
                with trained.evaluating():
                    rows["and back"] = trained.translate(back[0], turn.translations[there])
            filled = [index is not None for index in places]
            blocks.append((angles, {name: _lay_out(row, filled) for name, row in rows.items()}))
    heights = [len(rows) for _, rows in blocks]
    columns = max(len(angles) for angles, _ in blocks)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(0.8 + CELL * columns, 0.6 + CELL * sum(heights) + 0.3 * len(blocks)), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(len(blocks), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, block in zip(panels, blocks, strict=True):
        _draw_block(axes, *block)
    return figure


def _draw_block(axes: "Axes", angles: Sequence[float], rows: Mapping[str, Picture]) -> None:
    """Draw named rows of pictures, with a column for each angle."""
    columns = range(len(angles))
    for place, row in enumerate(rows.values()):
        axes.imshow(row, extent=(0, len(angles), place + 1, place), aspect=row.shape[0] / row.shape[1] * len(angles))
    axes.set(xlim=(0, len(angles)), ylim=(len(rows), 0))
    axes.set_xticks([column + 0.5 for column in columns], [f"{angles[column]:.0f}°" for column in columns])
    axes.set_yticks([place + 0.5 for place in range(len(rows))], list(rows))
    axes.tick_params(length=0, labelsize=8, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)


def _lay_out(pictures: Tensor, filled: Sequence[bool]) -> Picture:
    """Lay out pictures [n, C, H, W] in a row on white, with gaps for missing ones; return RGB [H, W', 3]."""
    channels, height, width = pictures.shape[1:]
    row = np.ones((height + GAP, len(filled), width + GAP, 3), dtype=np.float32)
    shown = pictures[:, :3] if channels >= 3 else pictures[:, :1].expand(-1, 3, -1, -1)
    row[:height, np.array(filled), :width] = shown.clamp(0, 1).permute(2, 0, 3, 1).numpy()
    return row.reshape(height + GAP, -1, 3)


def _choose_models(views: Views, angles: Sequence[float]) -> list[list[int | None]]:
    """Return a picture's index at each angle, for some of the models that are seen at most angles."""
    names = [name for name in ("shape", "model") if name in views.labels]
    found: dict[tuple[Any, ...], dict[float, int]] = {}
    for index, angle in enumerate(views.angles.tolist()):
        found.setdefault(tuple(views.labels[name][index] for name in names), {}).setdefault(angle, index)
    places = [[indices.get(angle) for angle in angles] for indices in found.values()]
    fewest = min(row.count(None) for row in places)
    return _spread_out([row for row in places if row.count(None) == fewest], MODELS)


def _spread_out(things: Sequence[Thing], count: int) -> list[Thing]:
    """Return at most `count` things: the first, the last, and others evenly between."""
    if len(things) <= count:
        return list(things)
    return [things[round(place * (len(things) - 1) / (count - 1))] for place in range(count)]
