"""The command `watershed ui`: Dagster's web server for the project, or the page on which people ask the papers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import say

STORED = "answers that were finished are in scholar.answers, and the replies of models in models.requests"


@click.command("ui")
@click.argument("page", type=click.Choice(["ask"]), metavar="[ask]", required=False)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=None,
    metavar="PORT",
    help="The port of the web server. The default is `[dagster] port` of watershed.toml, and a free port for ask.",
)
@click.option(
    "--host",
    default=None,
    metavar="ADDRESS",
    help="The address that Dagster's web server listens on. The default is 127.0.0.1.",
)
@click.option(
    "--model",
    metavar="NAME_OR_URL",
    help="With ask: the entry of [models], or the address of a server, that is chosen at first.",
)
@click.option(
    "--judge",
    metavar="NAME",
    help="With ask: the entry of [models] that checks citations. The default is the model that answers.",
)
@click.option(
    "--cap",
    type=click.FloatRange(0, min_open=True),
    help="With ask: the most that a stage of an answer may cost in US dollars.",
)
@user_errors(signals=False)
def ui_command(
    *,
    page: str | None,
    port: int | None,
    host: str | None,
    model: str | None,
    judge: str | None,
    cap: float | None,
) -> None:
    """Start Dagster's web server: the graph of assets, their checks, runs and backfills.

    The command runs until Ctrl+C is pressed or SIGTERM is received. Runs that are in progress are interrupted then;
    what they committed is kept.

    `watershed ui ask` serves a page of this machine instead, on which people ask the papers of the lake, as `watershed
    ask` does: with a model or without, with progress by stage, and with citations that open their passages. Earlier
    answers are listed. Questions are answered one after another.

    \b
    Examples:
      watershed ui
      watershed ui --port 3001
      watershed ui --host 0.0.0.0
      watershed ui ask
      watershed ui ask --model smollm2 --port 8123
    """
    from catalog.errors import WatershedError

    if page:
        if host is not None:
            raise WatershedError(
                "--host belongs to Dagster's web server, and the page of ask is served to this machine alone",
                "leave it out",
            )
        _ask(port or 0, model, judge, cap)
        return
    if model or judge or cap:
        raise WatershedError("--model, --judge and --cap belong to `watershed ui ask`", "add `ask`, or leave them out")
    _dagster(host or "127.0.0.1", port)


@user_errors(STORED)
def _ask(port: int, model: str | None, judge: str | None, cap: float | None) -> None:
    """Serve the page; this thread answers the questions."""
    import threading

    from catalog.settings import load_settings
    from dagster_project.families.scholar.ask_page.questions import Questions
    from dagster_project.families.scholar.ask_page.server import AskServer

    questions = Questions(load_settings(), judge=judge, cap=cap)
    with AskServer(questions, port, model) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        say(f"ask the papers at {server.url} (Ctrl+C ends)")
        try:
            questions.work()
        finally:
            server.shutdown()


def _dagster(host: str, port: int | None) -> None:
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
