"""Everything that Dagster shows: assets by family, a blocking check a table, a job a purpose."""

from __future__ import annotations

import dagster as dg

from dagster_project.assets import commands, dclm, evals, ladder, models, moe, registry
from dagster_project.checks import contract_checks
from dagster_project.jobs import JOBS

defs = dg.Definitions(
    assets=[*dg.load_assets_from_modules([dclm, models, evals, ladder, moe, registry]), *commands.SPECS],
    asset_checks=contract_checks(),
    jobs=list(JOBS),
)
