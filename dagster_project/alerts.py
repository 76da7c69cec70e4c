"""Alerts: a message to a webhook for every failed run of the UI, a schedule or a sensor.

The address is `[automation] alerts`, or WATERSHED_AUTOMATION_ALERTS. It may hold a secret, so it is never printed. A
message names the run, its job and the tables that failed. It quotes no error, because an error may quote the crawl.
"""

# Annotations stay evaluated here: Dagster refuses a `context` that is annotated by a string.

import json
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import dagster as dg

from catalog.printable import one_line
from catalog.settings import Settings, load_settings

TIMEOUT_S = 5.0
TRIES = 2
LONGEST = 500
"""Most characters of a message."""
STEPS_NAMED = 5


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        """Refuse: the message would go to a place that nobody configured."""


def post(address: str, message: dict[str, str]) -> str | None:
    """Send `message` as JSON to a webhook; return None, or why it was not accepted, without its address.

    The call takes at most about `TRIES` * `TIMEOUT_S` seconds, and follows no redirection.
    """
    if urlsplit(address).scheme not in ("http", "https"):
        return "its address does not begin with http:// or https://"
    body = json.dumps({name: one_line(value, LONGEST) for name, value in message.items()}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"}, method="POST")
    problem: str | None = None
    for _ in range(TRIES):
        try:
            with urllib.request.build_opener(_NoRedirects).open(request, timeout=TIMEOUT_S):
                return None
        except urllib.error.HTTPError as error:
            error.close()
            problem = f"it answered with status {error.code}"
            if error.code < 500:
                return problem
        except (OSError, ValueError, HTTPException) as error:
            # The text of the error may hold the address.
            problem = f"it could not be reached ({type(error).__name__})"
    return problem


def message_of(run: dg.DagsterRun, failed: list[str]) -> dict[str, str]:
    """Return the message about a failed run. The field `text` is what chat servers show."""
    steps = f" at {', '.join(failed[:STEPS_NAMED])}" if failed else ""
    return {
        "text": f"Watershed: run {run.run_id[:8]} of {run.job_name} failed{steps}. Its page in Dagster says why.",
        "run": run.run_id,
        "job": run.job_name,
        "failed": ", ".join(failed[:STEPS_NAMED]),
    }


def alerts(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that sends alerts. It is off unless `[automation] alerts` is set."""

    @dg.run_failure_sensor(
        name="alerts",
        default_status=dg.DefaultSensorStatus.RUNNING if settings.automation.alerts else dg.DefaultSensorStatus.STOPPED,
        description="This sensor sends a message to the webhook of [automation] alerts for every failed run.",
    )
    def sensor(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        address = load_settings().automation.alerts
        if not address:
            return dg.SkipReason("No webhook is configured: set [automation] alerts.")
        failed = [event.step_key for event in context.get_step_failure_events() if event.step_key]
        problem = post(address, message_of(context.dagster_run, failed))
        if problem:
            context.log.warning("The webhook did not accept the alert: %s.", problem)
        return None

    return sensor
