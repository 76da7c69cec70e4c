"""The client against a scripted server: nothing is lost, nothing is paid for twice, and order is that of the list."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from scripted_endpoint import Serve, endpoint

from benchmarks.model_server import FAULTS, HOSTILE, Script
from catalog.errors import WatershedError
from catalog.lake import Lake
from spark_jobs.language_models.client import Client, ask, converse
from spark_jobs.language_models.request import Request, Sampling
from spark_jobs.language_models.requests import Ledger

PRICES = {"input_price": 1.0, "output_price": 2.0}
ALL = dict.fromkeys((fault for fault in FAULTS if fault not in ("slow", "long")), 0.04) | {"slow": 0.02, "long": 0.03}
WHOLE = ("empty", "truncated")
"""Faults of the model, not of the exchange: they are replies, and paid for."""


def questions(count: int) -> list[Request]:
    return [Request.chat(f"question {number}", settings=Sampling(max_tokens=20)) for number in range(count)]


def rows_of(lake: Lake) -> list[dict]:
    return lake.read("models.requests").to_pylist()


def test_faults_of_every_kind_at_64_requests_at_a_time_lose_nothing_and_pay_once(lake: Lake, served: Serve) -> None:
    script = Script(faults=ALL, idempotent=True, slow_seconds=0.01)
    fast = served(script, concurrency=64, attempts=9, reply_bytes=1_000_000, idempotent=True, **PRICES)
    asked = questions(200)
    found = ask(lake, fast, asked, purpose="test", first_delay=0.001)

    assert set(script.made) == set(ALL)
    assert script.most_flying > 8
    assert all(row.answered for row in found)
    assert [row.prompt for row in found] == [request.prompt_json for request in asked]
    assert set(script.charged.values()) == {1}
    rows = rows_of(lake)
    assert len(rows) == sum(script.seen.values())
    assert Counter(row["request"] for row in rows if row["outcome"] == "answered") == script.charged
    assert {(row["request"], str(row["attempt"])) for row in rows} == set(script.attempts)
    # Every failure is counted by its kind.
    kinds = Counter(row["error"] for row in rows if row["error"])
    assert kinds["malformed"] == sum(script.made[kind] for kind in HOSTILE)
    assert kinds["dropped"] == script.made["dropped"] + script.made["dropped_midway"]
    assert (kinds["rate_limited"], kinds["server_error"]) == (script.made["rate_limited"], script.made["server_error"])
    assert kinds["too_long"] == script.made["long"]
    assert sum(row.truncated for row in found) == sum(row["finish_reason"] == "length" for row in rows) > 0
    paid = sum(row["cost"] or 0 for row in rows)
    counts = [sum(row[name] or 0 for row in rows) for name in ("prompt_tokens", "reply_tokens")]
    assert sum(counts) == script.tokens
    assert paid == pytest.approx((counts[0] * 1 + counts[1] * 2) / 1e6)

    # Another run, one at a time, sends nothing and gives the same rows.
    seen = sum(script.seen.values())
    slow = replace(fast, settings=replace(fast.settings, concurrency=1))
    assert ask(lake, slow, asked, purpose="test") == found
    assert sum(script.seen.values()) == seen


def test_replies_do_not_depend_on_concurrency(
    lake: Lake, served: Serve, tmp_path_factory: pytest.TempPathFactory
) -> None:
    faults = {"rate_limited": 0.1, "dropped": 0.1}
    texts = []
    for many in (1, 16):
        other = replace(lake, root=str(tmp_path_factory.mktemp("lake")), files=tmp_path_factory.mktemp("files"))
        found = ask(
            other, served(Script(faults=faults), concurrency=many), questions(40), purpose="test", first_delay=0.001
        )
        texts.append([row.text for row in found])
    assert texts[0] == texts[1]


def test_a_request_that_appears_twice_is_sent_once(lake: Lake, served: Serve) -> None:
    script = Script()
    found = ask(lake, served(script), [*questions(5), *questions(5)], purpose="test")
    assert found[:5] == found[5:]
    assert sum(script.seen.values()) == 5


def test_another_sample_revision_or_setting_is_another_request(lake: Lake, served: Serve) -> None:
    script = Script()
    first = served(script)
    (asked,) = questions(1)
    ask(lake, first, [asked, replace(asked, sample=1), replace(asked, settings=Sampling(seed=3))], purpose="test")
    ask(lake, replace(first, revision="2"), [asked], purpose="test")
    assert sum(script.seen.values()) == 4


@pytest.mark.parametrize("fault", ["dropped_midway", "malformed", "no_choices"])
def test_a_lost_reply_that_costs_money_is_not_asked_for_again_unless_the_user_says_so(
    fault: str, lake: Lake, served: Serve
) -> None:
    script = Script(faults={fault: 0.5}, again=0.0)
    careful = served(script, **PRICES)
    found = ask(lake, careful, questions(30), purpose="test", first_delay=0.001)
    lost = [row for row in found if row.outcome == "lost"]
    assert len(lost) == script.made[fault] > 5
    assert all(row.cost is None and row.cost_bound > 0 for row in lost)
    assert ask(lake, careful, questions(30), purpose="test") == found
    assert set(script.charged.values()) == {1}
    willing = replace(careful, settings=replace(careful.settings, ask_lost=True))
    assert all(row.answered for row in ask(lake, willing, questions(30), purpose="test", first_delay=0.001))
    assert sum(count == 2 for count in script.charged.values()) == len(lost)


@pytest.mark.parametrize("idempotent", [True, False])
def test_the_cap_holds_whatever_goes_wrong_and_survives_a_restart(idempotent: bool, lake: Lake, served: Serve) -> None:
    script = Script(faults={"malformed": 0.1, "server_error": 0.1}, idempotent=idempotent)
    priced = served(script, concurrency=16, idempotent=idempotent, input_price=1e4, output_price=1e4)
    cap = 3.0
    for _ in range(2):
        with pytest.raises(WatershedError, match="the cap on spending is reached"):
            ask(lake, priced, questions(200), purpose="test", cap=cap, first_delay=0.001)
    assert 0.5 * cap < script.tokens * 1e4 / 1e6 <= cap
    paid = sum(row["cost"] or 0 for row in rows_of(lake))
    assert paid <= cap
    # A cap of the endpoint counts what other runs have spent.
    capped = replace(priced, settings=replace(priced.settings, cap=cap))
    with pytest.raises(WatershedError, match="the cap on spending is reached"):
        ask(lake, capped, [Request.chat("another " + "long " * 50)], purpose="other")


def test_a_refused_key_stops_the_run_at_once(lake: Lake, served: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_KEY", "wrong-key-wrong-key")
    script = Script(key="right-key")
    with pytest.raises(WatershedError, match=r"refuses requests .*wrong_key, status 401"):
        ask(lake, served(script, key="MODEL_KEY"), questions(500), purpose="test")
    assert len(rows_of(lake)) < 50


@pytest.mark.parametrize("count", [1, 100])
def test_a_server_that_is_not_there_is_named(count: int, lake: Lake) -> None:
    nobody = endpoint("http://127.0.0.1:9/v1", concurrency=4, attempts=2)
    with pytest.raises(WatershedError, match="does not answer"):
        ask(lake, nobody, questions(count), purpose="test", first_delay=0.001)
    assert {row["error"] for row in rows_of(lake)} == {"unreachable"}


def test_replies_that_depend_on_replies_are_resumed(lake: Lake, served: Serve) -> None:
    script = Script()
    model = served(script)

    async def three_turns(client: Client) -> str:
        history: tuple[tuple[str, str], ...] = ()
        for number in range(3):
            row = await client.reply(Request.chat(f"turn {number}", history=history))
            history = (*history, ("user", f"turn {number}"), ("assistant", row.text))
        return history[-1][1]

    first = converse(lake, model, three_turns, purpose="test")
    assert converse(lake, model, three_turns, purpose="test") == first
    assert sum(script.seen.values()) == 3


def test_token_ids_are_sent_as_they_are(lake: Lake, served: Serve) -> None:
    asked: list[dict] = []

    def remember(body: dict, digest: str) -> str:
        asked.append(body)
        return "done"

    (row,) = ask(lake, served(Script(answer=remember)), [Request(prompt=(5, 7, 11))], purpose="test")
    assert asked[0]["prompt"] == [5, 7, 11]
    assert row.text == "done"


def test_the_journal_is_committed_in_pieces_while_requests_are_sent(lake: Lake, served: Serve) -> None:
    script = Script(faults={"server_error": 0.2}, idempotent=True)
    model = served(script, idempotent=True)

    async def run(client: Client) -> None:
        await client.replies(questions(60))

    converse(lake, model, run, purpose="test", first_delay=0.001, fold=7)
    assert (lake.version("models.requests") or 0) > 5
    assert sorted((row["request"], str(row["attempt"])) for row in rows_of(lake)) == sorted(script.attempts)
    ledger = Ledger(lake, model.model, once=True)
    assert not list(ledger.folder.glob("*.jsonl"))
