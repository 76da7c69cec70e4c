"""IFEval's and IFTrain's kinds of instructions."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from verifiers.instruction_cases import CASES

from trainers.process.errors import TrainerError
from trainers.verifiers.instructions.follow import loose_variants, read_instructions, score_instructions
from trainers.verifiers.instructions.register import all_kinds, bind
from trainers.verifiers.instructions.texts import sentences
from trainers.verifiers.verdict import LONGEST_REPLY

ROOT = Path(__file__).parents[3]
KINDS = sorted(CASES)
HOSTILE = (
    "*",
    "[",
    "<<",
    "\n",
    "p. ",
    "a.",
    "- \n",
    ".,",
    "Section 1 ",
    "x 1. ",
    "(",
    '"',
    "the cat ",
    "\u200b",
    "🙂 ",
)


def row(id: str, kwargs: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"id": id, "kwargs": kwargs}]


def test_there_are_25_kinds_of_ifeval_and_29_of_iftrain_and_each_has_cases() -> None:
    modules = [kind.check.__module__.rsplit(".", 1)[-1] for kind in all_kinds().values()]
    assert (modules.count("ifeval"), modules.count("iftrain")) == (25, 29)
    assert all_kinds().keys() == CASES.keys()


@pytest.mark.parametrize("id", KINDS)
def test_a_kind_accepts_and_rejects(id: str) -> None:
    for kwargs, follows, breaks in CASES[id]:
        instruction = bind(id, kwargs)
        assert follows and breaks
        for reply in follows:
            assert not instruction.fault(reply), (kwargs, reply)
        for reply in breaks:
            assert instruction.fault(reply), (kwargs, reply)


@pytest.mark.parametrize("id", KINDS)
def test_an_empty_reply_follows_nothing(id: str) -> None:
    for reply in ("", " \n\t", "\u3000"):
        verdict = score_instructions(reply, read_instructions(row(id, CASES[id][0][0])))
        assert (verdict.score, verdict.parts["loose"]) == (0.0, False)


def test_loose_is_never_below_strict() -> None:
    replies = [reply for cases in CASES.values() for _, follows, breaks in cases for reply in (*follows, *breaks)]
    replies += [f"Sure!\n{reply}\nBye." for reply in replies[::3]] + [f"**{reply}**" for reply in replies[::5]]
    gained = 0
    for id, cases in CASES.items():
        instructions = read_instructions(row(id, cases[0][0]))
        for reply in replies:
            parts = score_instructions(reply, instructions).parts
            assert parts["loose"] >= parts["strict"], (id, reply)
            gained += parts["loose"] and not parts["strict"]
    assert gained > 20


def test_loose_forgives_a_first_line_a_last_line_and_asterisks() -> None:
    instructions = read_instructions(row("startend:quotation", {}))
    assert len(loose_variants("a\nb\nc")) == 8
    for reply in ('Sure:\n"yes"', '"yes"\nBye', 'Sure:\n"yes"\nBye', '**"yes"**'):
        assert score_instructions(reply, instructions).score == 0.0
        assert score_instructions(reply, instructions, "loose").score == 1.0


@pytest.mark.parametrize(
    ("id", "kwargs", "says"),
    [
        ("punctuation:no_coma", {}, "is unknown; close: punctuation:no_comma"),
        ("length_constraints:number_words", {"num_words": 5}, "lacks the argument 'relation'"),
        ("length_constraints:number_words", {"num_words": 5, "relation": None}, "lacks the argument 'relation'"),
        ("combination:repeat_prompt", {"prompt_to_repeat": ""}, "not a text"),
        ("keywords:existence", {"keywords": []}, "not a list of texts"),
        ("keywords:existence", {"keywords": ["a"], "frequency": 2}, "has no argument 'frequency'"),
        ("length_constraints:number_words", {"num_words": True, "relation": "at least"}, "not a whole number"),
        (
            "length_constraints:number_words",
            {"num_words": 2, "relation": "more than"},
            "not one of: less than, at least",
        ),
        ("language:response_language", {"language": "xx"}, "not the code of a known language"),
    ],
)
def test_an_unknown_kind_or_a_wrong_argument_is_an_error(id: str, kwargs: dict[str, Any], says: str) -> None:
    with pytest.raises(TrainerError) as error:
        read_instructions(row(id, kwargs))
    assert says in error.value.cause


def test_arguments_that_are_null_count_as_absent_as_published_rows_have_them() -> None:
    assert not bind("punctuation:no_comma", {"num_words": None, "relation": None}).fault("yes")


def test_the_score_of_a_row_is_by_prompt_and_the_fraction_is_open_instructs() -> None:
    both = [*row("punctuation:no_comma", {}), *row("keywords:word_once", {"keyword": "sea"})]
    instructions = read_instructions(both)
    assert score_instructions("the sea, blue", instructions).score == 0.0
    assert score_instructions("the sea, blue", instructions, "fraction").score == 0.5
    assert "punctuation:no_comma: there is a comma" in score_instructions("the sea, blue", instructions).reason


def all_verdicts(order: list[int]) -> list[str]:
    """Every case's verdict as JSON, computed in this order and returned in the order of the cases."""
    work = [(id, kwargs, reply) for id in KINDS for kwargs, *replies in CASES[id] for each in replies for reply in each]
    found = [""] * len(work)
    for index in order:
        id, kwargs, reply = work[index % len(work)]
        verdict = score_instructions(reply, read_instructions(row(id, kwargs)))
        found[index % len(work)] = json.dumps(verdict.row(), ensure_ascii=True)
    return found


def test_a_hundred_repeats_in_any_order_and_eight_processes_give_the_same_bytes() -> None:
    count = len(all_verdicts([]))
    first = all_verdicts(list(range(count)))
    orders = [random.Random(seed).sample(range(count), count) for seed in range(100)]
    with ThreadPoolExecutor(4) as pool:
        assert all(found == first for found in pool.map(all_verdicts, orders))
    script = (
        "import sys, hashlib; sys.path[:0] = ['tests/trainers', '.']\n"
        "from verifiers.test_instructions import all_verdicts\n"
        "import random; seed = int(sys.argv[1]); n = len(all_verdicts([]))\n"
        "order = random.Random(seed).sample(range(n), n)\n"
        "print(hashlib.sha256('\\n'.join(all_verdicts(order)).encode()).hexdigest())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(seed)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for seed in range(8)
    ]
    assert len({process.communicate()[0] for process in started}) == 1
    assert all(process.returncode == 0 for process in started)


@pytest.mark.parametrize("piece", HOSTILE)
def test_the_work_grows_with_the_length_of_a_reply_and_not_with_its_square(piece: str) -> None:
    # A quadratic pattern would take minutes on these, 54 times, so the test's own limit of time would end it.
    reply = piece * (60_000 // len(piece))
    for id in KINDS:
        bind(id, CASES[id][0][0]).fault(reply)


def test_a_reply_beyond_the_limit_passes_nothing() -> None:
    verdict = score_instructions("a" * (LONGEST_REPLY + 1), read_instructions(row("punctuation:no_comma", {})))
    assert (verdict.score, verdict.parts["loose"]) == (0.0, False)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One.", 1),
        ("One. Two.", 2),
        ("Mr. Smith arrived. He sat.", 2),
        ("It costs 3.50 dollars. Really?", 2),
        ("Wait... what? Yes!", 2),
        ('He said "Go." Then left.', 2),
        ("See e.g. the list, i.e. this one.", 1),
        ("No end here", 1),
        ("1. First item\n2. Second item", 1),
        ("Visit example.com today. Thanks.", 2),
        ("今天很好。我们走吧！", 2),
    ],
)
def test_sentences_are_counted(text: str, count: int) -> None:
    assert len(sentences(text)) == count, sentences(text)
