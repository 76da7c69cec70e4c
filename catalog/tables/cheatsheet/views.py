"""SQL views over the cheatsheet's resources: how many there are by stage, modality and year, and the four findings.

The findings are those of the paper's abstract (arXiv 2406.16746). Each row of `cheatsheet.findings` is one number for
one of them: how many resources, of how many. Where the published rows do not say what is asked, the number rests on
`cheatsheet.codings`, and `coded` counts the resources that have an answer there. Only resources of the published file
are counted, because Watershed's own starter set would change the shares.
"""

from __future__ import annotations

from catalog.view import View

BY_STAGE = """
SELECT s.stage, count(r.resource) AS resources, count(r.github_link) AS with_code, count(r.paper_link) AS with_paper,
       count(r.resource) FILTER (WHERE r.modalities = ['Text']) AS text_only
FROM (SELECT DISTINCT stage, stage_number FROM cheatsheet.categories) s
LEFT JOIN cheatsheet.resources r ON list_contains(r.stages, s.stage)
GROUP BY s.stage, s.stage_number ORDER BY s.stage_number
"""

BY_CATEGORY = """
SELECT c.number, c.category, c.stage, count(r.resource) AS resources,
       count(r.resource) FILTER (WHERE list_contains(r.modalities, 'Text')) AS text,
       count(r.resource) FILTER (WHERE list_contains(r.modalities, 'Speech')) AS speech,
       count(r.resource) FILTER (WHERE list_contains(r.modalities, 'Vision')) AS vision
FROM cheatsheet.categories c LEFT JOIN cheatsheet.resources r ON list_contains(r.categories, c.category)
GROUP BY ALL ORDER BY c.number
"""

BY_MODALITY = """
SELECT modality, count(*) AS resources, count(*) FILTER (WHERE len(modalities) = 1) AS only_this,
       round(count(*) / (SELECT count(*) FROM cheatsheet.resources), 3) AS share
FROM (SELECT unnest(modalities) AS modality, modalities FROM cheatsheet.resources)
GROUP BY modality ORDER BY resources DESC, modality
"""

BY_YEAR = """
SELECT year, count(*) AS resources FROM cheatsheet.resources WHERE year IS NOT NULL GROUP BY year ORDER BY year
"""

COVERAGE = """
SELECT s.stage, m.modality, count(r.resource) AS resources
FROM (SELECT DISTINCT stage, stage_number FROM cheatsheet.categories) s
CROSS JOIN (SELECT unnest(['Text', 'Speech', 'Vision']) AS modality) m
LEFT JOIN cheatsheet.resources r ON list_contains(r.stages, s.stage) AND list_contains(r.modalities, m.modality)
GROUP BY s.stage, s.stage_number, m.modality ORDER BY s.stage_number, m.modality
"""

_PUBLISHED = "list_contains(sources, 'published')"

_FINDINGS = (
    (
        1,
        "serves ethics or real-world use",
        "['Pretraining Data Sources', 'Finetuning Data Catalogs', 'Capabilities', 'Usage Monitoring']",
        "serves",
        "value IN ('ethics', 'real-world use')",
    ),
    (
        3,
        "English only",
        "['Pretraining Data Sources', 'Finetuning Data Catalogs', 'Capabilities', 'Risks & Harms Evaluation']",
        "languages",
        "value = 'English'",
    ),
    (
        3,
        "multilingual, or one language other than English",
        "['Pretraining Data Sources', 'Finetuning Data Catalogs', 'Capabilities', 'Risks & Harms Evaluation']",
        "languages",
        "value IN ('multilingual', 'one other language')",
    ),
    (
        4,
        "evaluates a system in its use, rather than a model",
        "['Capabilities', 'Risks & Harms Evaluation']",
        "evaluates",
        "value = 'system'",
    ),
)
"""Findings that rest on codings: number, measure, categories, question, condition."""

_REPRODUCIBLE = (
    ("Capabilities",),
    ("Risks & Harms Evaluation", "Risks & Harms Taxonomies"),
    ("Environmental Impact",),
)
"""The kinds of evaluation of finding 2."""

_CODED = " UNION ALL ".join(
    f"""
SELECT {finding} AS finding, category || ': {measure}' AS measure, count(*) FILTER (WHERE {condition}) AS resources,
       count(*) AS total, count(value) AS coded, number
FROM (SELECT resource, unnest(categories) AS category FROM cheatsheet.resources WHERE {_PUBLISHED})
JOIN cheatsheet.categories USING (category)
LEFT JOIN (SELECT resource, value FROM cheatsheet.codings WHERE question = '{question}') USING (resource)
WHERE list_contains({categories}, category) GROUP BY category, number
"""
    for finding, measure, categories, question, condition in _FINDINGS
)

_LINKED = " UNION ALL ".join(
    f"""
SELECT 2 AS finding, '{" and ".join(kinds)}: code or data to run it again is linked' AS measure,
       count(*) FILTER (WHERE coalesce(github_link, huggingface_link) IS NOT NULL) AS resources,
       count(*) AS total, NULL AS coded, '{position}' AS number
FROM cheatsheet.resources WHERE {_PUBLISHED} AND list_has_any(categories, {list(kinds)})
"""
    for position, kinds in enumerate(_REPRODUCIBLE)
)

FINDINGS = f"""
SELECT finding, measure, resources, total, round(resources / total, 3) AS share, coded
FROM ({_CODED} UNION ALL {_LINKED} UNION ALL
SELECT 3 AS finding, 'all stages: for text only' AS measure, count(*) FILTER (WHERE modalities = ['Text']) AS resources,
       count(*) AS total, NULL AS coded, '0' AS number FROM cheatsheet.resources WHERE {_PUBLISHED})
WHERE total > 0 ORDER BY finding, number, measure
"""

_RESOURCES = ("cheatsheet.resources", "cheatsheet.categories")
VIEWS = {
    "cheatsheet.by_stage": View("Resources of each stage of development, with and without code.", _RESOURCES, BY_STAGE),
    "cheatsheet.by_category": View("Resources of each category, by modality.", _RESOURCES, BY_CATEGORY),
    "cheatsheet.by_modality": View("Resources for each modality.", ("cheatsheet.resources",), BY_MODALITY),
    "cheatsheet.by_year": View("Resources by year of publication, where it is known.", _RESOURCES[:1], BY_YEAR),
    "cheatsheet.coverage": View("Resources of each stage for each modality.", _RESOURCES, COVERAGE),
    "cheatsheet.findings": View(
        "The four findings of the cheatsheet's paper in numbers: resources, of how many, and how many are coded.",
        (*_RESOURCES, "cheatsheet.codings"),
        FINDINGS,
    ),
}
