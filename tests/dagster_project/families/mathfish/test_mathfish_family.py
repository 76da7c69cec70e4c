"""The family `mathfish` from files to results through Dagster, its commands, and the page of teachers in a browser."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from browser import CHROMIUM, CHROMIUM_FLAGS, PATIENCE_MS
from click.testing import CliRunner
from playwright.sync_api import sync_playwright

from benchmarks.model_server import Script, running
from catalog.lake import Lake
from catalog.settings import load_settings
from catalog.sql.query import connect
from dagster_project.assets import steps
from dagster_project.cli import main
from dagster_project.engine.steps import State
from dagster_project.families.mathfish.review.server import ReviewServer
from dagster_project.families.mathfish.review.verdicts import TEACHERS, Verdicts, agreement, items_of
from dagster_project.instance import open_instance
from dagster_project.jobs import TABLES
from dagster_project.run import make, wanted
from spark_jobs.mathfish.choosing import in_development

pytestmark = pytest.mark.slow

EACH = 5
"""Problems of each file."""


def answer(body: dict[str, Any], digest: str) -> str:
    """A model that says yes, takes the first option, judges everything as full, and solves nothing."""
    prompt = body["messages"][-1]["content"]
    if "yes or no" in prompt:
        return "Yes." if digest[0] < "c" else "Perhaps."
    return "A" if "Options:" in prompt else "#### -1" if "####" in prompt else "full"


@dataclass
class Made:
    """A project whose models have been asked: a server, and recorded replies."""

    lake: Lake
    script: Script
    instance: dg.DagsterInstance

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return connect(load_settings()).execute(sql).fetchall()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Generator[Made]:
    """A project with the made problems."""
    folder = tmp_path_factory.mktemp("mathfish")
    replies = folder / "replies"
    replies.mkdir()
    (replies / "recorded.jsonl").write_text('{"id": "made_story_0_solve_0", "response": "#### 1"}\n')
    script = Script(answer=answer)
    before, os.environ["WATERSHED_PROJECT"] = os.environ.get("WATERSHED_PROJECT"), str(folder)
    try:
        with running(script) as url:
            (folder / "watershed.toml").write_text(
                f'[models.scripted]\nurl = "{url}"\n[mathfish]\nmodels = ["recorded", "scripted"]\n'
                f'replies = "replies"\nproblems_each = {EACH}\nwording_problems = 1\n'
            )
            settings = load_settings()
            instance = open_instance(settings)
            try:
                make(settings, instance, (*TABLES["mathfish_data"], *TABLES["mathfish"]))
                due = [step for step in wanted(steps(), TABLES["mathfish"]) if State(steps(), settings).due(step)]
                assert not due, "what was made is up to date"
                yield Made(Lake.of(settings), script, instance)
            finally:
                instance.dispose()
    finally:
        os.environ.pop("WATERSHED_PROJECT")
        if before is not None:
            os.environ["WATERSHED_PROJECT"] = before


def run(*words: str) -> tuple[int, str, str]:
    """Run a command."""
    done = CliRunner().invoke(main, list(words))
    return done.exit_code, done.stdout, done.stderr


def test_every_prompt_is_a_request_that_is_paid_for_once(made: Made) -> None:
    assert set(made.script.charged.values()) == {1}
    ((requests, purposes),) = made.rows("SELECT count(*), count(DISTINCT purpose) FROM models.requests")
    assert requests == len(made.script.charged) and purposes == 5
    # The first step of a self-guided traversal is the prompt of assisted tagging, which is not asked again.
    ((steps_asked,),) = made.rows("SELECT count(DISTINCT request) FROM (SELECT unnest(steps, recursive := true) "
                                  "FROM mathfish.traversals WHERE model = 'scripted')")  # fmt: skip
    ((new,),) = made.rows("SELECT count(*) FROM models.requests WHERE purpose = 'mathfish.traversals'")
    assert 0 < new < steps_asked


def test_results_have_every_grade_and_strategy_beside_chance(made: Made) -> None:
    found = made.rows("SELECT \"group\", value, chance, rows FROM mathfish.results WHERE model = 'scripted' "
                      "AND task = 'verification' AND \"by\" = 'strategy' AND measure = 'acc'")  # fmt: skip
    assert next(group for group, *_ in found) == "positive" and len(found) == 6
    values = {group: value for group, value, *_ in found}
    assert values["positive"] > 0 and not any(value for group, value in values.items() if group != "positive")
    assert {chance for *_, chance, _ in found} == {0.5}
    grades = made.rows("SELECT DISTINCT \"group\" FROM mathfish.results WHERE task = 'traversal' AND \"by\" = 'grade'")
    assert len(grades) >= 3
    ((malformed, formed),) = made.rows("SELECT sum(value) FILTER (WHERE measure = 'malformed'), "
        "sum(value) FILTER (WHERE measure = 'ok_format') FROM mathfish.results WHERE model = 'scripted' "
        "AND task = 'verification' AND \"by\" = 'all'")  # fmt: skip
    assert malformed > 0 and 0 < formed < 1


def test_recorded_replies_are_answers_and_what_is_not_recorded_is_malformed(made: Made) -> None:
    found = dict(made.rows("SELECT malformed, count(*) FROM mathfish.answers WHERE model = 'recorded' GROUP BY 1"))
    assert found.keys() <= {"", "no reply is recorded", "it is empty"} and found["no reply is recorded"] > 10
    assert made.rows("SELECT count(*) FROM models.requests WHERE model = 'recorded'") == [(0,)]


def test_wordings_are_compared_apart_and_the_choice_is_asked(made: Made) -> None:
    found = made.rows("SELECT model, kind, count(*), count(*) FILTER (WHERE chosen), min(prompts), max(problems) "
                      "FROM mathfish.wordings GROUP BY ALL ORDER BY ALL")  # fmt: skip
    assert [row[:4] for row in found] == [
        ("recorded", "tagging", 1, 1),
        ("recorded", "verification", 1, 1),
        ("scripted", "tagging", 5, 1),
        ("scripted", "verification", 5, 1),
    ]
    assert [row[4] > 0 for row in found] == [False, False, True, True] and found[-1][-1] == 2
    chosen = made.rows("SELECT kind, wording FROM mathfish.wordings WHERE chosen AND model = 'scripted'")
    asked = made.rows("SELECT DISTINCT t.kind, a.wording FROM mathfish.answers a JOIN mathfish.tasks t USING (task) "
                      "WHERE a.model = 'scripted' AND t.kind <> 'solving'")  # fmt: skip
    assert sorted(asked) == sorted(chosen)
    walked = made.rows("SELECT DISTINCT wording FROM mathfish.traversals WHERE model = 'scripted'")
    assert walked == [(wording,) for kind, wording in chosen if kind == "tagging"]
    asked_about = {problem for (problem,) in made.rows("SELECT DISTINCT problem FROM mathfish.tasks")}
    rows = made.lake.read("mathfish.problems").to_pylist()
    assert not asked_about & {row["problem"] for row in rows if in_development(row)}


def test_views_show_grades_options_alignment_and_difficulty(made: Made) -> None:
    assert [row[0] for row in made.rows("FROM mathfish.by_grade")] == [*"K12345678", "HS"]
    options = {name: count for name, count, *_ in made.rows("FROM mathfish.cluster_options")}
    # Stories of grades 1 and 2 share the words of their cluster, and so do those of grades 3 and 4.
    assert options["Operations & Algebra"] == 6
    alignment = made.rows("FROM mathfish.alignment_by_model")
    assert [row[0] for row in alignment][-1] == "all" and sum(alignment[-1][1:5]) == alignment[-1][5] == 42
    assert [row[-1] for row in alignment[:-1]] == [21, 21]
    malformed = made.rows("SELECT model, kind, reason, replies, example FROM mathfish.malformed")
    ((total,),) = made.rows("SELECT count(*) FROM mathfish.answers WHERE malformed <> ''")
    assert sum(row[3] for row in malformed) == total
    assert ("scripted", "verification", "it says neither yes nor no") in {row[:3] for row in malformed}
    assert {row[4] for row in malformed if row[0] == "scripted" and row[1] == "verification"} == {"Perhaps."}
    difficulty = made.rows("SELECT tagged_by, model, problems, solved FROM mathfish.difficulty")
    assert difficulty and all(by == "scripted" and solved in (0, 1) for by, _, _, solved in difficulty)


def test_the_pages_of_dagster_show_the_table_the_plots_and_the_map(made: Made) -> None:
    event = made.instance.get_latest_materialization_event(dg.AssetKey(["mathfish", "results"]))
    assert event and event.asset_materialization
    page = {name: str(value.value) for name, value in event.asset_materialization.metadata.items()}
    assert "| K |" in page["accuracy by grade"] and "| verification | acc |" in page["metrics"]
    for name in ("accuracy by grade and strategy", "coherence map"):
        coded = re.search(r"base64,([A-Za-z0-9+/=]+)", page[name])
        assert coded and base64.b64decode(coded[1]).startswith(b"\x89PNG")
    event = made.instance.get_latest_materialization_event(dg.AssetKey(["mathfish", "alignment"]))
    assert event and event.asset_materialization
    assert "| made-model-a | 3 | 9 | 6 | 3 |" in str(event.asset_materialization.metadata["alignment by model"].value)


def test_the_commands_show_standards_and_write_and_score_prompts(made: Made, tmp_path: Path) -> None:
    code, out, _ = run("mathfish", "standard", "HSA-REI.B.4.b", "--to", "8.EE.C.7")
    assert code == 0 and out.splitlines()[-1] == "1 edges to 8.EE.C.7" and out.startswith("A: Algebra\n  A-REI:")
    code, _, err = run("mathfish", "standard", "3.NF.A.9")
    assert code == 2 and "3.NF.A" in err
    code, _, err = run("mathfish", "tasks", str(tmp_path / "none.jsonl"), "--wording", "whale")
    assert code == 2 and "whole" in err and not (tmp_path / "none.jsonl").exists()
    code, _, _ = run("mathfish", "tasks", str(tmp_path / "whole.jsonl"), "--wording", "whole")
    assert code == 0 and "the whole of a standard" in (tmp_path / "whole.jsonl").read_text()
    for kind, reply in (("tagging", "A"), ("verification", "No.")):
        path = tmp_path / f"{kind}.jsonl"
        code, out, _ = run("mathfish", "tasks", str(path), "--kind", kind)
        assert code == 0
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert out == f"{path}: {len(rows):,} prompts\n"
        path.write_text("".join(json.dumps({**row, "response": reply}) + "\n" for row in rows))
        code, out, err = run("score", f"mathfish-{kind}", str(path))
        assert code == 0, err
        summary = json.loads(out.splitlines()[-1])["summary"]
        assert summary["rows"] == len(rows) and summary["malformed"] == 0
    assert summary["groups"]["positive"] == 0.0 and summary["groups"]["neighbors"] == 1.0
    code, _, err = run("score", "mathfish-tagging", str(path))
    assert code == 2 and "mathfish-verification" in err


@pytest.fixture(scope="module")
def review(made: Made) -> Generator[ReviewServer]:
    """The server of the page, on the generated problems."""
    with ReviewServer(Verdicts(made.lake, items_of(made.lake, "generated"))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_two_teachers_judge_by_keyboard_in_a_browser_and_agree_by_kappa(made: Made, review: ReviewServer) -> None:
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: asked.append(request.url))
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        for rater, keys in (("Ada", "1234"), ("Ben", "1231")):
            page.goto(review.url)
            page.keyboard.type(rater)
            page.keyboard.press("Enter")
            page.wait_for_selector("#problem:not([hidden])")
            assert page.locator("#text").inner_text() == review.verdicts.items[0].text
            for place, key in enumerate(keys):
                page.keyboard.press(key)
                page.locator("#progress", has_text=f"you have judged {place + 1}").wait_for()
                page.locator("#status", has_text=f"{review.verdicts.items[place].problem}: ").wait_for()
        # An earlier verdict is changed, with a comment in which the keys are letters.
        # A verdict that is pressed while the page moves is not entered, so that every move is waited for.
        while not (shown := page.locator("#progress").inner_text()).startswith("1 of"):
            page.keyboard.press("ArrowLeft")
            page.locator("#progress", has_not_text=shown).wait_for()
        assert page.locator("[aria-pressed=true]").get_attribute("data-verdict") == "full"
        page.keyboard.press("c")
        page.keyboard.type("see page 123")
        page.keyboard.press("Escape")
        page.keyboard.press("2")
        page.locator("#agreement", has_text="Ben: 50%").wait_for()
        shown = page.locator("#agreement").inner_text()
        browser.close()
    assert not errors and all(url.startswith(review.url) for url in asked)
    rows = made.lake.read("mathfish.verdicts").to_pylist()
    assert [row["verdict"] for row in rows if row["rater"] == "Ada"].count("full") == 1 and len(rows) == 8
    assert [row["comment"] for row in rows if row["comment"]] == ["see page 123"]
    found = agreement(rows)
    # Both say alike of 2 in 4; by their shares, 1/4 would be chance.
    assert found["pairs"][0] == {"one": "Ada", "other": "Ben", "things": 4, "agreement": 0.5, "kappa": 1 / 3}
    assert "Cohen's kappa 0.33" in shown and f"Fleiss' kappa {found['fleiss']:.2f}" in shown
    code, out, _ = run("mathfish", "agreement")
    assert code == 0 and "Ada and Ben: the same verdict for 50.0% of 4, Cohen's kappa 0.333" in out
    assert f"Ada and {TEACHERS}" in out


def test_a_verdict_from_elsewhere_is_refused(made: Made, review: ReviewServer) -> None:
    item = review.verdicts.items[9]
    body = json.dumps(
        {"rater": "Eve", "problem": item.problem, "standard": item.standard, "verdict": "full", "comment": ""}
    )
    host = f"127.0.0.1:{review.server_port}"
    good = {"Host": host, "Origin": f"http://{host}", "X-Watershed-Token": review.token}
    good["Content-Type"] = "application/json"

    def post(content: str = body, **changed: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", review.server_port, timeout=20)
        headers = {**good, **{name.replace("_", "-"): value for name, value in changed.items()}}
        connection.request("POST", "/verdict", content.encode(), {k: v for k, v in headers.items() if v})
        status = connection.getresponse().status
        connection.close()
        return status

    assert review.server_address[0] == "127.0.0.1"
    assert post(X_Watershed_Token="") == post(X_Watershed_Token="guess") == 403
    assert post(Origin="http://evil.example") == post(Origin="") == post(Origin="null") == 403
    assert post(Host="evil.example") == post(Content_Type="text/plain") == 403
    assert post(body.replace("full", "best")) == post("[]") == post("{") == post("[" * 9000) == 400
    assert post(body.replace(item.problem, "other")) == post(body.replace("Eve", " ")) == 400
    assert post(body.replace("Eve", TEACHERS)) == 400
    assert post(f'"{"x" * 30_000}"') == 413
    assert not [row for row in review.verdicts.rows() if row["rater"] == "Eve"]
    assert post() == 200
    assert [row["verdict"] for row in review.verdicts.rows() if row["rater"] == "Eve"] == ["full"]
