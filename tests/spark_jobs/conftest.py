"""A curated lake of a crawl with planted faults and planted copies, made once by two workers and once by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from made_crawl import curate, write_copies

from catalog.lake import Lake
from spark_jobs.demo.crawl.faults import Fault, write_faults

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Curated:
    """A lake up to dclm.duplicates, and the counts that its jobs returned."""

    crawl: Path
    faults: tuple[Fault, ...]
    lake: Lake
    counts: dict[str, Any]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows, in the order of their keys."""
        rows = self.lake.read(table).to_pylist()
        return sorted(rows, key=lambda row: (row.get("doc_id", row.get("warc")), row.get("recipe", "")))


@pytest.fixture(scope="session")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Fault, ...]]:
    """A folder of archives: one a fault, and two with planted copies."""
    folder = tmp_path_factory.mktemp("crawl")
    write_copies(folder)
    return folder, write_faults(folder)


@pytest.fixture(scope="session")
def curated(
    spark: SparkSession, crawl: tuple[Path, tuple[Fault, ...]], tmp_path_factory: pytest.TempPathFactory
) -> Curated:
    """The crawl curated by the session of all tests, which has two workers."""
    folder, faults = crawl
    root = tmp_path_factory.mktemp("two-workers")
    lake = Lake(str(root / "lake"), root / "lake" / "_files", {})
    return Curated(folder, faults, lake, curate(spark, lake, folder, files_per_shard=8))


@pytest.fixture(scope="session")
def curated_alone(
    crawl: tuple[Path, tuple[Fault, ...]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Curated, subprocess.CompletedProcess[str]]:
    """The crawl curated by one worker in a process of its own that finds no Java, cut into other shards."""
    folder, faults = crawl
    root = tmp_path_factory.mktemp("one-worker")
    bare = root / "bin"
    bare.mkdir()
    for folder_on_path in os.get_exec_path():
        for program in Path(folder_on_path).glob("*"):
            if not program.name.startswith("java") and not (bare / program.name).is_symlink():
                (bare / program.name).symlink_to(program)
    environment = {name: value for name, value in os.environ.items() if name not in ("JAVA_HOME", "SPARK_HOME")}
    environment |= {"PATH": str(bare), "WATERSHED_SPARK_MASTER": "local[1]"}
    command = [sys.executable, str(Path(__file__).parent / "made_crawl.py"), str(root / "lake"), str(folder)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=root)
    assert run.returncode == 0, run.stderr[-2000:]
    lake = Lake(str(root / "lake"), root / "lake" / "_files", {})
    return Curated(folder, faults, lake, json.loads(run.stdout)), run
