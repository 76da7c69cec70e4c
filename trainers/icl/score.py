"""Log-likelihoods of answers and greedy continuations, many at a time.

What the rows of an example share is read once and remembered: a question for all its choices, the solved examples for
both contexts of a schema. Examples of like length are read together. Logits are computed at scored places alone.

Shape suffixes: those of language_model.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainers.icl.tokens import Ints, Request
from trainers.process.errors import TrainerError
from trainers.serving.language_model import LanguageModel
from trainers.serving.tokenizers import Tokenizer

TOKEN_BYTES = 4
WRITTEN_TOGETHER = 4
"""Rows are written on this many times as many at a time as they would be scored."""
LOGITS_AT_A_TIME = 512
"""Places whose log-probabilities over the vocabulary are held at once."""


@dataclass(frozen=True)
class Scored:
    """An answer after its context."""

    logprob: float
    """Sum over its tokens, nats."""
    tokens: int
    greedy: bool
    """Each of its tokens is the likeliest where it stands."""


def batches(requests: Sequence[Request], most_new: int, batch_tokens: int) -> list[list[int]]:
    """Numbers of requests to read together, longest first; no more than `batch_tokens` tokens, padding counted.

    Those whose rows share nothing come last, by themselves: there is nothing to read before their rows.
    """
    shapes = [_shape(request, most_new) for request in requests]
    order = sorted(range(len(shapes)), key=lambda i: (not shapes[i][0], -shapes[i][2], -shapes[i][0], -shapes[i][1], i))
    found: list[list[int]] = []
    widest = [0, 0, 0]
    for i in order:
        wider = [max(a, b) for a, b in zip(widest, shapes[i], strict=True)]
        together = found and bool(shapes[found[-1][0]][0]) == bool(shapes[i][0])
        if together and (len(found[-1]) + 1) * max(wider[0] + wider[1], wider[2]) <= batch_tokens:
            found[-1].append(i)
            widest = wider
        else:
            found.append([i])
            widest = list(shapes[i])
    return found


def _shape(request: Request, most_new: int) -> tuple[int, int, int]:
    """Tokens read once, tokens of all rows after them, and what writing on counts as.

    A model writes a token a row at a time: many rows together cost little more than one, but for their memory.
    """
    tails = set(request.tails)
    rest = len(tails) * max(len(tail) for tail in tails) // TOKEN_BYTES
    written = 0 if request.generate is None else (len(request.generate) + most_new) // WRITTEN_TOGETHER
    return request.shared, rest, written


def loglikelihoods(model: LanguageModel, requests: Sequence[Request]) -> list[list[Scored]]:
    """Every row of every request, as its number of tokens and their sum of log-probabilities; one batch.

    The requests share something each, or none of them does.

    Raises:
        TrainerError: a token that the model does not know.
    """
    _check_tokens(model, [row.tokens for request in requests for row in request.rows])
    rows = [row for request in requests for row in request.rows]
    tails = [(at, tail) for at, request in enumerate(requests) for tail in request.tails]
    # Rows that differ in their last token alone, such as choices of a letter, are read as one.
    place_of = {tail: place for place, tail in enumerate(dict.fromkeys(tails))}
    memory = None
    if requests[0].shared:
        heads = [request.rows[0].tokens[: request.shared] for request in requests]
        _, memory = model.read(*_padded(heads, model.device, left=True), None, None)
        memory = model.select(memory, torch.tensor([at for at, _ in place_of], device=model.device))
    read = [np.frombuffer(tail, dtype=np.int32) for _, tail in place_of]
    tokens_BS, held_BS = _padded(read, model.device, left=memory is None)
    before = [tokens_BS.shape[1] - len(tail) if memory is None else 0 for tail in read]
    ends = [before[place_of[tail]] + len(read[place_of[tail]]) for tail in tails]
    places = [
        (place_of[tail], column)
        for tail, row, end in zip(tails, rows, ends, strict=True)
        for column in range(end - row.scored, end)
    ]
    targets = np.concatenate([row.tokens[-row.scored :] for row in rows]).astype(np.int64)
    logits_NV, _ = model.read(tokens_BS, held_BS, memory, torch.tensor(places, device=model.device))
    nats, best = _log_probabilities(logits_NV, torch.from_numpy(targets).to(model.device))
    cuts = np.cumsum([row.scored for row in rows])[:-1]
    scored = iter(
        Scored(float(some.sum()), len(some), bool(hits.all()))
        for some, hits in zip(np.split(nats, cuts), np.split(best, cuts), strict=True)
    )
    return [[next(scored) for _ in request.rows] for request in requests]


def _check_tokens(model: LanguageModel, rows: Sequence[Ints]) -> None:
    largest = max(int(row.max()) for row in rows if len(row))
    if largest >= model.vocab_size:
        raise TrainerError(
            f"the tokenizer gives token {largest}, the model knows {model.vocab_size}", "give the model's own tokenizer"
        )


def _padded(rows: Sequence[Ints], device: torch.device, *, left: bool) -> tuple[Tensor, Tensor]:
    """(tokens_BS, held_BS)."""
    S = max(len(row) for row in rows)
    tokens_BS = np.zeros((len(rows), S), dtype=np.int64)
    held_BS = np.zeros((len(rows), S), dtype=bool)
    for at, row in enumerate(rows):
        here = slice(S - len(row), S) if left else slice(0, len(row))
        tokens_BS[at, here], held_BS[at, here] = row, True
    return torch.from_numpy(tokens_BS).to(device), torch.from_numpy(held_BS).to(device)


def _log_probabilities(logits_NV: Tensor, target_N: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(N,) log-probabilities of the targets, float64 of float32, and whether each is the likeliest."""
    found, best = [], []
    for some_nV, target_n in zip(logits_NV.split(LOGITS_AT_A_TIME), target_N.split(LOGITS_AT_A_TIME), strict=True):
        logprob_nV = some_nV.float().log_softmax(-1)
        found.append(logprob_nV.gather(1, target_n[:, None])[:, 0].double().cpu().numpy())
        best.append((some_nV.argmax(-1) == target_n).cpu().numpy())
    return np.concatenate(found), np.concatenate(best)


def greedy_texts(
    model: LanguageModel, tokenizer: Tokenizer, prompts: Sequence[Ints], most_new: int, stops: Sequence[str]
) -> list[str]:
    """What the model writes after each prompt, its likeliest token each time.

    It ends before the first of `stops`, at the end of the text, or after `most_new` tokens.
    """
    return written_texts(model, tokenizer, prompts, most_new, stops, lambda logits_BV: logits_BV.argmax(-1))


def drawn_texts(  # noqa: PLR0917 - as greedy_texts
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Ints],
    most_new: int,
    stops: Sequence[str],
    temperature: float,
    seed: int,
) -> list[str]:
    """As `greedy_texts`, each token drawn at a temperature above 0; the same seed draws the same on one device."""
    random = torch.Generator(device=model.device).manual_seed(seed)

    def draw(logits_BV: Tensor) -> Tensor:
        return torch.multinomial((logits_BV / temperature).softmax(-1), 1, generator=random)[:, 0]

    return written_texts(model, tokenizer, prompts, most_new, stops, draw)


def written_texts(  # noqa: PLR0917 - as greedy_texts
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Ints],
    most_new: int,
    stops: Sequence[str],
    choose: Callable[[Tensor], Tensor],
) -> list[str]:
    """As `greedy_texts`; `choose` takes logits (B, V) to the next token of each row, (B,)."""
    _check_tokens(model, prompts)
    written: list[list[int]] = [[] for _ in prompts]
    active = list(range(len(prompts)))
    tokens_BS, held_BS = _padded(prompts, model.device, left=True)
    memory = None
    for _ in range(most_new):
        last = torch.full((len(active),), tokens_BS.shape[1] - 1, device=model.device)
        at = torch.stack((torch.arange(len(active), device=model.device), last), 1)
        logits_BV, memory = model.read(tokens_BS, held_BS, memory, at)
        chosen = choose(logits_BV.float())
        staying = []
        for place, (row, token) in enumerate(zip(active, chosen.tolist(), strict=True)):
            if token == tokenizer.eot:
                continue
            written[row].append(token)
            if not (stops and _cut_at(tokenizer.decode(written[row]), stops)[1]):
                staying.append(place)
        if not staying:
            break
        if len(staying) < len(active):
            kept = torch.tensor(staying, device=model.device)
            memory, chosen = model.select(memory, kept), chosen[kept]
            active = [active[place] for place in staying]
        tokens_BS, held_BS = chosen[:, None], torch.ones_like(chosen[:, None], dtype=torch.bool)
    return [_cut_at(tokenizer.decode(tokens), stops)[0] for tokens in written]


def _cut_at(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """The text before the first stop in it, and whether there is one."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return (text[: min(places)], True) if places else (text, False)
