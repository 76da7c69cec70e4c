from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from catalog.errors import WatershedError
from dagster_project.cli import main
from spark_jobs.shards import from_files
from spark_jobs.shards.documents import find_files
from spark_jobs.shards.format import read_manifest, read_shard
from spark_jobs.shards.from_files import FileShards, make_shards
from spark_jobs.shards.tokenizer import encode, load_tokenizer, tokenizer_bytes, train_tokenizer
from spark_jobs.shards.writer import ShardRecipe
from trainers.data.shards import check_manifest
from trainers.pretrain import pretrain
from trainers.pretraining.config import RunConfig

DRAW = random.Random(0)
WORDS = ["".join(DRAW.choice("abcdefgh é中") for _ in range(DRAW.randint(2, 8))) for _ in range(300)]
TEXTS = [f"{number} " + " ".join(DRAW.choice(WORDS) for _ in range(DRAW.randint(3, 60))) for number in range(600)]
RECIPE = ShardRecipe(sequence_length=32, shard_tokens=4000)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """a.jsonl without ids, b.jsonl.gz with ids and sources, c.parquet, and a tokenizer."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in [*TEXTS[:200], ""]))
    rows = [{"id": number, "source": "wiki", "text": text} for number, text in enumerate(TEXTS[200:400])]
    (folder / "b.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    pq.write_table(pa.table({"text": TEXTS[400:]}), folder / "c.parquet")
    (folder / "tokenizer.json").write_bytes(tokenizer_bytes(train_tokenizer(TEXTS, 500)))
    return folder


def job(inputs: Path, out: Path, *names: str, **changes) -> FileShards:
    files = find_files([str(inputs / name) for name in names or ("a.jsonl", "b.jsonl.gz", "c.parquet")])
    made = FileShards(files=tuple(files), tokenizer=inputs / "tokenizer.json", out=out, recipe=RECIPE, heldout=0.1)
    return replace(made, **changes)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def documents(out: Path, split: str, eot: int = 0) -> list[tuple[int, ...]]:
    """The whole documents of a split: a shard's stream, cut at the token that ends a document."""
    found = []
    for line in read_manifest(out / split):
        stream = read_shard(out / split / f"{line.shard}.tar").reshape(-1)
        begin = 0
        for stop in np.flatnonzero(stream == eot):
            found.append(tuple(stream[begin:stop].tolist()))
            begin = stop + 1
    return found


def test_neither_workers_nor_the_order_of_inputs_changes_a_byte(inputs, tmp_path):
    one = make_shards(job(inputs, tmp_path / "one"))
    two = make_shards(job(inputs, tmp_path / "two", "c.parquet", "b.jsonl.gz", "a.jsonl"), workers=2)
    assert one == two
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert one.shards["train"] > 3
    assert (one.documents, one.empty) == (600, 1)
    other = make_shards(job(inputs, tmp_path / "other", recipe=replace(RECIPE, seed=1)))
    assert (
        contents(tmp_path / "other")["train/shard_00000000.tar"]
        != contents(tmp_path / "one")["train/shard_00000000.tar"]
    )
    assert other.fingerprint != one.fingerprint


def test_every_document_is_there_once_with_the_tokens_of_the_library(inputs, tmp_path):
    out = tmp_path / "shards"
    made = make_shards(job(inputs, out))
    tokenizer = load_tokenizer(inputs / "tokenizer.json")
    expected = {tuple(encode(tokenizer, text).tolist()) for text in TEXTS}
    train, heldout = documents(out, "train"), documents(out, "heldout")
    assert len(set(train)) == len(train)
    assert set(train) | set(heldout) <= expected
    # What a shard's last sequence does not hold is dropped, and nothing else is.
    assert sum(made.tokens.values()) + made.dropped_tokens == sum(len(ids) + 1 for ids in expected)
    assert not set(train) & set(heldout)
    assert 0.05 < len(heldout) / 600 < 0.15


def test_the_manifest_counts_what_the_trainer_checks(inputs, tmp_path):
    out = tmp_path / "shards"
    make_shards(job(inputs, out))
    tokenizer = load_tokenizer(inputs / "tokenizer.json")
    for split in ("train", "heldout"):
        checked = check_manifest(out / split)
        sizes = 0
        for line in read_manifest(out / split):
            tokens = read_shard(out / split / f"{line.shard}.tar")
            assert sum(line.sources.values()) == line.tokens == tokens.size
            assert set(line.sources) <= {"a", "wiki", "c"}
            ordinary = tokens.reshape(-1)[tokens.reshape(-1) != 0].tolist()
            # A shard's end may cut a character, whose bytes then decode to a replacement of three.
            assert abs(line.text_bytes - len(tokenizer.decode(ordinary).encode())) <= 3
            sizes += line.text_bytes
        assert checked.bytes_per_token == pytest.approx(sizes / sum(shard.tokens for shard in checked.shards))


def test_an_exact_copy_is_on_the_side_of_its_original(inputs, tmp_path):
    (tmp_path / "copies.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS[:200]))
    out = tmp_path / "shards"
    files = find_files([str(inputs / "a.jsonl"), str(tmp_path / "copies.jsonl")])
    make_shards(job(inputs, out, heldout=0.3, files=tuple(files)))
    train, heldout = documents(out, "train"), documents(out, "heldout")
    assert len(train) > len(set(train))
    assert not set(train) & set(heldout)


@pytest.mark.parametrize("kind", ["NumPy", "raw", "llm.c"])
def test_token_files_hold_the_same_documents(inputs, tmp_path, kind):
    tokenizer = load_tokenizer(inputs / "tokenizer.json")
    stream = np.array([token for text in TEXTS for token in (*encode(tokenizer, text), 0)], np.uint16)
    place = tmp_path / ("tokens.npy" if kind == "NumPy" else "tokens.bin")
    if kind == "NumPy":
        np.save(place, stream.astype(np.int64))
    else:
        header = np.zeros(256 if kind == "llm.c" else 0, "<i4")
        header[:2] = (20240520, 1) if kind == "llm.c" else ()
        place.write_bytes(header.tobytes() + stream.tobytes())
    out = tmp_path / "shards"
    made = make_shards(job(inputs, out, files=tuple(find_files([str(place)]))))
    found = documents(out, "train") + documents(out, "heldout")
    assert made.documents == 600
    assert set(found) <= {tuple(encode(tokenizer, text).tolist()) for text in TEXTS}
    assert sum(made.tokens.values()) + made.dropped_tokens == len(stream)
    texts = make_shards(job(inputs, tmp_path / "texts"))
    kept = sum(line.text_bytes for split in ("train", "heldout") for line in read_manifest(out / split))
    assert kept == pytest.approx(sum(len(text.encode()) for text in TEXTS), rel=0.02)
    assert made.tokens["train"] == pytest.approx(texts.tokens["train"], rel=0.1)


def test_another_tokenizer_than_byte_level_is_counted_by_the_texts(inputs, tmp_path):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    special = ["<unk>", "</s>"]
    tokenizer.train_from_iterator(
        TEXTS, trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False)
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "</s>"}}))
    out = tmp_path / "shards"
    make_shards(job(inputs, out, tokenizer=tmp_path))
    assert json.loads((out / "dataset.json").read_text())["eot"] == 1
    kept = sum(line.text_bytes for split in ("train", "heldout") for line in read_manifest(out / split))
    assert kept == pytest.approx(sum(len(text.encode()) for text in TEXTS), rel=0.01)
    whole = {tuple(tokenizer.encode(text, add_special_tokens=False).ids) for text in TEXTS}
    assert set(documents(out, "train", eot=1)) <= whole


def test_an_interrupted_run_goes_on_to_the_same_bytes(inputs, tmp_path, monkeypatch):
    make_shards(job(inputs, tmp_path / "whole"))
    keep, kept = from_files.ShardWriter.keep, []

    def failing(self, split, number, stream, text_bytes):
        if len(kept) == 2:
            raise KeyboardInterrupt
        kept.append(number)
        return keep(self, split, number, stream, text_bytes)

    monkeypatch.setattr(from_files.ShardWriter, "keep", failing)
    with pytest.raises(KeyboardInterrupt):
        make_shards(job(inputs, tmp_path / "cut"))
    assert not (tmp_path / "cut" / "dataset.json").exists()
    made, encoded = [], []
    monkeypatch.setattr(
        from_files.ShardWriter, "keep", lambda self, *given: (made.append(given[1]), keep(self, *given))[1]
    )
    monkeypatch.setattr(from_files.Vocabulary, "encode", lambda *given: encoded.append(given))
    make_shards(job(inputs, tmp_path / "cut"))
    assert not encoded
    assert not set(kept) & set(made[: len(made) - 1])
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_what_other_work_left_unfinished_is_not_taken_for_this(inputs, tmp_path, monkeypatch):
    keep = from_files.ShardWriter.keep
    with monkeypatch.context() as patched:
        patched.setattr(from_files, "write_manifests", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            make_shards(job(inputs, tmp_path / "cut", "a.jsonl"))
        (tmp_path / "cut" / "dataset.json").unlink()
    assert from_files.ShardWriter.keep is keep
    make_shards(job(inputs, tmp_path / "cut"))
    make_shards(job(inputs, tmp_path / "whole"))
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_finished_shards_are_recognised_damaged_ones_made_again_and_other_ones_refused(inputs, tmp_path):
    out = tmp_path / "shards"
    first = make_shards(job(inputs, out))
    assert replace(make_shards(job(inputs, out)), made_before=False) == first
    assert make_shards(job(inputs, out)).made_before
    before = contents(out)
    (out / "train" / "shard_00000001.tar").write_bytes(b"")
    assert not make_shards(job(inputs, out)).made_before
    assert contents(out) == before
    with pytest.raises(WatershedError, match="other inputs or of another recipe"):
        make_shards(job(inputs, out, "a.jsonl"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    with pytest.raises(WatershedError, match=r"holds other files, such as thesis\.txt"):
        make_shards(job(inputs, tmp_path / "home"))
    assert (tmp_path / "home" / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("name", "data", "cause"),
    [
        ("x.jsonl", b'{"text": "a"}\nnot json\n', r"x\.jsonl:2: not valid JSON"),
        ("x.jsonl", b'{"body": "a"}\n', r"x\.jsonl:1: no object with a column 'text'"),
        ("x.jsonl", b'{"text": 5}\n', r"x\.jsonl:1: 'text' is int, not a text"),
        ("x.jsonl", b'{"text": "\xff"}\n', r"x\.jsonl:1: not valid JSON in UTF-8"),
        ("x.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 1000)[:-20], r"x\.jsonl\.gz: damaged or cut short"),
        ("x.parquet", b"PAR1", r"x\.parquet: not a Parquet file"),
        ("x.bin", b"\x01\x00\x02", r"x\.bin: 3 bytes are not a whole number of uint16"),
        ("x.bin", np.array([1, 2, 60000], "<u2").tobytes(), r"x\.bin: token 60000 at 2 is none of 500"),
        ("x.npy", b"\x93NUMPY\x01\x00", r"x\.npy: not a NumPy array"),
        ("x.txt", b"text", r"x\.txt: a file of this kind cannot be read"),
        ("x.jsonl", b'{"text": "short"}\n', "fills no sequence of 32"),
    ],
)
def test_an_input_that_cannot_be_used_is_named(inputs, tmp_path, name, data, cause):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WatershedError, match=cause) as refused:
        make_shards(job(inputs, tmp_path / "out", files=tuple(find_files([str(tmp_path / name)]))))
    assert refused.value.mend
    assert not (tmp_path / "out" / "dataset.json").exists()


@pytest.mark.parametrize(
    ("end", "data", "cause"),
    [("<end>", None, "has no token '<end>'"), (None, b"{}", "not a tokenizer"), (None, b"\xff", "not a tokenizer")],
)
def test_a_tokenizer_that_cannot_be_used_is_named(inputs, tmp_path, end, data, cause):
    place = inputs / "tokenizer.json"
    if data is not None:
        place = tmp_path / "tokenizer.json"
        place.write_bytes(data)
    with pytest.raises(WatershedError, match=cause):
        make_shards(job(inputs, tmp_path / "out", tokenizer=place, end=end))


def test_from_files_to_a_trained_model(inputs, tmp_path):
    out = tmp_path / "shards"
    words = [
        "shards",
        str(inputs / "*.jsonl*"),
        str(inputs / "c.parquet"),
        "--tokenizer",
        str(inputs / "tokenizer.json"),
    ]
    words += ["--out", str(out), "--sequence-length", "32", "--shard-tokens", "4000", "--heldout", "0.1"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "600 documents, 1 empty ones left out" in done.output
    result = pretrain(RunConfig(preset="30k-1xC", shards=str(out), out=str(tmp_path / "run"), steps=12, batch=8))
    assert result["heldout_bits_per_byte"] < 8
    assert "already in" in CliRunner().invoke(main, words).output
    refused = CliRunner().invoke(main, [*words[:1], str(tmp_path / "nothing"), *words[3:]])
    assert refused.exit_code == 2
    assert "no such file" in refused.output
