"""A standalone Spark cluster of real processes on this machine: a master, and workers of one core each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyspark

from catalog.settings import SparkSettings
from spark_jobs.spark.java import find_java

HOST = "127.0.0.1"
DEPLOY = "org.apache.spark.deploy"


@contextmanager
def standalone_cluster(folder: Path, workers: int = 2) -> Generator[str]:
    """Start a cluster that keeps its files in `folder`; its master's URL. All is stopped at the end."""
    with ExitStack() as running:
        master_log = folder / "master.log"
        run = running.enter_context
        run(_daemon(master_log, "master.Master", "--host", HOST, "--port", "0", "--webui-port", "0"))
        url = _wait_for(master_log, rf"spark://{HOST}:\d+")
        for number in range(workers):
            log = folder / f"worker-{number}.log"
            place = ("--host", HOST, "--work-dir", str(folder / f"work-{number}"), "--webui-port", "0")
            run(_daemon(log, "worker.Worker", *place, "--cores", "1", "--memory", "1g", url))
            _wait_for(log, "Successfully registered with master")
        yield url


@contextmanager
def _daemon(log: Path, name: str, *arguments: str) -> Generator[None]:
    home = Path(pyspark.__file__).parent
    environment = {
        **os.environ,
        "JAVA_HOME": str(find_java(SparkSettings())),
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": HOST,
        "SPARK_DAEMON_MEMORY": "256m",
        "PYSPARK_PYTHON": sys.executable,
    }
    with log.open("w") as output:
        command = [str(home / "bin" / "spark-class"), f"{DEPLOY}.{name}", *arguments]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(log: Path, pattern: str) -> str:
    """What a daemon says that it waits to be found by, at most two minutes."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if found := re.search(pattern, log.read_text()):
            return found.group()
        time.sleep(0.1)
    raise TimeoutError(f"{pattern} is not in {log}:\n{log.read_text()[-2000:]}")
