"""The results of an evaluation as DCLM stores them: the entries of its eval/aggregated_metrics.py, by their names.

A mean is over those of its tasks that have a score, as there. CORE and EXTENDED have no value when one of their tasks
is missing; the reason is stored in their place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from trainers.icl.aggregate import aggregates, centred_scores
from trainers.icl.tasks import VERSIONS, dclm_tasks
from trainers.process.errors import TrainerError

RW_SMALL = frozenset({"hellaswag_zeroshot", "arc_easy", "arc_challenge", "copa", "winogrande", "boolq"})
"""Six small tasks that RefinedWeb was judged by."""
CI_99 = frozenset(
    """
    hellaswag_zeroshot jeopardy gsm8k svamp bigbench_qa_wikidata arc_easy arc_challenge copa commonsense_qa piqa
    openbook_qa lambada_openai hellaswag winograd winogrande bigbench_dyck_languages agi_eval_lsat_ar
    bigbench_cs_algorithms bigbench_operators bigbench_repeat_copy_logic pubmed_qa_labeled squad coqa boolq
    enterprise_pii_classification
    """.split()
)
"""Tasks on which small models are above chance with 99% confidence. gsm8k and svamp are names of earlier tasks, which
are not among the 53; DCLM passes them by."""
CI_95 = CI_99 | frozenset(
    """
    bigbench_novel_concepts bigbench_strategy_qa bigbench_conceptual_combinations logi_qa bbq
    """.split()
)
"""The same with 95% confidence."""
CURRENT = "v2"
"""The version whose baselines centre the entries without a version in their names."""


def dclm_results(scores: Mapping[str, float]) -> dict[str, Any]:
    """The entries of an evaluation's file, from accuracies by DCLM's names of tasks.

    Args:
        scores: 0..1; those of other tasks are stored and enter no mean.

    Raises:
        TrainerError: no task of a mean has a score.
    """
    tasks = dclm_tasks()
    there = {task.name: scores[task.name] for task in tasks if task.name in scores}
    centred = centred_scores(there, CURRENT)
    missing = [task.name for task in tasks if task.name not in there]
    found: dict[str, Any] = {
        "eval_metrics": {"icl": dict(scores)},
        "missing tasks": str(missing),
        "aggregated_task_categories_centered": {
            name: _mean(centred, {task.name for task in tasks if task.category == name}, name)
            for name in sorted({task.category for task in tasks})
        },
        "aggregated_centered_results": _mean(centred, centred, "any task"),
        "aggregated_results": _mean(there, there, "any task"),
    }
    core = {task.name for task in tasks if task.core}
    groups = {"rw_small": RW_SMALL, "95%_CI_above": CI_95, "99%_CI_above": CI_99, "low_variance_datasets": core}
    for name, group in groups.items():
        found |= {name: _mean(there, group, name), f"{name}_centered": _mean(centred, group, name)}
    for version in VERSIONS:
        for kind in ("core", "extended"):
            aggregate = aggregates(scores, version)[kind]
            reason = f"N/A due to missing tasks: {list(aggregate.missing)}"
            found[f"{kind.title()}_{version}"] = reason if aggregate.value is None else aggregate.value
    return found | {
        "Core": found[f"Core_{CURRENT}"],
        "Extended": found[f"Extended_{CURRENT}"],
        "eval_version": CURRENT,
    }


def _mean(scores: Mapping[str, float], group: Collection[str], name: str) -> float:
    values = [score for task, score in scores.items() if task in group]
    if not values:
        raise TrainerError(f"no task of {name} has a score", "evaluate all 53 tasks: leave out --tasks")
    return sum(values) / len(values)
