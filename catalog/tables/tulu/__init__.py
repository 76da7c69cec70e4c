"""Tulu 3's data and results: mixtures, decontamination, preferences, post-training runs and evaluations."""

from __future__ import annotations

from catalog.family import Family, Searchable
from catalog.tables.tulu import decontamination, evaluations, mixtures, preferences, training
from catalog.tables.tulu.decontamination import CONTAMINATED_ROWS, CONTAMINATION
from catalog.tables.tulu.evaluations import COMPARISONS, LOOKS, RESCORES, RESULTS, SEALED_RESULTS, SELECTIONS, TASKS
from catalog.tables.tulu.mixtures import DROPS, MIXTURE, PROPORTIONS, ROWS, SOURCES, TOKENS
from catalog.tables.tulu.preferences import COMPLETIONS, JUDGEMENTS, PREFERENCES, PROMPTS
from catalog.tables.tulu.training import CURVES, HELDOUT, ROLLOUTS, SAMPLE_LOSSES

__all__ = [
    "COMPARISONS",
    "COMPLETIONS",
    "CONTAMINATED_ROWS",
    "CONTAMINATION",
    "CONTRACTS",
    "CURVES",
    "DROPS",
    "FAMILY",
    "HELDOUT",
    "JUDGEMENTS",
    "LOOKS",
    "MIXTURE",
    "PREFERENCES",
    "PROMPTS",
    "PROPORTIONS",
    "RESCORES",
    "RESULTS",
    "ROLLOUTS",
    "ROWS",
    "SAMPLE_LOSSES",
    "SEALED_RESULTS",
    "SELECTIONS",
    "SOURCES",
    "TASKS",
    "TOKENS",
]

CONTRACTS = (
    *(PROMPTS, COMPLETIONS, JUDGEMENTS, PREFERENCES),
    *(ROWS, TOKENS, CONTAMINATION, CONTAMINATED_ROWS, SOURCES, DROPS, MIXTURE, PROPORTIONS),
    *(SAMPLE_LOSSES, ROLLOUTS, CURVES, HELDOUT),
    *(TASKS, RESULTS, SEALED_RESULTS, LOOKS, SELECTIONS, COMPARISONS, RESCORES),
)
VIEWS = {**mixtures.VIEWS, **decontamination.VIEWS, **preferences.VIEWS, **training.VIEWS, **evaluations.VIEWS}
SEARCHABLE = (
    Searchable(
        kind="source",
        tables=(SOURCES.name,),
        sql=f"""
        SELECT source || ' in ' || mixture AS name, licence, ['text'] AS modalities,
               format('{{}}, {{:,}} rows taken', coalesce(repository, origin), taken) AS description
        FROM {SOURCES.name}
        """,
    ),
    Searchable(
        kind="evaluation",
        tables=(TASKS.name,),
        sql=f"""
        SELECT title AS name, task || ' ' || suite AS detail, ['text'] AS modalities,
               format('{{}} shots, {{}}', shots, metric) AS description
        FROM {TASKS.name}
        """,
    ),
)
FAMILY = Family(name="tulu", contracts=CONTRACTS, views=VIEWS, searchable=SEARCHABLE, models=(training.MODELS,))
