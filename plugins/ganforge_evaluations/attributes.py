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
NEEDS = "attributes needs pictures with labels that are true or false, as the data set 'celeba' has"
VARIES = 0.02  # share of a domain's training pictures that must have each value of an attribute that can be kept there


@frozen(eq=False)
class Faces:
    """Pictures of a domain, uint8 [N, C, H, W], and for each attribute which of them have it, bool [N]."""

    pictures: Tensor
    flags: Mapping[str, Tensor]

    def columns(self, names: Sequence[str], domain: str) -> Tensor:
        """Return whether each is one of B's, and whether it has the attributes, bool [N, 1 + names]."""
        of_b = torch.full((len(self.pictures),), domain == "B")
        return torch.stack([of_b, *(self.flags[name] for name in names)], dim=1)


@frozen(eq=False)
class Classifier:
    """Tells whether a picture is one of B's, and which of the other attributes it has; for `prior` see `predict`."""

    network: nn.Module
    prior: Tensor

    def predict(self, pictures: Tensor) -> Tensor:
        """Predict what is more likely than it is among the pictures that it was learnt from, bool [N, 1 + names]."""
        return read(self.network, pictures) > self.prior.logit()


@frozen(eq=False)
class Panel:
    """What the figure shows of a direction: predictions on inputs, translations and real targets, [N, 1 + names]."""

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
    """How often a translation has the other domain's attribute, and how often the others stay as they were.

    A classifier learns from the train split of both domains from which one a picture is, and its other attributes. It
    depends on the data and these settings only, so that it judges all runs alike.

    What tells the domains apart are the attributes that all pictures of one have and none of the other. Of the others,
    those are judged that the classifier predicts well, and of which the target domain knows both values: a translation
    of men to women cannot keep a beard.

    Args:
        trained: networks that translate pictures whose attributes are known: their labels that are true or false.
        accurate: balanced accuracy on real test pictures, from which on the classifier is trusted with an attribute.
        width: channels of the classifier's first layer.
        steps: for which it learns, on batches of 64.
        probes: how many test pictures of a domain are translated, at most.

    Returns:
        For each direction, such as AB, the metrics of `measure` and `attributes_judged_AB`; `classifier_accuracy`, the
        balanced accuracy with which the classifier tells the domains apart; the figure `attributes`. Of translations
        that are not finite all metrics are nan.

    Raises:
        InputError: the samples are no pictures, or pictures of different shapes, without attributes, or with none that
            tells the domains apart; or no direction translates between them.
    """
    directions = between(trained, DOMAINS)
    _require_alike(trained)
    telling = tell_apart(*(_flags(_whole(trained, "train", domain), LEARNT_FROM) for domain in DOMAINS))
    if not telling:
        raise InputError("no attribute is on all training pictures of one domain and on none of the other")
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
        # Of the first column, the domain itself, the target has one value only, so it is never among these.
        shares = seen[target].columns(names, target).double().mean(0)
        judged = (accuracies >= accurate) & (torch.minimum(shares, 1 - shares) >= VARIES)
        measured = measure(found[source], after, judged, target == "B")
        if trained.rehearsal:  # which is about names, and too small to judge an attribute
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
    """Measure how the predicted attributes of translations differ from those of their inputs.

    * changed: share of the translations that are taken for the target domain's;
    * changed_identity: share of the inputs that are: what a translator gets that does nothing;
    * kept: share of the translations on which an attribute is as it was, mean over those judged; without such, none;
    * kept_balanced: the same, where inputs with and without the attribute count equally much: 1 where it is kept, 0.5
      for one picture in place of all, which `kept` flatters;
    * attributes_judged: their number.

    Args:
        before: what the inputs have, bool [N, 1 + T]: whether they are taken for B's, and the other attributes.
        after: the same for the translations.
        judged: which columns are attributes to be kept, bool [1 + T].
        wanted: the first column's value on the target's pictures.
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
    """Return the balanced accuracy of each column, the mean of those on true and on false ones.

    Args:
        true: bool [N, T].
        found: bool [N, T].

    Returns:
        In 0..1, 0.5 for any constant guess; nan where all that is true is alike; float64 [T].
    """
    same = (true == found).double()
    return (_mean_where(same, true) + _mean_where(same, ~true)) / 2


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum(0) / mask.sum(0)


def tell_apart(of_a: Mapping[str, Tensor], of_b: Mapping[str, Tensor]) -> dict[str, bool]:
    """Return the attributes that all samples of one domain have and none of the other, and whether these are B's."""
    return {
        name: bool(of_b[name].all())
        for name in of_a
        if name in of_b and ((of_a[name].all() and not of_b[name].any()) or (of_b[name].all() and not of_a[name].any()))
    }


def name_side(telling: Mapping[str, bool], domain: str) -> str:
    """Return what tells a domain's pictures, such as `Black_Hair`, or `no Male` if it is what they lack."""
    has = [name for name, of_b in telling.items() if of_b == (domain == "B")]
    return ", ".join(has or [f"no {name}" for name in telling])


def _open(trained: Trained, split: Split, domain: str, limit: int) -> Faces:
    """Load so many pictures of a domain at most, with all labels that are true or false."""
    samples, limit = _whole(trained, split, domain), few(trained, limit)
    return Faces(samples.load(choose(samples, limit)), _flags(samples, limit))


def _whole(trained: Trained, split: Split, domain: str) -> Stored:
    """Return all samples of a domain, in a rehearsal too: their labels cost nothing."""
    return stored(evolve(trained, rehearsal=0), split, domain)


def _flags(samples: Stored, limit: int) -> dict[str, Tensor]:
    """Return the labels that are true or false, bool [N] each, of the samples that are chosen."""
    names = [name for name, values in samples.labels.items() if set(map(type, values)) == {bool}]
    if not names:
        raise InputError(NEEDS)
    chosen = choose(samples, limit)
    return {name: torch.tensor([samples.labels[name][index] for index in chosen]) for name in names}


def _require_alike(trained: Trained) -> None:
    """Refuse what one classifier cannot look at: samples that are no pictures, or domains of different shapes."""
    one, other = (trained.dataset.shapes.get(domain, ()) for domain in DOMAINS)
    if len(one) != 3 or len(other) != 3:
        raise InputError(NEEDS)
    if one != other:
        raise InputError(f"attributes needs pictures of one shape; those of A have {list(one)}, of B {list(other)}")


def _draw(title: str, panels: Sequence[Panel]) -> "Figure":
    """Draw the share of pictures that have each attribute: inputs, translations, and the target domain's real ones.

    The names of attributes that are not judged are grey.
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
        axes.set(title=panel.direction, xlim=(0, 1), xlabel="share that has it, by the classifier")
        axes.invert_yaxis()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    return figure


def _shares(found: Tensor, wanted: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the share of each column that is true, of the first one that is as wanted; [1 + names]."""
    return torch.cat([found[:, :1] == wanted, found[:, 1:]], dim=1).double().mean(0).numpy()
