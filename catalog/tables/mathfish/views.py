"""SQL views over the curriculum, the problems and the answers of models."""

from __future__ import annotations

from catalog.view import View

BY_GRADE = """
SELECT grade, count(*) FILTER (WHERE level = 'Cluster') AS clusters,
       count(*) FILTER (WHERE level = 'Standard') AS standards,
       count(*) FILTER (WHERE level = 'Sub-standard') AS sub_standards
FROM mathfish.standards GROUP BY grade
ORDER BY list_position(['K', '1', '2', '3', '4', '5', '6', '7', '8', 'HS'], grade)
"""

CLUSTER_OPTIONS = """
SELECT domain_group, count(DISTINCT description) FILTER (WHERE level = 'Cluster') AS cluster_options,
       count(*) FILTER (WHERE level = 'Cluster') AS clusters,
       count(*) FILTER (WHERE level = 'Standard') AS standards
FROM mathfish.standards WHERE domain_group IS NOT NULL GROUP BY domain_group ORDER BY domain_group
"""

BY_COLLECTION = """
SELECT collection, source, coalesce(type, '') AS type, count(*) AS problems,
       count(*) FILTER (WHERE positive) AS with_positive_label,
       count(*) FILTER (WHERE positive AND images > 0) AS with_images,
       round(avg(len(standards)) FILTER (WHERE positive), 2) AS standards_each
FROM mathfish.problems GROUP BY ALL ORDER BY ALL
"""

ALIGNMENT_BY_MODEL = """
SELECT coalesce(model, '(not found)') AS model, count(*) FILTER (WHERE verdict = 'full') AS "full",
       count(*) FILTER (WHERE verdict = 'partial') AS "partial", count(*) FILTER (WHERE verdict = 'none') AS "none",
       count(*) FILTER (WHERE verdict = 'not_math') AS not_math, count(*) AS problems
FROM mathfish.alignment GROUP BY GROUPING SETS ((model), ()) ORDER BY GROUPING(model), problems DESC, "full" DESC, 1
"""
ALIGNMENT_BY_MODEL = ALIGNMENT_BY_MODEL.replace(
    "coalesce(model, '(not found)')", "CASE WHEN GROUPING(model) = 1 THEN 'all' ELSE coalesce(model, '(not found)') END"
)

DIFFICULTY = """
SELECT t.model AS tagged_by, a.model, u.standard, s.grade, s.description, count(*) AS problems,
       sum(a.score)::BIGINT AS solved, round(avg(a.score), 3) AS accuracy
FROM mathfish.traversals t
CROSS JOIN unnest(t.predicted) AS u(standard)
JOIN mathfish.tasks k ON k.problem = t.problem AND k.kind = 'solving'
JOIN mathfish.answers a ON a.task = k.task
JOIN mathfish.standards s ON s.standard = u.standard
GROUP BY ALL ORDER BY tagged_by, a.model, accuracy, problems DESC, u.standard
"""

ERRORS = """
SELECT a.model, k.standard, k.strategy, count(*) AS prompts,
       count(*) FILTER (WHERE a.malformed <> '') AS malformed, count(*) FILTER (WHERE a.score < 1) AS wrong
FROM mathfish.answers a JOIN mathfish.tasks k USING (task) WHERE k.kind = 'verification'
GROUP BY ALL ORDER BY wrong DESC, prompts DESC, k.standard
"""

MALFORMED = """
SELECT a.model, k.kind, a.malformed AS reason, count(*) AS replies, any_value(left(a.reply, 100)) AS example
FROM mathfish.answers a JOIN mathfish.tasks k USING (task) WHERE a.malformed <> ''
GROUP BY ALL ORDER BY a.model, k.kind, replies DESC, reason
"""

_CURRICULUM = ("mathfish.standards",)
VIEWS = {
    "mathfish.by_grade": View("Clusters, standards and sub-standards of each grade.", _CURRICULUM, BY_GRADE),
    "mathfish.cluster_options": View(
        "Options of the second step of tagging in each domain group; clusters of the same words are one option.",
        _CURRICULUM,
        CLUSTER_OPTIONS,
    ),
    "mathfish.by_collection": View(
        "Problems of each file and source, and those with at least one positive label, which the paper counts.",
        ("mathfish.problems",),
        BY_COLLECTION,
    ),
    "mathfish.alignment_by_model": View(
        "How many of the problems that each model wrote teach the standard that was asked for, by teachers' verdicts.",
        ("mathfish.alignment",),
        ALIGNMENT_BY_MODEL,
    ),
    "mathfish.difficulty": View(
        "Which share of word problems a model solves, by the standards that a model tagged them with.",
        ("mathfish.traversals", "mathfish.tasks", "mathfish.answers", "mathfish.standards"),
        DIFFICULTY,
    ),
    "mathfish.errors": View(
        "Wrong and malformed verifications of each model by standard and strategy.",
        ("mathfish.answers", "mathfish.tasks"),
        ERRORS,
    ),
    "mathfish.malformed": View(
        "Replies of each model that state no answer, by the reason, with an example.",
        ("mathfish.answers", "mathfish.tasks"),
        MALFORMED,
    ),
}
