"""Addresses are held against lists as DCLM does; its recorded cases are in test_dclm_cases."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pyarrow as pa
import pytest

from catalog.errors import WatershedError
from spark_jobs.measures.urls import MATCHERS, url_domains, url_words

URLS = [
    "https://www.example.com/badword",
    "http://example.com",
    "https://sub.example.com/x",
    "https://EXAMPLE.com:8080/",
    "https://example.com:8080/",
    "https://notexample.com/",
    "https://www.www.org/",
    "http://[broken",
    "example.com/no-scheme",
    "",
    None,
]


def test_hosts_are_compared_whole() -> None:
    found = url_domains(pa.array(URLS), banlist=["example.com", "WWW.org"])
    assert found.to_pylist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, None]
    with_port = url_domains(pa.array(URLS), banlist=["example.com:8080"])
    assert with_port.to_pylist() == [0, 0, 0, 1, 1, 0, 0, 0, 0, 0, None]
    cased = url_domains(pa.array(URLS), banlist=["EXAMPLE.com:8080"], case_sensitive=True)
    assert cased.to_pylist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, None]


def test_www_is_ignored_as_in_dclm_only_on_request() -> None:
    urls = pa.array(["https://www.example.com/", "https://example.com/"])
    assert url_domains(urls, banlist="example.com", ignore="www").to_pylist() == [0, 1]
    assert url_domains(urls, banlist=".example.com", ignore="www").to_pylist() == [1, 0]
    assert url_domains(urls, banlist="example.com", ignore=()).to_pylist() == [0, 1]


@pytest.mark.parametrize("whole_words", [True, False])
@pytest.mark.parametrize("case_sensitive", [True, False])
def test_words_are_counted_as_an_expression_finds_them(whole_words: bool, case_sensitive: bool) -> None:
    draw = random.Random(2)
    letters = "abA-._1/"
    words = ["a", "ab", "aba", "Ab", "b-a", "1", "b.", *("".join(draw.choices(letters, k=4)) for _ in range(50))]
    urls = ["".join(draw.choices(letters, k=draw.randrange(25))) for _ in range(800)]
    bound = r"\b" if whole_words else ""
    known = words if case_sensitive else [word.lower() for word in words]
    longest_first = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    pattern = re.compile(f"{bound}(?:{longest_first}){bound}")
    expected = [len(set(pattern.findall(url if case_sensitive else url.lower()))) for url in urls]
    found = url_words(pa.array(urls), banlist=words, whole_words=whole_words, case_sensitive=case_sensitive)
    assert found.to_pylist() == expected
    assert max(expected) > 3


def test_characters_that_hide_a_word_are_ignored() -> None:
    urls = pa.array(["https://www.ba-dwo.rd.com", None])
    assert url_words(urls, banlist="badword").to_pylist() == [0, None]
    assert url_words(urls, banlist="badword", ignore=("-", ".")).to_pylist() == [1, None]


@pytest.mark.parametrize("name", MATCHERS)
def test_lists_come_from_files_and_a_missing_one_is_named(name: str, tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(b"\xef\xbb\xbfexample.com \n\n\tbad\n")
    matcher = MATCHERS[name]
    assert (matcher.name, matcher.reads) == (name, "url")
    urls = pa.array(["https://example.com/", "https://example.org/"])
    assert matcher.compute(urls, file=str(file)).to_pylist() == [1, 0]
    with pytest.raises(WatershedError, match=r"none\.txt.*put a text file with one word per line at"):
        matcher.compute(urls, file=str(tmp_path / "none.txt"))
    with pytest.raises(WatershedError, match="no word is given"):
        matcher.compute(urls)
    with pytest.raises(TypeError, match="array of strings"):
        matcher.compute(pa.array([None]), banlist="a")
    defaults = {key: option.default for key, option in matcher.options.items()} | {"banlist": ("example.com",)}
    assert matcher.compute(urls, **defaults).to_pylist() == [1, 0]


def test_a_long_list_is_looked_up_in_time() -> None:
    words = [f"w{i:05d}" for i in range(20_000)]
    urls = pa.array([f"https://w{i:05d}.com/" + "x" * 200 for i in range(1000)])
    assert url_words(urls, banlist=words).to_pylist() == [1] * 1000
