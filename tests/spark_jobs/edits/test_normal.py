"""Normal forms by hand; those that DCLM recorded are in test_dclm_cases."""

from __future__ import annotations

import pytest

from spark_jobs.measures.normal import ccnet_normalize, normalize_url, normalize_whitespace_and_lowercase


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://www.example.com/", "example.com"),
        ("http://example.com/a/?utm_source=x&y=1", "example.com/a"),
        ("https://example.com/a?id=3&utm_source=x", "example.com/a?id=3&utm_source=x"),
        ("https://example.com/?reference=1//", "example.com"),
        ("ftp://www.example.com", "ftp://www.example.com"),
        ("", ""),
    ],
)
def test_urls_lose_scheme_and_campaign(url: str, normal: str) -> None:
    assert normalize_url(url) == normal


def test_texts_lose_case_and_white_space_at_their_ends() -> None:
    assert normalize_whitespace_and_lowercase("\u00a0 A  B\u3000") == "a  b"


@pytest.mark.parametrize(
    ("line", "normal"),
    [
        ("  Héllo, Wörld 42! ", "hello, world 00!"),
        ("“Quoted” – 3％", "Quoted  0".lower()),
        ("北亰 29", "Bei Jing  00"),
        ("😃 ok", " ok"),
        ("\x10\x85", ""),
        ("", ""),
    ],
)
def test_lines_are_compared_in_ascii_without_digits(line: str, normal: str) -> None:
    assert ccnet_normalize(line) == normal
