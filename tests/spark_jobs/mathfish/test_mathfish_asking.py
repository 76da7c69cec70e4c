"""Traversals and answers, the metrics of a traversal beside a slow computation, and teachers' and judges' verdicts."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from catalog.errors import WatershedError
from spark_jobs.mathfish.agreement import cohen_kappa, fleiss_kappa, observed_agreement
from spark_jobs.mathfish.alignment import VERDICTS, alignment_rows, read_verdict
from spark_jobs.mathfish.asking import AskRecipe, Recorded, answers, judgements, read_recorded, traversals
from spark_jobs.mathfish.curriculum import MODELING, Curriculum
from spark_jobs.mathfish.graph import Distances, chance_traversal, placed, summarise_traversals
from spark_jobs.mathfish.labels import problem_and_label_rows
from spark_jobs.mathfish.made import made_curriculum, write_made
from spark_jobs.mathfish.reading import read_curriculum, read_groups, read_problems, read_teachers
from spark_jobs.mathfish.results import result_rows
from spark_jobs.mathfish.scores import chance_tagging, score_tagging
from spark_jobs.mathfish.tasks import TaskRecipe, letters, tagging_task, tasks_of

Row = dict[str, Any]
SHARED = Path(os.environ.get("WATERSHED_SHARED", "")) / "data" / "mathfish"
published = pytest.mark.skipif(not (SHARED / "standards_rebuilt.jsonl").is_file(), reason="the data is not given")


@pytest.fixture(scope="module")
def tree() -> Curriculum:
    """The made curriculum."""
    return made_curriculum()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of the made problems."""
    return dict(write_made(tmp_path_factory.mktemp("made")))


@pytest.fixture(scope="module")
def problems(tree: Curriculum, made: dict[str, Path]) -> list[Row]:
    """Rows of mathfish.problems for the made problems."""
    places = [str(path) for name, path in made.items() if name not in ("standards.jsonl", "teachers.csv")]
    return problem_and_label_rows(tree, read_problems(places))[0]


def gold_replies(tree: Curriculum, rows: list[Row]) -> dict[str, str]:
    """The right reply to every prompt of a traversal along the labels."""
    found = {}
    for row in rows:
        gold = row["standards"]
        branches = [("domain", "")]
        branches += [("cluster", group) for group in tree.gold_groups(gold) if group != MODELING]
        branches += [("standard", tree[each].parent) for each in gold]
        for level, branch in branches:
            task = tagging_task(tree, row, TaskRecipe(), level, branch)
            name = f"{row['problem']}_{level}" + (f"_{branch}" if branch else "")
            found[name] = ", ".join(letters(task.correct)) or "none"
    return found


def test_a_traversal_follows_the_choices_of_the_model(tree: Curriculum, problems: list[Row]) -> None:
    own = [row for row in problems if row["positive"]]
    right = traversals(Recorded(gold_replies(tree, own)), "gold", tree, own, tasks=TaskRecipe(), recipe=AskRecipe())
    for row in right:
        # Clusters of the same words are one option; the one that is not a label has no recorded reply.
        assert row["predicted"] == row["labels"], row
    measures = summarise_traversals(right)
    assert measures["acc"] == measures["weak_acc"] == measures["in_gold_group"] == 1.0
    assert measures["min_distance"] == 0.0
    silent = traversals(Recorded({}), "silent", tree, own, tasks=TaskRecipe(), recipe=AskRecipe())
    assert {row["complete"] for row in silent} == {False}
    assert {row["steps"][0]["malformed"] for row in silent} == {"no reply is recorded"}
    assert summarise_traversals(silent)["in_gold_group"] is None


def test_a_wrong_turn_leads_to_options_without_a_right_one(tree: Curriculum, problems: list[Row]) -> None:
    row = next(row for row in problems if row["standards"] == ["8.G.B.7"])
    task = tagging_task(tree, row, TaskRecipe(), "domain")
    wrong = next(place for place, option in enumerate(task.options) if option.ids == ("Functions",))
    replies = {f"{row['problem']}_domain": letters([wrong])[0], f"{row['problem']}_cluster_Functions": "None."}
    (found,) = traversals(Recorded(replies), "wrong", tree, [row], tasks=TaskRecipe(), recipe=AskRecipe())
    assert [(step["level"], step["branch"], step["correct"], step["chosen"]) for step in found["steps"]] == [
        ("domain", "", ["Geometry"], ["Functions"]),
        ("cluster", "Functions", [], []),
    ]
    measures = summarise_traversals([found])
    assert measures["precision_none_cluster"] == measures["recall_none_cluster"] == 1.0
    assert found["complete"] and not found["predicted"]


def slow_traversals(tree: Curriculum, pairs: list[tuple[set[str], set[str]]]) -> dict[str, Any]:
    """The definitions, written out, with the distances of networkx."""
    graph = nx.Graph()
    graph.add_nodes_from(tree.standards)
    graph.add_edges_from((one, other) for one, other, _ in tree.edges)
    weak, groups, grades, total, lost = [], 0, 0, 0, 0
    near: list[int] = []
    for predicted, labels in pairs:
        if any(each in labels for each in predicted):
            weak.append((predicted, labels))
        for each in predicted:
            total += 1
            groups += any(tree.group(each) == tree.group(label) for label in labels)
            grades += any(tree.grade(each) == tree.grade(label) for label in labels)
            lengths = [
                nx.shortest_path_length(graph, each, label) for label in labels if nx.has_path(graph, each, label)
            ]
            near += [min(lengths)] if lengths else []
            lost += not lengths
    return {
        "acc": sum(sorted(one) == sorted(other) for one, other in pairs) / len(pairs),
        "weak_acc": len(weak) / len(pairs),
        "weak_label_subset_pred": sum(q < p for p, q in weak) / len(weak) if weak else None,
        "weak_pred_subset_label": sum(p < q for p, q in weak) / len(weak) if weak else None,
        "in_gold_group": groups / total if total else None,
        "in_gold_grade": grades / total if total else None,
        "min_distance": sum(near) / len(near) if near else None,
        "no_path": lost / total if total else None,
    }


def test_the_metrics_of_traversals_equal_a_slow_computation_on_500_cases(tree: Curriculum) -> None:
    distances = Distances(tree)
    for seed in range(500):
        draw = random.Random(seed)
        pairs, rows = [], []
        for _ in range(draw.randint(1, 6)):
            labels = set(draw.sample(tree.standards, draw.randint(0, 3)))
            predicted = draw.choice([set(), labels, set(draw.sample(tree.standards, draw.randint(1, 4)))])
            predicted = predicted | set(draw.sample(sorted(labels), min(len(labels), draw.randint(0, 2))))
            pairs.append((predicted, labels))
            own = placed(tree, distances, sorted(predicted), sorted(labels))
            rows.append(
                {"predicted": sorted(predicted), "labels": sorted(labels), "complete": True, "steps": [], **own}
            )
        found = summarise_traversals(rows)
        for name, value in slow_traversals(tree, pairs).items():
            assert found[name] == (None if value is None else pytest.approx(value)), (seed, name)


def test_chance_is_what_random_replies_get(tree: Curriculum) -> None:
    draw = random.Random(3)
    for options, label in ((4, [1]), (7, [0, 2, 3]), (5, [])):
        scored = [score_tagging("ABCDEFG"[draw.randrange(options)], label, options) for _ in range(2000)]
        expected = chance_tagging(label, options)
        for name in ("score", "weak", "option_accuracy"):
            assert sum(row[name] for row in scored) / 2000 == pytest.approx(expected[name], abs=0.04)
    for labels in (["8.G.B.7"], ["3.OA.A.3", "2.OA.A.1"], ["2.OA.A.1", "1.OA.A.1"], []):
        walked = [randomly(tree, draw) for _ in range(3000)]
        exact, weak = chance_traversal(tree, labels)
        if labels:
            assert sum(each == set(labels) for each in walked) / 3000 == pytest.approx(exact, abs=0.012)
        assert sum(bool(each & set(labels)) for each in walked) / 3000 == pytest.approx(weak, abs=0.018)


def randomly(tree: Curriculum, draw: random.Random) -> set[str]:
    """Where a traversal ends that takes one option of each prompt at random."""
    group = draw.choice(tree.groups).name
    if group == MODELING:
        return set()
    _, clusters = draw.choice(tree.cluster_options(group))
    return {draw.choice(tree.below(cluster)) for cluster in clusters}


def test_answers_are_scored_and_what_is_malformed_is_counted(tree: Curriculum, problems: list[Row]) -> None:
    tasks = [task.row() for task in tasks_of(tree, problems, TaskRecipe())]
    replies = {}
    for place, task in enumerate(tasks):
        right = task["answer"] if task["kind"] != "tagging" else ", ".join(letters(task["correct"]))
        replies[task["task"]] = "Perhaps." if place % 4 == 0 else right
    rows = answers(Recorded(replies), "m", tasks, AskRecipe(), lambda reply, answer: (reply, float(reply == answer)))
    for place, (task, row) in enumerate(zip(tasks, rows, strict=True)):
        if task["kind"] != "solving":
            assert bool(row["malformed"]) == (place % 4 == 0)
        assert row["score"] == (place % 4 != 0)
    found = result_rows("m", tree, {task["task"]: task for task in tasks}, rows, traversals=[], judgements=[])
    values = {(row["task"], row["by"], row["group"], row["measure"]): row for row in found}
    own = [row for task, row in zip(tasks, rows, strict=True) if task["kind"] == "verification"]
    malformed = sum(bool(row["malformed"]) for row in own)
    assert values["verification", "all", "", "malformed"]["value"] == malformed > 0
    assert values["verification", "all", "", "acc"]["value"] == pytest.approx(1 - malformed / len(own))
    assert values["verification", "strategy", "neighbors", "acc"]["chance"] == 0.5
    parts = [
        [row["score"] for task, row in zip(tasks, rows, strict=True) if task["answer"] == each]
        for each in ("yes", "no")
    ]
    balanced = (sum(parts[0]) / len(parts[0]) + sum(parts[1]) / len(parts[1])) / 2
    assert values["verification", "all", "", "balanced_acc"]["value"] == pytest.approx(balanced)
    assert ("verification", "strategy", "positive", "balanced_acc") not in values
    assert {row["group"] for row in found if row["by"] == "level"} == {"domain", "cluster", "standard"}


def test_teachers_verdicts_find_their_problems(tree: Curriculum, problems: list[Row], made: dict[str, Path]) -> None:
    rows = alignment_rows(tree, problems, read_teachers(made["teachers.csv"]))
    assert Counter(row["matched"] for row in rows) == {"exact": len(rows)}
    texts = {row["problem"]: row["text"] for row in problems}
    teachers = read_teachers(made["teachers.csv"])
    shortened = [{**row, "text": row["text"][:-12] if row["row"] == 4 else row["text"]} for row in teachers]
    shortened[6] = {**shortened[6], "text": "Nothing like it."}
    again = alignment_rows(tree, problems, shortened)
    assert [row["matched"] for row in again[:7]] == ["exact"] * 4 + ["similar", "exact", "none"]
    assert again[4]["problem"] == rows[4]["problem"] and texts[again[4]["problem"]].startswith("Problem 2.0")
    assert again[6]["problem"] is None


@published
def test_the_published_table_of_alignment_by_model() -> None:
    real = read_curriculum(SHARED / "standards_rebuilt.jsonl", read_groups(SHARED / "domain_groups_inferred.json"))
    place = str(SHARED / "mathfish_generated_problems_as_input_data.jsonl")
    rows, _ = problem_and_label_rows(real, read_problems([place]))
    teachers = read_teachers(SHARED / "mathfish_generated_problems_teacher_annotations.csv")
    found = alignment_rows(real, rows, teachers)
    assert Counter(row["matched"] for row in found) == {"exact": 293, "similar": 7}
    assert len({row["problem"] for row in found}) == 300
    table = Counter((row["model"].split("/")[-1].split("-")[0], row["verdict"]) for row in found)
    counts = {name: [table[name, verdict] for verdict in VERDICTS] for name in ("gpt", "Mixtral", "Llama")}
    assert counts == {"gpt": [52, 33, 15, 0], "Mixtral": [35, 45, 18, 2], "Llama": [19, 45, 30, 6]}


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        *(("full", "full"), ("**Partial**: it counts only to 10.", "partial"), ("None.", "none")),
        *(("Answer: not_math", "not_math"), ("Not a math problem.", "not_math"), ('{"answer": "none"}', "none")),
        *(("It is full of numbers.", None), ("full or partial", None), ("Full/partial", None), ("", None)),
        *(("fully", None), ("Answer: full\nAnswer: none", None), ("nonesuch", None), ("Teilweise", None)),
    ],
)
def test_verdicts_of_a_judge_are_read_and_never_guessed(reply: str, verdict: str | None) -> None:
    assert read_verdict(reply)[0] == verdict
    assert bool(read_verdict(reply)[1]) == (verdict is None)


def test_a_judge_is_compared_with_the_teachers(tree: Curriculum, problems: list[Row], made: dict[str, Path]) -> None:
    alignment = alignment_rows(tree, problems, read_teachers(made["teachers.csv"]))
    by_problem = {row["problem"]: row for row in problems}
    replies = {f"{row['problem']}_judge_{row['standard']}": row["verdict"] for row in alignment}
    replies[next(iter(replies))] = "Hm."
    rows = judgements(Recorded(replies), "m", tree, alignment, problems=by_problem, recipe=AskRecipe())
    measures = {row["measure"]: row["value"] for row in result_rows("m", tree, {}, [], traversals=[], judgements=rows)}
    assert measures["cohen_kappa"] == 1.0
    assert measures["agreement"] == measures["ok_format"] == pytest.approx(1 - 1 / len(rows))


def test_kappa_of_published_examples_and_of_what_has_none() -> None:
    # Cohen's example of two raters: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no gives 0.4.
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohen_kappa(pairs) == pytest.approx(0.4)
    assert observed_agreement(pairs) == pytest.approx(0.7)
    # Fleiss' example of 14 raters, ten subjects and five categories gives 0.210.
    counts = [
        *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
        *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
    ]
    ratings = [[str(place) for place, count in enumerate(row) for _ in range(count)] for row in counts]
    assert fleiss_kappa(ratings) == pytest.approx(0.2099, abs=1e-4)
    assert cohen_kappa([]) is cohen_kappa([("a", "a")]) is fleiss_kappa([["a"]]) is fleiss_kappa([["a", "a"]]) is None


def test_recorded_replies_are_read_in_both_spellings(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_text('{"id": "a", "response": "A"}\n{"id": 5, "model-response": "B"}\n')
    assert read_recorded(path) == {"a": "A", "5": "B"}
    path.write_text('{"id": "a", "response": "A"}\n{"id": "a", "response": "B"}\n')
    with pytest.raises(WatershedError, match=r"replies\.jsonl:2"):
        read_recorded(path)
