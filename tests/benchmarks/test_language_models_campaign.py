"""A run that is killed at random moments and resumed is charged for every request once, and records that."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.language_models import campaign, report


@pytest.mark.slow
@pytest.mark.parametrize(("keys", "kills"), [(True, 2), (False, 1)], ids=["idempotency keys", "none"])
def test_after_kills_the_ledger_counts_what_the_server_charged(keys: bool, kills: int, tmp_path: Path) -> None:
    outcome = campaign(tmp_path, requests=200, kills=kills, concurrency=16, keys=keys)
    lines, sound = report(outcome, keys=keys)
    assert sound, "\n".join(lines)
    assert outcome.kills > 0
    assert outcome.server["seen"] > len(outcome.charged) > 150
    if keys:
        assert len(outcome.answered) == 200
    else:
        assert len(outcome.answered) + len(outcome.lost) == 200
