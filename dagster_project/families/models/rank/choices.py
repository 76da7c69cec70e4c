"""What people chose, in `models.choices`, and what that says of the models."""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.tables.models import CHOICES, SIDES
from dagster_project.engine.entries import LONGEST_NAME, Entries, Row, is_name
from dagster_project.families.models.rank.answers import Pair

SHOWN = ("left", "right", "tie", "neither")
"""What the page sends: a side, and not a model."""
LONGEST_S = 86_400.0


class Choices:
    """The choices of a lake between some pairs.

    Args:
        lake: the lake.
        pairs: the pairs that can be chosen from.
    """

    def __init__(self, lake: Lake, pairs: Sequence[Pair]) -> None:
        self.pairs = list(pairs)
        self.entries = Entries(lake, CHOICES, ("pair", "rater"))

    @cached_property
    def known(self) -> dict[str, Pair]:
        """The pairs by id."""
        return {pair.id: pair for pair in self.pairs}

    def of_rater(self, rater: str) -> dict[str, Row]:
        """The choices of a rater, by pair."""
        return {row["pair"]: row for row in self.entries.rows() if row["rater"] == rater.strip()}

    def enter(self, rater: str, pair: str, shown: str, seconds: float) -> None:
        """Enter a choice, in place of an earlier one of the same rater.

        Raises:
            WatershedError: the rater has no name, or this is no choice between two answers of the page.
        """
        if not is_name(rater):
            raise WatershedError("the rater has no name", f"give a name of at most {LONGEST_NAME} characters")
        if shown not in SHOWN or pair not in self.known or not (math.isfinite(seconds) and seconds >= 0):
            raise WatershedError("this is not a choice", "reload the page")
        found, rater = self.known[pair], rater.strip()
        left = left_side(rater, pair)
        right = SIDES[1 - SIDES.index(left)]
        sides = {
            f"{side}_{name}": getattr(getattr(found, side), name)
            for side in SIDES
            for name in ("model", "source", "digest")
        }
        self.entries.enter({
            "pair": pair,
            "rater": rater,
            "question": found.question,
            **sides,
            "left": left,
            "choice": {"left": left, "right": right}.get(shown, shown),
            "seconds": round(min(seconds, LONGEST_S), 2),
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        })  # fmt: skip


def left_side(rater: str, pair: str) -> str:
    """Which answer of a pair a rater sees on the left: as good as random, and the same when the page is reloaded."""
    return SIDES[hashlib.sha256(f"{rater}\0{pair}".encode()).digest()[0] % 2]


def results(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return win rates and ratings of the models, as one JSON object.

    Args:
        rows: of models.choices.

    Returns:
        `models` with their counts, `win_rate` and `elo`, each with `low` and `high` of its 95% interval; `pairs` of
        models; and facts about the choices. `left_share` is the share of decided choices that took the left answer.
    """
    from spark_jobs.language_models.pairwise import LEVEL, RESAMPLES, Comparison, rated

    points = {"one": 1.0, "other": 0.0}
    compared = [
        Comparison(row["question"], row["one_model"], row["other_model"], points.get(row["choice"], 0.5))
        for row in rows
    ]
    models, pairs = rated(compared)
    decided = [row["choice"] == row["left"] for row in rows if row["choice"] in SIDES]
    seconds = sorted(row["seconds"] for row in rows)
    return {
        "method": "Bradley-Terry on the scale of Elo, mean 1000; a tie is half a win of each",
        "interval": f"{LEVEL:.0%}, percentiles of {RESAMPLES:,} resamples of the questions",
        "choices": len(rows),
        "questions": len({row["question"] for row in rows}),
        "raters": len({row["rater"] for row in rows}),
        "neither": sum(row["choice"] == "neither" for row in rows),
        "left_share": sum(decided) / len(decided) if decided else None,
        "median_seconds": seconds[len(seconds) // 2] if seconds else None,
        "groups": len({each.group for each in models}),
        "models": [asdict(each) for each in models],
        "pairs": [asdict(each) for each in pairs],
    }
