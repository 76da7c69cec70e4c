"""The SQL views of every family: common questions under a name.

A view is plain SQL over the tables, so that anyone can run, change and check what a report prints.
"""

from __future__ import annotations

from catalog.tables import FAMILIES
from catalog.view import View

VIEWS: dict[str, View] = {name: view for family in FAMILIES for name, view in family.views.items()}
