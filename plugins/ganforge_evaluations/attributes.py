"""Whether a translation changes the attribute that it should and keeps the others (Kim et al. 2017, Figure 7)."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from attrs import evolve, frozen
from attrs.validators import ge, le
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ganforge import Findings, InputError, Split, Stored, Trained, as_float
from ganforge_evaluations.learnt import LEARNT_FROM, choose, learn, read
from ganforge_evaluations.pictures import between, few, stored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOMAINS = ("A", "B")
NEEDS = "attributes needs pictures with labels that are true or false, as in the data set 'celeba'"
VARIES = 0.02  # smallest share of training pictures with each value of an attribute, for it to be kept in a domain


@frozen(eq=False)
class Faces:
    """Pictures of a domain, uint8 [N, C, H, W], and which of them have each attribute, bool [N]."""

    pictures: Tensor
    flags: Mapping[str, Tensor]

    def columns(self, names: Sequence[str], domain: str) -> Tensor:
        """Return whether each picture is of domain B, and whether it has the attributes, bool [N, 1 + names]."""
        of_b = torch.full((len(self.pictures),), domain == "B")
        return torch.stack([of_b, *(self.flags[name] for name in names)], dim=1)


@frozen(eq=False)
class Classifier:
    """Predicts whether a picture is of domain B, and which other attributes it has; for `prior` see `predict`."""

    network: nn.Module
    prior: Tensor

    def predict(self, pictures: Tensor) -> Tensor:
        """Predict what is more likely than in the training pictures, bool [N, 1 + names]."""
        return read(self.network, pictures) > self.prior.logit()


@frozen(eq=False)
class Panel:
    """A direction's panel in the figure: predictions on inputs, translations and real targets, [N, 1 + names]."""

    direction: str
    names: Sequence[str]
    before: Tensor
    after: Tensor
    real: Tensor
    judged: Tensor
    wanted: bool


def attributes(
    trained: Trained,
    *,
    accurate: Annotated[float, ge(0.5), le(1)] = 0.7,
    width: Annotated[int, ge(1)] = 16,
    steps: Annotated[int, ge(1)] = 400,
    probes: Annotated[int, ge(1)] = 1000,
) -> Findings:
    """How often a translation has the target domain's attribute, and how often it keeps the others.

    A classifier is trained on the train split of both domains to predict a picture's domain and its other attributes.
    It depends only on the data and these settings, so it judges all runs alike.

    The attributes that all pictures of one domain have and none of the other distinguish the domains. Another attribute
    is judged if the classifier predicts it well and the target domain has both values: a translation of men to women
    cannot keep a beard.

    Args:
        trained: networks that translate pictures whose attributes are known: labels that are true or false.
        accurate: balanced accuracy on real test pictures that the classifier needs for an attribute to be judged.
        width: channels of the classifier's first layer.
        steps: its training steps, on batches of 64.
        probes: largest number of test pictures of a domain to translate.

    Returns:
        For each direction, such as AB, the metrics of `measure` and `attributes_judged_AB`; `classifier_accuracy`, the
        classifier's balanced accuracy for the domains; the figure `attributes`. If translations are not finite, all
        metrics are nan.

    Raises:
        InputError: the samples are not pictures, differ in shape between domains, or have no attributes or none that
            distinguishes the domains; or no direction translates between them.
    """
    directions = between(trained, DOMAINS)
    _require_alike(trained)
    telling = tell_apart(*(_flags(_whole(trained, "train", domain), LEARNT_FROM) for domain in DOMAINS))
    if not telling:
        raise InputError("no attribute belongs to all training pictures of one domain and to none of the other")
    tests = {domain: _open(trained, "test", domain, probes) for domain in DOMAINS}
    seen = {domain: _open(trained, "train", domain, LEARNT_FROM) for domain in DOMAINS}
    known = set.intersection(*(set(faces.flags) for faces in (*tests.values(), *seen.values())))
    flags = {name: torch.cat([seen[domain].flags[name] for domain in DOMAINS]) for name in sorted(known)}
    names = [name for name, values in flags.items() if name not in telling and values.any() and not values.all()]
    learnt = torch.cat([seen[domain].columns(names, domain) for domain in DOMAINS]).float()
    pictures = torch.cat([seen[domain].pictures for domain in DOMAINS])
    network = learn(
        pictures, learnt, binary_cross_entropy_with_logits, width=width, steps=1 if trained.rehearsal else steps
    )
    classifier = Classifier(network, learnt.mean(0))

    found = {domain: classifier.predict(tests[domain].pictures) for domain in DOMAINS}
    truth = torch.cat([tests[domain].columns(names, domain) for domain in DOMAINS])
    accuracies = balanced(truth, torch.cat([found[domain] for domain in DOMAINS]))
    metrics = {"classifier_accuracy": float(accuracies[0])}
    panels = []
    for direction in directions:
        source, target = trained.source(direction), trained.target(direction)
        translations = trained.translate(direction, as_float(tests[source].pictures))
        after = classifier.predict(translations)
        # The first column, the domain itself, has only one value in the target, so it is never among these.
        shares = seen[target].columns(names, target).double().mean(0)
        judged = (accuracies >= accurate) & (torch.minimum(shares, 1 - shares) >= VARIES)
        measured = measure(found[source], after, judged, target == "B")
        if trained.rehearsal:  # a rehearsal only tests names, and is too small to judge an attribute
            measured = {"kept": math.nan, "kept_balanced": math.nan} | measured
        measured = measured if translations.isfinite().all() else dict.fromkeys(measured, math.nan)
        metrics |= {f"{name}_{direction}": value for name, value in measured.items()}
        rows = [name_side(telling, target), *names]
        panels.append(Panel(direction, rows, found[source], after, found[target], judged, target == "B"))
    about = {f"pictures_{panel.direction}": len(panel.after) for panel in panels}
    about |= {f"learnt_from_{domain}": len(seen[domain].pictures) for domain in DOMAINS}
    figures = {"attributes": partial(_draw, f"{trained.plan.name}, step {trained.step:,}", panels)}
    return Findings(metrics, figures, about)


def measure(before: Tensor, after: Tensor, judged: Tensor, wanted: bool) -> dict[str, float]:
    """Compare the predicted attributes of translations with those of their inputs.

    * changed: share of the translations that are classified as the target domain;
    * changed_identity: the same share of the inputs, which an identity mapping would get;
    * kept: share of the translations that keep an attribute, mean over those judged; absent if there are none;
    * kept_balanced: the same with equal weight for inputs with and without the attribute: 1 if it is kept, 0.5 if all
      translations are the same picture, for which `kept` is too high;
    * attributes_judged: the number of judged attributes.

    Args:
        before: predictions for the inputs, bool [N, 1 + T]: domain B, and the other attributes.
        after: the same for the translations.
        judged: which columns are attributes to be kept, bool [1 + T].
        wanted: the first column's value in the target domain.
    """
    metrics = {
        "changed": float((after[:, 0] == wanted).double().mean()),
        "changed_identity": float((before[:, 0] == wanted).double().mean()),
        "attributes_judged": float(judged.sum()),
    }
    if judged.any():
        first, second = before[:, judged], after[:, judged]
        both = balanced(first, second)
        plain = (first == second).double().mean(0)  # [judged]
        metrics["kept"] = float(plain.mean())
        metrics["kept_balanced"] = float(torch.where(both.isnan(), plain, both).mean())
    return metrics


def balanced(true: Tensor, found: Tensor) -> Tensor:
    """Return the balanced accuracy of each column: the mean of the accuracies on true and on false entries.

    Args:
        true: bool [N, T].
        found: bool [N, T].

    Returns:
        In 0..1, 0.5 for any constant guess; nan if a column of `true` is constant; float64 [T].
    """
    same = (true == found).double()
    return (_mean_where(same, true) + _mean_where(same, ~true)) / 2


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum(0) / mask.sum(0)


def tell_apart(of_a: Mapping[str, Tensor], of_b: Mapping[str, Tensor]) -> dict[str, bool]:
    """Return the attributes that all samples of one domain and none of the other have, and whether B has them."""
    return {
        name: bool(of_b[name].all())
        for name in of_a
        if name in of_b and ((of_a[name].all() and not of_b[name].any()) or (of_b[name].all() and not of_a[name].any()))
    }


def name_side(telling: Mapping[str, bool], domain: str) -> str:
    """Return what distinguishes a domain's pictures, such as `Black_Hair`, or `no Male` if they lack it."""
    has = [name for name, of_b in telling.items() if of_b == (domain == "B")]
    return ", ".join(has or [f"no {name}" for name in telling])


def _open(trained: Trained, split: Split, domain: str, limit: int) -> Faces:
    """Load at most `limit` pictures of a domain, with all labels that are true or false."""
    samples, limit = _whole(trained, split, domain), few(trained, limit)
    return Faces(samples.load(choose(samples, limit)), _flags(samples, limit))


def _whole(trained: Trained, split: Split, domain: str) -> Stored:
    """Return all samples of a domain, also in a rehearsal: their labels cost nothing."""
    return stored(evolve(trained, rehearsal=0), split, domain)


def _flags(samples: Stored, limit: int) -> dict[str, Tensor]:
    """Return the labels that are true or false, bool [N] each, of the chosen samples."""
    names = [name for name, values in samples.labels.items() if set(map(type, values)) == {bool}]
    if not names:
        raise InputError(NEEDS)
    chosen = choose(samples, limit)
    return {name: torch.tensor([samples.labels[name][index] for index in chosen]) for name in names}


def _require_alike(trained: Trained) -> None:
    """Refuse samples that one classifier cannot take: not pictures, or of different shapes."""
    one, other = (trained.dataset.shapes.get(domain, ()) for domain in DOMAINS)
    if len(one) != 3 or len(other) != 3:
        raise InputError(NEEDS)
    if one != other:
        raise InputError(f"attributes needs pictures of one shape; A has {list(one)}, B has {list(other)}")


def _draw(title: str, panels: Sequence[Panel]) -> "Figure":
    """Draw the share of pictures with each attribute: inputs, translations, and real pictures of the target.

    Attributes that are not judged are grey.
    """
    height = 1.7 + 0.36 * len(panels[0].names)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1 + 4.5 * len(panels), height), layout="constrained")
    figure.suptitle(title)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        shares = [_shares(found, panel.wanted) for found in (panel.before, panel.after, panel.real)]
        places = np.arange(len(panel.names))
        axes.barh(places - 0.2, shares[0], 0.4, color="0.7", label="inputs")
        axes.barh(places + 0.2, shares[1], 0.4, color="tab:blue", label="translations")
        axes.plot(
            shares[2], places, "|", color="black", markersize=16, clip_on=False, label="real pictures of the target"
        )
        axes.set_yticks(places.tolist(), panel.names)
        for label, judged in zip(axes.get_yticklabels(), panel.judged.tolist(), strict=True):
            label.set_color("black" if judged else "0.6")
        axes.get_yticklabels()[0].set(color="black", fontweight="bold")
        axes.set(title=panel.direction, xlim=(0, 1), xlabel="share with the attribute, by the classifier")
        axes.invert_yaxis()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    return figure


def _shares(found: Tensor, wanted: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the share of true entries in each column, in the first one that of `wanted`; [1 + names]."""
    return torch.cat([found[:, :1] == wanted, found[:, 1:]], dim=1).double().mean(0).numpy()
