"""What is read from disk to be served: Hugging Face folders and GGUF files, whole or refused."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_models import LLAMA, OLMO, SHAPE, TEMPLATE, TEXTS, a_checkpoint, a_tokenizer
from safetensors.torch import load_file, save_file

from trainers.core.loading import load_decoder
from trainers.exchange import export_model, logits
from trainers.models.config import DenseConfig, LlamaConfig
from trainers.models.hugging_face import to_config_json, to_tensors
from trainers.process.errors import TrainerError
from trainers.serving.language_model import open_model
from trainers.serving.served import open_served

os.environ["HF_HUB_OFFLINE"] = "1"
TOKENS = [5, 6, 7, 60, 0, 3, 3, 17, *range(40, 90)]
THEIRS: dict[str, dict[str, Any]] = {
    "Llama": {"tie_word_embeddings": True, "rms_norm_eps": 1e-5},
    "Llama, grouped in positions of Llama 3.1": {
        "num_key_value_heads": 2,
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 10_000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    "Llama, linear positions, wide heads": {
        "head_dim": 12,
        "rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0},
    },
    "Mistral": {"num_key_value_heads": 1, "sliding_window": 128},
    "Qwen3": {"num_key_value_heads": 2, "head_dim": 16},
    "Qwen3, as many keys as queries": {"num_key_value_heads": 4, "head_dim": 8},
    "Olmo": {},
    "Olmo2": {"num_key_value_heads": 2},
}


def a_model_of_transformers(folder: Path, case: str) -> Any:
    """Random weights, gains included."""
    import transformers

    kind = case.split(",", maxsplit=1)[0]
    shape = {
        "vocab_size": 300,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
        "initializer_range": 0.25,
        "pad_token_id": None,
        "bos_token_id": 1,
        "eos_token_id": 0,
    }
    if kind in ("Llama", "Mistral", "Qwen3"):
        shape |= {"head_dim": 8}
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**shape | THEIRS[case])
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
    model.save_pretrained(folder)
    a_tokenizer(folder / "tokenizer.json")
    return model


@pytest.mark.parametrize("case", THEIRS)
def test_a_model_of_transformers_has_the_same_logits_here(case: str, tmp_path: Path) -> None:
    theirs = a_model_of_transformers(tmp_path / "theirs", case)
    with torch.no_grad():
        expected = theirs(torch.tensor([TOKENS])).logits[0].numpy()
    ours = logits(tmp_path / "theirs", TOKENS)
    assert expected.std() > 0.1 and np.abs(ours - expected).max() < 1e-4
    served = open_served(str(tmp_path / "theirs"))
    assert served.ends == {0} and served.template is None and served.name == "theirs"


@pytest.mark.parametrize(
    "config",
    [
        LLAMA,
        replace(LLAMA, qk_norm=True, qk_norm_width="head", head_size=12, rope_divisors=(), tied=False),
        DenseConfig(**SHAPE, norm_placement="pre", qk_norm=False),
    ],
    ids=["Llama with divided positions", "Qwen3 with wide heads", "Llama"],
)
def test_such_a_model_goes_out_to_transformers_and_back(config: DenseConfig, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    source = a_checkpoint(tmp_path / "step_00000003", config)
    export_model(source, tmp_path / "out")
    ours = logits(source, TOKENS)
    theirs: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    with torch.no_grad():
        assert np.abs(ours - theirs(torch.tensor([TOKENS])).logits[0].numpy()).max() < 1e-4
    assert np.array_equal(logits(tmp_path / "out", TOKENS), ours)


def a_gguf(folder: Path, config: DenseConfig, *, quantised: bool = False) -> tuple[Path, Path]:
    """A checkpoint and the GGUF file that llama.cpp's converter would write of it."""
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize

    source = a_checkpoint(folder / "step_00000003", config)
    model = load_decoder(source)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    kind = to_config_json(config, "float32", 0)["model_type"]
    writer = GGUFWriter(folder / "model.gguf", kind)
    writer.add_block_count(config.layers)
    writer.add_context_length(config.sequence_length)
    writer.add_embedding_length(config.width)
    writer.add_feed_forward_length(config.hidden)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.groups)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_key_length(config.head_width)
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    tokens = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if number < 2 else 1 for number in range(len(tokens))])
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(0)
    writer.add_chat_template(TEMPLATE)
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    names |= {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v"}
    names |= {"self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up"}
    names |= {"mlp.down_proj": "ffn_down", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
    if kind == "olmo2":
        names |= {"post_attention_layernorm": "post_attention_norm", "post_feedforward_layernorm": "post_ffw_norm"}
    else:
        names |= {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    for name, tensor in to_tensors(config, weights):
        array = tensor.numpy()
        if kind == "llama" and ("q_proj" in name or "k_proj" in name):
            heads = config.heads if "q_proj" in name else config.groups
            array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        place = name.removesuffix(".weight")
        if place.startswith("model.layers."):
            _, _, layer, inner = place.split(".", 3)
            place = f"blk.{layer}.{names[inner]}"
        else:
            place = names[place]
        if quantised and array.ndim == 2:
            packed = quantize(array, GGMLQuantizationType.Q8_0)
            writer.add_tensor(f"{place}.weight", packed, raw_dtype=GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(f"{place}.weight", np.ascontiguousarray(array))
    if isinstance(config, LlamaConfig) and config.rope_divisors:
        writer.add_tensor("rope_freqs.weight", np.array(config.rope_divisors, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return source, folder / "model.gguf"


@pytest.mark.parametrize("config", [LLAMA, OLMO], ids=["llama", "olmo2"])
def test_a_gguf_file_is_the_model_that_it_was_made_of(config: DenseConfig, tmp_path: Path) -> None:
    source, path = a_gguf(tmp_path, config)
    checkpoint, file = open_served(str(source)), open_served(str(path))
    tokens = torch.tensor([TOKENS])
    with torch.inference_mode():
        assert torch.allclose(checkpoint.decoder(tokens), file.decoder(tokens), atol=1e-5)
    for text in (*TEXTS, "<|start|>user\nx<|end|>", " 12,345 don't\n\n\tx  y"):
        assert file.tokenizer.encode(text, special=True) == checkpoint.tokenizer.encode(text, special=True)
    assert file.ends == {0} and file.template is not None
    assert file.template.text == TEMPLATE


def test_a_quantised_gguf_file_is_close(tmp_path: Path) -> None:
    source, path = a_gguf(tmp_path, replace(OLMO, hidden=64), quantised=True)
    tokens = torch.tensor([TOKENS])
    with torch.inference_mode():
        whole, rounded = (open_served(str(each)).decoder(tokens).softmax(-1) for each in (source, path))
    assert 0 < float((whole - rounded).abs().max()) < 0.1


def damaged(folder: Path, how: str) -> None:
    """One kind of damage to a folder's single safetensors file."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = "model.layers.1.mlp.down_proj.weight"
    if how == "missing":
        del tensors[name]
    elif how == "unexpected":
        tensors["model.layers.1.mlp.more.weight"] = torch.zeros(3)
    elif how == "shape":
        tensors[name] = tensors[name][:-1].clone()
    elif how == "NaN":
        tensors[name][3, 4] = torch.nan
    elif how == "infinite":
        tensors[name][3, 4] = torch.inf
    save_file(tensors, path, metadata={"format": "pt"})
    if how == "cut off":
        path.write_bytes(path.read_bytes()[:-100])
    if how == "wrong header":
        path.write_bytes(struct.pack("<Q", 2**60) + path.read_bytes()[8:])


DAMAGE = {
    "missing": r"model.layers.1.mlp.down_proj.weight is missing",
    "unexpected": r"model.layers.1.mlp.more.weight has no place",
    "shape": r"model.layers.1.mlp.down_proj.weight has (shape \(31, 48\)|not the shape)",
    "NaN": r"model.layers.1.mlp.down_proj.weight holds NaN",
    "infinite": r"model.layers.1.mlp.down_proj.weight holds an infinite number",
    "cut off": "model.safetensors is not a safetensors file",
    "wrong header": "model.safetensors is not a safetensors file",
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damage_is_named_and_refused_by_serving_and_by_evaluation(how: str, tmp_path: Path) -> None:
    a_model_of_transformers(tmp_path, "Llama, linear positions, wide heads")
    damaged(tmp_path, how)
    with pytest.raises(TrainerError, match=DAMAGE[how]):
        open_served(str(tmp_path))
    with pytest.raises(TrainerError, match=DAMAGE[how]):
        open_model(tmp_path, device="cpu")


def test_a_gguf_file_that_is_cut_off_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    _, path = a_gguf(tmp_path, OLMO)
    whole = path.read_bytes()
    for size in (0, 3, 4, 30, len(whole) // 10, len(whole) // 2, len(whole) - 40_000, len(whole) - 5):
        (tmp_path / "part.gguf").write_bytes(whole[:size])
        with pytest.raises(TrainerError, match=r"part\.gguf"):
            open_served(str(tmp_path / "part.gguf"))


def test_an_index_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    a_model_of_transformers(tmp_path / "model", "Llama")
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "elsewhere.safetensors")
    names = list(load_file(tmp_path / "elsewhere.safetensors"))
    index = {"weight_map": dict.fromkeys(names, "../elsewhere.safetensors")}
    (tmp_path / "model" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(TrainerError, match="not in its folder"):
        open_served(str(tmp_path / "model"))
