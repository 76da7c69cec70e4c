"""The questions of the page: a queue that one thread answers, and how far each of them is.

The thread that answers is the one of the command, so that Ctrl+C ends what it has started.
"""

from __future__ import annotations

import secrets
import threading
import time
import traceback
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import Settings
from dagster_project.families.scholar.ask_page.models import Endpoints, known_model
from dagster_project.families.scholar.recipes import project_datastore, project_encoder, project_reranker
from spark_jobs.scholar.asking import LONGEST_QUESTION, Choices, Pipeline
from spark_jobs.scholar.records import answered

if TYPE_CHECKING:
    from spark_jobs.retrieval.encoders import Encoder
    from spark_jobs.scholar.candidates import Score

MOST_WAITING = 16
"""Questions that wait at most; further ones are refused."""
KEPT = 200
"""Questions whose progress is remembered."""
WAITING, STARTING = "waiting", "model"
"""Stages before those of the pipeline: earlier questions are answered, and the server of the model is started."""


@dataclass(eq=False)
class Question:
    """A question that was asked on the page. The lock of `Questions` guards its fields."""

    text: str
    model: str
    """An entry of [models] or the address of a server; empty for the passages alone."""
    passages: int
    feedback: int
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: str = "working"
    """working, then done, failed or stopped."""
    stages: list[tuple[str, float]] = field(default_factory=lambda: [(WAITING, time.monotonic())])
    """The stages that have begun, each with the time."""
    ended: float | None = None
    changes: int = 0
    answer: str = ""
    """The id of the answer, when it is done."""
    error: str = ""
    stopped: bool = False
    """Whether it is to be stopped at the next stage."""


class _StoppedError(Exception):
    """A person stopped the question."""


class Questions:
    """Takes questions from the threads of a server, and answers them one after another in `work`.

    Args:
        settings: the project.
        judge: the entry of [models] that checks citations; by default the model that answers.
        cap: the most that the requests of one stage may cost in US dollars.

    Raises:
        WatershedError: nothing is indexed, or the judge is no entry.
    """

    def __init__(self, settings: Settings, *, judge: str | None = None, cap: float | None = None) -> None:
        project_datastore(settings)
        self.settings, self.cap = settings, cap
        self.judge = known_model(settings, judge) if judge else None
        self._waiting: deque[Question] = deque()
        self._known: OrderedDict[str, Question] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self._endpoints = Endpoints(settings)

    @cached_property
    def _encoder(self) -> Encoder:
        return project_encoder(self.settings)

    @cached_property
    def _rerank(self) -> Score | None:
        return project_reranker(self.settings)

    def ask(self, text: str, model: str, passages: int, feedback: int) -> str:
        """Queue a question, and return the id by which its progress is known.

        Args:
            text: the question.
            model: the entry of [models] or the address of a server; empty for the passages alone.
            passages: passages that the first draft is written from, 1 to 100.
            feedback: pieces of feedback that are taken up at most, 0 to 10.

        Raises:
            WatershedError: it cannot be asked, or too many wait.
        """
        text = " ".join(text.split())
        if not 0 < len(text) <= LONGEST_QUESTION:
            raise WatershedError(
                "the question is empty" if not text else f"the question has {len(text):,} characters",
                f"ask a question of up to {LONGEST_QUESTION:,} characters",
            )
        if not 1 <= passages <= 100 or not 0 <= feedback <= 10:
            raise WatershedError("a number is out of its range", "choose 1 to 100 passages, and 0 to 10 for feedback")
        asked = Question(text, known_model(self.settings, model) if model else "", passages, feedback)
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                raise WatershedError(f"{MOST_WAITING} questions wait", "ask again when some of them are answered")
            self._waiting.append(asked)
            self._known[asked.id] = asked
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
            self._changed.notify_all()
        return asked.id

    def stop(self, name: str) -> None:
        """Stop a question at its next stage. What it has asked of a model is kept in the ledger."""
        with self._changed:
            if (asked := self._known.get(name)) is None or asked.state != "working":
                return
            asked.stopped = True
            if asked in self._waiting:
                self._waiting.remove(asked)
                self._end(asked, "stopped")

    def progress(self, name: str, seen: int, wait: float) -> dict[str, Any] | None:
        """Return how far a question is; None if it is not known.

        Args:
            name: the id of the question.
            seen: `changes` of what the caller knows; the reply waits until there is more to know.
            wait: seconds to wait at most.

        Returns:
            `changes`, `state`, `stages` with the name and the seconds of each, `ahead` (questions that are answered
            before), and `answer` or `error`.
        """
        with self._changed:
            if (asked := self._known.get(name)) is None:
                return None
            self._changed.wait_for(lambda: asked.changes > seen or asked.state != "working", wait)
            ends = [begin for _, begin in asked.stages[1:]] + [asked.ended or time.monotonic()]
            return {
                "changes": asked.changes,
                "state": asked.state,
                "stages": [
                    {"stage": stage, "seconds": round(end - begin, 1)}
                    for (stage, begin), end in zip(asked.stages, ends, strict=True)
                ],
                "ahead": self._ahead(asked),
                "answer": asked.answer,
                "error": asked.error,
            }

    def work(self) -> None:
        """Answer questions until `close`."""
        try:
            while (asked := self._next()) is not None:
                self._answer(asked)
        finally:
            self._endpoints.close()

    def close(self) -> None:
        """End `work` when the question that it answers has ended its stage."""
        with self._changed:
            self._closed = True
            for asked in self._known.values():
                asked.stopped = True
            self._changed.notify_all()

    def _ahead(self, asked: Question) -> int:
        if asked not in self._waiting:
            return 0
        answering = any(each.state == "working" and each not in self._waiting for each in self._known.values())
        return self._waiting.index(asked) + answering

    def _next(self) -> Question | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return None if self._closed else self._waiting.popleft()

    def _answer(self, asked: Question) -> None:
        try:
            name, failed = self._answered(asked)
        except _StoppedError:
            self._end(asked, "stopped")
        except WatershedError as error:
            self._end(asked, "failed", error=f"{error.cause}; {error.mend}")
        except Exception:
            # The page goes on, and the command shows what a reader of its code needs.
            traceback.print_exc()
            self._end(asked, "failed", error="the question was not answered; the terminal of the command shows why")
        else:
            if failed:
                # A server that was started may have ended.
                self._endpoints.close()
            self._end(asked, "done", answer=name)

    def _answered(self, asked: Question) -> tuple[str, bool]:
        """Return the id of the answer, and whether the model failed."""
        writer = judge = None
        if asked.model:
            self._heard(asked, STARTING)
            names = list(dict.fromkeys([asked.model, self.judge or asked.model]))
            found = self._endpoints.of(names)
            writer, judge = found[asked.model], found[names[-1]]
        lake = Lake.of(self.settings)
        # Opened anew, so that an index that was built since, and papers that were withdrawn since, count.
        opened = project_datastore(self.settings, lambda: self._encoder)
        pipeline = Pipeline(
            opened,
            lake=lake,
            endpoint=writer,
            judge=judge,
            rerank=self._rerank,
            choices=Choices(passages=asked.passages, feedback=asked.feedback),
            cap=self.cap,
            heard=lambda stage: self._heard(asked, stage),
        )
        found, shown = answered(pipeline, lake, asked.text)
        return shown["answer"], found.status == "model_failed"

    def _heard(self, asked: Question, stage: str) -> None:
        with self._changed:
            if asked.stopped:
                raise _StoppedError
            asked.stages.append((stage, time.monotonic()))
            self._change(asked)

    def _end(self, asked: Question, state: str, *, answer: str = "", error: str = "") -> None:
        with self._changed:
            asked.state, asked.answer, asked.error, asked.ended = state, answer, error, time.monotonic()
            self._change(asked)

    def _change(self, asked: Question) -> None:
        asked.changes += 1
        # Those that wait learn how many are before them.
        for each in self._waiting:
            each.changes += 1
        self._changed.notify_all()
