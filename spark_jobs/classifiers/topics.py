"""Topics of documents, from a fastText classifier or from rules of hosts and words.

WebOrganizer (arXiv 2502.10341) and Olmo 3 (arXiv 2512.13961) assign the web to 24 topics by a trained classifier, and
set for each topic how much of which quality is read. Without such a model, rules of hosts and words give a label that
anyone can check and that is the same everywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from catalog.errors import WatershedError
from catalog.files import sha256_of
from spark_jobs.classifiers.labels import LABEL
from spark_jobs.classifiers.reading import joined_lines, load_once
from spark_jobs.compute import pc


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A topic by its signs."""

    name: str
    hosts: tuple[str, ...] = ()
    """Hosts, including their subdomains: `python.org` matches `docs.python.org` too."""
    words: tuple[str, ...] = ()
    """Words or phrases, in any case."""


@dataclass(frozen=True, kw_only=True)
class TopicRules:
    """The first topic that lists the document's host; else the topic whose words occur most, the first on a tie."""

    topics: tuple[Topic, ...]
    at_least: int = 3
    """Fewest occurrences of a topic's words that assign a text to it."""
    otherwise: str = "other"

    def __post_init__(self) -> None:
        names = [topic.name for topic in self.topics]
        if not names or len(set(names)) < len(names) or self.otherwise in names:
            raise WatershedError(
                f"topics {', '.join(names) or 'none'}: each needs a unique name other than {self.otherwise!r}",
                "correct the TopicRules",
            )
        if bare := [topic.name for topic in self.topics if not topic.hosts and not topic.words]:
            raise WatershedError(f"topic {bare[0]} has neither hosts nor words", "give it some, or remove it")

    @property
    def identity(self) -> Any:
        """What decides the labels."""
        return self


@dataclass(frozen=True, kw_only=True)
class TopicClassifier:
    """The most probable label of a fastText model."""

    path: Path
    sha256: str
    """Digest of the file, which identifies it at any path."""
    otherwise: str = "other"
    """The topic of a text that has no word of the model's vocabulary."""

    @property
    def identity(self) -> Any:
        """What decides the labels; the path of the file does not."""
        return {"sha256": self.sha256, "otherwise": self.otherwise}

    def check(self) -> None:
        """Check the file against its digest.

        Raises:
            WatershedError: the file is missing or has another digest.
        """
        if not self.path.is_file() or sha256_of(self.path) != self.sha256:
            why = "is not the file that the recipe names" if self.path.is_file() else "is missing"
            raise WatershedError(
                f"{self.path}: the topic classifier {why}", "correct the path or the SHA-256 of its recipe"
            )


Labelling = TopicRules | TopicClassifier


def topics_of(text: pa.Array, host: pa.Array, labelling: Labelling) -> pa.StringArray:
    """The topic of each document; `text` and `host` may be null."""
    if isinstance(labelling, TopicClassifier):
        labels, _ = load_once(labelling.path).predict(joined_lines(text), joined=True)
        return pc.fill_null(pc.replace_substring(labels, LABEL, "", max_replacements=1), labelling.otherwise)
    names = pa.array([*(topic.name for topic in labelling.topics), labelling.otherwise], pa.string())
    occurrences = np.stack([_occurrences(text, topic.words) for topic in labelling.topics])
    best = occurrences.argmax(axis=0)
    best[occurrences.max(axis=0) < labelling.at_least] = len(labelling.topics)
    for number in reversed(range(len(labelling.topics))):
        best[_on_hosts(host, labelling.topics[number].hosts)] = number
    return names.take(pa.array(best))


def _occurrences(text: pa.Array, words: tuple[str, ...]) -> np.ndarray:
    if not words:
        return np.zeros(len(text), np.int64)
    pattern = "|".join(_whole(word) for word in sorted(words, key=lambda word: (-len(word), word)))
    found = pc.count_substring_regex(text, pattern=pattern, ignore_case=True)
    return pc.fill_null(found, 0).to_numpy(zero_copy_only=False).astype(np.int64)


def _whole(word: str) -> str:
    """A pattern that matches the word but not a part of another; RE2 knows word bounds of ASCII only."""
    before, after = (r"\b" if re.match(r"(?a:\w)", letter) else "" for letter in (word[0], word[-1]))
    return f"{before}{re.escape(word)}{after}"


def _on_hosts(host: pa.Array, hosts: tuple[str, ...]) -> np.ndarray:
    if not hosts:
        return np.zeros(len(host), np.bool_)
    pattern = rf"(^|\.)({'|'.join(re.escape(each.lower()) for each in hosts)})$"
    found = pc.match_substring_regex(host, pattern=pattern, ignore_case=True)
    return pc.fill_null(found, False).to_numpy(zero_copy_only=False)
