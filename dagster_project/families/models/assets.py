"""The assets of the family `models`: the ladder's models and the targets, each trained in its own process."""

from __future__ import annotations

from typing import Any

from catalog.settings import Settings
from catalog.tables.models import BATCHES, CHECKPOINTS, METRICS, TARGETS
from dagster_project.engine.making import Making
from dagster_project.engine.partitions import Partition
from dagster_project.engine.side_by_side import parallel_runs, side_by_side
from dagster_project.engine.table_asset import table_asset
from dagster_project.families.models.partitions import LADDER_RUNS
from dagster_project.families.models.runs import ladder_runs, target_runs


def _run(settings: Settings, partition: Partition | None) -> str:
    assert partition is not None
    return str(partition["run"])


@table_asset(
    CHECKPOINTS,
    METRICS,
    code_version="1",
    recipe=_run,
    cut=LADDER_RUNS,
    keys=ladder_runs,
    parallel=True,
    engine="torch",
)
def checkpoints(making: Making) -> dict[str, Any]:
    """Trains one run of the ladder on the shards. An interrupted run resumes from its last checkpoint."""
    from dagster_project.engine.training import small_curve, training_curve
    from dagster_project.families.models.training import train

    trained = train(making, making.recipe, len(ladder_runs(making.settings)))
    making.replace(METRICS, trained.metrics)
    making.replace(CHECKPOINTS, trained.checkpoint)
    making.metadata |= {"training": small_curve(trained.metrics), "training, large": training_curve(trained.metrics)}
    return trained.counts


@table_asset(TARGETS, code_version="1", recipe=target_runs, engine="torch")
def targets(making: Making) -> dict[str, Any]:
    """Trains every target. Its forecast has been stored before."""
    import pyarrow as pa

    from dagster_project.engine.training import small_curve, training_curve
    from dagster_project.families.models.training import train

    runs = making.recipe
    made = side_by_side(lambda run: train(making, run, len(runs)), runs, parallel_runs(making.settings))
    trained = dict(zip(runs, made, strict=True))
    making.replace(TARGETS, pa.concat_tables([one.checkpoint for one in trained.values()], promote_options="default"))
    making.metadata |= {f"training, {run}": small_curve(one.metrics) for run, one in trained.items()}
    making.metadata |= {f"training, {run}, large": training_curve(one.metrics) for run, one in trained.items()}
    return {f"{name}, {run}": count for run, one in trained.items() for name, count in one.counts.items()}


@table_asset(BATCHES, code_version="1", cheap=True)
def batches(making: Making) -> dict[str, Any]:
    """Recomputes which sequences every step read. The order of the data is a function of the seed and the shards."""
    import pyarrow as pa

    from dagster_project.families.models.training import batches as batches_of

    runs = [making.lake.read(table, ["run", "config"]) for table in (CHECKPOINTS.name, TARGETS.name)]
    rows = batches_of(making.lake, pa.concat_tables(runs))
    making.replace(BATCHES, rows)
    return {"runs": sum(table.num_rows for table in runs), "steps": len(set(zip(*_names(rows), strict=True)))}


def _names(rows: Any) -> list[list[Any]]:
    return [rows[name].to_pylist() for name in ("run", "step")]
