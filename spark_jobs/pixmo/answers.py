"""Short answers about pictures: counts, VQA's soft accuracy and ANLS."""

from __future__ import annotations

import re
from collections.abc import Sequence

from spark_jobs.pixmo.points import read_points

WORDS = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
}
TOTAL = re.compile(r"(?:a total of|there (?:is|are)|answer\s*(?:is|:))\s*\**(\d{1,6}|[a-z]+)\b", flags=re.I)
NUMBER = re.compile(r"(?<![\w.,-])(\d{1,6})(?![\w]|[.,]\d)")
TAGS = re.compile(r"<[^<>]{0,100000}>")
NO = re.compile(r"there (?:is|are) (?:none|no\b)|\bnone\b", flags=re.I)
LONGEST = 20_000
"""Characters of a reply that states a number."""
LONGEST_ANSWER = 2_000
"""Characters of an answer. ANLS of a longer one is 1 when it is equal and else 0: the distance costs their square."""


def read_count(reply: str) -> int | None:
    """The number of things that a reply states; the number of its points where it states none; else None.

    Numbers inside tags are coordinates and no counts. Several different numbers without a phrase such as `a total of`
    state none.

    Example:
        >>> read_count("There are three."), read_count("There are none."), read_count("2 cats and 3 dogs")
        (3, 0, None)
    """
    if len(reply) > LONGEST:
        return None
    text = TAGS.sub(" ", reply)
    stated = [number for word in TOTAL.findall(text) if (number := _number(word)) is not None]
    if stated:
        return stated[-1]
    if NO.search(text):
        return 0
    bare = {_number(word) for word in (*NUMBER.findall(text), *re.findall(r"[a-z]+", text.lower()))} - {None}
    if len(bare) == 1:
        return bare.pop()
    points = max((len(read_points(reply, dialect).points) for dialect in ("molmo1", "molmo2")), default=0)
    return points if points and not bare else None


def _number(word: str) -> int | None:
    return int(word) if word.isdecimal() else WORDS.get(word.lower())


CONTRACTIONS = {
    word.replace("'", ""): word
    for word in (
        "ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd "
        "how'll how's i'd've i'm i've isn't it'd it'll let's ma'am might've mightn't must've mustn't needn't "
        "not've o'clock oughtn't shan't she's should've shouldn't somebody's someone's something's that's "
        "there'd there're there's they'd they're they've 'twas wasn't we've weren't what'll what're what's "
        "what've when's where'd where's where've who'd who'll who's who've why'll why're why's won't would've "
        "wouldn't y'all you'd you'll you're you've"
    ).split()
}
DIGITS = {"none": "0", **{word: str(number) for word, number in list(WORDS.items())[:11]}}
MARKS = ';/[]"{}()=+\\_-><@`,?!'
BETWEEN_DIGITS = re.compile(r"(\d)(\,)(\d)")
POINT = re.compile(r"(?!<=\d)(\.)(?!\d)")


def vqa_normal(answer: str) -> str:
    """An answer as VQA's official evaluation normalises it: marks, articles, number words and contractions.

    Example:
        >>> vqa_normal("The two dogs!")
        '2 dogs'
    """
    text = answer.replace("\n", " ").replace("\t", " ").strip()
    plain = text
    for mark in MARKS:
        beside_space = f"{mark} " in text or f" {mark}" in text
        plain = plain.replace(mark, "" if beside_space or BETWEEN_DIGITS.search(text) else " ")
    plain = POINT.sub("", plain)
    words = [DIGITS.get(word, word) for word in plain.lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ("a", "an", "the"))


def vqa_accuracy(reply: str, answers: Sequence[str], rule: str = "official") -> float:
    """VQA's soft accuracy of a reply against the answers of people, of which there are usually ten.

    Args:
        reply: of the model.
        answers: of people.
        rule: `official` is the mean, over people, of min(1, equal answers of the others / 3) (arXiv 1505.00468);
            `molmo` is min(1, equal answers / 3).

    Example:
        >>> answers = ["cat"] * 3 + ["dog"] * 7
        >>> round(vqa_accuracy("cat", answers), 2), vqa_accuracy("cat", answers, "molmo")
        (0.9, 1.0)
    """
    mine = vqa_normal(reply)
    if not mine or not answers:
        return 0.0
    equal = sum(vqa_normal(answer) == mine for answer in answers)
    if rule == "molmo":
        return min(1.0, equal / 3)
    total = equal * min(1.0, (equal - 1) / 3) + (len(answers) - equal) * min(1.0, equal / 3)
    return total / len(answers)


def anls(reply: str, answers: Sequence[str], threshold: float = 0.5) -> float:
    """Normalised Levenshtein similarity of a reply: the best over answers, 0 from `threshold` on (arXiv 1905.13648).

    Example:
        >>> round(anls("Pari", ["paris", "Lutetia"]), 2)
        0.8
    """
    mine = " ".join(reply.lower().split())
    if not mine:
        return 0.0
    return max((_similarity(mine, " ".join(answer.lower().split()), threshold) for answer in answers), default=0.0)


def _similarity(one: str, other: str, threshold: float) -> float:
    longest = max(len(one), len(other))
    # The distance is at least the difference of the lengths, so hostile lengths cost nothing.
    if abs(len(one) - len(other)) >= threshold * longest or longest > LONGEST_ANSWER:
        return float(one == other)
    distance = levenshtein(one, other) / longest
    return 1 - distance if distance < threshold else 0.0


def levenshtein(one: str, other: str) -> int:
    """The smallest number of insertions, deletions and replacements of characters that turn one text into the other.

    Example:
        >>> levenshtein("kitten", "sitting")
        3
    """
    before = list(range(len(other) + 1))
    for row, mine in enumerate(one, start=1):
        current = [row]
        for column, theirs in enumerate(other, start=1):
            current.append(min(before[column] + 1, current[-1] + 1, before[column - 1] + (mine != theirs)))
        before = current
    return before[-1]


NUMERIC = re.compile(r"^[-+]?(?:\d{1,15}(?:,\d{3}){0,5}|\d{0,15})(?:\.\d{1,15})?%?$")


def relaxed_accuracy(reply: str, answer: str, tolerance: float = 0.05) -> float:
    """ChartQA's relaxed accuracy (arXiv 2203.10244): a number within a share of the true one, else the same text.

    Years are no exception, as in the published code; a true 0 must be met exactly. A percentage is its hundredth.

    Example:
        >>> relaxed_accuracy("104", "100"), relaxed_accuracy("106", "100"), relaxed_accuracy("Blue", "blue")
        (1.0, 0.0, 1.0)
    """
    mine, true = _as_number(reply), _as_number(answer)
    if mine is not None and true:
        return float(abs(mine - true) / abs(true) <= tolerance)
    if mine is not None and true is not None:
        return float(mine == true)
    return float(" ".join(reply.lower().split()) == " ".join(answer.lower().split()))


def _as_number(text: str) -> float | None:
    plain = text.strip().removesuffix(".")
    if not plain or len(plain) > 40 or not NUMERIC.fullmatch(plain) or not any(each.isdigit() for each in plain):
        return None
    value = float(plain.rstrip("%").replace(",", ""))
    return value / 100 if plain.endswith("%") else value


CHOSEN = re.compile(r"^\W*(?:(?:the )?(?:correct )?(?:answer|option)(?: is)?\W*)?\(?([A-Z])\b", flags=re.I)


def choice_accuracy(reply: str, choices: Sequence[str], answer: int) -> float:
    """Whether a reply names the right choice: by its letter, or else by its whole text.

    Args:
        reply: of the model.
        choices: texts, whose letters are A, B and so on.
        answer: the place of the right one.

    Example:
        >>> choice_accuracy("(b)", ["cat", "dog"], 1), choice_accuracy("Dog.", ["cat", "dog"], 1)
        (1.0, 1.0)
    """
    normal = vqa_normal(reply)
    same = [place for place, choice in enumerate(choices) if vqa_normal(choice) == normal]
    if same:
        return float(answer in same)
    found = CHOSEN.match(reply)
    place = ord(found[1].upper()) - ord("A") if found else -1
    return float(place == answer and place < len(choices))
