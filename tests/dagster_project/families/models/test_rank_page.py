"""`watershed rank pairwise`: answers of files and of the lake, the page in a real browser, and the results."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, CHROMIUM_FLAGS, PATIENCE_MS
from click.testing import CliRunner
from playwright.sync_api import sync_playwright

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import load_settings
from dagster_project.cli import main
from dagster_project.families.models.rank.answers import Given, file_answers, lake_answers, pairs_of
from dagster_project.families.models.rank.choices import Choices, left_side
from dagster_project.families.models.rank.server import RankServer
from quality.gate import check
from tests.small_lake import write_lake

DOCS = Path(__file__).parents[4] / "docs" / "ranking.md"
QUESTIONS = [f"How deep is lake {number}?" for number in range(6)]
GOOD, BAD = "<b>As deep</b> as the Elbe\nis long.", "Who knows? <img src=x onerror=alert(1)>"


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, list(words))
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    folder = tmp_path_factory.mktemp("rank")
    (folder / "watershed.toml").touch()
    rows = [
        {"question": question, "model": model, "answer": f"{text} ({question})"}
        for question in QUESTIONS
        for model, text in (("careful", GOOD), ("hasty", BAD))
    ]
    rows += [{"question": "Same?", "model": model, "answer": "Yes."} for model in ("careful", "hasty")]
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WATERSHED_PROJECT", str(folder))
        yield folder


@pytest.fixture(scope="module")
def server(project: Path) -> Generator[RankServer]:
    found = pairs_of(file_answers([project / "answers.jsonl"]))
    assert found.same == 1
    with RankServer(Choices(Lake.of(load_settings()), found.pairs)) as started:
        thread = threading.Thread(target=started.serve_forever, daemon=True)
        thread.start()
        yield started
        started.shutdown()
        thread.join()


def test_two_people_choose_blind_by_keyboard_and_touch(server: RankServer, project: Path) -> None:
    sent: list[str] = []
    errors: list[str] = []
    lefts: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        page = browser.new_context(has_touch=True, viewport={"width": 1200, "height": 800}).new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("response", lambda reply: sent.append(reply.text()))
        page.on("pageerror", lambda error: errors.append(str(error)))

        def begin(rater: str) -> None:
            page.goto(server.url)
            page.locator("#rater").focus()
            page.keyboard.type(rater)
            page.keyboard.press("Enter")
            page.locator("#progress", has_text="Pair 1 of 6; you have compared 0").wait_for()

        # Mia prefers the careful answers, wherever they stand, and says once that both are equally good.
        begin("Mia")
        for number in range(6):
            shown = page.locator("#left .answer").inner_text()
            assert shown.startswith((GOOD, BAD)), "text of answers is text"
            lefts.append("good" if shown.startswith(GOOD) else "bad")
            key = "3" if number == 5 else "1" if lefts[-1] == "good" else "2"
            page.keyboard.press(key)
            page.locator("#progress", has_text=f"you have compared {number + 1}").wait_for()
        page.locator("#progress", has_text="That was the last one").wait_for()
        # A choice is changed.
        page.keyboard.press("ArrowLeft")
        page.locator("#progress", has_text="Pair 5 of 6").wait_for()
        assert page.locator("[aria-pressed=true]").get_attribute("data-choice") in ("left", "right")
        page.keyboard.press("4")
        page.locator("#status", has_text="Entered for pair 5: equally bad.").wait_for()
        # Ben always taps the left one, on a narrow screen where the answers stand below each other.
        page.set_viewport_size({"width": 400, "height": 800})
        begin("Ben")
        boxes = [page.locator(side).bounding_box() for side in ("#left", "#right")]
        assert boxes[0] and boxes[1] and boxes[1]["y"] >= boxes[0]["y"] + boxes[0]["height"]
        for number in range(6):
            page.locator("[data-choice=left]").tap()
            page.locator("#progress", has_text=f"you have compared {number + 1}").wait_for()
        browser.close()
    assert not errors
    told = "".join(text for text in sent if text.startswith("{"))
    assert not re.search(r"careful|hasty|answers\.jsonl|digest", told), "the page is not told the models"
    rows = Lake.of(load_settings()).read("models.choices").to_pylist()
    mia, ben = ([row for row in rows if row["rater"] == rater] for rater in ("Mia", "Ben"))
    assert sorted(row["choice"] for row in mia) == ["neither", "one", "one", "one", "one", "tie"]
    assert all(row["one_model"] == "careful" and row["choice"] in ("one", "tie", "neither") for row in mia)
    assert set(lefts) == {"good", "bad"}, "the sides are drawn"
    assert all(row["choice"] == row["left"] == left_side("Ben", row["pair"]) for row in ben)
    assert {row["one_source"] for row in rows} == {f"answers.jsonl, line {2 * n + 1}" for n in range(6)}
    assert all(0 <= row["seconds"] < 600 for row in rows) and any(row["seconds"] > 0 for row in rows)
    assert not [one for one in check(load_settings(), ["models.choices"]) if one.failed]
    # The results are those of the rows.
    code, out, err = run("rank", "pairwise", "--json")
    assert code == 0, err
    found = json.loads(out)
    left_of_ben = sum(row["choice"] == "one" for row in ben)
    (careful, hasty) = found["models"]
    assert (careful["model"], careful["wins"], careful["ties"]) == ("careful", 4 + left_of_ben, 2)
    assert careful["win_rate"] == pytest.approx((5 + left_of_ben) / 12) and hasty["losses"] == careful["wins"]
    assert careful["elo"] + hasty["elo"] == pytest.approx(2000) and careful["elo_low"] < careful["elo"]
    assert (found["choices"], found["raters"], found["neither"], found["groups"]) == (12, 2, 1, 1)
    assert "Mia" not in out, "the results name no person"
    code, out, _ = run("rank", "pairwise", str(project / "answers.jsonl"), "--most", "2", "--results")
    assert code == 0 and "4 choices on 2 questions, raters: 2" in out and "Bradley-Terry" in out
    assert re.search(r"careful +1,\d{3} +\d+", out) or re.search(r"careful +\d+", out)


def test_a_choice_from_elsewhere_is_refused(server: RankServer) -> None:
    host = f"127.0.0.1:{server.server_port}"
    good = {"Host": host, "Origin": f"http://{host}", "X-Watershed-Token": server.token}
    good["Content-Type"] = "application/json"
    choice = {"rater": "Eve", "pair": server.choices.pairs[0].id, "choice": "left", "seconds": 2.5}

    def send(changed: dict[str, Any] | str, method: str = "POST", path: str = "/choice", **headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
        content = changed if isinstance(changed, str) else json.dumps({**choice, **changed})
        every = {**good, **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection.request(method, path, content.encode(), {k: v for k, v in every.items() if v})
        status = connection.getresponse().status
        connection.close()
        return status

    assert send({}, X_Watershed_Token="guess") == send({}, X_Watershed_Token="") == 403
    assert send({}, Origin="http://evil.example") == send({}, Origin="") == send({}, Host="evil.example") == 403
    assert send({}, Content_Type="text/plain") == send({}, path="/pair") == 403
    assert send({}, method="GET", path="/pair?rater=Eve", Host="evil.example") == 403
    for wrong in ({"rater": " "}, {"rater": "a\nb"}, {"pair": "0" * 32}, {"choice": "one"}, {"choice": 1}):
        assert send(wrong) == 400
    for wrong in ({"seconds": -1}, {"seconds": True}, {"seconds": None}, {"seconds": float("nan")}):
        assert send(wrong) == 400
    assert send("[]") == send("{") == send("[" * 1500) == 400 and send(f'"{"x" * 3000}"') == 413
    assert not server.choices.of_rater("Eve")
    assert send({}) == 200 and len(server.choices.of_rater("Eve")) == 1


def test_the_queries_of_the_docs_select_answers(tmp_path: Path) -> None:
    queries = re.findall(r"\| `(SELECT .*?)` \|", DOCS.read_text())
    tables = sorted({name for query in queries for name in re.findall(r"(?:FROM|JOIN) (\w+\.\w+)", query)})
    settings = write_lake(tmp_path, tuple(tables))
    assert len(queries) == 5 and {name.split(".")[0] for name in tables} == {
        *("scholar", "tulu", "mathfish", "dialogues", "models")
    }
    found = [lake_answers(settings, query) for query in queries]
    assert [each.answer for each in found[-1]] == ["The Elbe."]
    assert "In the sea." in [each.answer for each in found[3] if each.model == "as spoken"]


def test_samples_are_paired_in_turn_and_what_cannot_be_compared_is_said(project: Path, tmp_path: Path) -> None:
    given = [Given("Why?", model, f"{model} {number}", "") for model in "abc" for number in range(2)]
    pairs = pairs_of([*given, Given("Why?", "a", "a 0", "again"), Given("When?", "a", "Now.", "")]).pairs
    sides = {(pair.one.answer, pair.other.answer) for pair in pairs}
    assert sides == {(f"{one} {n}", f"{other} {n}") for one, other in ("ab", "ac", "bc") for n in (0, 1)}
    assert len({pair.id for pair in pairs}) == 6
    with pytest.raises(WatershedError, match="different answers of two models"):
        pairs_of(given[:2])
    path = tmp_path / "wrong.jsonl"
    good = json.dumps({"question": "Why?", "model": "a", "answer": "So."})
    for line in ("[]", "{", '{"question": "Why?", "model": "a"}', good.replace('"So."', '" "'), "[" * 9000, "\x00"):
        path.write_text(f"{good}\n{line}\n")
        code, _, err = run("rank", "pairwise", str(path))
        assert code == 2 and "wrong.jsonl, line 2" in err and "Traceback" not in err
    for words, cause in (
        ((), "there are no answers"),
        ((str(tmp_path / "none.jsonl"),), "No such file"),
        (("--sql", "SELECT 1 AS question, 'a' AS model"), "no column 'answer'"),
        (("--sql", "SELECT 1 AS question, 'a' AS model, 'x' AS answer"), "question is not a text"),
        (("--sql", "SELEC"), "syntax error"),
    ):
        code, _, err = run("rank", "pairwise", *words)
        assert code == 2 and cause in err, err
