"""The server of the page on which teachers judge problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster_project.engine.rating_page import RatingHandler, RatingServer, shown_place
from dagster_project.families.mathfish.review.verdicts import CHOICES, Verdicts, agreement, is_name


class ReviewServer(RatingServer):
    """Serves the page for the verdicts of a lake.

    Example:
        >>> server = ReviewServer(Verdicts(lake, items_of(lake)))
        >>> server.url
        'http://127.0.0.1:43210/'
    """

    def __init__(self, verdicts: Verdicts, port: int = 0) -> None:
        super().__init__("dagster_project.families.mathfish.review", _Handler, port)
        self.verdicts = verdicts

    def state(self, rater: str, at: int | None) -> dict[str, Any]:
        """The item at a place, or the first one that the rater has not judged, with the rater's verdict of it."""
        items, own = self.verdicts.items, self.verdicts.of_rater(rater)
        place, done = shown_place([item.key for item in items], own, at)
        item = items[place]
        given = own.get(item.key, {})
        return {
            "place": place,
            "items": len(items),
            "judged": done,
            "problem": item.problem,
            "standard": item.standard,
            "grade": item.grade,
            "text": item.text,
            "description": item.description,
            "verdict": given.get("verdict", ""),
            "comment": given.get("comment", ""),
        }


class _Handler(RatingHandler):
    server: ReviewServer  # ty: ignore[incompatible-mutable-override]
    ITEM, ENTRY, LARGEST, FAULT = "/item", "/verdict", 20_000, "this is not a verdict"

    def enter(self, value: Mapping[str, Any]) -> str:
        names = ("rater", "problem", "standard", "verdict", "comment")
        rater, problem, standard, verdict, comment = (value[name] for name in names)
        if not all(isinstance(value[name], str) for name in names) or verdict not in CHOICES:
            raise ValueError
        self.server.verdicts.enter(rater, (problem, standard), verdict, comment)
        return rater

    def is_rater(self, name: str) -> bool:
        return is_name(name)

    def more(self, path: str) -> Any:
        return agreement(self.server.verdicts.rows()) if path == "/agreement" else None
