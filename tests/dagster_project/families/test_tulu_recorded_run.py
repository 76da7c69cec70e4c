"""Runs of trainers, recorded in the lake: what they left as tables and pages, and an update that follows from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from catalog.lake import Lake
from catalog.settings import load_settings
from dagster_project.cli import main
from dagster_project.families.tulu.runs import record
from dagster_project.instance import open_instance
from tests.trainers.posttraining.made_posttraining import a_model, configured, write_chats, write_problems
from trainers.posttraining.rollouts import digest_of_row
from trainers.rlvr import rlvr
from trainers.sft import sft


def call(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["tulu", *words])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project with a run from verified rewards and the run that it began from, both recorded."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WATERSHED_PROJECT", str(folder))
        (folder / "watershed.toml").write_text("")
        problems, chats = write_problems(folder / "problems.jsonl"), write_chats(folder / "chats.jsonl", 12)
        model = a_model(folder / "model")
        sft(configured("sft", folder / "runs" / "tuned", model, chats, steps=2, batch=6))
        chosen: dict[str, Any] = {
            "batch": 2,
            "replies": 4,
            "reply_tokens": 8,
            "steps": 2,
            "rewards": "random",
            "beta": 0.1,
        }
        chosen |= {"heldout": [str(problems)], "checkpoint_every": 1, "keep_checkpoints": 0}
        rlvr(configured("rlvr", folder / "runs" / "random", folder / "runs" / "tuned", problems, **chosen))
        assert record(load_settings(), folder / "runs" / "tuned", data=[chats])["tulu.sample_losses"] == 12
        told = call("record", str(folder / "runs" / "random"), "--data", str(problems), "--before", "tuned")
        assert "tulu.rollouts: 16 rows of random" in told and "tulu.heldout: 24 rows of random" in told
        yield folder


def test_rollouts_are_stored_as_they_were_sampled_and_can_be_scored_again(project: Path) -> None:
    lake = Lake.of(load_settings())
    places = sorted((project / "runs/random/rollouts").glob("*.jsonl"))
    written = [json.loads(line) for path in places for line in path.open()]
    stored = lake.read("tulu.rollouts").to_pylist()
    assert len(stored) == len(written) == 16
    by_digest = {row["digest"]: row for row in stored}
    for row in written:
        kept = by_digest[row["digest"]]
        # What the digest covers can be read from the table alone.
        assert digest_of_row(kept) == row["digest"]
        assert (kept["advantages"], kept["policy_logprobs"]) == (row["advantages"], row["policy_logprobs"])
        assert (kept["run"], kept["completion"], kept["score"]) == ("random", row["text"], row["score"])
    # The rewards were tosses of a coin, so that scoring again moves them.
    assert "tulu.rollouts random" in CliRunner().invoke(main, ["rescore"]).stdout


def test_losses_curves_and_held_out_replies_are_tables(project: Path) -> None:
    lake = Lake.of(load_settings())
    losses = lake.read("tulu.sample_losses").to_pylist()
    assert len(losses) == 12 and {row["run"] for row in losses} == {"tuned"}
    assert {row["source"] for row in losses} == {"source-0", "source-1", "source-2"}
    curves = {(r["run"], r["step"], r["metric"]): r["value"] for r in lake.read("tulu.curves").to_pylist()}
    for line in (project / "runs/random/metrics.jsonl").open():
        row = json.loads(line)
        assert curves["random", row["step"], "reward"] == row["reward"]
    heldout = lake.read("tulu.heldout").to_pylist()
    assert len(heldout) == 24 and {(row["run"], row["step"], row["verifier"]) for row in heldout} == {
        ("random", 2, "exact")
    }


def test_the_page_of_a_run_shows_its_curves_and_replies(project: Path) -> None:
    with open_instance(load_settings()) as instance:
        for table in ("sample_losses", "rollouts", "curves", "heldout"):
            records = instance.fetch_materializations(dg.AssetKey(["tulu", table]), limit=20).records
            pages = {r.partition_key: r.asset_materialization.metadata for r in records if r.asset_materialization}
            assert str(pages["random"]["loss over steps"].value).startswith("![loss: ")
            shown = str(pages["random"]["sample replies"].value)
            assert shown.startswith("| problem | reply |") and shown.count("✗") + shown.count("✓") == 6


def test_an_update_is_computed_again_from_the_table(project: Path) -> None:
    # The files of the rollouts are not read.
    hidden = (project / "runs/random/rollouts").rename(project / "hidden")
    try:
        told = call("recompute", "random", "2")
    finally:
        hidden.rename(project / "runs/random/rollouts")
    differences = [float(line.rpartition(" ")[2].rstrip(")")) for line in told.splitlines()[1:]]
    assert len(differences) == 2 and max(differences) < 1e-5, told
    assert "update 2 of random: 8 rollouts" in told
    assert "no run is called 'randon'; close: random" in call("recompute", "randon", "1", code=2)


def test_a_run_that_changed_after_it_was_recorded_is_not_made_again(project: Path) -> None:
    metrics = project / "runs/tuned/metrics.jsonl"
    before = metrics.read_bytes()
    metrics.write_bytes(before[: before.index(b"\n") + 1])
    try:
        done = CliRunner().invoke(main, ["make", "tulu.curves", "--force"])
        assert done.exit_code and "has changed since the run tuned was recorded" in done.stderr, done.output
    finally:
        metrics.write_bytes(before)
