"""At least 200 different replies: what each says, or that it says nothing that can be scored."""

from __future__ import annotations

from collections import Counter

import pytest

from spark_jobs.mathfish.alignment import read_verdict
from spark_jobs.mathfish.replies import LETTERS, read_tags, read_yes_no

OPTIONS = 10
"""Options of each tagging prompt: A to J."""
BAD = None
"""A malformed reply."""
Replies = dict[str, list[tuple[str, str | None]]]

TAGS: Replies = {
    "letters": [
        *(("A", "A"), ("J", "J"), ("A.", "A"), ("(A)", "A"), (" B ", "B"), ("C\n", "C"), ("[D]", "D"), ("(E).", "E")),
        *(("A:", BAD), ("a", BAD), ("K", BAD), ("Z", BAD), ("AA", BAD), ("3", BAD), ("OA", BAD), ("Option A", BAD)),
    ],
    "lists": [
        *(("A, B", "AB"), ("A,B", "AB"), ("B, A", "AB"), ("A, A", "A"), ("A, B, C, D, E, F", "ABCDEF"), ("A ,B", "AB")),
        *(("A and B", "AB"), ("A, B, and C", "ABC"), ("A, B and C", "ABC"), ("A; C", "AC"), ("A & C", "AC")),
        *(("(A), (C)", "AC"), ("A, B.", "AB"), ("A\nB", "AB"), ("- A\n- B", "AB"), ("* C\n* D", "CD")),
        *(("1. A\n2. C", "AC"), ("1) B\n2) C", "BC"), ("A. Count to 100\nB. Count on", "AB")),
        *(("A) first\nC) third", "AC"), ("A: one\n\nD: four", "AD"), ("[A, B]", "AB"), ("A B", BAD), ("AB", BAD)),
        *(("A, Z", BAD), ("A/B", BAD), ("A, b", BAD), ("A - C", BAD), ("A, B, ?", BAD), ("A to C", BAD)),
        *(("A. B", BAD), ("A. B. C", BAD), ("A: C", BAD), ("A, C\nB", BAD), ("(A)\n(B)", "AB"), ("[A; Z]", BAD)),
    ],
    "none": [
        *(("none", ""), ("None", ""), ("NONE", ""), ("None.", ""), ("none of these", ""), ("None of the above.", "")),
        *(
            ("None of the options", ""),
            ("None of the standards apply.", ""),
            ("None of them", ""),
            ("none of those", ""),
        ),
        *(("None\n\nThe problem is about money.", ""), ("None, but A is close", BAD), ("No", BAD), ("nothing", BAD)),
        *(("None or A", BAD), ("null", BAD), ("N/A", BAD), ("Nonetheless A", BAD), ("0", BAD), ("-", BAD)),
    ],
    "the line Answer": [
        *(("Answer: A", "A"), ("Answer: A, B", "AB"), ("answer: c", BAD), ("Answer: none", ""), ("ANSWER: D.", "D")),
        *(("Let us see.\nAnswer: C", "C"), ("Final answer: B", "B"), ("It counts to 100.\n\nFinal Answer: A, J", "AJ")),
        *(("Answer: A\nAnswer: A", "A"), ("Answer: None of the above", ""), ("Answer: A. It counts.", "A")),
        *(("Answer:", BAD), ("Answer: I am not sure", BAD), ("Answer: all of them", BAD), ("The answer is A", BAD)),
    ],
    "JSON": [
        *(('{"answer": "A, B"}', "AB"), ('{"answer": ["A", "B"]}', "AB"), ('{"answer": null}', ""), ("[]", "")),
        *(
            ('{"answer": []}', ""),
            ('{"answer": "None"}', ""),
            ('["A", "B"]', "AB"),
            ('{"answer": "C", "why": "x"}', "C"),
        ),
        *(('```json\n{"answer": "C"}\n```', "C"), ('```\n["D"]\n```', "D"), ('{"answer": ["A", null]}', "A")),
        *(
            ('{"answer": 5}', BAD),
            ('{"answer": [1, 2]}', BAD),
            ('{"reply": "A"}', BAD),
            ("{A}", BAD),
            ('{"answer": "A', BAD),
        ),
        *(('{"answer": {"A": true}}', BAD), ('{"answer": true}', BAD), ("[" * 3000, BAD), ('{"answer": "Z"}', BAD)),
    ],
    "bold and code": [
        *(
            ("**A**", "A"),
            ("**A, C**", "AC"),
            ("**Answer:** A, D", "AD"),
            ("**None**", ""),
            ("__B__", "B"),
            ("`A`", "A"),
        ),
        *(("**A**: it counts to ten", "A"), ("**A.** Count to 100\n**B.** Count on", "AB"), ("***A***", BAD)),
    ],
    "trailing prose": [
        *(("A. They count.", "A"), ("A, C. They count.", "AC"), ("A: it counts", "A"), ("A - it counts", "A")),
        *(
            ("A – it counts", "A"),
            ("B\n\nBecause it counts.", "B"),
            ("A and C.\nBoth count.", "AC"),
            ("(A) is right", BAD),
            ("(A) Count to ten", "A"),
        ),
        *(
            ("A problem about counting", BAD),
            ("A is right", BAD),
            ("As an AI model, I choose A", BAD),
            ("I, too, count", BAD),
        ),
        *(("A because it counts", BAD), ("C is about fractions, and D too.", BAD)),
    ],
    "prose before": [
        *(("I think A", BAD), ("The best options are A and B.", BAD), ("It is A.", BAD), ("Options A, B", BAD)),
        *(("Sure! A", BAD), ("K.CC.A.1", BAD), ("I choose option A: counting", BAD), ("Probably A or C", BAD)),
    ],
    "several answers": [
        *(("Answer: A\nAnswer: B", BAD), ("Answer: A\nAnswer: none", BAD), ("Answer: A\n\nFinal answer: A, B", BAD)),
        *(("A or B", BAD), ("(A) or (B)", BAD), ("(A) to (C)", BAD), ("[A] [B]", BAD), ("either A or none", BAD)),
    ],
    "refusals": [
        *(("I am sorry, I cannot.", BAD), ("I cannot help with that.", BAD), ("As an AI, I have no view.", BAD)),
        *(("There is too little information.", BAD), ("Please send the problem.", BAD), ("", BAD), ("  \n ", BAD)),
        *(("...", BAD), ("?", BAD), ("x" * 20_001, BAD), ("I don't know", BAD)),
    ],
    "other languages": [
        *(
            ("Die Antwort ist A", BAD),
            ("选择 A", BAD),
            ("Ninguna", BAD),
            ("Keine", BAD),
            ("A und B", BAD),
            ("A y B", BAD),
        ),
        *(("Ответ: А", BAD), ("答案：A", BAD), ("A、B", BAD), ("Antwort: A", BAD), ("aucune", BAD), ("Α, Β", BAD)),
    ],
}
"""Replies to a tagging prompt, and the letters that each chooses."""

YES_NO: Replies = {
    "one word": [
        *(
            ("Yes", "yes"),
            ("No", "no"),
            ("yes.", "yes"),
            ("NO!", "no"),
            (" no ", "no"),
            ("Yes\n", "yes"),
            ("(yes)", "yes"),
        ),
        *(("y", BAD), ("n", BAD), ("True", BAD), ("1", BAD), ("Yeah", BAD), ("Nope", BAD), ("Perhaps", BAD)),
    ],
    "trailing prose": [
        *(
            ("Yes, it does.", "yes"),
            ("Yes it does", "yes"),
            ("No. It counts to ten alone.", "no"),
            ("No - it adds", "no"),
        ),
        *(("Yes\n\nIt counts.", "yes"), ("Yesterday it was", BAD), ("Not at all", BAD), ("Nothing of it", BAD)),
    ],
    "prose before": [
        *(("The problem counts, so yes.", "yes"), ("So the answer is: no", "no"), ("The answer: **no**", "no")),
        *(("There is no way to tell.", BAD), ("It does.", BAD), ("I would say yes to this", BAD)),
    ],
    "the line Answer": [
        *(
            ("Answer: yes", "yes"),
            ("It counts.\nAnswer: No", "no"),
            ("Final answer: No, a part.", "no"),
            ("Answer: ?", BAD),
        ),
    ],
    "bold and JSON": [
        *(
            ("**Yes**", "yes"),
            ("**No**, it does not.", "no"),
            ('{"answer": "yes"}', "yes"),
            ('{"answer": false}', "no"),
        ),
        *(('```json\n{"answer": "No"}\n```', "no"), ('{"answer": null}', BAD), ('{"answer": 1}', BAD), ("[]", BAD)),
    ],
    "several answers": [
        *(("Yes and no", BAD), ("Yes/No", BAD), ("Yes or no?", BAD), ("Yes. Wait, no", BAD), ("No, yes", BAD)),
        *(("Answer: yes\nAnswer: no", BAD),),
    ],
    "refusals": [("I cannot answer.", BAD), ("", BAD), ("I am sorry.", BAD), ("It depends.", BAD), ("yes" * 7000, BAD)],
    "other languages": [
        ("Ja", BAD),
        ("Sí", BAD),
        ("是", BAD),
        ("Nein", BAD),
        ("Oui", BAD),
        ("да", BAD),
        ("いいえ", BAD),
    ],
}
"""Replies to a verification prompt."""

VERDICTS: Replies = {
    "verdicts of a judge": [
        *(("full", "full"), ("**Partial**: it counts only to 10.", "partial"), ("None.", "none"), ("Full\n", "full")),
        *(("Answer: not_math", "not_math"), ("Not a math problem.", "not_math"), ('{"answer": "none"}', "none")),
        *(("It is full of numbers.", BAD), ("full or partial", BAD), ("Full/partial", BAD), ("", BAD), ("fully", BAD)),
        *(("Answer: full\nAnswer: none", BAD), ("nonesuch", BAD), ("Teilweise", BAD), ("I cannot judge it.", BAD)),
    ],
}
"""Replies to the prompt of a judge."""


def tags(reply: str) -> tuple[str | None, str]:
    """The letters of a reply, or None and the reason."""
    found = read_tags(reply, OPTIONS)
    return (None if found.malformed else "".join(LETTERS[place] for place in found.chosen)), found.malformed


def yes_no(reply: str) -> tuple[str | None, str]:
    """The answer of a reply, or None and the reason."""
    found = read_yes_no(reply)
    return found.answer, found.malformed


KINDS = (("tagging", TAGS, tags), ("verification", YES_NO, yes_no), ("judging", VERDICTS, read_verdict))


def test_there_are_200_replies_no_two_alike() -> None:
    count = 0
    for name, forms, _ in KINDS:
        replies = [reply for own in forms.values() for reply, _ in own]
        assert len(set(replies)) == len(replies), [reply for reply, times in Counter(replies).items() if times > 1]
        assert any(expected is BAD for own in forms.values() for _, expected in own), name
        count += len(replies)
    assert count >= 200


@pytest.mark.parametrize(("form", "name"), [(form, name) for name, forms, _ in KINDS for form in forms])
def test_a_reply_is_read_or_counted_as_malformed_with_a_reason(form: str, name: str) -> None:
    ((forms, read),) = [(forms, read) for kind, forms, read in KINDS if kind == name]
    wrong = []
    for reply, expected in forms[form]:
        found, reason = read(reply)
        if found != expected or bool(reason) != (expected is BAD):
            wrong.append((reply[:60], expected, found, reason))
    assert wrong == []
