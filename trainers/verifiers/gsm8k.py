r"""GSM8K (arXiv 2110.14168): is the final number of a reply the right one?

Two rules:

- `strict` (the default) takes the number after the last `####`, else the one in the last `\boxed{}`, else the last
  number of the reply; a sign, a decimal point and thousands separators are part of a number; values are compared, so
  `18.00` is 18.
- `published` is open-instruct's verifier (ground_truth_utils.py): commas between digits are removed, the last match of
  `[-+]?\d*\.\d+|\d+` is compared with the answer as text. Its sign belongs to decimals alone: `-5` reads as `5`.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Literal

from trainers.verifiers.answers import after_last, last_boxed
from trainers.verifiers.verdict import Verdict, shown, unreadable

Rule = Literal["strict", "published"]
NUMBER = re.compile(
    r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+(?!,?\d)|\d{1,400})(?:\.\d{1,400})?|(?<![\w.])[-+−]?\.\d{1,400}"
)
"""A number in running text. Runs of more than 400 digits are read in pieces and equal no answer of GSM8K."""
PUBLISHED = re.compile(r"[-+]?\d{0,400}\.\d+|\d+")
THOUSANDS = re.compile(r"(?<=\d),(?=\d)")


def score_gsm8k(response: str, answer: str, rule: Rule = "strict") -> Verdict:
    """Judge a reply to a GSM8K problem.

    Args:
        response: the reply of the model.
        answer: the answer, as a number or as GSM8K writes it: the solution, then `#### 18`.
        rule: see the module.

    Example:
        >>> score_gsm8k("She makes 9 * 2 = $18 a day.", "#### 18").score
        1.0
    """
    if why := unreadable(response):
        return Verdict(0.0, why, {"extracted": None})
    wanted = after_last(answer, "####") or answer.strip()
    if rule == "published":
        found = published_number(response)
        right = found.lower() == THOUSANDS.sub("", wanted).lower()
        extracted: str | None = found if found is not response else None
    else:
        extracted = final_number(response)
        right = extracted is not None and number(extracted) == number(wanted)
    if extracted is None:
        return Verdict(float(right), "the reply holds no number", {"extracted": None})
    verb = "is" if right else "is not"
    return Verdict(
        float(right),
        f"the number {shown(extracted, 40)} {verb} the answer {shown(wanted, 40)}",
        {"extracted": extracted},
    )


def final_number(reply: str) -> str | None:
    """The number that a reply ends on, by the strict rule.

    Example:
        >>> final_number("12 eggs cost $1,234.50 in all, he said.")
        '1,234.50'
    """
    for text in (after_last(reply, "####"), last_boxed(reply), reply):
        if text is not None and (found := NUMBER.findall(text)):
            return found[-1]
    return None


def published_number(reply: str) -> str:
    """The last number by open-instruct's pattern; the reply itself where it holds none."""
    found = PUBLISHED.findall(THOUSANDS.sub("", reply))
    return found[-1] if found else reply


def number(text: str) -> Decimal | None:
    """The value of a number with an optional currency sign, percent sign, thousands separators and final point.

    Example:
        >>> number("$1,234.50") == number("1234.5")
        True
    """
    bare = text.strip().strip("$€£%").rstrip(".").replace(",", "").replace("−", "-").strip()
    if not re.fullmatch(r"[-+]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})", bare, flags=re.ASCII):
        return None
    try:
        return Decimal(bare)
    except InvalidOperation:
        return None
