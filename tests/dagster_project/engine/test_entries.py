"""Rows that people enter on pages of several processes at the same time: none is lost, and none is entered twice."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from demo_project import ROOT, environment
from picture_server import picture  # ty: ignore[import-not-found]

from catalog.errors import OvertakenError
from catalog.lake import Lake
from catalog.settings import load_settings
from catalog.tables.models import CHOICES
from dagster_project.families.models.rank.answers import Given, pairs_of
from dagster_project.families.models.rank.choices import Choices

ROWS = 6
PROGRAM = """
import sys
from pathlib import Path
from catalog.lake import Lake
from catalog.settings import load_settings
from dagster_project.families.models.rank.answers import Given, pairs_of
from dagster_project.families.models.rank.choices import Choices
from dagster_project.families.pixmo.annotate.annotations import Annotations, pictures_of

folder, rater, rows = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
lake = Lake.of(load_settings(folder))
pairs = pairs_of([Given("Why?", model, f"by {model}", "") for model in "ab"]).pairs
choices = Choices(lake, pairs)
annotations = Annotations(lake, folder / "annotations", pictures_of([folder / "a.png"], lake))
print("ready", flush=True)
sys.stdin.readline()
for number in range(rows):
    choices.enter(f"{rater} {number}", pairs[0].id, "left", 1.0)
    annotations.question(0, f"{rater} {number}?", "Yes.")
"""


def test_two_processes_lose_no_row_of_each_other(tmp_path: Path) -> None:
    (tmp_path / "watershed.toml").touch()
    (tmp_path / "a.png").write_bytes(picture(1, (32, 32)))
    raters = ("Ada", "Ben")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path), rater, str(ROWS)],
            cwd=ROOT,
            env=environment(tmp_path),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rater in raters
    ]
    for process in started:
        assert process.stdout and process.stdout.readline() == "ready\n", process.communicate()
    for process in started:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    lake = Lake.of(load_settings(tmp_path))
    everyone = Counter(f"{rater} {number}" for rater in raters for number in range(ROWS))
    assert Counter(row["rater"] for row in lake.read("models.choices").to_pylist()) == everyone
    asked = Counter(row["question"].rstrip("?") for row in lake.read("pixmo.ask_model_anything").to_pylist())
    assert asked == everyone, "a row of the file is a row of the table"


def test_rows_that_were_made_from_an_older_version_are_refused(tmp_path: Path) -> None:
    (tmp_path / "watershed.toml").touch()
    lake = Lake.of(load_settings(tmp_path))
    pairs = pairs_of([Given("Why?", model, f"by {model}", "") for model in "ab"]).pairs
    Choices(lake, pairs).enter("Ada", pairs[0].id, "tie", 1.0)
    rows, version = lake.read(CHOICES.name), lake.version(CHOICES.name)
    Choices(lake, pairs).enter("Ben", pairs[0].id, "tie", 1.0)
    with pytest.raises(OvertakenError, match="written by another process"):
        lake.replace(CHOICES, rows, "0" * 16, after=version)
    assert sorted(row["rater"] for row in lake.read(CHOICES.name).to_pylist()) == ["Ada", "Ben"]
    lake.replace(CHOICES, rows, "0" * 16, after=lake.version(CHOICES.name))
    assert lake.read(CHOICES.name)["rater"].to_pylist() == ["Ada"]
