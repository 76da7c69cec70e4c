import ast
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from trainers.icl.aggregate import aggregates, categories, centred, centred_scores
from trainers.icl.files import find_file, read_task
from trainers.icl.tasks import chosen_tasks, dclm_tasks
from trainers.process.errors import TrainerError

SHARED = os.environ.get("WATERSHED_SHARED")
needs_shared = pytest.mark.skipif(not SHARED, reason="WATERSHED_SHARED names no folder with the published files")
ALL_HALF = {task.name: 0.5 for task in dclm_tasks()}


def test_dclm_has_53_tasks_in_six_categories_and_22_in_core():
    tasks = dclm_tasks()
    assert len({task.name for task in tasks}) == 53
    assert sum(task.core for task in tasks) == 22
    assert sorted(Counter(task.category for task in tasks).values()) == [4, 8, 8, 8, 10, 15]
    assert {task.kind for task in tasks} == {
        "multiple_choice",
        "schema",
        "language_modeling",
        "generation_with_answers",
    }


def test_the_second_version_changed_twelve_baselines():
    changed = {task.name: task.baseline for task in dclm_tasks() if task.baseline["v1"] != task.baseline["v2"]}
    assert len(changed) == 12
    assert changed["commonsense_qa"] == {"v1": 0.2, "v2": pytest.approx(0.403)}
    assert changed["siqa"]["v1"] == pytest.approx(0.333)


def test_a_guess_is_centred_to_zero_and_perfection_to_one():
    assert centred(0.25, 0.25) == 0
    assert centred(1.0, 0.62) == 1
    assert centred(0.5, 0.25) == pytest.approx(1 / 3)


def test_core_and_extended_are_means_of_centred_accuracies_and_mmlu_is_not_centred():
    scores = {task.name: task.baseline["v2"] for task in dclm_tasks()} | {"mmlu_fewshot": 0.7, "piqa": 0.75}
    found = aggregates(scores, "v2")
    assert found["core"].value == pytest.approx(0.5 / 22)
    assert found["extended"].value == pytest.approx((0.5 + 0.6) / 53)
    assert found["mmlu"].value == 0.7
    assert all(aggregate.reason is None for aggregate in found.values())


def test_an_aggregate_without_all_its_tasks_has_no_value_and_names_the_missing_one():
    scores = {name: score for name, score in ALL_HALF.items() if name not in ("squad", "bbq")} | {"mmlu_fewshot": None}
    found = aggregates(scores, "v1")
    assert found["core"].value is None
    assert found["core"].reason == "N/A: lacks squad"
    assert found["extended"].reason == "N/A: lacks mmlu_fewshot, squad, bbq"
    assert found["mmlu"].reason == "N/A: lacks mmlu_fewshot"


def test_scores_of_other_tasks_are_ignored():
    assert aggregates(ALL_HALF | {"gsm8k": 0.1}) == aggregates(ALL_HALF)
    assert "gsm8k" not in centred_scores({"gsm8k": 0.1}, "v2")


def test_an_unknown_version_or_task_is_refused():
    with pytest.raises(TrainerError, match="no version is called 'v3'"):
        aggregates(ALL_HALF, "v3")
    with pytest.raises(TrainerError, match="no task is called 'cop'"):
        chosen_tasks(["cop"])


def test_tasks_are_chosen_by_name_or_as_core_or_extended():
    assert [task.name for task in chosen_tasks(["copa", "jeopardy"])] == ["jeopardy", "copa"]
    assert len(chosen_tasks(["core"])) == 22
    assert len(chosen_tasks(["core", "siqa"])) == 23
    assert chosen_tasks([]) == chosen_tasks(["extended", "copa"]) == list(dclm_tasks())


@needs_shared
def test_the_registrys_task_scores_make_its_own_aggregates_in_both_versions():
    compared = 0
    for path in sorted(Path(str(SHARED), "data/dclm_registry/evals").glob("*.json")):
        stored = json.loads(path.read_text())
        scores = stored["eval_metrics"]["icl"]
        for version in ("v1", "v2"):
            found = aggregates(scores, version)
            for name in ("core", "extended"):
                expected = stored[f"{name.capitalize()}_{version}"]
                if isinstance(expected, str):
                    assert found[name].value is None
                    assert set(found[name].missing) == set(ast.literal_eval(stored["missing tasks"]))
                else:
                    assert found[name].value == pytest.approx(expected, abs=1e-12)
                    compared += 1
        for name, aggregate in categories(scores, "v2").items():
            if aggregate.value is not None:
                expected = stored["aggregated_task_categories_centered"][name]
                assert aggregate.value == pytest.approx(expected, abs=1e-12)
    assert compared == 610


@needs_shared
def test_each_baseline_is_the_only_one_that_fits_the_registry():
    import numpy as np

    tasks = dclm_tasks()
    stored = [json.loads(p.read_text()) for p in sorted(Path(str(SHARED), "data/dclm_registry/evals").glob("*.json"))]
    whole = [one for one in stored if all(task.name in one["eval_metrics"]["icl"] for task in tasks)]
    scores = np.array([[one["eval_metrics"]["icl"][task.name] for task in tasks] + [1.0] for one in whole])
    assert np.linalg.matrix_rank(scores) == 54
    for version in ("v1", "v2"):
        slopes = np.linalg.lstsq(scores, np.array([one[f"Extended_{version}"] for one in whole]))[0][:-1] * 53
        solved = 1 - 1 / slopes
        assert solved == pytest.approx([task.baseline[version] for task in tasks], abs=1e-9)


@needs_shared
def test_all_available_published_files_are_read_in_full():
    folder = Path(str(SHARED), "data/eval_tasks")
    found = {task.name: path for task in dclm_tasks() if (path := find_file(folder, task))}
    assert len(found) == 41
    sizes = {task.name: len(read_task(found[task.name], task)) for task in dclm_tasks() if task.name in found}
    assert (sizes["bigbench_qa_wikidata"], sizes["siqa"], sizes["winograd"]) == (20_321, 1954, 273)


def test_tasks_are_found_in_either_case_of_letters() -> None:
    assert chosen_tasks(["COPA"]) == chosen_tasks(["copa"]) != []
    assert chosen_tasks(["CORE"]) == chosen_tasks(["core"])
    with pytest.raises(TrainerError, match=r"no task is called 'copaa'; close: copa"):
        chosen_tasks(["copaa"])
