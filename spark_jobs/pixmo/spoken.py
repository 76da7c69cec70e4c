"""Spoken descriptions of pictures as rows of PixMo-Cap: recordings, transcripts, and the caption merged from them.

The input is JSON lines: `{"image": "a.png", "recordings": ["a-1.wav", "a-2.wav"]}` with paths beside the file, or
`image_url` in place of `image`. Original transcripts are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.lines import bounded_lines, opened
from catalog.progress import track
from spark_jobs.language_models.client import ask
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.language_models.replies import MalformedReply, bounded_json
from spark_jobs.language_models.request import Request, Sampling
from spark_jobs.pictures.look import NotAPicture, look
from spark_jobs.pictures.store import PictureStore
from spark_jobs.pixmo.merging import merge_by_agreement, merge_prompt
from spark_jobs.pixmo.recognise import Recognise

LARGEST_LINE = 1_000_000
MOST_RECORDINGS = 20
MEND = 'write rows such as {"image": "a.png", "recordings": ["a-1.wav", "a-2.wav"]}'
TOKENS = 1024
"""Most tokens of a merged caption."""

Merge = Callable[[Sequence[Sequence[str]]], list[str]]
"""From the transcripts of pictures to a caption of each."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Spoken:
    """A picture and what was said of it."""

    image: Path | None
    image_url: str | None
    recordings: tuple[Path, ...]


def read_spoken(path: Path) -> Iterator[Spoken]:
    """The rows of a file of recordings.

    Raises:
        WatershedError: the file cannot be read, a row is malformed, or names a file that does not exist.
    """
    try:
        with opened(path) as file:
            for number, line in bounded_lines(file, LARGEST_LINE):
                place = f"{path}:{number}"
                try:
                    row = bounded_json(line or b"")
                except MalformedReply as error:
                    raise WatershedError(f"{place}: {error}", MEND) from None
                yield _spoken(row, place, path.parent)
    except OSError as error:
        raise WatershedError(f"{path} cannot be read: {error.strerror or error}", MEND) from error


def _spoken(row: Any, place: str, folder: Path) -> Spoken:
    image, url, recordings = (
        (row.get("image"), row.get("image_url"), row.get("recordings")) if isinstance(row, dict) else (None,) * 3
    )
    if not isinstance(recordings, list) or not 0 < len(recordings) <= MOST_RECORDINGS:
        raise WatershedError(f"{place} has no list of 1 to {MOST_RECORDINGS} recordings", MEND)
    if (image is None) == (url is None) or not all(isinstance(each, str) for each in (*recordings, image or url)):
        raise WatershedError(f"{place} has neither image nor image_url, or a field that is not a text", MEND)
    paths = [folder / each for each in (*recordings, *([image] if image else []))]
    if missing := [each for each in paths if not each.is_file()]:
        raise WatershedError(f"{place}: {missing[0]} does not exist", MEND)
    return Spoken(folder / image if image else None, url, tuple(folder / each for each in recordings))


def spoken_rows(
    spoken: Sequence[Spoken], recognise: Recognise, store: PictureStore, merge: Merge | None = None
) -> list[Row]:
    """Rows in the fields of PixMo-Cap.

    Args:
        spoken: pictures with their recordings.
        recognise: returns what is said in a recording.
        store: where pictures go.
        merge: merges transcripts; by default by their agreement.

    Raises:
        WatershedError: a recording or a picture cannot be read, or nothing was recognised for a picture.
    """
    transcripts: list[list[str]] = []
    with track("recognising speech", sum(len(each.recordings) for each in spoken), "recordings") as task:
        for each in spoken:
            heard = []
            for path in each.recordings:
                heard.append(recognise(path))
                task.advance(1, path.name)
            transcripts.append([text for text in heard if text])
            if not transcripts[-1]:
                raise WatershedError(f"nothing was recognised in {each.recordings[0]}", "record it again")
    captions = merge(transcripts) if merge else [merge_by_agreement(each) for each in transcripts]
    rows = []
    for each, texts, caption in zip(spoken, transcripts, captions, strict=True):
        digest = None
        if each.image is not None:
            data = each.image.read_bytes()
            try:
                digest = store.put(data, look(data)).digest
            except NotAPicture as error:
                raise WatershedError(f"{each.image}: {error}", "give JPEG, PNG or WebP files") from None
        place = {"image_url": each.image_url, "image_sha256": digest}
        rows.append({**place, "caption": caption, "transcripts": texts, "maker": "transcript_merge"})
    return rows


def by_model(lake: Lake, endpoint: Endpoint) -> Merge:
    """A merge by a language model, which reads the transcripts and sees no picture. Replies are kept and paid once.

    A picture whose reply did not come is merged by the agreement of its transcripts.
    """

    def merge(transcripts: Sequence[Sequence[str]]) -> list[str]:
        settings = Sampling(max_tokens=TOKENS, temperature=0.0)
        requests = [Request.chat(merge_prompt(each), settings=settings) for each in transcripts]
        rows = ask(lake, endpoint, requests, purpose="pixmo.captions")
        return [
            row.text.strip() if row.answered and row.text.strip() else merge_by_agreement(each)
            for row, each in zip(rows, transcripts, strict=True)
        ]

    return merge
