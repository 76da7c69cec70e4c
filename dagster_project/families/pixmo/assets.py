"""The assets of the family `pixmo`: rows of the datasets, their pictures, the units of their points, and shards."""

from __future__ import annotations

from typing import Any

from catalog.contract import Contract
from catalog.tables.pixmo import (
    ASK_MODEL_ANYTHING,
    CAP,
    CAP_QA,
    CLOCKS,
    COORDINATES,
    COUNT,
    DOCS,
    FETCHES,
    HOSTS,
    PICTURES,
    POINT_EXPLANATIONS,
    POINTS,
    SAMPLES,
    SHARDS,
)
from dagster_project.engine.making import Making
from dagster_project.engine.table_asset import table_asset
from dagster_project.families.pixmo.captioner_assets import (
    captioners,
    composed_scenes,
    picture_replies,
    picture_scores,
)
from dagster_project.families.pixmo.recipes import (
    files_of,
    literals,
    round_name,
    round_recipe,
    shard_recipe,
    threshold,
)


def _load(making: Making, contract: Contract) -> dict[str, Any]:
    """Read the files of a dataset, and return its rows by maker."""
    from collections import Counter

    from spark_jobs.pixmo.tables import write_dataset

    rows = write_dataset(making.lake, contract.table, making.recipe.files, making.fingerprint)
    makers = Counter(rows["maker"].to_pylist())
    return {"rows": rows.num_rows, "files": len(making.recipe.files), **{f"by {name}": n for name, n in makers.items()}}


@table_asset(CAP, code_version="1", recipe=files_of("cap"), identity=literals)
def captions(making: Making) -> dict[str, Any]:
    """Reads dense captions and the transcripts that they were merged from."""
    return _load(making, CAP)


@table_asset(ASK_MODEL_ANYTHING, code_version="1", recipe=files_of("ask_model_anything"), identity=literals)
def asked_questions(making: Making) -> dict[str, Any]:
    """Reads questions that people asked about pictures, and their answers."""
    return _load(making, ASK_MODEL_ANYTHING)


@table_asset(CAP_QA, code_version="1", recipe=files_of("cap_qa"), identity=literals)
def caption_questions(making: Making) -> dict[str, Any]:
    """Reads conversations that were written from captions, and cuts them into turns."""
    return _load(making, CAP_QA)


@table_asset(POINTS, code_version="1", recipe=files_of("points"), identity=literals)
def pointed_places(making: Making) -> dict[str, Any]:
    """Reads places that people pointed at, in the unit of the file."""
    return _load(making, POINTS)


@table_asset(POINT_EXPLANATIONS, code_version="1", recipe=files_of("point_explanations"), identity=literals)
def point_explanations(making: Making) -> dict[str, Any]:
    """Reads answers that point at parts of a picture as they speak of them."""
    return _load(making, POINT_EXPLANATIONS)


@table_asset(COUNT, code_version="1", recipe=files_of("count"), identity=literals)
def counts(making: Making) -> dict[str, Any]:
    """Reads numbers of things in pictures, which people verified outside the training split."""
    return _load(making, COUNT)


@table_asset(DOCS, code_version="1", recipe=files_of("docs"), identity=literals)
def drawn_documents(making: Making) -> dict[str, Any]:
    """Reads questions about drawn charts, tables and diagrams, and stores the pictures that the files hold."""
    return _load(making, DOCS)


@table_asset(CLOCKS, code_version="1", recipe=files_of("clocks"), identity=literals)
def clocks(making: Making) -> dict[str, Any]:
    """Reads the times that drawn watch faces show."""
    return _load(making, CLOCKS)


@table_asset(PICTURES, FETCHES, code_version="1", recipe=round_recipe, identity=round_name)
def pictures(making: Making) -> dict[str, Any]:
    """Downloads every picture that the datasets name, unless the journal of the round has it, and stores it once."""
    from collections import Counter

    from dagster_project.families.pixmo.shown import outcomes_page
    from spark_jobs.pixmo.tables import write_pictures

    rows = write_pictures(making.lake, making.recipe.name, making.recipe.rules, making.fingerprint)
    making.metadata |= outcomes_page(rows)
    return {"pictures": len(rows), **Counter(row["outcome"] for row in rows)}


@table_asset(HOSTS, code_version="1", recipe=threshold, cheap=True)
def picture_hosts(making: Making) -> dict[str, Any]:
    """Counts the pictures that each host gave and lost, round by round."""
    from dagster_project.families.pixmo.shown import hosts_page
    from spark_jobs.pixmo.tables import write_hosts

    rows = write_hosts(making.lake, making.recipe, making.fingerprint)
    making.metadata |= hosts_page(rows)
    return {"hosts": len({row["host"] for row in rows} - {"*"}), "beyond": sum(row["beyond"] for row in rows)}


@table_asset(COORDINATES, code_version="1")
def coordinates(making: Making) -> dict[str, Any]:
    """Decides for every row whether its points are in percent or pixels, and sets apart those of the wrong unit."""
    from collections import Counter

    from dagster_project.families.pixmo.shown import units_page
    from spark_jobs.pixmo.tables import write_coordinates

    rows = write_coordinates(making.lake, making.fingerprint)
    making.metadata |= units_page(rows)
    apart = sum(row["apart"] for row in rows)
    return {"rows": len(rows), "set apart": apart, **Counter(f"in {row['unit']}" for row in rows)}


@table_asset(SHARDS, SAMPLES, code_version="1", recipe=shard_recipe)
def picture_shards(making: Making) -> dict[str, Any]:
    """Writes pictures with their annotations as shards, in a random order, each picture in one split."""
    from spark_jobs.pixmo.shards import write_shards

    rows = write_shards(making.lake, making.recipe, making.fingerprint)
    making.wrote(making.lake.folder(SHARDS.name, making.fingerprint))
    return {"shards": len(rows), **{name: sum(row[name] for row in rows) for name in ("samples", "annotations")}}


__all__ = [
    "captioners",
    "composed_scenes",
    "picture_replies",
    "picture_scores",
]
