"""Decontamination by both rules: equal to a comparison of every row with every instance."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pytest

from catalog.errors import WatershedError
from spark_jobs.tulu.decontamination import search as searching
from spark_jobs.tulu.decontamination.decide import Policy, contaminated_rows, contamination, to_drop
from spark_jobs.tulu.decontamination.index import LEAST_WORDS, N, build_index
from spark_jobs.tulu.decontamination.instances import Evaluation, read_evaluation
from spark_jobs.tulu.decontamination.search import Found, search, user_text

Scores = dict[tuple[int, int], tuple[float, float, bool]]


def brute_force(rows: list[str], instances: list[tuple[str | None, ...]]) -> Scores:
    """Every row against every instance, from the text of the rules; words are separated by spaces."""
    found: Scores = {}
    grams = [
        {" ".join(w[i : i + n]) for n in range(1, N + 1) for i in range(len(w) - n + 1)}
        for w in (row.split() for row in rows)
    ]
    for number, fields in enumerate(instances):
        texts = [text.split() for text in fields if text]
        total = sum(map(len, texts))
        if total < LEAST_WORDS:
            continue
        long = [words for words in texts if len(words) >= N]
        own = [[" ".join(words[i : i + N]) for i in range(len(words) - N + 1)] for words in long]
        every = {gram for each in own for gram in each}
        short = [words for words in texts if 0 < len(words) < N]
        phrases = [" ".join(words) for words in short]
        every |= set(phrases)
        for row, held in enumerate(grams):
            if every.isdisjoint(held):
                continue
            share, matched = [], 0
            last_share = 0.0
            for words, positions in zip(long, own, strict=True):
                last = {gram: i for i, gram in enumerate(positions)}
                covered = {w for i, gram in enumerate(positions) if gram in held for w in range(i, i + N)}
                latest = {w for gram, i in last.items() if gram in held for w in range(i, i + N)}
                share.append(len(covered) / len(words))
                last_share += len(latest) / len(words)
                matched += len(covered)
            matched += sum(len(words) for words, phrase in zip(short, phrases, strict=True) if phrase in held)
            strict = max([*share, matched / total])
            if strict > 0.5:
                whole = all(text is not None for text in fields)
                published = last_share / len(fields) if whole else 0.0
                found[row, number] = (published, strict, published > 0.5)
    return found


def as_scores(found: Found) -> Scores:
    each = found.joined()
    columns = (each.row, each.instance, each.published, each.strict, each.by_published)
    return {(r, i): (p, s, b) for r, i, p, s, b in zip(*(c.tolist() for c in columns), strict=True)}


def planted(rows: int, instances: int, seed: int) -> tuple[list[str], list[tuple[str | None, ...]]]:
    """Rows of which many hold parts of instances: whole, halves, repeated phrases, single fields, common phrases."""
    draw = random.Random(seed)
    vocabulary = ["".join(draw.choices("abcdefghijklmnopqrst", k=draw.randint(2, 6))) for _ in range(400)]
    frame = "which of the following is the best answer to this question"

    def words(count: int) -> str:
        return " ".join(draw.choices(vocabulary, k=count))

    made: list[tuple[str | None, ...]] = []
    for number in range(instances):
        phrase = words(8)
        made.append(
            {
                0: (words(draw.randint(8, 24)),),
                1: (words(draw.randint(8, 16)), words(draw.randint(1, 7))),
                2: (words(draw.randint(2, 4)), words(1), words(draw.randint(1, 2))),
                3: (f"{phrase} {words(3)} {phrase}",),
                4: (None, words(12)),
                5: (f"{frame} {words(draw.randint(2, 10))}",),
                6: (words(draw.randint(9, 30)), words(draw.randint(9, 12))),
                7: (words(draw.randint(1, 4)),),
            }[number % 8]
        )
    texts = []
    for number in range(rows):
        parts = [words(draw.randint(0, 12))]
        for _ in range(draw.randint(0, 3)):
            fields = [text for text in made[draw.randrange(instances)] if text]
            chosen = fields if draw.random() < 0.4 else [draw.choice(fields)]
            for text in chosen:
                piece = text.split()
                cut = draw.choice((0, 0, 1, len(piece) // 3, len(piece) // 2, max(len(piece) - N, 0)))
                parts += [" ".join(piece[cut:] if draw.random() < 0.5 else piece[: len(piece) - cut])]
                parts += [words(draw.randint(0, 3))]
        if number % 5 == 0:
            parts.append(frame)
        texts.append(" ".join(part for part in parts if part))
    return texts, made


@pytest.fixture(scope="module")
def compared() -> tuple[Scores, Found, list[tuple[str | None, ...]]]:
    rows, instances = planted(5_000, 500, seed=3)
    index = build_index([Evaluation(name="made", instances=tuple(instances))])
    return brute_force(rows, instances), search([pa.array(rows)], index, workers=2), instances


def test_the_search_equals_a_comparison_of_5000_rows_with_500_instances(
    compared: tuple[Scores, Found, list[tuple[str | None, ...]]],
) -> None:
    expected, found, _ = compared
    scores = as_scores(found)
    assert scores.keys() == expected.keys()
    assert len(expected) > 1_000
    for pair, (published, strict, by_published) in expected.items():
        assert scores[pair] == (pytest.approx(published), pytest.approx(strict), by_published), pair
    # Both kinds are there, and the strict rule finds all that the published one does.
    assert 100 < sum(by_published for *_, by_published in expected.values()) < len(expected)


def test_each_defect_of_the_published_rule_is_counted(
    compared: tuple[Scores, Found, list[tuple[str | None, ...]]],
) -> None:
    expected, found, instances = compared
    rows = contaminated_rows("made", found, [f"{number:016x}" for number in range(5_000)])
    why = {(int(row["row_id"], 16), int(row["instance"])): row["why"] for row in rows}
    assert {pair for pair, reason in why.items() if not reason} == {p for p, each in expected.items() if each[2]}
    assert set(why.values()) == {"", "missing field", "repeated n-gram", "short field", "averaged fields"}
    for (_, number), reason in why.items():
        fields = instances[number]
        assert (reason == "missing field") == (None in fields)
        assert reason != "short field" or any(text and len(text.split()) < N for text in fields)
    counted = {row["rule"]: row for row in contamination("made", found, Policy())}
    by_rule = {rule: {pair[1] for pair, each in expected.items() if rule == "strict" or each[2]} for rule in counted}
    assert {rule: row["instances_hit"] for rule, row in counted.items()} == {k: len(v) for k, v in by_rule.items()}
    complete = sum(None not in fields for fields in instances)
    assert counted["published"]["share_hit"] == len(by_rule["published"]) / complete
    assert counted["strict"]["share_hit"] == len(by_rule["strict"]) / len(instances)


def test_the_result_depends_neither_on_batches_nor_on_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, instances = planted(600, 120, seed=9)
    index = build_index([Evaluation(name="made", instances=tuple(instances))])
    whole = as_scores(search([pa.array(rows)], index))
    monkeypatch.setattr(searching, "BATCH", 7)
    monkeypatch.setattr(searching, "POSITIONS", 50)
    assert whole == as_scores(search([pa.array(rows[:100]), pa.array(rows[100:])], index, workers=3))


def test_turns_of_the_assistant_and_phrases_across_turns_do_not_count() -> None:
    question = "how many rivers of this country end in a lake that dries up"
    half, rest = question[:31], question[31:]
    rows = [
        [{"role": "user", "content": question}, {"role": "assistant", "content": "None."}],
        [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": question}],
        [{"role": "user", "content": half}, {"role": "user", "content": rest}],
        [],
    ]
    kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    text = user_text(pa.chunked_array([pa.array(rows[:1], kind), pa.array(rows[1:], kind)]))
    index = build_index([Evaluation(name="made", instances=((question,),))])
    assert len(text) == 4
    assert {row for row, _ in as_scores(search([text], index))} == {0}


def test_a_source_is_decided_by_suite_and_only_its_overlapping_rows_are_dropped() -> None:
    asked = [f"what is the sum of {n} stones and {n + 1} sticks near the old mill at dawn" for n in range(50)]
    evaluations = [
        Evaluation(name="dev", instances=tuple((text,) for text in asked)),
        Evaluation(name="sealed", instances=tuple((text[::-1],) for text in asked)),
        Evaluation(name="clean", instances=(("nothing here is ever asked anywhere in any of the rows",),)),
    ]
    index = build_index(evaluations)
    policy = Policy(suites={"dev": "development", "sealed": "unseen"})
    one = search([pa.array(["hello", asked[0]])], index)
    two = search([pa.array([asked[0], asked[1], "hello", asked[2][::-1]])], index)
    assert {row["evaluation"]: row["decision"] for row in contamination("one", one, policy)} == {
        "dev": "keep",
        "sealed": "keep",
        "clean": "keep",
    }
    rows = contamination("two", two, policy)
    assert {row["evaluation"]: row["decision"] for row in rows} == {
        "dev": "drop_rows",
        "sealed": "keep",
        "clean": "keep",
    }
    assert to_drop(rows, contaminated_rows("two", two, list("abcd")), "published") == (set(), {"a", "b"})
    many = search([pa.array([text[::-1] for text in asked[:2]])], index)
    sealed = contamination("three", many, policy)
    assert to_drop(sealed, contaminated_rows("three", many, list("ab")), "published") == ({"three"}, set())
    assert {row["decision"] for row in sealed if row["evaluation"] == "sealed"} == {"drop_source"}


def test_fields_of_an_evaluation_are_those_that_are_named_and_null_ones_stay_null(tmp_path: Path) -> None:
    path = tmp_path / "drop.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ({"passage": "p", "question": "q"}, {"question": "r"})))
    assert read_evaluation(path).instances == (("p", "q"), (None, "r"))
    assert read_evaluation(path, ["question"]).instances == (("q",), ("r",))
    path.write_text("[1]\n")
    with pytest.raises(WatershedError, match=r"drop\.jsonl:1: not an object"):
        read_evaluation(path)
    with pytest.raises(WatershedError, match="no instance has 3 words"):
        build_index([Evaluation(name="made", instances=(("one two",),))])
