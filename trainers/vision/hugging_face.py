"""Weights of others: vision transformers of CLIP and SigLIP, and whole models as Molmo published them.

A folder of CLIP or SigLIP is config.json and safetensors in the Hugging Face format, of the whole model or of its
vision half alone. A Molmo folder is that of `allenai/Molmo-7B-O-0924` and `Molmo-7B-D-0924`: model_type "molmo", with
the names below. Its config.json says nothing of the transformer, which is OpenAI's CLIP ViT-L/14 at 336 pixels; shapes
are read from the tensors, so that a smaller folder of the same layout is read too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainers.core.tensors import COPY_AGAIN, TensorFolder
from trainers.models.config import model_config
from trainers.process.errors import TrainerError
from trainers.process.files import read_json_object
from trainers.vision.crops import CropConfig
from trainers.vision.shape import (
    CLIP_DEVIATION,
    CLIP_MEAN,
    HALF,
    ConnectorConfig,
    TransformerConfig,
    VisionLanguageConfig,
)

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
VISION_KINDS = {
    "clip": "clip",
    "clip_vision_model": "clip",
    "siglip": "siglip",
    "siglip_vision_model": "siglip",
}
ACTIVATIONS = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh"}
Weights = dict[str, Tensor]
Read = Callable[[str], Tensor]


def read_vision(folder: Path) -> tuple[TransformerConfig, CropConfig, Weights]:
    """The vision transformer of a CLIP or SigLIP folder, with its crops' size; weights under the names of model.py.

    Raises:
        TrainerError: another architecture, or a tensor that is missing, of another shape, or not finite.
    """
    parsed = read_json_object(_present(folder / CONFIG))
    kind = VISION_KINDS.get(str(parsed.get("model_type")))
    if kind is None:
        raise TrainerError(
            f"{folder / CONFIG}: the model_type {parsed.get('model_type')!r} is not known here",
            f"give a folder of {', '.join(VISION_KINDS)}",
        )
    inner: dict[str, Any] = parsed.get("vision_config") or parsed
    try:
        shape = _vision_shape(inner, kind, _normalisation(folder, kind))
        crops = CropConfig(crop=inner["image_size"], patch=inner["patch_size"], margins=(0, 0), mode="global")
    except (KeyError, TypeError) as error:
        raise TrainerError(
            f"{folder / CONFIG} lacks or misstates {error}", "save the model again with transformers"
        ) from None
    with TensorFolder(folder) as tensors:
        found = _vision_weights(shape, tensors.read, tensors.shapes(), folder, crops)
    return shape, crops, found


def _vision_shape(inner: Mapping[str, Any], kind: str, colours: tuple[Any, Any]) -> TransformerConfig:
    activation = inner.get("hidden_act", "quick_gelu" if kind == "clip" else "gelu_pytorch_tanh")
    if activation not in ACTIVATIONS:
        raise TrainerError(f"the activation {activation!r} is not known here", f"one of {', '.join(ACTIVATIONS)} is")
    return TransformerConfig(
        width=inner["hidden_size"],
        layers=inner["num_hidden_layers"],
        heads=inner["num_attention_heads"],
        hidden=inner["intermediate_size"],
        activation=ACTIVATIONS[activation],  # ty: ignore[invalid-argument-type]
        class_token=kind == "clip",
        norm_first=kind == "clip",
        patch_bias=kind == "siglip",
        norm_eps=inner.get("layer_norm_eps", 1e-5 if kind == "clip" else 1e-6),
        mean=colours[0],
        deviation=colours[1],
    )


def _normalisation(folder: Path, kind: str) -> tuple[Any, Any]:
    """Mean and deviation of colours: those of the preprocessor, or the architecture's own."""
    usual = (CLIP_MEAN, CLIP_DEVIATION) if kind == "clip" else (HALF, HALF)
    if not (folder / PREPROCESSOR).is_file():
        return usual
    parsed = read_json_object(folder / PREPROCESSOR)
    return tuple(parsed.get(name, own) for name, own in zip(("image_mean", "image_std"), usual, strict=True))


def _vision_weights(
    shape: TransformerConfig, read: Read, shapes: Mapping[str, Any], folder: Path, crops: CropConfig
) -> Weights:
    # transformers writes a vision model by itself with or without this prefix, depending on its version.
    prefix = next((p for p in ("vision_model.", "") if f"{p}embeddings.position_embedding.weight" in shapes), None)
    if prefix is None:
        raise TrainerError(f"{folder}: no position embedding of a vision model", COPY_AGAIN)

    def tensor(name: str) -> Tensor:
        if prefix + name not in shapes:
            raise TrainerError(f"{folder}: the tensor {prefix}{name} is missing", COPY_AGAIN)
        return read(prefix + name)

    matrix = tensor("embeddings.patch_embedding.weight")
    expected = (shape.width, 3, crops.patch, crops.patch)
    if tuple(matrix.shape) != expected:
        raise TrainerError(f"{folder}: patches have the shape {tuple(matrix.shape)}, not {expected}", COPY_AGAIN)
    # (D, colours, rows, columns) to (D, rows x columns x colours), the order of PatchMatrix.
    found = {"vision.patches.out.weight": matrix.permute(0, 2, 3, 1).flatten(1)}
    if shape.patch_bias:
        found["vision.patches.out.bias"] = tensor("embeddings.patch_embedding.bias")
    if shape.class_token:
        found["vision.class_token"] = tensor("embeddings.class_embedding").flatten()
    found["vision.positions"] = tensor("embeddings.position_embedding.weight")
    for kind in ("weight", "bias"):
        if shape.norm_first:
            found[f"vision.norm.{kind}"] = tensor(f"pre_layrnorm.{kind}")
        for layer in range(shape.layers):
            there, here = f"encoder.layers.{layer}.", f"vision.blocks.{layer}."
            parts = [tensor(f"{there}self_attn.{name}_proj.{kind}") for name in ("q", "k", "v")]
            found[f"{here}query_key_value.{kind}"] = torch.cat(parts)
            for ours, theirs in _BLOCK.items():
                found[f"{here}{ours}.{kind}"] = tensor(f"{there}{theirs}.{kind}")
    return found


_BLOCK = {
    "out": "self_attn.out_proj",
    "attention_norm": "layer_norm1",
    "feed_forward_norm": "layer_norm2",
    "up": "mlp.fc1",
    "down": "mlp.fc2",
}


def is_molmo(folder: Path) -> bool:
    """Whether a folder holds a published Molmo."""
    path = folder / CONFIG
    return path.is_file() and read_json_object(path).get("model_type") == "molmo"


VIT = "model.vision_backbone.image_vit."
BLOCKS = "model.transformer.blocks."


def read_molmo(folder: Path, markers: tuple[int, int, int, int]) -> tuple[VisionLanguageConfig, Weights]:
    """A published Molmo whose decoder is dense (Molmo-7B-O, Molmo-7B-D, Molmo-72B); weights under our names.

    Args:
        folder: config.json and safetensors.
        markers: the numbers of <im_start>, <im_end>, <im_col> and <im_patch> in its tokenizer.

    Raises:
        TrainerError: a field or tensor is missing, or the decoder has a part that ours have not.
    """
    parsed = read_json_object(_present(folder / CONFIG))
    with TensorFolder(folder) as tensors:
        shapes = tensors.shapes()
        try:
            config = _molmo_shape(parsed, shapes, markers)
        except (KeyError, TypeError, IndexError) as error:
            raise TrainerError(f"{folder}: {error} is missing or no number", COPY_AGAIN) from None

        def read(name: str) -> Tensor:
            if name not in shapes:
                raise TrainerError(f"{folder}: the tensor {name} is missing", COPY_AGAIN)
            return tensors.read(name)

        found = _molmo_vision(config, read) | _molmo_decoder(config, read)
    return config, found


def _molmo_shape(
    parsed: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], markers: tuple[int, int, int, int]
) -> VisionLanguageConfig:
    refused = {
        "weight_tying": bool(parsed.get("weight_tying")),
        "clip_qkv": parsed.get("clip_qkv") is not None,
        "rope_impl": parsed.get("rope_impl", "llama") not in ("llama", "default"),
        "block_type": parsed.get("block_type", "sequential") != "sequential",
    }
    for name, other in refused.items():
        if other:
            raise TrainerError(f"{name} is {parsed[name]!r}, which the decoders here have not", "give another Molmo")
    heads, width = parsed["num_attention_heads"], parsed["hidden_size"]
    groups = parsed.get("num_key_value_heads") or heads
    vocabulary = shapes["model.transformer.wte.embedding"][0] + shapes["model.transformer.wte.new_embedding"][0]
    kind = "qwen2" if parsed.get("qkv_bias") else "dense"
    decoder = model_config(
        {
            "kind": kind,
            "vocab_size": vocabulary,
            "sequence_length": parsed["max_position_embeddings"],
            "width": width,
            "layers": parsed["num_hidden_layers"],
            "heads": heads,
            "key_value_heads": 0 if groups == heads else groups,
            # Its intermediate_size counts both halves of SwiGLU.
            "hidden": parsed["intermediate_size"] // 2,
            "rope_theta": parsed["rope_theta"],
            "norm_eps": parsed.get("layer_norm_eps", 1e-5),
            "norm_placement": "reordered" if parsed.get("norm_after") else "pre",
            "qk_norm": bool(parsed.get("attention_layer_norm")),
        }
    )
    tokens, D = shapes[f"{VIT}positional_embedding"]
    numbers = [
        int(m[1]) for name in shapes if (m := re.match(rf"{re.escape(VIT)}transformer\.resblocks\.(\d+)\.", name))
    ]
    # OpenAI's CLIP: the patches of a side from the positions, the pixels of a patch from its matrix.
    side, patch = round((tokens - 1) ** 0.5), round((shapes[f"{VIT}patch_embedding.weight"][1] / 3) ** 0.5)
    vision = TransformerConfig(
        width=D,
        layers=1 + max(numbers),
        # Heads of CLIP are 64 wide; a narrower folder has one.
        heads=max(1, D // 64),
        hidden=shapes[f"{VIT}transformer.resblocks.0.feed_forward.w1.weight"][0],
        activation="quick_gelu",
        class_token=True,
        norm_first=True,
        patch_bias=False,
        norm_eps=1e-5,
        mean=CLIP_MEAN,
        deviation=CLIP_DEVIATION,
    )
    reads = shapes["model.vision_backbone.image_pooling_2d.wq.weight"][1] // D
    connector = ConnectorConfig(
        layers=(-2, -9)[:reads],
        heads=max(1, D // 64),
        width=shapes["model.vision_backbone.image_pooling_2d.wo.weight"][0],
        hidden=shapes["model.vision_backbone.image_projector.w1.weight"][0],
        mark_padding="model.vision_backbone.pad_embed" in shapes,
    )
    if -min(connector.layers) > vision.layers:
        connector = replace(connector, layers=(-2, -vision.layers)[:reads])
    margins = (4, 4) if side > 8 else (0, 0)
    crops = CropConfig(crop=side * patch, patch=patch, margins=margins)
    return VisionLanguageConfig(vision=vision, connector=connector, decoder=decoder, crops=crops, markers=markers)


_RESBLOCK = {
    "out": "attention.wo",
    "attention_norm": "attention_norm",
    "feed_forward_norm": "ffn_norm",
    "up": "feed_forward.w1",
    "down": "feed_forward.w2",
}


def _molmo_vision(config: VisionLanguageConfig, read: Read) -> Weights:
    backbone = "model.vision_backbone."
    found = {
        "vision.class_token": read(f"{VIT}class_embedding").flatten(),
        "vision.positions": read(f"{VIT}positional_embedding"),
        "vision.patches.out.weight": read(f"{VIT}patch_embedding.weight"),
    }
    if config.connector.mark_padding:
        found["connector.padding"] = read(f"{backbone}pad_embed")
    for kind in ("weight", "bias"):
        found[f"vision.norm.{kind}"] = read(f"{VIT}pre_ln.{kind}")
        for layer in range(config.vision.layers):
            here, there = f"vision.blocks.{layer}.", f"{VIT}transformer.resblocks.{layer}."
            parts = [read(f"{there}attention.{name}.{kind}") for name in ("wq", "wk", "wv")]
            found[f"{here}query_key_value.{kind}"] = torch.cat(parts)
            for ours, theirs in _RESBLOCK.items():
                found[f"{here}{ours}.{kind}"] = read(f"{there}{theirs}.{kind}")
        for ours, theirs in {"query": "wq", "key": "wk", "value": "wv", "pooled": "wo"}.items():
            found[f"connector.{ours}.{kind}"] = read(f"{backbone}image_pooling_2d.{theirs}.{kind}")
    # w2(silu(w1 x) * w3 x); ours has the gate first.
    gate_up = [read(f"{backbone}image_projector.{name}.weight") for name in ("w1", "w3")]
    found["connector.gate_up.weight"] = torch.cat(gate_up)
    found["connector.down.weight"] = read(f"{backbone}image_projector.w2.weight")
    return found


def _molmo_decoder(config: VisionLanguageConfig, read: Read) -> Weights:
    core = "model.transformer."
    tokens = [read(f"{core}wte.{name}") for name in ("embedding", "new_embedding")]
    output = read(f"{core}ff_out.weight")
    if len(output) < config.decoder.vocab_size:
        # The new tokens stand for parts of pictures, and are read and never written.
        output = torch.cat((output, output.new_zeros(config.decoder.vocab_size - len(output), output.shape[1])))
    found = {
        "decoder.embedding.weight": torch.cat(tokens),
        "decoder.norm.gain": read(f"{core}ln_f.weight"),
        "decoder.unembedding.weight": output,
    }
    for layer in range(config.decoder.layers):
        here, there = f"decoder.blocks.{layer}.", f"{BLOCKS}{layer}."
        found[f"{here}attention.query_key_value.weight"] = read(f"{there}att_proj.weight")
        if config.decoder.kind == "qwen2":
            found[f"{here}attention.query_key_value.bias"] = read(f"{there}att_proj.bias")
        found[f"{here}attention.out.weight"] = read(f"{there}attn_out.weight")
        found[f"{here}attention_norm.gain"] = read(f"{there}attn_norm.weight")
        found[f"{here}feed_forward_norm.gain"] = read(f"{there}ff_norm.weight")
        # OLMo's SwiGLU is silu(second half) * first half; ours has the gate first.
        up, gate = read(f"{there}ff_proj.weight").chunk(2)
        found[f"{here}feed_forward.gate_up.weight"] = torch.cat((gate, up))
        found[f"{here}feed_forward.down.weight"] = read(f"{there}ff_out.weight")
        if config.decoder.qk_norm:
            gains = [read(f"{there}{name}_norm.weight") for name in ("q", "k")]
            if config.decoder.groups == config.decoder.heads:
                found[f"{here}attention.norm.gain"] = torch.stack(gains)
            else:
                found |= {f"{here}attention.{n}_norm.gain": g for n, g in zip(("query", "key"), gains, strict=True)}
    return found


def _present(path: Path) -> Path:
    if not path.is_file():
        raise TrainerError(f"{path} does not exist", "give a folder in the Hugging Face format")
    return path
