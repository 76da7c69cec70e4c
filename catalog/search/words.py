"""What people type, as a query of SQLite's full-text index: words, beginnings of words, and words with typing errors.

A word that the index knows is searched as it is. Of one that it does not know, the words that begin with it are
searched, or else the nearest words: one error is allowed in words of four letters and more, two in words of eight and
more. An error is a letter too many, too few or wrong, or two letters in the wrong order (optimal string alignment).
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from catalog.search.entries import words_of

MOST_WORDS, LONGEST_WORD = 16, 40
NEAREST = 4
"""Words that a word with a typing error may stand for."""
SHORTEST_BEGINNING = 3
ERRORS = ((8, 2), (4, 1))
"""Errors that are allowed from this number of letters on."""

COMMON = frozenset(
    "a about all an and any are as at by for from has have in is it its of on or that the their to".split()
)
COMMON |= frozenset("what where which who whose with".split())
"""Words that say nothing, left out where others remain."""


@dataclass
class Vocabulary:
    """The words that entries have.

    The table `vocabulary` holds their stems, as the index has them, and `spellings` each word as it is written.
    """

    connection: sqlite3.Connection
    _terms: list[str] = field(default_factory=list)
    _version: int = -1

    def knows(self, stem: str) -> bool:
        """Whether an entry has the word."""
        return bool(self.connection.execute("SELECT 1 FROM vocabulary WHERE term = ?", (stem,)).fetchone())

    def begins(self, beginning: str) -> bool:
        """Whether an entry has a word that begins so."""
        last = beginning + chr(0x10FFFF)
        found = self.connection.execute(
            "SELECT 1 FROM vocabulary WHERE term BETWEEN ? AND ? LIMIT 1", (beginning, last)
        )
        return bool(found.fetchone())

    def stem(self, word: str) -> str:
        """The word as the index has it: without accents and English endings."""
        self.connection.execute("DELETE FROM temp.one_word")
        self.connection.execute("INSERT INTO temp.one_word VALUES (?)", (word,))
        found = self.connection.execute("SELECT term FROM temp.one_stem").fetchone()
        return found[0] if found else word

    def nearest(self, word: str, generation: int) -> list[str]:
        """The known words that `word` may be a misspelling of, nearest first. `generation` changes with the index."""
        errors = next((errors for letters, errors in ERRORS if len(word) >= letters), 0)
        if not errors:
            return []
        from rapidfuzz.distance import OSA
        from rapidfuzz.process import extract

        if self._version != generation:
            self._terms = [word for (word,) in self.connection.execute("SELECT word FROM spellings")]
            self._version = generation
        found = extract(word, self._terms, scorer=OSA.distance, score_cutoff=errors, limit=4 * NEAREST)
        # Of words that are equally near, those with the same beginning: few people mistype the first letter.
        found.sort(key=lambda each: (each[1], each[0][:1] != word[:1]))
        return [term for term, distance, _ in found if distance == found[0][1]][:NEAREST]

    def learn(self, texts: Iterable[str]) -> None:
        """Add the words of `texts` to the spellings."""
        words = {word[:LONGEST_WORD] for text in texts for word in re.findall(r"\w+", text.lower()) if len(word) > 2}
        run = self.connection.execute
        run("DELETE FROM temp.one_word")
        self.connection.executemany("INSERT INTO temp.one_word VALUES (?)", ((word,) for word in sorted(words)))
        run(
            "INSERT OR IGNORE INTO spellings SELECT word, min(term) FROM temp.every_stem "
            "JOIN temp.one_word ON one_word.rowid = every_stem.doc GROUP BY word"
        )

    def prune(self) -> None:
        """Remove the spellings of words that no entry has any more."""
        self.connection.execute("DELETE FROM spellings WHERE stem NOT IN (SELECT term FROM vocabulary)")


@dataclass(frozen=True)
class Parsed:
    """A query: one alternative of FTS5 for each word, and the words that were replaced by others."""

    alternatives: tuple[str, ...]
    corrected: dict[str, list[str]]
    unknown: tuple[str, ...]
    """Words that no entry has and that are near to none."""

    @property
    def all_words(self) -> str:
        """The query of entries that have all words."""
        return " AND ".join(f"({each})" for each in self.alternatives)

    @property
    def any_word(self) -> str:
        """The query of entries that have at least one word."""
        return " OR ".join(f"({each})" for each in self.alternatives)


def typed_words(text: str) -> list[str]:
    """The words of a query in lower case, without those that say nothing, unless there are no others."""
    text = unicodedata.normalize("NFC", text[: MOST_WORDS * LONGEST_WORD])
    words = [word.casefold()[:LONGEST_WORD] for word in re.findall(r"\w+", words_of(text))]
    telling = [word for word in words if word not in COMMON]
    return list(dict.fromkeys(telling or words))[:MOST_WORDS]


def parse(text: str, vocabulary: Vocabulary, generation: int) -> Parsed:
    """`text` as a query of the index."""
    words = typed_words(text)
    alternatives, corrected, unknown = [], {}, []
    for word in words:
        stem = vocabulary.stem(word)
        beginning = len(word) >= SHORTEST_BEGINNING and vocabulary.begins(word)
        if vocabulary.knows(stem):
            # The last word may be one that is still being typed.
            prefix = f' OR "{word}" *' if beginning and word == words[-1] else ""
            alternatives.append(f'"{word}"{prefix}')
        elif beginning:
            alternatives.append(f'"{word}" *')
        elif near := vocabulary.nearest(word, generation):
            corrected[word] = near
            alternatives.append(" OR ".join(f'"{term}"' for term in near))
        else:
            unknown.append(word)
    return Parsed(tuple(alternatives), corrected, tuple(unknown))
