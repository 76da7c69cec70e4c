"""Java's cache of Spark: made once, used by later sessions, and left alone where it does not fit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pyspark
import pytest

from catalog.settings import SparkSettings, load_settings
from spark_jobs.spark.java import find_java, launcher
from spark_jobs.spark.java_cache import OLDEST, TRAINING, cache_file, cache_options, make_cache, remove_unused
from spark_jobs.spark.session import LOCAL_JAVA


def test_the_file_is_made_once_and_fits_the_java_that_starts_spark(tmp_path: Path) -> None:
    made = make_cache(load_settings(tmp_path))
    assert made is not None
    written = made.stat().st_mtime_ns
    assert make_cache(load_settings(tmp_path)) == made
    assert made.stat().st_mtime_ns == written
    # With AOTMode=on, Java ends with an error if it cannot use the file.
    options = f"-XX:AOTCache={made} -XX:AOTMode=on {LOCAL_JAVA}"
    started = subprocess.run(
        [Path(pyspark.__file__).parent / "bin" / "spark-submit", "--driver-java-options", options, "--version"],
        env={**os.environ, "JAVA_HOME": str(find_java(SparkSettings()))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 0, started.stdout


def test_spark_that_was_installed_again_gets_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Java refuses a file whose JARs have other times, and says so on stderr at each start.
    installed = tmp_path / "pyspark"
    (installed / "jars").mkdir(parents=True)
    (jar := installed / "jars" / "a.jar").write_bytes(b"classes")
    monkeypatch.setattr(pyspark, "__file__", str(installed / "__init__.py"))
    before = cache_file(tmp_path)
    assert cache_file(tmp_path) == before
    os.utime(jar, (1, 1))
    after = cache_file(tmp_path)
    assert after != before
    assert after.stem.rpartition("-")[0] == before.stem.rpartition("-")[0], "the outdated one is found and removed"


def test_options_are_those_of_a_java_that_knows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRAINING, raising=False)
    path = cache_file(tmp_path)
    assert cache_options(tmp_path, OLDEST) == []
    path.touch()
    assert cache_options(tmp_path, OLDEST)[0] == f"-XX:AOTCache={path}"
    assert cache_options(tmp_path, OLDEST - 1) == cache_options(tmp_path, None) == []
    monkeypatch.setenv(TRAINING, "recorded")
    assert cache_options(tmp_path, OLDEST)[0] == "-XX:AOTCacheOutput=recorded"


def test_a_session_and_the_processes_that_it_starts_have_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATERSHED_CACHE", str(tmp_path))
    home = find_java(SparkSettings())
    monkeypatch.setenv("JAVA_HOME", str(home))  # As a session does.
    assert find_java(SparkSettings()) == home


def test_files_of_a_java_that_was_removed_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATERSHED_CACHE", str(tmp_path))
    here, gone = tmp_path / "it's here", tmp_path / "gone"
    for java in (here, gone):
        java.touch()
    homes = [launcher(java, 25) for java in (here, gone)]
    for home in homes:
        (home / "spark.aot").touch()
    gone.unlink()
    remove_unused(tmp_path / "java")
    assert [home.exists() for home in homes] == [True, False]
