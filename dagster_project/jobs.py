"""The Dagster jobs, and the tables that each of them makes.

- `curation` makes training shards and evaluation questions from web archives.
- `scaling` trains a ladder of models on the shards, forecasts a larger model, and checks the forecast.
- `moe` trains a mixture of experts, analyses how it routes tokens, and compares variants of it.
- `dialogues` lets language models talk to themselves, and revises what violates a principle.
- `tulu_pairs`, `tulu_data`, `tulu_mixing`, `tulu_training` and `tulu_evaluation` make pairs with a judge, read and
  search data sets, draw mixtures, store what runs left, and compare models. A job of Dagster has one kind of
  partitions, so they are five.
- `registry` imports the data sets, models and evaluations that DCLM published.
- `cheatsheet` repairs and merges the resources of the Foundation Model Development Cheatsheet.
- `scholar` cuts papers into passages, embeds them, and indexes them for `watershed ask`.
- `router_domains` and `router` embed domains, train an expert on each, and compare routers between the experts.
- `mathfish_data` and `mathfish` read standards and problems, and ask models about them.
- `pixmo` reads the PixMo datasets, downloads their pictures, and writes picture shards.
- `captioner` trains models on the picture shards, and scores what they answer about scenes.

Every table belongs to exactly one job, or is written by a command. tests/dagster_project/test_definitions.py fails for
a table of a new family until a job names it.
"""

from __future__ import annotations

import dagster as dg

from catalog.tables import CONTRACTS, evals, models
from catalog.tables.pixmo import CAPTIONERS, REPLIES, SCENES, SCORES
from catalog.tables.tulu import CURVES, HELDOUT, ROLLOUTS, SAMPLE_LOSSES


def _made(family: str, *partitions: str) -> tuple[str, ...]:
    """Return the names of the tables of `family`, without those that a command writes.

    Args:
        family: The family.
        partitions: Names of partition columns, "" for whole tables. The default is all tables.
    """
    made = [contract for contract in CONTRACTS.values() if contract.family == family and not contract.command]
    return tuple(each.name for each in made if not partitions or "".join(each.partition_by) in partitions)


CAPTIONER = tuple(each.name for each in (SCENES, CAPTIONERS, REPLIES, SCORES))
"""The tables of PixMo about models that are trained on its shards."""

TABLES: dict[str, tuple[str, ...]] = {
    "curation": (*_made("dclm"), evals.EXAMPLES.name, evals.TASKS.name),
    "scaling": (*_made("models"), evals.RESULTS.name, evals.TARGET_RESULTS.name, *_made("ladder")),
    "moe": _made("moe"),
    "dialogues": _made("dialogues"),
    "tulu_pairs": _made("tulu", "collection"),
    "tulu_data": _made("tulu", "source"),
    "tulu_mixing": _made("tulu", "mixture"),
    "tulu_training": tuple(each.name for each in (SAMPLE_LOSSES, ROLLOUTS, CURVES, HELDOUT)),
    "tulu_evaluation": _made("tulu", "model", ""),
    "registry": (
        *(models.REGISTRY_DATASETS.name, models.REGISTRY.name),
        *(evals.REGISTRY.name, evals.REGISTRY_SCORES.name),
    ),
    "cheatsheet": _made("cheatsheet"),
    "scholar": _made("scholar"),
    "router_domains": _made("router", "domain"),
    "router": _made("router", "run", ""),
    "mathfish_data": _made("mathfish", ""),
    "mathfish": _made("mathfish", "model"),
    "pixmo": tuple(name for name in _made("pixmo") if name not in CAPTIONER),
    "captioner": CAPTIONER,
}
"""The tables that each job makes, by the name of the job."""

COMMANDS = {
    name: contract.command
    for name, contract in CONTRACTS.items()
    if contract.command and not any(name in tables for tables in TABLES.values())
}
"""The tables that no job makes, with the command that writes each of them."""

DEMO = (*TABLES["curation"], *TABLES["scaling"])
"""The tables that `watershed demo` makes."""

DESCRIPTIONS = {
    "curation": "This job makes training shards and evaluation questions from web archives: registers and extracts "
    "documents, judges them by rules, deduplicates, scores, mixes and tokenises them.",
    "scaling": "This job trains a ladder of models on the shards, evaluates them, fits a scaling law, forecasts the "
    "target, and trains the target to check the forecast.",
    "moe": "This job trains a mixture of experts and a dense model on the shards, analyses how the "
    "mixture routes tokens, and trains variants of it.",
    "dialogues": "This job lets the models of `[dialogues] models` plan and hold dialogues, flags and revises "
    "violations, and pairs revised turns with original ones.",
    "tulu_pairs": "This job reads and writes prompts, lets several models reply to them, asks a judge about each "
    "aspect, and pairs the replies.",
    "tulu_data": "This job reads the sources of `[tulu] mixtures`, counts their tokens, and searches them for "
    "evaluations.",
    "tulu_mixing": "This job filters, deduplicates and draws the mixtures of `[tulu] mixtures`, and counts the "
    "effective share of each source.",
    "tulu_training": "This job stores what the post-training runs left that `watershed tulu record` named: losses of "
    "rows, rollouts, curves, and held-out replies.",
    "tulu_evaluation": "This job scores the recorded replies in `[tulu] results`, compares models on the development "
    "suite, and chooses one.",
    "registry": "This job imports DCLM's experiment registry from the JSON files in the folder `[registry] folder`.",
    "cheatsheet": "This job repairs and merges the resources of the Foundation Model Development Cheatsheet, and sorts "
    "them by stage of development and modality.",
    "scholar": "This job reads the papers of `[scholar] papers`, cuts them into passages, embeds these, and builds the "
    "indexes that `watershed ask` searches.",
    "router_domains": "This job reads the domains of `[router]`, and embeds documents and queries.",
    "router": "This job trains an expert on each domain of `[router] domains`, searches with each, and compares "
    "routers between the experts with a single encoder and with multi-task training.",
    "mathfish_data": "This job reads the standards, problems and teachers' verdicts of `[mathfish]`, inherits labels "
    "to standards, and makes the prompts that models are asked.",
    "captioner": "This job trains a captioner, a model of all data sets and a baseline without pictures on the picture "
    "shards, asks them about scenes of which everything is known, and scores their answers.",
    "mathfish": "This job asks the models of `[mathfish] models` whether problems teach standards and which, follows "
    "their choices through the curriculum, and scores their answers.",
    "pixmo": "This job reads the PixMo datasets of `[pixmo] data`, downloads the pictures that they name, finds "
    "coordinates in the wrong unit, and writes picture shards.",
}

JOBS = tuple(
    dg.define_asset_job(
        job,
        dg.AssetSelection.assets(*(table.split(".") for table in tables)),
        description=DESCRIPTIONS[job],
    )
    for job, tables in TABLES.items()
)


def job_of(table: str) -> str:
    """Return the name of the job that makes `table`.

    Raises:
        KeyError: No job makes the table.
    """
    return {name: job for job, tables in TABLES.items() for name in tables}[table]
