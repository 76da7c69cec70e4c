"""Personal data is masked where datatrove finds it, and phone numbers where their form says so."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from edit_texts import EDGE_CASES, random_texts

from spark_jobs.edits.personal import EMAIL_REPLACEMENT, IP_REPLACEMENT, PHONE_REPLACEMENT, mask_personal

PIECES = [
    *(
        "a",
        "B9",
        "é",
        "_",
        "x-y",
        "'",
        "+",
        "中",
        " ",
        "\n",
        ", ",
        "(",
        ")",
        "<",
        ">",
        "@",
        "@",
        "@",
        ".",
        ".",
        "..",
        "-",
    ),
    *(
        "a@b.co",
        ".com",
        "[",
        "]",
        ":",
        "1.2.3.4",
        "8.8.8.8",
        "192.168.1.1",
        "25",
        "255",
        "256",
        "0",
        "01",
        "1.1",
        "[1.1.1.1]",
    ),
]


def addresses(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(PIECES, k=draw.randrange(14))) for _ in range(count)]


@pytest.mark.parametrize("public_only", [True, False])
@pytest.mark.parametrize(("emails", "ips"), [(True, True), (True, False), (False, True)])
def test_addresses_are_those_of_datatrove(emails: bool, ips: bool, public_only: bool) -> None:
    from datatrove.pipeline.formatters.pii import PIIFormatter

    theirs = PIIFormatter(emails, ips, public_only, EMAIL_REPLACEMENT, IP_REPLACEMENT)
    texts = [*EDGE_CASES, *addresses(6000, seed=3), *random_texts(500, seed=4)]
    masked = mask_personal(pa.array(texts), emails=emails, ip_addresses=ips, public_only=public_only)
    for text, ours in zip(texts, masked.to_pylist(), strict=True):
        assert ours == theirs.format(text), repr(text[:300])


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("call (555) 123-4567 now", "call N now"),
        ("555.123.4567", "N"),
        ("a 5551234567, b", "a N, b"),
        ("a\n555 123 4567", "a\nN"),
        ("é\u00a0555-123-4567", "é\u00a0N"),
        ("+1 555-123-4567", "+1 N"),
        ("in 2020 and 2021 123", "in 2020 and 2021 123"),
        ("x555-123-4567", "x555-123-4567"),
        ("#555-123-4567", "#555-123-4567"),
        ("555-123-456", "555-123-456"),
        ("1 2 3 4 5 6 7 8 9 0 1", "1 2 3 4 5 6 7 8 9 0 1"),
    ],
)
def test_phone_numbers_are_masked(text: str, masked: str) -> None:
    found = mask_personal(pa.array([text]), emails=False, ip_addresses=False, phone_numbers=True)
    assert found.to_pylist() == [masked.replace("N", PHONE_REPLACEMENT)]


def test_what_stands_for_each_is_an_option_and_does_not_depend_on_neighbours() -> None:
    texts = pa.array(["a@b.co, c@d.org", "8.8.8.8", None, "ask e@f.net or (555) 123-4567"])
    masked = mask_personal(texts, phone_numbers=True, email_replacement="", ip_replacement="é", phone_replacement="#")
    assert masked.to_pylist() == [", ", "é", None, "ask  or #"]


def test_nothing_is_masked_unasked() -> None:
    texts = pa.array(["a@b.co 8.8.8.8 (555) 123-4567"])
    assert mask_personal(texts, emails=False, ip_addresses=False).equals(texts)
