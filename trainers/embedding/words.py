"""BM25 over a few thousand texts in memory: which documents share the words of a query, as hard negatives."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

K1, B = 1.5, 0.75


def words_of(text: str) -> list[str]:
    """The words of a text in lower case."""
    return re.findall(r"\w+", text.lower())


class WordIndex:
    """Documents by the words that they hold (BM25 with k1 = 1.5, b = 0.75, and Lucene's inverse frequency).

    Example:
        >>> WordIndex(["ice flows", "seas are salty", "ice melts"]).nearest("why does ice flow?", 3)
        [0, 2]
    """

    def __init__(self, documents: Sequence[str]) -> None:
        counts = [Counter(words_of(text)) for text in documents]
        self._place = {
            word: place for place, word in enumerate(dict.fromkeys(word for each in counts for word in each))
        }
        holding = Counter(word for each in counts for word in each)
        mean = max(sum(each.total() for each in counts) / max(len(counts), 1), 1.0)
        values, columns, ends = [], [], [0]
        for each in counts:
            room = K1 * (1 - B + B * each.total() / mean)
            for word, count in each.items():
                rarity = np.log(1 + (len(counts) - holding[word] + 0.5) / (holding[word] + 0.5))
                values.append(rarity * count * (K1 + 1) / (count + room))
                columns.append(self._place[word])
            ends.append(len(values))
        self._weights = csr_matrix((values, columns, ends), shape=(len(counts), max(len(self._place), 1)))

    def scores(self, query: str) -> NDArray[np.float64]:
        """(documents,): how well each document fits the words of a query; 0 for one that has none of them."""
        asked = np.zeros(self._weights.shape[1])
        for word, count in Counter(words_of(query)).items():
            if word in self._place:
                asked[self._place[word]] = count
        return np.asarray(self._weights @ asked, dtype=np.float64)

    def nearest(self, query: str, count: int) -> list[int]:
        """Places of the documents that fit best, best first, at most `count`; those that share no word are left out."""
        scores = self.scores(query)
        return [int(place) for place in np.argsort(-scores, kind="stable")[:count] if scores[place] > 0]
