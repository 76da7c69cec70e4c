"""The tables of PixMo: eight datasets about pictures, the pictures themselves, and the shards that trainers read.

Source: "Molmo and PixMo: Open Weights and Open Data for State-of-the-Art Vision-Language Models" (arXiv 2409.17146).
"""

from __future__ import annotations

from catalog.family import Family
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
FAMILY = Family(name="pixmo", contracts=CONTRACTS, views=VIEWS)

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
