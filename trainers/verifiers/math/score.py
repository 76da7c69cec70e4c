r"""MATH (arXiv 2103.03874): is the final expression of a reply equal to the answer?

Two rules:

- `strict` (the default) reads the last `\boxed{}`, else Minerva's final answer, else the end of the reply, and compares
  by math-verify.
- `published` is open-instruct's verifier: it collects the last `\boxed{}`, Minerva's final answer and, where there is
  neither, what stands between the last dollar signs, else the whole reply; one of them must equal the answer as text in
  Hendrycks's normalisation or as an expression in Minerva's.

Both call math-verify and sympy in a worker process. A comparison that exceeds its CPU time is wrong. By the published
rule `3\frac{1}{2}` is a product, so it equals 3/2.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from trainers.verifiers.answers import last_between_dollars, last_boxed, minerva_answer
from trainers.verifiers.math.minerva import hendrycks_normal, minerva_normal
from trainers.verifiers.verdict import Verdict, shown, unreadable
from trainers.verifiers.workers import WorkerDied, Workers

Rule = Literal["strict", "published"]
LONGEST = 2_000
"""Characters of an expression. The longest answer of MATH has 159."""
END = 4_000
"""Characters at the end of a reply in which an answer without a box is looked for."""
SECONDS = 5.0


def score_math(response: str, answer: str, rule: Rule = "strict", seconds: float = SECONDS) -> Verdict:
    r"""Judge a reply to a mathematical problem.

    Args:
        response: the reply of the model.
        answer: the right answer, as LaTeX or plain text, with or without `\boxed{}` or dollar signs.
        rule: see the module.
        seconds: of CPU time, at most, rounded up.

    Example:
        >>> score_math(r"so it is \boxed{\frac{1}{2}}", "0.5").score
        1.0
    """
    if why := unreadable(response):
        return Verdict(0.0, why, {"extracted": None})
    gold = (last_boxed(answer) or answer).strip().strip("$").strip()
    given = published_answers(response) if rule == "published" else [final_expression(response)]
    extracted = {"extracted": shown(given[0], 200)}
    if not any(each.strip() for each in given):
        return Verdict(0.0, "the final answer of the reply is empty", extracted)
    if len(gold) > LONGEST or any(len(each) > max(LONGEST, END) for each in given):
        return Verdict(0.0, f"the expression has more than {LONGEST:,} characters", extracted)
    normals = (hendrycks_normal, minerva_normal) if rule == "published" else (_plain,)
    if any(normal(each) == normal(gold) for normal in normals for each in given):
        return Verdict(1.0, "the texts are equal", extracted)
    if rule == "published":
        given, gold = [minerva_normal(each) for each in given], minerva_normal(gold)
    return _compared(rule, gold, given, seconds, extracted)


def _compared(rule: Rule, gold: str, given: list[str], seconds: float, extracted: dict[str, str]) -> Verdict:
    """The verdict of a worker process."""
    try:
        found = _workers().ask({"rule": rule, "gold": gold, "given": given}, seconds)
    except WorkerDied as death:
        return Verdict(0.0, f"the comparison was ended: {death}", extracted)
    right = bool(found["equal"])
    reason = found["reason"] or ("the expressions are equal" if right else f"the reply is not {shown(gold)}")
    return Verdict(float(right), reason, extracted)


def final_expression(reply: str) -> str:
    """The text in which the strict rule reads the answer.

    Example:
        >>> final_expression("Final Answer: The final answer is $5$. I hope it is correct.")
        '$5$'
    """
    if (boxed := last_boxed(reply)) is not None:
        return f"\\boxed{{{boxed}}}" if len(boxed) <= LONGEST and boxed.strip() else boxed
    return minerva_answer(reply) or reply[-END:]


def published_answers(reply: str) -> list[str]:
    """The candidates of the published rule, each cut at END characters.

    Example:
        >>> published_answers("so $x$ is $5$")
        ['5']
    """
    found = [each for each in (last_boxed(reply), minerva_answer(reply)) if each is not None]
    if not found and (between := last_between_dollars(reply)) is not None:
        found.append(between)
    return [each[:END] for each in found] or [reply[:END]]


def _plain(expression: str) -> str:
    """An expression without its box, spaces and percent signs, which grammars of LaTeX read differently."""
    return (last_boxed(expression) or expression).replace(" ", "").replace("\\%", "").strip("$")


@cache
def _workers() -> Workers:
    return Workers("trainers.verifiers.math.worker")
