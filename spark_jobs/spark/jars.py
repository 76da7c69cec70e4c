"""Jars that Spark does not include (for Delta Lake and object stores), fetched once and then used offline.

Spark can resolve Maven coordinates, but it does so on every start and may need the network. Therefore the first start
lets Spark's own resolver (Ivy) fetch the jars into the cache folder, from the repositories that it is configured with,
and later starts use the files. Delta needs only its own jars and Unity Catalog's client; Spark includes the others.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from catalog.errors import WatershedError
from catalog.progress import track
from catalog.settings import SparkSettings
from spark_jobs.spark.java import cache_folder, find_java

SCALA = "2.13"
NEEDED = ("io.delta_", "io.unitycatalog_")
"""Beginnings of the names of Delta's jars; see `Wanted.kept`."""
INCLUDED = ("com.*:*", "jakarta.*:*", "javax.*:*", "net.*:*", "org.*:*")
"""Dependencies of Delta that are not fetched, because Spark includes those that are used; see `Wanted.excluded`."""
MANIFEST = "manifest.json"
TIMEOUT_S = 900
PAUSES_S = (2, 10, 30)
"""Seconds between one try to fetch and the next: a repository may refuse one of many requests."""


def delta_coordinates() -> str:
    """Maven coordinates of the Delta Lake that belongs to the installed delta-spark and pyspark."""
    spark = ".".join(version("pyspark").split(".")[:2])
    return f"io.delta:delta-spark_{spark}_{SCALA}:{version('delta-spark')}"


def delta_jars(java_home: Path, config: dict[str, str]) -> list[Path]:
    """Delta's jars in the cache, in name order; fetched if they are missing.

    Args:
        java_home: a Java for Spark's resolver, from `find_java`.
        config: Spark configuration; its `spark.jars.ivySettings` and `spark.jars.repositories` are used.

    Raises:
        WatershedError: they are not cached and could not be fetched; no partial files are left.
    """
    wanted = Wanted(
        label="Delta's jars", megabytes=14, coordinates=(delta_coordinates(),), kept=NEEDED, excluded=INCLUDED
    )
    return cached_jars(wanted, java_home, config)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Jars that are used together."""

    label: str
    megabytes: int
    """Approximate size of the download, for the error message."""
    coordinates: tuple[str, ...]
    """Maven coordinates; the first names the folder in the cache."""
    kept: tuple[str, ...]
    """Beginnings of the names (group_artifact-version.jar) of the resolved jars to keep."""
    excluded: tuple[str, ...] = ()
    """group:artifact of dependencies that are not fetched; `*` matches any characters."""
    digest: str = ""
    """sha256 of the manifest, if the jars are pinned."""


def cached_jars(wanted: Wanted, java_home: Path, config: dict[str, str]) -> list[Path]:
    """The jars in the cache, in name order; fetched if they are missing. See `delta_jars`."""
    folder = cache_folder() / "jars" / wanted.coordinates[0].replace(":", "_")
    if (cached := _listed(folder)) is not None:
        return cached
    folder.parent.mkdir(parents=True, exist_ok=True)
    with alone(folder.parent / ".lock"):
        if (cached := _listed(folder)) is not None:
            return cached
        work = Path(tempfile.mkdtemp(prefix=".fetch-", dir=folder.parent))
        try:
            with track(f"{wanted.label} from Maven (once)", 1):
                _resolve_patiently(wanted, work, java_home, config)
            fresh = _keep_needed(wanted, work)
            shutil.rmtree(folder, ignore_errors=True)
            fresh.replace(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    cached = _listed(folder)
    assert cached is not None
    return cached


def _listed(folder: Path) -> list[Path] | None:
    """The jars in the folder's manifest; None if the manifest is missing or a file differs from it."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        whole = all((folder / name).stat().st_size == entry["bytes"] for name, entry in manifest.items())
    except (OSError, ValueError):
        return None
    return [folder / name for name in sorted(manifest)] if whole else None


def _resolve_patiently(wanted: Wanted, work: Path, java_home: Path, config: dict[str, str]) -> None:
    """Resolve, again after a pause if it fails; raises the error of the last try.

    The Java on the PATH is tried in turn with `java_home`: it may trust the certificate of a company's proxy, which the
    Java that is installed with Watershed does not know.
    """
    homes = [java_home, *_java_on_the_path()]
    for number, pause in enumerate(PAUSES_S):
        try:
            return _resolve(wanted, work, homes[number % len(homes)], config)
        except WatershedError:
            time.sleep(pause)
    return _resolve(wanted, work, homes[len(PAUSES_S) % len(homes)], config)


def _java_on_the_path() -> list[Path]:
    """The home of the Java on the PATH, if there is one that Spark runs on."""
    found = shutil.which("java")
    try:
        return [find_java(SparkSettings(java_home=str(Path(found).resolve().parents[1])))] if found else []
    except WatershedError:
        return []


def _resolve(wanted: Wanted, work: Path, java_home: Path, config: dict[str, str]) -> None:
    """Let spark-submit fetch what is wanted into `work`/jars, as it would before running an (empty) program."""
    import pyspark

    home = Path(pyspark.__file__).parent
    program = work / "nothing.py"
    program.write_text("")
    # Ivy fails on a ~/.m2 with a pom but no jar, so it gets an empty home folder.
    asked = {
        "spark.jars.packages": ",".join(wanted.coordinates),
        "spark.jars.ivy": str(work),
        "spark.driver.extraJavaOptions": f"-Duser.home={work}",
        **({"spark.jars.excludes": ",".join(wanted.excluded)} if wanted.excluded else {}),
        **{key: config[key] for key in ("spark.jars.ivySettings", "spark.jars.repositories") if key in config},
    }
    options = [part for key, value in asked.items() for part in ("--conf", f"{key}={value}")]
    command = [home / "bin" / "spark-submit", "--master", "local[1]", *options, program]
    environment = {**os.environ, "JAVA_HOME": str(java_home), "SPARK_HOME": str(home)}
    try:
        run = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=work
        )
        failed = run.returncode != 0
        output = [line.strip() for line in run.stderr.splitlines() if line.strip()]
    except subprocess.TimeoutExpired:
        failed, output = True, [f"no answer within {TIMEOUT_S} s"]
    if failed:
        reasons = [line for line in output if "unresolved" in line or "not found" in line or "no answer" in line]
        why = [*output, *reasons][-1] if output else "no reason given"
        raise WatershedError(
            f"{wanted.coordinates[0]} could not be fetched from Maven: {why}",
            f"connect to the network once ({wanted.megabytes} MB), or copy {cache_folder() / 'jars'} from a machine "
            "that has it",
        )


def _keep_needed(wanted: Wanted, work: Path) -> Path:
    """A folder in `work` with the needed jars, each checked once, and a manifest of their digests."""
    fresh = work / "whole"
    fresh.mkdir()
    manifest = {}
    for jar in sorted((work / "jars").glob("*.jar")):
        if not jar.name.startswith(wanted.kept):
            continue
        try:
            with zipfile.ZipFile(jar) as archive:
                broken = archive.testzip()
        except zipfile.BadZipFile:
            broken = jar.name
        if broken:
            raise WatershedError(f"{jar.name} arrived damaged ({broken})", "run it again; nothing was kept")
        manifest[jar.name] = {"bytes": jar.stat().st_size, "sha256": hashlib.sha256(jar.read_bytes()).hexdigest()}
        shutil.copyfile(jar, fresh / jar.name)
    _, artifact, release = wanted.coordinates[0].split(":")
    if not any(name.endswith(f"_{artifact}-{release}.jar") for name in manifest):
        raise WatershedError(f"Maven's answer holds no {artifact}", "run it again, or check spark.jars.ivySettings")
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
    found = hashlib.sha256(text.encode()).hexdigest()
    if wanted.digest and found != wanted.digest:
        raise WatershedError(
            f"{wanted.label} are not the pinned ones: sha256 of their manifest is {found}",
            "check which repositories spark.jars.ivySettings and spark.jars.repositories name; nothing was kept",
        )
    (fresh / MANIFEST).write_text(text)
    return fresh


@contextmanager
def alone(path: Path) -> Generator[None]:
    """Hold a lock between processes, so that two first starts do not fetch twice."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
