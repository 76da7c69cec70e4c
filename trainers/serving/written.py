"""The text of a reply while its tokens arrive: whole characters only, cut before the first stop string."""

from __future__ import annotations

from collections.abc import Sequence

from trainers.serving.tokenizers import TextTokenizer

UNFINISHED = "�"
CONTEXT = 8
"""Tokens before new ones that are decoded with them, because a tokenizer may drop a space at the start of a text."""


class Written:
    """A reply that grows.

    What may still change is held back: a character whose last bytes are missing, and text that a stop string may begin
    with.

    Args:
        tokenizer: makes text of tokens.
        stops: texts that end the reply and are not part of it.
        lead: is left out where the reply begins with it.
    """

    def __init__(self, tokenizer: TextTokenizer, stops: Sequence[str] = (), lead: str = "") -> None:
        self._tokenizer, self._stops, self._lead = tokenizer, tuple(stops), lead
        self._tokens: list[int] = []
        self._decoded = 0
        """Tokens whose text is in `_text`."""
        self._text = ""
        self._given = 0
        """Characters of `_text` that were given out."""
        self.stopped = False
        """Whether a stop string was written."""

    @property
    def text(self) -> str:
        """All that was given out."""
        return self._text[: self._given]

    def add(self, token: int) -> str:
        """The text that a token adds, as far as it is certain."""
        self._tokens.append(token)
        new = self._new_text()
        if new.endswith(UNFINISHED):
            return ""
        return self._take(new)

    def end(self) -> str:
        """The text that was held back, at the end of the reply."""
        if self.stopped:
            return ""
        found = self._take(self._new_text())
        if self.stopped:
            return found
        rest = self._text[self._given :]
        self._given = len(self._text)
        return found + rest

    def _new_text(self) -> str:
        start = max(0, self._decoded - CONTEXT)
        before = self._tokenizer.decode(self._tokens[start : self._decoded])
        return self._tokenizer.decode(self._tokens[start:])[len(before) :]

    def _take(self, new: str) -> str:
        searched = max(0, len(self._text) - max(map(len, self._stops), default=0))
        if new:
            new, self._lead = new.removeprefix(self._lead), ""
        self._text += new
        self._decoded = len(self._tokens)
        found = [place for stop in self._stops if (place := self._text.find(stop, searched)) >= 0]
        if found:
            self.stopped = True
            self._text = self._text[: min(found)]
        certain = len(self._text) - (0 if self.stopped else self._held_back())
        given, self._given = self._text[self._given : certain], max(certain, self._given)
        return given

    def _held_back(self) -> int:
        """Characters at the end that a stop string begins with."""
        for size in range(max(map(len, self._stops), default=1) - 1, 0, -1):
            if any(stop.startswith(self._text[-size:]) for stop in self._stops if len(stop) > size):
                return min(size, len(self._text))
        return 0
