"""Where the final answer stands in a reply: after a marker, in a box, between dollar signs."""

from __future__ import annotations

BOXES = ("\\boxed", "\\fbox")
MINERVA_BEGINS = "Final Answer: The final answer is"
MINERVA_ENDS = "I hope it is correct."


def last_boxed(text: str) -> str | None:
    r"""The contents of the last `\boxed{...}` or `\fbox{...}` whose braces are balanced; `\boxed 5` holds a word.

    Example:
        >>> last_boxed(r"so \boxed{\frac{1}{2}}.")
        '\\frac{1}{2}'
    """
    at = max(text.rfind(box) for box in BOXES)
    if at < 0:
        return None
    begins = at + len(next(box for box in BOXES if text.startswith(box, at)))
    rest = text[begins:].lstrip(" ")
    if not rest.startswith("{"):
        word = rest.split("$", 1)[0].split(maxsplit=1)
        return word[0].rstrip(".,;") if word and rest is not text[begins:] else None
    depth = 0
    for index, letter in enumerate(rest):
        depth += (letter == "{") - (letter == "}")
        if depth == 0:
            return rest[1:index]
    return None


def last_between_dollars(text: str) -> str | None:
    """What stands between the last two dollar signs.

    Example:
        >>> last_between_dollars("so $x$ is $5$")
        '5'
    """
    ends = text.rfind("$")
    begins = text.rfind("$", 0, ends) if ends > 0 else -1
    return text[begins + 1 : ends] if begins >= 0 else None


def minerva_answer(text: str) -> str | None:
    """The answer in Minerva's form (arXiv 2206.14858, appendix D): `Final Answer: The final answer is X. I hope ...`.

    Example:
        >>> minerva_answer("Final Answer: The final answer is $5$. I hope it is correct.")
        '$5$'
    """
    _, found, rest = text.partition(MINERVA_BEGINS)
    if not found:
        return None
    answer = rest.partition(MINERVA_ENDS)[0].strip()
    return answer.removesuffix(".").strip() or None


def after_last(text: str, marker: str) -> str | None:
    """The rest of the line after the last `marker`, or None where it does not occur.

    Example:
        >>> after_last("16 - 7 = 9\\n#### 18", "####")
        '18'
    """
    _, found, rest = text.rpartition(marker)
    line = rest.split("\n", 1)[0].strip()
    return line if found and line else None
