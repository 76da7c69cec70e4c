"""Prompts of solving and judging, worked examples, and how problems are shown. `wordings` has the other prompts.

The words are Watershed's own; the published prompts can be read as files.

A prompt is a template with the places of allenai/mathfish-tasks: `{problem_activity}`, `{options}`,
`{standard_description}` and `{few_shots}`. One pass replaces them, so that braces in a problem are not read as places.
"""

from __future__ import annotations

import html
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser

from spark_jobs.mathfish.curriculum import MODELING, Curriculum
from spark_jobs.mathfish.made import EXAMPLES, own_file
from spark_jobs.mathfish.replies import LETTERS

VERSION = "1"
"""Version of the words of all prompts."""
ONE_SHOT = ("K", "1", "2", "3", "4", "5", "6", "7", "8", "HS_0")
THREE_SHOTS = (("K", "7", "HS_0"), ("K", "3", "5"), ("6", "7", "8"), ("HS_0", "HS_1", "HS_2"))
"""Keys of the examples that one and three shots are drawn from, as published."""
LONGEST_TABLE = 4000

SOLVE = "{problem_activity}\n\nThink step by step, and end with the answer as a number, such as: #### 12"
JUDGE = (
    "A teacher asked for a problem that teaches a standard.\n\nStandard: {standard_description}\n\n"
    "Problem:\n{problem_activity}\n\nHow well does the problem teach the standard? Answer with one word:\n"
    "full: it teaches all that the standard says.\npartial: it teaches a part of it.\n"
    "none: it teaches something else.\nnot_math: it is no mathematical problem."
)


def filled(template: str, values: Mapping[str, str]) -> str:
    """Fill the places of a template; `{{` and `}}` are braces, and unknown places stay.

    Example:
        >>> filled("{{ {options} }} {other}", {"options": "A. {options}"})
        '{ A. {options} } {other}'
    """

    def replace(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        return values.get(found[1], found[0])

    return re.sub(r"\{\{|\}\}|\{([a-z_]{1,40})\}", replace, template)


def lettered(options: Sequence[str]) -> str:
    """Options as lines that begin with letters, A to Z and AA to ZZ."""
    return "".join(f"{LETTERS[place]}. {option}\n" for place, option in enumerate(options))


def shown_text(text: str, elements: Mapping[str, object], most: int = 0) -> str:
    """The text of a problem as a prompt shows it: images by a mark, tables as lines of cells.

    Args:
        text: with marks ###IMAGEn### and ###TABLEn###.
        elements: the elements by mark; tables are HTML.
        most: the most characters; 0 for all. Only the problem is shortened, as published, never the options.
    """

    def element(found: re.Match[str]) -> str:
        if found[1] == "IMAGE":
            return "[image]"
        return _table(str(elements.get(found[0], ""))) or "[table]"

    shown = re.sub(r"###(IMAGE|TABLE)\d+###", element, text).strip()
    return shown if not most or len(shown) <= most else f"{shown[: most - 1].rstrip()}…"


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows = self.rows or [[]]
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def _table(source: str) -> str:
    cells = _Cells()
    cells.feed(source[:LONGEST_TABLE])
    rows = [" | ".join(" ".join(html.unescape(cell).split()) for cell in row) for row in cells.rows if row]
    return "\n".join(rows)


@dataclass(frozen=True)
class Example:
    """A worked example of the prompts: a problem, a standard that it teaches, and why."""

    key: str
    standard: str
    text: str
    thought: str


@cache
def examples() -> dict[str, Example]:
    """The worked examples by key: a grade, or HS_0, HS_1, HS_2."""
    found = (Example(**json.loads(line)) for line in own_file(EXAMPLES).splitlines())
    return {each.key: each for each in found}


def chosen_examples(tree: Curriculum, shots: int, draw: random.Random) -> list[Example]:
    """Draw worked examples as published: one grade, or one of the four triples.

    Examples whose standard the curriculum lacks are left out.
    """
    keys = {0: (), 1: (draw.choice(ONE_SHOT),), 3: draw.choice(THREE_SHOTS)}[shots]
    return [examples()[key] for key in keys if examples()[key].standard in tree.rows]


def verification_shots(tree: Curriculum, shots: int, draw: random.Random) -> str:
    """Worked examples of verification, of which about half ask about a standard that the problem does not teach."""
    parts = []
    for each in chosen_examples(tree, shots, draw):
        others = [other for other in tree.standards if tree.group(other) != tree.group(each.standard)]
        right = draw.random() < 0.5 or not others
        standard = each.standard if right else draw.choice(others)
        reply = "Yes." if right else "No."
        parts.append(
            f"Problem:\n{each.text}\n\nStandard: {tree[standard].description}\n\nAnswer: {reply} {each.thought}\n"
        )
    return _numbered(parts)


def tagging_shots(tree: Curriculum, level: str, shots: int, draw: random.Random) -> str:
    """Worked examples of tagging at a level, with all options of their branch."""
    parts = []
    for each in chosen_examples(tree, shots, draw):
        options, right = example_options(tree, level, each.standard)
        order = draw.sample(range(len(options)), len(options))
        letters = ", ".join(LETTERS[place] for place, index in enumerate(order) if index in right) or "none"
        shown = lettered([options[index] for index in order])
        parts.append(f"Problem:\n{each.text}\n\nOptions:\n{shown}\nAnswer: {letters}. {each.thought}\n")
    return _numbered(parts)


def example_options(tree: Curriculum, level: str, standard: str) -> tuple[list[str], set[int]]:
    """The options of a level on the way to a standard, and the places of the right ones."""
    group, cluster = tree.group(standard), tree[standard].parent
    if level == "domain":
        gold = tree.gold_groups([standard])
        return [group_text(tree, each.name) for each in tree.groups], {
            place for place, each in enumerate(tree.groups) if each.name in gold
        }
    if level == "cluster":
        found = tree.cluster_options(group) if group and group != MODELING else []
        return [text for text, _ in found], {place for place, (_, ids) in enumerate(found) if cluster in ids}
    below = tree.below(cluster)
    return [tree[each].description for each in below], {below.index(standard)}


def group_text(tree: Curriculum, name: str) -> str:
    """A domain group as an option: its name and what it is about."""
    (group,) = [each for each in tree.groups if each.name == name]
    return f"{group.name}: {group.description}" if group.description else group.name


def _numbered(parts: Sequence[str]) -> str:
    if not parts:
        return ""
    words = "Example" if len(parts) == 1 else "Example {}"
    shown = "\n".join(f"{words.format(number)}:\n{part}" for number, part in enumerate(parts, start=1))
    return f"{shown}\nNow answer for this problem.\n\n"
