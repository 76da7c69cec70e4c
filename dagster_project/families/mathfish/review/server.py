"""The server of the page on which teachers judge problems."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from catalog.errors import WatershedError
from dagster_project.engine.local_page import LocalHandler, LocalServer
from dagster_project.families.mathfish.review.verdicts import CHOICES, Verdicts, agreement, is_name

LARGEST_BODY = 20_000


class ReviewServer(LocalServer):
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
        left = [place for place, item in enumerate(items) if item.key not in own]
        place = (left[0] if left else len(items) - 1) if at is None else max(0, min(at, len(items) - 1))
        item = items[place]
        given = own.get(item.key, {})
        return {
            "place": place,
            "items": len(items),
            "judged": len(items) - len(left),
            "problem": item.problem,
            "standard": item.standard,
            "grade": item.grade,
            "text": item.text,
            "description": item.description,
            "verdict": given.get("verdict", ""),
            "comment": given.get("comment", ""),
        }


class _Handler(LocalHandler):
    server: ReviewServer  # ty: ignore[incompatible-mutable-override]

    def do_GET(self) -> None:
        if not self.is_for_us():
            return
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/":
            self.send_page()
        elif parts.path == "/item":
            rater, at = query.get("rater", ""), query.get("at", "")
            if not is_name(rater) or not (at == "" or (at.isascii() and at.isdigit() and len(at) < 10)):
                self.refuse(HTTPStatus.BAD_REQUEST, "the rater has no name, or the place is not a number")
                return
            self.send_value(self.server.state(rater, int(at) if at else None))
        elif parts.path == "/agreement":
            self.send_value(agreement(self.server.verdicts.rows()))
        else:
            self.refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def do_POST(self) -> None:
        if not self.is_for_us() or not self.is_our_page():
            return
        if self.path != "/verdict":
            self.refuse(HTTPStatus.FORBIDDEN, "nothing is written there")
            return
        if (body := self.body(LARGEST_BODY)) is None:
            return
        try:
            value = json.loads(body)
            names = ("rater", "problem", "standard", "verdict", "comment")
            rater, problem, standard, verdict, comment = (value[name] for name in names)
            if not all(isinstance(value[name], str) for name in names) or verdict not in CHOICES:
                raise ValueError
            self.server.verdicts.enter(rater, (problem, standard), verdict, comment)
        except WatershedError as error:
            self.refuse(HTTPStatus.BAD_REQUEST, error.cause)
        except (ValueError, KeyError, TypeError, RecursionError):
            self.refuse(HTTPStatus.BAD_REQUEST, "this is not a verdict")
        else:
            self.send_value(self.server.state(rater, None))
