"""The tree of standards and its map, files of strangers, and labels inherited to the level of standards."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import networkx as nx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.errors import WatershedError
from spark_jobs.mathfish.curriculum import GROUPS, Curriculum, curriculum_of
from spark_jobs.mathfish.labels import label_rows, problem_and_label_rows
from spark_jobs.mathfish.made import made_curriculum, made_generated, made_problems, made_standards, made_stories
from spark_jobs.mathfish.reading import read_curriculum, read_groups, read_problems

SHARED = Path(os.environ.get("WATERSHED_SHARED", "")) / "data" / "mathfish"
published = pytest.mark.skipif(not (SHARED / "standards_rebuilt.jsonl").is_file(), reason="the data is not given")


@pytest.fixture(scope="module")
def tree() -> Curriculum:
    """The made curriculum."""
    return made_curriculum()


@pytest.fixture(scope="module")
def real() -> Curriculum:
    """The standards as published."""
    return read_curriculum(SHARED / "standards_rebuilt.jsonl", read_groups(SHARED / "domain_groups_inferred.json"))


def written(folder: Path, rows: list[Any], name: str = "rows.jsonl") -> str:
    """A file of JSON lines."""
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@published
def test_the_published_standards_have_the_known_counts_and_options(real: Curriculum) -> None:
    grades = Counter(real.grade(standard) for standard in real.standards)
    assert grades == {
        **{"K": 22, "1": 21, "2": 26, "3": 25, "4": 28, "5": 26},
        **{"6": 29, "7": 24, "8": 28, "HS": 156},
    }
    assert len(real.standards) == 385
    options = {group.name: len(real.cluster_options(group.name)) for group in real.groups}
    assert list(options.values()) == [3, 34, 9, 6, 2, 14, 12, 15, 27, 15, 0]
    # Clusters of several grades may share their words.
    assert any(len(clusters) > 1 for group in options for _, clusters in real.cluster_options(group))
    assert [(each.name, each.domains) for each in GROUPS] == [(each.name, each.domains) for each in real.groups]


@published
def test_every_published_standard_has_a_path_from_the_root(real: Curriculum) -> None:
    levels = {"Grade": 0, "HS Category": 0, "Domain": 1, "Cluster": 2, "Standard": 3}
    for standard in real.standards:
        path = real.path(standard)
        assert [levels[real[each].level] for each in path] == [0, 1, 2, 3]
        assert all(real[below].parent == above for above, below in pairwise(path))
    assert real.path("A-REI.B.4b") == ["A", "A-REI", "A-REI.B", "A-REI.B.4", "A-REI.B.4b"]


@published
def test_the_edges_of_the_published_standards_are_those_of_the_map_lifted_to_standards(real: Curriculum) -> None:
    expected = set()
    for row in csv.DictReader((SHARED / "atc_edges.csv").open()):
        ends = [real[end].parent if real[end].level == "Sub-standard" else end for end in (row["from"], row["to"])]
        ends = sorted(ends) if row["relation"] == "related" else ends
        if ends[0] != ends[1]:
            expected.add((*ends, row["relation"]))
    assert set(real.edges) == expected


@published
def test_distances_in_the_published_map_equal_those_of_networkx(real: Curriculum) -> None:
    graph = nx.Graph([(one, other) for one, other, _ in real.edges])
    graph.add_nodes_from(real.standards)
    expected = dict(nx.all_pairs_shortest_path_length(graph))
    for standard in real.standards:
        assert real.distances(standard) == expected[standard]
    assert any(len(real.distances(standard)) == 1 for standard in real.standards), "some standards have no edge"


def test_every_row_has_a_path_from_the_root(tree: Curriculum) -> None:
    assert tree.path("A-REI.B.4b") == ["A", "A-REI", "A-REI.B", "A-REI.B.4", "A-REI.B.4b"]
    for each in tree.rows:
        path = tree.path(each)
        assert path[-1] == each and not tree[path[0]].parent
        assert all(tree[below].parent == above for above, below in pairwise(path))
    assert tree.distance("3.NF.A.3", "4.NF.A.2") == 1, "the edge of a sub-standard is its standard's"
    assert tree.distance("S-ID.A.2", "K.CC.A.1") is None


def test_labels_are_standardised_and_inherited(tree: Curriculum) -> None:
    pairs = [("Alignment", "HSA-REI.B.4.b"), ("Addressing", "3.NF.A"), ("Building On", "1.OA.1")]
    pairs += [("Alignment", "MP2"), ("Alignment", "9.ZZ.A.1"), ("Alignment", "A-REI.B.4")]
    rows = label_rows(tree, "p", pairs)
    found = [(row["written"], row["standard"], row["inherited"], row["positive"], row["fault"]) for row in rows]
    assert found == [
        ("HSA-REI.B.4.b", "A-REI.B.4", "Sub-standard", True, ""),
        ("3.NF.A", "3.NF.A.1", "Cluster", True, ""),
        ("3.NF.A", "3.NF.A.3", "Cluster", True, ""),
        ("1.OA.1", "1.OA.A.1", "Standard", False, ""),
        ("MP2", None, None, False, "practice"),
        ("9.ZZ.A.1", None, None, False, "unknown"),
    ]


def test_problems_of_the_published_forms_are_read_with_fields_of_changing_types(
    tree: Curriculum, tmp_path: Path
) -> None:
    files = {"problems": made_problems(), "generated": made_generated()[0], "stories": made_stories()}
    places = [written(tmp_path, rows, f"{name}.jsonl") for name, rows in files.items()]
    rows, labels = problem_and_label_rows(tree, read_problems(places))
    assert [row["collection"] for row in rows] == [name for name, own in files.items() for _ in own]
    kinds = {type(json.loads(row["metadata"]).get("lesson_number")) for row in rows}
    assert kinds == {str, int, type(None)}
    # Only problems with a positive label count in the paper.
    assert sum(row["positive"] for row in rows[: len(files["problems"])]) == 40
    assert rows[0]["standards"] == ["K.CC.B.5"] and rows[0]["grades"] == ["K"]
    assert rows[-1]["answer"] and rows[-1]["labels"] == "[]" and not rows[-1]["positive"]
    assert {row["acquired"] for row in rows} == {"2026-01-01"}
    assert {label["problem"] for label in labels} <= {row["problem"] for row in rows}


def test_a_parquet_edition_gives_the_same_problems(tmp_path: Path) -> None:
    rows = made_problems()
    lines = list(read_problems([written(tmp_path, rows, "p.jsonl")]))
    texts = [{**row, "metadata": json.dumps(row["metadata"]), "elements": json.dumps(row["elements"])} for row in rows]
    pq.write_table(pa.Table.from_pylist(texts), tmp_path / "p.parquet")
    assert list(read_problems([str(tmp_path / "p.parquet")])) == lines


BAD_PROBLEMS = [
    ([1], "no JSON object"),
    ([{"text": "x"}], "id is not a string"),
    ([{"id": "a", "text": 5}], "text is not a string"),
    ([{"id": "a", "text": "x", "standards": {"a": 1}}], "standards is not a list"),
    ([{"id": "a", "text": "x", "standards": [["Alignment"]]}], "no pair of texts"),
    ([{"id": "a", "text": "x", "metadata": [1]}], "metadata is not an object"),
    ([{"id": "a\x1b", "text": "x"}], "id is not a string"),
    ([{"id": "a", "text": "x"}, {"id": "a", "text": "y"}], "also at"),
]


@pytest.mark.parametrize(("rows", "cause"), BAD_PROBLEMS)
def test_a_row_that_is_no_problem_is_refused_with_its_place(rows: list[Any], cause: str, tmp_path: Path) -> None:
    with pytest.raises(WatershedError, match=cause) as refused:
        list(read_problems([written(tmp_path, rows)]))
    assert f"rows.jsonl:{len(rows)}" in refused.value.cause


def test_half_a_surrogate_pair_and_deep_json_do_no_harm(tmp_path: Path) -> None:
    (found,) = read_problems([written(tmp_path, [{"id": "a", "text": "x \ud800"}])])
    found["text"].encode()
    (tmp_path / "deep.jsonl").write_text('{"id": "a", "text": "x", "metadata": ' + "[" * 100_000)
    with pytest.raises(WatershedError, match=r"deep\.jsonl:1"):
        list(read_problems([str(tmp_path / "deep.jsonl")]))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"parent": "4.NF"}, "4.NF"),
        ({"level": "Lesson"}, "level"),
        ({"connections": {"progress to": ["x"]}}, "'x'"),
        ({"connections": []}, ""),
        ({"id": "../up"}, "the id"),
        ({"parent": "K.CC.A.1"}, "below its parent"),
        ({"parent": None}, "no parent"),
    ],
)
def test_standards_that_contradict_themselves_are_refused(change: dict[str, Any], cause: str) -> None:
    rows = [row for row in made_standards() if row["id"].startswith("K") or row["id"] == "3.OA.A.3"]
    rows = [{**row, "connections": {}, "children": []} for row in rows]
    at = next(place for place, row in enumerate(rows) if row["id"] == "K.CC.B.5")
    rows = [row for row in rows if row["id"] != "3.OA.A.3"]
    rows[at] = {**rows[at], **change}
    if not cause:
        curriculum_of((str(place), row) for place, row in enumerate(rows))
        return
    with pytest.raises(WatershedError, match=cause):
        curriculum_of((str(place), row) for place, row in enumerate(rows))
