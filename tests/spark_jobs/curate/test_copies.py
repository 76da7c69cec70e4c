"""Copies that a recipe finds in a run: which are kept, beside those of earlier runs, and what the run says of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.errors import WatershedError
from spark_jobs.curate.cluster_counts import cluster_counts
from spark_jobs.curate.copies_report import copies_lines
from spark_jobs.curate.earlier import INDEX
from spark_jobs.curate.explain import explain_document
from spark_jobs.curate.inputs import find_sources
from spark_jobs.curate.report import write_report
from spark_jobs.curate.run import Outcome, curate
from spark_jobs.curate.stage import duplicate_rows
from spark_jobs.recipes.reader import load_recipe
from spark_jobs.recipes.recipe import Recipe

FAULTS = Path(os.environ.get("WATERSHED_SHARED", "missing")) / "data/cases/faults"
PROSE = " ".join(f"word{number} of a sentence that goes on" for number in range(40))
OTHER = " ".join(f"thing{number} in another text of some length" for number in range(40))
LONGER = f"{PROSE} with an end of its own"


def recipe(folder: Path, method: str, **options: object) -> Recipe:
    """A recipe that keeps all documents with a word, and finds copies by one method."""
    path = folder / f"{method}.yaml"
    path.write_text(
        f"""\
name: {method}
description: made here
source: made here
steps:
  - rule: words_minimum
    statistic: words
    keep: ">="
    threshold: 1
    source: made here
deduplicate:
  - {json.dumps({"method": method, "source": "made here", **options})}
"""
    )
    return load_recipe(path)


def run(
    folder: Path, name: str, texts: Mapping[str, str | tuple[str, str]], by: Recipe, *against: str
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]], Outcome]:
    """Curate documents into `folder / name`: the kept ones and the rows of copies, by id, and the outcome.

    A document is a text, or a text and a URL.
    """
    rows = [
        {"id": id_, "text": text} if isinstance(text, str) else {"id": id_, "text": text[0], "url": text[1]}
        for id_, text in texts.items()
    ]
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    outcome = curate(
        find_sources([str(path)]), by, folder / name, against=[folder / earlier for earlier in against], workers=1
    )
    kept, duplicates = (
        {row["id"]: row for row in pq.read_table(folder / name / f"{file}.parquet").to_pylist()}
        for file in ("kept", "duplicates")
    )
    return kept, duplicates, outcome


@pytest.mark.parametrize("options", [{}, {"transitive": True}, {"verify": "signature"}])
def test_a_near_copy_of_an_earlier_document_is_dropped_however_long_it_is(
    tmp_path: Path, options: dict[str, object]
) -> None:
    by = recipe(tmp_path, "minhash", **options)
    run(tmp_path, "first", {"short": PROSE, "unlike": OTHER}, by)
    kept, duplicates, outcome = run(tmp_path, "second", {"long": LONGER, "longest": f"{LONGER} too"}, by, "first")
    assert not kept
    assert outcome.copies.dropped == {"minhash": 2}
    assert {id_: (row["kept_id"], row["kept_run"], row["kept"]) for id_, row in duplicates.items()} == {
        id_: ("short", str(tmp_path / "first"), False) for id_ in ("long", "longest")
    }
    assert {row["cluster_id"] for row in duplicates.values()} == {"long"}
    assert {row["cluster_size"] for row in duplicates.values()} == {3}
    assert min(row["similarity"] for row in duplicates.values()) >= 0.8
    assert "nearly the text of a document of an earlier run" in duplicates["long"]["reason"]


@pytest.mark.parametrize(("method", "key"), [("exact", "text"), ("url", "URL")])
def test_a_document_equal_to_an_earlier_one_is_dropped(tmp_path: Path, method: str, key: str) -> None:
    by = recipe(tmp_path, method)
    address = "https://example.org/a"
    run(tmp_path, "first", {"5": (PROSE, address), "6": (PROSE if key == "text" else "Short.", address)}, by)
    later = {
        "6": ("Words that stand in no other file.", "https://example.org/b"),
        "9": (PROSE if key == "text" else LONGER, address),
        "10": ("Words that stand twice in this file.", "https://example.org/c"),
        "11": ("Words that stand twice in this file.", "https://example.org/c"),
    }
    kept, duplicates, _ = run(tmp_path, "second", later, by, "first")
    assert kept.keys() == {"6", "10"}
    assert {id_: (row["kept_id"], row["kept_run"], row["reason"]) for id_, row in duplicates.items()} == {
        "9": ("5", str(tmp_path / "first"), f"same {key} as a document of an earlier run"),
        "10": ("10", None, "longest text, then least id"),
        "11": ("10", None, f"same {key} as the kept copy"),
    }


def test_an_earlier_run_stands_for_what_it_kept(tmp_path: Path) -> None:
    by = recipe(tmp_path, "minhash", recall=0.99999)
    words = [f"w{number:03d}" for number in range(140)]
    # Each is .85 like the one before it, and .74 like the one before that.
    links = [" ".join(words[8 * place : 8 * place + 100]) for place in range(3)]
    kept, *_ = run(tmp_path, "first", {"a": f"{links[0]} longest", "b": links[1]}, by)
    assert kept.keys() == {"a"}
    kept, *_ = run(tmp_path, "second", {"c": links[2]}, by, "first")
    assert kept.keys() == {"c"}
    assert pq.read_table(tmp_path / "first/index.parquet")["id"].to_pylist() == ["a"]


def test_paragraphs_of_earlier_documents_are_removed(tmp_path: Path) -> None:
    by = recipe(tmp_path, "paragraphs")
    run(tmp_path, "first", {"a": PROSE}, by)
    kept, duplicates, _ = run(tmp_path, "second", {"b": f"{PROSE}\n{OTHER}", "c": PROSE}, by, "first")
    assert kept.keys() == {"b"}
    assert kept["b"]["text"].strip() == OTHER
    assert duplicates["b"]["removed_bytes"] == len(PROSE)
    assert not duplicates["c"]["kept"]
    alone = recipe(tmp_path, "paragraphs", within=False)
    kept, *_ = run(tmp_path, "third", {"b": f"{PROSE}\n{OTHER}", "c": OTHER}, alone, "first")
    assert {id_: row["text"].strip() for id_, row in kept.items()} == {"b": OTHER, "c": OTHER}


@pytest.mark.parametrize("keep", ["first", "none"])
def test_substrings_of_earlier_documents_are_removed(tmp_path: Path, keep: str) -> None:
    by = recipe(tmp_path, "substrings", length=100, keep=keep)
    run(tmp_path, "first", {"a": PROSE}, by)
    before = (tmp_path / "first/kept.parquet").read_bytes()
    kept, duplicates, _ = run(tmp_path, "second", {"b": f"{OTHER} {PROSE[100:400]}", "c": PROSE}, by, "first")
    assert kept["b"]["text"] == f"{OTHER} "
    assert not duplicates["c"]["kept"]
    assert (tmp_path / "first/kept.parquet").read_bytes() == before


def test_ids_are_compared_within_their_run_only(tmp_path: Path) -> None:
    by = recipe(tmp_path, "minhash")
    run(tmp_path, "first", {"x": PROSE, "y": OTHER}, by)
    run(tmp_path, "second", {"x": "Words that stand in no other file, and are not a copy."}, by)
    kept, duplicates, _ = run(tmp_path, "third", {"x": OTHER, "y": "A text of its own."}, by, "first", "second")
    assert kept.keys() == {"y"}
    made = json.loads((tmp_path / "third/manifest.json").read_text())
    assert made["against"] == [str(tmp_path / "first"), str(tmp_path / "second")]
    assert (duplicates["x"]["kept_id"], duplicates["x"]["kept_run"]) == ("y", str(tmp_path / "first"))


@pytest.mark.parametrize("method", ["exact", "url", "minhash"])
def test_every_copy_is_dropped_if_none_is_to_be_kept(tmp_path: Path, method: str) -> None:
    by = recipe(tmp_path, method, keep="none")
    texts = {"a": (PROSE, "u"), "b": (PROSE, "u"), "c": (OTHER, "v")}
    kept, duplicates, _ = run(tmp_path, "out", texts, by)
    assert kept.keys() == {"c"}
    assert {id_: (row["kept"], row["kept_id"]) for id_, row in duplicates.items()} == dict.fromkeys("ab", (False, None))
    assert all("of which none is kept" in row["reason"] for row in duplicates.values())


@pytest.mark.parametrize("method", ["exact", "url", "minhash"])
def test_documents_can_be_compared_with_an_earlier_run_alone(tmp_path: Path, method: str) -> None:
    by = recipe(tmp_path, method, within=False)
    run(tmp_path, "first", {"a": (PROSE, "u")}, recipe(tmp_path, "exact"))
    texts = {"a": (OTHER, "v"), "b": (OTHER, "v"), "c": (PROSE, "u"), "d": (PROSE, "u")}
    kept, duplicates, _ = run(tmp_path, "second", texts, by, "first")
    assert kept.keys() == {"a", "b"}
    assert duplicates.keys() == {"c", "d"}
    with pytest.raises(WatershedError, match=f"recipe {method}: {method} with `within: false`"):
        run(tmp_path, "third", texts, by)


def test_an_index_on_its_own_serves_recipes_that_compare_no_texts(tmp_path: Path) -> None:
    run(tmp_path, "first", {"short": PROSE}, recipe(tmp_path, "minhash"))
    index = tmp_path / "apart.parquet"
    (tmp_path / "first/index.parquet").rename(index)
    with pytest.raises(WatershedError, match=r"apart\.parquet: an index on its own holds no texts"):
        run(tmp_path, "second", {"long": LONGER}, recipe(tmp_path, "minhash"), "apart.parquet")
    assert not (tmp_path / "second").exists()
    for by in (recipe(tmp_path, "minhash", verify="signature"), recipe(tmp_path, "exact")):
        kept, duplicates, _ = run(tmp_path, "third", {"long": LONGER, "same": PROSE}, by, "apart.parquet")
        assert duplicates["same"]["kept_id"] == "short"
        assert kept.keys() == ({"long"} if by.name == "exact" else set())


def test_an_index_of_an_earlier_version_lists_dropped_copies_too(tmp_path: Path) -> None:
    by = recipe(tmp_path, "exact")
    run(tmp_path, "first", {"a": PROSE}, by)
    index = pq.read_table(tmp_path / "first/index.parquet")
    dropped = index.set_column(0, "id", pa.array(["copy"]))
    pq.write_table(pa.concat_tables([dropped, index]), tmp_path / "first/index.parquet")
    _, duplicates, _ = run(tmp_path, "second", {"b": PROSE}, by, "first")
    assert duplicates["b"]["kept_id"] == "a"
    pq.write_table(dropped, tmp_path / "first/index.parquet")
    with pytest.raises(WatershedError, match=r"kept\.parquet and index\.parquet are of different runs"):
        run(tmp_path, "third", {"b": PROSE}, by, "first")


def test_what_is_not_an_index_is_refused(tmp_path: Path) -> None:
    by = recipe(tmp_path, "exact")
    (tmp_path / "empty").mkdir()
    pq.write_table(INDEX.empty_table().drop_columns(["minhash"]), tmp_path / "narrow.parquet")
    pq.write_table(INDEX.empty_table().set_column(0, "id", pa.array([], pa.int64())), tmp_path / "numbers.parquet")
    for place in ("empty", "narrow.parquet", "numbers.parquet", "exact.yaml"):
        with pytest.raises(WatershedError, match="not an index"):
            run(tmp_path, "out", {"a": PROSE}, by, place)


@pytest.mark.parametrize("damage", ["flipped", "signatures"])
def test_a_damaged_earlier_run_is_named(tmp_path: Path, damage: str) -> None:
    by = recipe(tmp_path, "minhash")
    run(tmp_path, "first", {f"d{number}": f"{PROSE} {number}" * number for number in range(1, 60)}, by)
    index = tmp_path / "first/index.parquet"
    if damage == "signatures":
        table = pq.read_table(index)
        pq.write_table(table.set_column(4, "minhash", pa.array([b"short"] * len(table))), index)
    else:
        data = bytearray(index.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
        index.write_bytes(data)
    with pytest.raises(WatershedError, match=r"first(/index\.parquet)?: (damaged|not an index) \("):
        run(tmp_path, "second", {"a": PROSE}, by, "first")


@pytest.mark.parametrize(
    ("method", "option", "message"),
    [
        ("minhash", {"verify": "guess"}, "verify is 'guess'; use one of jaccard, signature"),
        ("minhash", {"threshold": "0.8"}, "threshold is '0.8', not a number"),
        ("minhash", {"threshold": True}, "threshold is True, not a number"),
        ("minhash", {"threshold": 2}, "threshold 2 is not between 0 and 1"),
        ("minhash", {"transitive": "yes please"}, "transitive is 'yes please', not true or false"),
        ("exact", {"keep": "both"}, "keep is 'both'; use one of one, none"),
        ("exact", {"threshold": 0.8}, "deduplication exact has no option 'threshold'"),
        ("substrings", {"within": False}, "deduplication substrings has no option 'within'"),
        ("paragraphs", {"remove": "all"}, "remove is 'all'; use one of "),
    ],
)
def test_options_are_checked_before_documents_are_read(
    tmp_path: Path, method: str, option: dict[str, object], message: str
) -> None:
    with pytest.raises(WatershedError, match=message):
        run(tmp_path, "out", {"a": PROSE}, recipe(tmp_path, method, **option))
    assert not (tmp_path / "out").exists()


def test_the_screen_and_the_report_show_clusters_and_inputs_that_lose_most(tmp_path: Path) -> None:
    by = recipe(tmp_path, "minhash")
    texts = {"<b>kept\x1b[31m": LONGER, "copy": PROSE, "also": PROSE, "other": OTHER}
    _, _, outcome = run(tmp_path, "out", texts, by)
    lines = list(copies_lines(outcome))
    assert lines[0] == "copies by minhash: 1 clusters of 3 documents, by size 3 to 5: 1"
    first = "           3 documents, copies of <b>kept\N{REPLACEMENT CHARACTER}[31m  least similarity 0.9"
    assert lines[1].startswith(first)
    assert len(lines) == 2
    page = write_report(tmp_path / "out", by, outcome).read_text()
    assert "&lt;b&gt;kept" in page
    assert "least similarity" in page
    _, _, outcome = run(tmp_path, "again", {"a": PROSE, "b": LONGER, "c": "A text of its own."}, by, "out")
    assert list(copies_lines(outcome))[-1] == f"{tmp_path / 'again.jsonl'}: 2 of 3 documents are dropped as copies"
    assert "1 inputs lose more than half" in write_report(tmp_path / "again", by, outcome).read_text()
    explained = "\n".join(explain_document(find_sources([str(tmp_path / "again.jsonl")]), by, "a", tmp_path / "again"))
    assert f"of {tmp_path / 'out'}, similarity 0.9" in explained


def test_ten_clusters_are_shown_and_all_are_counted() -> None:
    sizes = [2] * 5 + [4] * 4 + [9] * 3 + [50, 700, 4000]
    clusters = [f"c{number:02d}" for number, size in enumerate(sizes) for _ in range(size)]
    similarity = [0.9 - 0.01 * number for number, size in enumerate(sizes) for _ in range(size)]
    rows = duplicate_rows(
        len(clusters),
        "minhash",
        id=pa.array([f"d{number}" for number in range(len(clusters))]),
        kept=pa.array([False] * len(clusters)),
        kept_id=pa.array(clusters),
        cluster_id=pa.array(clusters),
        cluster_size=pa.array([size for size in sizes for _ in range(size)]),
        similarity=pa.array(similarity),
    )
    found = cluster_counts("minhash", rows)
    assert found.sizes == (
        ("2", 5),
        ("3 to 5", 4),
        ("6 to 10", 3),
        ("11 to 100", 1),
        ("101 to 1,000", 1),
        ("1,001 or more", 1),
    )
    assert (found.clusters, found.documents) == (15, sum(sizes))
    assert [cluster.size for cluster in found.largest] == [4000, 700, 50, 9, 9, 9, 4, 4, 4, 4]
    assert found.largest[0].least_similarity == pytest.approx(0.76)


@pytest.mark.skipif(not FAULTS.is_dir(), reason="WATERSHED_SHARED names no folder with cases of faults")
def test_the_shared_cases_of_earlier_runs(tmp_path: Path) -> None:
    def run_case(file: str, by: str, out: str, *against: str) -> dict[str, dict[str, Any]]:
        places = [tmp_path / name for name in against]
        curate(find_sources([str(FAULTS / file)]), load_recipe(FAULTS / by), tmp_path / out, against=places, workers=1)
        return {row["id"]: row for row in pq.read_table(tmp_path / out / "kept.parquet").to_pylist()}

    assert run_case("against-longer-1.jsonl", "mh.yaml", "first").keys() == {"old"}
    assert not run_case("against-longer-2.jsonl", "mh.yaml", "second", "first")
    assert run_case("against-same-id/earlier.jsonl", "against-same-id/exact.yaml", "third").keys() == {"5"}
    later = run_case("against-same-id/later.jsonl", "against-same-id/exact.yaml", "fourth", "third")
    assert later.keys() == {"6"}
