"""Why each process of a run ended: a line of stops.jsonl in the run's folder, but for one that was killed outright."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from trainers.process.errors import RunStoppedError, TrainerError

STOPS = "stops.jsonl"


@contextmanager
def recorded(folder: Path, step: Callable[[], int]) -> Generator[None]:
    """Record how the block ends: `finished`, `stopped` (when asked to), `refused` (a TrainerError) or `failed`."""
    reason, cause = "finished", ""
    try:
        yield
    except TrainerError as error:
        reason, cause = "refused", error.cause
        raise
    except RunStoppedError as error:
        reason, cause = "stopped", str(error)
        raise
    except (KeyboardInterrupt, SystemExit) as error:
        reason, cause = "stopped", type(error).__name__
        raise
    except BaseException as error:
        reason, cause = "failed", f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
        raise
    finally:
        row = {"step": step(), "reason": reason, "cause": cause}
        with (folder / STOPS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
