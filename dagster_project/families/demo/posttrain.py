"""A small base model through fine-tuning, preferences and verified rewards, each by its trainer process."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from catalog.files import write_whole
from catalog.settings import Settings
from dagster_project.families.demo.problems import Problems, make_problems

SEQUENCE_LENGTH = 64
VOCABULARY = 360
STAGES = ("sft", "dpo", "rlvr")
CONTROL = "random rewards"


@dataclass(frozen=True, kw_only=True)
class PosttrainSize:
    """How much is trained."""

    texts: int
    base_steps: int
    chats: int
    sft_epochs: float
    pairs: int
    rlvr_steps: int
    rlvr_prompts: int
    """Of a step."""
    heldout: int
    model: Mapping[str, int] = field(default_factory=lambda: {"width": 64, "layers": 2, "heads": 4, "hidden": 160})
    batch: int = 32
    replies: int = 8
    careless: float = 0.65
    """The share of chats whose reply is plain, whatever form was asked for."""


SIZES = {
    "smoke": PosttrainSize(
        texts=2000, base_steps=150, chats=2400, sft_epochs=2.0, pairs=320, rlvr_steps=16, rlvr_prompts=8, heldout=100
    ),
    "small": PosttrainSize(
        texts=4000, base_steps=400, chats=4000, sft_epochs=3.0, pairs=640, rlvr_steps=40, rlvr_prompts=16, heldout=190
    ),
}
SIZES["standard"] = SIZES["small"]


@dataclass(frozen=True)
class Stage:
    """A stage's model and its verified replies to the held-out problems."""

    name: str
    run: Path
    verified: float
    answers: list[dict[str, Any]]
    curve: list[tuple[int, float]]
    """Steps, and the part of replies that were verified in training; of verified rewards alone."""

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of `verified` over the problems."""
        return wilson(self.verified, len(self.answers))


@dataclass(frozen=True)
class Seed:
    """All stages of one seed."""

    seed: int
    folder: Path
    stages: dict[str, Stage]

    files: Mapping[str, Path] = field(default_factory=dict)
    """The data of each command."""

    def scores(self, stage: str) -> dict[str, float]:
        """Of the replies of a stage, by seed and held-out problem."""
        return {f"{self.seed} {answer['id']}": answer["score"] for answer in self.stages[stage].answers}


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95% interval of a share of `count` trials (Wilson, 1927).

    Example:
        >>> [round(x, 3) for x in wilson(0.5, 100)]
        [0.404, 0.596]
    """
    z = 1.959963985
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return middle - half, middle + half


def run_seed(settings: Settings, size: PosttrainSize, seed: int, *, controls: bool) -> Seed:
    """Train all stages of one seed, or read them where they were trained before.

    Raises:
        WatershedError: a trainer failed.
    """
    digest = hashlib.sha256(json.dumps([asdict(size), SEQUENCE_LENGTH, VOCABULARY]).encode()).hexdigest()[:12]
    folder = settings.files_root / "posttrain" / digest / f"seed-{seed}"
    made = make_problems(
        seed=seed,
        texts=size.texts,
        chats=size.chats,
        pairs=size.pairs,
        prompts=size.rlvr_steps * size.rlvr_prompts,
        heldout=size.heldout,
        careless=size.careless,
    )
    files = _write(folder / "data", made)
    base = _base(settings, folder, made, size, seed)
    stages: dict[str, Stage] = {}
    shared = {"device": settings.trainer.device, "seed": seed, "batch": size.batch, "log_every": 1}
    before = base
    for name, options in _stages(size).items():
        if name == CONTROL and not controls:
            continue
        model = stages["dpo"].run if name in ("rlvr", CONTROL) else before
        out = folder / name.replace(" ", "-")
        command = "rlvr" if name == CONTROL else name
        values = {**shared, "model": str(model), "data": [str(files[command])], "out": str(out), **options}
        _run(f"trainers.{command}", values, out / "result.json", f"{name}, seed {seed}")
        stages[name] = _measured(settings, name, out, files["heldout"], seed)
        before = out
    return Seed(seed, folder, stages, files)


def _stages(size: PosttrainSize) -> dict[str, dict[str, Any]]:
    rlvr = {
        "loss": "dapo",
        "batch": size.rlvr_prompts,
        "replies": size.replies,
        "reply_tokens": 24,
        "steps": size.rlvr_steps,
        "verified": 1.0,
        "no_stop": 0.0,
        "beta": 0.0,
        "clip_high": 0.272,
        "warmup": 0.0,
        "optimiser": {"learning_rate": 1e-3, "final_fraction": 0.2},
    }
    return {
        "sft": {"epochs": size.sft_epochs, "optimiser": {"learning_rate": 2e-3}},
        "dpo": {"loss": "dpo_norm", "beta": 2.0, "epochs": 1.0, "warmup": 0.1, "optimiser": {"learning_rate": 1e-4}},
        "rlvr": rlvr,
        CONTROL: {**rlvr, "rewards": "random"},
    }


def _run(module: str, values: Mapping[str, Any], result: Path, label: str) -> None:
    from dagster_project.engine.trainer_process import run_trainer

    if not result.exists():
        run_trainer(module, values, label)


def _measured(settings: Settings, name: str, run: Path, heldout: Path, seed: int) -> Stage:
    """The run's replies to the held-out problems, at temperature 0."""
    out = run / "answers"
    values = {"model": str(run), "data": [str(heldout)], "out": str(out), "reply_tokens": 24, "seed": seed}
    values["device"] = settings.trainer.device
    _run("trainers.answer_problems", values, out / "answers.json", f"{name}: held-out problems")
    answers = _rows(out / "answers.jsonl")
    curve = [(row["step"], row["verified"]) for row in _rows(run / "metrics.jsonl") if "verified" in row]
    return Stage(name, run, sum(row["score"] for row in answers) / len(answers), answers, curve)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _write(folder: Path, made: Problems) -> dict[str, Path]:
    files = {"sft": made.chats, "dpo": made.pairs, "rlvr": made.prompts, "heldout": made.heldout}
    for name, rows in files.items():
        write_whole(folder / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    return {name: folder / f"{name}.jsonl" for name in files}


def _base(settings: Settings, folder: Path, made: Problems, size: PosttrainSize, seed: int) -> Path:
    """The base model, which has read lines of sums and a few sentences."""
    out = folder / "base"
    if not (out / "result.json").exists():
        _write_shards(folder / "shards", made)
        values = {
            "preset": "270k-1xC",
            "shards": str(folder / "shards"),
            "out": str(out),
            "seed": seed,
            "device": settings.trainer.device,
            "model": dict(size.model),
            "batch": 64,
            "steps": size.base_steps,
            "optimiser": {"learning_rate": 4e-3, "warmup_steps": min(50, size.base_steps // 4)},
            "document_masking": True,
        }
        _run("trainers.pretrain", values, out / "result.json", f"base model, seed {seed}")
    return out


def _write_shards(folder: Path, made: Problems) -> None:
    from spark_jobs.shards.texts import write_texts
    from spark_jobs.shards.tokenizer import train_tokenizer

    chats = [message["content"] for chat in made.chats for message in chat["messages"]]
    read = [*made.texts, *chats, "<|user|>\n<|assistant|>\n" * 50]
    held = max(20, len(made.texts) // 50)
    write_texts(
        folder,
        train_tokenizer(read, VOCABULARY, single_digits=True),
        {"train": made.texts[held:], "heldout": made.texts[:held]},
        source="sums",
        sequence_length=SEQUENCE_LENGTH,
        fingerprint=hashlib.sha256("".join(made.texts).encode()).hexdigest()[:16],
    )
