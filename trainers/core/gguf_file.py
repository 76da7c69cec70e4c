"""Models in GGUF files, the format of llama.cpp: a config.json and tensors in the names of the Hugging Face format.

Quantised tensors are read as float32. Of the architectures, "llama" (Llama, Mistral, SmolLM), "olmo", "olmo2" and
"qwen3" are read. llama.cpp turns neighbours and not halves of a head in "llama" and "olmo", so that the rows of their
queries and keys are in another order in the file (its convert_hf_to_gguf.py, `LlamaModel.permute`).
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainers.core.tensors import COPY_AGAIN, finite
from trainers.models.rope import as_longrope
from trainers.process.errors import TrainerError

ARCHITECTURES = ("llama", "olmo", "olmo2", "qwen3")
NEIGHBOURS_TURN = ("llama", "olmo")
OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
IN_BLOCK = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
ROPE_FREQUENCIES = "rope_freqs.weight"


class GgufFile:
    """A GGUF file, whose tensors stay on disk until they are read.

    Raises:
        TrainerError: it is cut off or no GGUF file, or its architecture is not known here.
    """

    def __init__(self, path: Path) -> None:
        from gguf import GGUFReader

        self.place = path
        try:
            reader = GGUFReader(path)
            self._fields = reader.fields
            self._tensors = {_their_name(tensor.name): tensor for tensor in reader.tensors}
            kind = self.field("general.architecture")
        except TrainerError:
            raise
        except Exception as error:  # the reader checks little, so that anything may fail in a broken file
            cause = " ".join(str(error).split())
            raise TrainerError(f"{path} is not a whole GGUF file: {cause}", COPY_AGAIN) from None
        if kind not in ARCHITECTURES:
            raise TrainerError(
                f"{path}: the architecture {kind!r} is not known here", f"give one of {', '.join(ARCHITECTURES)}"
            )
        self.kind: str = kind

    def field(self, name: str, default: Any = None) -> Any:
        """A field of the metadata."""
        found = self._fields.get(name)
        return default if found is None else found.contents()

    @cached_property
    def config_json(self) -> dict[str, Any]:
        """What config.json of the same model says."""
        made = {
            "model_type": self.kind,
            "vocab_size": self.shapes()["model.embed_tokens.weight"][0],
            "hidden_size": self._shape("embedding_length"),
            "intermediate_size": self._shape("feed_forward_length"),
            "num_hidden_layers": self._shape("block_count"),
            "num_attention_heads": self._shape("attention.head_count"),
            "num_key_value_heads": self._shape("attention.head_count_kv", self._shape("attention.head_count")),
            "max_position_embeddings": self._shape("context_length"),
            "rope_theta": self._shape("rope.freq_base", 10_000.0),
            "tie_word_embeddings": "lm_head.weight" not in self._tensors,
            "clip_qkv": self._shape("attention.clamp_kqv", False),
            "eos_token_id": self.field("tokenizer.ggml.eos_token_id"),
        }
        # A number in float32 is meant as the short decimal that it stands for.
        made["rms_norm_eps"] = float(np.format_float_positional(np.float32(self._norm_eps), unique=True))
        made["head_dim"] = self._shape("attention.key_length") or made["hidden_size"] // made["num_attention_heads"]
        made["rope_parameters"] = self._rope(made)
        made["clip_qkv"] = made["clip_qkv"] or None
        return made

    @property
    def _norm_eps(self) -> float:
        return self._shape("attention.layer_norm_rms_epsilon") or self._shape("attention.layer_norm_epsilon", 1e-5)

    def _shape(self, name: str, *default: Any) -> Any:
        found = self.field(f"{self.kind}.{name}", *default)
        if found is None and not default and name not in ("attention.key_length", "attention.layer_norm_rms_epsilon"):
            raise TrainerError(f"{self.place} lacks {self.kind}.{name}", COPY_AGAIN)
        return found

    def _rope(self, made: dict[str, Any]) -> dict[str, Any]:
        if ROPE_FREQUENCIES in self._tensors:
            divisors = self.read(ROPE_FREQUENCIES).tolist()
            return as_longrope(divisors, made["max_position_embeddings"])
        kind = self._shape("rope.scaling.type", "none")
        if kind == "none":
            return {"rope_type": "default"}
        return {"rope_type": kind, "factor": self._shape("rope.scaling.factor", 1.0)}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor of the model, by its name in the Hugging Face format."""
        return {
            name: tuple(int(size) for size in reversed(tensor.shape))
            for name, tensor in self._tensors.items()
            if name != ROPE_FREQUENCIES
        }

    def read(self, name: str) -> Tensor:
        """A tensor in float32."""
        from gguf.quants import dequantize

        found = self._tensors[name]
        try:
            array = dequantize(found.data, found.tensor_type).astype(np.float32, copy=True)
        except (NotImplementedError, ValueError, KeyError) as error:
            raise TrainerError(
                f"{self.place}: {name} of type {found.tensor_type.name} cannot be read: {error}",
                "give a file in F32, F16, BF16, Q8_0 or one of the K quantisations",
            ) from None
        tensor = finite(self.place, name, torch.from_numpy(array))
        if self.kind in NEIGHBOURS_TURN and name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = self._shape("attention.head_count" if "q_proj" in name else "attention.head_count_kv")
            tensor = tensor.unflatten(0, (heads, -1, 2)).transpose(1, 2).reshape(tensor.shape)
        return tensor


def _their_name(name: str) -> str:
    """The name of a tensor in the Hugging Face format; as it is where that has none."""
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in IN_BLOCK:
        return f"model.layers.{parts[1]}.{IN_BLOCK[parts[2]]}.{parts[3]}"
    return OUTSIDE.get(name, name)
