"""Two folders that no lake holds: what is trained on and asked, and a planted better one that is found."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from benchmarks.comparisons import made_prose, word_salad
from catalog.errors import WatershedError
from dagster_project.cli import main
from dagster_project.families.ladder.comparison.folder_data import Folders, write_folders
from spark_jobs.shards.format import read_shard
from spark_jobs.shards.tokenizer import load_tokenizer
from spark_jobs.shards.writer import ShardRecipe


def write_side(folder: Path, seed: int, documents: int, spoilt: float = 0.0) -> Path:
    draw = random.Random(seed)
    folder.mkdir()
    texts = [made_prose(draw) for _ in range(documents)]
    texts = [word_salad(draw, text) if draw.random() < spoilt else text for text in texts]
    (folder / "part.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return folder


QUIZ = [
    {"query": f"{i}: who crossed the stone bridge", "choices": ["the heron did", "bridge stone the"], "gold": i % 2}
    for i in range(6)
]
CLOZE = [{"context": f"{i}: a ferryman counted", "continuation": f"seven boats {i}"} for i in range(5)]
SCHEMA = [
    {
        "context_options": [f"{i}: In the rain the heron", f"{i}: In the rain a coin"],
        "continuation": "crossed the road",
        "gold": 0,
    }
    for i in range(4)
]


def write_lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def sides(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sides")
    found = {
        "clean": write_side(root / "clean", 1, 400),
        "mixed": write_side(root / "mixed", 2, 300, spoilt=0.5),
        "books": write_side(root / "books", 3, 60),
    }
    # A held-out book that slipped into one side, which must not be trained on.
    leaked = (found["books"] / "part.jsonl").read_text().splitlines()[0]
    pq.write_table(pa.table({"text": [json.loads(leaked)["text"]]}), found["clean"] / "leak.parquet")
    for name, rows in (("quiz", QUIZ), ("cloze", CLOZE), ("schema", SCHEMA)):
        found[name] = write_lines(root / f"{name}.jsonl", rows)
    return found


def test_both_sides_have_as_many_bytes_and_neither_holds_a_held_out_document(sides, tmp_path):
    folders = Folders(
        first=sides["clean"],
        second=sides["mixed"],
        heldout=sides["books"],
        questions=(sides["quiz"], sides["cloze"], sides["schema"]),
    )
    written = write_folders(folders, tmp_path, 40_000, 600, ShardRecipe(sequence_length=128))
    clean, mixed = written.datasets
    assert (clean.mixture.name, mixed.mixture.name) == ("clean", "mixed")
    assert clean.bytes == mixed.bytes
    assert abs(clean.tokens - mixed.tokens) < 0.4 * clean.tokens
    tokenizer = load_tokenizer(clean.folder / "tokenizer.json")
    tokens = np.concatenate([read_shard(path).ravel() for path in (clean.folder / "train").glob("*.tar")])
    text = tokenizer.decode(tokens.tolist())
    leaked = pq.read_table(sides["clean"] / "leak.parquet")["text"][0].as_py()
    assert leaked[:200] not in text
    asked = json.loads((written.questions.with_suffix(".json")).read_text())
    assert asked["tasks"] == ["continuation", "quiz", "cloze", "schema"]
    with np.load(written.questions) as arrays:
        by_task = np.bincount(arrays["task"])
        assert by_task.tolist()[1:] == [6, 5, 4]
        counts = np.diff(arrays["options_start"])
        assert set(counts[arrays["task"] == 2]) == {4}
        gold = arrays["options_start"][:-1] + arrays["gold"]
        first = int(np.flatnonzero(arrays["task"] == 2)[0])
        start, stop = arrays["offsets"][gold[first]], arrays["offsets"][gold[first] + 1]
        assert tokenizer.decode(arrays["tokens"][start:stop].tolist()) == " seven boats 0"
    again = write_folders(folders, tmp_path, 40_000, 600, ShardRecipe(sequence_length=128))
    assert again == written


def test_a_folder_of_shards_is_read_as_its_documents(sides, tmp_path):
    folders = Folders(first=sides["clean"], second=sides["mixed"], heldout=sides["books"], questions=())
    first = write_folders(folders, tmp_path, 20_000, 600, ShardRecipe(sequence_length=128))
    shards = first.datasets[1].folder
    folders = Folders(first=sides["clean"], second=shards, heldout=sides["books"], questions=())
    second = write_folders(folders, tmp_path, 20_000, 600, ShardRecipe(sequence_length=128))
    assert second.datasets[1].documents > 20
    assert second.datasets[0].bytes == second.datasets[1].bytes


def test_without_questions_two_folders_are_refused_and_so_are_one_folder_and_an_empty_one(sides, tmp_path, monkeypatch):
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    (tmp_path / "empty").mkdir()
    for arguments, cause in (
        ((sides["clean"], sides["mixed"]), "nothing to ask both folders about"),
        ((sides["clean"], "unselected"), "unselected is not a folder of documents"),
        ((sides["clean"], sides["clean"], "--heldout", sides["books"]), "are the same folder"),
        (("selected", "unselected", "--heldout", sides["books"]), "selected is not one"),
    ):
        result = CliRunner().invoke(main, ("compare", *map(str, arguments)))
        assert result.exit_code == 2
        assert cause in result.stderr
    folders = Folders(first=tmp_path / "empty", second=sides["mixed"], heldout=sides["books"], questions=())
    with pytest.raises(WatershedError, match="empty"):
        write_folders(folders, tmp_path, 20_000, 600, ShardRecipe())


@pytest.mark.campaign
@pytest.mark.parametrize("turned", [False, True])
def test_a_planted_better_folder_is_found_at_three_seeds_from_either_side(sides, tmp_path, monkeypatch, turned):
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    pair = [str(sides["mixed"]), str(sides["clean"])][:: 1 if turned else -1]
    scale = ("--sizes", "30k-0.1xC,30k-0.2xC", "--target", "30k-0.5xC", "--seeds", "3")
    out = tmp_path / "out.json"
    asked = ("--heldout", str(sides["books"]), "--out", str(out))
    result = CliRunner().invoke(main, ("compare", *pair, *asked, *scale), env={"DAGSTER_HOME": str(tmp_path / "home")})
    assert result.exit_code == 0, result.output
    assert f"questions: the held-out text of {sides['books']}" in result.stdout
    report = json.loads(out.read_text())
    assert report["decision"]["better"] == "clean"
    assert report["decision"]["answer"] == ("worse" if turned else "better")
