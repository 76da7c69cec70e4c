"""Continuous batching: requests join and leave a running batch between steps (Orca, OSDI 2022).

One thread owns the model. A step reads a part of the oldest waiting prompt, then writes one token of every live row.
Prompts are read by themselves, from where they differ from every text in the cache, and every request draws from its
own generator: what a request gets depends on other requests in the rounding of floats alone. When the cache is full,
the youngest row goes back to the front of the queue, and its tokens are read again later.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from trainers.serving.pictures import Picture
from trainers.serving.prefixes import LEAST, common
from trainers.serving.sampling import Chooser, Likelihood, Sampling, choose, likelihoods
from trainers.serving.steps import Steps
from trainers.serving.tokenizers import TextTokenizer
from trainers.serving.written import Written

Reason = Literal["stop", "length", "error"]


class Full(Exception):
    """The queue has no room."""


class Closing(Exception):
    """The engine takes no more requests."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of the model."""

    prompt: tuple[int, ...]
    most: int
    """Tokens that are written at most; prompt and these fit into the model's length. 0: the prompt is only scored."""
    sampling: Sampling
    ends: frozenset[int] = frozenset()
    """Tokens that end the reply."""
    stops: tuple[str, ...] = ()
    """Texts that end the reply and are not part of its text."""
    top: int | None = None
    """How many of the likeliest tokens are reported beside each token's log-probability; None: neither."""
    score_prompt: bool = False
    """Whether `top` goes for the tokens of the prompt too."""
    picture: Picture | None = None
    """What the prompt begins with."""
    lead: str = ""
    """A text that is left out where the reply begins with it."""

    @property
    def names(self) -> list[int]:
        """What stands for each token of the prompt where texts are compared: the token, but for a picture's."""
        shown = self.picture.names if self.picture else ()
        return [*shown, *self.prompt[len(shown) :]]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What a step adds to a reply."""

    text: str = ""
    tokens: tuple[int, ...] = ()
    likelihoods: tuple[Likelihood, ...] = ()
    """One a token, if they were asked for."""
    prompt_likelihoods: tuple[Likelihood | None, ...] = ()
    """One a token of the prompt, in the first piece, if they were asked for; None for the first token."""
    reused: int = 0
    """In the first piece: tokens of the prompt that were copied from another text in the cache."""
    finish: Reason | None = None
    cause: str = ""
    """Of finish "error"."""


@dataclass(eq=False)
class Ticket:
    """A request on its way."""

    request: Request
    on_piece: Callable[[Piece], object]
    """Called in the engine's thread; it must return at once."""
    chooser: Chooser
    written: Written
    tokens: list[int]
    """The prompt and what was written after it."""
    names: list[int]
    """What stands for each of them where texts are compared."""
    begun_ZD: Tensor | None = None
    """Embeddings of the picture's tokens, while those are read."""
    cached: int = 0
    """Tokens whose keys and values are in the cache."""
    opened: int = 0
    """Where the document of the last cached token began."""
    reused: int = 0
    """Tokens that were copied from another text in the cache."""
    scored: list[Likelihood | None] = field(default_factory=list)
    cancelled: bool = False


class Engine:
    """A thread that answers requests, many at a time.

    Args:
        steps: the model and its cache.
        tokenizer: makes text of tokens, for stop strings.
        most_rows: requests that are answered at the same time.
        queue: requests that wait at most.
        part: tokens of a prompt that are read in one step.
        pictures: pictures of requests that wait, at most: their pixels are in memory.
    """

    def __init__(
        self, steps: Steps, tokenizer: TextTokenizer, *, most_rows: int, queue: int, part: int, pictures: int = 64
    ) -> None:
        self._steps, self._tokenizer, self._pictures = steps, tokenizer, pictures
        self._most_rows, self._queue, self._part = most_rows, queue, part
        self._changed = threading.Condition()
        self._waiting: deque[Ticket] = deque()
        self._rows: list[Ticket] = []
        """The live rows in the order of the cache; the last one may still be read."""
        self._reading = False
        self._closing = False
        self.tokens_written = 0
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def length(self) -> int:
        """Tokens of prompt and reply together, at most."""
        return self._steps.cache.length

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._steps.device

    def start(self) -> None:
        """Start to answer."""
        self._thread.start()

    def state(self) -> dict[str, int]:
        """How many requests are running and waiting, and the tokens written so far."""
        return {"running": len(self._rows), "waiting": len(self._waiting), "tokens_written": self.tokens_written}

    def submit(self, requests: Sequence[Request], on_piece: Callable[[int, Piece], object]) -> list[Ticket]:
        """Queue requests, all of them or none; `on_piece` is called in the engine's thread with a request's number.

        Raises:
            Full: they do not fit into the queue.
            Closing: the engine is about to end.
        """
        tickets = [
            Ticket(
                request=request,
                on_piece=lambda piece, number=number: on_piece(number, piece),
                chooser=Chooser(request.sampling),
                written=Written(self._tokenizer, request.stops, request.lead),
                tokens=list(request.prompt),
                names=request.names,
            )
            for number, request in enumerate(requests)
        ]
        with self._changed:
            if self._closing:
                raise Closing
            if self._waiting and len(self._waiting) + len(tickets) > self._queue:
                raise Full
            shown = {id(each.request.picture) for each in (*self._waiting, *tickets) if each.request.picture}
            if self._waiting and len(shown) > self._pictures:
                raise Full
            self._waiting.extend(tickets)
            self._changed.notify()
        return tickets

    def cancel(self, tickets: Sequence[Ticket]) -> None:
        """End requests whose asker is gone; nothing more is reported of them."""
        with self._changed:
            for ticket in tickets:
                ticket.cancelled = True
            self._changed.notify()

    def close(self) -> None:
        """Take no more requests, answer those that were taken, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def join(self, seconds: float) -> bool:
        """Wait for the end; whether it came in time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._rows or self._closing):
                    self._changed.wait()
                if self._closing and not (self._waiting or self._rows):
                    return
                self._waiting = deque(ticket for ticket in self._waiting if not ticket.cancelled)
            try:
                self._step()
            except Exception as error:  # whatever a step dies of, the requests in it must be answered
                traceback.print_exc(file=sys.stderr)
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        failed, self._rows, self._reading = self._rows, [], False
        self._steps.cache.clear()
        if self._steps.device.type == "cuda":
            torch.cuda.empty_cache()
        for ticket in failed:
            ticket.on_piece(Piece(finish="error", cause=f"the model failed: {type(error).__name__}"))

    def _step(self) -> None:
        for ticket in [ticket for ticket in self._rows if ticket.cancelled]:
            self._remove(ticket)
        self._join()
        if self._reading:
            self._read_part()
        writing = len(self._rows) - self._reading
        if writing:
            self._write(writing)

    def _remove(self, ticket: Ticket) -> None:
        """Take a row away; the last written one takes its place, and the one that is read the place of that."""
        row = self._rows.index(ticket)
        if self._reading and row == len(self._rows) - 1:
            self._reading = False
        last = len(self._rows) - 1 - self._reading
        if row < last:
            self._steps.cache.move(last, row, self._rows[last].cached)
            self._rows[row] = self._rows[last]
        if self._reading:
            self._steps.cache.move(len(self._rows) - 1, last, self._rows[-1].cached)
            self._rows[last] = self._rows[-1]
        self._rows.pop()

    def _join(self) -> None:
        """Let the oldest waiting request join, if no other is being read and there is room."""
        if self._reading or len(self._rows) >= self._most_rows:
            return
        with self._changed:
            if not self._waiting:
                return
            longest = max(len(ticket.tokens) + 1 for ticket in (*self._rows, self._waiting[0]))
            if self._rows and not self._steps.cache.fits(len(self._rows) + 1, min(longest, self.length)):
                return
            ticket = self._waiting.popleft()
        ticket.cached = ticket.opened = ticket.reused = 0
        ticket.scored, ticket.begun_ZD = [], None
        self._rows.append(ticket)
        self._reading = True
        if not ticket.request.score_prompt:
            self._reuse(ticket)

    def _reuse(self, ticket: Ticket) -> None:
        """Copy the keys and values of the longest beginning that another text in the cache has."""
        # The last token is read in any case, to know what follows it.
        wanted, row = ticket.names[:-1], len(self._rows) - 1
        alike = [(common(wanted, other.names[: other.cached]), place) for place, other in enumerate(self._rows[:-1])]
        live, source = max(alike, default=(0, 0))
        ended, text = self._steps.cache.kept.longest(wanted)
        found = max(live, ended)
        if found < LEAST or not self._make_room(found):
            return
        if text is not None and ended > live:
            self._steps.cache.restore(text, row, found)
        else:
            self._steps.cache.move(source, row, found)
        self._note_separators(ticket, ticket.tokens[:found])
        ticket.cached = ticket.reused = found

    def _read_part(self) -> None:
        ticket = self._rows[-1]
        # The last token is read to know what follows it.
        picture = ticket.request.picture
        begun, both_ways = (len(picture.tokens), picture.both_ways) if picture else (0, False)
        size = max(self._part, begun - ticket.cached) if both_ways else self._part
        part = ticket.tokens[ticket.cached : ticket.cached + size]
        end = ticket.cached + len(part)
        if not self._make_room(end):
            return
        if picture and ticket.cached < begun and ticket.begun_ZD is None:
            ticket.begun_ZD = picture.embed()
        row = len(self._rows) - 1
        begun_ZD = ticket.begun_ZD
        hidden_SD = self._steps.read(row, part, ticket.cached, ticket.opened, begun_ZD=begun_ZD, both_ways=both_ways)
        self._note_separators(ticket, part)
        ticket.cached = end
        if end >= begun:
            ticket.begun_ZD = None
        if ticket.request.score_prompt and len(ticket.tokens) == len(ticket.request.prompt):
            self._score(ticket, hidden_SD, part)
        if end < len(ticket.tokens):
            return
        self._reading = False
        if ticket.request.most == 0:
            self._finish(ticket, "length", prompt=tuple(ticket.scored))
            return
        self._accept([ticket], self._steps.logits(hidden_SD[-1:]))

    def _note_separators(self, ticket: Ticket, part: Sequence[int]) -> None:
        separator = self._steps.model.config.separator
        if separator >= 0 and separator in part:
            ticket.opened = ticket.cached + max(place for place, token in enumerate(part) if token == separator)

    def _score(self, ticket: Ticket, hidden_SD: Tensor, part: Sequence[int]) -> None:
        """Log-probabilities of the prompt's tokens after these; the last one's token is not known yet."""
        end = ticket.cached
        following = ticket.request.prompt[end - len(part) + 1 : end + 1]
        if not ticket.scored:
            ticket.scored.append(None)
        if following:
            logits_SV = self._steps.logits(hidden_SD[: len(following)])
            ticket.scored += likelihoods(logits_SV, following, [ticket.request.top or 0] * len(following))

    def _make_room(self, tokens: int) -> bool:
        """Reserve as many tokens a row; the youngest rows wait again if they do not fit.

        Returns:
            False if the row that is read waits again, and nothing was reserved.
        """
        cache = self._steps.cache
        longest = max(tokens, *(ticket.cached + 1 for ticket in self._rows))
        if not cache.fits(len(self._rows), longest) and self._reading and len(self._rows) > 1:
            self._wait_again(self._rows[-1])
            return False
        while len(self._rows) > 1 and not cache.fits(len(self._rows), longest):
            self._wait_again(self._rows[-1])
        cache.reserve(len(self._rows), min(longest, self.length), len(self._rows))
        return True

    def _wait_again(self, ticket: Ticket) -> None:
        self._remove(ticket)
        with self._changed:
            self._waiting.appendleft(ticket)

    def _write(self, writing: int) -> None:
        longest = max(ticket.cached for ticket in self._rows[:writing]) + 1
        self._make_room(longest)
        rows = self._rows[: min(writing, len(self._rows) - self._reading)]
        tokens = [ticket.tokens[ticket.cached] for ticket in rows]
        for ticket, token in zip(rows, tokens, strict=True):
            self._note_separators(ticket, [token])
        logits_NV = self._steps.write(tokens, [ticket.cached for ticket in rows], [ticket.opened for ticket in rows])
        for ticket in rows:
            ticket.cached += 1
        self._accept(rows, logits_NV)

    def _accept(self, rows: Sequence[Ticket], logits_NV: Tensor) -> None:
        """Choose the next token of each row and report it."""
        finite_N = torch.isfinite(logits_NV).all(-1).tolist()
        for ticket, whole in zip(rows, finite_N, strict=True):
            if not whole:
                self._finish(ticket, "error", cause="the model's logits are not finite")
        if not all(finite_N):
            rows = [ticket for ticket, whole in zip(rows, finite_N, strict=True) if whole]
            logits_NV = logits_NV[torch.tensor(finite_N, device=logits_NV.device)]
            if not rows:
                return
        chosen = choose(logits_NV, [ticket.chooser for ticket in rows])
        asked = [ticket.request.top is not None for ticket in rows]
        found: list[Likelihood] = []
        if any(asked):
            found = likelihoods(logits_NV, chosen, [ticket.request.top or 0 for ticket in rows])
        self.tokens_written += len(rows)
        for place, (ticket, token) in enumerate(zip(rows, chosen, strict=True)):
            self._report(ticket, token, (found[place],) if asked[place] else ())

    def _report(self, ticket: Ticket, token: int, likelihood: tuple[Likelihood, ...]) -> None:
        request = ticket.request
        ticket.tokens.append(token)
        ticket.names.append(token)
        number = len(ticket.tokens) - len(request.prompt)
        prompt = tuple(ticket.scored) if number == 1 else ()
        ended = token in request.ends
        # A marker that ends the reply has no text of its own; a token that only this request ends at has none either.
        text = "" if ended else ticket.written.add(token)
        reason: Reason | None = None
        if ended or ticket.written.stopped:
            reason = "stop"
        elif number >= request.most:
            reason = "length"
        if reason is None:
            reused = ticket.reused if number == 1 else 0
            ticket.on_piece(
                Piece(text=text, tokens=(token,), likelihoods=likelihood, prompt_likelihoods=prompt, reused=reused)
            )
            return
        self._finish(ticket, reason, text=text, tokens=(token,), likelihoods=likelihood, prompt=prompt)

    def _finish(
        self,
        ticket: Ticket,
        reason: Reason,
        *,
        text: str = "",
        tokens: tuple[int, ...] = (),
        likelihoods: tuple[Likelihood, ...] = (),
        prompt: tuple[Likelihood | None, ...] = (),
        cause: str = "",
    ) -> None:
        text += ticket.written.end()
        # A stop string may be found in what was held back.
        reason = "stop" if ticket.written.stopped else reason
        if reason != "error":
            self._steps.cache.keep(self._rows.index(ticket), ticket.names[: ticket.cached])
        self._remove(ticket)
        ticket.on_piece(
            Piece(
                text=text,
                tokens=tokens,
                likelihoods=likelihoods,
                prompt_likelihoods=prompt,
                # Pieces before this one, if there are any, have reported it.
                reused=ticket.reused if len(ticket.tokens) <= len(ticket.request.prompt) + 1 else 0,
                finish=reason,
                cause=cause,
            )
        )
