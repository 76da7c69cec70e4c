"""Shards of pictures with annotations: WebDataset tars whose samples are read at their place, in any order.

A sample is two members of a tar with one stem: KEY.jpg, .jpeg, .png or .webp, and KEY.json with

    {"image_sha256": hex, "width": pixels, "height": pixels, "source": data set, "maker": who wrote it, "annotations":
     [{"style": ..., "prompt": text or null, "text": text or null, "points": [[x, y], ...], "label": text or null,
     "count": number or null}, ...]}

where points are percent of width and height. The headers of a tar are read once; nothing is unpacked to disk.
"""

from __future__ import annotations

import glob
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from trainers.data.loader import Ints
from trainers.data.open_files import OpenFiles
from trainers.process.errors import TrainerError
from trainers.process.files import canonical_json, sha256_file, sha256_text
from trainers.vision.pictures import MOST_BYTES

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
MOST_JSON = 4 << 20
"""Bytes of the annotations of a picture."""
MOST_ANNOTATIONS = 4096
FORM = 'a sample is KEY.jpg, .png or .webp and KEY.json with {"annotations": [{"style": ..., "text": ...}]}'


@dataclass(frozen=True)
class Annotation:
    """One thing that is said about a picture."""

    style: str
    """Such as caption, transcript, question, pointing, counting, point_explanation, doc or clock."""
    prompt: str | None
    """What is asked; None leaves it to the style."""
    text: str
    """What the model is to write; "" lets points and label be written in the published form."""
    points: tuple[tuple[float, float], ...] = ()
    """Percent of width and height."""
    label: str = ""
    count: int | None = None


@dataclass
class Sample:
    """A picture with its annotations, or a chat without one."""

    key: str
    picture: bytes | None
    annotations: tuple[Annotation, ...]
    prepared: dict[int, Any] = field(default_factory=dict)
    """What was made of it in a step, by the step."""


@dataclass(frozen=True)
class _Place:
    file: int
    picture: tuple[int, int]
    """Offset and bytes."""
    words: tuple[int, int]
    key: str


class PictureShards:
    """The samples of some tars that have an annotation of the wanted styles: a `Source` of the loader.

    Args:
        files: tars, or patterns of them such as shards/pixmo-points-*.tar.
        styles: only annotations of these; () for all.
        datasets: only samples of these data sets, as `source` of a sample names them; () for all.
        joined: make one sample of those that have the same `image_sha256`, with the annotations of all.

    Raises:
        TrainerError: a tar is missing or damaged, a sample is not whole, or none has an annotation that is wanted.
    """

    def __init__(
        self,
        files: Iterable[str],
        styles: Sequence[str] = (),
        datasets: Sequence[str] = (),
        *,
        joined: bool = False,
    ) -> None:
        self.paths = _paths(files)
        self.styles, self.datasets, self.joined = tuple(styles), tuple(datasets), joined
        self._files = OpenFiles(self.paths)
        self._places: list[_Place] = []
        self.annotations: list[tuple[Annotation, ...]] = []
        known: dict[str, int] = {}
        for number, path in enumerate(self.paths):
            for place in _places(path, number):
                digest, found = self._annotations(place)
                if not found:
                    continue
                if joined and digest in known:
                    self.annotations[known[digest]] += found
                    continue
                if digest:
                    known[digest] = len(self._places)
                self._places.append(place)
                self.annotations.append(found)
        if not self._places:
            wanted = f" with an annotation of {', '.join(styles)}" if styles else ""
            wanted += f" of {', '.join(datasets)}" if datasets else ""
            raise TrainerError(f"{', '.join(map(str, self.paths))}: no sample{wanted}", FORM)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, places: Ints) -> list[Sample]:
        found = []
        for number in places.tolist():
            place = self._places[number]
            found.append(Sample(place.key, self._bytes(place.file, place.picture), self.annotations[number]))
        return found

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the tars' contents, in order, and of what is read of them."""
        digests = [sha256_file(path) for path in self.paths]
        read = [digests, list(self.styles), list(self.datasets)]
        return sha256_text(canonical_json([*read, "joined"] if self.joined else read))

    def _bytes(self, file: int, place: tuple[int, int]) -> bytes:
        held = bytearray(place[1])
        self._files.read_into(file, place[0], memoryview(held))
        return bytes(held)

    def _annotations(self, place: _Place) -> tuple[str, tuple[Annotation, ...]]:
        """The digest of a picture, "" where there is none, and what is wanted of its annotations."""
        where = f"{self.paths[place.file]}: {place.key}.json"
        try:
            parsed = json.loads(self._bytes(place.file, place.words))
        except (ValueError, RecursionError):
            raise TrainerError(f"{where} is not JSON", FORM) from None
        rows = parsed.get("annotations") if isinstance(parsed, dict) else None
        if not isinstance(rows, list) or len(rows) > MOST_ANNOTATIONS:
            raise TrainerError(f"{where} has no list of at most {MOST_ANNOTATIONS} annotations", FORM)
        if self.datasets and parsed.get("source") not in self.datasets:
            return "", ()
        found = (annotation_of(row, where) for row in rows)
        digest = parsed.get("image_sha256")
        named = digest if isinstance(digest, str) else ""
        return named, tuple(each for each in found if not self.styles or each.style in self.styles)


def annotation_of(row: Any, where: str) -> Annotation:
    """An annotation of a shard.

    Args:
        where: the file and sample, for errors.

    Raises:
        TrainerError: it is malformed.
    """
    if not isinstance(row, Mapping):
        raise TrainerError(f"{where}: an annotation is no object", FORM)
    for name, optional in (("style", False), ("prompt", True), ("text", True), ("label", True)):
        value = row.get(name)
        if not (isinstance(value, str) or (optional and value is None)):
            raise TrainerError(f"{where}: the {name} of an annotation is no text", FORM)
    points = row.get("points") or []
    if not isinstance(points, list) or not all(_is_point(each) for each in points):
        raise TrainerError(f"{where}: a point is no pair of percentages from 0 to 100", "write points as [[x, y], ...]")
    count = row.get("count")
    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 0):
        raise TrainerError(f"{where}: a count is {count!r}", "give a whole number of at least 0")
    return Annotation(
        row["style"],
        row.get("prompt"),
        row.get("text") or "",
        tuple((float(x), float(y)) for x, y in points),
        row.get("label") or "",
        count,
    )


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(each, int | float) and not isinstance(each, bool) and 0 <= each <= 100 for each in value)
    )


def _paths(files: Iterable[str]) -> list[Path]:
    found: list[Path] = []
    for name in files:
        matches = sorted(glob.glob(name)) if glob.has_magic(name) else [name]
        if not matches or not all(Path(match).is_file() for match in matches):
            raise TrainerError(f"{name}: no such shard", "give tars, or patterns such as shards/train-*.tar")
        found += map(Path, matches)
    if not found:
        raise TrainerError("no shards are given", "give tars, or patterns such as shards/train-*.tar")
    return found


def _places(path: Path, file: int) -> list[_Place]:
    """Where the samples of a tar lie."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                # A link or a sparse file has no bytes of its own at its place.
                if not member.isfile() or member.issparse():
                    continue
                name = PurePosixPath(member.name)
                kind = "words" if name.suffix == ".json" else "picture" if name.suffix.lower() in PICTURES else ""
                if kind:
                    most = MOST_JSON if kind == "words" else MOST_BYTES
                    if member.size > most:
                        raise TrainerError(
                            f"{path}: {member.name[:200]} has {member.size:,} bytes", f"the most is {most:,}"
                        )
                    found.setdefault(str(name.with_suffix("")), {})[kind] = (member.offset_data, member.size)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise TrainerError(f"{path} is no whole tar: {error}", "copy the shard again in full") from None
    for key, kinds in found.items():
        if len(kinds) != 2:
            raise TrainerError(f"{path}: {key[:200]} has no {'picture' if 'words' in kinds else 'JSON'}", FORM)
    return [_Place(file, kinds["picture"], kinds["words"], key) for key, kinds in found.items()]


class Chats:
    """Conversations without a picture, from JSON lines {"messages": [{"role": ..., "content": ...}, ...]}: a `Source`.

    Each reply is an annotation whose prompt is the message before it.
    """

    def __init__(self, files: Sequence[str]) -> None:
        from trainers.data.json_rows import read_rows

        self.samples = [_chat(row, number) for number, row in read_rows([Path(name) for name in files])]
        if not self.samples:
            raise TrainerError(f"{', '.join(files)}: no conversation", 'write {"messages": [...]} in each line')

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, places: Ints) -> list[Sample]:
        return [Sample(f"chat-{number}", None, self.samples[number]) for number in places.tolist()]

    @property
    def annotations(self) -> list[tuple[Annotation, ...]]:
        """The replies of each conversation."""
        return self.samples

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 of all texts."""
        return sha256_text(canonical_json([[[a.prompt, a.text] for a in each] for each in self.samples]))


def _chat(row: Mapping[str, Any], number: int) -> tuple[Annotation, ...]:
    messages = row.get("messages")
    fits = isinstance(messages, list) and all(
        isinstance(each, dict) and isinstance(each.get("content"), str) for each in messages
    )
    turns = messages if fits and isinstance(messages, list) else []
    found = tuple(
        Annotation("text", asked["content"], reply["content"])
        for asked, reply in pairwise(turns)
        if asked.get("role") == "user" and reply.get("role") == "assistant"
    )
    if not found:
        raise TrainerError(
            f"row {number + 1} has no user message with a reply", 'write {"messages": [...]} in each line'
        )
    return found
