"""Vision transformers and language models of others against transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, Qwen2Config, Qwen2ForCausalLM

from transformers import SiglipVisionConfig, SiglipVisionModel  # isort: skip

from trainers.process.config_file import from_mapping
from trainers.vision.config import CaptionConfig
from trainers.vision.examples import Branch, Examples, Row
from trainers.vision.hugging_face import read_vision
from trainers.vision.model import VisionLanguageModel
from trainers.vision.opening import begin
from trainers.vision.tokens import make_tokenizer
from trainers.vision.transformer import VisionTransformer

CLIP: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
CLIP |= {"image_size": 32, "patch_size": 8}


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_vision_transformer_computes_what_transformers_does(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = (
        CLIPVisionModel(CLIPVisionConfig(**CLIP)) if kind == "clip" else SiglipVisionModel(SiglipVisionConfig(**CLIP))
    )
    theirs.eval().save_pretrained(str(tmp_path))
    shape, crops, weights = read_vision(tmp_path)
    ours = VisionTransformer(shape, crops.crop, crops.patch)
    ours.load_state_dict({name.removeprefix("vision."): weight for name, weight in weights.items()})
    pixels_CHW3 = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    mean, deviation = (torch.tensor(values) for values in (shape.mean, shape.deviation))
    with torch.no_grad():
        found = ours(pixels_CHW3, (-1, -3))
        given = ((pixels_CHW3.float() / 255 - mean) / deviation).permute(0, 3, 1, 2)
        hidden = theirs(pixel_values=given, output_hidden_states=True).hidden_states
    first = 1 if kind == "clip" else 0
    torch.testing.assert_close(found, torch.cat([hidden[3], hidden[1]], -1)[:, first:], atol=1e-5, rtol=1e-4)


def test_a_run_begins_with_a_vision_transformer_and_a_language_model_of_others(tmp_path: Path) -> None:
    torch.manual_seed(0)
    CLIPVisionModel(CLIPVisionConfig(**CLIP)).save_pretrained(str(tmp_path / "clip"))
    language = tmp_path / "qwen"
    shape: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    theirs = Qwen2ForCausalLM(Qwen2Config(**shape, num_key_value_heads=2, vocab_size=400, max_position_embeddings=128))
    for name, parameter in theirs.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    theirs.eval().save_pretrained(str(language))
    tokenizer = make_tokenizer(["Point to the red squares.", "There are none."], 400)
    tokenizer.save(language / "tokenizer.json")
    config = json.loads((language / "config.json").read_text())
    (language / "config.json").write_text(json.dumps(config | {"eos_token_id": tokenizer.number("<|endoftext|>")}))
    sources = {"a": {"group": "a", "shards": ["x"]}}
    given: dict[str, Any] = {"out": "x", "sources": sources, "groups": {"a": 1.0}}
    given |= {"vision": str(tmp_path / "clip"), "language": str(language)}
    begun = begin(from_mapping(given, CaptionConfig, "test"), ())
    model = VisionLanguageModel(begun.shape).initialise(0)
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in begun.weights.items():
            own[name][: len(weight)].copy_(weight)
    assert begun.shape.crops.crop == 32 and begun.shape.connector.layers == (-2, -3)
    assert not [name for name in own if name not in begun.weights and not name.startswith("connector.")]
    tokens = begun.tokenizer.encode("There are none.", special=False)
    with torch.no_grad():
        expected = theirs(torch.tensor([tokens])).logits[0]
        examples = Examples(begun.shape, begun.tokenizer, begun.end, 128)
        row = Row((), (Branch(tuple(tokens), 1),))
        found = model(examples.batch([row], "cpu")[0])[0, :, : expected.shape[1]]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
