"""Ranks the models of DCLM's registry, and own models in its format, by scale and track.

DCLM compares data sets at fixed scales, and in two tracks: filtering (of DCLM's pool) and mixing (with other data;
arXiv 2406.11794, sections 3.1 to 3.3). The files do not have a scale or a track. A scale is derived from parameters and
tokens. A track is what the model's own entry states, else it is derived from the number of the data set's sources.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from catalog.errors import WatershedError

SIZES = {"400M": 411_616_256, "1B": 1_439_795_200, "3B": 2_795_932_160, "7B": 6_889_410_560}
"""Parameters of DCLM's sizes, both embeddings included (table 1 of the paper)."""
SCALES = ("400M-1x", "1B-1x", "3B-1x", "7B-1x", "7B-2x")
"""The scales of the competition. The registry has others too, such as 1B-5x."""
TOKENS_PER_PARAMETER = 20
SIZE_TOLERANCE, MULTIPLE_TOLERANCE = 0.1, 0.05
TRACKS = ("filtering", "mixing")
UNKNOWN = "unknown"
METRICS = ("core", "extended", "mmlu")
Metric = Literal["core", "extended", "mmlu"]
MMLU = "mmlu_fewshot"
OWN = "watershed"
"""The value of `framework` in the entry of a model that was trained here."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model with its newest evaluation."""

    uuid: str
    model: str
    dataset: str
    parameters: int
    tokens: int
    scale: str | None
    """Such as 1B-5x; None where no size of DCLM is near."""
    track: str
    """One of `TRACKS`, or `UNKNOWN`."""
    own: bool
    """Whether it was exported by `watershed registry export`."""
    core: float | None
    """CORE and EXTENDED by the baselines of version 2, 0..1."""
    extended: float | None
    mmlu: float | None
    """Accuracy of mmlu_fewshot, not centred, 0..1."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """An entry's place among those of its scale and track. Equal values share a place."""

    place: int
    of: int
    entry: Entry


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Places by scale, from the smallest, then by track and place, and what has no place."""

    places: tuple[Place, ...]
    notes: tuple[str, ...]
    """A sentence for each kind of entry without a place."""


def scale_of(parameters: int, tokens: int) -> str | None:
    """The scale of a model, such as "7B-2x", or None if its size is more than a tenth from each of DCLM's.

    The multiple is tokens over 20 per parameter of DCLM's size. It is rounded to a whole number within 5%.

    >>> scale_of(411_616_256, 8_232_325_120)
    '400M-1x'
    >>> scale_of(6_889_410_560, 270_064_893_952)
    '7B-2x'
    """
    size = min(SIZES, key=lambda name: abs(math.log(parameters / SIZES[name])))
    if abs(math.log(parameters / SIZES[size])) > math.log1p(SIZE_TOLERANCE):
        return None
    multiple = tokens / (TOKENS_PER_PARAMETER * SIZES[size])
    whole = round(multiple)
    if whole and abs(multiple / whole - 1) <= MULTIPLE_TOLERANCE:
        multiple = whole
    return f"{size}-{multiple:.3g}x"


def track_of(model: Mapping[str, Any], dataset: Mapping[str, Any] | None) -> str:
    """The track of a model.

    Args:
        model: the JSON object of its file; its entry `track`, which an export writes, decides.
        dataset: the JSON object of its data set, or None if it is not registered. A list of one source, or of none,
            means filtering. A list of several means mixing. Sources in words decide nothing.
    """
    if model.get("track") in TRACKS:
        return str(model["track"])
    sources = None if dataset is None else dataset.get("sources")
    if not isinstance(sources, list):
        return UNKNOWN
    return "mixing" if len({source["uuid"] for source in sources}) > 1 else "filtering"


def entries(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[list[Entry], list[str]]:
    """Every model that has an evaluation, and notes on models and evaluations that cannot be joined.

    Args:
        tables: rows of models.registry, models.registry_datasets, evals.registry and evals.registry_scores by name.
            The first row of a uuid counts.
    """
    models = _by(tables["models.registry"])
    datasets = _by(tables["models.registry_datasets"])
    mmlu = {row["evaluation"]: row["score"] for row in tables["evals.registry_scores"] if row["task"] == MMLU}
    newest: dict[str, Mapping[str, Any]] = {}
    loose = 0
    for row in _by(tables["evals.registry"]).values():
        whose = row["model_uuid"]
        if whose not in models:
            loose += 1
        elif whose not in newest or _age(newest[whose]) < _age(row):
            newest[whose] = row
    notes = [f"{loose} evaluations name no model of the registry"] if loose else []
    silent = len(models) - len(newest)
    notes += [f"{silent} models have no evaluation"] if silent else []
    found = [
        _entry(model, datasets.get(model["dataset_uuid"]), newest[uuid], mmlu.get(newest[uuid]["uuid"]))
        for uuid, model in models.items()
        if uuid in newest
    ]
    return found, notes


def _by(rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {row["uuid"]: row for row in reversed(rows)}


def _age(row: Mapping[str, Any]) -> tuple[Any, str]:
    return row["created_at"], row["uuid"]


def _entry(
    model: Mapping[str, Any], dataset: Mapping[str, Any] | None, evaluation: Mapping[str, Any], mmlu: float | None
) -> Entry:
    record = json.loads(model["record"])
    return Entry(
        uuid=model["uuid"],
        model=model["name"],
        dataset=model["dataset_name"],
        parameters=model["parameters"],
        tokens=model["tokens"],
        scale=scale_of(model["parameters"], model["tokens"]),
        track=track_of(record, json.loads(dataset["record"]) if dataset else None),
        own=record.get("framework") == OWN,
        core=evaluation["core_v2"],
        extended=evaluation["extended_v2"],
        mmlu=mmlu,
    )


def ranking(found: Sequence[Entry], metric: Metric = "core", *, scale: str = "", track: str = "") -> Ranking:
    """The places of entries, the largest value of the metric first.

    Args:
        found: as `entries` returns them.
        metric: one of `METRICS`.
        scale: only this one, such as "1B-1x"; "" for all.
        track: only this one; "" for all.

    Raises:
        WatershedError: no entry has the scale or the track.
    """
    for name, wanted in (("scale", scale), ("track", track)):
        known = sorted({getattr(entry, name) or "" for entry in found} - {""})
        if wanted and wanted not in known:
            raise WatershedError(f"no evaluated model is of {name} {wanted!r}", f"choose one of {', '.join(known)}")
    notes = [
        f"{entry.model} has {entry.parameters:,} parameters, which is no size of DCLM ({', '.join(SIZES)})"
        for entry in found
        if entry.scale is None
    ]
    sized = [entry for entry in found if entry.scale and scale in ("", entry.scale) and track in ("", entry.track)]
    lacking = sum(getattr(entry, metric) is None for entry in sized)
    notes += [f"{lacking} models have no {metric.upper()}"] if lacking else []
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in sized:
        if getattr(entry, metric) is not None:
            groups.setdefault((str(entry.scale), entry.track), []).append(entry)
    places = [
        place for key in sorted(groups, key=lambda key: (_size(key[0]), key)) for place in _places(groups[key], metric)
    ]
    return Ranking(places=tuple(places), notes=tuple(notes))


def _size(scale: str) -> float:
    """Parameters times tokens of a scale, which order scales by compute."""
    size, multiple = scale.rsplit("-", 1)
    return SIZES[size] * SIZES[size] * float(multiple[:-1])


def _places(group: list[Entry], metric: Metric) -> list[Place]:
    ordered = sorted(group, key=lambda entry: (-getattr(entry, metric), entry.uuid))
    values = [getattr(entry, metric) for entry in ordered]
    return [
        Place(place=values.index(value) + 1, of=len(ordered), entry=entry)
        for value, entry in zip(values, ordered, strict=True)
    ]
