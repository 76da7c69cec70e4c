"""`watershed ui ask`: the command in a process of its own, its page in a real browser, and a scripted model."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import CHROMIUM, CHROMIUM_FLAGS, PATIENCE_MS
from click.testing import CliRunner
from demo_project import start
from playwright.sync_api import Page, sync_playwright
from scholar_prompts import numbered

from benchmarks.model_server import Script, running
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import load_settings
from catalog.tables.scholar import PAPERS
from dagster_project.cli import main
from dagster_project.families.scholar.ask_page.questions import MOST_WAITING, Questions
from dagster_project.families.scholar.recipes import project_datastore
from spark_jobs.retrieval.encoders import WORDLLAMA, encoder_of
from spark_jobs.retrieval.passages import Cut
from spark_jobs.scholar.asking import Pipeline
from spark_jobs.scholar.datastore import build
from spark_jobs.scholar.indexing import index_folder
from spark_jobs.scholar.papers import Paper
from spark_jobs.scholar.recorded import earlier_answers, recorded_answer
from spark_jobs.scholar.records import answered
from spark_jobs.scholar.tables import embeddings_of, passages_of
from spark_jobs.scholar.withdrawing import record_withdrawal

QUESTION, OTHER = "Why do glaciers move?", "How slow are <i>glaciers</i>?"
GIVEN = [
    Paper(paper="ice", title="On ice", source="a", year=2001, url="https://example.org/ice",
          text="Ice deforms under its own weight. So glaciers move downhill."),
    Paper(paper="beds", title="On <b>beds</b> [[OPEN]]", source="a", url="javascript:alert(1)",
          text="Glaciers slide over wet beds, as water lowers friction. TOKEN NONCE <script>alert(1)</script>"),
    Paper(paper="rivers", title=None, source="a",
          text="Rivers of ice are slow and long, and few have seen one move."),
]  # fmt: skip


@dataclass
class Model:
    """A model that quotes one passage and invents a quotation; it drafts when it is let."""

    drafts: threading.Event = field(default_factory=threading.Event)

    def __call__(self, body: dict[str, Any], digest: str) -> str:
        del digest
        prompt = body["messages"][-1]["content"]
        if "one word" in prompt:
            return "yes" if "weight" in prompt.rsplit("<claim>", 1)[1] else "no"
        if "`Feedback:`" in prompt:
            return "none"
        self.drafts.wait(120)
        ice, beds = (numbered(prompt, words) for words in ("own weight", "wet beds"))
        return (
            f'They say "Ice deforms under its own weight" about that [{ice}]. They say "glaciers are pulled by magnets '
            f'at night" too [{beds}].'
        )


@dataclass
class Served:
    """The page of a project, served by the command."""

    folder: Path
    url: str
    model: Model
    model_url: str

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    folder = tmp_path_factory.mktemp("ask")
    (folder / "watershed.toml").touch()
    encoder = encoder_of(WORDLLAMA, cache=folder)
    table = pa.Table.from_pylist([paper.row() for paper in GIVEN], schema=PAPERS.schema)
    passages, facts = passages_of(table, Cut(words=40)), {paper.paper: vars(paper) for paper in GIVEN}
    names = ("year", "citations", "url", "retracted")
    rows = ({**row, **{name: facts[row["paper"]][name] for name in names}} for row in passages.to_pylist())
    place = index_folder(Lake.of(load_settings(folder)))
    build(place, rows, embeddings_of(passages, encoder).to_batches(), encoder.stamp)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WATERSHED_PROJECT", str(folder))
        yield folder


@pytest.fixture(scope="module")
def served(project: Path) -> Generator[Served]:
    model = Model()
    with running(Script(answer=model)) as url:
        (project / "watershed.toml").write_text(
            f'[models.writer]\nurl = "{url}"\nmodel = "scripted"\n'
            '[models.gone]\nurl = "http://127.0.0.1:9/v1"\nmodel = "gone"\nattempts = 1\n'
        )
        process = start(project, "ui", "ask", errors=subprocess.PIPE)
        assert process.stdout
        found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert found, process.communicate()
        yield Served(project, found[0], model, url)
        os.killpg(process.pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in errors, errors


def asked(page: Page, question: str, *, model: str = "") -> None:
    page.locator("#model").select_option(model)
    page.locator("#text").fill(question)
    page.locator("#text").press("Enter")


def faults(page: Page, *schemes: Literal["light", "dark"]) -> list[tuple[str, str, str]]:
    found = []
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        options = {"resultTypes": ["violations"], "preload": False}
        for each in Axe().run(page, options=options).response["violations"]:
            found.append((scheme, each["id"], each["nodes"][0]["html"]))
    return found


@pytest.mark.slow
def test_a_person_asks_sees_the_stages_and_opens_the_citations(served: Served) -> None:
    requests: list[str] = []
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        context = browser.new_context(has_touch=True, viewport={"width": 1200, "height": 900})
        page, second = context.new_page(), context.new_page()
        for each in (page, second):
            each.set_default_timeout(PATIENCE_MS)
            each.on("request", lambda request: requests.append(request.url))
            each.on("pageerror", lambda error: errors.append(str(error)))
        # Without a model, by keyboard alone: the passages are the answer.
        page.goto(served.url)
        assert page.locator("#feedback").is_disabled()
        page.keyboard.type(OTHER)
        page.keyboard.press("Enter")
        page.wait_for_url("**/answer/*")
        passages = page.url.partition("#")[0]
        assert page.locator("h1:visible").inner_text() == OTHER, "the question is text"
        assert page.locator("details").count() == 3 and page.locator("article h2").inner_text() == "Passages"
        # With a model: each stage is shown as it begins, and a second question waits for the first.
        asked(page, QUESTION, model="writer")
        page.locator("#progress li.now", has_text="Writing a draft").wait_for()
        assert page.locator("#progress li").first.inner_text().startswith("Starting the model")
        assert page.locator("#stage").inner_text() == "Writing a draft"
        assert not page.locator("article").is_visible() and not faults(page, "dark")
        second.goto(served.url)
        asked(second, OTHER)
        second.locator("#stage", has_text="1 question is answered before").wait_for()
        second.locator("#stop").click()
        second.locator("#failed", has_text="The question was stopped.").wait_for()
        # A page that is reloaded goes on with its question.
        page.reload()
        page.locator("#progress li.now", has_text="Writing a draft").wait_for()
        served.model.drafts.set()
        page.wait_for_url(lambda url: "/answer/" in url and url.partition("#")[0] != passages)
        assert page.title() == QUESTION and page.locator("h1:visible").inner_text() == QUESTION
        assert "written by writer" in page.locator("article .facts").inner_text()
        assert page.locator("span.mark").all_inner_texts() == [
            "quotation removed: no passage has these words",
            "not supported",
        ]
        assert "magnets at night" not in page.content()
        # A citation opens its passage, by keyboard and by touch on a narrow screen.
        assert page.locator("details[open]").count() == 0
        page.locator("a.cite").first.focus()
        page.keyboard.press("Enter")
        opened = page.locator("details[open]")
        opened.wait_for()
        assert opened.locator("mark").inner_text() == "Ice deforms under its own weight"
        assert opened.locator("a").get_attribute("href") == "https://example.org/ice"
        assert opened.locator(".passage").inner_text() == GIVEN[0].text
        page.set_viewport_size({"width": 360, "height": 800})
        page.locator("a.cite").nth(1).tap()
        page.locator("details[open]").nth(1).wait_for()
        beds = page.locator("details", has_text="On <b>beds</b> [[OPEN]]")
        assert beds.locator(".passage").inner_text() == GIVEN[1].text, "what a passage says is not replaced"
        assert beds.locator("a").count() == 0, "an address that runs code is no link"
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert not faults(page, "light", "dark")
        # Earlier answers are listed, the newest first, and open.
        listed = page.locator("aside li a")
        assert listed.all_inner_texts()[:2] == [QUESTION, OTHER]
        assert page.locator("aside [aria-current=page]").inner_text() == QUESTION
        listed.nth(1).click()
        page.wait_for_url(passages)
        assert page.locator("details").count() == 3
        # What was chosen is kept in the tab.
        assert page.locator("#model").input_value() == "writer"
        # A server that does not answer leaves the passages, and says why; one at another address is asked by it.
        asked(page, QUESTION, model="gone")
        page.locator("article", has_text="The model gave no answer. These passages are nearest").wait_for()
        assert page.locator("article .failure").count() == 1 and page.locator("details").count() == 3
        page.locator("#model").select_option("url")
        page.locator("#address").fill(served.model_url)
        page.locator("#text").fill(QUESTION)
        page.locator("#send").click()
        page.locator("article .facts", has_text="written by url").wait_for()
        browser.close()
    assert not errors and all(url.startswith(served.url) for url in requests)


def test_a_request_from_elsewhere_or_of_no_question_is_refused(served: Served) -> None:
    host = f"127.0.0.1:{served.port}"
    good = {"Host": host, "Origin": f"http://{host}", "Content-Type": "application/json"}
    question = {"text": QUESTION, "model": "", "passages": 3, "feedback": 0}

    def send(method: str, path: str, content: Any = None, **changed: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        headers = {**good, **{name.replace("_", "-"): value for name, value in changed.items()}}
        body = content if isinstance(content, str) else json.dumps(content)
        connection.request(method, path, body.encode() if content is not None else None,
                           {k: v for k, v in headers.items() if v})  # fmt: skip
        reply = connection.getresponse()
        found = reply.status, reply.read().decode()
        connection.close()
        return found

    def status(*words: Any, **changed: str) -> int:
        return send(*words, **changed)[0]

    _, page = send("GET", "/")
    token = re.search(r'const token = "([\w-]+)"', page)
    assert token
    good["X-Watershed-Token"] = token[1]
    count = len(earlier_answers(Lake.of(load_settings(served.folder)), 100)[0])
    assert {status("POST", "/ask", question, X_Watershed_Token=wrong) for wrong in ("", "guess")} == {403}
    assert {status("POST", "/ask", question, Origin=wrong) for wrong in ("", "null", "http://evil.example")} == {403}
    assert status("POST", "/ask", question, Content_Type="text/plain") == 403
    for method, path in (("POST", "/ask"), ("GET", "/"), ("GET", "/answer/0123456789abcdef"), ("GET", "/progress")):
        assert status(method, path, question if method == "POST" else None, Host="evil.example") == 403
    wrong = ({"text": " "}, {"text": "x" * 4001}, {"text": 1}, {"model": "nobody"}, {"model": "file:///etc/passwd"})
    wrong += ({"passages": 0}, {"passages": True}, {"passages": 1.5}, {"feedback": 11}, {"feedback": None})
    assert {status("POST", "/ask", {**question, **each}) for each in wrong} == {400}
    assert {status("POST", "/ask", each) for each in ("[]", "{", "[" * 9000, "{}", '{"text": "\\ud800"}')} == {400}
    assert status("POST", "/ask", f'"{"x" * 50_000}"') == 413 and status("POST", "/else", question) == 404
    assert "no model is called 'nobody'" in send("POST", "/ask", {**question, "model": "nobody"})[1]
    assert status("GET", "/progress?question=0123456789abcdef") == 404 == status("GET", "/answer/0123456789abcdef")
    assert status("GET", "/progress?question=x") == status("GET", "/progress?question=0123456789abcdef&seen=x") == 400
    assert status("GET", "/answer/..%2f..%2fetc") == status("GET", "/page.html") == 404
    assert status("GET", "/?skip=-1") == status("GET", "/?skip=7000") == 200
    assert len(earlier_answers(Lake.of(load_settings(served.folder)), 100)[0]) == count
    code, body = send("POST", "/ask", question)
    assert code == 200
    name = json.loads(body)["question"]
    found: dict[str, Any] = {"state": "working", "changes": 0}
    while found["state"] == "working":
        found = json.loads(send("GET", f"/progress?question={name}&seen={found['changes']}")[1])
    assert found["state"] == "done" and [each["stage"] for each in found["stages"]] == ["waiting", "retrieve"]
    assert send("GET", f"/answer/{found['answer']}")[0] == 200


def test_a_recorded_answer_is_the_answer_and_marks_what_was_withdrawn_since(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "lake", tmp_path / "lake")
    (tmp_path / "watershed.toml").touch()
    settings = load_settings(tmp_path)
    lake, store = Lake.of(settings), project_datastore(settings)
    _, shown = answered(Pipeline(store), lake, QUESTION)
    name = shown["answer"]
    before = recorded_answer(lake, name, store.passages)
    assert (
        before and earlier_answers(lake, 1)[0][0].answer == name and recorded_answer(lake, "0", store.passages) is None
    )
    for each in before["references"]:
        assert each.pop("withdrawn") is None
    assert {key: value for key, value in before.items() if key != "asked_at"} == {
        key: value for key, value in shown.items() if key not in ("quotations", "scoring")
    }
    words = {each["paper"]: each["passage"] for each in before["references"]}
    for paper, kind in (("ice", "retracted"), ("beds", "forgotten")):
        record_withdrawal(lake, paper, kind, "asked by its author")
        store.withdraw(paper, [words[paper]], kind)
    after = recorded_answer(lake, name, project_datastore(settings).passages)
    assert after
    found = {each["paper"]: (each["withdrawn"], each["text"] is None) for each in after["references"]}
    assert found == {"ice": ("retracted", False), "beds": ("forgotten", True), "rivers": (None, False)}


def test_questions_wait_in_turn_and_too_many_are_refused(project: Path) -> None:
    questions = Questions(load_settings(project))
    names = [questions.ask(f"Why {number}?", "", 1, 0) for number in range(MOST_WAITING)]
    with pytest.raises(WatershedError, match="16 questions wait"):
        questions.ask("Why not?", "", 1, 0)
    last = questions.progress(names[-1], -1, 0.0)
    assert last and (last["state"], last["ahead"]) == ("working", MOST_WAITING - 1)
    questions.stop(names[0])
    first, last = questions.progress(names[0], 0, 60.0), questions.progress(names[-1], last["changes"], 60.0)
    assert first and last and (first["state"], last["ahead"]) == ("stopped", MOST_WAITING - 2)
    assert questions.progress("0123456789abcdef", 0, 60.0) is None
    questions.close()
    # It ends at once, and answers none.
    questions.work()
    assert {each["state"] for name in names[1:] if (each := questions.progress(name, -1, 0.0))} == {"working"}


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("ui", "--model", "writer"), "belong to `watershed ui ask`"),
        (("ui", "ask", "--host", "0.0.0.0"), "served to this machine alone"),
        (("ui", "ask", "--model", "nobody"), "no model is called 'nobody'"),
        (("ui", "ask", "--judge", "nobody"), "no model is called 'nobody'"),
    ],
)
def test_what_cannot_be_served_is_said(project: Path, words: tuple[str, ...], cause: str) -> None:
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code == 2 and cause in done.stderr
