"""Prompts whose replies can be verified: rows, and the verdict on a reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.data.json_rows import read_rows
from trainers.data.loader import Ints
from trainers.names import close
from trainers.posttraining.begin import Beginning, data_digests
from trainers.posttraining.rows import REPLY, UnusableRow, messages_of, tools_of
from trainers.process.errors import TrainerError
from trainers.process.files import canonical_json, sha256_text, write_jsonl
from trainers.verifiers.verdict import Verdict

Judge = Callable[[str], Verdict]


@dataclass(frozen=True)
class Prompt:
    """A row to which replies are written."""

    number: int
    row: int
    id: str
    source: str
    tokens: tuple[int, ...]
    verifier: str
    judge: Judge


def judge_of(row: Mapping[str, Any]) -> Judge:
    """The verifier that a row names, with its answer.

    Raises:
        UnusableRow: it names none that is known, or lacks what that one needs.

    Example:
        >>> judge_of({"verifier": "gsm8k", "answer": "18"})("It is 18.").score
        1.0
    """
    name = row.get("verifier")
    if name not in JUDGES:
        raise UnusableRow(f"the verifier {str(name)[:40]!r} is unknown{close(str(name), JUDGES)}")
    try:
        return JUDGES[name](row)
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableRow(f"the verifier {name} lacks {error}") from None
    except TrainerError as error:
        raise UnusableRow(error.cause) from None


def _text(row: Mapping[str, Any], name: str = "answer") -> str:
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(name)
    return str(value)


def _gsm8k(row: Mapping[str, Any]) -> Judge:
    from trainers.verifiers.gsm8k import score_gsm8k

    answer = _text(row)
    return lambda reply: score_gsm8k(reply, answer)


def _math(row: Mapping[str, Any]) -> Judge:
    from trainers.verifiers.math.score import score_math

    answer = _text(row)
    return lambda reply: score_math(reply, answer)


def _exact(row: Mapping[str, Any]) -> Judge:
    from trainers.verifiers.exact import score_exact

    given = row.get("answers") or [_text(row)]
    answers = [str(each) for each in given]
    return lambda reply: score_exact(reply, answers)


def _choice(row: Mapping[str, Any]) -> Judge:
    from trainers.verifiers.choice import score_choice

    answer, choices = _text(row), tuple(str(each) for each in row.get("choices") or ())
    return lambda reply: score_choice(reply, answer, choices)


def _ifeval(row: Mapping[str, Any]) -> Judge:
    from trainers.verifiers.instructions.follow import read_instructions, score_instructions

    instructions = read_instructions(row["instructions"])
    return lambda reply: score_instructions(reply, instructions)


def _gsm8k_and_ifeval(row: Mapping[str, Any]) -> Judge:
    answer, instructions = _gsm8k(row), _ifeval(row)

    def judge(reply: str) -> Verdict:
        found = [answer(reply), instructions(reply)]
        worst = min(found, key=lambda verdict: verdict.score)
        return Verdict(float(all(each.passed for each in found)), worst.reason)

    return judge


def _code(row: Mapping[str, Any]) -> Judge:
    from trainers.verifiers.code.score import score_code

    tests, cases, entry = str(row.get("tests") or ""), tuple(row.get("cases") or ()), str(row.get("entry_point") or "")
    if not tests and not cases:
        raise KeyError("tests")
    return lambda reply: score_code(reply, tests=tests, cases=cases, entry_point=entry)


JUDGES: dict[str, Callable[[Mapping[str, Any]], Judge]] = {
    "gsm8k": _gsm8k,
    "math": _math,
    "exact": _exact,
    "choice": _choice,
    "ifeval": _ifeval,
    "gsm8k+ifeval": _gsm8k_and_ifeval,
    "code": _code,
}
"""What makes a judge of a row: `answer`, `answers`, `choices`, `instructions`, `tests` or `cases`, as `watershed score`
reads them."""


class Prompts:
    """The prompts of some files as a `Source`.

    Args:
        room: tokens that a prompt must leave for its reply, at least.

    Raises:
        TrainerError: no row can be used.
    """

    def __init__(self, beginning: Beginning, data: Sequence[str], left_out: Path, room: int = 1) -> None:
        paths = [Path(name) for name in data]
        decides = [data_digests(paths, beginning.config.verify), beginning.format.template.text, beginning.length]
        self.fingerprint = sha256_text(canonical_json(["prompts-1", *decides]))
        self.prompts: list[Prompt] = []
        refused: list[dict[str, Any]] = []
        for number, row in read_rows(paths):
            try:
                self.prompts.append(self._prompt(beginning, number, row, room))
            except UnusableRow as unusable:
                refused.append({"row": number, "id": row.get("id"), "reason": str(unusable)})
        write_jsonl(left_out, refused)
        if not self.prompts:
            reason = f": {refused[0]['reason']}" if refused else ""
            raise TrainerError(f"no row of {', '.join(map(str, data))} can be used{reason}", "see left_out.jsonl")
        self.counts = {"rows": len(self.prompts) + len(refused), "left_out": len(refused)}

    def _prompt(self, beginning: Beginning, number: int, row: dict[str, Any], room: int) -> Prompt:
        if isinstance(row.get("prompt"), str) and "messages" not in row:
            row = {**row, "messages": [{"role": "user", "content": row["prompt"]}]}
        messages = messages_of(row)
        # Published rows hold a reply too, which is not shown.
        while messages and messages[-1]["role"] == REPLY:
            messages = messages[:-1]
        if not messages:
            raise UnusableRow("it holds no prompt")
        tokens = tuple(beginning.format.prompt(messages, tools_of(row)))
        if len(tokens) + room > beginning.length:
            raise UnusableRow(f"its prompt has {len(tokens)} tokens, which leave no room for a reply")
        name, source = str(row.get("id", number)), str(row.get("source", ""))
        return Prompt(len(self.prompts), number, name, source, tokens, str(row.get("verifier")), judge_of(row))

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, places: Ints) -> list[Prompt]:
        return [self.prompts[place] for place in places.tolist()]
