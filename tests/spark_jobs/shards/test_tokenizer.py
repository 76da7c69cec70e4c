"""The tokenizer."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from made_documents import SPELT_OUT, listing, mixed_lake, prose
from tokenizers import Tokenizer

from catalog.errors import WatershedError
from spark_jobs.dclm.tokenizer import stored_tokenizer, write_tokenizer
from spark_jobs.shards.tokenizer import (
    END_OF_DOCUMENT,
    EOT,
    TokenizerRecipe,
    bytes_of_tokens,
    encode,
    load_tokenizer,
    tokenizer_bytes,
    train_tokenizer,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TEXTS = [prose(seed) for seed in range(30)] + [listing(seed) for seed in range(10)] + [SPELT_OUT]
TRAIN = """
import hashlib
from made_documents import listing, prose
from spark_jobs.shards.tokenizer import tokenizer_bytes, train_tokenizer
texts = [prose(seed) for seed in range(30)] + [listing(seed) for seed in range(10)]
print(hashlib.sha256(tokenizer_bytes(train_tokenizer(texts, 600))).hexdigest())
"""


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_bytes(tokenizer_bytes(train_tokenizer(TEXTS, 600)))
    return load_tokenizer(path)


def test_training_twice_on_any_number_of_threads_gives_the_same_bytes() -> None:
    here = Path(__file__).parents[1]
    digests = set()
    for threads in (
        {"RAYON_NUM_THREADS": "1"},
        {"RAYON_NUM_THREADS": "2"},
        {"RAYON_NUM_THREADS": "2", "TOKENIZERS_PARALLELISM": "false"},
    ):
        paths = {"PYTHONPATH": os.pathsep.join((str(here), str(here.parents[1])))}
        done = subprocess.run(
            [sys.executable, "-c", TRAIN], env=os.environ | threads | paths, capture_output=True, text=True, check=True
        )
        digests.add(done.stdout)
    texts = [prose(seed) for seed in range(30)] + [listing(seed) for seed in range(10)]
    digests.add(hashlib.sha256(tokenizer_bytes(train_tokenizer(texts, 600))).hexdigest() + "\n")
    assert len(digests) == 1


def test_id_zero_ends_a_document_and_the_vocabulary_is_as_large_as_asked(tokenizer: Tokenizer) -> None:
    assert tokenizer.token_to_id(END_OF_DOCUMENT) == EOT == 0
    assert tokenizer.get_vocab_size() == 600


@pytest.mark.parametrize("text", [*TEXTS[::10], SPELT_OUT, "", " \n\t ", "\u0000\u2028é\u0301", "🌧" * 50])
def test_decoding_gives_the_text_back_and_tokens_count_its_bytes(tokenizer: Tokenizer, text: str) -> None:
    ids = encode(tokenizer, text)
    assert tokenizer.decode(ids.tolist(), skip_special_tokens=False) == text
    assert bytes_of_tokens(tokenizer)[ids].sum() == len(text.encode())


def test_a_text_that_spells_out_the_end_of_a_document_does_not_end_one(tokenizer: Tokenizer) -> None:
    assert END_OF_DOCUMENT in SPELT_OUT
    assert EOT not in encode(tokenizer, SPELT_OUT)


def test_a_vocabulary_too_small_for_the_bytes_is_refused() -> None:
    with pytest.raises(WatershedError, match=r"vocab_size 256 .* 257 or more"):
        TokenizerRecipe(vocab_size=256)


def test_it_learns_from_training_text_alone_and_the_table_names_the_file(spark: SparkSession, tmp_path: Path) -> None:
    secret = "zyxwvut" * 200
    lake = mixed_lake(tmp_path, [secret, *TEXTS], heldout=1)
    counts = write_tokenizer(spark, lake, TokenizerRecipe(vocab_size=500), "a" * 16)
    path, row = stored_tokenizer(lake)
    assert path == lake.folder("dclm.tokenizer", "a" * 16) / "tokenizer.json"
    assert counts["documents"] == len(TEXTS)
    assert row["trained_on_bytes"] == sum(len(text.encode()) for text in TEXTS)
    tokens = sum(len(encode(load_tokenizer(path), text)) for text in TEXTS)
    assert row["bytes_per_token"] == pytest.approx(row["trained_on_bytes"] / tokens)
    assert row["vocab_size"] == 500
    assert "zyx" not in path.read_text()


@pytest.mark.slow
def test_the_cap_takes_whole_documents_of_about_that_size(spark: SparkSession, tmp_path: Path) -> None:
    texts = [prose(seed) for seed in range(200)]
    size = sum(len(text.encode()) for text in texts)
    lake = mixed_lake(tmp_path, texts, heldout=1)
    counts = write_tokenizer(spark, lake, TokenizerRecipe(vocab_size=300, max_bytes=size // 4), "a" * 16)
    assert 0.15 < counts["trained_on_bytes"] / size < 0.35


@pytest.mark.slow
def test_a_tokenizer_file_that_was_changed_is_not_used(spark: SparkSession, tmp_path: Path) -> None:
    lake = mixed_lake(tmp_path, TEXTS, heldout=1)
    write_tokenizer(spark, lake, TokenizerRecipe(vocab_size=300), "a" * 16)
    path, _ = stored_tokenizer(lake)
    path.write_text(path.read_text() + " ")
    with pytest.raises(WatershedError, match=r"is not the file that dclm.tokenizer names; materialise dclm.tokenizer"):
        stored_tokenizer(lake)
