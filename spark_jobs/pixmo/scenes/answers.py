"""Questions about scenes, and the scores of replies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spark_jobs.pixmo.answers import read_count, vqa_normal
from spark_jobs.pixmo.pointing import Region, mask_from_runs, score_points

Row = dict[str, Any]
PIECE = re.compile(r"\b(one of the|two|three|four|five|six|seven|eight|nine|ten) ([a-z]+) ([a-z]+)\b")
BOOTSTRAPS = 2000


def questions(scene: Mapping[str, Any]) -> list[Row]:
    """What a model is asked about a scene: task, question with its style, and the right answer."""
    label = f"{scene['colour']} {scene['kind']}"
    found = [
        ("pointing", f"pointing: Point to the {label}.", f"{scene['count']} {label}"),
        ("counting", f"point_count: How many {label} are there?", str(scene["count"])),
        ("caption", f"long_caption {len(scene['caption']) // 15}: Describe this image.", scene["caption"]),
        ("question", "Which background does the picture have?", scene["texture"]),
    ]
    if scene["word"]:
        found.append(("question", "What does the sign say?", scene["word"]))
    if scene["time"]:
        found.append(("clock", "What time is being shown?", scene["time"]))
    return [{"task": task, "question": asked, "expected": answer} for task, asked, answer in found]


def scored(scene: Mapping[str, Any], asked: Mapping[str, Any], reply: str) -> Row:
    """The score of a reply, with precision, recall and validity where the task has them."""
    task, expected = asked["task"], asked["expected"]
    if task == "pointing":
        own = [o for o in scene["objects"] if (o["colour"], o["kind"]) == (scene["colour"], scene["kind"])]
        width, height = scene["width"], scene["height"]
        regions = [Region(mask_HW=mask_from_runs(list(o["mask"]), width, height)) for o in own]
        found = score_points(reply, width, height, regions, [(o["x"], o["y"]) for o in own])
        return {"score": found["f1"], **{name: found[name] for name in ("precision", "recall", "valid")}}
    if task == "counting":
        right = float(read_count(reply) == int(expected))
    elif task == "caption":
        right = caption_f1(reply, expected)
    else:
        right = float(vqa_normal(reply) == vqa_normal(expected))
    return {"score": right, "precision": None, "recall": None, "valid": True}


def caption_f1(reply: str, expected: str) -> float:
    """F1 of what a caption names, each with its number and colour, against the exact caption.

    Example:
        >>> caption_f1("The picture shows two red cats.", "The picture shows two red cats and one of the blue keys.")
        0.6666666666666666
    """
    named, true = (set(PIECE.findall(text)) for text in (reply, expected))
    return 2 * len(named & true) / (len(named) + len(true)) if named or true else 1.0


def summaries(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The rows of pixmo.scores from those of pixmo.replies."""
    found = []
    keys = dict.fromkeys((row["split"], row["task"]) for row in rows)
    for number, (split, task) in enumerate(keys):
        own = [row for row in rows if (row["split"], row["task"]) == (split, task)]
        scores = np.array([row["score"] for row in own if row["model"] == "mixture"])
        baseline = [row["score"] for row in own if row["model"] == "blind"]
        if not len(scores) or not baseline:
            continue
        chance = np.random.default_rng(number)
        means = scores[chance.integers(len(scores), size=(BOOTSTRAPS, len(scores)))].mean(1)
        found.append(
            {
                "split": split,
                "task": task,
                "rows": len(scores),
                "score": float(scores.mean()),
                "low": float(np.quantile(means, 0.025)),
                "high": float(np.quantile(means, 0.975)),
                "baseline": float(np.mean(baseline)),
            }
        )
    return found
