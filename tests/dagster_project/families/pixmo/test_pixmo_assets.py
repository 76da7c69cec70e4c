"""The job `pixmo` through Dagster: every table is made, and nothing is due afterwards."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from made_pixmo import write_pixmo  # ty: ignore[import-not-found]
from picture_server import picture_host  # ty: ignore[import-not-found]

from catalog.lake import Lake
from catalog.settings import load_settings
from dagster_project.assets import steps
from dagster_project.engine.steps import State
from dagster_project.instance import open_instance
from dagster_project.jobs import TABLES
from dagster_project.run import make, wanted


@pytest.mark.campaign
def test_the_job_makes_every_table_once_and_its_pages_show_units_and_outcomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    with picture_host() as host:
        write_pixmo(tmp_path / "pixmo", host.url)
        (tmp_path / "watershed.toml").write_text(f'[pixmo]\ninternal = ["{host.place}"]\nfirst_pause = 0.01\n')
        settings = load_settings()
        instance = open_instance(settings)
        try:
            make(settings, instance, TABLES["pixmo"])
            assert not [step for step in wanted(steps(), TABLES["pixmo"]) if State(steps(), settings).due(step)]
            asked = host.hits.copy()
            shards = Lake.of(settings).read("pixmo.shards").to_pylist()
            assert {row["split"] for row in shards} == {"train", "heldout"}
            for table, shown in (("coordinates", "rows set apart"), ("pictures", "outcomes"), ("hosts", "rates")):
                event = instance.get_latest_materialization_event(dg.AssetKey(["pixmo", table]))
                assert event and event.asset_materialization and shown in event.asset_materialization.metadata
            # A picture that people add makes tables due, and no address is asked again.
            folder = tmp_path / "annotations" / "pixmo-ask-model-anything"
            folder.mkdir(parents=True)
            row = f'{{"image_url": "{host.url}/p/1", "question": "Where?", "answer": "Here."}}\n'
            (folder / "annotated.jsonl").write_text(row)
            assert State(steps(), settings).due(steps().by_table["pixmo.ask_model_anything"])
            make(settings, instance, TABLES["pixmo"])
            assert host.hits == asked
            assert Lake.of(settings).read("pixmo.ask_model_anything").num_rows == 5
        finally:
            instance.dispose()
