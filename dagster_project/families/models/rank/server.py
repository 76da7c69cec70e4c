"""The server of the page on which people choose between two answers. It sends no model, source or digest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster_project.engine.rating_page import RatingHandler, RatingServer, shown_place
from dagster_project.families.models.rank.choices import Choices, left_side


class RankServer(RatingServer):
    """Serves the page for some pairs.

    Example:
        >>> server = RankServer(Choices(lake, pairs_of(file_answers([Path("answers.jsonl")])).pairs))
        >>> server.url
        'http://127.0.0.1:43210/'
    """

    def __init__(self, choices: Choices, port: int = 0) -> None:
        super().__init__("dagster_project.families.models.rank", _Handler, port)
        self.choices = choices

    def state(self, rater: str, at: int | None) -> dict[str, Any]:
        """The pair at a place, or the first one that the rater has not chosen from, as this rater sees it."""
        pairs, own = self.choices.pairs, self.choices.of_rater(rater)
        place, done = shown_place([pair.id for pair in pairs], own, at)
        pair = pairs[place]
        first = left_side(rater.strip(), pair.id)
        answers = (pair.one, pair.other) if first == "one" else (pair.other, pair.one)
        chosen = own.get(pair.id, {}).get("choice", "")
        if chosen in ("one", "other"):
            chosen = "left" if chosen == first else "right"
        return {
            "place": place,
            "pairs": len(pairs),
            "chosen": done,
            "pair": pair.id,
            "question": pair.question,
            "left": answers[0].answer,
            "right": answers[1].answer,
            "choice": chosen,
        }


class _Handler(RatingHandler):
    server: RankServer  # ty: ignore[incompatible-mutable-override]
    ITEM, ENTRY, LARGEST, FAULT = "/pair", "/choice", 2_000, "this is not a choice"

    def enter(self, value: Mapping[str, Any]) -> str:
        rater, pair, choice, seconds = (value[name] for name in ("rater", "pair", "choice", "seconds"))
        if not all(isinstance(each, str) for each in (rater, pair, choice)) or isinstance(seconds, bool):
            raise ValueError
        self.server.choices.enter(rater, pair, choice, float(seconds))
        return rater
