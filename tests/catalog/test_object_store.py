"""A lake in an object store with the S3 API: delta-rs writes, DuckDB reads, and errors are one line."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catalog.errors import WatershedError
from catalog.inventory import table_state
from catalog.lake import Lake
from catalog.object_store import full_options
from catalog.settings import Settings, load_settings
from catalog.sql.query import connect, query
from catalog.storage.records import entry_path, read_record
from catalog.storage.repair import plan_repair
from catalog.storage.verify import verify
from catalog.tables import contract
from tests.s3_server import make_bucket, options, s3_server
from tests.small_lake import good_rows, row, write_rows

DOCUMENTS, SCORES, RESULTS = contract("dclm.documents"), contract("dclm.scores"), contract("evals.results")


@pytest.fixture(scope="module")
def server() -> Generator[str]:
    """Its endpoint."""
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def project(server: str, tmp_path: Path) -> Settings:
    """A project whose lake lies in a bucket of its own."""
    return at(tmp_path, make_bucket(server, f"lake-{uuid.uuid4().hex[:12]}") + "/prefix/", options(server))


@pytest.fixture
def few_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections look for two tables. Each of a hundred more would be a request to the server, which is slow."""
    looked_for = {contract.name: contract for contract in (DOCUMENTS, SCORES)}
    monkeypatch.setattr("catalog.sql.declare.CONTRACTS", looked_for)
    monkeypatch.setattr("catalog.sql.declare.VIEWS", {})


def at(folder: Path, root: str, options: dict[str, str]) -> Settings:
    """The settings of a project with its lake at `root`."""
    entries = "".join(f"{key} = {json.dumps(value)}\n" for key, value in options.items())
    (folder / "watershed.toml").write_text(f'[lake]\nroot = "{root}"\n[lake.storage_options]\n{entries}')
    return load_settings(folder)


def answers(run: str) -> pa.Table:
    """Two answers of a run."""
    rows = [row(RESULTS, run=run, question_id=f"q{number}") for number in range(2)]
    return pa.Table.from_pylist(rows, schema=RESULTS.schema)


def test_a_table_is_written_and_read_back_with_its_constraints_and_history(project: Settings) -> None:
    lake, rows = Lake.of(project), good_rows()["dclm.scores"]
    write_rows(project, {"dclm.scores": rows}, "a" * 16)
    write_rows(project, {"dclm.scores": rows[:2]}, "b" * 16)
    state = table_state(lake, SCORES)
    assert (state.rows, state.summary, state.partitions[""].fingerprint) == (2, "fits its contract", "b" * 16)
    with pytest.raises(WatershedError, match=r"dclm\.scores was not written"):
        write_rows(project, {"dclm.scores": [{**rows[0], "score": 2.0}]})
    assert lake.read("dclm.scores").num_rows == 2


def test_a_lost_commit_is_noticed_and_files_are_verified(project: Settings, few_tables: None) -> None:
    lake, rows = Lake.of(project), good_rows()["dclm.scores"]
    for count in (3, 2):
        write_rows(project, {"dclm.scores": rows[:count]})
    found = verify(lake, SCORES)
    assert (found.faults, found.files, found.digested, found.without) == ((), 1, 2, 0)
    store = lake.store("dclm.scores")
    (data,) = read_record(store, 3).data
    whole = store.read(data)
    store.write(data, whole[:-1] + b"2")
    assert [fault.path for fault in verify(lake, SCORES).faults] == [store.name(data)]
    store.set_aside(entry_path(3))
    with pytest.raises(WatershedError, match=r"dclm\.scores is damaged: .*00003\.json is missing"):
        lake.read("dclm.scores")
    with connect(project) as connection, pytest.raises(WatershedError, match=r"00003\.json is missing"):
        query(connection, "FROM dclm.scores")
    plan_repair(lake, SCORES).carry_out()
    assert lake.table("dclm.scores").version() == 3


def test_sql_reads_the_lake_and_its_past(project: Settings, few_tables: None) -> None:
    write_rows(project, {"dclm.documents": good_rows()["dclm.documents"]}, "a" * 16)
    write_rows(project, {"dclm.documents": good_rows()["dclm.documents"][:2]}, "b" * 16)
    connection = connect(project)

    def first(sql: str) -> object:
        found = query(connection, sql)
        assert found is not None
        return found.fetchall()[0][0]

    assert first("SELECT count(*) FROM dclm.documents") == 2
    before = first("SELECT version FROM watershed.history WHERE fingerprint = 'aaaaaaaaaaaaaaaa'")
    assert first(f"SELECT count(*) FROM dclm.documents AT (VERSION => {before})") == 6
    assert first("SELECT state FROM watershed.tables WHERE name = 'dclm.scores'") == "not made yet"


def test_writers_never_conflict_even_at_the_first_write(project: Settings) -> None:
    lake, runs = Lake.of(project), [f"run-{number}" for number in range(6)]
    with ThreadPoolExecutor(len(runs)) as pool:
        versions = list(pool.map(lambda run: lake.replace(RESULTS, answers(run), run, {"run": run}), runs))
    assert sorted(lake.read("evals.results")["run"].to_pylist()) == sorted(runs * 2)
    # One commit that creates the table, one of its constraints, and one a run.
    assert len({*versions}) == len(runs) == (lake.version("evals.results") or 0) - 1
    assert table_state(lake, RESULTS).summary == "fits its contract"


@pytest.mark.parametrize(
    ("wrong", "cause", "mend"),
    [
        ({"root": "s3://there-is-none/lake"}, "the bucket does not exist", "make it"),
        ({"AWS_ACCESS_KEY_ID": "stranger"}, "the server does not accept the key", "check AWS_ACCESS_KEY_ID"),
        (
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
            "no answer from the server",
            "start it, or correct",
        ),
    ],
    ids=["bucket", "key", "server"],
)
def test_an_error_of_the_object_store_is_one_line_and_exit_code_2(
    server: str, tmp_path: Path, wrong: dict[str, str], cause: str, mend: str
) -> None:
    entries = {"root": "s3://there-is-none/lake", **options(server), **wrong}
    project = at(tmp_path, entries.pop("root"), entries)
    for words in (["sql", "SELECT 1"], ["tables"], ["describe", "dclm.documents"]):
        first, second = refused(project, words)
        assert first.startswith("error: s3://") and first.endswith(cause)
        assert second.startswith(f"mend:  {mend}")
    with pytest.raises(WatershedError, match=cause):
        Lake.of(project).replace(RESULTS, answers("run"), "a" * 16, {"run": "run"})


def refused(project: Settings, words: list[str]) -> list[str]:
    """Run `watershed WORDS`, which must exit with 2, and return its lines on stderr."""
    command = [sys.executable, "-m", "dagster_project", *words]
    run = subprocess.run(command, cwd=project.project, capture_output=True, text=True, check=False, env=environment())
    assert run.returncode == 2
    return run.stderr.splitlines()


def test_a_server_that_never_answers_or_is_none_is_reported(tmp_path: Path) -> None:
    class NoStore(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadingHTTPServer(("127.0.0.1", 0), NoStore) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        for port, cause in (
            (silent.getsockname()[1], "no answer"),
            (other.server_port, "not answer as an object store"),
        ):
            project = at(tmp_path, "s3://bucket/lake", options(f"http://127.0.0.1:{port}"))
            assert cause in refused(project, ["tables"])[0]
        other.shutdown()


def environment() -> dict[str, str]:
    """That of the tests, with the project on Python's path."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}


def test_options_that_the_settings_lack_come_from_the_environment() -> None:
    environment = {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "theirs", "ENDPOINT_URL": "not of AWS"}
    full = full_options("s3://bucket", {"access_key_id": "mine", "aws_endpoint": "store:9000"}, environment)
    assert full["AWS_ACCESS_KEY_ID"] == "mine"
    assert full["AWS_REGION"] == "eu-west-1"
    assert full["AWS_ENDPOINT_URL"] == "https://store:9000"
    assert "AWS_ALLOW_HTTP" not in full
    assert full_options("s3://bucket", {"AWS_ENDPOINT_URL": "http://store:9000"}, {})["AWS_ALLOW_HTTP"] == "true"
    assert full_options("/a/folder", {}, environment) == {}


def test_only_a_folder_or_s3_is_a_lake(tmp_path: Path) -> None:
    with pytest.raises(WatershedError, match="a folder, or a prefix in an object store with the S3 API"):
        at(tmp_path, "gs://bucket/lake", {})
