"""Spark and delta-rs write one table on a server that speaks S3, and no commit is lost."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import uuid
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import load_settings
from spark_jobs.spark.jars import MANIFEST, Wanted, _keep_needed
from spark_jobs.spark.s3a import s3a_configuration
from spark_jobs.spark.session import _start, configuration
from tests.s3_server import make_bucket, options, s3_server

ROOT = Path(__file__).parents[3]


def project(folder: Path, endpoint: str) -> Path:
    """A project whose lake lies in a bucket of its own."""
    folder.mkdir()
    entries = "".join(f"{key} = {json.dumps(value)}\n" for key, value in options(endpoint).items())
    root = make_bucket(endpoint, f"{folder.name}-{uuid.uuid4().hex[:12]}")
    (folder / "watershed.toml").write_text(f'[lake]\nroot = "{root}/lake"\n[lake.storage_options]\n{entries}')
    return folder


@pytest.mark.slow
def test_spark_and_delta_rs_lose_no_commit_and_a_store_that_would_is_refused(tmp_path: Path) -> None:
    with s3_server() as endpoint, s3_server("--careless") as careless:
        folder = project(tmp_path / "good", endpoint)
        command = [sys.executable, Path(__file__).with_name("s3_writers.py"), folder]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        run = subprocess.run(
            [*command, project(tmp_path / "careless", careless)],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        found: dict[str, Any] = json.loads(run.stdout)
        lake = Lake.of(load_settings(folder))
        written, versions = lake.written("evals.results"), lake.version("evals.results")
    assert "PUT with If-None-Match, which the store does not honour" in found["refused"]
    assert found["written"] == dict.fromkeys(found["written"], 2)
    assert {each["run"]: each["count"] for each in found["read"]} == found["written"]
    assert {note.fingerprint for note in written.values()} == found["written"].keys()
    assert versions == 1 + len(found["written"])
    for who, whose in found["winners"]:
        assert who == whose


def test_spark_does_not_start_for_an_unreachable_server(tmp_path: Path) -> None:
    storage_options = {**options("http://127.0.0.1:1"), "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    entries = "".join(f"{key} = {json.dumps(value)}\n" for key, value in storage_options.items())
    (tmp_path / "watershed.toml").write_text(f'[lake]\nroot = "s3://bucket/lake"\n[lake.storage_options]\n{entries}')
    with pytest.raises(WatershedError, match="no answer from the server"):
        _start(load_settings(tmp_path))


def test_jars_other_than_the_pinned_ones_are_not_kept(tmp_path: Path) -> None:
    (tmp_path / "jars").mkdir()
    with zipfile.ZipFile(tmp_path / "jars" / "org.example_lake-1.0.jar", "w") as archive:
        archive.writestr("Lake.class", b"bytes")
    wanted = Wanted(label="jars", megabytes=1, coordinates=("org.example:lake:1.0",), kept=("org.example_",))
    fresh = _keep_needed(wanted, tmp_path)
    manifest = (fresh / MANIFEST).read_bytes()
    shutil.rmtree(fresh)
    pinned = replace(wanted, digest=hashlib.sha256(manifest).hexdigest())
    assert (_keep_needed(pinned, tmp_path) / MANIFEST).read_bytes() == manifest
    shutil.rmtree(fresh)
    with pytest.raises(WatershedError, match="not the pinned ones"):
        _keep_needed(replace(wanted, digest="0" * 64), tmp_path)
    assert not (fresh / MANIFEST).exists()


def test_spark_gets_no_s3_settings_for_a_local_folder(tmp_path: Path) -> None:
    (tmp_path / "watershed.toml").write_text("[lake.storage_options]\nAWS_ACCESS_KEY_ID = 'a'\n")
    assert not [key for key in configuration(load_settings(tmp_path), []) if "s3a" in key]


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:1"], ids=["aws", "server"])
def test_the_bucket_is_named_in_the_path_on_a_server_of_ones_own(endpoint: str) -> None:
    entries = s3a_configuration({"AWS_ENDPOINT_URL": endpoint} if endpoint else {})
    assert entries["spark.hadoop.fs.s3a.path.style.access"] == str(bool(endpoint)).lower()
