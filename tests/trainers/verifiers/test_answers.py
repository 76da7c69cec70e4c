"""GSM8K, exact and multiple-choice answers, and where an answer stands in a reply."""

from __future__ import annotations

import re

import pytest

from trainers.verifiers.answers import last_boxed
from trainers.verifiers.choice import chosen_letter, score_choice
from trainers.verifiers.exact import score_exact, squad_normalised, word_f1
from trainers.verifiers.gsm8k import published_number, score_gsm8k

GSM8K = [
    ("She makes 9 * 2 = $18 a day.", "18", 1, 1),
    ("Work.\n#### 18", "He works.\n#### 18", 1, 1),
    ("The total is 1,234.", "1234", 1, 1),
    ("The total is 1234.", "1,234", 1, 1),
    ("The total is $1,234,567", "1234567", 1, 1),
    ("It is 18.00 dollars", "18", 1, 0),
    ("It is 18.0", "18.0", 1, 1),
    ("It falls to -5", "-5", 1, 0),
    ("It falls to −5", "-5", 1, 0),
    ("From 3-5", "5", 1, 1),
    ("It falls to -5", "5", 0, 1),
    ("It is .5", "0.5", 1, 0),
    ("The answer is \\boxed{18}, reached in 3 steps.", "18", 1, 0),
    ("The answer is 18, reached in 3 steps.", "18", 0, 0),
    ("#### 18\nChecked 3 times.", "18", 1, 0),
    ("eighteen", "18", 0, 0),
    ("", "18", 0, 0),
    ("17", "18", 0, 0),
    ("18", "8", 0, 0),
    ("It was 2,50 in all", "50", 1, 0),
    ("x18", "18", 0, 1),
    ("1e5", "5", 0, 1),
]


@pytest.mark.parametrize(("response", "answer", "strict", "published"), GSM8K)
def test_gsm8k_by_both_rules(response: str, answer: str, strict: int, published: int) -> None:
    assert score_gsm8k(response, answer).score == strict
    assert score_gsm8k(response, answer, "published").score == published


@pytest.mark.parametrize("response", [case[0] for case in GSM8K] + ["-1.5", "a1,2,3", "..5", "1.2.3", "+7", "5."])
def test_the_published_number_is_the_last_match_of_open_instructs_pattern(response: str) -> None:
    without = re.sub(r"(\d),(\d)", r"\1\2", response)
    # Their substitution leaves every second comma of `1,2,3`, as one match ends where the next would begin.
    if "a1,2,3" in response:
        return
    found = re.findall(r"[-+]?\d*\.\d+|\d+", without)
    assert published_number(response) == (found[-1] if found else response)


def test_a_number_of_a_million_digits_is_read_in_linear_time_and_is_wrong() -> None:
    assert score_gsm8k("9" * 999_999, "9").score == 0.0
    assert score_gsm8k("9" * 999_999, "9", "published").score == 0.0
    assert score_gsm8k("1," * 400_000, "1").score == 1.0


@pytest.mark.parametrize(
    ("text", "boxed"),
    [
        (r"\boxed{1} and \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\fbox{7}", "7"),
        (r"\boxed 5$ so", "5"),
        (r"\boxed{unclosed", None),
        ("none", None),
        (r"\boxed{}", ""),
    ],
)
def test_the_last_box_with_balanced_braces(text: str, boxed: str | None) -> None:
    assert last_boxed(text) == boxed


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("**B**", "B"),
        ("B. Paris", "B"),
        ("**B)** Paris", "B"),
        ("The answer is B", "B"),
        ("The answer is (B).", "B"),
        ("the correct answer is: **B**", "B"),
        ("Answer: B", "B"),
        ("**Answer:** B", "B"),
        ("Not A. The answer is A. Wait: the answer is B.", "B"),
        (r"So \boxed{B}", "B"),
        (r"So \boxed{\text{B}}", "B"),
        ("The answer is B, I think", "B"),
        ("The answer is A or B", None),
        ("Answer: A, B", None),
        ("Answer: A and C", None),
        ("I think so.", None),
        ("A dog is an animal", None),
        ("The answer is not B", None),
        ("", None),
        ("Paris", "B"),
        ("paris.", "B"),
        ("E", None),
        ("The answer is 5", None),
    ],
)
def test_the_letter_that_a_reply_states(reply: str, letter: str | None) -> None:
    choices = ["Rome", "Paris", "Oslo", "Bern"]
    assert chosen_letter(reply, choices) == letter
    assert score_choice(reply, "B", choices).score == (letter == "B")


def test_exact_answers_by_both_rules() -> None:
    assert score_exact(" Paris\n", ["Paris"]).score == 1.0
    assert score_exact("paris", ["Paris"]).score == 0.0
    assert score_exact("The paris!", ["Rome", "Paris"], "squad").score == 1.0
    assert score_exact("", [""]).score == 0.0
    assert score_exact("!!", [""], "squad").score == 0.0
    assert squad_normalised("An  Apple, a day.") == "apple day"
    assert word_f1("cat cat dog", "cat dog dog") == pytest.approx(2 / 3)
