"""Normal forms that texts and addresses are compared by; mlfoundations/dclm, baselines/mappers/core_utils.py."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from catalog.errors import WatershedError

_SCHEME = re.compile(r"https?://(www\.)?")
_CAMPAIGN = re.compile(r"\?(utm_|ref|feed).*")
_PUNCTUATION = "，。、„”“«»１」「《》´∶：？！（）；–—．～’…━〈〉【】％►"
"""What CCNet treats as punctuation, including a full-width digit one."""


def normalize_url(url: str) -> str:
    """A web address without scheme, `www.`, campaign parameters and slashes at its end, as C4 compares it."""
    return _CAMPAIGN.sub("", _SCHEME.sub("", url)).rstrip("/")


def normalize_whitespace_and_lowercase(text: str) -> str:
    """A text without white space at both ends, in lower case."""
    return text.strip().lower()


def ccnet_normalize(line: str) -> str:
    """A line as CCNet compares it (arXiv 1911.00359, section 3.1): every digit 0, no punctuation, ASCII letters.

    Letters are written as anyascii does, where DCLM asks unidecode: a space behind each ideograph, nothing for signs
    and pictures; the two may spell rare letters differently.

    Raises:
        WatershedError: anyascii is not installed.
    """
    lower = re.sub(r"\d", "0", line.strip().lower())
    return "".join(map(_in_ascii, lower.translate(_removed())))


@cache
def _removed() -> dict[int, None]:
    controls = (*range(32), *range(127, 160))
    return dict.fromkeys((*map(ord, _PUNCTUATION), *controls))


@cache
def _in_ascii(character: str) -> str:
    if character.isascii():
        return character
    try:
        from anyascii import anyascii
    except ImportError as error:
        raise WatershedError("ccnet_normalize needs the package anyascii", "pip install anyascii") from error
    if unicodedata.category(character).startswith("S"):
        return ""
    return anyascii(character) + " " * ("IDEOGRAPH" in unicodedata.name(character, ""))
