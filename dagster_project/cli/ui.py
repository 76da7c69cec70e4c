"""`watershed ui`: Dagster on the project's lake and instance."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import click

from catalog.settings import load_settings
from dagster_project.cli.screen.errors import user_errors


@click.command("ui")
@click.option("--port", type=int, default=None, help="Port of the web server; [dagster] port by default.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@user_errors
def ui_command(port: int | None, host: str) -> None:
    """Open Dagster: the graph of assets, their checks, runs and backfills."""
    from dagster_project.instance import open_instance

    settings = load_settings()
    open_instance(settings).dispose()
    port = port or settings.dagster.port
    click.echo(f"Dagster on http://{host}:{port}   runs are kept in {settings.dagster_home}   Ctrl+C stops it")
    command = [sys.executable, "-m", "dagster", "dev", "-m", "dagster_project.definitions"]
    command += ["--host", host, "--port", str(port)]
    server = subprocess.Popen(
        command,
        cwd=settings.project,
        env={**os.environ, "WATERSHED_PROJECT": str(settings.project), "DAGSTER_HOME": str(settings.dagster_home)},
    )
    for received in (signal.SIGINT, signal.SIGTERM):
        signal.signal(received, lambda number, frame: server.send_signal(signal.SIGINT))
    sys.exit(server.wait())
