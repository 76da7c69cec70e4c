"""Causal language models of transformers, read in steps where that gives the numbers of a plain forward pass.

`transformers_model` tries a model on a few tokens before anything is asked of it:

    causal    what follows a token does not change what the model says at it; else the model is refused
    in steps  a padded row, read in two steps with the model's cache, has the logits of the same row read alone

A model that is causal but cannot be read in steps (it keeps a state, counts positions in a way of its own, or has no
cache) is read whole: every row alone, without padding, from its first token on. That is slower and always right.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainers.process.errors import TrainerError
from trainers.process.files import read_json_object
from trainers.serving.memory import LanguageModel, Memory, positions

LENGTHS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length")
"""Fields of config.json that say how many tokens a model reads: the last but one is MPT's."""
TRIED_TOKENS, TRIED_PADDING = 8, 3
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4}
"""Largest difference of two logits that counts as none, as a part of the spread of the logits."""
HALF_TOLERANCE = 0.05
"""The same for weights of 16 bits."""
DECODER = "give a decoder that predicts the next token, such as a Llama"


def refuse_other_architectures(folder: Path) -> None:
    """Refuse a config.json whose architecture is not a causal decoder.

    Raises:
        TrainerError: a model of encoder and decoder, or one that transformers does not know as a causal decoder.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    parsed = read_json_object(folder / "config.json")
    kind = parsed.get("model_type")
    named = (parsed.get("architectures") or [kind])[0]
    if parsed.get("is_encoder_decoder"):
        raise TrainerError(f"{folder}: {named} has an encoder before its decoder", DECODER)
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and "auto_map" not in parsed:
        raise TrainerError(f"{folder}: {named} ({kind}) is not a causal decoder of transformers", DECODER)


def transformers_model(model: Any, device: torch.device, place: str) -> LanguageModel:
    """The model, tried on a few tokens; read in steps if it can be.

    Args:
        model: as `AutoModelForCausalLM` loads it.
        place: where it is from, for errors.

    Raises:
        TrainerError: it is not causal, does not run, or does not say how many tokens it reads.
    """
    whole = WholeModel(model, device)
    tokens_S = _tried_tokens(model.config, whole.vocab_size, min(TRIED_TOKENS, whole.length)).to(device)
    other_S = tokens_S.clone()
    other_S[len(tokens_S) // 2 :] = tokens_S.flip(0)[len(tokens_S) // 2 :]
    try:
        plain_SV, other_SV = (whole.logits(each).float() for each in (tokens_S, other_S))
    except Exception as error:  # an architecture's own code may raise anything
        cause = " ".join(str(error).split()) or type(error).__name__
        raise TrainerError(f"{place}: {type(model).__name__} does not run on a text: {cause}", DECODER) from None
    if not bool(torch.isfinite(plain_SV).all()):
        raise TrainerError(f"{place}: its logits are not finite", "give a model whose training did not diverge")
    tolerance = TOLERANCE.get(next(model.parameters()).dtype, HALF_TOLERANCE) * float(plain_SV.std())
    half = len(tokens_S) // 2
    if float((plain_SV[:half] - other_SV[:half]).abs().max()) > tolerance:
        cause = f"{place}: {type(model).__name__} looks at the tokens that it is to predict"
        raise TrainerError(cause, f"{DECODER}; a BERT needs is_decoder in its config.json")
    steps = HuggingFaceModel(model, device)
    return steps if _agrees(steps, tokens_S, plain_SV, tolerance) else whole


def _tried_tokens(config: Any, vocab_size: int, count: int) -> Tensor:
    """(S,): different tokens, none of which the configuration names for a special purpose."""
    special = set()
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "unk_token_id"):
        value = getattr(config, name, None)
        special |= set(value) if isinstance(value, list) else {value}
    known = [token for token in range(vocab_size) if token not in special]
    return torch.tensor(known)[torch.linspace(0, len(known) - 1, count).long()]


def _agrees(steps: HuggingFaceModel, tokens_S: Tensor, plain_SV: Tensor, tolerance: float) -> bool:
    """Whether a padded row beside another, read in two steps, has the logits of the row read alone."""
    S, device = len(tokens_S), tokens_S.device
    first, last = S - S // 2, S // 2
    if not last or getattr(steps.model, "_is_stateful", False):
        return False
    padded_BS = torch.stack((torch.cat((tokens_S.new_zeros(TRIED_PADDING), tokens_S[:first])),) * 2)
    padded_BS[1, :TRIED_PADDING] = tokens_S[:TRIED_PADDING]
    held_BS = torch.ones_like(padded_BS, dtype=torch.bool)
    held_BS[0, :TRIED_PADDING] = False
    rows_B = torch.tensor([0, 0], device=device)
    at = torch.tensor([[1, place] for place in range(last)], device=device)
    try:
        _, memory = steps.read(padded_BS, held_BS, None, None)
        memory = steps.select(memory, rows_B)
        tokens_BS = tokens_S[first:].repeat(2, 1)
        found_NV, _ = steps.read(tokens_BS, torch.ones_like(tokens_BS, dtype=torch.bool), memory, at)
    except Exception:  # no cache, or one that rows cannot be taken from: the model is read whole
        return False
    return float((found_NV.float() - plain_SV[first:]).abs().max()) <= tolerance


class HuggingFaceModel:
    """A causal language model of transformers, with its own cache."""

    def __init__(self, model: Any, device: torch.device) -> None:
        self.model = model.eval().to(device)
        self.device = device
        self.vocab_size = model.get_input_embeddings().weight.shape[0]
        self.length = context_length(model)
        self._takes = inspect.signature(model.forward).parameters.keys()

    @torch.inference_mode()
    def read(
        self, tokens_BS: Tensor, held_BS: Tensor, memory: Memory | None, at: Tensor | None
    ) -> tuple[Tensor, Memory]:
        held_BT = torch.cat((memory.held_BT, held_BS), 1) if memory else held_BS
        inputs: dict[str, Any] = {"input_ids": tokens_BS, "attention_mask": held_BT.long(), "use_cache": True}
        if memory:
            inputs["past_key_values"] = memory.cache
        if "position_ids" in self._takes:
            inputs["position_ids"] = positions(held_BS, memory).clamp(max=self.length - 1)
        first = int(at[:, 1].min()) if at is not None else tokens_BS.shape[1] - 1
        if "logits_to_keep" in self._takes:
            inputs["logits_to_keep"] = tokens_BS.shape[1] - first
        else:
            first = 0
        out = self.model(**inputs)
        logits = out.logits[at[:, 0], at[:, 1] - first] if at is not None else out.logits[:0, 0]
        return logits, Memory(out.past_key_values, held_BT)

    @torch.inference_mode()
    def select(self, memory: Memory, rows_B: Tensor) -> Memory:
        memory.cache.batch_select_indices(rows_B)
        return Memory(memory.cache, memory.held_BT[rows_B])


class WholeModel:
    """A causal language model of transformers that is read from the first token on, a row at a time.

    Its memory is the tokens themselves.
    """

    def __init__(self, model: Any, device: torch.device) -> None:
        self.model = model.eval().to(device)
        self.device = device
        self.vocab_size = model.get_input_embeddings().weight.shape[0]
        self.length = context_length(model)
        takes = inspect.signature(model.forward).parameters.keys()
        self._options = {"use_cache": False} if "use_cache" in takes else {}

    @torch.inference_mode()
    def logits(self, tokens_S: Tensor) -> Tensor:
        """(S, V)."""
        return self.model(input_ids=tokens_S[None], **self._options).logits[0]

    @torch.inference_mode()
    def read(
        self, tokens_BS: Tensor, held_BS: Tensor, memory: Memory | None, at: Tensor | None
    ) -> tuple[Tensor, Memory]:
        tokens_BT = torch.cat((memory.cache, tokens_BS), 1) if memory else tokens_BS
        held_BT = torch.cat((memory.held_BT, held_BS), 1) if memory else held_BS
        kept = Memory(tokens_BT, held_BT)
        if at is None:
            return torch.zeros(0, self.vocab_size, device=self.device), kept
        before, found = tokens_BT.shape[1] - tokens_BS.shape[1], {}
        for row in sorted(set(at[:, 0].tolist())):
            found[row] = self.logits(tokens_BT[row][held_BT[row]])
        place_BT = held_BT.cumsum(1) - 1
        return torch.stack([found[row][place_BT[row, before + column]] for row, column in at.tolist()]), kept

    def select(self, memory: Memory, rows_B: Tensor) -> Memory:
        return Memory(memory.cache[rows_B], memory.held_BT[rows_B])


def context_length(model: Any) -> int:
    """Tokens that the model reads at most.

    Raises:
        TrainerError: its config.json does not say.
    """
    for name, module in model.named_modules():
        # RoBERTa counts positions from behind its padding token.
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(module.num_embeddings) - int(module.padding_idx) - 1
    for name in LENGTHS:
        if isinstance(getattr(model.config, name, None), int):
            return getattr(model.config, name)
    raise TrainerError("config.json does not say how many tokens the model reads", "set max_position_embeddings in it")
