"""Scientific papers, and answers that cite them: the tables of the family `scholar`.

Source: OpenScholar (arXiv 2411.14199). A citation names a version of a paper, characters of its text and their digest,
so that it can be checked years later. The view `scholar.affected` lists what rests on a paper that was withdrawn.
"""

from __future__ import annotations

from catalog.family import Family, Lineage, Origin, Searchable
from catalog.tables.scholar.answers import (
    ABLATIONS,
    ANSWERS,
    CANDIDATES,
    CITATIONS,
    DRAFTS,
    QUOTATIONS,
    REFERENCES,
    TRAINING,
)
from catalog.tables.scholar.datastore import EMBEDDINGS, INDEX, PAPERS, PASSAGES, REJECTED, WITHDRAWALS
from catalog.view import View

AFFECTED = """
WITH withdrawn AS (
    SELECT paper, kind, reason FROM scholar.withdrawals
    UNION
    SELECT paper, 'retracted', 'its source says so' FROM scholar.papers
    WHERE retracted AND paper NOT IN (SELECT paper FROM scholar.withdrawals WHERE kind = 'retracted')
)
SELECT DISTINCT w.paper, w.kind, w.reason, 'scholar.answers' AS "table", a.answer AS id, a.question
FROM withdrawn w JOIN scholar.references r USING (paper) JOIN scholar.answers a USING (answer)
UNION ALL
SELECT DISTINCT w.paper, w.kind, w.reason, 'scholar.training', t.id, a.question
FROM withdrawn w JOIN (SELECT *, unnest(papers) AS paper FROM scholar.training) t USING (paper)
JOIN scholar.answers a USING (answer)
ORDER BY ALL
"""

BY_MODEL = """
SELECT model, variant,
       count(*) AS questions,
       count(*) FILTER (WHERE status = 'answered') AS answered,
       sum(supported) / nullif(sum(sentences), 0) AS supported,
       sum(not_cited) / nullif(sum(sentences), 0) AS not_cited,
       sum(cited_papers) AS cited_papers,
       sum(missing_papers) / nullif(sum(cited_papers), 0) AS missing,
       sum(quotations_removed) AS quotations_removed,
       avg(rouge) AS rouge
FROM scholar.ablations
GROUP BY model, variant
ORDER BY model, list_position(
    ['bare', 'retrieval', 'full', 'no_reranking', 'no_feedback', 'no_attribution'], variant)
"""

VIEWS = {
    "scholar.ablation_by_model": View(
        "What stages of the pipeline are worth: shares of supported sentences and of cited papers that do not exist.",
        (ABLATIONS.name,),
        BY_MODEL,
    ),
    "scholar.affected": View(
        "Answers and training rows that rest on a paper which was retracted or forgotten.",
        (PAPERS.name, WITHDRAWALS.name, ANSWERS.name, REFERENCES.name, TRAINING.name),
        AFFECTED,
    ),
}

ANSWER_TABLES = (ANSWERS, CANDIDATES, DRAFTS, REFERENCES, CITATIONS, QUOTATIONS)
"""What `watershed ask` writes."""

CONTRACTS = (PAPERS, REJECTED, PASSAGES, EMBEDDINGS, INDEX, WITHDRAWALS, *ANSWER_TABLES, TRAINING, ABLATIONS)
SEARCHABLE = Searchable(
    kind="paper",
    tables=(PAPERS.name,),
    sql=f"""
    SELECT coalesce(title, paper) AS name, licence, ['text'] AS modalities, left(text, 300) AS description,
           concat_ws(' ', paper, doi, year, left(text, 2000)) AS detail
    FROM {PAPERS.name}
    """,
)
LINEAGE = Lineage(
    origins=(Origin(table=PAPERS.name, key="paper", url="url"),),
    # What was answered stays on record, and `scholar.affected` lists it; the words of the paper go.
    blanked={
        CANDIDATES.name: (),
        REFERENCES.name: ("title", "quoted"),
        QUOTATIONS.name: ("text",),
    },
)
FAMILY = Family(name="scholar", contracts=CONTRACTS, views=VIEWS, lineage=LINEAGE, searchable=(SEARCHABLE,))
