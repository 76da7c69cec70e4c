"""Columns and bounds that several tables of the family share."""

from __future__ import annotations

from catalog.columns import integer, text
from catalog.contract import Column, between

OWNER = "curation"
BASELINE = "dclm-baseline"
"""The recipe whose verdicts and texts the mixture is made of."""
PAGE_TEXT = "as the page: names, addresses"
"""Personal data in a column that holds text of a page."""

SHARDS = 10
"""Global shards, and local shards in each: the released DCLM pool is 10 x 10."""

SHARD_COLUMNS = (
    integer("global_shard", "Global shard of the pool, 0..9.", bits=32),
    integer("local_shard", "Local shard within the global one, 0..9.", bits=32),
)

IN_SHARD = (between("global_shard", 0, SHARDS - 1), between("local_shard", 0, SHARDS - 1))


def doc_id(description: str = "The document, as in dclm.documents.") -> Column:
    """The column `doc_id` of a table whose rows are documents."""
    return text("doc_id", description, derived_from="dclm.documents.doc_id")
