"""Shards: their bytes, their spans, and writers that are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_documents import SPELT_OUT, doc_id, host, mixed_lake, prose, teach_tokenizer
from webdataset.compat import WebDataset

from catalog.errors import WatershedError
from catalog.files import sha256_of
from catalog.lake import Lake
from spark_jobs.dclm.shards import plan_shards, write_shards
from spark_jobs.dclm.tokenizer import stored_tokenizer
from spark_jobs.hash_order import hash_key
from spark_jobs.shards.format import read_manifest, read_shard, tar_bytes, token_dtype
from spark_jobs.shards.tokenizer import EOT, load_tokenizer, vocabulary
from spark_jobs.shards.writer import ShardRecipe, ShardWriter, lay_out

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

DATASET = "a" * 16
RECIPE = ShardRecipe(sequence_length=31, shard_tokens=6_000, seed=7)
HELDOUT, TWICE = 12, 20
TEXTS = [*(prose(seed, 40 + 13 * seed % 300) for seed in range(100)), *(SPELT_OUT * n for n in range(1, 9)), "é"]
WITH_ONE_WORKER = """
import sys
from pathlib import Path
from catalog.lake import Lake
from catalog.settings import load_settings
from spark_jobs.spark.session import spark_session
from spark_jobs.dclm.shards import write_shards
from spark_jobs.shards.writer import ShardRecipe
root, project = sys.argv[1:]
lake = Lake(root, Path(root) / "_files", {})
recipe = ShardRecipe(sequence_length=31, shard_tokens=6_000, seed=7)
print(write_shards(spark_session(load_settings(Path(project))), lake, recipe, "c" * 16))
"""
KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from catalog.files import whole_file
with whole_file(Path(sys.argv[1])) as fresh:
    fresh.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, dict[str, Any]]:
    lake = mixed_lake(tmp_path_factory.mktemp("shards"), TEXTS, heldout=HELDOUT, twice=TWICE)
    teach_tokenizer(lake, TEXTS, 400)
    return lake, write_shards(spark, lake, RECIPE, DATASET)


def folder(lake: Lake, dataset: str = DATASET) -> Path:
    return lake.folder("dclm.shards", dataset)


def files(place: Path) -> dict[str, bytes]:
    """Every file below, hidden ones included."""
    return {str(p.relative_to(place)): p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}


def spans(lake: Lake) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Rows of dclm.spans by shard, in the order of the stream."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in sorted(lake.read("dclm.spans").to_pylist(), key=lambda row: row["start"]):
        found.setdefault((row["split"], row["shard"]), []).append(row)
    return found


def test_spans_cover_every_token_of_every_shard_exactly_once(made: tuple[Lake, dict[str, Any]]) -> None:
    lake, _ = made
    by_shard = spans(lake)
    shards = lake.read("dclm.shards").to_pylist()
    assert {(row["split"], row["shard"]) for row in shards} == by_shard.keys()
    for row in shards:
        rows = by_shard[row["split"], row["shard"]]
        assert [span["start"] for span in rows] == [0, *(span["stop"] for span in rows[:-1])]
        assert rows[-1]["stop"] == row["tokens"] == row["sequences"] * (RECIPE.sequence_length + 1)
        assert len(rows) == row["documents"]


def test_the_tokens_of_a_span_decode_to_its_document(made: tuple[Lake, dict[str, Any]]) -> None:
    lake, _ = made
    tokenizer = load_tokenizer(stored_tokenizer(lake)[0])
    texts = {doc_id(number): text for number, text in enumerate(TEXTS)}
    whole = 0
    for (split, shard), rows in spans(lake).items():
        stream = read_shard(folder(lake) / split / f"{shard}.tar").ravel()
        for span in rows:
            tokens = stream[span["start"] : span["stop"]]
            ended = tokens[-1] == EOT
            whole += ended
            decoded = tokenizer.decode(tokens[: len(tokens) - ended].tolist(), skip_special_tokens=False)
            text = texts[span["doc_id"]]
            assert decoded == text if ended else text.startswith(decoded.rstrip("\ufffd"))
            assert ended or span is rows[-1]
    assert whole > 100


def test_any_sequence_names_its_documents_and_they_hold_its_text(made: tuple[Lake, dict[str, Any]]) -> None:
    lake, _ = made
    tokenizer = load_tokenizer(stored_tokenizer(lake)[0])
    texts = {doc_id(number): text for number, text in enumerate(TEXTS)}
    draw = random.Random(1)
    for (split, shard), rows in spans(lake).items():
        sequences = read_shard(folder(lake) / split / f"{shard}.tar")
        place = draw.randrange(len(sequences))
        low, high = place * (RECIPE.sequence_length + 1), (place + 1) * (RECIPE.sequence_length + 1)
        inside = [span for span in rows if span["start"] < high and span["stop"] > low]
        parts = np.split(sequences[place], np.flatnonzero(sequences[place] == EOT) + 1)
        parts = [part for part in parts if len(part)]
        assert len(parts) == len(inside)
        for part, span in zip(parts, inside, strict=True):
            ids = part[part != EOT].tolist()
            assert tokenizer.decode(ids, skip_special_tokens=False).strip("\ufffd") in texts[span["doc_id"]]


def test_a_document_is_in_its_split_as_often_as_the_mixture_says(made: tuple[Lake, dict[str, Any]]) -> None:
    lake, _ = made
    found: dict[tuple[str, str], int] = {}
    for (split, _), rows in spans(lake).items():
        for span in rows:
            found[split, span["doc_id"]] = found.get((split, span["doc_id"]), 0) + 1
    lost = 0
    for number in range(len(TEXTS)):
        split = "heldout" if number < HELDOUT else "train"
        times = found.pop((split, doc_id(number)), 0)
        wanted = 2 if number >= len(TEXTS) - TWICE else 1
        assert times <= wanted
        lost += wanted - times
    assert not found
    assert lost <= len(lake.read("dclm.shards")), "only a document within a shard's dropped end may be missing"


def test_documents_stand_in_hash_order(made: tuple[Lake, dict[str, Any]]) -> None:
    lake, _ = made
    order: list[str] = []
    for (split, _), rows in sorted(spans(lake).items()):
        if split == "heldout":
            order += [span["doc_id"] for span in rows]
    keys = [hash_key(RECIPE.seed, "shards", id_, 0) for id_ in order]
    assert keys == sorted(keys)


def test_webdataset_reads_the_shards_in_order(made: tuple[Lake, dict[str, Any]]) -> None:
    lake, _ = made
    for line in read_manifest(folder(lake) / "train"):
        path = folder(lake) / "train" / f"{line.shard}.tar"
        dataset: Any = WebDataset(str(path), shardshuffle=False).decode()
        sequences = np.concatenate([sample["tokens.npy"] for sample in dataset])
        assert sequences.dtype == np.uint16
        assert (sequences == read_shard(path)).all()
        assert sequences.shape == (line.num_sequences, RECIPE.sequence_length + 1)


def test_the_manifest_and_the_table_say_what_the_files_are(made: tuple[Lake, dict[str, Any]]) -> None:
    lake, counts = made
    tokenizer = load_tokenizer(stored_tokenizer(lake)[0])
    rows = {(row["split"], row["shard"]): row for row in lake.read("dclm.shards").to_pylist()}
    lines = [line for split in ("train", "heldout") for line in read_manifest(folder(lake) / split)]
    by_shard, texts = spans(lake), {doc_id(number): text for number, text in enumerate(TEXTS)}

    entries = vocabulary(tokenizer)

    def text_bytes(span: dict[str, Any]) -> int:
        ids = tokenizer.encode(texts[span["doc_id"]]).ids
        # In a byte-level vocabulary each character of an entry is a byte.
        cut = ids[: span["stop"] - span["start"]]
        return len(texts[span["doc_id"]].encode()) if cut == ids else sum(len(entries[i]) for i in cut)

    assert len(rows) == len(lines) == counts["shards"]
    for line in lines:
        path, row = folder(lake) / line.split / f"{line.shard}.tar", rows[line.split, line.shard]
        assert lake.files / row["path"] == path
        assert row["sha256"] == line.sha256 == sha256_of(path)
        assert row["bytes"] == line.bytes == path.stat().st_size
        sequences = read_shard(path)
        assert row["tokens"] == line.tokens == sequences.size
        assert (
            row["text_bytes"] == line.text_bytes == sum(text_bytes(span) for span in by_shard[line.split, line.shard])
        )
        assert {entry["source"]: entry["tokens"] for entry in row["sources"]} == line.sources
        assert sum(line.sources.values()) == line.tokens
    dataset = json.loads((folder(lake) / "dataset.json").read_text())
    assert dataset == {"fingerprint": DATASET, "vocab_size": 400, "sequence_length": 31, "eot": 0, "seed": 7}
    assert (folder(lake) / "tokenizer.json").read_bytes() == stored_tokenizer(lake)[0].read_bytes()


def test_the_manifest_offsets_are_where_the_arrays_lie(made: tuple[Lake, dict[str, Any]]) -> None:
    lake, _ = made
    for split in ("train", "heldout"):
        for line in read_manifest(folder(lake) / split):
            path = folder(lake) / split / f"{line.shard}.tar"
            with path.open("rb") as file:
                parts = []
                for member in line.members:
                    file.seek(member.offset)
                    parts.append(np.lib.format.read_array(file, allow_pickle=False))
                    assert len(parts[-1]) == member.sequences <= 256
            assert (np.concatenate(parts) == read_shard(path)).all()


def test_a_broken_data_set_is_mended_by_making_again_what_is_broken(
    spark: SparkSession, made: tuple[Lake, dict[str, Any]]
) -> None:
    lake, counts = made
    before = files(folder(lake))
    times = {path: path.stat().st_mtime_ns for path in folder(lake).glob("*/*.tar")}
    shards = sorted(times)
    assert len(shards) == counts["shards"] >= 6
    torn, unnoted = shards[1], shards[3]
    torn.write_bytes(torn.read_bytes()[:-7])
    (folder(lake) / "made" / unnoted.parent.name / f"{unnoted.stem}.json").unlink()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_WRITING, str(unnoted)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert list(unnoted.parent.glob(".*"))
    again = write_shards(spark, lake, RECIPE, DATASET)
    assert again == counts | {"made": 2}
    assert files(folder(lake)) == before
    assert {path for path in shards if path.stat().st_mtime_ns == times[path]} == {*shards} - {torn, unnoted}


def test_a_writer_that_dies_between_files_leaves_no_half_shard(
    made: tuple[Lake, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, _ = made
    writer = ShardWriter(tmp_path, stored_tokenizer(lake)[0], RECIPE)
    rows = [{"key": hash_key(0, "x", n), "doc_id": doc_id(n), "source": host(n), "text": TEXTS[n]} for n in range(20)]
    documents = pa.Table.from_pylist(rows)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        with pytest.raises(WatershedError, match=r"parquet was not written: No space left on device; free some space"):
            writer.make("train", 0, documents)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["shard_00000000.tar"]
    assert not writer.is_finished("train", 0)
    writer.make("train", 0, documents.take(list(range(19, -1, -1))))
    assert writer.is_finished("train", 0)
    assert not list(tmp_path.rglob(".*"))
    straight = replace(writer, folder=tmp_path / "straight")
    straight.make("train", 0, documents)
    assert straight.tar("train", 0).read_bytes() == writer.tar("train", 0).read_bytes()


@pytest.mark.campaign
def test_the_same_data_set_comes_from_one_worker_and_from_two(
    made: tuple[Lake, dict[str, Any]], tmp_path: Path
) -> None:
    lake, _ = made
    environment = os.environ | {"WATERSHED_SPARK_MASTER": "local[1]", "PYTHONPATH": str(Path(__file__).parents[3])}
    before = files(folder(lake))
    version = lake.version("dclm.spans")
    subprocess.run(
        [sys.executable, "-c", WITH_ONE_WORKER, lake.root, str(tmp_path)], env=environment, check=True, timeout=300
    )
    other = files(folder(lake, "c" * 16))
    for name in before:
        if name != "dataset.json":
            assert other[name] == before[name], name
    assert before.keys() == other.keys()
    assert files(folder(lake)) == before
    spans_of = [lake.table("dclm.spans", each).to_pyarrow_table() for each in (version, None)]
    assert spans_of[0].num_rows
    assert len({json.dumps(sorted(map(str, table.to_pylist()))) for table in spans_of}) == 1


def test_another_data_set_is_left_alone(spark: SparkSession, made: tuple[Lake, dict[str, Any]]) -> None:
    lake, _ = made
    before = files(folder(lake))
    other = ShardRecipe(sequence_length=15, shard_tokens=40_000, seed=8)
    write_shards(spark, lake, other, "d" * 16)
    assert files(folder(lake)) == before
    assert {row["dataset"] for row in lake.read("dclm.shards").to_pylist()} == {"d" * 16}


def test_a_split_that_fills_no_sequence_is_an_error(spark: SparkSession, made: tuple[Lake, Any]) -> None:
    lake, _ = made
    version = lake.version("dclm.shards")
    with pytest.raises(WatershedError, match=r"fewer than a sequence of 50000 \+ 1; let more documents through"):
        write_shards(spark, lake, ShardRecipe(sequence_length=50_000, shard_tokens=90_000), "e" * 16)
    assert lake.version("dclm.shards") == version


def test_sequences_are_consecutive_cuts_and_the_rest_is_counted() -> None:
    ids = [np.arange(10, 10 + n, dtype=np.uint32) for n in (5, 0, 3, 9)]
    stream = lay_out(["a", "b", "c", "d"], ["x", "x", "y", "y"], ids, 4, token_dtype(100))
    flat = [*range(10, 15), EOT, EOT, 10, 11, 12, EOT, *range(10, 19), EOT]
    assert stream.sequences.tolist() == [flat[start : start + 5] for start in (0, 5, 10, 15)]
    assert stream.dropped_tokens == 1
    assert stream.spans["start"].to_pylist() == [0, 6, 7, 11]
    assert stream.spans["stop"].to_pylist() == [6, 7, 11, 20]


def test_a_document_beyond_the_last_whole_sequence_has_no_span() -> None:
    ids = [np.full(9, 3, np.uint32), np.full(3, 4, np.uint32)]
    stream = lay_out(["a", "b"], ["x", "y"], ids, 9, token_dtype(100))
    assert stream.spans.to_pylist() == [{"start": 0, "stop": 10, "doc_id": "a", "source": "x"}]
    assert stream.dropped_tokens == 4


def test_shards_are_of_nearly_equal_size_and_numbered_without_gaps() -> None:
    draw = random.Random(3)
    sizes = {"split": [], "bin": [], "bytes": []}
    for split, count in (("train", 5000), ("heldout", 300)):
        for place in draw.sample(range(16**5), count):
            sizes["split"].append(split)
            sizes["bin"].append(place)
            sizes["bytes"].append(60_000 if draw.random() < 0.001 else int(draw.expovariate(1 / 2_000)))
    plan = plan_shards(pa.table(sizes), 200_000)
    assert plan.num_rows == 5300
    held: dict[tuple[str, int], int] = {}
    known = dict(zip(zip(sizes["split"], sizes["bin"], strict=True), sizes["bytes"], strict=True))
    for row in plan.to_pylist():
        held[row["split"], row["shard"]] = held.get((row["split"], row["shard"]), 0) + known[row["split"], row["bin"]]
    for split in ("train", "heldout"):
        numbers = sorted(shard for name, shard in held if name == split)
        assert numbers == list(range(len(numbers)))
    assert all(100_000 < size < 320_000 for size in held.values())
    assert sum(size < 230_000 for size in held.values()) > 0.9 * len(held)


def test_tar_bytes_depend_on_the_sequences_alone() -> None:
    sequences = np.arange(600 * 5, dtype="<u2").reshape(600, 5)
    data, members = tar_bytes(3, sequences)
    assert tar_bytes(3, np.asfortranarray(sequences)) == (data, members)
    assert [member.sequences for member in members] == [256, 256, 88]
    assert [member.name for member in members] == [f"00000003-{n:06d}.tokens.npy" for n in range(3)]


def test_a_vocabulary_over_16_bits_is_stored_in_32() -> None:
    assert (token_dtype(65_536), token_dtype(65_537)) == (np.uint16, np.uint32)
