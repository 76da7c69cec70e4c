"""Automation: the real daemon finds a new archive, starts a run, and sends an alert when it fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import pytest
from dagster_api import ask, wait_until
from demo_project import serving

import dagster_project.alerts
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import load_settings
from catalog.tables import CONTRACTS
from dagster_project.alerts import message_of, post
from dagster_project.automation import run_config
from dagster_project.definitions import definitions
from dagster_project.families.dclm.archives import new_archives
from dagster_project.run import LAUNCHED_BY_TAG, command_tags
from tests.s3_server import make_bucket, options, s3_server
from tests.small_lake import row

SECRET = "T0K3N"


class Webhook(ThreadingHTTPServer):
    """A chat server that answers with `status` after `hold` is set, and keeps what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.location = 200, ""
        self.hold = threading.Event()
        self.hold.set()
        self.bodies: list[bytes] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hooks/{SECRET}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Webhook)
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.hold.wait()
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def webhook() -> Generator[Webhook]:
    server = Webhook()
    yield server
    server.hold.set()
    server.shutdown()
    server.server_close()


def project(folder: Path, *archives: str, known: tuple[str, ...] = (), automation: str = "") -> Path:
    """A project with archives in its crawl folder, of which dclm.pool holds `known`."""
    (folder / "crawl").mkdir(parents=True)
    (folder / "watershed.toml").write_text(f"[automation]\n{automation}\n")
    for name in archives:
        (folder / "crawl" / name).write_bytes(b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n\r\n\r\n")
    if known:
        import pyarrow as pa

        pool, lake = CONTRACTS["dclm.pool"], Lake.of(load_settings(folder))
        rows = [row(pool, warc=name, global_shard=0, local_shard=0, state="ready") for name in known]
        lake.replace(pool, pa.Table.from_pylist(rows, schema=pool.schema), "a" * 16)
    return folder


def test_everything_is_off_by_default_and_each_switch_turns_one_on(tmp_path: Path) -> None:
    def running(toml: str) -> set[str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        (folder / "watershed.toml").write_text(f"[automation]\n{toml}\n")
        repository = definitions(load_settings(folder)).get_repository_def()
        on = {
            sensor.name for sensor in repository.sensor_defs if sensor.default_status == dg.DefaultSensorStatus.RUNNING
        }
        return on | {s.name for s in repository.schedule_defs if s.default_status == dg.DefaultScheduleStatus.RUNNING}

    always = {"what_is_due"}
    assert running("") == always, "it only looks, and starts nothing"
    assert running("new_archives = true") == always | {"new_archives"}
    assert running("cheap_tables = true") == always | {"cheap_tables"}
    assert running('schedule = "0 4 * * *"') == always | {"make_on_schedule"}
    assert running('alerts = "https://hooks.example/x"') == always | {"alerts"}
    assert running("freshness = true") == always


def test_new_archives_are_those_that_the_pool_does_not_hold(tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "b.warc.gz", "a.warc.gz", known=("b.warc.gz",))
    assert new_archives(load_settings(folder)) == (["a.warc.gz", "b.warc.gz"], ["a.warc.gz"])
    (folder / "more.paths").write_text("crawl/a.warc.gz\ncrawl/b.warc.gz\n")
    (folder / "watershed.toml").write_text('[crawl]\ninputs = ["more.paths"]\n')
    assert new_archives(load_settings(folder))[1] == ["a.warc.gz"]
    (folder / "watershed.toml").write_text('[automation]\njobs = ["curate"]\n')
    with pytest.raises(WatershedError, match="no job is called 'curate'"):
        run_config(load_settings(folder))


@pytest.mark.slow
def test_the_daemon_starts_a_run_for_a_new_archive_and_alerts_when_it_fails(tmp_path: Path, webhook: Webhook) -> None:
    # The job `registry` fails at once, because no folder is configured.
    switches = f'new_archives = true\nalerts = "{webhook.address}"\njobs = ["registry"]'
    folder = project(tmp_path / "p", "old.warc", "new.warc", known=("old.warc",), automation=switches)
    query = "{ runsOrError { ... on Runs { results { runId jobName status tags { key value } } } } }"
    with serving(folder) as address:

        def runs(job: str) -> list[dict]:
            found = ask(address, query)["runsOrError"]["results"]
            return [run for run in found if run["jobName"] == job]

        wait_until(lambda: len(webhook.bodies) >= 1, "no alert", lambda: (folder / "ui.log").read_text()[-3000:])
        (run,) = runs("make_what_is_due")
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}
        assert (run["status"], tags["dagster/sensor_name"]) == ("FAILURE", "new_archives")
        for each in runs("registry"):
            assert {tag["key"]: tag["value"] for tag in each["tags"]}["dagster/parent_run_id"] == run["runId"]
    sent = json.loads(webhook.bodies[0])
    assert sent["job"] in ("make_what_is_due", "registry")
    assert sent["text"].startswith("Watershed: run ")
    assert SECRET not in (folder / "ui.log").read_text()


@pytest.mark.parametrize(
    ("status", "problem", "posts"),
    [(204, None, 1), (404, "it answered with status 404", 1), (500, "it answered with status 500", 2)],
)
def test_a_webhook_is_asked_twice_at_most_and_never_named(
    webhook: Webhook, status: int, problem: str | None, posts: int
) -> None:
    webhook.status = status
    assert post(webhook.address, {"text": "a\x1b[2J" + "x" * 9000}) == problem
    assert len(webhook.bodies) == posts
    text = json.loads(webhook.bodies[0])["text"]
    assert len(text) == dagster_project.alerts.LONGEST and "\x1b" not in text


def test_a_webhook_that_hangs_redirects_or_is_none_is_given_up(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_project.alerts, "TIMEOUT_S", 0.2)
    webhook.hold.clear()
    problem = post(webhook.address, {"text": "a"})
    assert problem is not None and "could not be reached" in problem and SECRET not in problem
    webhook.hold.set()
    other = Webhook()
    webhook.status, webhook.location = 302, other.address
    assert post(webhook.address, {"text": "a"}) == "it answered with status 302"
    assert other.bodies == []
    other.shutdown()
    other.server_close()
    assert post(f"file:///{SECRET}", {}) == "its address does not begin with http:// or https://"
    assert SECRET not in str(post(f"http://no such host/{SECRET}", {}))


def test_the_address_of_the_webhook_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "watershed.toml").write_text(f'[automation]\nalerts = "https://hooks.example/{SECRET}"\n')
    assert SECRET not in repr(load_settings(tmp_path))
    (tmp_path / "watershed.toml").write_text(f'[automation]\nalerts = ["https://hooks.example/{SECRET}"]\n')
    with pytest.raises(WatershedError) as error:
        load_settings(tmp_path)
    assert SECRET not in error.value.cause


def test_a_message_names_the_run_and_quotes_nothing() -> None:
    run = dg.DagsterRun(job_name="curation", run_id="0" * 32)
    sent = message_of(run, ["documents"])
    assert sent["text"] == "Watershed: run 00000000 of curation failed at documents. Its page in Dagster says why."


def test_runs_of_the_command_line_say_which_command_started_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["watershed", "make", "dclm.pool"])
    assert command_tags() == {LAUNCHED_BY_TAG: "watershed make dclm.pool"}
    monkeypatch.setattr("sys.argv", ["watershed", "demo", "--crawl", "https://me:pass@a.example/x.warc?sig=1"])
    assert command_tags() == {LAUNCHED_BY_TAG: "watershed demo --crawl 'https://…@a.example/x.warc?…'"}


def test_new_archives_under_a_prefix_of_a_bucket_are_found_and_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow.fs import S3FileSystem

    from spark_jobs.archives.places import open_archive
    from spark_jobs.dclm.pool import register

    with s3_server() as endpoint:
        bucket = make_bucket(endpoint, "archives")
        for name, value in options(endpoint).items():
            monkeypatch.setenv(name, value)
        folder = project(tmp_path / "p", known=("old.warc",))
        (folder / "watershed.toml").write_text(f'[crawl]\ninputs = ["{bucket}/crawl"]\n')
        store = S3FileSystem(region="us-east-1", endpoint_override=endpoint.removeprefix("http://"), scheme="http")
        record = b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n\r\n\r\n"
        for name in ("crawl/a/new.warc", "crawl/old.warc", "crawl/notes.txt", "other/new2.warc"):
            with store.open_output_stream(f"archives/{name}") as file:
                file.write(record)
        assert new_archives(load_settings(folder)) == (["new.warc", "old.warc"], ["new.warc"])
        rows = register([f"{bucket}/crawl"], "local", 2).to_pylist()
        assert [(row["warc"], row["state"], row["bytes"]) for row in rows] == [
            ("new.warc", "ready", len(record)),
            ("old.warc", "ready", len(record)),
        ]
        with open_archive(rows[0]["uri"], len(record)) as file:
            assert file.read() == record
        with pytest.raises(WatershedError, match="when it was registered and has"):
            open_archive(rows[0]["uri"], 1)
        with pytest.raises(WatershedError, match="archives/empty"):
            register([f"{bucket}/empty"], "local", 2)
