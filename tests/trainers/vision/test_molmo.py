"""A small folder of Molmo's published layout against its own rules, written out slowly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from trainers.process.errors import TrainerError
from trainers.vision.examples import Branch, Examples, Row
from trainers.vision.hugging_face import read_vision
from trainers.vision.opening import model_of, opened
from trainers.vision.pictures import cut
from trainers.vision.tokens import make_tokenizer

D, H, G, LAYERS, V, NEW = 32, 4, 2, 2, 300, 16
W, VIT_LAYERS, SIDE, PATCH = 64, 3, 4, 4


def molmo_folder(folder: Path, *, biased: bool) -> dict[str, Tensor]:
    """config.json, tokenizer.json and tensors under the names of Molmo-7B-D, or, without biases, of Molmo-7B-O."""
    torch.manual_seed(1)
    core, vit, backbone = "model.transformer.", "model.vision_backbone.image_vit.", "model.vision_backbone."
    K = D // H
    shapes: dict[str, tuple[int, ...]] = {
        f"{core}wte.embedding": (V, D),
        f"{core}wte.new_embedding": (NEW, D),
        f"{core}ln_f.weight": (D,),
        f"{core}ff_out.weight": (V, D),
        f"{vit}class_embedding": (W,),
        f"{vit}positional_embedding": (SIDE**2 + 1, W),
        f"{vit}patch_embedding.weight": (W, 3 * PATCH**2),
        f"{vit}pre_ln.weight": (W,),
        f"{vit}pre_ln.bias": (W,),
        f"{backbone}pad_embed": (2, 2 * W),
    }
    for n in range(LAYERS):
        there = f"{core}blocks.{n}."
        shapes |= {f"{there}att_proj.weight": ((H + 2 * G) * K, D), f"{there}attn_out.weight": (D, D)}
        shapes |= {f"{there}ff_proj.weight": (96, D), f"{there}ff_out.weight": (D, 48)}
        shapes |= {f"{there}attn_norm.weight": (D,), f"{there}ff_norm.weight": (D,)}
        if biased:
            shapes[f"{there}att_proj.bias"] = ((H + 2 * G) * K,)
        else:
            shapes |= {f"{there}q_norm.weight": (D,), f"{there}k_norm.weight": (G * K,)}
    for n in range(VIT_LAYERS):
        there = f"{vit}transformer.resblocks.{n}."
        for name in ("wq", "wk", "wv", "wo"):
            shapes |= {f"{there}attention.{name}.weight": (W, W), f"{there}attention.{name}.bias": (W,)}
        for name in ("attention_norm", "ffn_norm"):
            shapes |= {f"{there}{name}.weight": (W,), f"{there}{name}.bias": (W,)}
        shapes |= {f"{there}feed_forward.w1.weight": (80, W), f"{there}feed_forward.w1.bias": (80,)}
        shapes |= {f"{there}feed_forward.w2.weight": (W, 80), f"{there}feed_forward.w2.bias": (W,)}
    for name in ("wq", "wk", "wv"):
        shapes |= {
            f"{backbone}image_pooling_2d.{name}.weight": (W, 2 * W),
            f"{backbone}image_pooling_2d.{name}.bias": (W,),
        }
    shapes |= {f"{backbone}image_pooling_2d.wo.weight": (W, W), f"{backbone}image_pooling_2d.wo.bias": (W,)}
    shapes |= {
        f"{backbone}image_projector.{n}.weight": s for n, s in (("w1", (56, W)), ("w2", (D, 56)), ("w3", (56, W)))
    }
    tensors = {name: torch.randn(shape) * 0.2 + ("norm.weight" in name) for name, shape in shapes.items()}
    folder.mkdir()
    save_file(tensors, str(folder / "model.safetensors"))
    tokenizer = make_tokenizer([], V)
    tokenizer.save(folder / "tokenizer.json")
    config: dict[str, Any] = {
        "model_type": "molmo",
        "hidden_size": D,
        "intermediate_size": 96,
        "num_hidden_layers": LAYERS,
    }
    config |= {"num_attention_heads": H, "num_key_value_heads": G, "vocab_size": V, "max_position_embeddings": 128}
    config |= {"layer_norm_eps": 1e-6, "rope_theta": 1e6, "qkv_bias": biased, "weight_tying": False, "clip_qkv": None}
    config |= {"norm_after": not biased, "attention_layer_norm": not biased}
    (folder / "config.json").write_text(json.dumps(config))
    return tensors


def rms(x: Tensor, gain: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * gain


def slow_molmo(
    t: dict[str, Tensor], tokens: list[int], patch: int, crop: np.ndarray, inside: np.ndarray, *, biased: bool
) -> Tensor:
    """Logits as the published modeling_molmo.py computes them, for one crop of SIDE x SIDE patches."""
    vit, backbone, core = "model.vision_backbone.image_vit.", "model.vision_backbone.", "model.transformer."
    mean, deviation = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    pixels = (crop / 255 - mean) / deviation
    patches = [
        pixels[r * PATCH : (r + 1) * PATCH, c * PATCH : (c + 1) * PATCH].reshape(-1)
        for r in range(SIDE)
        for c in range(SIDE)
    ]
    x = torch.tensor(np.array(patches), dtype=torch.float32) @ t[f"{vit}patch_embedding.weight"].T
    x = torch.cat([t[f"{vit}class_embedding"][None], x]) + t[f"{vit}positional_embedding"]
    x = F.layer_norm(x, (W,), t[f"{vit}pre_ln.weight"], t[f"{vit}pre_ln.bias"], 1e-5)
    outputs = []
    for n in range(VIT_LAYERS):
        name = f"{vit}transformer.resblocks.{n}."

        def linear(y: Tensor, what: str, name: str = name) -> Tensor:
            return F.linear(y, t[f"{name}{what}.weight"], t[f"{name}{what}.bias"])

        y = F.layer_norm(x, (W,), t[f"{name}attention_norm.weight"], t[f"{name}attention_norm.bias"], 1e-5)
        q, k, v = (linear(y, f"attention.{part}") for part in ("wq", "wk", "wv"))
        x = x + linear((q @ k.T / 64**0.5).softmax(-1) @ v, "attention.wo")
        y = linear(
            F.layer_norm(x, (W,), t[f"{name}ffn_norm.weight"], t[f"{name}ffn_norm.bias"], 1e-5), "feed_forward.w1"
        )
        x = x + linear(y * torch.sigmoid(1.702 * y), "feed_forward.w2")
        outputs.append(x)
    seen = torch.cat([outputs[-2], outputs[-3]], -1)[1:]
    share = torch.from_numpy(inside)
    pad = t[f"{backbone}pad_embed"]
    seen = seen + pad[0] * (share == 0)[:, None] + pad[1] * ((share > 0) & (share < 1))[:, None]
    grid = seen.view(SIDE, SIDE, -1)
    features = []
    for r in range(0, SIDE, 2):
        for c in range(0, SIDE, 2):
            four = grid[r : r + 2, c : c + 2].reshape(4, -1)

            def pooled(y: Tensor, what: str) -> Tensor:
                name = f"{backbone}image_pooling_2d.{what}"
                return F.linear(y, t[f"{name}.weight"], t[f"{name}.bias"])

            q, k, v = pooled(four.mean(0), "wq"), pooled(four, "wk"), pooled(four, "wv")
            one = pooled((k @ q / 64**0.5).softmax(0) @ v, "wo")
            w1, w2, w3 = (t[f"{backbone}image_projector.w{i}.weight"] for i in (1, 2, 3))
            features.append(F.linear(F.silu(F.linear(one, w1)) * F.linear(one, w3), w2))
    x = torch.cat([t[f"{core}wte.embedding"], t[f"{core}wte.new_embedding"]])[tokens].clone()
    for place, feature in zip([n for n, token in enumerate(tokens) if token == patch], features, strict=True):
        x[place] += feature
    K, T = D // H, len(tokens)
    angle = torch.outer(torch.arange(T).double(), 1e6 ** -(torch.arange(0, K, 2).double() / K)).float()
    cos, sin = torch.cat([angle.cos()] * 2, -1)[:, None], torch.cat([angle.sin()] * 2, -1)[:, None]

    def turned(y: Tensor) -> Tensor:
        one, two = y.chunk(2, -1)
        return y * cos + torch.cat([-two, one], -1) * sin

    for n in range(LAYERS):
        name = f"{core}blocks.{n}."
        y = rms(x, t[f"{name}attn_norm.weight"]) if biased else x
        qkv = F.linear(y, t[f"{name}att_proj.weight"], t.get(f"{name}att_proj.bias"))
        q, k, v = qkv.split((D, G * K, G * K), -1)
        if not biased:
            q, k = rms(q, t[f"{name}q_norm.weight"]), rms(k, t[f"{name}k_norm.weight"])
        q, k, v = turned(q.view(T, H, K)), turned(k.view(T, G, K)), v.view(T, G, K)
        k, v = (each.repeat_interleave(H // G, 1) for each in (k, v))
        score = torch.einsum("qhk,thk->hqt", q, k) / K**0.5
        score = score.masked_fill(~torch.ones(T, T, dtype=torch.bool).tril(), -torch.inf).softmax(-1)
        y = F.linear(torch.einsum("hqt,thk->qhk", score, v).reshape(T, D), t[f"{name}attn_out.weight"])
        x = x + (y if biased else rms(y, t[f"{name}attn_norm.weight"]))
        y = rms(x, t[f"{name}ff_norm.weight"]) if biased else x
        first, gate = F.linear(y, t[f"{name}ff_proj.weight"]).chunk(2, -1)
        y = F.linear(F.silu(gate) * first, t[f"{name}ff_out.weight"])
        x = x + (y if biased else rms(y, t[f"{name}ff_norm.weight"]))
    return F.linear(rms(x, t[f"{core}ln_f.weight"]), t[f"{core}ff_out.weight"])


@pytest.mark.parametrize("biased", [True, False], ids=["Molmo-7B-D", "Molmo-7B-O"])
def test_a_molmo_folder_computes_what_its_code_does(tmp_path: Path, biased: bool) -> None:
    tensors = molmo_folder(tmp_path / "molmo", biased=biased)
    begun = opened(tmp_path / "molmo")
    model = model_of(begun)
    assert begun.shape.crops.crop == SIDE * PATCH and begun.shape.vision.layers == VIT_LAYERS
    # The global view alone, so that the reference has one crop.
    shape = replace(begun.shape, crops=replace(begun.shape.crops, mode="global", margins=(0, 0)))
    examples = Examples(shape, begun.tokenizer, begun.end, 128)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (10, 16, 3), dtype=np.uint8))
    layout, pixels, inside = cut(picture, shape.crops)
    beginning = (begun.end, *np.array(shape.markers)[layout.kinds].tolist())
    asked = examples.encoded(" User: What is it? Assistant:")
    inputs, _, _ = examples.batch([Row(beginning, (Branch(asked, len(asked)),), pixels, inside, layout)], "cpu")
    with torch.no_grad():
        found = model(inputs)[0]
        expected = slow_molmo(tensors, [*beginning, *asked], shape.markers[3], pixels[0], inside[0], biased=biased)
    assert len(np.unique(inside)) > 1
    torch.testing.assert_close(found[:, :V], expected, atol=2e-4, rtol=1e-3)


def test_a_folder_that_lacks_a_tensor_or_is_of_another_kind_is_refused(tmp_path: Path) -> None:
    tensors = molmo_folder(tmp_path / "molmo", biased=True)
    del tensors["model.vision_backbone.image_projector.w3.weight"]
    save_file(tensors, str(tmp_path / "molmo" / "model.safetensors"))
    with pytest.raises(TrainerError, match="w3"):
        opened(tmp_path / "molmo")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "dinov2"}')
    with pytest.raises(TrainerError, match="dinov2"):
        read_vision(tmp_path / "other")
