"""The assets of scenes and models of pictures: what is true of scenes, three models, their replies and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.settings import Settings
from catalog.tables.pixmo import CAPTIONERS, REPLIES, SCENES, SCORES
from dagster_project.engine.making import Making
from dagster_project.engine.table_asset import table_asset
from dagster_project.families.pixmo.captioning import captioner_recipe


def _scenes_digest(settings: Settings, _: Any) -> str:
    from spark_jobs.pixmo.scenes.writing import MARK

    path = scenes_folder(settings) / MARK
    return path.read_text() if path.is_file() else ""


def scenes_folder(settings: Settings) -> Path:
    """Return the folder of `[captioner] scenes`."""
    return settings.project / Path(settings.captioner.scenes or "scenes").expanduser()


@table_asset(SCENES, code_version="1", recipe=_scenes_digest)
def composed_scenes(making: Making) -> dict[str, Any]:
    """Reads what is true of the scenes that `watershed demo pixmo` composed."""
    import pyarrow.parquet as pq

    from spark_jobs.pixmo.scenes.writing import TRUTH, TRUTH_SCHEMA

    path = scenes_folder(making.settings) / TRUTH
    if not path.is_file():
        making.replace(SCENES, TRUTH_SCHEMA.empty_table())
        return {"scenes": 0}
    rows = pq.read_table(path)
    making.replace(SCENES, rows)
    return {"scenes": rows.num_rows}


@table_asset(CAPTIONERS, code_version="5", recipe=captioner_recipe, engine="torch")
def captioners(making: Making) -> dict[str, Any]:
    """Trains a vision transformer, a captioner, a model of all data sets, and a baseline that sees no picture."""
    import pyarrow as pa

    from dagster_project.families.pixmo.captioning import train_captioners

    rows = train_captioners(making)
    making.replace(CAPTIONERS, pa.Table.from_pylist(rows, schema=CAPTIONERS.schema))
    return {row["stage"]: row["train_loss"] for row in rows}


def _asked(settings: Settings, _: Any) -> int:
    return settings.captioner.asked


@table_asset(REPLIES, code_version="1", recipe=_asked, engine="torch")
def picture_replies(making: Making) -> dict[str, Any]:
    """Asks the model and the baseline about scenes that they were not trained on, and scores their replies."""
    import pyarrow as pa

    from dagster_project.families.pixmo.captioning import ask
    from dagster_project.families.pixmo.drawn import points_page
    from spark_jobs.pixmo.pictures import store_of
    from spark_jobs.pixmo.scenes.answers import questions, scored

    lake, store = making.lake, store_of(making.lake)
    splits: dict[str, list[dict[str, Any]]] = {}
    for scene in lake.read(SCENES.name).to_pylist():
        if scene["split"] != "train":
            splits.setdefault(scene["split"], []).append(scene)
    chosen = [scene for each in splits.values() for scene in each[: making.recipe]]
    if not chosen:
        raise WatershedError("no scene is held out of training", "run `watershed demo pixmo`, which composes some")
    asked = [(scene, each) for scene in chosen for each in questions(scene)]
    files = {scene["image_sha256"]: store.find(scene["image_sha256"]) for scene in chosen}
    given = [
        {"id": number, "picture": str(files[scene["image_sha256"]]), "question": each["question"]}
        for number, (scene, each) in enumerate(asked)
    ]
    rows = []
    for model in ("mixture", "blind"):
        for (scene, each), reply in zip(asked, ask(making, model, given, blind=model == "blind"), strict=True):
            own = {"model": model, "scene": scene["scene"], "split": scene["split"]}
            rows.append({**own, **each, "reply": reply[:4000], **scored(scene, each, reply)})
    making.replace(REPLIES, pa.Table.from_pylist(rows, schema=REPLIES.schema))
    making.metadata |= points_page(lake, chosen, rows)
    return {"replies": len(rows), "scenes": len(chosen)}


@table_asset(SCORES, code_version="1", cheap=True)
def picture_scores(making: Making) -> dict[str, Any]:
    """Averages the scores of each task and split, beside those of the baseline."""
    import pyarrow as pa

    from spark_jobs.pixmo.scenes.answers import summaries

    rows = summaries(making.lake.read(REPLIES.name).to_pylist())
    making.replace(SCORES, pa.Table.from_pylist(rows, schema=SCORES.schema))
    return {f"{row['split']} {row['task']}": row["score"] for row in rows}
