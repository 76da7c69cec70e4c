"""`watershed demo pixmo`: scenes become tables, shards, three models, and scores beside those of a blind one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from demo_project import ROOT

from catalog.lake import Lake
from catalog.settings import load_settings


@pytest.mark.campaign
def test_the_smoke_demo_makes_every_table_and_its_page(tmp_path: Path) -> None:
    (tmp_path / "watershed.toml").touch()
    done = subprocess.run(
        [sys.executable, "-m", "dagster_project", "demo", "pixmo", "--size", "smoke"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lake = Lake.of(load_settings(tmp_path))
    scenes = lake.read("pixmo.scenes").to_pylist()
    assert {
        split: sum(row["split"] == split for row in scenes) for split in ("train", "heldout", "pairs", "places")
    } == {
        "train": 120,
        "heldout": 10,
        "pairs": 10,
        "places": 10,
    }
    stages = [row["stage"] for row in lake.read("pixmo.captioners").to_pylist()]
    assert stages == ["dense", "captions", "mixture", "blind"]
    # No scene that the models are asked about is in a training shard.
    trained = {row["image_sha256"] for row in lake.read("pixmo.samples").to_pylist() if row["split"] == "train"}
    asked = {row["scene"] for row in lake.read("pixmo.replies").to_pylist()}
    assert len(asked) == 30 and not trained & {row["image_sha256"] for row in scenes if row["scene"] in asked}
    scores = lake.read("pixmo.scores").to_pylist()
    assert {row["task"] for row in scores} >= {"pointing", "counting", "caption", "question"}
    page = lake.folder("pixmo.replies") / "points.html"
    assert page.read_text().count("<figure>") == 30
    assert json.dumps(scores)
