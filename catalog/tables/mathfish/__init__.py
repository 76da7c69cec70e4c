"""The tables of MathFish: the standards of the curriculum, problems with labels, and what models make of them.

Source: "Evaluating Language Model Math Reasoning via Grounding in Educational Curricula" (arXiv 2408.04226).
"""

from __future__ import annotations

from catalog.family import Family
from catalog.tables.mathfish.answers import ANSWERS, JUDGEMENTS, RESULTS, TASKS, TRAVERSALS
from catalog.tables.mathfish.curriculum import ALIGNMENT, CONNECTIONS, LABELS, PROBLEMS, STANDARDS, VERDICTS
from catalog.tables.mathfish.views import VIEWS

CONTRACTS = (
    *(STANDARDS, CONNECTIONS, PROBLEMS, LABELS, ALIGNMENT),
    *(TASKS, ANSWERS, TRAVERSALS, JUDGEMENTS, RESULTS, VERDICTS),
)
FAMILY = Family(name="mathfish", contracts=CONTRACTS, views=VIEWS, site="catalog.tables.mathfish.site")

__all__ = [contract.table.upper() for contract in CONTRACTS]
