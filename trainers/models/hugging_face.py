"""Decoders in the Hugging Face format: what config.json says, and what each tensor is called there.

Two architectures, by their names in transformers: Olmo2ForCausalLM (norms on what a layer adds) and OlmoeForCausalLM
(norms before, experts), both with QK-norm over the full width. A dense decoder with norms before is an Olmoe of one
expert a layer: its router's softmax is then one, whatever the router. In files the experts are apart, and so are
queries, keys and values, gate and up; transformers joins the experts again when it loads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from trainers.models.config import DenseConfig, MoEConfig, model_config
from trainers.process.errors import TrainerError

ARCHITECTURES = {"olmo2": "Olmo2ForCausalLM", "olmoe": "OlmoeForCausalLM"}

Weights = Mapping[str, Tensor]


def model_type(config: DenseConfig) -> str:
    """ "olmo2" or "olmoe".

    Raises:
        TrainerError: neither of them computes this function.
    """
    dense_after = config.kind == "dense" and config.norm_placement == "reordered"
    mend = "export a model with RMSNorm and QK-norm over the full width"
    if config.norm != "rms":
        raise TrainerError(f"neither Olmo2 nor Olmoe has the norm {config.norm!r}", mend)
    if not config.qk_norm or config.qk_norm_width != "full":
        width = f"QK-norm a {config.qk_norm_width}" if config.qk_norm else "no QK-norm"
        raise TrainerError(f"neither Olmo2 nor Olmoe has {width}", mend)
    if config.kind == "moe" and config.norm_placement != "pre":
        raise TrainerError("Olmoe has its norms before each layer, this mixture after", mend)
    return "olmo2" if dense_after else "olmoe"


def to_config_json(config: DenseConfig, dtype: str, eot: int | None) -> dict[str, Any]:
    """config.json of a decoder whose documents end in the token `eot`."""
    kind = model_type(config)
    written: dict[str, Any] = {
        "architectures": [ARCHITECTURES[kind]],
        "model_type": kind,
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "intermediate_size": config.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.groups,
        "hidden_act": "silu",
        "max_position_embeddings": config.sequence_length,
        "initializer_range": config.init_std,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "attention_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": config.tied,
        "bos_token_id": None,
        "eos_token_id": eot,
        "pad_token_id": None,
        "use_cache": True,
        "torch_dtype": dtype,
    }
    if kind == "olmoe":
        moe = config if isinstance(config, MoEConfig) else None
        written |= {
            "num_experts": moe.experts if moe else 1,
            "num_experts_per_tok": moe.experts_per_token if moe else 1,
            "norm_topk_prob": moe.renormalise if moe else False,
            "router_aux_loss_coef": moe.load_balancing_weight if moe else 0.0,
            "output_router_logits": False,
            "clip_qkv": None,
        }
    return written


def from_config_json(parsed: Mapping[str, Any], place: str) -> DenseConfig:
    """The decoder that a config.json describes.

    Raises:
        TrainerError: another architecture, or one of these with a part that the decoders here have not.
    """
    kind = parsed.get("model_type")
    if kind not in ARCHITECTURES:
        named = (parsed.get("architectures") or [kind])[0]
        raise TrainerError(
            f"{place}: the architecture {named} is not known here", f"give one of {', '.join(ARCHITECTURES.values())}"
        )
    _refuse_other_parts(parsed, place)
    rope = parsed.get("rope_parameters") or {}
    try:
        shape: dict[str, Any] = {
            "vocab_size": parsed["vocab_size"],
            "sequence_length": parsed["max_position_embeddings"],
            "width": parsed["hidden_size"],
            "layers": parsed["num_hidden_layers"],
            "heads": parsed["num_attention_heads"],
            "key_value_heads": _grouped(parsed),
            "hidden": parsed["intermediate_size"],
            "rope_theta": float(parsed.get("rope_theta") or rope.get("rope_theta", 10_000.0)),
            "norm_eps": parsed.get("rms_norm_eps", 1e-5),
            "norm_placement": "reordered" if kind == "olmo2" else "pre",
            "tied": parsed.get("tie_word_embeddings", False),
            "init_std": parsed.get("initializer_range", 0.02),
            "shrink_residual": False,
        }
        if kind == "olmoe" and parsed["num_experts"] > 1:
            shape |= {
                "kind": "moe",
                "experts": parsed["num_experts"],
                "experts_per_token": parsed["num_experts_per_tok"],
                "renormalise": parsed.get("norm_topk_prob", False),
            }
    except KeyError as error:
        raise TrainerError(f"{place} lacks {error}", "export the model again with a whole config.json") from None
    return model_config(shape)


def _grouped(parsed: Mapping[str, Any]) -> int:
    groups, heads = parsed.get("num_key_value_heads"), parsed["num_attention_heads"]
    return 0 if groups in (None, heads) else groups


def _refuse_other_parts(parsed: Mapping[str, Any], place: str) -> None:
    rope = parsed.get("rope_scaling") or parsed.get("rope_parameters") or {}
    other = {
        "attention_bias": bool(parsed.get("attention_bias")),
        "clip_qkv": parsed.get("clip_qkv") is not None,
        "hidden_act": parsed.get("hidden_act", "silu") != "silu",
        "rope_type": rope.get("rope_type", rope.get("type", "default")) != "default",
    }
    for name, found in other.items():
        if found:
            raise TrainerError(
                f"{place}: {name} is {parsed.get(name, rope.get(name))!r}, which the decoders here have not",
                "give a model without it",
            )


def to_tensors(config: DenseConfig, weights: Weights) -> Iterator[tuple[str, Tensor]]:
    """A decoder's tensors under their names in the format, as views where they can be."""
    kind, H = model_type(config), config.head_width
    rows = (config.heads * H, config.groups * H, config.groups * H)
    yield "model.embed_tokens.weight", weights["embedding.weight"]
    for layer in range(config.layers):
        here, there = f"blocks.{layer}.", f"model.layers.{layer}."
        qkv = weights[f"{here}attention.query_key_value.weight"].split(rows)
        for name, part in zip(("q_proj", "k_proj", "v_proj"), qkv, strict=True):
            yield f"{there}self_attn.{name}.weight", part
        yield f"{there}self_attn.o_proj.weight", weights[f"{here}attention.out.weight"]
        for name, gain in zip(("q_norm", "k_norm"), _qk_gains(config, weights, here), strict=True):
            yield f"{there}self_attn.{name}.weight", gain
        for name, ours in _NORMS[kind].items():
            yield f"{there}{name}.weight", weights[f"{here}{ours}.gain"]
        yield from _feed_forward_to(config, kind, weights, here, there)
    yield "model.norm.weight", weights["norm.gain"]
    if not config.tied:
        yield "lm_head.weight", weights["unembedding.weight"]


_NORMS = {
    "olmo2": {"post_attention_layernorm": "attention_norm", "post_feedforward_layernorm": "feed_forward_norm"},
    "olmoe": {"input_layernorm": "attention_norm", "post_attention_layernorm": "feed_forward_norm"},
}


def _qk_gains(config: DenseConfig, weights: Weights, here: str) -> tuple[Tensor, Tensor]:
    if config.groups == config.heads:
        both_2D = weights[f"{here}attention.norm.gain"]
        return both_2D[0], both_2D[1]
    return weights[f"{here}attention.query_norm.gain"], weights[f"{here}attention.key_norm.gain"]


def _feed_forward_to(
    config: DenseConfig, kind: str, weights: Weights, here: str, there: str
) -> Iterator[tuple[str, Tensor]]:
    if isinstance(config, MoEConfig):
        yield f"{there}mlp.gate.weight", weights[f"{here}feed_forward.router.weight"]
        gate_up_EXD, down_EDF = (weights[f"{here}feed_forward.{name}"] for name in ("gate_up", "down"))
    else:
        gate_up_EXD, down_EDF = (weights[f"{here}feed_forward.{name}.weight"][None] for name in ("gate_up", "down"))
        if kind == "olmoe":
            yield f"{there}mlp.gate.weight", torch.zeros(1, config.width, dtype=down_EDF.dtype)
    for expert in range(len(down_EDF)):
        place = f"{there}mlp.experts.{expert}." if kind == "olmoe" else f"{there}mlp."
        gate_FD, up_FD = gate_up_EXD[expert].chunk(2)
        yield f"{place}gate_proj.weight", gate_FD
        yield f"{place}up_proj.weight", up_FD
        yield f"{place}down_proj.weight", down_EDF[expert]


def from_tensors(config: DenseConfig, read: Callable[[str], Tensor]) -> dict[str, Tensor]:
    """A decoder's weights from the format's; `read` gives a tensor by its name there."""
    kind = model_type(config)
    found = {"embedding.weight": read("model.embed_tokens.weight"), "norm.gain": read("model.norm.weight")}
    if not config.tied:
        found["unembedding.weight"] = read("lm_head.weight")
    for layer in range(config.layers):
        here, there = f"blocks.{layer}.", f"model.layers.{layer}."
        qkv = [read(f"{there}self_attn.{name}.weight") for name in ("q_proj", "k_proj", "v_proj")]
        found[f"{here}attention.query_key_value.weight"] = torch.cat(qkv)
        found[f"{here}attention.out.weight"] = read(f"{there}self_attn.o_proj.weight")
        gains = [read(f"{there}self_attn.{name}.weight") for name in ("q_norm", "k_norm")]
        if config.groups == config.heads:
            found[f"{here}attention.norm.gain"] = torch.stack(gains)
        else:
            found |= dict(
                zip((f"{here}attention.query_norm.gain", f"{here}attention.key_norm.gain"), gains, strict=True)
            )
        for name, ours in _NORMS[kind].items():
            found[f"{here}{ours}.gain"] = read(f"{there}{name}.weight")
        found |= _feed_forward_from(config, kind, read, here, there)
    return found


def _feed_forward_from(
    config: DenseConfig, kind: str, read: Callable[[str], Tensor], here: str, there: str
) -> dict[str, Tensor]:
    experts = config.experts if isinstance(config, MoEConfig) else 1
    gate_up, down = [], []
    for expert in range(experts):
        place = f"{there}mlp.experts.{expert}." if kind == "olmoe" else f"{there}mlp."
        gate_up.append(torch.cat([read(f"{place}{name}_proj.weight") for name in ("gate", "up")]))
        down.append(read(f"{place}down_proj.weight"))
    ours = f"{here}feed_forward."
    if isinstance(config, MoEConfig):
        router = read(f"{there}mlp.gate.weight")
        return {
            f"{ours}router.weight": router,
            f"{ours}gate_up": torch.stack(gate_up),
            f"{ours}down": torch.stack(down),
        }
    if kind == "olmoe":
        read(f"{there}mlp.gate.weight")
    return {f"{ours}gate_up.weight": gate_up[0], f"{ours}down.weight": down[0]}
