import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from dagster_project.cli.model import model_command
from trainers.core import checkpoint
from trainers.core.checkpoint import MODEL
from trainers.core.loading import load_decoder
from trainers.exchange import export_model, import_model, logits, main
from trainers.models.config import DenseConfig, MoEConfig
from trainers.models.decoder import decoder
from trainers.process.errors import TrainerError

os.environ["HF_HUB_OFFLINE"] = "1"
ROOT = Path(__file__).parents[2]
DENSE = DenseConfig(vocab_size=61, sequence_length=32, width=16, layers=2, heads=4, hidden=24, init_std=0.3)
MOE = MoEConfig(
    vocab_size=61,
    sequence_length=32,
    width=16,
    layers=2,
    heads=4,
    hidden=8,
    experts=6,
    experts_per_token=3,
    norm_placement="pre",
    norm_eps=1e-5,
    rope_theta=10_000.0,
    init_std=0.3,
)
SHAPES = {
    "olmo2": DENSE,
    "olmo2, grouped and tied": replace(DENSE, key_value_heads=2, tied=True),
    "olmoe": MOE,
    "olmoe, grouped and renormalised": replace(MOE, key_value_heads=2, renormalise=True),
    "dense with norms before": replace(DENSE, norm_placement="pre"),
}
TOKENS = [5, 6, 7, 60, 0, 3, 3, 17]


def a_checkpoint(folder: Path, config: DenseConfig) -> Path:
    """A checkpoint of random weights, gains included."""
    model = decoder(config).initialise(0)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("gain"):
                parameter.uniform_(0.5, 1.5, generator=draw)
    state = {"step": 3, "tokens": 9, "fingerprint": "made", "eot": 0, "config": {"model": vars(config)}}
    checkpoint.write(folder, state, {MODEL: dict(model.state_dict())})
    return folder


def a_tokenizer(path: Path) -> Path:
    tokenizer = Tokenizer(models.WordLevel({"<end>": 0, "rain": 1, "falls": 2}, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<end>"])
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
    return path


def logits_of_transformers(folder: Path) -> np.ndarray:
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    model, report = loaded
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        return model(torch.tensor([TOKENS])).logits[0].numpy()


def a_model_of_transformers(folder: Path, kind: str) -> Path:
    from transformers import Olmo2Config, Olmo2ForCausalLM, OlmoeConfig, OlmoeForCausalLM

    shape: dict[str, Any] = {
        "vocab_size": 61,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32,
        "initializer_range": 0.3,
        "pad_token_id": None,
        "eos_token_id": 4,
    }
    torch.manual_seed(0)
    if kind == "olmo2":
        model = Olmo2ForCausalLM(Olmo2Config(**shape))
    else:
        model = OlmoeForCausalLM(OlmoeConfig(**shape, num_experts=5, num_experts_per_tok=2))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
    model.save_pretrained(folder, max_shard_size="20KB")
    return folder


@pytest.mark.parametrize("shape", SHAPES)
def test_an_exported_model_has_the_same_logits_in_transformers(shape, tmp_path):
    source = a_checkpoint(tmp_path / "step_00000003", SHAPES[shape])
    export_model(source, tmp_path / "out", shard_bytes=8_000)
    assert (tmp_path / "out" / "model.safetensors.index.json").is_file()
    ours = logits(source, TOKENS)
    assert ours.dtype == np.float32 and ours.std() > 0.1
    assert np.abs(ours - logits_of_transformers(tmp_path / "out")).max() < 1e-4


@pytest.mark.parametrize("kind", ["olmo2", "olmoe"])
def test_a_model_of_transformers_has_the_same_logits_here(kind, tmp_path):
    folder = a_model_of_transformers(tmp_path / "theirs", kind)
    assert len(list(folder.glob("*.safetensors"))) > 1
    theirs = logits_of_transformers(folder)
    assert np.abs(logits(folder, TOKENS) - theirs).max() < 1e-4
    found = import_model(folder, tmp_path / "ours")
    assert found.state["eot"] == 4
    assert np.abs(logits(tmp_path / "ours", TOKENS) - theirs).max() < 1e-4


@pytest.mark.parametrize("shape", SHAPES)
def test_out_and_in_again_are_the_same_bits(shape, tmp_path):
    source = a_checkpoint(tmp_path / "step_00000003", SHAPES[shape])
    export_model(source, tmp_path / "out")
    back = import_model(tmp_path / "out", tmp_path / "back")
    one, other = load_decoder(source), load_decoder(tmp_path / "back")
    assert all(torch.equal(one.state_dict()[name], tensor) for name, tensor in other.state_dict().items())
    assert np.array_equal(logits(source, TOKENS), logits(tmp_path / "back", TOKENS))
    assert back.model_config.kind == SHAPES[shape].kind


def test_bfloat16_halves_the_file_and_stays_close(tmp_path):
    source = a_checkpoint(tmp_path / "step_00000003", MOE)
    for dtype in ("float32", "bfloat16"):
        export_model(source, tmp_path / dtype, dtype=dtype)
    sizes = [
        sum(t.numel() * t.itemsize for t in load_file(tmp_path / dtype / "model.safetensors").values())
        for dtype in ("float32", "bfloat16")
    ]
    assert sizes[0] == 2 * sizes[1]
    weights = [load_decoder(tmp_path / dtype).embedding.weight for dtype in ("float32", "bfloat16")]
    assert torch.allclose(*weights, rtol=1e-2)


def test_the_tokenizer_goes_with_the_model(tmp_path):
    from transformers import AutoTokenizer

    run = tmp_path / "run"
    a_checkpoint(run / "step_00000003", DENSE)
    a_tokenizer(run / "tokenizer.json")
    export_model(run, tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer is not None
    assert tokenizer("rain falls")["input_ids"] == [1, 2]
    assert tokenizer.eos_token == "<end>"
    import_model(tmp_path / "out", tmp_path / "back")
    export_model(tmp_path / "back", tmp_path / "again")
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def config_json(folder: Path, **changes) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"model_type": "mamba", "architectures": ["MambaForCausalLM"]}, "MambaForCausalLM is not known"),
        ({"clip_qkv": 8.0}, "clip_qkv is 8.0"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_type is 'yarn'"),
        ({"num_hidden_layers": 3}, r"model.layers.2.self_attn.q_proj.weight is missing"),
        ({"num_hidden_layers": 1}, r"model.layers.1.* has no place"),
        ({"vocab_size": 62}, r"model.embed_tokens.weight has shape \(61, 16\), not \(62, 16\)"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(tmp_path, changes, cause):
    export_model(a_checkpoint(tmp_path / "step_00000003", MOE), tmp_path / "out")
    with pytest.raises(TrainerError, match=cause):
        import_model(config_json(tmp_path / "out", **changes), tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_missing_or_broken_file_is_named(tmp_path):
    export_model(a_checkpoint(tmp_path / "step_00000003", DENSE), tmp_path / "out")
    path = tmp_path / "out" / "model.safetensors"
    whole = load_file(path)
    save_file({name: tensor for name, tensor in whole.items() if name != "lm_head.weight"}, path)
    with pytest.raises(TrainerError, match=r"lm_head\.weight is missing"):
        load_decoder(tmp_path / "out")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainerError, match="is not a safetensors file"):
        load_decoder(tmp_path / "out")
    path.unlink()
    with pytest.raises(TrainerError, match="holds neither"):
        load_decoder(tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"norm": "layer"}, "has the norm 'layer'"),
        ({"qk_norm": False}, "no QK-norm"),
        ({"qk_norm_width": "head"}, "QK-norm a head"),
    ],
)
def test_a_model_without_that_form_is_refused(tmp_path, change, cause):
    source = a_checkpoint(tmp_path / "step_00000003", replace(DENSE, **change))
    with pytest.raises(TrainerError, match=cause):
        export_model(source, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_00000003"]


def test_the_command_line_writes_logits(tmp_path, capsys):
    source = a_checkpoint(tmp_path / "step_00000003", DENSE)
    assert main(["export", str(source), str(tmp_path / "out")]) == 0
    for place in (source, tmp_path / "out"):
        assert main(["logits", str(place), "--tokens", "5,6,7", "--out", str(tmp_path / "logits.npy")]) == 0
        found = np.load(tmp_path / "logits.npy")
        assert (found.dtype, found.shape) == (np.float32, (3, 61))
        assert np.array_equal(found, logits(source, [5, 6, 7]))


@pytest.mark.parametrize(
    ("tokens", "cause"),
    [
        ("5,61", "token 61 is not in the vocabulary"),
        ("-1", "token -1"),
        ("5,x", "tokens are '5,x'"),
        (",".join(["1"] * 33), "33 tokens given"),
    ],
)
def test_tokens_that_the_model_does_not_know_are_refused(tmp_path, capsys, tokens, cause):
    source = a_checkpoint(tmp_path / "step_00000003", DENSE)
    assert main(["logits", str(source), f"--tokens={tokens}", "--out", str(tmp_path / "logits.npy")]) == 2
    error, mend = capsys.readouterr().err.splitlines()
    assert cause in error and mend.startswith("mend: ")
    assert not (tmp_path / "logits.npy").exists()


def test_watershed_model_exchanges_and_scores(tmp_path):
    source = a_checkpoint(tmp_path / "step_00000003", MOE)

    def watershed(*arguments: object):
        return CliRunner().invoke(model_command, [str(argument) for argument in arguments])

    assert watershed("export", source, tmp_path / "out").exit_code == 0
    assert watershed("import", tmp_path / "out", tmp_path / "back").exit_code == 0
    scored = watershed("logits", tmp_path / "back", "--tokens", "5,6,7", "--out", tmp_path / "logits.npy")
    assert scored.exit_code == 0 and "3 tokens x 61" in scored.output
    assert np.array_equal(np.load(tmp_path / "logits.npy"), logits(source, [5, 6, 7]))
    refused = watershed("import", tmp_path / "out", tmp_path / "back")
    assert refused.exit_code == 2 and "exists" in refused.output and "mend:" in refused.output


def test_no_transformers_is_needed():
    code = "import sys, trainers.exchange; assert not {'transformers', 'dagster', 'pyspark'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
