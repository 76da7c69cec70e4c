"""The server of the page on which people choose between two answers. It sends no model, source or digest."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from catalog.errors import WatershedError
from dagster_project.engine.entries import is_name
from dagster_project.engine.local_page import LocalHandler, LocalServer
from dagster_project.families.models.rank.choices import Choices, left_side

LARGEST_BODY = 2_000


class RankServer(LocalServer):
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
        left = [place for place, pair in enumerate(pairs) if pair.id not in own]
        place = (left[0] if left else len(pairs) - 1) if at is None else max(0, min(at, len(pairs) - 1))
        pair = pairs[place]
        first = left_side(rater.strip(), pair.id)
        answers = (pair.one, pair.other) if first == "one" else (pair.other, pair.one)
        chosen = own.get(pair.id, {}).get("choice", "")
        if chosen in ("one", "other"):
            chosen = "left" if chosen == first else "right"
        return {
            "place": place,
            "pairs": len(pairs),
            "chosen": len(pairs) - len(left),
            "pair": pair.id,
            "question": pair.question,
            "left": answers[0].answer,
            "right": answers[1].answer,
            "choice": chosen,
        }


class _Handler(LocalHandler):
    server: RankServer  # ty: ignore[incompatible-mutable-override]

    def do_GET(self) -> None:
        if not self.is_for_us():
            return
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/":
            self.send_page()
        elif parts.path == "/pair":
            rater, at = query.get("rater", ""), query.get("at", "")
            if not is_name(rater) or not (at == "" or (at.isascii() and at.isdigit() and len(at) < 10)):
                self.refuse(HTTPStatus.BAD_REQUEST, "the rater has no name, or the place is not a number")
                return
            self.send_value(self.server.state(rater, int(at) if at else None))
        else:
            self.refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def do_POST(self) -> None:
        if not self.is_for_us() or not self.is_our_page():
            return
        if self.path != "/choice":
            self.refuse(HTTPStatus.FORBIDDEN, "nothing is written there")
            return
        if (body := self.body(LARGEST_BODY)) is None:
            return
        try:
            value = json.loads(body)
            rater, pair, choice, seconds = (value[name] for name in ("rater", "pair", "choice", "seconds"))
            if not all(isinstance(each, str) for each in (rater, pair, choice)) or isinstance(seconds, bool):
                raise ValueError
            self.server.choices.enter(rater, pair, choice, float(seconds))
        except WatershedError as error:
            self.refuse(HTTPStatus.BAD_REQUEST, error.cause)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            self.refuse(HTTPStatus.BAD_REQUEST, "this is not a choice")
        else:
            self.send_value(self.server.state(rater, None))
