"""The scorers of `watershed score` that read rows, by name."""

from __future__ import annotations

import importlib

from dagster_project.cli.scoring.scorer import Scorer

MODULES = ("verified",)
"""Modules of this package with a tuple SCORERS, in the order of the list."""


def scorers() -> dict[str, Scorer]:
    """All scorers by name. None of their own modules is imported."""
    modules = [importlib.import_module(f"{__package__}.{name}") for name in MODULES]
    return {scorer.name: scorer for module in modules for scorer in module.SCORERS}
