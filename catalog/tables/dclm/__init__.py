"""The crawl and its curation into training data, as DCLM does it (arXiv 2406.11794)."""

from __future__ import annotations

from catalog.family import Corpus, Decision, Family, Lineage, Link, Origin
from catalog.tables.dclm.columns import SHARDS
from catalog.tables.dclm.crawl import DOCUMENT_STATES, DOCUMENTS, POOL, POOL_STATES, STATISTICS
from catalog.tables.dclm.judging import (
    CONTAMINATION,
    CONTAMINATION_REPORT,
    DUPLICATES,
    MEASUREMENTS,
    PARAGRAPHS,
    VERDICTS,
)
from catalog.tables.dclm.selection import MIXTURE, MIXTURE_BUCKETS, QUALITY_MODEL, SCORES
from catalog.tables.dclm.shards import SHARDS_TABLE, SPANS, TOKENIZER
from catalog.tables.dclm.views import FUNNEL, REASONS, TEXTS

__all__ = [
    "CONTAMINATION",
    "CONTAMINATION_REPORT",
    "CONTRACTS",
    "DOCUMENTS",
    "DOCUMENT_STATES",
    "DUPLICATES",
    "FAMILY",
    "MEASUREMENTS",
    "MIXTURE",
    "MIXTURE_BUCKETS",
    "PARAGRAPHS",
    "POOL",
    "POOL_STATES",
    "QUALITY_MODEL",
    "SCORES",
    "SHARDS",
    "SHARDS_TABLE",
    "SPANS",
    "STATISTICS",
    "TOKENIZER",
    "VERDICTS",
    "VIEWS",
]

CONTRACTS = (
    POOL,
    DOCUMENTS,
    MEASUREMENTS,
    VERDICTS,
    DUPLICATES,
    PARAGRAPHS,
    QUALITY_MODEL,
    SCORES,
    CONTAMINATION,
    CONTAMINATION_REPORT,
    MIXTURE,
    MIXTURE_BUCKETS,
    TOKENIZER,
    SHARDS_TABLE,
    SPANS,
)
VIEWS = {"dclm.funnel": FUNNEL, "dclm.reasons": REASONS, "dclm.texts": TEXTS}

LINEAGE = Lineage(
    corpora=(Corpus(documents="dclm.documents", archives="dclm.pool", shards="dclm.shards", spans="dclm.spans"),),
    decisions=(
        Decision(
            table="dclm.verdicts",
            sql="SELECT recipe, kept, first_rule FROM dclm.verdicts WHERE doc_id = $doc_id ORDER BY recipe",
            by_recipe=True,
        ),
        Decision(
            table="dclm.duplicates",
            sql="SELECT CASE WHEN NOT kept THEN kept_doc_id END AS duplicate_of, cluster_size "
            "FROM dclm.duplicates WHERE doc_id = $doc_id",
        ),
        Decision(table="dclm.scores", sql="SELECT score, bucket FROM dclm.scores WHERE doc_id = $doc_id"),
        Decision(table="dclm.mixture", sql="SELECT split, repeats FROM dclm.mixture WHERE doc_id = $doc_id"),
    ),
    identities=("dclm.shards.dataset",),
    origins=(Origin(table="dclm.documents", key="doc_id", url="url"),),
    links=(
        Link("dclm.mixture", ("doc_id", "recipe"), "dclm.measurements", ("doc_id", "recipe")),
        Link("dclm.shards", ("split", "shard"), "dclm.spans", ("split", "shard")),
    ),
)
FAMILY = Family(name="dclm", contracts=CONTRACTS, views=VIEWS, lineage=LINEAGE)
