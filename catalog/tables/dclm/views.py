"""Common questions about curation, as SQL views."""

from __future__ import annotations

from catalog.tables.dclm.columns import BASELINE
from catalog.view import View

FUNNEL = View(
    description="What each stage of curation keeps, in order: documents, bytes of text, and tokens "
    "(bytes over the tokenizer's bytes per token).",
    tables=(
        "dclm.documents",
        "dclm.verdicts",
        "dclm.duplicates",
        "dclm.paragraphs",
        "dclm.mixture",
        "dclm.tokenizer",
    ),
    sql=f"""
    WITH document AS (
        SELECT d.doc_id, d.text_bytes, coalesce(p.text_bytes, d.text_bytes) AS left_bytes,
               d.state = 'ok' AS has_text, v.kept AS passes_rules,
               v.kept AND NOT coalesce(NOT u.kept, false) AS is_unique,
               coalesce(p.kept, false) AS is_new, m.doc_id IS NOT NULL AS is_taken,
               coalesce(m.split = 'train', false) AS is_trained_on,
               coalesce(len(list_filter(v.broken, r -> starts_with(r.rule, 'language'))) = 0, false) AS in_language
        FROM dclm.documents d
        LEFT JOIN (FROM dclm.verdicts WHERE recipe = '{BASELINE}') v USING (doc_id)
        LEFT JOIN dclm.duplicates u USING (doc_id)
        LEFT JOIN dclm.paragraphs p USING (doc_id)
        LEFT JOIN dclm.mixture m USING (doc_id)
    ), stage AS (
        SELECT 1 AS position, 'records in the crawl' AS stage, text_bytes FROM document
        UNION ALL SELECT 2, 'with text', text_bytes FROM document WHERE has_text
        UNION ALL SELECT 3, 'in the language', text_bytes FROM document WHERE has_text AND in_language
        UNION ALL SELECT 4, 'pass the rules', text_bytes FROM document WHERE passes_rules
        UNION ALL SELECT 5, 'not a duplicate', text_bytes FROM document WHERE is_unique
        UNION ALL SELECT 6, 'new paragraphs in the shard', left_bytes FROM document WHERE is_new
        UNION ALL SELECT 7, 'selected by the classifier', left_bytes FROM document WHERE is_taken
        UNION ALL SELECT 8, 'trained on', left_bytes FROM document WHERE is_trained_on
    ), counted AS (
        SELECT position, stage, count(*) AS documents, sum(text_bytes)::BIGINT AS bytes FROM stage GROUP BY ALL
    )
    SELECT position, stage, documents, bytes,
           (bytes / (SELECT max(bytes_per_token) FROM dclm.tokenizer))::BIGINT AS tokens,
           documents / first_value(documents) OVER (ORDER BY position) AS share_of_crawl,
           documents / lag(documents) OVER (ORDER BY position) AS share_of_stage_before
    FROM counted ORDER BY position
    """,
)

REASONS = View(
    description="Why documents are not trained on: the state of a record without text, the first rule broken, "
    "the kind of duplicate, an evaluation's example in it, or the classifier.",
    tables=(
        "dclm.documents",
        "dclm.verdicts",
        "dclm.duplicates",
        "dclm.paragraphs",
        "dclm.contamination",
        "dclm.mixture",
    ),
    sql=f"""
    SELECT CASE WHEN d.state <> 'ok' THEN 'no text' WHEN NOT v.kept THEN 'rule' WHEN NOT u.kept THEN 'duplicate'
                WHEN NOT p.kept THEN 'paragraphs' WHEN m.doc_id IS NULL AND c.doc_id IS NOT NULL THEN 'contamination'
                WHEN m.doc_id IS NULL THEN 'classifier'
                WHEN m.split = 'heldout' THEN 'held out' END AS stage,
           CASE WHEN d.state <> 'ok' THEN d.state WHEN NOT v.kept THEN v.first_rule WHEN NOT u.kept THEN u.method
                WHEN NOT p.kept THEN 'every paragraph repeated in the shard'
                WHEN m.doc_id IS NULL AND c.doc_id IS NOT NULL THEN 'holds an example of ' || c.evaluation
                WHEN m.doc_id IS NULL THEN 'low score'
                ELSE 'for evaluation' END AS reason,
           count(*) AS documents, sum(d.text_bytes)::BIGINT AS bytes
    FROM dclm.documents d
    LEFT JOIN (FROM dclm.verdicts WHERE recipe = '{BASELINE}') v USING (doc_id)
    LEFT JOIN dclm.duplicates u USING (doc_id)
    LEFT JOIN dclm.paragraphs p USING (doc_id)
    LEFT JOIN (
        SELECT doc_id, min(evaluation) AS evaluation FROM dclm.contamination GROUP BY doc_id
    ) c USING (doc_id)
    LEFT JOIN dclm.mixture m USING (doc_id)
    WHERE m.split IS DISTINCT FROM 'train'
    GROUP BY ALL ORDER BY documents DESC, stage, reason
    """,
)

TEXTS = View(
    description="The text of every document of the mixture as it is trained on: extracted, edited by the recipe, "
    "without the paragraphs that came before.",
    tables=("dclm.documents", "dclm.measurements", "dclm.paragraphs", "dclm.mixture"),
    sql="""
    SELECT doc_id, m.split, coalesce(p.text, e.text, d.text) AS text
    FROM dclm.mixture m
    JOIN dclm.measurements e USING (doc_id, recipe)
    JOIN dclm.paragraphs p USING (doc_id)
    JOIN dclm.documents d USING (doc_id)
    """,
)
