"""Replies of OpenAI's protocol, made of the pieces that the engine reports.

Beside its fields are vLLM's `prompt_token_ids` and `token_ids`, for requests with `return_token_ids`: exactly the
tokens that the model read and that were drawn from it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trainers.serving.engine import Piece
from trainers.serving.sampling import Likelihood
from trainers.serving.tokenizers import TextTokenizer


@dataclass
class Choice:
    """A reply as far as it is written."""

    prompt: tuple[int, ...]
    text: str = ""
    tokens: list[int] = field(default_factory=list)
    likelihoods: list[Likelihood] = field(default_factory=list)
    prompt_likelihoods: tuple[Likelihood | None, ...] = ()
    reused: int = 0
    """Tokens of the prompt that were copied from another text in the server's cache."""
    finish: str | None = None

    def add(self, piece: Piece) -> None:
        """Take a piece in."""
        self.text += piece.text
        self.tokens += piece.tokens
        self.likelihoods += piece.likelihoods
        self.prompt_likelihoods = self.prompt_likelihoods or piece.prompt_likelihoods
        self.reused += piece.reused
        self.finish = piece.finish


@dataclass(frozen=True, kw_only=True)
class Form:
    """What all parts of a reply have, and what was asked of them."""

    tokenizer: TextTokenizer
    model: str
    fingerprint: str
    """Names the weights and how they are computed."""
    chat: bool
    token_ids: bool
    logprobs: bool
    echo: bool = False
    choices: int = 1
    """Of each prompt: the choices of the first prompt come first."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def head(self, stream: bool) -> dict[str, Any]:
        """The fields of the reply itself."""
        kind = "chat.completion" if self.chat else "text_completion"
        return {
            "id": f"{'chatcmpl' if self.chat else 'cmpl'}-{self.id}",
            "object": f"{kind}.chunk" if self.chat and stream else kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }

    def whole(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """A reply in one piece."""
        made = self.head(stream=False) | {
            "choices": [self._whole_choice(number, choice) for number, choice in enumerate(choices)],
            "usage": self.usage(choices),
        }
        if self.chat and self.token_ids:
            made["prompt_token_ids"] = list(choices[0].prompt)
        return made

    def _whole_choice(self, number: int, choice: Choice) -> dict[str, Any]:
        made: dict[str, Any] = {"index": number, "finish_reason": choice.finish, "logprobs": None}
        if self.chat:
            made["message"] = {"role": "assistant", "content": choice.text, "refusal": None}
            if self.logprobs:
                made["logprobs"] = self._chat_logprobs(choice.tokens, choice.likelihoods)
        else:
            before = self.tokenizer.decode(choice.prompt) if self.echo else ""
            made["text"] = before + choice.text
            if self.logprobs:
                made["logprobs"] = self._completion_logprobs(choice)
        if self.token_ids:
            made["token_ids"] = list(choice.tokens)
            if not self.chat:
                made["prompt_token_ids"] = list(choice.prompt)
        return made

    def chunk(self, number: int, piece: Piece, choice: Choice, *, first: bool) -> dict[str, Any]:
        """A part of a streamed reply. `choice` has taken `piece` in."""
        made: dict[str, Any] = {"index": number, "finish_reason": piece.finish, "logprobs": None}
        if self.chat:
            made["delta"] = ({"role": "assistant"} if first else {}) | {"content": piece.text}
            if self.logprobs:
                made["logprobs"] = self._chat_logprobs(piece.tokens, piece.likelihoods)
        else:
            before = self.tokenizer.decode(choice.prompt) if self.echo and first else ""
            made["text"] = before + piece.text
            if self.logprobs:
                alone = Choice(choice.prompt, piece.text, list(piece.tokens), list(piece.likelihoods))
                alone.prompt_likelihoods = piece.prompt_likelihoods
                made["logprobs"] = self._completion_logprobs(alone)
        if self.token_ids:
            made["token_ids"] = list(piece.tokens)
            if first and not self.chat:
                made["prompt_token_ids"] = list(choice.prompt)
        whole = self.head(stream=True) | {"choices": [made]}
        if self.chat and self.token_ids and first:
            whole["prompt_token_ids"] = list(choice.prompt)
        return whole

    def usage(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """Tokens of the prompts, each counted once, those of them that were in the cache, and tokens written."""
        once = choices[:: self.choices]
        read, reused = sum(len(choice.prompt) for choice in once), sum(choice.reused for choice in once)
        written = sum(len(choice.tokens) for choice in choices)
        counts = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        return counts | {"prompt_tokens_details": {"cached_tokens": reused}}

    def _chat_logprobs(self, tokens: Sequence[int], found: Sequence[Likelihood]) -> dict[str, Any]:
        content = []
        for token, likelihood in zip(tokens, found, strict=True):
            top = [self._entry(other, logprob) for other, logprob in likelihood.top]
            content.append(self._entry(token, likelihood.logprob) | {"top_logprobs": top})
        return {"content": content, "refusal": None}

    def _entry(self, token: int, logprob: float) -> dict[str, Any]:
        spelt = self.tokenizer.token_bytes(token)
        made = {"token": spelt.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(spelt)}
        return made | ({"token_id": token} if self.token_ids else {})

    def _completion_logprobs(self, choice: Choice) -> dict[str, Any]:
        tokens, found = list(choice.tokens), list[Likelihood | None](choice.likelihoods)
        if self.echo and choice.prompt_likelihoods:
            tokens, found = [*choice.prompt, *tokens], [*choice.prompt_likelihoods, *found]
        names = [self._name(token) for token in tokens]
        offsets, at = [], 0
        for name in names:
            offsets.append(at)
            at += len(name)
        return {
            "tokens": names,
            "token_logprobs": [None if each is None else each.logprob for each in found],
            "top_logprobs": [
                None if each is None else {self._name(other): logprob for other, logprob in each.top} for each in found
            ],
            "text_offset": offsets,
        }

    def _name(self, token: int) -> str:
        """The text of a token; one that is not a whole text gets its bytes as OpenAI writes them, bytes:\\xe2\\x82."""
        spelt = self.tokenizer.token_bytes(token)
        try:
            return spelt.decode("utf-8")
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in spelt)
