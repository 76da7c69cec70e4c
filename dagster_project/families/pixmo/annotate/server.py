"""The server of the page on which people annotate pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from catalog.errors import WatershedError
from catalog.files import write_whole
from dagster_project.engine.local_page import LocalHandler, LocalServer, is_number
from dagster_project.families.pixmo.annotate.annotations import Annotations

LARGEST_BODY = 400_000
LARGEST_SPEECH = 30_000_000
"""Bytes of a recording: about half an hour."""
TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
SPEECH = {"audio/webm": "webm", "audio/ogg": "ogg", "audio/mp4": "mp4"}
"""Content types of recordings, as browsers make them."""

Recognise = Callable[[Path], str]


class AnnotateServer(LocalServer):
    """Serves the page for the annotations of a lake.

    Args:
        annotations: what is annotated, and where rows go.
        port: the port; 0 for a free one.
        recognise: returns what is said in a recording; None if nothing can recognise speech.

    Example:
        >>> server = AnnotateServer(Annotations(lake, folder, pictures_of([Path("photos")], lake)))
        >>> server.url
        'http://127.0.0.1:43210/'
    """

    def __init__(self, annotations: Annotations, port: int = 0, recognise: Recognise | None = None) -> None:
        super().__init__("dagster_project.families.pixmo.annotate", _Handler, port)
        self.annotations = annotations
        self.recognise = recognise

    def state(self, at: int) -> dict[str, Any]:
        """The picture at a place, and what has been said of it."""
        pictures = self.annotations.pictures
        place = max(0, min(at, len(pictures) - 1))
        picture = pictures[place]
        saved = self.annotations.saved(picture)
        return {
            "place": place,
            "pictures": len(pictures),
            "name": picture.name,
            "width": picture.width,
            "height": picture.height,
            "speech": self.recognise is not None,
            "captions": [row["caption"] for row in saved["cap"]],
            "questions": [[row["question"], row["answer"]] for row in saved["ask_model_anything"]],
            "points": [[row["label"], [[at["x"], at["y"]] for at in row["points"]]] for row in saved["points"]],
        }

    def save(self, path: str, value: dict[str, Any]) -> None:
        """Save what the page sent to a path.

        Raises:
            WatershedError: it is not an annotation.
            KeyError, TypeError, ValueError: a field is missing or of another type.
        """
        place = value["place"]
        if not isinstance(place, int) or isinstance(place, bool):
            raise TypeError
        if path == "/caption":
            self.annotations.caption(place, value["text"], list(value["transcripts"]))
        elif path == "/question":
            self.annotations.question(place, value["question"], value["answer"])
        else:
            points = [(x, y) for x, y in value["points"]]
            self.annotations.points(place, value["label"], points)

    def hear(self, data: bytes, ending: str) -> str:
        """Keep a recording by its digest, and return what is said in it.

        Raises:
            WatershedError: the recording cannot be written or recognised.
        """
        path = self.annotations.folder / "speech" / f"{hashlib.sha256(data).hexdigest()}.{ending}"
        write_whole(path, data)
        if self.recognise is None:
            raise WatershedError("no recogniser of speech is installed", "type the description")
        return self.recognise(path)


class _Handler(LocalHandler):
    server: AnnotateServer  # ty: ignore[incompatible-mutable-override]
    POLICY = "img-src 'self'; "

    def do_GET(self) -> None:
        if not self.is_for_us():
            return
        kind, _, place = urlsplit(self.path).path.lstrip("/").partition("/")
        if not kind:
            self.send_page()
        elif kind not in ("item", "picture") or not is_number(place, 8):
            self.refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        elif kind == "item":
            self.send_value(self.server.state(int(place)))
        elif int(place) >= len(self.server.annotations.pictures):
            self.refuse(HTTPStatus.NOT_FOUND, "there is no such picture")
        else:
            picture = self.server.annotations.pictures[int(place)]
            data = picture.path.read_bytes()
            if hashlib.sha256(data).hexdigest() != picture.sha256:
                self.refuse(HTTPStatus.CONFLICT, "the picture has changed since the page was started")
                return
            self.send(HTTPStatus.OK, TYPES[picture.format], data, {"Content-Security-Policy": "default-src 'none'"})

    def do_POST(self) -> None:
        if not self.is_for_us():
            return
        if self.path == "/speech":
            self._hear()
        elif self.is_our_page():
            self._save()

    def _save(self) -> None:
        if self.path not in ("/caption", "/question", "/points"):
            self.refuse(HTTPStatus.NOT_FOUND, "nothing is written there")
            return
        place = self.taken(LARGEST_BODY, self._saved, "this is not an annotation")
        if place is not None:
            self.send_value(self.server.state(place))

    def _saved(self, value: Any) -> int:
        self.server.save(self.path, value)
        return value["place"]

    def words(self, error: WatershedError) -> str:
        """The cause and the mend."""
        return f"{error.cause}: {error.mend}"

    def _hear(self) -> None:
        kind = self.headers.get("Content-Type", "").split(";")[0]
        if not self.is_our_page(kind if kind in SPEECH else "audio/webm"):
            return
        if (body := self.body(LARGEST_SPEECH)) is None:
            return
        try:
            self.send_value({"text": self.server.hear(body, SPEECH[kind])})
        except WatershedError as error:
            self.refuse(HTTPStatus.BAD_REQUEST, self.words(error))
