"""Models of transformers beside Llama: scored as by a plain forward pass, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.icl.made_tasks import write_lines, write_tokenizer
from trainers.icl.files import read_examples
from trainers.icl.prompts import write_prompts
from trainers.icl.score import loglikelihoods
from trainers.icl.tasks import dclm_tasks
from trainers.icl.tokens import requests
from trainers.process.errors import TrainerError
from trainers.serving.language_model import open_model
from trainers.serving.transformers_model import WholeModel

SHAPE: dict[str, Any] = {
    "vocab_size": 600,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 200,
    "initializer_range": 0.3,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
BART: dict[str, Any] = {
    "vocab_size": 600,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 200,
    "init_std": 0.3,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "decoder_start_token_id": 0,
    "forced_eos_token_id": None,
}
SMALL = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 200, "initializer_range": 0.3}
SCORED: dict[str, tuple[str, dict[str, Any], bool]] = {
    "Mpt": ("MptForCausalLM", {"d_model": 16, "n_heads": 2, "n_layers": 2, "max_seq_len": 200}, False),
    "Roberta": ("RobertaForCausalLM", SHAPE | {"is_decoder": True}, True),
    "Bart": ("BartForCausalLM", BART | {"is_decoder": True, "is_encoder_decoder": False}, True),
    "Bert": ("BertLMHeadModel", SHAPE | {"is_decoder": True}, False),
    "OpenAIGPT": ("OpenAIGPTLMHeadModel", SMALL, True),
    "Lfm2": ("Lfm2ForCausalLM", SHAPE | {"num_key_value_heads": 1, "layer_types": ["conv", "full_attention"]}, True),
    "MiniMax": (
        "MiniMaxForCausalLM",
        SHAPE
        | {"num_key_value_heads": 1, "head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1}
        | {"layer_types": ["linear_attention", "full_attention"]},
        True,
    ),
    "Opt": ("OPTForCausalLM", {"hidden_size": 16, "ffn_dim": 24, "word_embed_proj_dim": 16} | SHAPE, False),
}
"""The class of transformers, its configuration, and whether it is read whole."""
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "Bert": ("BertLMHeadModel", SHAPE, "BertLMHeadModel looks at the tokens that it is to predict"),
    "Roberta": ("RobertaForCausalLM", SHAPE, "RobertaForCausalLM looks at the tokens"),
    "Bart": ("BartForConditionalGeneration", BART, "has an encoder before its decoder"),
    "Vit": ("ViTForImageClassification", {"hidden_size": 16, "num_attention_heads": 2}, "is not a causal decoder"),
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def write_model(folder: Path, tokenizer: Path, named: str, config: dict[str, Any]) -> Path:
    import transformers
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_file=str(tokenizer), eos_token="<|end|>").save_pretrained(folder)
    torch.manual_seed(2)
    kind = getattr(transformers, named)
    with torch.no_grad():
        model = kind(kind.config_class(**({"vocab_size": 600} | config)))
        for tensor in model.parameters():
            if tensor.ndim > 1:
                tensor.normal_(0, 0.3)
    model.save_pretrained(folder)
    return folder


def copa(folder: Path) -> Path:
    rows = [
        {"query": f"{i}: the river rose over the stone", "choices": ["it rained", "a long dry summer came"], "gold": 0}
        for i in range(3)
    ]
    folder.mkdir()
    return write_lines(folder / "copa.jsonl", rows)


@pytest.mark.parametrize("name", SCORED)
def test_an_architecture_is_scored_as_by_a_plain_forward_pass(name, tokenizer, tmp_path):
    named, config, whole = SCORED[name]
    opened = open_model(write_model(tmp_path / "model", tokenizer, named, config), "cpu")
    assert isinstance(opened.model, WholeModel) is whole
    task = next(task for task in dclm_tasks() if task.name == "copa")
    prompts = write_prompts(task, read_examples(copa(tmp_path / "tasks")))
    asked = list(requests(task, prompts, opened.tokenizer, opened.model.length, 0))
    plain: Any = opened.model
    plain.model.config.use_cache = False
    for request, scored in zip(asked, loglikelihoods(opened.model, asked), strict=True):
        for row, found in zip(request.rows, scored, strict=True):
            tokens = torch.tensor(row.tokens, dtype=torch.long)
            with torch.inference_mode():
                logits = plain.model(input_ids=tokens[None]).logits[0].double().log_softmax(-1)
            places = range(len(tokens) - row.scored, len(tokens))
            expected = sum(float(logits[place - 1, tokens[place]]) for place in places)
            assert found.logprob == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_causal_decoder_is_refused_by_name(name, tokenizer, tmp_path):
    named, config, cause = REFUSED[name]
    folder = write_model(tmp_path, tokenizer, named, config)
    with pytest.raises(TrainerError, match=cause):
        open_model(folder, "cpu")
