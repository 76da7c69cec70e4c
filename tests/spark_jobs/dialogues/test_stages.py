"""The stages against a scripted server: every fault is counted, and a kill at any stage costs nothing."""

from __future__ import annotations

import json
import multiprocessing
from collections import Counter
from pathlib import Path

import pytest
from scripted_dialogues import all_stages, answer

from benchmarks.model_server import Script, running
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import load_settings
from spark_jobs.dialogues.forms import faults_of
from spark_jobs.dialogues.statistics import statistics

COUNT = 30
PURPOSES = ("topics", "goals", "plans", "conversations", "flags", "critiques", "revisions")
FAULTS = {"malformed": 0.03, "truncated": 0.03, "empty": 0.03, "slow": 0.02, "rate_limited": 0.03, "dropped": 0.03}
ENTRIES = {"concurrency": 8, "timeout": 60.0, "idempotent": True, "attempts": 6}


def requests_of(folder: Path) -> list[dict]:
    return Lake.of(load_settings(folder)).read("models.requests").to_pylist()


@pytest.mark.slow
def test_faulty_replies_are_counted_by_kind_and_no_dialogue_is_lost(tmp_path: Path) -> None:
    script = Script(faults=FAULTS, idempotent=True, answer=answer, slow_seconds=0.01)
    with running(script) as url:
        # With few attempts, some requests are given up.
        found = all_stages(tmp_path, url, COUNT, ENTRIES | {"attempts": 2})
        assert set(script.made) == set(FAULTS)
        assert set(script.charged.values()) == {1}
        seen = sum(script.seen.values())
        assert len(requests_of(tmp_path)) == seen
        # No two turns of a dialogue draw the same numbers.
        seeds = {row["request"]: json.loads(row["settings"])["seed"] for row in requests_of(tmp_path)}
        assert all(
            len({seeds[each] for each in row["requests"]}) == len(row["requests"]) for row in found["conversations"]
        )
        # What failed is asked again, what was answered is not.
        again = all_stages(tmp_path, url, COUNT, ENTRIES)
    assert set(script.charged.values()) == {1}
    for stage in ("goals", "plans", "conversations", "flags"):
        assert len(found[stage]) == len(again[stage]) == COUNT
    rows = {name: found[name] for name in found if name != "topics"}
    measured = {row["measure"]: row["value"] for row in statistics("scripted", rows)}
    assert measured["dialogues"] == COUNT
    kinds = Counter(f"failure: {name}: {row['failure']}" for name in rows for row in rows[name] if row.get("failure"))
    assert kinds and {name: measured[name] for name in kinds} == kinds
    faults = Counter(f"ill_formed: {fault}" for row in found["flags"] for fault in row["ill_formed"])
    assert faults["ill_formed: spoke_for_both"] and faults["ill_formed: failed_request"]
    assert {name: measured[name] for name in faults} == faults
    cut = [row for row in found["conversations"] if row["cut"]]
    flags = {row["dialogue"]: row for row in found["flags"]}
    assert cut and all(flags[row["dialogue"]]["truncated"] for row in cut)


@pytest.mark.parametrize("prompt", ["different subtopics", "You are the USER"])
def test_a_stage_that_the_server_refuses_as_a_whole_writes_no_row(prompt: str, tmp_path: Path) -> None:
    # A table of failures alone would count as made, and would not be made again.
    script = Script(answer=answer, refused_prompt=prompt)
    with running(script) as url, pytest.raises(WatershedError) as refused:
        all_stages(tmp_path, url, 6, ENTRIES | {"attempts": 2})
    stage, count = ("topics", 5) if "topics" in prompt else ("conversations", 6)
    assert f"answered none of the {count} requests of dialogues.{stage} ({count} server_error)" in refused.value.cause


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[dict]], Counter[str]]:
    """All rows of a run without faults and kills, and how many requests each stage sent."""
    folder = tmp_path_factory.mktemp("whole")
    with running(Script(answer=answer)) as url:
        found = all_stages(folder, url, COUNT, ENTRIES)
    return found, Counter(row["purpose"].removeprefix("dialogues.") for row in requests_of(folder))


def test_only_the_last_turn_is_revised_and_what_is_ill_formed_reaches_no_mixture(
    whole: tuple[dict[str, list[dict]], Counter[str]],
) -> None:
    found, _ = whole
    spoken = {row["dialogue"]: row for row in found["conversations"]}
    flags = {row["dialogue"]: row for row in found["flags"]}
    ill_formed = {name for name, row in flags.items() if row["ill_formed"]}
    flagged = {name for name, row in flags.items() if row["violation"]}
    assert ill_formed and flagged - ill_formed and flagged & ill_formed
    assert {row["dialogue"] for row in found["critiques"]} == flagged - ill_formed
    assert {row["id"] for row in found["preferences"]} == flagged - ill_formed
    for row in found["preferences"]:
        messages = spoken[row["id"]]["messages"]
        last = len(row["prompt"])
        assert [*row["prompt"], {"role": "assistant", "content": row["rejected"]}] == messages[: last + 1]
        assert not any(each["role"] == "assistant" for each in messages[last + 1 :])
        assert row["chosen"].startswith("I know of no study") and row["prompt"][-1]["role"] == "user"
        assert not faults_of([*row["prompt"], {"role": "assistant", "content": row["chosen"]}])
    assert {row["ended"] for row in spoken.values()} == {"done"}


@pytest.mark.campaign
def test_a_run_that_is_killed_within_every_stage_gives_the_same_rows_and_pays_once(
    whole: tuple[dict[str, list[dict]], Counter[str]], tmp_path: Path
) -> None:
    found, sent = whole
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["spark_jobs.language_models.client", "openai", "deltalake"])
    script, before = Script(answer=answer, idempotent=True), 0
    with running(script) as url:
        for stage in PURPOSES:
            # Half of the stage's replies arrive; others are charged and never arrive.
            script.hold_after = before + sent[stage] // 2
            process = processes.Process(target=all_stages, args=(tmp_path, url, COUNT, ENTRIES))
            process.start()
            while process.is_alive() and not script.held:
                process.join(0.01)
            assert process.is_alive(), f"{stage} was over before the kill"
            process.kill()
            process.join()
            before += sent[stage]
        script.hold_after = None
        resumed = all_stages(tmp_path, url, COUNT, ENTRIES)
    assert resumed == found
    assert set(script.charged.values()) == {1}
    answered = Counter(row["request"] for row in requests_of(tmp_path) if row["outcome"] == "answered")
    assert answered == script.charged
