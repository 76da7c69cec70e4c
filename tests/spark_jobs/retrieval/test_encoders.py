"""Encoders: static embeddings equal a plain mean; folders that hold none are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from catalog.errors import WatershedError
from spark_jobs.retrieval.encoders import WORDLLAMA, encoder_of

WORDS = ("[UNK]", "ice", "river", "sea")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of static embeddings, as model2vec saves them."""
    path = tmp_path_factory.mktemp("static")
    words = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    words.save(str(path / "tokenizer.json"))
    save_file({"embeddings": np.arange(12, dtype=np.float32).reshape(4, 3)}, path / "model.safetensors")
    return path


def test_a_static_encoder_is_the_mean_of_its_tokens(folder: Path) -> None:
    encoder = encoder_of(str(folder), cache=folder)
    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    mean = table[[1, 2, 2]].mean(axis=0)
    found = encoder.documents(["ice river river", "", "\ud800 quasar"])
    assert np.allclose(found[0], mean / np.linalg.norm(mean))
    assert not found[1].any() and encoder.stamp.dimensions == 3 and encoder.stamp.normalised


def test_the_stamp_follows_the_weights(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    save_file({"embeddings": np.ones((4, 3), dtype=np.float32)}, tmp_path / "model.safetensors")
    one, other = (encoder_of(str(place), cache=folder).stamp for place in (folder, tmp_path))
    assert one.revision != other.revision and one.digest != other.digest


def test_what_is_no_encoder_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WatershedError, match="is not an encoder"):
        encoder_of("nothing", cache=folder)
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    save_file({"a": np.ones((4, 3)), "b": np.ones((4, 3))}, tmp_path / "model.safetensors")
    with pytest.raises(WatershedError, match="2 matrices"):
        encoder_of(str(tmp_path), cache=folder)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(WatershedError, match="cannot be read"):
        encoder_of(str(tmp_path), cache=folder)


def test_the_packaged_encoder_tells_meanings_apart(tmp_path: Path) -> None:
    encoder = encoder_of(WORDLLAMA, cache=tmp_path)
    query, near, far = encoder.queries(["glaciers melt", "ice sheets are thawing", "the stock market rose"])
    assert query @ near > query @ far + 0.1
    assert encoder.stamp.dimensions == 256
