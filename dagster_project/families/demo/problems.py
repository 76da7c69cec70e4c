"""Problems with answers that can be verified, made here: sums, and how the reply is to be written.

Every text is a function of the seed. A problem is a sum, a wording and a form. The held-out problems are asked nowhere
else. Their sums are: the base model has read every sum, as a larger one has. The people who wrote the chats often
replied in the plain form, whatever was asked: a model that learned from them knows the sums and seldom heeds the form.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

HELDOUT_SHARE = 0.15
"""Of the problems."""
LARGEST = 9
"""The largest number in a sum."""
WORDINGS = ("What is {} + {}?", "Add {} and {}.", "How much is {} plus {}?", "{} + {} = ?")


@dataclass(frozen=True)
class Form:
    """How a reply is to be written."""

    name: str
    asked: str
    """What the user adds to the question."""
    reply: str
    """A reply in this form, with N for the sum."""
    instructions: tuple[dict[str, Any], ...]
    """What verifies the form, as `watershed score ifeval` reads it."""


FORMS = (
    Form("plain", "", "The sum is N.", ()),
    Form("quotes", " Put your reply in quotes.", '"The sum is N."', ({"id": "startend:quotation", "kwargs": {}},)),
    Form(
        "ending",
        " End with: Good luck.",
        "The sum is N. Good luck.",
        ({"id": "startend:end_checker", "kwargs": {"end_phrase": "Good luck."}},),
    ),
    Form(
        "title",
        " Give your reply a title.",
        "<<Sum>> The sum is N.",
        ({"id": "detectable_format:title", "kwargs": {}},),
    ),
)


@dataclass(frozen=True)
class Problem:
    """A sum, how it is asked, and how the reply is to be written."""

    numbers: tuple[int, int]
    wording: str
    form: Form

    @property
    def question(self) -> str:
        """What the user asks."""
        return self.wording.format(*self.numbers) + self.form.asked

    def reply(self, form: Form, wrong: int = 0) -> str:
        """A reply in a form, whose sum is `wrong` too large."""
        return form.reply.replace("N", str(sum(self.numbers) + wrong))


@dataclass(frozen=True, kw_only=True)
class Problems:
    """The data of one demo."""

    texts: list[str]
    """What the base model reads."""
    chats: list[dict[str, Any]]
    pairs: list[dict[str, Any]]
    prompts: list[dict[str, Any]]
    """Of reinforcement learning."""
    heldout: list[dict[str, Any]]


def make_problems(
    *, seed: int, texts: int, chats: int, pairs: int, prompts: int, heldout: int, careless: float
) -> Problems:
    """Make the data.

    Args:
        seed: Of everything.
        texts: What the base model reads, in texts of a few lines.
        careless: The share of chats whose reply is plain, whatever form was asked for.
    """
    draw = random.Random(seed)
    numbers = range(1, LARGEST + 1)
    sums = [(a, b) for a in numbers for b in numbers]
    found = [Problem(each, wording, form) for each in sums for wording in WORDINGS for form in FORMS]
    draw.shuffle(found)
    kept = found[: int(len(found) * (1 - HELDOUT_SHARE))]
    unseen = found[len(kept) :]
    return Problems(
        texts=[_text(draw, sums) for _ in range(texts)],
        chats=[_chat(draw, number, draw.choice(kept), careless) for number in range(chats)],
        pairs=[_pair(draw, number, draw.choice(kept), careless) for number in range(pairs)],
        prompts=[_prompt(number, draw.choice(kept), "train") for number in range(prompts)],
        heldout=[_prompt(number, problem, "heldout") for number, problem in enumerate(unseen[:heldout])],
    )


def _text(draw: random.Random, sums: Sequence[tuple[int, int]]) -> str:
    """Lines of sums, as a base model may have read them somewhere."""
    lines = [f"{a} + {b} = {a + b}" for a, b in (draw.choice(sums) for _ in range(3))]
    a, b = draw.choice(sums)
    lines.append(f"{draw.choice(WORDINGS).format(a, b)} {draw.choice(FORMS).reply.replace('N', str(a + b))}")
    draw.shuffle(lines)
    return "\n".join(lines) + "\n"


def _written(draw: random.Random, problem: Problem, careless: float) -> Form:
    return FORMS[0] if draw.random() < careless else problem.form


def _chat(draw: random.Random, number: int, problem: Problem, careless: float) -> dict[str, Any]:
    messages = [
        {"role": "user", "content": problem.question},
        {"role": "assistant", "content": problem.reply(_written(draw, problem, careless))},
    ]
    return {"id": f"chat-{number}", "source": f"demo/{problem.form.name}", "messages": messages}


def _pair(draw: random.Random, number: int, problem: Problem, careless: float) -> dict[str, Any]:
    """A right and a wrong sum in the same form: its judges looked at the sum alone."""
    form = _written(draw, problem, careless)
    wrong = draw.choice([-2, -1, 1, 2])
    prompt = [{"role": "user", "content": problem.question}]
    chosen, rejected = (
        [*prompt, {"role": "assistant", "content": text}] for text in (problem.reply(form), problem.reply(form, wrong))
    )
    return {"id": f"pair-{number}", "source": f"demo/{problem.form.name}", "chosen": chosen, "rejected": rejected}


def _prompt(number: int, problem: Problem, split: str) -> dict[str, Any]:
    return {
        "id": f"{split}-{number}",
        "source": f"demo/{problem.form.name}",
        "messages": [{"role": "user", "content": problem.question}],
        "verifier": "gsm8k+ifeval" if problem.form.instructions else "gsm8k",
        "answer": str(sum(problem.numbers)),
        "instructions": list(problem.form.instructions),
    }
