"""Dagster's daemon looks for backfills every two seconds; other processes with this folder on PYTHONPATH do not change.

Dagster has no setting for the interval, which is 30 s, and a backfill waits for it two to four times.
"""

from pathlib import Path

if b"dagster._daemon" in Path("/proc/self/cmdline").read_bytes():
    from dagster._daemon import controller

    setattr(controller, "DEFAULT_DAEMON_INTERVAL_SECONDS", 2)  # noqa: B010 (its type is the number 30 alone)
