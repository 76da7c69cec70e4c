"""A question to an answer with checked citations, stage by stage (OpenScholar, arXiv 2411.14199, section 2).

Retrieve, draft, then for each piece of feedback retrieve again if it asks for it and edit, then add missing citations,
and at last check every citation and every quotation. Passages keep their numbers throughout, so that what a later
search found can be cited by every later edit. Without a model, the passages are the answer.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from catalog.errors import WatershedError
from catalog.lake import Lake
from spark_jobs.language_models.attempt import Attempt
from spark_jobs.language_models.client import ask
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.language_models.request import Request, Sampling
from spark_jobs.scholar import prompts
from spark_jobs.scholar.candidates import Candidate, Passage, Score
from spark_jobs.scholar.citations import GROUP, cited_numbers
from spark_jobs.scholar.datastore import Datastore
from spark_jobs.scholar.grounding import Judge, Sentence, Support, printed, read_sentences, reference_numbers, supports
from spark_jobs.scholar.quotations import Quotation, best_sentence, checked_quotations

PURPOSE = "scholar"
LONGEST_QUESTION = 4_000


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The stages of an answer, each of which can be left out."""

    passages: int = 10
    """Passages that the first draft is written from."""
    searched: int = 5
    """Passages that a piece of feedback may add."""
    feedback: int = 3
    """Pieces of feedback that are taken up, at most; 0 leaves the stage out."""
    rerank: bool = True
    """Whether a cross-encoder orders the passages, where one is configured."""
    boost: bool = True
    """Whether passages of papers that are cited more come first, where a cross-encoder orders them."""
    attribution: bool = True
    """Whether citations are added to paragraphs after the last edit."""
    shortest_edit: float = 0.9
    """An edit counts if it has more than this share of the characters of the text before."""
    tokens: int = 1024
    """Most tokens of an answer."""
    temperature: float = 0.7
    seed: int = 0

    def sampling(self, tokens: int | None = None, temperature: float | None = None) -> Sampling:
        """Return how a reply is sampled."""
        heat = self.temperature if temperature is None else temperature
        return Sampling(max_tokens=tokens or self.tokens, temperature=heat, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A row of `scholar.drafts`."""

    kind: str
    text: str
    question: str | None = None
    accepted: bool = True
    reason: str | None = None
    request: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A numbered reference."""

    number: int
    passage: Passage
    begin: int
    """First character of the words that are printed, in the passage."""
    end: int

    @property
    def quoted(self) -> str:
        """The words that are printed, which stand in the passage at their place."""
        return self.passage.text[self.begin : self.end]


@dataclass(kw_only=True)
class Answer:
    """An answer, with every stage that led to it."""

    question: str
    status: str = "passages_only"
    model: str | None = None
    judge: str | None = None
    text: str | None = None
    failure: str | None = None
    rounds: list[list[Candidate]] = field(default_factory=list)
    """What each search found: that for the question first."""
    shown: list[Passage] = field(default_factory=list)
    """Passages that the model saw, by their number from 0."""
    steps: list[Step] = field(default_factory=list)
    sentences: list[Sentence] = field(default_factory=list)
    support: list[Support | None] = field(default_factory=list)
    quotations: list[Quotation] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    body: str | None = None
    """The answer with the numbers under which the model saw the passages, its quotations checked."""

    def count(self, verdict: str) -> int:
        """Return how many sentences have a verdict."""
        return sum(each is not None and each.verdict == verdict for each in self.support)


class _FailedError(Exception):
    """The model gave no reply; the message says why."""


class Pipeline:
    """Answers questions over one datastore with one model, or with none."""

    def __init__(
        self,
        store: Datastore,
        *,
        lake: Lake | None = None,
        endpoint: Endpoint | None = None,
        judge: Endpoint | None = None,
        rerank: Score | None = None,
        choices: Choices | None = None,
        cap: float | None = None,
        heard: Callable[[str], Any] = lambda stage: None,
    ) -> None:
        """Set a pipeline up.

        Args:
            store: the datastore.
            lake: the lake of the ledger of requests; needed with an endpoint.
            endpoint: the model that writes; None for passages only.
            judge: the model that checks citations; by default the one that writes.
            rerank: scores of a cross-encoder.
            choices: the stages.
            cap: the most that the requests of one stage may cost in US dollars.
            heard: called with the name of each stage as it begins.
        """
        self.store, self.lake, self.endpoint, self.judge = store, lake, endpoint, judge or endpoint
        self.rerank, self.choices, self._heard, self._cap = rerank, choices or Choices(), heard, cap
        if endpoint and lake is None:
            raise ValueError("a model needs a lake for the ledger of its requests")

    def answer(self, question: str) -> Answer:
        """Return the answer to a question. A model that fails leaves the passages, and the reason in `failure`.

        Raises:
            WatershedError: the question is empty or too long, or the datastore is damaged.
        """
        question = " ".join(question.split())
        if not question or len(question) > LONGEST_QUESTION:
            raise WatershedError(
                "the question is empty" if not question else f"the question has {len(question):,} characters",
                f"ask a question of up to {LONGEST_QUESTION:,} characters",
            )
        found = Answer(question=question, model=self.endpoint.name if self.endpoint else None)
        self._heard("retrieve")
        found.shown += self._retrieve(found, question, self.choices.passages)
        if not found.shown:
            found.status = "no_passages"
            return found
        if self.endpoint:
            try:
                self._write(found)
                self._ground(found)
                found.status = "answered"
            except (_FailedError, WatershedError) as error:
                found.status = "model_failed"
                found.failure = str(error)
                found.text, found.body = None, None
        if found.status != "answered":
            found.references = [
                Reference(number=number, passage=each, begin=begin, end=end)
                for number, each in enumerate(found.shown, start=1)
                for begin, end in [best_sentence(question, each.text)]
            ]
        return found

    def _retrieve(self, found: Answer, question: str, count: int) -> list[Passage]:
        candidates = self.store.retrieve(
            question,
            count,
            rerank=self.rerank if self.choices.rerank else None,
            boosted=self.choices.boost,
            seen=found.shown,
        )
        found.rounds.append(candidates)
        return [each.passage for each in candidates if each.dropped is None]

    def _write(self, found: Answer) -> None:
        choices = self.choices
        self._heard("draft")
        row = self._drafted(prompts.draft(found.question, found.shown), choices.sampling())
        text = _reply(row)
        found.steps.append(Step(kind="draft", text=text, request=row.request))
        for wish, asked in self._feedback(found, text) if choices.feedback else ():
            text = self._edited(found, text, wish, asked)
        if choices.attribution:
            self._heard("attribution")
            text = self._attributed(found, text)
        found.body = text

    def _feedback(self, found: Answer, text: str) -> list[tuple[str, str | None]]:
        self._heard("feedback")
        prompt = prompts.feedback(found.question, found.shown, text, self.choices.feedback)
        row = self._ask([self._request(prompt, self.choices.sampling(512))])[0]
        pieces = prompts.read_feedback(_reply(row), self.choices.feedback)
        if not pieces:
            reason = "the reply has no feedback" if row.answered else f"no reply: {row.error}"
            found.steps.append(
                Step(kind="feedback", text=_reply(row), accepted=False, reason=reason, request=row.request)
            )
        found.steps += [Step(kind="feedback", text=w, question=asked, request=row.request) for w, asked in pieces]
        return pieces

    def _edited(self, found: Answer, text: str, wish: str, asked: str | None) -> str:
        if asked:
            self._heard("retrieve again")
            found.shown += self._retrieve(found, asked[:LONGEST_QUESTION], self.choices.searched)
        self._heard("edit")
        prompt = prompts.edit(found.question, found.shown, text, wish)
        (row,) = self._ask([self._request(prompt, self.choices.sampling())])
        edited, reason = _reply(row), None
        if not row.answered:
            reason = f"no reply: {row.error}"
        elif len(edited) <= self.choices.shortest_edit * len(text):
            reason = f"it has {len(edited)} characters, and the text before {len(text)}"
        found.steps.append(Step(kind="edit", text=edited, accepted=reason is None, reason=reason, request=row.request))
        return text if reason else edited

    def _attributed(self, found: Answer, text: str) -> str:
        """Ask for the citations of each paragraph that has a sentence without one; nothing but citations may change."""
        paragraphs = [each for each in re.split(r"\n+", text) if each.strip()]
        lacking = [
            place
            for place, each in enumerate(paragraphs)
            if any(s.judged and not s.cited for s in read_sentences(each, len(found.shown)))
        ]
        asked = [
            self._request(prompts.attribution(found.shown, paragraphs[n]), self.choices.sampling()) for n in lacking
        ]
        for place, row in zip(lacking, self._ask(asked) if asked else [], strict=True):
            reply, reason = " ".join(_reply(row).split()), None
            if not row.answered:
                reason = f"no reply: {row.error}"
            elif _bare(reply) != _bare(paragraphs[place]):
                reason = "it changes more than citations"
            elif _citations(reply) <= _citations(paragraphs[place]):
                reason = "it adds no citation"
            found.steps.append(
                Step(kind="attribution", text=reply, accepted=reason is None, reason=reason, request=row.request)
            )
            paragraphs[place] = paragraphs[place] if reason else reply
        return "\n\n".join(paragraphs)

    def _ground(self, found: Answer) -> None:
        self._heard("check")
        assert found.body is not None
        cited = [found.shown[number] for number in cited_numbers(found.body) if number < len(found.shown)]
        found.body, found.quotations = checked_quotations(found.body, [*cited, *found.shown])
        found.sentences = read_sentences(found.body, len(found.shown))
        found.judge = self.judge.name if self.judge else None
        found.support = supports(found.sentences, self._judge_of(found) if self.judge else None)
        numbers = reference_numbers(found.sentences)
        found.text = printed(found.body, found.sentences, found.support, numbers)
        found.references = [
            _reference(found, place, number) for place, number in sorted(numbers.items(), key=lambda each: each[1])
        ]

    def _judge_of(self, found: Answer) -> Judge:
        def judge(claims: Sequence[tuple[str, tuple[int, ...]]]) -> list[tuple[bool | None, str | None]]:
            asked = [
                self._request(
                    prompts.entailment([found.shown[number] for number in cited], claim),
                    self.choices.sampling(8, 0.0),
                    system=prompts.JUDGING,
                )
                for claim, cited in claims
            ]
            rows = self._ask(asked, self.judge)
            return [(prompts.read_verdict(row.text) if row.answered else None, row.request) for row in rows]

        return judge

    def _request(self, prompt: str, settings: Sampling, system: str = prompts.ANSWERING) -> Request:
        return Request.chat(prompt, system=system, settings=settings)

    def _ask(self, requests: Sequence[Request], endpoint: Endpoint | None = None) -> list[Attempt]:
        assert self.lake is not None and self.endpoint is not None
        asked = endpoint or self.endpoint
        return ask(self.lake, asked, requests, purpose=PURPOSE, cap=self._cap) if requests else []

    def _drafted(self, prompt: str, settings: Sampling) -> Attempt:
        (row,) = self._ask([self._request(prompt, settings)])
        if not _reply(row):
            cause = f"{row.error or 'an empty reply'}{f': {row.message}' if row.message else ''}"
            raise _FailedError(f"the model {row.endpoint} gave no answer ({cause})")
        return row


MOST_CHARACTERS = 100_000
"""Characters of a reply that are read."""


def _reply(row: Attempt) -> str:
    return prompts.without_marks(row.text[:MOST_CHARACTERS]).strip() if row.answered else ""


def _bare(text: str) -> str:
    """Return a text without citations, white space and the marks around it, to see whether nothing else changed."""
    return re.sub(r"\s+", "", GROUP.sub("", text)).strip("`*")


def _citations(text: str) -> int:
    """Return how many citations a text has; a passage that is cited in two places counts twice."""
    return sum(len(cited_numbers(match.group())) for match in GROUP.finditer(text))


def _reference(found: Answer, place: int, number: int) -> Reference:
    """Return a reference with the words of it that the answer quotes, or else those nearest to what cites it."""
    passage = found.shown[place]
    for each in found.quotations:
        if each.passage is not None and each.passage.passage == passage.passage:
            return Reference(number=number, passage=passage, begin=each.begin, end=each.end)
    claim = " ".join(sentence.text for sentence in found.sentences if place in sentence.cited)
    begin, end = best_sentence(claim or found.question, passage.text)
    return Reference(number=number, passage=passage, begin=begin, end=end)


def answer_id(question: str, model: str | None, asked_at: str) -> str:
    """Return the id of an answer, 16 hex digits."""
    return hashlib.sha256(json.dumps([question, model, asked_at]).encode()).hexdigest()[:16]


def choices_json(choices: Choices) -> str:
    """Return the choices as JSON with sorted keys."""
    return json.dumps(asdict(choices), sort_keys=True)
