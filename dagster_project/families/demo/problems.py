"""Problems with answers that can be verified, made here: sums, and how the reply is to be written.

Every text is a function of the seed. The sums of the held-out problems occur nowhere else: not in the texts that the
base model reads, nor in any chat or pair.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

HELDOUT_SHARE = 0.15
"""Of the sums."""


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

Sum = tuple[int, int]


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
    *, seed: int, largest: int, texts: int, chats: int, pairs: int, prompts: int, heldout: int, careless: float
) -> Problems:
    """Make the data.

    Args:
        seed: Of everything.
        largest: The largest number in a sum.
        texts: Lines that the base model reads.
        careless: The share of chats whose reply is not written as asked, as people's replies are.
    """
    draw = random.Random(seed)
    sums = [(a, b) for a in range(1, largest + 1) for b in range(1, largest + 1)]
    draw.shuffle(sums)
    kept = sums[: int(len(sums) * (1 - HELDOUT_SHARE))]
    unseen = sums[len(kept) :]
    return Problems(
        texts=list(_texts(draw, kept, texts)),
        chats=[_chat(draw, number, draw.choice(kept), careless) for number in range(chats)],
        pairs=[_pair(draw, number, draw.choice(kept)) for number in range(pairs)],
        prompts=[_prompt(number, draw.choice(kept), draw.choice(FORMS), "train") for number in range(prompts)],
        heldout=[_prompt(number, draw.choice(unseen), draw.choice(FORMS), "heldout") for number in range(heldout)],
    )


def _texts(draw: random.Random, sums: Sequence[Sum], count: int) -> Iterator[str]:
    """Lines of sums, as a base model may have read them somewhere."""
    for _ in range(count):
        lines = [f"{a} + {b} = {a + b}" for a, b in (draw.choice(sums) for _ in range(4))]
        if draw.random() < 0.3:
            a, b = draw.choice(sums)
            lines.append(f"What is {a} + {b}? The sum is {a + b}.")
        yield "\n".join(lines) + "\n"


def question(numbers: Sum, form: Form) -> str:
    """What the user asks."""
    return f"What is {numbers[0]} + {numbers[1]}?{form.asked}"


def reply(numbers: Sum, form: Form, wrong: int = 0) -> str:
    """A reply, whose sum is `wrong` too large."""
    return form.reply.replace("N", str(sum(numbers) + wrong))


def _chat(draw: random.Random, number: int, numbers: Sum, careless: float) -> dict[str, Any]:
    form = draw.choice(FORMS)
    written = draw.choice(FORMS) if draw.random() < careless else form
    messages = [
        {"role": "user", "content": question(numbers, form)},
        {"role": "assistant", "content": reply(numbers, written)},
    ]
    return {"id": f"chat-{number}", "source": f"demo/{form.name}", "messages": messages}


def _pair(draw: random.Random, number: int, numbers: Sum) -> dict[str, Any]:
    """The right reply, and one with a wrong sum or in another form."""
    form = draw.choice(FORMS)
    if draw.random() < 0.5:
        worse = reply(numbers, form, draw.choice([-10, -2, -1, 1, 2, 10]))
    else:
        worse = reply(numbers, draw.choice([other for other in FORMS if other is not form]))
        if form.name == "plain":
            worse = reply(numbers, form, draw.choice([-1, 1]))
    prompt = [{"role": "user", "content": question(numbers, form)}]
    chosen, rejected = ([*prompt, {"role": "assistant", "content": text}] for text in (reply(numbers, form), worse))
    return {"id": f"pair-{number}", "source": f"demo/{form.name}", "chosen": chosen, "rejected": rejected}


def _prompt(number: int, numbers: Sum, form: Form, split: str) -> dict[str, Any]:
    return {
        "id": f"{split}-{number}",
        "source": f"demo/{form.name}",
        "messages": [{"role": "user", "content": question(numbers, form)}],
        "verifier": "gsm8k+ifeval" if form.instructions else "gsm8k",
        "answer": str(sum(numbers)),
        "instructions": list(form.instructions),
    }
