"""The facts of a model that its bills of materials state: weights, training data, evaluations, licences, energy.

What a model was trained on is followed from the fingerprint of its shards: the table of shards that has it, and every
table that these were made from. What it was tested on are the tables that its answers were made from.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from catalog.cards.site.reading import SiteLake
from catalog.contract import Contract
from catalog.energy import Energy, energy_of
from catalog.errors import WatershedError
from catalog.family import Corpus
from catalog.inventory import TableState
from catalog.licences.inherited import Held, ancestors, licences_of
from catalog.lineage.corpora import answers_of, corpora, model_tables
from catalog.literals import sql_literal
from catalog.names import close, find
from catalog.personal import personal_columns
from catalog.tables import CONTRACTS

INTENDED = "Measuring how data and size change a model, and forecasting larger models. Not intended to answer people."
LIMITS = (
    "Text that it writes may repeat its training data, personal data included; no safety training was done. Its scores "
    "are of the listed tasks alone."
)


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """A table that a model was trained or tested on."""

    contract: Contract
    state: TableState
    licences: tuple[Held, ...]
    """Those of the table and of everything that it is made from."""
    sources: tuple[str, ...]
    """The tables that it is made from, of those that are listed."""

    @property
    def name(self) -> str:
        """The name of the table."""
        return self.contract.name

    @property
    def version(self) -> str:
        """The version of the table as text."""
        return str(self.state.version)

    @property
    def personal(self) -> bool:
        """Whether a column may hold personal data."""
        return bool(personal_columns(self.contract, CONTRACTS))


@dataclass(frozen=True, kw_only=True)
class Score:
    """A measure of a model on a task."""

    table: str
    task: str
    measure: str
    value: float
    examples: int


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """A model, and all that its bills of materials say about it."""

    run: str
    table: str
    row: dict[str, Any]
    released: datetime.datetime
    trained_on: tuple[DataFacts, ...]
    """The table of its shards first, then those that these are made from, nearest first; empty if it is not known."""
    tested_on: tuple[DataFacts, ...]
    scores: tuple[Score, ...]
    licences: tuple[Held, ...]
    energy: Energy

    @property
    def settings(self) -> dict[str, str]:
        """The configuration of training, flat, by dotted name."""
        try:
            found = json.loads(self.row.get("config") or "{}")
        except ValueError:
            found = {}
        return dict(sorted(_flat(found)))


def model_facts(site: SiteLake, run: str) -> ModelFacts:
    """The facts of the model that was trained in `run`: its name, or TABLE:NAME where models of several tables have it.

    Raises:
        WatershedError: no model has that name.
    """
    models = {f"{name}:{row['run']}": (name, row) for name, row in _models(site)}
    short: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, row in models.values():
        # Of two models of a name, the first is meant, as `watershed trace` takes it.
        short.setdefault(str(row["run"]), (name, row))
    found = find(run, models | short)
    if found is None:
        raise WatershedError(
            f"no model is called {run!r}{close(run, short)}",
            f"choose one of {', '.join(short)}" if short else "run `watershed demo`, which trains some",
        )
    table, row = (models | short)[found]
    found = str(row["run"])
    trained = _trained_on(site, str(row["dataset"]))
    answers = answers_of(table)
    scores = _scores(site, answers, found) if answers and site.made(answers) else ()
    tested = [name for name in CONTRACTS[answers].upstream if name != table] if answers and scores else []
    written = site.states[table].written_at
    return ModelFacts(
        run=found,
        table=table,
        row=row,
        released=written or datetime.datetime.now(datetime.UTC),
        trained_on=_data(site, trained, [*trained, *tested]),
        tested_on=_data(site, tested, [*trained, *tested]),
        scores=scores,
        licences=licences_of(trained[0], CONTRACTS, site.counts) if trained else site.licences(table),
        energy=energy_of(site.settings.energy, float(row.get("seconds") or 0)),
    )


def _models(site: SiteLake) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in model_tables():
        if site.made(name):
            yield from ((name, row) for row in site.rows(f"FROM {name} ORDER BY run"))


def corpus_of(site: SiteLake, dataset: str) -> Corpus | None:
    """The corpus whose shards have the fingerprint `dataset`; None if they were replaced since."""
    for corpus in corpora():
        if site.made(corpus.shards):
            count = site.rows(f"SELECT count(*) AS n FROM {corpus.shards} WHERE dataset = {sql_literal(dataset)}")
            if count[0]["n"]:
                return corpus
    return None


def _trained_on(site: SiteLake, dataset: str) -> list[str]:
    corpus = corpus_of(site, dataset)
    return list(ancestors(corpus.shards, CONTRACTS)) if corpus else []


def _data(site: SiteLake, names: list[str], listed: list[str]) -> tuple[DataFacts, ...]:
    """The tables `names` that are made. Their sources are those of the tables `listed` that are made, too."""
    return tuple(
        DataFacts(
            contract=CONTRACTS[name],
            state=site.states[name],
            licences=site.licences(name),
            sources=tuple(each for each in CONTRACTS[name].upstream if each in listed and site.made(each)),
        )
        for name in names
        if site.made(name)
    )


def _scores(site: SiteLake, answers: str, run: str) -> tuple[Score, ...]:
    rows = site.rows(
        "SELECT task, count(*) AS n, avg(correct::INTEGER) AS accuracy, avg(bits_per_byte) AS bits_per_byte "
        f"FROM {answers} WHERE run = {sql_literal(run)} GROUP BY task ORDER BY task"
    )
    return tuple(
        Score(table=answers, task=row["task"], measure=measure, value=float(row[measure]), examples=row["n"])
        for row in rows
        for measure in ("accuracy", "bits_per_byte")
    )


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}{key}.")
    else:
        yield prefix.rstrip("."), json.dumps(value)


def expression(licences: tuple[Held, ...]) -> str:
    """The licences as one expression of SPDX: all of them apply."""
    parts = [f"({held.id})" if " OR " in held.id else held.id for held in licences]
    return " AND ".join(parts) or "NOASSERTION"
