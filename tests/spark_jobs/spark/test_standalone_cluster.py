"""A standalone cluster of two workers makes the same tables as this process's Spark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from made_crawl import curate, write_copies
from standalone_cluster import HOST, standalone_cluster

from catalog.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TABLES = ("dclm.pool", "dclm.documents", "dclm.measurements", "dclm.verdicts", "dclm.duplicates")


@pytest.mark.campaign
def test_two_workers_make_the_tables_of_local_mode(spark: SparkSession, tmp_path: Path) -> None:
    crawl = tmp_path / "crawl"
    crawl.mkdir()
    write_copies(crawl)
    here, there = (Lake(str(tmp_path / name), tmp_path / name / "_files", {}) for name in ("here", "there"))
    expected = curate(spark, here, crawl, files_per_shard=20)
    program = Path(__file__).parents[1] / "made_crawl.py"
    with standalone_cluster(tmp_path, workers=2) as master:
        run = subprocess.run(
            [sys.executable, str(program), str(tmp_path / "there"), str(crawl)],
            env={**os.environ, "WATERSHED_SPARK_MASTER": master, "SPARK_LOCAL_IP": HOST},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.returncode == 0, run.stderr[-2000:]
    assert json.loads(run.stdout) == json.loads(json.dumps(expected))
    for table in TABLES:
        made = [sorted(map(repr, lake.read(table).to_pylist())) for lake in (here, there)]
        assert made[0] == made[1], table
    # An executor each.
    assert {path.parts[-4] for path in tmp_path.glob("work-*/app-*/*/stderr")} == {"work-0", "work-1"}
