"""Models that are trained on a mixture: the entry `train` of its recipe, and the tables that it declares.

train = "30k-0.1xC"                     # one run; a list makes several

[[train]]                               # or with options
preset = "30k-0.1xC"
run = "30k-other-seed"
seed = 1
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog.contract import Contract, references
from catalog.family import Corpus, Family, Lineage, Link
from catalog.literals import sql_literal
from catalog.projects.entries import Fault, known, real, text, whole
from catalog.trained import (
    BATCH_EXPECTATIONS,
    CHECKPOINT_EXPECTATIONS,
    METRIC_EXPECTATIONS,
    batch_columns,
    checkpoint_columns,
    metric_columns,
    model_pages,
    searchable_models,
)

if TYPE_CHECKING:
    from catalog.projects.mixture_tables import KeyColumn, Mixture

SUFFIXES = ("models", "metrics", "batches")
"""A mixture NAME that is trained on has the tables mixture.NAME_models and so on."""
MOST_RUNS = 64
RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""What a run may be called: it names a folder."""
PRESET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*-\d+(\.\d+)?x[Cc]")
KEYS = frozenset("preset run seed batch steps heldout_sequences document_masking model optimiser spike".split())
OWNER = "training"


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One model that is trained on a mixture."""

    preset: str
    """Size and Chinchilla multiple: `30k-0.1xC`."""
    run: str = ""
    """The name of the run; empty for that of the preset."""
    options: str = "{}"
    """The other fields of `trainers.pretraining.config.RunConfig` that the recipe sets, as JSON with sorted keys."""

    @property
    def fields(self) -> dict[str, Any]:
        """The options by name."""
        return dict(json.loads(self.options))


@dataclass(frozen=True, kw_only=True)
class ModelTables:
    """The tables of the models that are trained on a mixture."""

    models: Contract
    metrics: Contract
    batches: Contract

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """The tables in the order in which data flows."""
        return (self.models, self.metrics, self.batches)


def read_runs(found: Mapping[str, Any]) -> tuple[TrainingRun, ...]:
    """The runs that a recipe names; none without the entry `train`.

    Raises:
        Fault: a run is not what it should be, or two have the same name.
    """
    entries = found.get("train", [])
    entries = entries if isinstance(entries, list) else [entries]
    if len(entries) > MOST_RUNS:
        raise Fault(f"train names {len(entries)} runs, more than {MOST_RUNS}")
    runs = tuple(_run(each) for each in entries)
    names: set[str] = set()
    for each in runs:
        # Folders of runs that differ in the case of letters alone would be one folder on some disks.
        name = (each.run or each.preset).casefold()
        if name in names:
            raise Fault(f"train names two runs {each.run or each.preset}: give one of them another `run`")
        names.add(name)
    return runs


def _run(entry: Any) -> TrainingRun:
    if not isinstance(entry, (str, dict)):
        raise Fault(f"train = {entry!r} is neither a preset nor a table with a preset")
    given = {"preset": entry} if isinstance(entry, str) else entry
    known(given, KEYS, "train")
    preset, run = text(given, "preset", required=True), text(given, "run")
    if not PRESET.fullmatch(preset):
        raise Fault(f'train: the preset {preset!r} is not of the form SIZE-MULTIPLExC, such as "30k-0.1xC"')
    if run and not RUN.fullmatch(run):
        raise Fault(f"train: the run {run!r} is not in letters, digits, dots, hyphens and underscores")
    for name, least in (("seed", 0), ("batch", 1), ("steps", 1), ("heldout_sequences", 1)):
        whole(given, name, None, least)
    real(given, "spike", None, 0, 1000)
    if not isinstance(given.get("document_masking", False), bool):
        raise Fault("train: document_masking is true or false")
    for name in ("model", "optimiser"):
        if not isinstance(given.get(name, {}), dict):
            raise Fault(f"train: {name} is a table of fields and values")
    options = {name: value for name, value in given.items() if name not in ("preset", "run")}
    try:
        return TrainingRun(preset=preset, run=run, options=json.dumps(options, sort_keys=True, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise Fault(f"train: the run {run or preset} has a value that is no text, number or list: {error}") from error


def model_tables_of(table: str, shards: Contract, runs: tuple[TrainingRun, ...]) -> ModelTables | None:
    """The tables of the models of a mixture; None if it names no run.

    Args:
        table: the table of the mixture: `mixture.NAME`.
        shards: the table of its shards.
        runs: the runs of the recipe.
    """
    if not runs:
        return None
    name = table.partition(".")[2]
    common: dict[str, Any] = {"owner": OWNER, "tags": ("mixture",)}
    models = Contract(
        name=f"{table}_models",
        description=f"Models that were trained on the mixture {name}: a row per run.",
        columns=checkpoint_columns(shards.name, "Name of the run: that of its preset, or as in the recipe."),
        primary_key=("run",),
        upstream=(shards.name,),
        expectations=CHECKPOINT_EXPECTATIONS,
        **common,
    )
    metrics = Contract(
        name=f"{table}_metrics",
        description=f"Metrics of training on the mixture {name}: a row per logged step of a run.",
        columns=metric_columns(models.name),
        primary_key=("run", "step"),
        upstream=(shards.name,),
        expectations=(*METRIC_EXPECTATIONS, references("run", f"{models.name}.run")),
        **common,
    )
    batches = Contract(
        name=f"{table}_batches",
        description=f"The sequences of the mixture {name} that each training step read: a row per step and shard.",
        columns=batch_columns(shards.name),
        primary_key=("run", "step", "shard"),
        upstream=(shards.name,),
        expectations=(*BATCH_EXPECTATIONS, references("run", f"{models.name}.run")),
        **common,
    )
    return ModelTables(models=models, metrics=metrics, batches=batches)


def family_of(name: str, mixtures: Iterable[Mixture]) -> Family:
    """What the mixtures of a project declare to the engines of the catalog: their documents, shards and models.

    Args:
        name: the name of the family.
        mixtures: the mixtures.
    """
    mixtures = tuple(mixtures)
    trained = tuple(each.trained for each in mixtures if each.trained)
    return Family(
        name=name,
        contracts=tuple(contract for each in mixtures for contract in each.tables),
        searchable=tuple(searchable_models(each.models) for each in trained),
        models=tuple(model_pages(each.models, each.metrics) for each in trained),
        lineage=Lineage(
            corpora=tuple(map(_corpus, mixtures)),
            batches=tuple(each.batches.name for each in trained),
            models=tuple(each.models.name for each in trained),
            identities=tuple(f"{each.shards.name}.dataset" for each in mixtures),
            links=tuple(Link(each.batches.name, ("run",), each.models.name, ("run",)) for each in trained),
        ),
    )


def _corpus(mixture: Mixture) -> Corpus:
    cases = " ".join(
        f"WHEN {sql_literal(source.name)} THEN {_named(source.table, mixture.keys[source.name])}"
        for source in mixture.recipe.sources
    )
    return Corpus(
        documents=mixture.documents.name,
        shards=mixture.shards.name,
        spans=mixture.spans.name,
        row=f"CASE d.source {cases} END",
        counted_by="source",
    )


def _named(table: str, keys: tuple[KeyColumn, ...]) -> str:
    """SQL of a row of a source as `watershed trace` takes it: TABLE:KEY, or FILE:NUMBER."""
    values = [f"""d."{key.column.replace('"', '""')}"::VARCHAR""" for key in keys]
    if not table:
        return f"concat_ws(':', {', '.join(values)})"
    # A row of a view is named by the table whose key it has.
    named = keys[0].derived_from[0].rpartition(".")[0] if keys[0].derived_from else table
    return f"{sql_literal(f'{named}:')} || concat_ws('/', {', '.join(values)})"
