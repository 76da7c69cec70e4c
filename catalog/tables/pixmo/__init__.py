"""The tables of PixMo: eight datasets about pictures, the pictures themselves, and the shards that trainers read.

Source: "Molmo and PixMo: Open Weights and Open Data for State-of-the-Art Vision-Language Models" (arXiv 2409.17146).
"""

from __future__ import annotations

from catalog.family import Family, Models, Report
from catalog.tables.pixmo.captioner import CAPTIONERS, REPLIES, SCENES, SCORES
from catalog.tables.pixmo.datasets import (
    ASK_MODEL_ANYTHING,
    CAP,
    CAP_QA,
    CLOCKS,
    COUNT,
    DATASETS,
    DOCS,
    POINT_EXPLANATIONS,
    POINTS,
)
from catalog.tables.pixmo.pictures import COORDINATES, FETCHES, HOSTS, PICTURES
from catalog.tables.pixmo.training import SAMPLES, SHARDS
from catalog.tables.pixmo.views import VIEWS

CONTRACTS = (*DATASETS, FETCHES, PICTURES, HOSTS, COORDINATES, SHARDS, SAMPLES, SCENES, CAPTIONERS, REPLIES, SCORES)
ANSWERED = Report(
    title="Evaluations",
    tables=(REPLIES.name,),
    sql=f"""
    SELECT task, split, count(*) AS replies, round(avg(score), 4) AS score FROM {REPLIES.name}
    WHERE model = $model GROUP BY ALL ORDER BY task, split
    """,
)
INTENDED = (
    "It is intended for measuring what pictures and their annotations teach a model.",
    "It is not intended to describe pictures for people: it knows the objects of composed scenes alone.",
)
FAMILY = Family(
    name="pixmo",
    contracts=CONTRACTS,
    views=VIEWS,
    site="catalog.tables.pixmo.site",
    models=(Models(table=CAPTIONERS.name, name="stage", reports=(ANSWERED,), intended=INTENDED),),
)

__all__ = [
    "ASK_MODEL_ANYTHING",
    "CAP",
    "CAPTIONERS",
    "CAP_QA",
    "CLOCKS",
    "CONTRACTS",
    "COORDINATES",
    "COUNT",
    "DATASETS",
    "DOCS",
    "FAMILY",
    "FETCHES",
    "HOSTS",
    "PICTURES",
    "POINTS",
    "POINT_EXPLANATIONS",
    "REPLIES",
    "SAMPLES",
    "SCENES",
    "SCORES",
    "SHARDS",
]
