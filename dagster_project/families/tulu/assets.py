"""All assets of the family `tulu`, as Dagster loads them."""

from __future__ import annotations

from dagster_project.families.tulu.evaluation_assets import (
    tulu_comparisons,
    tulu_results,
    tulu_selections,
    tulu_tasks,
)
from dagster_project.families.tulu.mixture_assets import (
    tulu_contamination,
    tulu_mixture,
    tulu_proportions,
    tulu_rows,
    tulu_tokens,
)
from dagster_project.families.tulu.preference_assets import (
    tulu_completions,
    tulu_judgements,
    tulu_preferences,
    tulu_prompts,
)
from dagster_project.families.tulu.training_assets import tulu_run

__all__ = [
    "tulu_comparisons",
    "tulu_completions",
    "tulu_contamination",
    "tulu_judgements",
    "tulu_mixture",
    "tulu_preferences",
    "tulu_prompts",
    "tulu_proportions",
    "tulu_results",
    "tulu_rows",
    "tulu_run",
    "tulu_selections",
    "tulu_tasks",
    "tulu_tokens",
]
