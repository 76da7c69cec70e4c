"""The command `watershed ui`: starts Dagster's web server for the lake and the instance of the project."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import say


@click.command("ui")
@click.option(
    "--port",
    type=int,
    default=None,
    metavar="PORT",
    help="The port of the web server. The default is `[dagster] port` of watershed.toml.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="The address that the web server listens on.",
)
@user_errors(signals=False)
def ui_command(port: int | None, host: str) -> None:
    """Start Dagster's web server: the graph of assets, their checks, runs and backfills.

    The command runs until Ctrl+C is pressed or SIGTERM is received. Runs that are in progress are interrupted then;
    what they committed is kept.

    \b
    Examples:
      watershed ui
      watershed ui --port 3001
      watershed ui --host 0.0.0.0
    """
    from catalog.settings import load_settings
    from dagster_project.instance import open_instance
    from dagster_project.processes import end_abandoned_daemons

    settings = load_settings()
    end_abandoned_daemons(settings.dagster_home)
    open_instance(settings).dispose()
    port = port or settings.dagster.port
    say(f"Dagster on http://{host}:{port}   runs are kept in {settings.dagster_home}   Ctrl+C stops it")
    server = subprocess.Popen(
        [sys.executable, "-m", "dagster_project.server", host, str(port)],
        cwd=settings.project,
        env={**os.environ, "WATERSHED_PROJECT": str(settings.project), "DAGSTER_HOME": str(settings.dagster_home)},
        # The server ends when this pipe is closed, even if this process is killed.
        stdin=subprocess.PIPE,
        process_group=0,
    )
    assert server.stdin
    lifeline = server.stdin
    for received in (signal.SIGINT, signal.SIGTERM):
        signal.signal(received, lambda number, frame: lifeline.close())
    code = server.wait()
    # If the server was killed, its daemon is left.
    end_abandoned_daemons(settings.dagster_home)
    sys.exit(code)
