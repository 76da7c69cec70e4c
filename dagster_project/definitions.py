"""Everything that Dagster shows: assets by family, a blocking check a table, three jobs."""

from __future__ import annotations

import dagster as dg

from dagster_project.assets import dclm, evals, ladder, models, moe
from dagster_project.checks import contract_checks
from dagster_project.jobs import JOBS

defs = dg.Definitions(
    assets=dg.load_assets_from_modules([dclm, models, evals, ladder, moe]),
    asset_checks=contract_checks(),
    jobs=list(JOBS),
)
