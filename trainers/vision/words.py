"""What is asked about a picture and what is answered, as text.

A turn is " User: [STYLE ]PROMPT Assistant:" and then " ANSWER", as in Molmo's published code. A style comes before the
prompt where one prompt would not say what is wanted: captions with a hint of their length, pointing and counting.
"""

from __future__ import annotations

import html
import random
import re
from collections.abc import Sequence

from trainers.vision.shards import Annotation

CAPTION = (
    "Describe this image.",
    "Describe this image in detail.",
    "Write a long caption for this image.",
    "What does this image show?",
    "Caption the image.",
)
TRANSCRIPT = ("Describe this image as if you are talking.", "Say out loud what this image shows.")
POINTING = (
    "Point to the {label}.",
    "Point at every {label}.",
    "Where are the {label}?",
    "Locate the {label} in this image.",
    "Show me the {label}.",
)
COUNTING = ("How many {label} are there?", "Count the {label}.", "Tell me how many {label} are in the image.")
CLOCK = ("What time is being shown?", "What time does the clock show?", "What is the time on this clock?")
PROMPTS = {
    "caption": CAPTION,
    "transcript": TRANSCRIPT,
    "pointing": POINTING,
    "counting": COUNTING,
    "clock": CLOCK,
}
"""Prompts of the styles that may come without one."""
PREFIXED = {
    "caption": "long_caption",
    "transcript": "transcript",
    "pointing": "pointing",
    "counting": "point_count",
    "point_explanation": "point_qa",
}
"""What stands before the prompt, by style."""
HINTED = ("caption", "transcript")
"""Styles with a hint of the length of the answer."""
USUAL_LENGTH = 65
"""The hint that Molmo is asked with, about 1,000 characters."""
HINT_SHARE = 0.9
NONE = "There are none."
POINT = re.compile(
    r'(?P<tag><points? )?(?<![a-z])x(?P<n>\d{0,4})="(?P<x>\d{1,3}\.\d)" y(?P=n)="(?P<y>\d{1,3}\.\d)(?=")'
)


def length_hint(answer: str, chance: random.Random) -> int | None:
    """The published hint N of "style N:": (characters + a normal of deviation 25) // 15; None for one text in ten."""
    if chance.random() >= HINT_SHARE:
        return None
    return max(0, int((len(answer) + chance.gauss(0, 25)) // 15))


def question(annotation: Annotation, chance: random.Random | None = None, *, length: int | None = USUAL_LENGTH) -> str:
    """What is asked, its style before it.

    Args:
        annotation: whose prompt, or else one of its style, is taken.
        chance: draws the prompt and the hint; None takes the first prompt and `length`.

    Example:
        >>> question(Annotation("counting", None, "", label="cats"))
        'point_count: How many cats are there?'
    """
    prompts = PROMPTS.get(annotation.style, ("",))
    written = annotation.prompt
    if written is None:
        written = (prompts[0] if chance is None else chance.choice(prompts)).replace("{label}", annotation.label)
    prefix = PREFIXED.get(annotation.style, "")
    if annotation.style in HINTED:
        hint = length if chance is None else length_hint(annotation.text, chance)
        prefix = f"{prefix} {hint}" if hint is not None else prefix
    return f"{prefix}: {written}" if prefix else written


def answer(annotation: Annotation) -> str:
    """What the model is to write: the annotation's text, or its points in the published form."""
    if annotation.text:
        return annotation.text
    if annotation.style in ("pointing", "counting"):
        return points_text(annotation.points, annotation.label, counting=annotation.style == "counting")
    return str(annotation.count) if annotation.count is not None else ""


def point_spans(written: str) -> list[tuple[int, int, tuple[float, float] | None]]:
    """Where an answer names its points: (first character, the one after the last, x and y in percent).

    A span begins where the one before ends, the first one with the tag, and ends with the digits of y. What comes after
    the last point, or says that there is none, has a span of one character and no point.

    Example:
        >>> point_spans('<point x="10.0" y="20.5" alt="cat">cat</point>')
        [(0, 23, (10.0, 20.5)), (23, 24, None)]
    """
    if written.strip() == NONE:
        # The first word may be one token with the space before it.
        return [(0, written.index(NONE) + 1, None)]
    found: list[tuple[int, int, tuple[float, float] | None]] = []
    at = 0
    for match in POINT.finditer(written):
        at = match.start() if match["tag"] else at
        found.append((at, match.end(), (float(match["x"]), float(match["y"]))))
        at = match.end()
    return [*found, (at, at + 1, None)] if found else []


def turn(asked: str) -> str:
    """A turn up to where the answer begins."""
    return f" User: {asked} Assistant:"


def points_text(points: Sequence[tuple[float, float]], label: str, *, counting: bool = False) -> str:
    """Points in percent as Molmo writes them: one decimal, sorted by x, then y, after rounding.

    Example:
        >>> points_text([(50, 20), (10, 30)], "cat")
        '<points x1="10.0" y1="30.0" x2="50.0" y2="20.0" alt="cat">cat</points>'
    """
    if not points:
        return NONE
    rounded = sorted((round(x, 1), round(y, 1)) for x, y in points)
    name = html.escape(" ".join(label.split()))
    if len(rounded) == 1:
        places, tag = f'x="{rounded[0][0]:.1f}" y="{rounded[0][1]:.1f}"', "point"
    else:
        places = " ".join(f'x{number}="{x:.1f}" y{number}="{y:.1f}"' for number, (x, y) in enumerate(rounded, 1))
        tag = "points"
    found = f'<{tag} {places} alt="{name}">{name}</{tag}>'
    return f"Counting the {found} shows a total of {len(points)}." if counting else found
