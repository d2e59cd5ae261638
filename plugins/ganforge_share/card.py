"""The model card: README.md for people, with front matter for model hubs."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import field, frozen

from ganforge import SPLITS, InputError, printable
from ganforge_share.facts import Facts, State
from ganforge_share.preview import Preview

CARD, RECIPE, PREVIEW = "README.md", "recipe.toml", "preview.png"

# Identifiers that hubs know, https://huggingface.co/docs/hub/repositories-licenses; others are given as `other`.
LICENCES = """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl
    lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib
    pddl lgpl-lr unknown other
"""


@frozen
class Terms:
    """What only the owner of a model knows.

    Attributes:
        licence: licence of the weights, such as `apache-2.0`.
        data_licence: licence of the data.
        datasets: names of the data sets on a hub.
        author: author of the model.
    """

    licence: str = field(default="unknown")
    data_licence: str = ""
    datasets: tuple[str, ...] = ()
    author: str = ""

    @licence.validator
    def _require_identifier(self, _: Any, value: str) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", value):
            raise InputError(f"--licence: expected an identifier such as apache-2.0 or cc-by-4.0, got '{value}'")


def write_card(facts: Facts, terms: Terms, preview: Preview) -> str:
    """Return the whole card."""
    front = "".join(f"{key}: {_yaml(value)}\n" for key, value in front_matter(facts, terms).items())
    return f"---\n{front}---\n\n" + "\n\n".join(_sections(facts, terms, preview)) + "\n"


def front_matter(facts: Facts, terms: Terms) -> dict[str, Any]:
    """Return the front matter under the names that model hubs use."""
    task = _task(facts)
    known = terms.licence in LICENCES.split()
    found: dict[str, Any] = {
        "license": terms.licence if known else "other",
        "license_name": None if known else terms.licence,
        "library_name": "ganforge",
        "pipeline_tag": task if facts.pictures else None,
        "tags": [*([task] if facts.pictures else []), "gan", facts.coupling],
        "datasets": list(terms.datasets),
        "base_model": _base(facts),
    }
    if results := list(_indexed(facts, task)):
        found["model-index"] = [{"name": facts.name, "results": results}]
    return {key: value for key, value in found.items() if value}


def _task(facts: Facts) -> str:
    translates = any(one.source is not None for one in facts.translations)
    return "image-to-image" if translates else "unconditional-image-generation"


def _base(facts: Facts) -> str:
    """Return the hub name of the model that the training started from; empty if there is none."""
    start = str(facts.noted("train").get("start", ""))
    return start.removeprefix("hub:").partition("@")[0] if start.startswith("hub:") else ""


def _indexed(facts: Facts, task: str) -> Iterator[dict[str, Any]]:
    """Yield the metrics of these weights on each split, without non-finite numbers, which hubs reject."""
    for state in facts.states[:1]:
        for split in reversed(SPLITS):
            metrics = [
                {"type": f"{role}.{name}", "name": f"{role}: {name}", "value": value}
                for role, found in state.measured.metrics.get(split, {}).items()
                for name, value in found.items()
                if math.isfinite(value)
            ]
            if metrics:
                data = {"type": facts.dataset, "name": facts.dataset, "split": split}
                yield {"task": {"type": task}, "dataset": data, "metrics": metrics}


def _yaml(value: Any) -> str:
    """Write a value as JSON, which is valid YAML."""
    return json.dumps(value, ensure_ascii=False)


def _sections(facts: Facts, terms: Terms, preview: Preview) -> Iterator[str]:
    yield f"# {_plain(facts.name)}"
    does = "Translates" if any(one.source is not None for one in facts.translations) else "Draws"
    what = "pictures" if facts.pictures else "points"
    yield f"{does} {what}; a `{_plain(facts.coupling)}` model made with ganforge."
    if preview.content:
        yield f"![{preview.note}]({PREVIEW})\n\n{preview.note[:1].upper()}{preview.note[1:]}."
    else:
        yield f"No preview: {_plain(preview.note)}."
    yield _directions(facts)
    yield "## Use\n\n" + "\n\n".join(_use(facts))
    yield _data(facts, terms)
    yield _training(facts)
    yield _metrics(facts)
    yield _limits(facts)
    known = terms.licence not in ("unknown", "other")
    licence = terms.licence if known else "not stated: ask the author before you use them"
    yield f"## Licence\n\nWeights: {licence}." + (f"\n\nAuthor: {_plain(terms.author)}" if terms.author else "")


def _directions(facts: Facts) -> str:
    """Describe the directions."""
    rows = []
    for one in facts.translations:
        cells = (f"`{one.direction}`", one.source or "nothing (it draws)", one.target, one.sizes)
        rows.append(f"| {' | '.join(map(_plain, cells))} |")
    table = "| direction | takes | makes | size of pictures |\n| --- | --- | --- | --- |\n" + "\n".join(rows)
    names = ", ".join(f"`{_plain(name)}`" for name in facts.files)
    kind = "with the networks that they are trained with" if facts.judges else "without the discriminators"
    return f"## What it does\n\n{table}\n\nNetworks in this folder: {names}; the generators {kind}."


def _use(facts: Facts) -> Iterator[str]:
    """Describe how to use the model; the folder's path is not known."""
    yield "`DIR` is this folder, or `hub:OWNER/NAME` if it is on a hub (`pip install 'ganforge[hub]'`)."
    direction = _plain(facts.translations[0].direction)
    if facts.translations[0].source is not None and facts.pictures:
        yield (
            "```python\nfrom ganforge import Translator\n"
            f'translator = Translator.load("DIR", direction="{direction}")\n'
            'translated = translator("picture.png")  # a PIL picture, or a NumPy array if PIL does not support it\n```'
        )
        yield f"```sh\nganforge translate DIR pictures/ --direction {direction} --out translated\n```"
    elif facts.translations[0].source is None:
        yield f"```sh\nganforge draw DIR --direction {direction} --out drawn\n```"
    if facts.plugins:
        names = ", ".join(f"`{_plain(name)}`" for name in facts.plugins)
        need = f"It needs code that is not in this folder: {names}"
        yield f"{need}; add `--plugin FILE` to use the model, and put the file into `DIR/plugins` to train it."
    sets = [f"--set dataset.{_plain(name)}=YOUR_DATA" for name in facts.places] + ["--set train.start=DIR"]
    if not facts.judges:
        sets.append("--set train.start_lenient=true")
    anew = "" if facts.judges else "; networks that are not in this folder are initialised again"
    yield (f"To train it further on your own data{anew}:\n\n```sh\nganforge run DIR/{RECIPE} {' '.join(sets)}\n```")


def _data(facts: Facts, terms: Terms) -> str:
    """Describe the training data."""
    rows = [f"| {_plain(name)} | {count:,} |" for name, count in facts.counts.items()]
    table = "\n\n| split and domain | samples |\n| --- | --- |\n" + "\n".join(rows) if rows else ""
    datasets = f" On a hub: {', '.join(map(_plain, terms.datasets))}." if terms.datasets else ""
    licence = _plain(terms.data_licence) or "not stated"
    return f"## Data\n\nThe data set `{_plain(facts.dataset)}`.{datasets} Licence of the data: {licence}.{table}"


def _training(facts: Facts) -> str:
    """Describe the training."""
    train, made = facts.noted("train"), facts.noted("lock")
    versions = {**made, **facts.noted("lock.plugins")}
    used = ", ".join(f"{name} {versions[name]}" for name in ("ganforge", "torch", "python") if name in versions)
    start = facts.noted("lock.start")
    rows = {
        "steps": f"{facts.step:,}",
        "batch": train.get("batch"),
        "seed": train.get("seed"),
        "time": _duration(facts.seconds),
        "device": made.get("device"),
        "versions": used,
        "imported from": ", ".join(f"{name}: {origin}" for name, origin in facts.noted("lock.imported").items()),
        "started from": ", ".join(f"{name} {digest}" for name, digest in start.items()),
    }
    lines = [f"| {name} | {_plain(str(value))} |" for name, value in rows.items() if value not in (None, "")]
    table = "\n".join(lines)
    return f"## Training\n\n| | |\n| --- | --- |\n{table}\n\nAll settings are in `{RECIPE}`."


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    size, unit = (3600, "hours") if seconds >= 3600 else (60, "minutes") if seconds >= 60 else (1, "seconds")
    return f"{seconds / size:.1f} {unit}"


def _metrics(facts: Facts) -> str:
    """List the metrics of these weights, and of the run's last or best ones, with sample counts."""
    columns = [
        (f"{_state(state)}, {split}", state.measured.metrics[split])
        for state in facts.states
        for split in reversed(SPLITS)
        if split in state.measured.metrics
    ]
    names = dict.fromkeys((role, name) for _, found in columns for role, table in found.items() for name in table)
    if not names:
        return "## Metrics\n\nThese weights were not evaluated."
    head = ["evaluation", "metric", *(title for title, _ in columns)]
    rows = [head, ["---"] * len(head)]
    for role, name in names:
        values = [found.get(role, {}).get(name) for _, found in columns]
        rows.append([_plain(role), _plain(name), *("" if value is None else f"{value:.4g}" for value in values)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return "\n\n".join(
        ["## Metrics", *_measuring(facts), table, _evaluations(facts, dict.fromkeys(r for r, _ in names))]
    )


def _state(state: State) -> str:
    """Return a title for measured weights."""
    step = f"step {state.measured.step:,}"
    name = f"{state.name}, {step}" if state.name else step
    return f"these weights ({name})" if state.own else name


def _measuring(facts: Facts) -> Iterator[str]:
    """Say which samples the metrics are from, and how the best weights were chosen."""
    counts = {name.removeprefix("test."): count for name, count in facts.counts.items() if name.startswith("test.")}
    test = ", ".join(f"{_plain(domain)}: {count:,}" for domain, count in counts.items()) or "drawn anew"
    yield (
        f"After step {facts.step:,}, on the samples of the test split ({test}), or as many of them as the evaluation's "
        "settings allow."
    )
    if facts.by:
        best = facts.by.removeprefix("-")
        yield (
            f"The best weights are those with the {'lowest' if facts.by.startswith('-') else 'highest'} "
            f"`{_plain(best)}` on samples set aside for validation, which are neither trained on nor in the test "
            "split. On the validation samples themselves their metrics are slightly too good."
        )


def _evaluations(facts: Facts, roles: Iterable[str]) -> str:
    """List the settings and facts of each evaluation."""
    settings, lines = facts.noted("evaluations"), []
    about = facts.states[0].measured.about
    for role in roles:
        told = [
            f"{split}: {_settings(about[split][role])}" for split in reversed(SPLITS) if about.get(split, {}).get(role)
        ]
        lines.append(f"* `{_plain(role)}`: {_plain('; '.join([_settings(settings.get(role)), *told]))}")
    return "\n".join(lines)


def _settings(table: Any) -> str:
    return ", ".join(f"{key} = {value}" for key, value in table.items()) if isinstance(table, Mapping) else "unknown"


def _limits(facts: Facts) -> str:
    """List the limits of the model."""
    limits = [
        "One run with one seed: the variation is unknown. Another seed gives other weights and other numbers.",
        "It knows only its training data, and makes anything else look like them.",
    ]
    if facts.pictures and any(one.source is not None for one in facts.translations):
        limits.append(
            "A translation is a guess at how something might look, not a measurement: it may show things that are not "
            "in the picture, and lose things that are. Do not diagnose, count or measure with it without your own "
            "checks."
        )
        if any(one.sizes == "any" for one in facts.translations):
            limits.append("Sizes other than the training size work, but were not evaluated.")
    return "## Limits\n\n" + "\n".join(f"* {limit}" for limit in limits)


def _plain(text: str) -> str:
    """Return a text as one line without table separators or HTML, since names in recipes are untrusted."""
    line = printable(" ".join(text.split()))
    return line.replace("|", "\\|").replace("<", "&lt;")
