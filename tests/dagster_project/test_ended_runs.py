"""Runs that were cancelled or killed say so: the real server, a run in the middle of its work, and real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest
from dagster_api import ask, launch, messages, status, terminate, wait_until
from demo_project import ROOT, environment, free_port, new_project
from slow_crawl import SlowCrawl, in_the_middle, slow_crawl

from catalog.lake import Lake
from catalog.settings import load_settings


@pytest.fixture(scope="module")
def crawl() -> Generator[SlowCrawl]:
    with slow_crawl() as server:
        yield server


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, crawl: SlowCrawl) -> Path:
    folder = new_project(tmp_path_factory.mktemp("ended") / "project")
    (folder / "watershed.toml").write_text(
        f'[crawl]\ninputs = ["http://127.0.0.1:{crawl.server_address[1]}/slow.warc"]\n'
    )
    return folder


class Server:
    """`watershed ui`, started in the background by a script, which lets it ignore SIGINT."""

    def __init__(self, project: Path, crawl: SlowCrawl) -> None:
        # Partitions are those of the crawl, which has to be listed first.
        crawl.open.set()
        self.port, self.log = free_port(), project / f"ui-{free_port()}.log"
        self.address = f"http://127.0.0.1:{self.port}"
        command = f'"{sys.executable}" -m dagster_project ui --port {self.port} >"{self.log}" 2>&1 & echo $!'
        script = subprocess.run(
            ["bash", "-c", command], cwd=ROOT, env=environment(project), capture_output=True, text=True, check=True
        )
        self.process = psutil.Process(int(script.stdout))
        wait_until(self._answers, "the server does not start", self.log.read_text)
        wait_until(self._knows_partition, "the partitions are not listed", self.log.read_text)
        crawl.open.clear()

    def _answers(self) -> bool:
        assert self.process.is_running(), self.log.read_text()
        try:
            urllib.request.urlopen(f"{self.address}/server_info", timeout=5)
        except OSError:
            return False
        return True

    def _knows_partition(self) -> bool:
        query = (
            "query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { partitionKeys } } }"
        )
        found = ask(self.address, query, key={"path": ["dclm", "pool"]})["assetNodeOrError"]
        return "0-0" in found.get("partitionKeys", [])

    @property
    def descendants(self) -> list[psutil.Process]:
        return self.process.children(recursive=True)


def gone(processes: list[psutil.Process]) -> bool:
    return not [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def run_in_the_middle(server: Server, crawl: SlowCrawl) -> str:
    """Launch a run, and wait until it asks for the archive, which it will not get."""
    crawl.asked.clear()
    run = launch(server.address, "curation", "dclm.pool", "0-0")
    wait_until(
        lambda: in_the_middle(server.address, run, crawl),
        "the run does not start",
        lambda: messages(server.address, run),
    )
    return run


@pytest.fixture
def server(project: Path, crawl: SlowCrawl) -> Generator[Server]:
    server = Server(project, crawl)
    yield server
    if server.process.is_running():
        left = [server.process, *server.descendants]
        server.process.terminate()
        wait_until(lambda: gone(left), "SIGTERM does not end the server", server.log.read_text)


@pytest.mark.campaign
def test_a_run_is_cancelled_and_executed_again_and_sigterm_ends_the_server(server: Server, crawl: SlowCrawl) -> None:
    run = run_in_the_middle(server, crawl)
    said = messages(server.address, run)
    assert any("dclm.pool: 1 partition asked for" in line for line in said), said
    assert terminate(server.address, run) == "TerminateRunSuccess"
    wait_until(
        lambda: status(server.address, run) == "CANCELED", "not cancelled", lambda: messages(server.address, run)
    )
    said = messages(server.address, run)
    assert [line for line in said if "KeyboardInterrupt" in line or "finished in" in line] == []
    assert any("The run was cancelled. dclm.pool is as it was before." in line for line in said), said
    crawl.open.set()
    again = launch(server.address, "curation", "dclm.pool", "0-0")
    wait_until(lambda: status(server.address, again) in ("SUCCESS", "FAILURE"), "the run does not end")
    crawl.open.clear()
    assert status(server.address, again) == "SUCCESS", messages(server.address, again)
    assert len(Lake.of(load_settings(Path(os.fspath(server.log)).parent)).written("dclm.pool")) == 1

    left = [server.process, *server.descendants]
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: gone(left), "SIGTERM does not end the server", server.log.read_text)


@pytest.mark.campaign
def test_a_run_whose_server_was_killed_is_marked_as_failed_with_the_cause(project: Path, crawl: SlowCrawl) -> None:
    first = Server(project, crawl)
    killed_alone = run_in_the_middle(first, crawl)
    left = first.descendants
    first.process.kill()
    wait_until(lambda: gone(left), "the server outlives `watershed ui`", first.log.read_text)

    second = Server(project, crawl)
    assert status(second.address, killed_alone) == "FAILURE"
    killed_with_all = run_in_the_middle(second, crawl)
    left = [second.process, *second.descendants]
    for process in left:
        process.kill()
    wait_until(lambda: gone(left), "processes survive SIGKILL")

    third = Server(project, crawl)
    assert status(third.address, killed_with_all) == "FAILURE"
    said = messages(third.address, killed_with_all)
    assert any("was killed, or the machine was restarted" in line for line in said), said
    assert terminate(third.address, killed_with_all) == "TerminateRunFailure"
    left = [third.process, *third.descendants]
    third.process.terminate()
    wait_until(lambda: gone(left), "SIGTERM does not end the server", third.log.read_text)
