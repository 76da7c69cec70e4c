"""How much the n-grams and the words of evaluation texts say: nothing, if they are numbers, stop words or the prompt.

An n-gram of one example weighs 1. The weight falls with the logarithm of the number of examples of the same evaluation
that share it, and is 0 from a twentieth of them on, because that is the frame of the prompt ("which of the following").
Frames at the beginning and the end of a text are cut off, so that the rest is found without them. A word weighs as much
as the n-grams that contain it on average.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spark_jobs.contamination.stop_words import stop_word_hashes

if TYPE_CHECKING:
    from spark_jobs.kernels.overlap import Words

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

LEAST, MOST, PART = 5, 100, 20
"""An n-gram that a twentieth of the examples share weighs nothing, but at least 5 and at most 100 of them."""


def speaking_words(words: Words) -> Bools:
    """For each word, whether it is neither a number nor a single letter nor a stop word."""
    return ~words.bare & ~np.isin(words.hashes, stop_word_hashes())


def distinct_words(words: Words, wanted: Bools) -> Ints:
    """For each text the number of distinct words that are wanted."""
    texts = len(words.ends) - 1
    owner, hashes = np.repeat(np.arange(texts), np.diff(words.ends))[wanted], words.hashes[wanted]
    order = np.lexsort((hashes, owner))
    owner, hashes = owner[order], hashes[order]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (owner[1:] != owner[:-1]) | (hashes[1:] != hashes[:-1])
    return np.bincount(owner[fresh], minlength=texts)


def without_frame(words: Words, groups: Ints, n: int) -> tuple[Words, Floats]:
    """The texts of an evaluation without the frame at their beginning and end, and the weights of their n-grams.

    Args:
        words: the words of the texts.
        groups: for each text a number; texts with the same number count as one example.
        n: words of an n-gram; a shorter text has one, of all its words.

    Returns:
        the words that are left, and the weight of each of their n-grams, from 0 to 1, as `ngrams_of` orders them.
    """
    from spark_jobs.kernels.overlap import Words, ngrams_of

    ends, grams = ngrams_of(words, n, whole=True)
    owner, first, behind = _spans(ends, words.ends, n)
    rarity = _rarity(grams, groups[owner])
    size = len(words.hashes) + 1
    frames = rarity == 0
    depth = np.bincount(first[frames], minlength=size) - np.bincount(behind[frames], minlength=size)
    inner = np.flatnonzero(np.cumsum(depth)[:-1] == 0)
    texts = len(ends) - 1
    text = np.searchsorted(words.ends, inner, "right") - 1
    fresh = np.ones(len(inner), np.bool_)
    fresh[1:] = text[1:] != text[:-1]
    begins, stops = np.zeros(texts, np.int64), np.zeros(texts, np.int64)
    begins[text[fresh]] = inner[fresh]
    stops[text[np.append(fresh[1:], True)[: len(fresh)]]] = inner[np.append(fresh[1:], True)[: len(fresh)]] + 1
    place = np.arange(len(words.hashes))
    of_word = np.repeat(np.arange(texts), np.diff(words.ends))
    inside = (place >= begins[of_word]) & (place < stops[of_word])
    left = Words(np.concatenate([[0], np.cumsum(stops - begins)]), words.hashes[inside], words.bare[inside])
    long = stops - begins >= n
    left_ends, left_grams = ngrams_of(left, n, whole=True)
    weights = np.ones(len(left_grams), np.float32)
    weights[np.repeat(long, np.diff(left_ends))] = rarity[
        long[owner] & (first >= begins[owner]) & (behind <= stops[owner])
    ]
    owner, first, behind = _spans(left_ends, left.ends, n)
    return left, weights * (_has_two_words(left, first, behind - 1) | ~long[owner])


def _spans(ends: Ints, word_ends: Ints, n: int) -> tuple[Ints, Ints, Ints]:
    """For each n-gram its text, its first word and the word after it, counted over all texts."""
    owner = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    first = word_ends[owner] + np.arange(len(owner)) - ends[owner]
    return owner, first, np.minimum(first + n, word_ends[owner + 1])


def word_weights(weights: Floats, ends: Ints, word_ends: Ints, n: int) -> Floats:
    """The weight of each word: the mean weight of the n-grams that contain it.

    Args:
        weights: the weights of the n-grams.
        ends: the n-grams of text i are those from `ends[i]` to `ends[i + 1]`.
        word_ends: the words of text i are those from `word_ends[i]` to `word_ends[i + 1]`.
        n: words of an n-gram; a text with fewer words has at most one, of all its words.
    """
    _, first, behind = _spans(ends, word_ends, n)
    size = int(word_ends[-1]) + 1
    added = np.bincount(first, weights, size) - np.bincount(behind, weights, size)
    number = np.bincount(first, minlength=size) - np.bincount(behind, minlength=size)
    return (np.cumsum(added)[:-1] / np.maximum(np.cumsum(number)[:-1], 1)).astype(np.float32)


def _has_two_words(words: Words, first: Ints, last: Ints) -> Bools:
    """For each n-gram, whether it has two different words that say something."""
    places = np.flatnonzero(speaking_words(words))
    differ = words.hashes[places][1:] != words.hashes[places][:-1]
    # For each word, the latest place before which another word than the one at a place up to it says something.
    before = np.full(len(words.hashes), -1)
    before[places[1:][differ]] = places[:-1][differ]
    return np.maximum.accumulate(before)[last] >= first


def _rarity(grams: npt.NDArray[np.uint64], groups: Ints) -> Floats:
    """For each n-gram, 1 if one example has it, falling to 0 if many have it."""
    order = np.lexsort((groups, grams))
    ordered, group = grams[order], groups[order]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = ordered[1:] != ordered[:-1]
    other = fresh.copy()
    other[1:] |= group[1:] != group[:-1]
    number = np.cumsum(fresh) - 1
    having = np.bincount(number, other)[number]
    most = min(MOST, max(LEAST, len(np.unique(groups)) / PART))
    weights = np.empty(len(order), np.float32)
    weights[order] = np.maximum(0, 1 - np.log(having) / np.log(most))
    return weights
