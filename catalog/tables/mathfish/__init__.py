"""The tables of MathFish: the standards of the curriculum, problems with labels, and what models make of them.

Source: "Evaluating Language Model Math Reasoning via Grounding in Educational Curricula" (arXiv 2408.04226).
"""

from __future__ import annotations

from catalog.family import Family, Searchable
from catalog.tables.mathfish.answers import ANSWERS, JUDGEMENTS, RESULTS, TASKS, TRAVERSALS, WORDINGS
from catalog.tables.mathfish.curriculum import ALIGNMENT, CONNECTIONS, LABELS, PROBLEMS, STANDARDS, VERDICTS
from catalog.tables.mathfish.views import VIEWS

CONTRACTS = (
    *(STANDARDS, CONNECTIONS, PROBLEMS, LABELS, ALIGNMENT),
    *(TASKS, WORDINGS, ANSWERS, TRAVERSALS, JUDGEMENTS, RESULTS, VERDICTS),
)
SEARCHABLE = (
    Searchable(
        kind="standard",
        tables=(STANDARDS.name,),
        sql=f"""
        SELECT standard AS name, description, ['text'] AS modalities, ['grade ' || grade] AS tags, level AS detail
        FROM {STANDARDS.name}
        """,
    ),
    Searchable(
        kind="problem",
        tables=(PROBLEMS.name,),
        sql=f"""
        SELECT problem AS name, left(text, 300) AS description, left(text, 2000) AS detail,
               if(images > 0, ['text', 'image'], ['text']) AS modalities,
               list_transform(grades, lambda grade: 'grade ' || grade) AS tags
        FROM {PROBLEMS.name}
        """,
    ),
)
FAMILY = Family(
    name="mathfish",
    contracts=CONTRACTS,
    views=VIEWS,
    searchable=SEARCHABLE,
    site="catalog.tables.mathfish.site",
)

__all__ = [contract.table.upper() for contract in CONTRACTS]
