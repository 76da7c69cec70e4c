"""The parts of an evaluation example as a reader meets them: question, question with each answer, passage.

An example is a JSON object whose fields have usual names (`query` and `choices`, `context` and `continuation`,
`context_options`, `question` and `answer`, `passage`, and so on). Its parts are joined in the order of the task's
prompt, whatever the order of the fields: the question, then the answer. Labels such as `Question:` and `Answer:`, and
lists of lettered options, belong to the prompt and not to the text that a page would have.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

QUESTIONS = (
    "question",
    "query",
    "prompt",
    "problem",
    "goal",
    "stem",
    "instruction",
    "ctx",
    "sentence",
    "statement",
    "claim",
    "hypothesis",
    "input",
    "q",
)
"""Names of the field with the question; the first that an example has counts."""
PASSAGES = (
    "context",
    "passage",
    "article",
    "story",
    "background",
    "support",
    "document",
    "paragraph",
    "premise",
    "text",
)
"""Names of fields with a text that the question is about. The first is the question if there is no other."""
CONTEXT_OPTIONS = "context_options"
"""The field with alternative beginnings of one sentence, of which the rest is the continuation."""
QUESTION = "question"
PASSAGE = "passage"
"""Parts of an example: what is asked, and the text that it is about."""
SHORT_PASSAGE = 300
"""Characters of a passage that is compared together with its question too, because neither may say enough alone."""
MOST_ANSWERS = 64
"""Answers of an example that are compared."""

_ANSWERS = re.compile(
    r"(?:(?:correct|incorrect|best|gold|wrong|reference|canonical|final)_?)?"
    r"(?:answers?|choices?|options?|endings?|continuations?|completions?|targets?|outputs?|responses?|solutions?|sol"
    r"|aliases|distractors?|chain_of_thought|rationale)"
    r"(?:_?(?:text|[a-j]|\d))?"
    r"|[a-j]",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:^|(?<=\n)|(?<=[.?!\"'”’)] ))[ \t]*"
    r"(Passage|Context|Article|Story|Background|Question|Problem|Sentence|Statement|Concept|Answer Choices|Choices"
    r"|Options|Answer|Solution|Q|A)[ \t]*:[ \t]*",
    re.IGNORECASE,
)
_OPTION = re.compile(r"^[ \t]*\(?([A-Ja-j])[.):][ \t]+(\S[^\n]*)$", re.MULTILINE)
_GAP = re.compile(r"(?<!\w)_+(?!\w)")
_PASSAGE_LABELS = frozenset(("passage", "context", "article", "story", "background"))
_OPTION_LABELS = frozenset(("answer choices", "choices", "options"))
_ANSWER_LABELS = frozenset(("answer", "solution", "a"))


@dataclass(frozen=True)
class Part:
    """A text of an example that is compared with documents."""

    field: str
    """What it is, such as `question`, `question + choices[2]` or `passage`."""
    text: str


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The texts of an example."""

    parts: tuple[Part, ...]
    ignored: tuple[str, ...] = ()
    """Names of fields with text that is not compared."""


def all_text(example: Any) -> Parts:
    """All texts of an example as one, in the order of its fields."""
    return Parts(parts=(Part("", "\n".join(_every_text(example))),))


def parts_of(example: Any) -> Parts:
    """The parts of an example; of one without a known field, each of its texts, and all together."""
    if not isinstance(example, Mapping):
        return Parts(parts=_distinct([Part("text", text) for text in _texts(example)]))
    row = _flat(example)
    questions, passages, answers = _roles(tuple(row))
    question = next((name for name in questions if _is_text(row[name])), "")
    leads = [name for name in passages if _is_text(row[name])]
    if CONTEXT_OPTIONS in row:
        found = _schema(row, answers)
        used = {CONTEXT_OPTIONS, *answers}
    elif question or leads:
        asked = [question or leads.pop(0)]
        if asked == ["instruction"] and _is_text(row.get("input")):
            asked.append("input")
        found = _question("\n".join(row[name] for name in asked), [row[name] for name in leads], _answers(row, answers))
        used = {*asked, *leads, *answers}
    else:
        found = [Part(name, text) for name, value in row.items() for text in _texts(value)]
        found.append(Part("all fields", " ".join(part.text for part in found)))
        used = set(row)
    ignored = tuple(name for name, value in row.items() if name not in used and any(_texts(value)))
    return Parts(parts=_distinct(found), ignored=ignored)


@functools.lru_cache(maxsize=256)
def _roles(names: tuple[str, ...]) -> tuple[list[str], list[str], list[str]]:
    """Names of fields: those that may hold the question, passages, and answers, the likeliest first."""
    by_name = {name.lower(): name for name in names}
    questions = [by_name[name] for name in QUESTIONS if name in by_name]
    passages = [by_name[name] for name in PASSAGES if name in by_name]
    return questions, passages, [name for name in names if _ANSWERS.fullmatch(name)]


def _distinct(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The parts with text, the first of those with equal texts."""
    found: dict[str, Part] = {}
    for part in parts:
        if part.text.strip():
            found.setdefault(part.text, part)
    return tuple(found.values())


def _question(text: str, passages: Sequence[str], answers: Sequence[Part]) -> list[Part]:
    question, passage, options = _sections(text)
    if not any(len(answer.text) > 1 for answer in answers):
        answers = [Part(f"option {letter}", option) for letter, option in options]
    found = [Part(PASSAGE, each) for each in (*passages, passage)]
    found.append(Part(QUESTION, question))
    about = " ".join(filter(None, (*passages, passage)))
    if 0 < len(about) <= SHORT_PASSAGE:
        found.append(Part("passage + question", f"{about} {question}"))
    for answer in answers:
        filled, gaps = _GAP.subn(lambda _, answer=answer: answer.text, question) if "_" in question else ("", 0)
        joined = filled if gaps == 1 else f"{question} {answer.text}"
        found.append(Part(f"question + {answer.field}", joined))
    if options:
        found.append(Part("prompt", " ".join([question, *(f"{letter}. {option}" for letter, option in options)])))
    return found


def _schema(row: Mapping[str, Any], answers: Sequence[str]) -> list[Part]:
    beginnings = list(_texts(row[CONTEXT_OPTIONS]))[:MOST_ANSWERS]
    endings = _answers(row, answers)
    return [
        Part(f"{CONTEXT_OPTIONS}[{number}] + {ending.field}", f"{beginning} {ending.text}")
        for number, beginning in enumerate(beginnings)
        for ending in endings or [Part("", "")]
    ]


def _sections(text: str) -> tuple[str, str, list[tuple[str, str]]]:
    """The question, the passage and the lettered options of a prompt."""
    pieces = _LABEL.split(text) if ":" in text else [text]
    sections = [("", pieces[0]), *zip((label.lower() for label in pieces[1::2]), pieces[2::2], strict=True)]
    passage = "\n".join(piece for label, piece in sections if label in _PASSAGE_LABELS).strip()
    options: list[tuple[str, str]] = []
    asked = []
    for label, piece in sections:
        if label in _PASSAGE_LABELS or label in _ANSWER_LABELS:
            continue
        found = _OPTION.findall(piece) if "\n" in piece else []
        if len(found) > 1 and [letter.upper() for letter, _ in found] == list("ABCDEFGHIJ"[: len(found)]):
            options += found
            asked.append("" if label in _OPTION_LABELS else _OPTION.sub("", piece).strip())
        elif label not in _OPTION_LABELS:
            asked.append(piece.strip())
    question = "\n".join(piece for piece in asked if piece)
    if not question:
        # Of a prompt with nothing but a passage, the passage is what is asked about.
        question, passage = passage or text, ""
    return question, passage, options


def _answers(row: Mapping[str, Any], names: Sequence[str]) -> list[Part]:
    found = []
    for name in names:
        texts = [text.strip() for text in _texts(row[name])]
        plain = isinstance(row[name], str)
        found += [Part(name if plain else f"{name}[{number}]", text) for number, text in enumerate(texts) if text]
    return found[:MOST_ANSWERS]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a row, and those of the objects in it; an object with `text` is that field's value."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict) and "text" in value:
            flat[name] = value["text"]
        elif isinstance(value, dict):
            for inner, text in value.items():
                flat.setdefault(inner, text)
        else:
            flat[name] = value
    return flat


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _texts(parsed: Any) -> Iterator[str]:
    """All texts of a value, in order; of a choice that has a label and a text, the text."""
    if isinstance(parsed, str):
        yield parsed
    elif isinstance(parsed, dict):
        for value in [parsed["text"]] if "text" in parsed and "label" in parsed else parsed.values():
            yield from _texts(value)
    elif isinstance(parsed, list):
        for value in parsed:
            yield from _texts(value)


def _every_text(parsed: Any) -> Iterator[str]:
    """All texts of a value, in order."""
    if isinstance(parsed, str):
        yield parsed
    elif isinstance(parsed, dict):
        for value in parsed.values():
            yield from _every_text(value)
    elif isinstance(parsed, list):
        for value in parsed:
            yield from _every_text(value)
