"""Statistics of a page's address: matches with lists of domains and words.

mlfoundations/dclm, baselines/mappers/filters/metadata_filters.py, url_substring_filter, after RefinedWeb (arXiv
2306.01116, appendix G.1). A recipe names the lists; none comes with Watershed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from urllib.parse import urlparse

import pyarrow as pa

from spark_jobs.measures.base import Matcher, Option
from spark_jobs.measures.each import count_each
from spark_jobs.measures.normal import normalize_url
from spark_jobs.measures.word_lists import any_of, words_of

__all__ = ["MATCHERS", "normalize_url", "url_domains", "url_words"]


def url_domains(
    url: pa.Array,
    *,
    banlist: str | Sequence[str] = (),
    file: str | None = None,
    ignore: str | Sequence[str] = ("www.",),
    case_sensitive: bool = False,
) -> pa.Array:
    """1 where the host of an address is in a list, else 0.

    Args:
        url: addresses; host is all between `//` and the next slash, a port included.
        banlist: hosts.
        file: or a file with a host a line.
        ignore: texts to remove from the host first, at any position. DCLM removes `www`, which turns
            `www.example.com` into `.example.com`.
        case_sensitive: distinguish upper from lower case.

    Raises:
        WatershedError: there is no host in the list, or no such file.
    """
    domains = _cased(words_of("url_domains", banlist, file), case_sensitive)
    ignored = _texts(ignore)

    def is_in_list(address: str) -> int:
        try:
            host = urlparse(address).netloc
        except ValueError:
            # Not an address, such as one with half a bracket.
            return 0
        return int(_without(host if case_sensitive else host.lower(), ignored) in domains)

    return count_each(url, is_in_list)


def url_words(
    url: pa.Array,
    *,
    banlist: str | Sequence[str] = (),
    file: str | None = None,
    whole_words: bool = False,
    ignore: str | Sequence[str] = (),
    case_sensitive: bool = False,
) -> pa.Array:
    """How many different words of a list an address holds, none overlapping another, the leftmost and longest first.

    Args:
        url: addresses.
        banlist: words, taken as they are written.
        file: or a file with one word per line.
        whole_words: only between word bounds, which a hyphen and a dot are and an underscore is not.
        ignore: taken out of the address first, as hyphens and dots that hide a word.
        case_sensitive: distinguish upper from lower case.

    Raises:
        WatershedError: there is no word in the list, or no such file.
    """
    pattern = _any_of(words_of("url_words", banlist, file), whole_words, case_sensitive)
    ignored = _texts(ignore)

    def count(address: str) -> int:
        return len(set(pattern.findall(_without(address if case_sensitive else address.lower(), ignored))))

    return count_each(url, count)


def _texts(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _without(text: str, ignored: tuple[str, ...]) -> str:
    for each in ignored:
        text = text.replace(each, "")
    return text


@cache
def _cased(words: tuple[str, ...], case_sensitive: bool) -> frozenset[str]:
    return frozenset(words if case_sensitive else (word.lower() for word in words))


@cache
def _any_of(words: tuple[str, ...], whole_words: bool, case_sensitive: bool) -> re.Pattern[str]:
    bound = r"\b" if whole_words else ""
    written = bound + any_of(_cased(words, case_sensitive)) + bound
    return re.compile(written, 0 if case_sensitive else re.IGNORECASE)


_LIST = {
    "banlist": Option(kind=tuple, description="what to look for", default=()),
    "file": Option(kind=str, description="a file with one a line", default=None),
    "case_sensitive": Option(kind=bool, description="distinguish upper from lower case", default=False),
}
MATCHERS: dict[str, Matcher] = {
    "url_domains": Matcher(
        name="url_domains",
        description="1 where the page's host is in a list, else 0",
        options={
            **_LIST,
            "ignore": Option(kind=tuple, description="what is taken out of the host first", default=("www.",)),
        },
        compute=url_domains,
        reads="url",
    ),
    "url_words": Matcher(
        name="url_words",
        description="how many different words of a list the page's address holds",
        options={
            **_LIST,
            "whole_words": Option(kind=bool, description="only between word bounds", default=False),
            "ignore": Option(kind=tuple, description="what is taken out of the address first", default=()),
        },
        compute=url_words,
        reads="url",
    ),
}
"""The matchers of addresses, by name."""
