"""A lake with a few rows in every table, written as the project writes lakes, for tests to read and to break.

A table without rows here has one row that its contract describes, so that a new table needs none.
"""

from __future__ import annotations

import atexit
import datetime
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from catalog.contract import Contract
from catalog.lake import Lake
from catalog.settings import Settings, load_settings
from catalog.tables import CONTRACTS, FAMILIES
from catalog.tables.cheatsheet import LINKS
from catalog.tables.cheatsheet.taxonomy import CATEGORIES

WARC = "crawl-00000.warc.gz"
CRAWLED = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
SHA256 = "ab" * 32
UUID = "0edca2de-5f6d-4ff4-b36d-58fedf9ed511"
RUNS = ("10k-1xC", "20k-1xC", "10k-2xC", "20k-2xC")
TEXTS = (SHA256, SHA256[:16], SHA256[:32], UUID, "shard_00000000", "https://lake.example/lake", "text")
"""What columns hold whose form a contract describes by a regular expression."""
PLAIN: tuple[tuple[Callable[[pa.DataType], bool], Any], ...] = (
    (pa.types.is_list, []),
    (pa.types.is_map, []),
    (pa.types.is_binary, b""),
    (pa.types.is_timestamp, CRAWLED),
    (pa.types.is_boolean, True),
    (pa.types.is_integer, 1),
    (pa.types.is_floating, 0.5),
)
"""A value of each type; of others it is "text"."""
FOLDER = "WATERSHED_SMALL_LAKE"
"""Variable with the folder of the lake that all processes of a test run copy."""

DIALOGUE = {"model": "smollm2", "dialogue": "0123456789abcdef"}
SAID = [{"role": "user", "content": "Where does it end?"}, {"role": "assistant", "content": "In the sea."}]
DIALOGUES: dict[str, list[dict[str, Any]]] = {
    "dialogues.topics": [{"model": "smollm2", "domain": "rivers"}],
    "dialogues.goals": [{**DIALOGUE, "principles": ["concise"]}],
    "dialogues.plans": [DIALOGUE],
    "dialogues.conversations": [{**DIALOGUE, "messages": SAID, "turns": 2, "ended": "done"}],
    "dialogues.flags": [{**DIALOGUE, "violation": True}],
    "dialogues.critiques": [{**DIALOGUE, "violations": ["concise"]}],
    "dialogues.revisions": [{**DIALOGUE, "original": "In the sea."}],
    "dialogues.preferences": [
        {"model": "smollm2", "id": DIALOGUE["dialogue"], "prompt": SAID[:1], "rejected": "In the sea."}
    ],
    "dialogues.statistics": [{"model": "smollm2", "measure": "dialogues", "value": 1.0}],
    "dialogues.published": [{"collection": "sdsd", "messages": SAID}],
}
"""A dialogue with its revision, and a published one."""

PASSAGE = {"passage": "5" * 32, "paper": "water", "version": "0" * 16, "digest": SHA256}
CITED = {"answer": "a" * 16, **PASSAGE, "span": {"begin": 0, "end": 20}}
SCHOLAR: dict[str, list[dict[str, Any]]] = {
    "scholar.papers": [
        {"paper": "water", "version": "0" * 16, "text": "Water runs downhill.", "year": 2001, "citations": 3}
    ],
    "scholar.rejected": [{"source": "broken.pdf", "place": 0}],
    "scholar.passages": [{**PASSAGE, "begin": 0, "end": 20, "number": 0, "text": "Water runs downhill."}],
    "scholar.embeddings": [{"passage": "5" * 32, "vector": bytes(4), "dimensions": 2, "stamp": "5" * 16}],
    "scholar.index": [{"path": "scholar/index", "kinds": ["exact"], "recall": 1.0}],
    "scholar.withdrawals": [{"paper": "water", "kind": "retracted"}],
    "scholar.answers": [{"answer": "a" * 16, "status": "answered", "settings": "{}"}],
    "scholar.candidates": [{**CITED, "round": 0}],
    "scholar.drafts": [{"answer": "a" * 16, "step": 0, "kind": "draft"}],
    "scholar.references": [{**CITED, "number": 1, "quotation": {"begin": 0, "end": 20}}],
    "scholar.citations": [{"answer": "a" * 16, "sentence": 0, "numbers": [1], "support": "supported"}],
    "scholar.quotations": [{"answer": "a" * 16, "place": 0, "found": False}],
    "scholar.ablations": [
        {"model": "smollm2", "variant": "full", "question": "Which way?", "status": "answered", "rouge": 0.5}
    ],
    "scholar.training": [{"id": "a-final", "answer": "a" * 16, "kind": "answer", "papers": ["water"]}],
}
"""A paper with its passage, and an answer that cites it."""

ROUTED = {"seed": 0, "domain": "rivers", "method": "router"}
ROUTER: dict[str, list[dict[str, Any]]] = {
    "router.domains": [{"domain": "rivers", "digest": SHA256}],
    "router.documents": [{"domain": "rivers", "document": "d0", "stamp": "5" * 16, "vector": bytes(8)}],
    "router.queries": [
        {"domain": "rivers", "query": "q0", "split": "test", "text": "Which way?", "stamp": "5" * 16}
        | {"judged": [{"document": "d0", "grade": 1}], "vector": bytes(8)}
    ],
    "router.experts": [{"run": "rivers-0", "expert": "rivers", "steps": 1, "sha256": SHA256}],
    "router.rankings": [{"run": "rivers-0", "domain": "rivers", "split": "test", "query": "q0", "documents": ["d0"]}],
    "router.pilots": [{"seed": 0, "domain": "rivers", "expert": "rivers", "queries": 1, "vector": bytes(8)}],
    "router.routes": [{**ROUTED, "query": "q0", "expert": "rivers", "ndcg": 1.0}],
    "router.results": [{**ROUTED, "ndcg": 1.0}],
    "router.comparisons": [{"method": "router", "baseline": "single base", "p": 1.0, "conclusion": "gain"}],
}
"""A domain with an expert, and what a router chose."""

STANDARD = "3.NF.A.1"
MATHFISH: dict[str, list[dict[str, Any]]] = {
    "mathfish.standards": [
        {"standard": STANDARD, "level": "Standard", "grade": "3", "cluster_type": "major cluster", "path": [STANDARD]}
    ],
    "mathfish.connections": [{"source": STANDARD, "target": STANDARD, "relation": "related"}],
    "mathfish.problems": [{"problem": "pie", "standards": [STANDARD], "grades": ["3"], "elements": "{}"}],
    "mathfish.labels": [{"problem": "pie", "label": STANDARD, "standard": STANDARD, "fault": ""}],
    "mathfish.alignment": [
        {"problem": "pie", "standard": STANDARD, "grade": "3", "verdict": "full", "matched": "exact"}
    ],
    "mathfish.tasks": [
        {"task": "pie_pos_0", "kind": "verification", "problem": "pie", "level": "", "strategy": "positive"}
        | {"standard": STANDARD, "answer": "yes", "shots": 0}
    ],
    "mathfish.wordings": [
        {
            "model": "smollm2",
            "kind": "tagging",
            "wording": "plain",
            "rank": 1,
            "score": 0.5,
            "acc": 0.5,
            "ok_format": 1.0,
        }
    ],
    "mathfish.answers": [{"model": "smollm2", "task": "pie_pos_0", "predicted": ["yes"], "malformed": ""}],
    "mathfish.traversals": [{"model": "smollm2", "problem": "pie"}],
    "mathfish.judgements": [{"model": "smollm2", "problem": "pie", "standard": STANDARD, "verdict": "full"}],
    "mathfish.results": [{"model": "smollm2", "task": "verification", "by": "all"}],
    "mathfish.verdicts": [{"rater": "Ada", "problem": "pie", "standard": STANDARD, "verdict": "full"}],
}
"""A problem with its standard, and what a model and a rater say."""

PICTURE_ROW = {"split": "train", "image_url": "https://lake.example/a.png", "image_sha256": SHA256, "maker": "person"}
POINTED = {"dataset": "points", "unit": "percent", "known_by": "range", "certainty": 1.0, "apart": False, "why": ""}
FETCHED = {"round": "first", "place": PICTURE_ROW["image_url"], "host": "lake.example", "outcome": "ok", "reason": ""}
SAMPLED = {"split": "train", "shard": "shard_00000000"}
PIXMO: dict[str, list[dict[str, Any]]] = {
    **{
        f"pixmo.{name}": [PICTURE_ROW]
        for name in ("cap", "ask_model_anything", "cap_qa", "count", "point_explanations", "docs", "clocks")
    },
    "pixmo.points": [{**PICTURE_ROW, "collection_method": "pointing"}],
    "pixmo.fetches": [FETCHED],
    "pixmo.pictures": [{**FETCHED, "observed_sha256": SHA256, "declared_sha256": SHA256, "format": "png"}],
    "pixmo.hosts": [{"round": "first", "host": "*", "given_share": 1.0, "rot": 0.0, "beyond": False}],
    "pixmo.coordinates": [POINTED],
    "pixmo.shards": [{**SAMPLED, "dataset": "da7a5e7", "sha256": SHA256}],
    "pixmo.samples": [
        {**SAMPLED, "sample": "00000000-000000", "dataset": "cap", "image_sha256": SHA256, "maker": "person"}
        | {"place": PICTURE_ROW["image_url"]}
    ],
    "pixmo.scenes": [{"scene": "scene 1", "split": "heldout", "image_sha256": SHA256, "count": 1}],
    "pixmo.captioners": [{"stage": "mixture", "sha256": SHA256, "dataset": "da7a5e7"}],
    "pixmo.replies": [{"model": "mixture", "scene": "scene 1", "task": "counting"}],
    "pixmo.scores": [{"split": "heldout", "task": "counting"}],
}
"""A picture, what each dataset says of it, and the shard that holds it."""

MIXTURES: dict[str, list[dict[str, Any]]] = {
    "moe.models": [
        {"run": "10k-1xC", "kind": "dense", "experts": 0, "dataset": "da7a5e7", "sha256": SHA256},
        {"run": "10k-1xC-moe", "kind": "moe", "smallest_load": 0.5, "largest_load": 2.0}
        | {"dataset": "da7a5e7", "sha256": SHA256},
    ],
    "moe.metrics": [{"run": "10k-1xC"}, {"run": "10k-1xC-moe"}],
    "moe.batches": [
        {"run": "10k-1xC-moe", "dataset": "da7a5e7", "split": "train", "shard": "shard_00000000", "sequences": [1, 0]},
    ],
    "moe.experiments": [
        {"variant": variant, "choice": "token", "dataset": "da7a5e7", "sha256": SHA256}
        for variant in ("default", "shared-expert")
    ],
    "moe.saturation": [{"run": "10k-1xC-moe"}],
    "moe.coactivation": [{"run": "10k-1xC-moe"}],
    "moe.domains": [{"run": "10k-1xC-moe", "domain": "lake.example"}],
    "moe.vocabulary": [{"run": "10k-1xC-moe", "variant": "input"}],
}
"""A mixture and a dense model, and how the mixture routes."""

TULU_MESSAGES = [{**each, "reasoning": None, "tool_calls": None} for each in SAID]
TULU_ROW = {"source": "rivers", "row_id": "0123456789abcdef"}
TULU_RESULT = {"model": "tuned", "task": "gsm8k", "instance": "0", "sample": 0, "row": '{"answer": "18"}'}
TULU: dict[str, list[dict[str, Any]]] = {
    "tulu.rows": [{**TULU_ROW, "messages": TULU_MESSAGES}],
    "tulu.tokens": [TULU_ROW],
    "tulu.contamination": [
        {"source": "rivers", "evaluation": "gsm8k", "rule": rule, "suite": "development", "decision": "keep"}
        for rule in ("published", "strict")
    ],
    "tulu.contaminated_rows": [{**TULU_ROW, "evaluation": "gsm8k", "instance": "0", "why": ""}],
    "tulu.sources": [{"mixture": "m", "source": "rivers", "kind": "sft", "by": "count"}],
    "tulu.drops": [{"mixture": "m", **TULU_ROW, "reason": "keyword", "reasons": ["keyword"]}],
    "tulu.mixture": [{"mixture": "m", "position": 0, **TULU_ROW}],
    "tulu.proportions": [{"mixture": "m", "source": "rivers"}],
    "tulu.prompts": [{"collection": "pairs", "prompt_id": TULU_ROW["row_id"], "pool": "used"}],
    "tulu.completions": [{"collection": "pairs", "model": "tuned", "prompt_id": TULU_ROW["row_id"]}],
    "tulu.judgements": [
        {"collection": "pairs", "prompt_id": TULU_ROW["row_id"], "model": "tuned", "aspect": "honesty", "score": 3}
    ],
    "tulu.preferences": [{"collection": "pairs", "prompt_id": TULU_ROW["row_id"], "rule": "worst"}],
    "tulu.sample_losses": [{"run": "sft", **TULU_ROW, "margin": 0.5}],
    "tulu.rollouts": [
        {"run": "grpo", "rollout_id": "1-1", "verifier": "gsm8k", "finish": "stop", "digest": SHA256, "score": 1.0}
    ],
    "tulu.curves": [{"run": "grpo", "metric": "loss"}],
    "tulu.heldout": [{"run": "grpo", "verifier": "gsm8k", "finish": "stop", "score": 1.0}],
    "tulu.tasks": [{"task": "gsm8k", "suite": "development"}],
    "tulu.results": [TULU_RESULT],
    "tulu.sealed_results": [TULU_RESULT],
    "tulu.comparisons": [{"task": "gsm8k"}],
    "tulu.rescores": [{"origin": "tulu.rollouts", "run": "grpo", "row_id": "1-1", "before": 1.0, "score": 0.0}],
}
"""A row of each table of post-training."""


def doc_id(number: int) -> str:
    """The id of document `number`."""
    return f"{number:032x}"


def row(contract: Contract, **values: Any) -> dict[str, Any]:
    """A row of `contract` with `values`; other columns are null if they may be, else a plain value of the type."""
    plain = {c.name: None if c.nullable else _plain(c.type) for c in contract.columns}
    assert values.keys() <= plain.keys(), values.keys() - plain.keys()
    return plain | values


def fitting_row(contract: Contract, rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """A row that meets the expectations of `contract`; what it refers to is in the first row of a table in `rows`."""
    values: dict[str, Any] = {}
    for expectation in contract.expectations:
        name = expectation.column
        if name is None or name in values or contract.column(name).nullable:
            continue
        if expectation.name == "references":
            table, _, column = expectation["target"].rpartition(".")
            values[name] = rows[table][0][column]
        elif (one_of := expectation["value_set"]) is not None:
            values[name] = one_of[0]
        elif (form := expectation["regex"]) is not None:
            values[name] = next(text for text in TEXTS if re.match(form, text))
        elif expectation.name == "expect_column_values_to_be_between":
            plain, low, high = _plain(contract.column(name).type), expectation["min_value"], expectation["max_value"]
            values[name] = min(plain if low is None else max(plain, low), plain if high is None else high)
    return row(contract, **values)


def _plain(type_: pa.DataType) -> Any:
    if pa.types.is_struct(type_):
        return {field.name: None if field.nullable else _plain(field.type) for field in type_}
    return next((value for is_type, value in PLAIN if is_type(type_)), "text")


def good_rows() -> dict[str, list[dict[str, Any]]]:
    """Rows of every table that fit all contracts: six documents, four of them trained on, in two shards."""

    def rows(name: str, *values: dict[str, Any]) -> list[dict[str, Any]]:
        return [row(CONTRACTS[name], **each) for each in values]

    ids = [doc_id(number) for number in range(6)]
    texts = ["Water runs downhill.", "Water runs downhill.", "Rain fills the lake.", "Eau.", None, "A river bends."]
    models = [{"run": run, "size": run[:3], "dataset": "da7a5e7", "sha256": SHA256} for run in RUNS]
    questions = [
        {"question_id": "q0", "task": "continuation", "doc_id": ids[5], "choices": ["so", "no"], "gold": 0},
    ]
    answers = [{"task": "continuation", "question_id": "q0", "choice_logprobs": [-1.0, -2.0]}]
    band = {"accuracy": 0.5, "low": 0.4, "high": 0.6}
    found = {
        "dclm.pool": rows(
            "dclm.pool",
            {"warc": WARC, "uri": f"crawl/{WARC}", "global_shard": 0, "local_shard": 0, "state": "ready"},
        ),
        "dclm.documents": rows(
            "dclm.documents",
            *(
                {
                    "doc_id": ids[number],
                    "warc": WARC,
                    "global_shard": number % 2,
                    "local_shard": 0,
                    "record_offset": 1000 * number,
                    "payload_digest": f"sha1:{number}",
                    "url": f"https://lake.example/{number}",
                    "host": "lake.example",
                    "crawled_at": CRAWLED,
                    "state": "ok" if text else "empty_text",
                    "text": text,
                    "text_bytes": len(text or ""),
                    "language": ("fr" if text == "Eau." else "en") if text else None,
                    "language_score": 0.9 if text else None,
                    "words": len(text.split()) if text else None,
                }
                for number, text in enumerate(texts)
            ),
        ),
        "dclm.measurements": rows(
            "dclm.measurements",
            *(
                {
                    "doc_id": ids[number],
                    "global_shard": number % 2,
                    "local_shard": 0,
                    "recipe": "dclm-baseline",
                    "state": "ok" if text else "empty_text",
                    "text_bytes": len(text or ""),
                    "language": ("fr" if text == "Eau." else "en") if text else None,
                    "values": {"language_score": 0.9} if text else {},
                }
                for number, text in enumerate(texts)
            ),
        ),
        "dclm.verdicts": rows(
            "dclm.verdicts",
            *(
                {
                    "doc_id": id_,
                    "global_shard": number % 2,
                    "local_shard": 0,
                    "recipe": "dclm-baseline",
                    "kept": number not in (3, 4),
                    "first_rule": {3: "language", 4: "no_text"}.get(number),
                    "broken": [{"rule": "language", "value": 0.1, "threshold": 0.65}] if number == 3 else [],
                }
                for number, id_ in enumerate(ids)
            ),
        ),
        "dclm.duplicates": rows(
            "dclm.duplicates",
            *(
                {
                    "doc_id": ids[number],
                    "cluster_id": ids[0],
                    "cluster_size": 2,
                    "method": "exact",
                    "kept": number == 0,
                    "kept_doc_id": ids[0],
                    "reason": "first of the cluster" if number == 0 else "same text as an earlier document",
                    "similarity": 1.0,
                }
                for number in (0, 1)
            ),
        ),
        "dclm.paragraphs": rows(
            "dclm.paragraphs",
            *(
                {
                    "doc_id": ids[number],
                    "global_shard": number % 2,
                    "local_shard": 0,
                    "kept": True,
                    "text_bytes": len(texts[number] or ""),
                }
                for number in (0, 2, 5)
            ),
        ),
        "dclm.quality_model": rows(
            "dclm.quality_model",
            {"model_id": "m0", "positive_documents": 10, "negative_documents": 10, "heldout_accuracy": 0.9},
        ),
        "dclm.scores": rows(
            "dclm.scores",
            *(
                {"doc_id": ids[n], "model_id": "m0", "score": 0.2 * n, "bucket": n, "topic": "rivers"}
                for n in (0, 2, 5)
            ),
        ),
        "dclm.mixture": rows(
            "dclm.mixture",
            *(
                {
                    "doc_id": ids[n],
                    "recipe": "dclm-baseline",
                    "source": "lake.example",
                    "split": "heldout" if n == 5 else "train",
                    "repeats": r,
                }
                for n, r in ((0, 1), (2, 2), (5, 1))
            ),
        ),
        "dclm.contamination": rows(
            "dclm.contamination", {"doc_id": ids[3], "evaluation": "quiz", "example_id": "0", "share": 0.5}
        ),
        "dclm.contamination_report": rows("dclm.contamination_report", {"evaluation": "quiz", "examples": 2}),
        "dclm.mixture_buckets": rows(
            "dclm.mixture_buckets", {"topic": "all", "from_quantile": 0.0, "to_quantile": 1.0}
        ),
        "dclm.tokenizer": rows("dclm.tokenizer", {"tokenizer_id": "t0", "vocab_size": 300, "bytes_per_token": 4.0}),
        # Two sequences of L + 1 = 10 tokens in the training shard: document 2 is read twice and crosses them.
        "dclm.shards": rows(
            "dclm.shards",
            *(
                {
                    "split": split,
                    "shard": "shard_00000000",
                    "dataset": "da7a5e7",
                    "path": f"dclm/shards/{split}/shard_00000000.tar",
                    "sha256": SHA256,
                    "sequences": sequences,
                    "sequence_length": 9,
                    "tokens": 10 * sequences,
                }
                for split, sequences in (("train", 2), ("heldout", 1))
            ),
        ),
        "dclm.spans": rows(
            "dclm.spans",
            *(
                {"split": split, "shard": "shard_00000000", "start": start, "stop": stop, "doc_id": ids[n]}
                for split, start, stop, n in (
                    ("train", 0, 6, 0),
                    ("train", 6, 13, 2),
                    ("train", 13, 20, 2),
                    ("heldout", 0, 10, 5),
                )
            ),
        ),
        "models.checkpoints": rows("models.checkpoints", *models),
        "models.targets": rows("models.targets", {"run": "80k-4xC", "dataset": "da7a5e7", "sha256": SHA256}),
        "models.metrics": rows("models.metrics", *({"run": run, "step": step} for run in RUNS for step in (1, 2))),
        "models.batches": rows(
            "models.batches",
            *(
                {"run": run, "step": step, "dataset": "da7a5e7", "split": "train", "shard": "shard_00000000"}
                | {"sequences": [step - 1]}
                for run in (*RUNS, "80k-4xC")
                for step in (1, 2)
            ),
        ),
        **{
            name: rows(name, *each)
            for name, each in (MIXTURES | DIALOGUES | TULU | SCHOLAR | ROUTER | MATHFISH | PIXMO).items()
        },
        "models.choices": rows(
            "models.choices",
            {"pair": "ab" * 16, "rater": "Ada", "question": "Which way?"}
            | {"one_model": "a", "other_model": "b", "one_digest": SHA256, "other_digest": SHA256}
            | {"left": "one", "choice": "tie", "seconds": 3.0},
        ),
        "models.requests": rows("models.requests", {"request": "ab" * 16, "outcome": "answered", "reply": "The Elbe."}),
        "evals.registry": rows("evals.registry", {"uuid": UUID, "model_uuid": UUID, "version": "v2"}),
        "evals.registry_scores": rows("evals.registry_scores", {"evaluation": UUID, "task": "boolq"}),
        "evals.answers": rows("evals.answers", {"version": "v2"}),
        "evals.examples": rows("evals.examples", *questions),
        "evals.tasks": rows("evals.tasks", {"task": "continuation", "kind": "multiple_choice"}),
        "evals.results": rows("evals.results", *({"run": run, **answer} for run in RUNS for answer in answers)),
        "evals.target_results": rows("evals.target_results", *({"run": "80k-4xC", **answer} for answer in answers)),
        "ladder.points": rows(
            "ladder.points", *({"source": "lake", "run": run, "task": "continuation"} for run in RUNS)
        ),
        "ladder.checkpoints": rows("ladder.checkpoints", {"source": "others", "run": RUNS[0], "task": "continuation"}),
        "ladder.targets": rows("ladder.targets", {"source": "others", "target": "large"}),
        "ladder.fits": rows("ladder.fits", {"task": "continuation"}),
        "ladder.predictions": rows("ladder.predictions", {"target": "80k-4xC", "task": "continuation", **band}),
        "ladder.outcomes": rows("ladder.outcomes", {"target": "80k-4xC", "task": "continuation"}),
        "ladder.comparison_runs": rows("ladder.comparison_runs", *({"mixture": name} for name in ("one", "other"))),
        "cheatsheet.categories": [
            {"category": each.name, "number": each.number, "stage": each.stage, "stage_number": int(each.number[0])}
            for each in CATEGORIES
        ],
        "cheatsheet.raw": rows("cheatsheet.raw", {"source": "published", "outcome": "kept", "resource": "lake"}),
        "cheatsheet.resources": rows(
            "cheatsheet.resources",
            {
                "resource": "lake",
                "year": 2024,
                "month": 5,
                "modalities": ["Text"],
                "categories": ["Data Governance"],
                "stages": ["Data Documentation and Release"],
                "sources": ["published"],
                "rows": 1,
                **dict.fromkeys(("primary_link", *LINKS), "https://lake.example/lake"),
            },
        ),
    }
    # Without the tables of the project that this process looked at last. A table is declared after those that it refers
    # to.
    for contract in (contract for family in FAMILIES for contract in family.contracts):
        if contract.name not in found:
            found[contract.name] = [fitting_row(contract, found)]
    return found


def settings_in(folder: Path) -> Settings:
    """The settings of a project in `folder`."""
    (folder / "watershed.toml").touch()
    return load_settings(folder)


def write_rows(settings: Settings, rows: dict[str, list[dict[str, Any]]], fingerprint: str = "f" * 16) -> Settings:
    """Write `rows` into the lake of `settings` through `Lake.replace`."""
    lake = Lake.of(settings)
    for name, each in rows.items():
        contract = CONTRACTS[name]
        lake.replace(contract, pa.Table.from_pylist(each, schema=contract.schema), fingerprint)
    return settings


def tables_of(*families: str) -> tuple[str, ...]:
    """The names of all tables of `families`."""
    return tuple(name for name in CONTRACTS if name.split(".")[0] in families)


CURATED = (
    *tables_of("dclm"),
    *("models.checkpoints", "models.targets", "models.metrics", "models.batches"),
    *("evals.tasks", "evals.examples", "evals.results", "evals.target_results"),
    *("ladder.points", "ladder.fits", "ladder.predictions"),
)
"""The tables from a crawl to a forecast. A connection binds every table that is made, so that a lake of these alone is
opened in a quarter of the time of a lake with all tables."""


def write_lake(folder: Path, names: tuple[str, ...] = ()) -> Settings:
    """A lake in `folder` with the good rows of the tables `names`, or of all.

    It is a copy of a lake that the processes of a test run write once, a table when it is first asked for, so that
    tables may have been written in any order. The logs of Delta hold relative paths, so that a copy works as well.
    """
    written = _written_lake()
    for name in names or good_rows():
        _write_once(name)
        place = Path(Lake.of(written).path(name))
        shutil.copytree(place, folder / place.relative_to(written.project), dirs_exist_ok=True)
    return settings_in(folder)


@cache
def _written_lake() -> Settings:
    if FOLDER in os.environ:
        return settings_in(Path(os.environ[FOLDER]))
    folder = Path(tempfile.mkdtemp(prefix="watershed-lake-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return settings_in(folder)


@cache
def _write_once(name: str) -> None:
    written = _written_lake()
    done = written.project / f"{name}.done"
    with (written.project / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            # A process that was killed while it wrote may have left a part.
            shutil.rmtree(Lake.of(written).path(name), ignore_errors=True)
            write_rows(written, {name: good_rows()[name]})
            done.touch()


def plant(settings: Settings, name: str, changes: dict[int, dict[str, Any]], drop: tuple[str, ...] = ()) -> None:
    """Rewrite a table without regard to its contract: row `i` gets `changes[i]`, and the columns `drop` are removed.

    The constraints of the changed columns are dropped first, and every column may be null, as if the writer used Delta
    but not the contract.
    """
    table = DeltaTable(Lake.of(settings).path(name))
    touched = {column for values in changes.values() for column in values} | set(drop)
    for key in table.metadata().configuration:
        constraint = key.removeprefix("delta.constraints.")
        if constraint != key and constraint.partition("__")[0] in touched:
            table.alter.drop_constraint(constraint)
    rows = good_rows()[name]
    for place, values in changes.items():
        rows[place] |= values
    loose = pa.schema([field.with_nullable(True) for field in CONTRACTS[name].schema if field.name not in drop])
    kept = [{key: value for key, value in each.items() if key not in drop} for each in rows]
    write_deltalake(table, pa.Table.from_pylist(kept, schema=loose), mode="overwrite", schema_mode="overwrite")
