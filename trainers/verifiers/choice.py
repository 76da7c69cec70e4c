"""Multiple choice: which letter does a reply choose?

A letter is read where the reply states one, never guessed. In this order: the last `\\boxed{B}`; the last phrase such
as `the answer is (B)` or `Answer: B`; a reply that is nothing but a letter (`B`, `(B)`, `B.`) or begins with one and
its option's text (`B. Paris`, `**B)** Paris`); a reply that is one of the options' texts. A phrase that names two
letters (`A or B`) chooses none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from trainers.verifiers.answers import last_boxed
from trainers.verifiers.exact import squad_normalised
from trainers.verifiers.verdict import Verdict, shown, unreadable

LETTER = r"[(\[*_ ]{0,6}(?:\\text\{)?\(?([A-Z])\b\)?"
STATED = re.compile(
    rf"(?i:\banswer\b|\bchoice\b|\boption\b)[*_]{{0,2}}\s{{0,3}}(?i:is|:|would be|=)[*_]{{0,2}}:?\s{{0,3}}{LETTER}"
)
ALSO = re.compile(r"[)\]*_ ]{0,6}\s?(?:or|and|and/or|,|/|&)\s?[(\[*_ ]{0,6}(?!I\s)([A-Z])\b")
ALONE = re.compile(r"[(\[*_ ]{0,6}([A-Z])[)\]*_ ]{0,6}[.:)]?[*_ ]{0,4}")
BEGINS = re.compile(r"[(\[*_ ]{0,6}([A-Z])[*_]{0,2}(?:[)\].:]+)[*_]{0,2}\s")


def score_choice(response: str, answer: str, choices: Sequence[str] = ()) -> Verdict:
    """Judge a reply to a multiple-choice question.

    Args:
        response: the reply of the model.
        answer: the letter of the right option, A for the first.
        choices: the texts of the options, if known: letters beyond them are not answers.

    Example:
        >>> score_choice("I think the answer is (B).", "B").score
        1.0
    """
    if why := unreadable(response):
        return Verdict(0.0, why, {"chosen": None})
    chosen = chosen_letter(response, choices)
    if chosen is None:
        return Verdict(0.0, f"the reply {shown(response)!r} states no single option", {"chosen": None})
    right = chosen == answer.strip().strip("().").upper()
    return Verdict(float(right), f"the reply chooses {chosen}, the answer is {answer.strip()}", {"chosen": chosen})


def chosen_letter(reply: str, choices: Sequence[str] = ()) -> str | None:
    """The letter that a reply chooses, or None where it states none or several.

    Example:
        >>> chosen_letter("Answer: A or B"), chosen_letter("**C.** Paris"), chosen_letter("I am sure.")
        (None, 'C', None)
    """
    letters = {chr(ord("A") + index) for index in range(min(len(choices), 26) or 26)}
    if (boxed := last_boxed(reply)) is not None:
        found = ALONE.fullmatch(boxed.removeprefix("\\text{").removesuffix("}").strip())
        return found[1] if found and found[1] in letters else None
    stated = list(STATED.finditer(reply))
    if stated:
        last = stated[-1]
        if ALSO.match(reply, last.end()):
            return None
        return last[1] if last[1] in letters else None
    text = reply.strip()
    found = ALONE.fullmatch(text) or BEGINS.match(text)
    if found:
        return found[1] if found[1] in letters else None
    same = [index for index, choice in enumerate(choices) if squad_normalised(choice) == squad_normalised(text)]
    return chr(ord("A") + same[0]) if len(same) == 1 and squad_normalised(text) else None
