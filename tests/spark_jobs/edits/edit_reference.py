"""DCLM's modifiers written down plainly, a text at a time, with `str` and `re`: what the edits must equal."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

COUNTED = "likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads|views|followers"
HOST = r"[-a-zA-Z0-9@:%._\+~#=]"
PATH = r"[-a-zA-Z0-9()@:%_\+.~#?&//=]"


def of_lines(text: str, keeps: Callable[[str], bool], strip: bool) -> str:
    left = "\n".join(line for line in text.split("\n") if keeps(line))
    return left.strip() if strip else left


def without_urls(text: str, domains: tuple[str, ...], everywhere: bool) -> str:
    # As in a trie, the longest domain goes first.
    either = "|".join(map(re.escape, sorted(domains, key=len, reverse=True)))
    if everywhere or re.match(either, text, re.IGNORECASE):
        host = re.compile(rf"\s{{0,10}}(?:(?:https?|ftp)://)?{HOST}{{1,256}}\.(?:{either})\b{PATH}*")
        text = host.sub("", text)
    number = "[0-2]?[0-9]{1,2}"
    return re.sub(rf"\s{{0,10}}\b(?:(?:https?|ftp)://)?(?:{number}\.){{3}}{number}{PATH}*", "", text)


def limit_newlines(text: str, most: int) -> str:
    return re.sub(rf"\n{{{most + 1},}}", "\n" * most, text)


def remove_citations(text: str) -> str:
    return re.sub(r"\[\d*\]|\[edit\]|\[citation needed\]", "", text)


def drop_by_share(text: str, kind: Callable[[str], bool], most: float) -> str:
    return of_lines(text, lambda line: not line or sum(map(kind, line)) / len(line) <= most, True)


def drop_counter_lines(text: str) -> str:
    counter = re.compile(rf"^\W*\d(?:,|\.|\d)*[kKmMbB]?\s+(?:{COUNTED})\W*$")
    return of_lines(text, lambda line: not counter.search(line.lower()), True)


def keep_lines_of_length(text: str, least: int, most: float = math.inf) -> str:
    return of_lines(text, lambda line: not line or least <= len(line.split()) <= most, False)


def drop_unpunctuated_lines(text: str, remove_ellipses: bool) -> str:
    def keeps(line: str) -> bool:
        ends = not line or re.search(r'[.!?"…]\s*$', line) is not None
        return ends and not (remove_ellipses and re.search(r"(?:\.\.\.|…)\s*$", line))

    return of_lines(text, keeps, False)


def drop_lines_with_long_words(text: str, most: int, split: Callable[[str], list[str]], alphanumeric: bool) -> str:
    def keeps(line: str) -> bool:
        words = [word for word in split(line) if (word[0].isalnum() if alphanumeric else word.strip())]
        return all(len(word) <= most for word in words)

    return of_lines(text, keeps, False)


def drop_substring_lines(
    text: str,
    *,
    banlist: list[str],
    location: str,
    max_words: int | None,
    remove_substring_only: bool,
    case_sensitive: bool,
) -> str:
    either = f"(?:{'|'.join(banlist if case_sensitive else map(str.lower, banlist))})"
    written = {"prefix": rf"^{either}\s?", "suffix": rf"\s?{either}$", "any": rf"\s?{either}"}[location]
    pattern = re.compile(written, 0 if case_sensitive else re.IGNORECASE)
    left = []
    for line in text.split("\n"):
        rest: str | None = line
        if max_words is None or len(line.split()) <= max_words:
            if remove_substring_only:
                rest = pattern.sub("", line)
                rest = None if line and not rest.strip() else rest
            elif pattern.search(line):
                rest = None
        if rest is not None:
            left.append(rest)
    return "\n".join(left).strip()


def drop_repeats(text: str, separator: str, normalize: bool) -> str:
    seen: set[str] = set()
    left = []
    for piece in text.split(separator):
        key = piece.strip().lower() if normalize else piece
        if not key or key not in seen:
            left.append(piece)
        seen.add(key)
    return separator.join(left)
