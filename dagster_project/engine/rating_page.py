"""A local page that shows a person one item after another, and enters what the person says of each."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from catalog.errors import WatershedError
from dagster_project.engine.entries import is_name
from dagster_project.engine.local_page import LocalHandler, LocalServer, is_number


def shown_place(keys: Sequence[Any], done: Container[Any], at: int | None) -> tuple[int, int]:
    """The place of the item to show, and how many items are done.

    Args:
        keys: the keys of all items; there is at least one.
        done: the keys of items that the person has entered something about.
        at: the place that was asked for, which is brought into range; None for the first item that is not done, or
            else the last item.

    Example:
        >>> shown_place(["a", "b", "c"], {"a"}, None), shown_place(["a", "b", "c"], {"a"}, 7)
        ((1, 1), (2, 1))
    """
    left = [place for place, key in enumerate(keys) if key not in done]
    place = (left[0] if left else len(keys) - 1) if at is None else max(0, min(at, len(keys) - 1))
    return place, len(keys) - len(left)


class RatingServer(LocalServer):
    """Serves the items of one table. Subclasses define `state`."""

    def state(self, rater: str, at: int | None) -> dict[str, Any]:
        """What the page shows of the item at a place, or of the first one that the rater has not entered."""
        raise NotImplementedError


class RatingHandler(LocalHandler):
    """Answers `GET ITEM?rater=NAME&at=PLACE` with an item, and `POST ENTRY` with the next one."""

    server: RatingServer  # ty: ignore[incompatible-mutable-override]
    ITEM: ClassVar[str]
    """The path of an item."""
    ENTRY: ClassVar[str]
    """The path that takes entries."""
    LARGEST: ClassVar[int]
    """The most bytes of an entry."""
    FAULT: ClassVar[str]
    """The reply to what is not an entry."""

    def enter(self, value: Mapping[str, Any]) -> str:
        """Enter what the page sent; return the rater.

        Raises:
            ValueError, KeyError, TypeError, OverflowError: it is not an entry.
            WatershedError: it cannot be entered.
        """
        raise NotImplementedError

    def is_rater(self, name: str) -> bool:
        """Whether a person may enter items by this name."""
        return is_name(name)

    def words(self, error: WatershedError) -> str:
        """The cause alone: a person who rates can mend nothing."""
        return error.cause

    def more(self, path: str) -> Any:
        """The value of another path of the page; None if there is none."""
        del path

    def do_GET(self) -> None:
        """Send the page, an item, or another value of the page."""
        if not self.is_for_us():
            return
        path, query = self.asked()
        if path == "/":
            self.send_page()
        elif path == self.ITEM:
            rater, at = query.get("rater", ""), query.get("at", "")
            if not self.is_rater(rater) or not (at == "" or is_number(at, 9)):
                self.refuse(HTTPStatus.BAD_REQUEST, "the rater has no name, or the place is not a number")
                return
            self.send_value(self.server.state(rater, int(at) if at else None))
        elif (value := self.more(path)) is not None:
            self.send_value(value)
        else:
            self.refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def do_POST(self) -> None:
        """Enter what the page sent, and send the next item."""
        if not self.is_for_us() or not self.is_our_page():
            return
        if self.path != self.ENTRY:
            self.refuse(HTTPStatus.FORBIDDEN, "nothing is written there")
            return
        rater = self.taken(self.LARGEST, self.enter, self.FAULT)
        if rater is not None:
            self.send_value(self.server.state(rater, None))
