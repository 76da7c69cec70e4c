"""When a document counts as contaminated by an evaluation example."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from catalog.errors import WatershedError

MOST_WORDS = 1000
"""Words of an n-gram, at most."""


class Measure(StrEnum):
    """What the share of a text that a document holds is a share of."""

    WORDS = "words"
    """Its words: those in n-grams that the document has."""
    NGRAMS = "ngrams"
    """Its distinct n-grams."""


@dataclass(frozen=True, kw_only=True)
class Decontamination:
    """A rule. The defaults are those of the rule `fields`.

    The rule of Tulu 3 (arXiv 2411.15124, section 3.2), for the prompts of an instruction set, is
    `Decontamination(rule="tulu3", n=8, share=0.5, strict=True, weighted=False, folding=False, short=False, whole=0,
    least_words=0)`.
    """

    rule: str = "fields"
    """Its name."""
    n: int = 5
    """Words of an n-gram."""
    share: float = 0.7
    """Least share of a text of an example in a contaminated document; at 0, one n-gram is enough."""
    strict: bool = False
    """The share must be exceeded, not only reached."""
    measure: Measure = Measure.WORDS
    fields: bool = True
    """The parts of an example (`fields.parts_of`) are compared each on its own, not all its text at once."""
    passages: bool = True
    """Passages are compared too. They often come from books and encyclopedias, which are then dropped."""
    weighted: bool = True
    """N-grams that many examples share weigh less, and n-grams of numbers, single letters and stop words nothing."""
    folding: bool = True
    """Unicode's compatibility forms, composition and apostrophes are folded."""
    short: bool = True
    """A text of fewer than n words is compared as a whole."""
    whole: int = 10
    """A text whose words weigh less together counts only if a document holds all of it, one word after the other."""
    least_words: int = 3
    """Distinct words, other than numbers, single letters and stop words, without which a text is not searched for."""
    listed: float = 0.5
    """Least share of a match that is reported."""

    def __post_init__(self) -> None:
        for name in ("n", "share"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise WatershedError(
                    f"decontamination: {name} {reprlib.repr(value)} is not a number", f"give {name} a number"
                )
        if not isinstance(self.passages, bool):
            raise WatershedError(f"decontamination: passages {reprlib.repr(self.passages)}", "set it to true or false")
        if self.weighted and not self.short:
            raise WatershedError("decontamination: weights need short texts", "set short, or unset weighted")
        if not isinstance(self.n, int) or not 1 <= self.n <= MOST_WORDS or not 0 <= self.share <= 1:
            raise WatershedError(
                f"decontamination: n-grams of {self.n:g} words, share {self.share:g}",
                f"set n to a whole number from 1 to {MOST_WORDS} and share to a number from 0 to 1",
            )


RULES: Mapping[str, Decontamination] = {
    "fields": Decontamination(),
    "ngram": Decontamination(
        rule="ngram",
        n=13,
        share=0.0,
        measure=Measure.NGRAMS,
        fields=False,
        weighted=False,
        folding=False,
        short=False,
        whole=0,
        least_words=0,
        listed=0.0,
    ),
}
"""The rules by name. By `ngram`, that of GPT-3 (Brown et al. 2020, arXiv 2005.14165, appendix C), a document that has
one of an example's 13-grams is contaminated."""
