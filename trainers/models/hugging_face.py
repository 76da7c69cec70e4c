"""Decoders in the Hugging Face format: what config.json says, and what each tensor is called there.

Six architectures, by their names in transformers:

    Olmo2ForCausalLM    norms on what a layer adds, QK-norm over the full width
    OlmoeForCausalLM    norms before, QK-norm over the full width, experts
    LlamaForCausalLM    norms before, no QK-norm; rotary frequencies as they are, divided by one number, or Llama 3.1's
    MistralForCausalLM  as Llama; read up to the window of its attention, within which it is full attention
    Qwen2ForCausalLM    as Llama with a bias of queries, keys and values
    Qwen3ForCausalLM    as Llama with QK-norm over each head, and heads of a width of their own
    OlmoForCausalLM     as Llama with LayerNorm that has no gain (read only)

A dense decoder with norms before and QK-norm over the full width is written as an Olmoe of one expert a layer: its
router's softmax is then one, whatever the router. In files the experts are apart, and so are queries, keys and values,
gate and up; transformers joins the experts again when it loads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from trainers.models.config import DenseConfig, LlamaConfig, MoEConfig, model_config
from trainers.models.rope import as_longrope, rope_divisors
from trainers.process.errors import TrainerError

ARCHITECTURES = {
    "olmo2": "Olmo2ForCausalLM",
    "olmoe": "OlmoeForCausalLM",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "olmo": "OlmoForCausalLM",
}
QK_NORM = {"olmo2": "full", "olmoe": "full", "qwen3": "head"}
"""The width of an architecture's QK-norm, where it has one."""
OLMO_NORM_EPS = 1e-5

Weights = Mapping[str, Tensor]


def model_type(config: DenseConfig) -> str:
    """The architecture that a decoder is written as: "olmo2", "olmoe", "llama", "qwen2" or "qwen3".

    Raises:
        TrainerError: none of them computes this function.
    """
    mend = "export a model with RMSNorm and QK-norm over the full width"
    before = config.norm_placement == "pre"
    if config.biased and (not before or config.qk_norm):
        raise TrainerError("of these architectures only Qwen2 has biases, with norms before and no QK-norm", mend)
    if config.norm != "rms":
        raise TrainerError(f"neither Olmo2, Olmoe, Llama nor Qwen3 has the norm {config.norm!r}", mend)
    if isinstance(config, MoEConfig) and (config.shared_experts or config.choice == "expert"):
        what = "shared experts" if config.shared_experts else "experts that choose their tokens"
        raise TrainerError(f"Olmoe has no {what}", "export a mixture without them")
    if config.kind == "moe" and not before:
        raise TrainerError("Olmoe has its norms before each layer, this mixture after", mend)
    if config.qk_norm and config.qk_norm_width == "full":
        if isinstance(config, LlamaConfig) and (config.head_size or config.rope_divisors):
            raise TrainerError("neither Olmo2 nor Olmoe has heads of a width of their own or scaled positions", mend)
        return "olmoe" if before else "olmo2"
    if before and config.kind != "moe":
        return "qwen2" if config.biased else "qwen3" if config.qk_norm else "llama"
    width = f"QK-norm a {config.qk_norm_width}" if config.qk_norm else "no QK-norm"
    raise TrainerError(f"neither Olmo2 nor Olmoe has {width}", mend)


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
    if kind in ("llama", "qwen3"):
        written["head_dim"] = config.head_width
    if isinstance(config, LlamaConfig) and config.rope_divisors:
        written["rope_parameters"] |= as_longrope(config.rope_divisors, config.sequence_length)
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
        theta = float(parsed.get("rope_theta") or rope.get("rope_theta") or 10_000.0)
        shape: dict[str, Any] = {
            "vocab_size": parsed["vocab_size"],
            "sequence_length": _length(kind, parsed),
            "width": parsed["hidden_size"],
            "layers": parsed["num_hidden_layers"],
            "heads": parsed["num_attention_heads"],
            "key_value_heads": _grouped(parsed),
            "hidden": parsed["intermediate_size"],
            "rope_theta": theta,
            "norm": "layer" if kind == "olmo" else "rms",
            "norm_eps": OLMO_NORM_EPS if kind == "olmo" else parsed.get("rms_norm_eps", 1e-5),
            "norm_placement": "reordered" if kind == "olmo2" else "pre",
            "qk_norm": kind in QK_NORM,
            "qk_norm_width": QK_NORM.get(kind, "full"),
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
        else:
            shape |= _llama_parts(parsed, theta, place)
        return model_config(shape)
    except KeyError as error:
        raise TrainerError(f"{place} lacks {error}", "export the model again with a whole config.json") from None
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise TrainerError(f"{place}: a field is not the number that it should be: {error}", "correct it") from None


def _llama_parts(parsed: Mapping[str, Any], theta: float, place: str) -> dict[str, Any]:
    """The fields of a LlamaConfig, or none where a DenseConfig says all."""
    ordinary = parsed["hidden_size"] // parsed["num_attention_heads"]
    head_width = parsed.get("head_dim") or ordinary
    divisors = rope_divisors(parsed, head_width, theta, place)
    biased = parsed["model_type"] == "qwen2"
    if head_width * parsed["num_attention_heads"] == parsed["hidden_size"] and not divisors and not biased:
        return {}
    own = 0 if head_width * parsed["num_attention_heads"] == parsed["hidden_size"] else head_width
    return {"kind": "qwen2" if biased else "llama", "head_size": own, "rope_divisors": divisors}


def _length(kind: str, parsed: Mapping[str, Any]) -> int:
    """Tokens that are read at most: within the window of its attention, Mistral's is full attention."""
    window = parsed.get("sliding_window") if kind == "mistral" else None
    return min(parsed["max_position_embeddings"], window or parsed["max_position_embeddings"])


def _grouped(parsed: Mapping[str, Any]) -> int:
    groups, heads = parsed.get("num_key_value_heads"), parsed["num_attention_heads"]
    return 0 if groups in (None, heads) else groups


def _refuse_other_parts(parsed: Mapping[str, Any], place: str) -> None:
    rope = parsed.get("rope_scaling") or parsed.get("rope_parameters") or {}
    scaled = rope.get("rope_type", rope.get("type", "default")) != "default"
    other = {
        "attention_bias": bool(parsed.get("attention_bias")),
        "mlp_bias": bool(parsed.get("mlp_bias")),
        "clip_qkv": parsed.get("clip_qkv") is not None,
        "hidden_act": parsed.get("hidden_act", "silu") != "silu",
        "use_sliding_window": bool(parsed.get("use_sliding_window")),
        "rope_type": parsed.get("model_type") == "olmoe" and scaled,
        "partial_rotary_factor": rope.get("partial_rotary_factor", 1.0) != 1.0,
    }
    for name, found in other.items():
        if found:
            raise TrainerError(
                f"{place}: {name} is {parsed.get(name, rope.get(name))!r}, which the decoders here have not",
                "give a model without it",
            )


def to_tensors(config: DenseConfig, weights: Weights, kind: str = "") -> Iterator[tuple[str, Tensor]]:
    """A decoder's tensors under their names in the format, as views where they can be.

    Args:
        kind: the architecture; "": that of `model_type`.
    """
    kind, H = kind or model_type(config), config.head_width
    gains = kind != "olmo"
    rows = (config.heads * H, config.groups * H, config.groups * H)
    yield "model.embed_tokens.weight", weights["embedding.weight"]
    for layer in range(config.layers):
        here, there = f"blocks.{layer}.", f"model.layers.{layer}."
        qkv = weights[f"{here}attention.query_key_value.weight"].split(rows)
        for name, part in zip(("q_proj", "k_proj", "v_proj"), qkv, strict=True):
            yield f"{there}self_attn.{name}.weight", part
        if config.biased:
            biases = weights[f"{here}attention.query_key_value.bias"].split(rows)
            for name, part in zip(("q_proj", "k_proj", "v_proj"), biases, strict=True):
                yield f"{there}self_attn.{name}.bias", part
        yield f"{there}self_attn.o_proj.weight", weights[f"{here}attention.out.weight"]
        if config.qk_norm:
            for name, gain in zip(("q_norm", "k_norm"), _qk_gains(config, weights, here), strict=True):
                yield f"{there}self_attn.{name}.weight", gain
        for name, ours in _norms(config).items():
            if gains:
                yield f"{there}{name}.weight", weights[f"{here}{ours}.gain"]
        yield from _feed_forward_to(config, kind, weights, here, there)
    if gains:
        yield "model.norm.weight", weights["norm.gain"]
    if not config.tied:
        yield "lm_head.weight", weights["unembedding.weight"]


_NORMS_BEFORE = {"input_layernorm": "attention_norm", "post_attention_layernorm": "feed_forward_norm"}
_NORMS_AFTER = {"post_attention_layernorm": "attention_norm", "post_feedforward_layernorm": "feed_forward_norm"}


def _norms(config: DenseConfig) -> dict[str, str]:
    """Our name of each norm of a block, by its name in the format."""
    return _NORMS_BEFORE if config.norm_placement == "pre" else _NORMS_AFTER


def _qk_gains(config: DenseConfig, weights: Weights, here: str) -> tuple[Tensor, Tensor]:
    if config.groups == config.heads:
        # (2, D), or (2, 1, K) where each head is normed by itself.
        both_2D = weights[f"{here}attention.norm.gain"].flatten(1)
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


def from_tensors(config: DenseConfig, kind: str, read: Callable[[str], Tensor]) -> dict[str, Tensor]:
    """A decoder's weights from those of the architecture `kind`; `read` gives a tensor by its name there."""
    gains = kind != "olmo"
    found = {"embedding.weight": read("model.embed_tokens.weight")}
    found["norm.gain"] = read("model.norm.weight") if gains else torch.ones(config.width)
    if not config.tied:
        found["unembedding.weight"] = read("lm_head.weight")
    for layer in range(config.layers):
        here, there = f"blocks.{layer}.", f"model.layers.{layer}."
        qkv = [read(f"{there}self_attn.{name}.weight") for name in ("q_proj", "k_proj", "v_proj")]
        found[f"{here}attention.query_key_value.weight"] = torch.cat(qkv)
        if config.biased:
            biases = [read(f"{there}self_attn.{name}.bias") for name in ("q_proj", "k_proj", "v_proj")]
            found[f"{here}attention.query_key_value.bias"] = torch.cat(biases)
        found[f"{here}attention.out.weight"] = read(f"{there}self_attn.o_proj.weight")
        found |= _qk_norms_from(config, read, here, there)
        for name, ours in _norms(config).items():
            found[f"{here}{ours}.gain"] = read(f"{there}{name}.weight") if gains else torch.ones(config.width)
        found |= _feed_forward_from(config, kind, read, here, there)
    return found


def _qk_norms_from(config: DenseConfig, read: Callable[[str], Tensor], here: str, there: str) -> dict[str, Tensor]:
    if not config.qk_norm:
        return {}
    query, key = (read(f"{there}self_attn.{name}.weight") for name in ("q_norm", "k_norm"))
    if config.groups != config.heads:
        return {f"{here}attention.query_norm.gain": query, f"{here}attention.key_norm.gain": key}
    both_2D = torch.stack((query, key))
    return {f"{here}attention.norm.gain": both_2D if config.qk_norm_width == "full" else both_2D[:, None]}


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
