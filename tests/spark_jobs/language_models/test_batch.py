"""Batch mode: half the price, partial results kept, and no batch created twice."""

from __future__ import annotations

import pytest
from scripted_endpoint import Serve

from benchmarks.model_server import Script
from catalog.errors import WatershedError
from catalog.lake import Lake
from spark_jobs.language_models import batch
from spark_jobs.language_models.batch import ask_batch
from spark_jobs.language_models.client import ask
from spark_jobs.language_models.preview import preview
from spark_jobs.language_models.request import Request, Sampling

QUESTIONS = [Request.chat(f"question {number}", settings=Sampling(max_tokens=20)) for number in range(20)]
PRICES = {"input_price": 100.0, "output_price": 100.0}


def test_results_of_an_expired_batch_are_kept_and_only_the_rest_is_asked_again(lake: Lake, served: Serve) -> None:
    script = Script(batch_done=0.6)
    model = served(script, **PRICES)
    found = ask_batch(lake, model, QUESTIONS, purpose="test", rounds=10, poll_seconds=0.01)
    assert [row.prompt for row in found] == [request.prompt_json for request in QUESTIONS]
    assert all(row.answered for row in found)
    assert len(script.batches) > 2
    assert set(script.charged.values()) == {1} and len(script.charged) == 20
    rows = lake.read("models.requests").to_pylist()
    assert {row["error"] for row in rows} == {None, "batch_expired"}
    assert {row["batch"] for row in rows} == set(script.batches)
    tokens = (found[0].prompt_tokens or 0) + (found[0].reply_tokens or 0)
    assert found[0].cost == pytest.approx(tokens * 100 / 1e6 / 2)
    # Sent alone, they are not paid for again.
    assert ask(lake, model, QUESTIONS, purpose="test") == found
    assert not script.seen


@pytest.mark.parametrize("after", ["create", "finish"])
def test_a_kill_around_the_creation_of_a_batch_creates_no_second_one(
    after: str, lake: Lake, served: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script()
    model = served(script, **PRICES)

    class Killed(BaseException):
        pass

    with monkeypatch.context() as patch:
        real = batch._Batches._create

        async def killed(self: batch._Batches, *arguments: object) -> object:
            if after == "create":
                await real(self, *arguments)  # ty: ignore[invalid-argument-type]
            raise Killed

        patch.setattr(batch._Batches, "_create" if after == "create" else "_finish", killed)
        with pytest.raises(Killed):
            ask_batch(lake, model, QUESTIONS, purpose="test", poll_seconds=0.01)
    found = ask_batch(lake, model, QUESTIONS, purpose="test", poll_seconds=0.01)
    assert all(row.answered for row in found)
    assert len(script.batches) == 1
    assert set(script.charged.values()) == {1}


def test_a_batch_that_the_cap_does_not_allow_is_not_created(lake: Lake, served: Serve) -> None:
    script = Script()
    with pytest.raises(WatershedError, match="the cap on spending is reached"):
        ask_batch(lake, served(script, **PRICES), QUESTIONS, purpose="test", cap=0.01, poll_seconds=0.01)
    assert not script.batches


def test_a_preview_asks_some_rows_and_tells_what_all_would_cost(lake: Lake, served: Serve) -> None:
    script = Script()
    model = served(script, **PRICES)
    seen = preview(lake, model, QUESTIONS, purpose="test", rows=4)
    assert (len(seen.rows), seen.requests, sum(script.seen.values())) == (4, 20, 4)
    found = ask(lake, model, QUESTIONS, purpose="test")
    assert sum(script.seen.values()) == 20
    paid = sum(row.cost or 0 for row in found)
    assert seen.expected_cost == pytest.approx(paid, rel=0.01)
    assert seen.cost_bound > paid


def test_the_batches_of_a_run_are_with_the_provider_at_the_same_time(
    lake: Lake, served: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "SIZE", 6)
    script = Script()
    found = ask_batch(lake, served(script, **PRICES), QUESTIONS, purpose="test", poll_seconds=0.01)
    assert [row.prompt for row in found] == [request.prompt_json for request in QUESTIONS]
    assert all(row.answered for row in found)
    # None of the four was waited for before the last was created.
    assert script.batches_at_look == [4] * 4


@pytest.mark.parametrize("of", ["run", "model"])
def test_a_cap_holds_over_all_batches_of_a_run(
    of: str, lake: Lake, served: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "SIZE", 5)
    script, cap = Script(), 0.0165
    model = served(script, **PRICES, **({"cap": cap} if of == "model" else {}))
    # A batch can cost $0.013 and costs $0.002: the second and third fit when those before them have ended.
    with pytest.raises(WatershedError, match="the cap on spending is reached"):
        ask_batch(lake, model, QUESTIONS, purpose="test", cap=cap if of == "run" else None, poll_seconds=0.01)
    assert len(script.batches) == 3 and len(script.charged) == 15
    assert sum(row["cost"] for row in lake.read("models.requests").to_pylist()) <= cap


def test_a_batch_that_the_provider_refuses_says_why_and_is_not_created_again(lake: Lake, served: Serve) -> None:
    script = Script(batch_refusal="Enqueued token limit reached.")
    model = served(script, **PRICES)
    with pytest.raises(WatershedError, match=r"refused the batch batch-0: Enqueued token limit reached\."):
        ask_batch(lake, model, QUESTIONS, purpose="test", poll_seconds=0.01)
    assert len(script.batches) == 1
    rows = lake.read("models.requests").to_pylist()
    assert {(row["error"], row["message"]) for row in rows} == {("batch_failed", "Enqueued token limit reached.")}
    script.batch_refusal = ""
    assert all(row.answered for row in ask_batch(lake, model, QUESTIONS, purpose="test", poll_seconds=0.01))


def test_chats_and_texts_are_not_in_one_batch(lake: Lake, served: Serve) -> None:
    with pytest.raises(WatershedError, match="a batch has one kind"):
        ask_batch(lake, served(Script()), [*QUESTIONS, Request(prompt="Once")], purpose="test")
