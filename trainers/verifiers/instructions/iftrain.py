"""The 29 kinds that IFTrain adds (open-instruct's IFEvalG; arXiv 2507.02833), by what their instructions say.

Where the published checks say otherwise than their instructions, the instruction is followed:

- A word is what white space separates, without the punctuation around it. The published `counting_composition`,
  `count_unique`, `keyword_specific_position` and `start_end` count punctuation as words.
- `counting_composition` accepts `* * *`, which its instruction names, beside `***`.
- `palindrome` needs three letters; the published check passes on the words I and a.
- `exclude_word_harder` finds the word beside punctuation and in any case of letters.
- `repeat_phrase` needs one changed word in every repetition; the published check asks it of the last alone.
- `copy_span_idx` accepts the span with and without the character at `n_end`.
- `word_count_different_numbers` without a relation means exactly that number of times.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from trainers.verifiers.instructions.ifeval import letter_frequency, whole_word
from trainers.verifiers.instructions.kinds import compared, count, kind, letter, positive, raw_text, relation
from trainers.verifiers.instructions.kinds import text as one_text
from trainers.verifiers.instructions.texts import divided, sentences, spaced_words

LETTERS = re.compile(r"[a-zA-Z]")
LOWERCASE = re.compile(r"\b[a-z]+\b")
JOINED = re.compile(r"(?<=[.!?])(\s{0,3})-(\s{0,3})")
DIVIDER = re.compile(r"\s?\*\s?\*\s?\*\s?")
EMPTY_LINE = re.compile(r"\n\n")


@kind("copy:repeat_phrase", phrase=one_text, small_n=positive)
def repeat_phrase(reply: str, phrase: str, small_n: int) -> str:
    """Repeat a phrase exactly a number of times, each time with one word in its middle replaced."""
    model, given = spaced_words(phrase), spaced_words(reply)
    found = at = 0
    while at + len(model) <= len(given):
        window = given[at : at + len(model)]
        changes = sum(ours != theirs for ours, theirs in zip(window, model, strict=True))
        if window[0] != model[0] or window[-1] != model[-1] or changes > 1:
            at += 1
            continue
        if changes == 0:
            return "the phrase is repeated without a change"
        found, at = found + 1, at + len(model)
    return "" if found == small_n else f"{found} changed repetitions of the phrase, not {small_n}"


@kind("copy:copy", prompt_to_repeat=raw_text)
def copy(reply: str, prompt_to_repeat: str) -> str:
    """Copy the instruction word for word and write nothing else."""
    return "" if _same(reply, prompt_to_repeat) else "the reply is not the text to copy"


@kind("copy:copying_simple", prompt_to_repeat=raw_text)
def copying_simple(reply: str, prompt_to_repeat: str) -> str:
    """Repeat the request without a change and do not answer it."""
    return "" if _same(reply, prompt_to_repeat) else "the reply is not the request"


@kind("copy:copying_multiple", prompt_to_repeat=raw_text, N=positive)
def copying_multiple(reply: str, prompt_to_repeat: str, N: int) -> str:
    """Repeat the request a number of times, separated by six asterisks."""
    pieces = reply.split("******")
    if len(pieces) != N:
        return f"{len(pieces)} copies, not {N}"
    return "" if all(_same(piece, prompt_to_repeat) for piece in pieces) else "a copy differs from the request"


@kind("new:copy_span_idx", prompt_to_repeat=raw_text, n_start=count, n_end=count)
def copy_span_idx(reply: str, prompt_to_repeat: str, n_start: int, n_end: int) -> str:
    """Copy the characters of the prompt between two indices, of which the first is 0."""
    spans = (prompt_to_repeat[n_start:n_end], prompt_to_repeat[n_start : n_end + 1])
    return "" if any(span.strip() and _same(reply, span) for span in spans) else "the reply is not the span"


def _same(reply: str, text: str) -> bool:
    return reply.strip().lower() == text.strip().lower()


@kind("detectable_format:sentence_hyphens")
def sentence_hyphens(reply: str) -> str:
    """Connect all sentences with hyphens, without spaces between them."""
    text = reply.strip()
    if any(joint[1] or joint[2] for joint in JOINED.finditer(text)):
        return "there is a space beside a hyphen"
    apart = next((piece for piece in JOINED.split(text) if len(sentences(piece)) > 1), None)
    return "" if apart is None else "two sentences are not connected by a hyphen"


@kind("detectable_format:square_brackets")
def square_brackets(reply: str) -> str:
    """Enclose every word in square brackets."""
    for word in reply.split():
        if not (len(word) > 2 and word[0] == "[" and word[-1] == "]"):
            return f"{word[:40]!r} is not in square brackets"
    return ""


@kind("detectable_format:bigram_wrapping")
def bigram_wrapping(reply: str) -> str:
    """Wrap every two words in double angular brackets: <<I am>> <<at home>>."""
    found = reply.split()
    pairs = list(zip(found[::2], found[1::2], strict=False))
    for first, second in pairs:
        if not (first.startswith("<<") and second.endswith(">>")):
            return f"{f'{first} {second}'[:60]!r} is not wrapped"
    return "" if pairs else "there are no two words"


@kind("keywords:no_adjacent_consecutive")
def no_adjacent_consecutive(reply: str) -> str:
    """Let no two adjacent words begin with consecutive letters of the alphabet."""
    found = [word.lower() for word in spaced_words(reply)]
    for first, second in pairwise(found):
        if "a" <= first[0] <= "y" and ord(second[0]) - ord(first[0]) == 1:
            return f"{first[:20]!r} and {second[:20]!r} begin with consecutive letters"
    return ""


@kind("keywords:word_once", keyword=one_text)
def word_once(reply: str, keyword: str) -> str:
    """Include a keyword exactly once."""
    found = reply.lower().count(keyword.lower())
    return "" if found == 1 else f"{keyword!r} is there {found} times, not once"


def optional_relation(value: Any) -> str:
    """A relation, or `exactly`."""
    return value if value == "exactly" else relation(value)


@kind("keywords:word_count_different_numbers", keyword=one_text, frequency=count, relation=optional_relation)
def word_count_different_numbers(reply: str, keyword: str, frequency: int, relation: str) -> str:
    """Include a keyword a number of times: less than, at least, or exactly."""
    found = reply.lower().count(keyword.lower())
    if relation == "exactly":
        return "" if found == frequency else f"{keyword!r} is there {found} times, not {frequency}"
    return compared(f"{keyword!r} occurrence", found, relation, frequency)


@kind("keywords:exclude_word_harder", keyword=one_text)
def exclude_word_harder(reply: str, keyword: str) -> str:
    """Do not include a keyword."""
    return f"the word {keyword!r} is there" if whole_word(keyword).search(reply) else ""


@kind("keywords:palindrome")
def palindrome(reply: str) -> str:
    """Include a palindrome: a word of at least three letters that reads the same backwards."""
    found = (word.lower() for word in spaced_words(reply))
    return "" if any(len(word) >= 3 and word == word[::-1] for word in found) else "there is no palindrome"


@kind("keywords:keyword_specific_position", keyword=one_text, n=positive, m=positive)
def keyword_specific_position(reply: str, keyword: str, n: int, m: int) -> str:
    """Write a keyword as the m-th word of the n-th sentence."""
    found = sentences(reply)
    if len(found) < n:
        return f"{len(found)} sentences, not {n}"
    inside = spaced_words(found[n - 1])
    if len(inside) < m:
        return f"sentence {n} has {len(inside)} words, not {m}"
    word = inside[m - 1]
    return "" if word.lower() == keyword.lower() else f"word {m} of sentence {n} is {word[:40]!r}, not {keyword!r}"


@kind("keywords:start_end")
def start_end(reply: str) -> str:
    """Begin and end with the same word, and write nothing after it, not even punctuation."""
    found = spaced_words(reply)
    if len(found) < 2:
        return "there are not two words"
    if not reply.rstrip().endswith(found[-1]):
        return "something follows the last word"
    return "" if found[0].lower() == found[-1].lower() else f"{found[0][:20]!r} is not {found[-1][:20]!r}"


@kind("paragraphs:paragraphs")
def paragraphs(reply: str) -> str:
    """Write two paragraphs, separated by the Markdown divider ***."""
    return _two(divided(reply))


@kind("paragraphs:paragraphs2")
def paragraphs2(reply: str) -> str:
    """Write two paragraphs, separated by two line breaks."""
    return _two(divided(reply, EMPTY_LINE))


def _two(found: list[str] | None) -> str:
    if found is None:
        return "a paragraph is empty"
    return "" if len(found) == 2 else f"{len(found)} paragraphs, not 2"


@kind("first_word:first_word_sent", first_word=one_text)
def first_word_sent(reply: str, first_word: str) -> str:
    """Begin every sentence with a word."""
    return _each_sentence(reply, first_word, 0)


@kind("first_word:first_word_answer", first_word=one_text)
def first_word_answer(reply: str, first_word: str) -> str:
    """Begin the reply with a word."""
    found = spaced_words(reply)
    return "" if found and found[0].lower() == first_word.lower() else f"the first word is not {first_word!r}"


@kind("last_word:last_word_sent", last_word=one_text)
def last_word_sent(reply: str, last_word: str) -> str:
    """End every sentence, before punctuation, with a word."""
    return _each_sentence(reply, last_word, -1)


@kind("last_word:last_word_answer", last_word=one_text)
def last_word_answer(reply: str, last_word: str) -> str:
    """End the reply, before punctuation, with a word."""
    found = spaced_words(reply)
    return "" if found and found[-1].lower() == last_word.lower() else f"the last word is not {last_word!r}"


def _each_sentence(reply: str, word: str, place: int) -> str:
    for number, sentence in enumerate(sentences(reply), start=1):
        found = spaced_words(sentence)
        if not found or found[place].lower() != word.lower():
            return f"the {'last' if place else 'first'} word of sentence {number} is not {word!r}"
    return ""


@kind("punctuation:punctuation_dot")
def punctuation_dot(reply: str) -> str:
    """Use no dot."""
    return "there is a dot" if "." in reply else ""


@kind("punctuation:punctuation_exclamation")
def punctuation_exclamation(reply: str) -> str:
    """Use no exclamation mark."""
    return "there is an exclamation mark" if "!" in reply else ""


@kind("count:lowercase_counting", N=count)
def lowercase_counting(reply: str, N: int) -> str:
    """Use at most a number of words in small letters."""
    found = len(LOWERCASE.findall(reply))
    return "" if found <= N else f"{found} words in small letters, more than {N}"


@kind("letters:letter_counting", N=count, relation=relation)
def letter_counting(reply: str, N: int, relation: str) -> str:
    """Answer with fewer letters than, or at least, a number of them."""
    return compared("letter", len(LETTERS.findall(reply)), relation, N)


@kind("letters:letter_counting2", letter=letter, let_frequency=count, let_relation=relation)
def letter_counting2(reply: str, letter: str, let_frequency: int, let_relation: str) -> str:
    """Use a letter, in either case, less often than or at least as often as a number of times."""
    return letter_frequency(reply, letter, let_frequency, let_relation)


@kind("count:counting_composition", n_sent=positive, n_words=positive)
def counting_composition(reply: str, n_sent: int, n_words: int) -> str:
    """Write three paragraphs, separated by * * *, each of n sentences of n words."""
    found = divided(reply, DIVIDER)
    if found is None or len(found) != 3:
        return "there are not three paragraphs"
    for number, paragraph in enumerate(found, start=1):
        inside = sentences(paragraph)
        if len(inside) != n_sent:
            return f"paragraph {number} has {len(inside)} sentences, not {n_sent}"
        if wrong := next((each for each in inside if len(spaced_words(each)) != n_words), None):
            return f"a sentence of paragraph {number} has {len(spaced_words(wrong))} words, not {n_words}"
    return ""


@kind("count:count_unique")
def count_unique(reply: str) -> str:
    """Use no word twice."""
    seen: set[str] = set()
    for word in spaced_words(reply):
        if word.lower() in seen:
            return f"the word {word[:40]!r} is repeated"
        seen.add(word.lower())
    return "" if seen else "there is no word"


@kind("count:count_increment_word", keyword1=one_text, keyword2=one_text)
def count_increment_word(reply: str, keyword1: str, keyword2: str) -> str:
    """Include one keyword once and another twice."""
    once, twice = (reply.lower().count(each.lower()) for each in (keyword1, keyword2))
    return "" if (once, twice) == (1, 2) else f"{keyword1!r} {once} times and {keyword2!r} {twice} times, not 1 and 2"
