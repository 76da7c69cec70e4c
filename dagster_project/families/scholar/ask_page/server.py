"""The server of the page on which people ask questions: form, progress by stage, and answers with their passages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from markupsafe import Markup

from catalog.errors import WatershedError
from catalog.lake import Lake
from dagster_project.engine.local_page import LocalHandler, LocalServer, is_number
from dagster_project.families.scholar.ask_page.models import known_model, models
from dagster_project.families.scholar.ask_page.questions import Questions
from dagster_project.families.scholar.recipes import project_datastore
from spark_jobs.scholar.page import OPEN, STYLE, answer_article
from spark_jobs.scholar.recorded import Earlier, earlier_answers, recorded_answer

LARGEST_BODY = 40_000
LISTED = 50
"""Earlier answers on a page."""
PATIENCE_S = 15.0
"""Seconds that a request waits for progress."""
ANSWER = re.compile(r"/answer/([0-9a-f]{16})")
JOB = re.compile(r"[0-9a-f]{16}")
Kind = TypeVar("Kind")
STATES = {
    "answered": "",
    "passages_only": "passages",
    "no_passages": "no passage",
    "model_failed": "the model failed",
}


class AskServer(LocalServer):
    """Serves the page for the questions of a project.

    Args:
        questions: what takes the questions; its `work` answers them in another thread.
        port: the port; 0 for a free one.
        model: the entry of [models] or the address of a server that is chosen on the page at first.

    Raises:
        WatershedError: there is no such model, or the port cannot be used.

    Example:
        >>> server = AskServer(Questions(load_settings()))
        >>> server.url
        'http://127.0.0.1:43210/'
    """

    def __init__(self, questions: Questions, port: int = 0, model: str | None = None) -> None:
        self.model = known_model(questions.settings, model) if model else ""
        super().__init__("dagster_project.families.scholar.ask_page", _Handler, port)
        self.questions = questions
        self.lake = Lake.of(questions.settings)

    def shown(self, name: str) -> dict[str, Any] | None:
        """An answer as it was recorded, with its passages; None if there is none of this id."""
        return recorded_answer(self.lake, name, project_datastore(self.questions.settings).passages)

    def ask_page(self, nonce: str, article: Markup, title: str, answer: str = "", skip: int = 0) -> bytes:
        """The page: the form, an article, and the list of earlier answers."""
        parts = {
            "STYLE": Markup(STYLE),
            "OPEN": Markup(OPEN),
            "TITLE": title,
            "MODELS": self._options(),
            "ARTICLE": article,
            "EARLIER": self._list(answer, skip),
        }
        # The parts hold text of others, in which nothing is replaced any more.
        pieces = re.split(r"\[\[([A-Z]+)\]\]", self.page(nonce).decode())
        pieces[1::2] = [str(Markup("{}").format(parts[name])) for name in pieces[1::2]]
        return "".join(pieces).encode("utf-8", "replace")

    def _options(self) -> Markup:
        address = self.model if "://" in self.model else ""
        listed = {"": "no model: the passages themselves", **self._named(), "url": "a server at another address"}
        chosen = "url" if address else self.model
        options = Markup("").join(
            Markup("<option value='{}'{}>{}</option>").format(name, Markup(" selected" * (name == chosen)), label)
            for name, label in listed.items()
        )
        return Markup("<select id='model' data-address='{}'>{}</select>").format(address, options)

    def _named(self) -> dict[str, str]:
        return {name: f"{name} ({where})" for name, where in models(self.questions.settings).items()}

    def _list(self, answer: str, skip: int) -> Markup:
        found, count = earlier_answers(self.lake, LISTED, skip)
        if not count:
            return Markup("<p class='facts'>None yet.</p>")
        lines = Markup("").join(_line(each, current=each.answer == answer) for each in found)
        newer = Markup("<a href='/?skip={}'>newer</a> ").format(max(0, skip - LISTED)) if skip else ""
        older = Markup("<a href='/?skip={}'>older</a>").format(skip + LISTED) if skip + LISTED < count else ""
        return Markup("<ul>{}</ul><p class='facts'>{} in all {}{}</p>").format(lines, f"{count:,}", newer, older)


def _line(each: Earlier, *, current: bool) -> Markup:
    facts = [f"{each.asked_at:%Y-%m-%d %H:%M}", each.model or "", STATES.get(each.status, each.status)]
    return Markup("<li><a href='/answer/{}'{}>{}</a> <span class='facts'>{}</span></li>").format(
        each.answer,
        Markup(" aria-current='page'") if current else "",
        each.question[:200],
        " · ".join(fact for fact in facts if fact),
    )


INTRODUCTION = Markup(
    "<h1>Questions to the papers of this lake</h1><p>A model drafts an answer with citations and improves it, and "
    "every citation and every quotation is checked. Without a model, the passages are shown, with the words that fit "
    "best.</p>"
)
UNKNOWN = Markup("<h1>There is no such answer</h1><p>The list beside has those that are recorded.</p>")


class _Handler(LocalHandler):
    server: AskServer  # ty: ignore[incompatible-mutable-override]

    def do_GET(self) -> None:
        if not self.is_for_us():
            return
        path, query = self.asked()
        try:
            if path == "/":
                self._begin(query.get("skip", "0"))
            elif found := ANSWER.fullmatch(path):
                self._open(found[1])
            elif path == "/progress":
                self._progress(query)
            else:
                self.refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        except WatershedError as error:
            self.refuse(HTTPStatus.CONFLICT, self.words(error))

    def _begin(self, skip: str) -> None:
        number = int(skip) if is_number(skip, 8) else 0
        self.send_page(partial(self.server.ask_page, article=INTRODUCTION, title="Ask the papers", skip=number))

    def _open(self, name: str) -> None:
        try:
            shown = self.server.shown(name)
        except WatershedError as error:
            article = Markup("<h1>The answer cannot be shown</h1><p>{}; {}</p>").format(error.cause, error.mend)
            made = partial(self.server.ask_page, article=article, title="The answer cannot be shown")
            self.send_page(made, HTTPStatus.CONFLICT)
            return
        if shown is None:
            made = partial(self.server.ask_page, article=UNKNOWN, title="No such answer")
            self.send_page(made, HTTPStatus.NOT_FOUND)
            return
        article = answer_article(shown)
        self.send_page(partial(self.server.ask_page, article=article, title=shown["question"], answer=name))

    def _progress(self, query: Mapping[str, str]) -> None:
        name, seen = query.get("question", ""), query.get("seen", "")
        if not JOB.fullmatch(name) or not (seen == "" or is_number(seen, 9)):
            self.refuse(HTTPStatus.BAD_REQUEST, "this is no question")
        elif (found := self.server.questions.progress(name, int(seen or -1), PATIENCE_S)) is None:
            self.refuse(HTTPStatus.NOT_FOUND, "the question is not known; the command was started anew since")
        else:
            self.send_value(found)

    def do_POST(self) -> None:
        if not self.is_for_us() or not self.is_our_page():
            return
        if self.path not in ("/ask", "/stop"):
            self.refuse(HTTPStatus.NOT_FOUND, "nothing is written there")
            return
        reply = self.taken(LARGEST_BODY, self._stop if self.path == "/stop" else self._ask, "this is not a question")
        if reply is not None:
            self.send_value(reply)

    def _stop(self, value: Any) -> dict[str, str]:
        self.server.questions.stop(_typed(value["question"], str))
        return {}

    def _ask(self, value: Any) -> dict[str, str]:
        text, model = (_typed(value[name], str) for name in ("text", "model"))
        passages, feedback = (_typed(value[name], int) for name in ("passages", "feedback"))
        return {"question": self.server.questions.ask(text, model, passages, feedback)}


def _typed(value: Any, kind: type[Kind]) -> Kind:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError
    return value
