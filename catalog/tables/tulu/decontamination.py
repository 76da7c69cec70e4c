"""Evaluation instances in the prompts of training rows."""

from __future__ import annotations

from catalog.columns import boolean, integer, real, text
from catalog.contract import Contract, between, one_of, references
from catalog.tables.tulu.mixtures import OWNER
from catalog.view import View

RULES = ("published", "strict")
DECISIONS = ("keep", "drop_rows", "drop_source")
SUITES = ("development", "unseen", "other")

CONTAMINATION = Contract(
    name="tulu.contamination",
    description="How much of each evaluation the prompts of each source hold, by two rules, and what was decided.",
    columns=(
        text("source", "Source of training rows.", derived_from="tulu.rows.source"),
        text("evaluation", "Name of the evaluation."),
        text("rule", "published: Tulu 3's as its code counts; strict: with its defects mended."),
        text("suite", "Suite of the evaluation: development, unseen or other."),
        integer("rows", "Rows of the source."),
        integer("instances", "Instances of the evaluation."),
        integer("instances_counted", "Instances that the rule can find at all."),
        integer("instances_hit", "Instances that overlap a row."),
        real("share_hit", "Overlapping instances over instances that the rule takes as a whole, 0..1."),
        integer("rows_hit", "Rows that overlap an instance."),
        real("rows_share", "The same as a share of all rows, 0..1."),
        boolean("contaminated", "Whether the share of instances exceeds the threshold of 0.02."),
        text("decision", "keep, drop_rows or drop_source."),
        text("because", "Why this was decided."),
    ),
    primary_key=("source", "evaluation", "rule"),
    partition_by=("source",),
    upstream=("tulu.rows",),
    owner=OWNER,
    expectations=(
        one_of("rule", RULES),
        one_of("suite", SUITES),
        one_of("decision", DECISIONS),
        between("share_hit", 0, 1),
        between("rows_share", 0, 1),
    ),
)

CONTAMINATED_ROWS = Contract(
    name="tulu.contaminated_rows",
    description="Rows whose prompts overlap an evaluation instance, with the scores by both rules.",
    columns=(
        text("source", "Source of the row.", derived_from="tulu.rows.source"),
        text("row_id", "The row.", derived_from="tulu.rows.row_id"),
        text("evaluation", "Name of the evaluation."),
        text("instance", "Number of the instance in the evaluation's file, from 0."),
        real("published", "Score by the published rule, 0..1: the mean share over fields."),
        real("strict", "Score by the strict rule, 0..1: the largest share of a field, or of the whole."),
        boolean("by_published", "Whether the published rule counts it."),
        text("why", "What the strict rule sees that the published one does not; empty if both see it."),
    ),
    primary_key=("row_id", "evaluation", "instance"),
    partition_by=("source",),
    upstream=("tulu.rows",),
    owner=OWNER,
    expectations=(
        between("published", 0, 1),
        between("strict", 0, 1),
        one_of("why", ("", "repeated n-gram", "short field", "averaged fields", "missing field")),
        references("row_id", "tulu.rows.row_id"),
    ),
)

DIFFERENCE = """
SELECT source, evaluation, any_value(suite) AS suite,
       max(instances_hit) FILTER (WHERE rule = 'published') AS published,
       max(instances_hit) FILTER (WHERE rule = 'strict') AS strict,
       max(instances_hit) FILTER (WHERE rule = 'strict') - max(instances_hit) FILTER (WHERE rule = 'published')
           AS missed,
       bool_or(contaminated) FILTER (WHERE rule = 'published') AS contaminated_by_published,
       bool_or(contaminated) FILTER (WHERE rule = 'strict') AS contaminated_by_strict
FROM tulu.contamination GROUP BY source, evaluation ORDER BY missed DESC, source, evaluation
"""
VIEWS = {
    "tulu.contamination_difference": View(
        "Instances that the strict rule finds and the published one misses, by source and evaluation.",
        ("tulu.contamination",),
        DIFFERENCE,
    ),
}
