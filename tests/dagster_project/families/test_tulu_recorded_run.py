"""A run of trainers.rlvr, recorded in the lake: its rollouts as they were sampled, and their rewards scored again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from catalog.lake import Lake
from catalog.settings import load_settings
from dagster_project.cli import main
from tests.trainers.posttraining.made_posttraining import a_model, configured, write_problems
from trainers.posttraining.rollouts import digest_of_row
from trainers.rlvr import rlvr


def test_a_run_from_verified_rewards_is_rows_that_can_be_scored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    (tmp_path / "watershed.toml").write_text("")
    data, out = write_problems(tmp_path / "problems.jsonl"), tmp_path / "runs" / "random"
    chosen = {"batch": 2, "replies": 4, "reply_tokens": 8, "steps": 2, "rewards": "random", "beta": 0.1}
    rlvr(configured("rlvr", out, a_model(tmp_path / "model"), data, **chosen))
    done = CliRunner().invoke(main, ["tulu", "record", str(out), "--data", str(data)])
    assert done.exit_code == 0, done.output
    lake = Lake.of(load_settings())
    written = [json.loads(line) for path in sorted((out / "rollouts").glob("*.jsonl")) for line in path.open()]
    stored = lake.read("tulu.rollouts").to_pylist()
    assert len(stored) == len(written) >= 16
    by_digest = {row["digest"]: row for row in stored}
    for row in written:
        kept = by_digest[row["digest"]]
        # What the digest covers can be read from the table alone.
        assert digest_of_row(kept) == row["digest"]
        assert (kept["advantages"], kept["policy_logprobs"]) == (row["advantages"], row["policy_logprobs"])
        assert (kept["run"], kept["completion"], kept["score"]) == ("random", row["text"], row["score"])
    # The rewards were tosses of a coin, so that scoring again moves them.
    assert "tulu.rollouts random" in CliRunner().invoke(main, ["rescore"]).stdout
