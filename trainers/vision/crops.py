"""How a picture becomes crops and picture tokens: overlapping crops with a global view (arXiv 2409.17146, section 2).

A picture is scaled to fit a grid of square crops that overlap by `margins` patches, and padded around it. The global
view, the whole picture in one crop, comes first. A crop keeps its patches without the margins, and at the outer edge of
the picture with them, so that every patch of the canvas is kept exactly once.
2 x 2 kept patches become one token. Tokens run along the rows of the whole picture, across crops, and a column token
ends each row.

Coordinates are pixels, with 0 at the left or upper edge of the first pixel; a place may lie between pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainers.process.errors import TrainerError

Mode = Literal["global", "overlap"]
Ints = NDArray[np.int64]
START, END, COLUMN, PATCH = 0, 1, 2, 3
"""Kinds of picture tokens in `Layout.kinds`."""


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """How pictures are cut."""

    crop: int = 336
    """Pixels of a side of a crop: what the vision transformer reads at a time."""
    patch: int = 14
    """Pixels of a side of a patch; divides `crop`."""
    mode: Mode = "overlap"
    """"overlap": the global view and crops. "global": the global view alone, which is enough for small pictures."""
    most_crops: int = 12
    """Crops beside the global view. Molmo trains with 12 and answers with up to 36."""
    margins: tuple[int, int] = (4, 4)
    """Patches that a crop shares with the one before it, and with the one after it; even numbers."""
    pool: int = 2
    """Patches a side that one token stands for."""

    def __post_init__(self) -> None:
        # JSON has lists.
        object.__setattr__(self, "margins", tuple(self.margins))
        side = self.crop // max(self.patch, 1)
        limits = {
            "patch": (self.patch >= 1 and self.crop % max(self.patch, 1) == 0, "a divisor of crop"),
            "pool": (self.pool >= 1 and side % max(self.pool, 1) == 0, "a divisor of the patches of a side"),
            "most_crops": (self.most_crops >= 1, "1 or more"),
            "mode": (self.mode in ("global", "overlap"), '"global" or "overlap"'),
            "margins": (
                len(self.margins) == 2
                and all(m >= 0 and m % self.pool == 0 for m in self.margins)
                and (sum(self.margins) < side or self.mode == "global"),
                "two multiples of pool that leave a patch between them",
            ),
        }
        for name, (fits, wanted) in limits.items():
            if not fits:
                raise TrainerError(f"crops.{name} is {getattr(self, name)}", f"give {wanted}")

    @property
    def side(self) -> int:
        """Patches of a side of a crop."""
        return self.crop // self.patch

    @property
    def window(self) -> int:
        """Patches of a side that a crop adds to its row or column."""
        return self.side - sum(self.margins)


@dataclass(frozen=True)
class Placed:
    """How a picture lies on a canvas: scaled to `height` x `width` and put at (`top`, `left`)."""

    top: int
    left: int
    height: int
    width: int
    from_height: int
    from_width: int

    def onto(self, x: float, y: float) -> tuple[float, float]:
        """A point of the picture, as a point of the canvas."""
        return self.left + x * self.width / self.from_width, self.top + y * self.height / self.from_height

    def back(self, x: float, y: float) -> tuple[float, float]:
        """A point of the canvas, as a point of the picture."""
        return (x - self.left) * self.from_width / self.width, (y - self.top) * self.from_height / self.height


@dataclass(frozen=True)
class Layout:
    """The crops and tokens of a picture of some size; the pixels themselves are not needed for it."""

    config: CropConfig
    grid: tuple[int, int]
    """Rows and columns of crops beside the global view; (0, 0) for none."""
    whole: Placed
    """The picture in the global view."""
    fine: Placed | None
    """The picture on the canvas that the crops are cut from."""
    kinds: Ints
    """(tokens,): the kind of each picture token, in the order in which the decoder reads them."""
    pooled: Ints
    """(patch tokens, pool^2): for each token of kind PATCH, the numbers of its patches: crop x side^2 + row x side +
    column, where crop 0 is the global view."""

    @property
    def crops(self) -> int:
        """Crops, with the global view."""
        return 1 + self.grid[0] * self.grid[1]

    def crop_of(self, x: float, y: float) -> int:
        """The crop, from 1, that keeps the patch at a point of the picture; 0 where there is the global view alone."""
        if self.fine is None:
            return 0
        canvas = self.fine.onto(x, y)
        row, column = (
            min(max(0, int((at / self.config.patch - self.config.margins[0]) // self.config.window)), count - 1)
            for at, count in zip((canvas[1], canvas[0]), self.grid, strict=True)
        )
        return 1 + row * self.grid[1] + column

    def into(self, crop: int, x: float, y: float) -> tuple[float, float]:
        """A point of the picture as a point of a crop, which may lie outside of it."""
        if crop == 0:
            return self.whole.onto(x, y)
        assert self.fine is not None
        left, top = self._corner(crop)
        canvas = self.fine.onto(x, y)
        return canvas[0] - left, canvas[1] - top

    def out_of(self, crop: int, x: float, y: float) -> tuple[float, float]:
        """A point of a crop as a point of the picture."""
        if crop == 0:
            return self.whole.back(x, y)
        assert self.fine is not None
        left, top = self._corner(crop)
        return self.fine.back(x + left, y + top)

    def tokens_at(self, x: float, y: float) -> list[int]:
        """The patch tokens, counted over tokens of kind PATCH, that show a point of the picture: one in each view."""
        return [token for token, _, _ in self.shown_at(x, y)]

    def shown_at(self, x: float, y: float) -> list[tuple[int, float, float]]:
        """Those tokens, each with the place of the point in it: x and y from the token's middle, in its widths, so from
        -0.5 to 0.5.
        """
        unit, found, before = self.config.patch * self.config.pool, [], 0
        for place, high, wide in self._views():
            at = place.onto(x, y)
            column, row = (
                min(max(0, int(each // unit)), most - 1) for each, most in zip(at, (wide, high), strict=True)
            )
            found.append((before + row * wide + column, at[0] / unit - column - 0.5, at[1] / unit - row - 0.5))
            before += high * wide
        return found

    def middles(self) -> NDArray[np.float32]:
        """(patch tokens, 2): x and y of the middle of each token in percent of the picture's width and height."""
        unit, found = self.config.patch * self.config.pool, []
        for place, high, wide in self._views():
            y, x = np.mgrid[0:high, 0:wide] * unit + unit / 2
            share = ((x - place.left) / place.width, (y - place.top) / place.height)
            found.append(100 * np.stack(share, -1).reshape(-1, 2))
        return np.concatenate(found).astype(np.float32)

    def extents(self) -> NDArray[np.float32]:
        """(patch tokens, 2): width and height of each token in percent of the picture's."""
        unit = self.config.patch * self.config.pool
        sizes = [((unit / place.width, unit / place.height), high * wide) for place, high, wide in self._views()]
        return np.concatenate([np.tile(100 * np.array(size), (count, 1)) for size, count in sizes]).astype(np.float32)

    def _views(self) -> list[tuple[Placed, int, int]]:
        """The picture in each of its views, with the rows and columns of tokens there."""
        pool, side = self.config.pool, self.config.side
        views = [(self.whole, side // pool, side // pool)]
        if self.fine is not None:
            margin, window = sum(self.config.margins), self.config.window
            rows, columns = ((count * window + margin) // pool for count in self.grid)
            views.append((self.fine, rows, columns))
        return views

    def _corner(self, crop: int) -> tuple[int, int]:
        """Left and top of a crop on the canvas."""
        row, column = divmod(crop - 1, self.grid[1])
        step = self.config.window * self.config.patch
        return column * step, row * step


def grid_of(height: int, width: int, config: CropConfig) -> tuple[int, int]:
    """Rows and columns of crops for a picture: the grid that needs the least enlarging, or, where every grid is too
    small for the picture, the least shrinking. Of equal ones the one with fewer crops is taken.

    The margins are taken off both sides before they are compared, as in the published code; a picture smaller than the
    margins counts as one pixel.
    """
    margin, step = sum(config.margins) * config.patch, config.window * config.patch
    high, wide = max(1, height - margin), max(1, width - margin)
    most = config.most_crops
    grids = [(rows, columns) for rows in range(1, most + 1) for columns in range(1, most // rows + 1)]
    grids.sort(key=lambda grid: (grid[0] * grid[1], grid[0]))
    # The published code computes the scales in float32, which decides ties.
    sizes = np.array(grids, dtype=np.float32) * step
    scales = (sizes / np.array([high, wide], dtype=np.float32)).min(1)
    best = scales.argmax() if (scales < 1).all() else np.where(scales < 1, np.inf, scales).argmin()
    return grids[int(best)]


def placed(height: int, width: int, canvas: tuple[int, int]) -> Placed:
    """The picture in the middle of a canvas (height, width), as large as fits without changing its proportions.

    Sizes are rounded down in float32, as in the published code.
    """
    sizes = np.array([height, width], dtype=np.float32)
    scaled = sizes * (np.array(canvas, dtype=np.float32) / sizes).min()
    high, wide = (min(max(1, int(size)), most) for size, most in zip(scaled, canvas, strict=True))
    return Placed((canvas[0] - high) // 2, (canvas[1] - wide) // 2, high, wide, height, width)


def layout(height: int, width: int, config: CropConfig) -> Layout:
    """The crops and tokens of a picture of `height` x `width` pixels.

    Raises:
        TrainerError: a side is less than a pixel.

    Example:
        >>> found = layout(768, 1024, CropConfig())
        >>> found.grid, found.crops, len(found.kinds), len(found.pooled)
        ((3, 4), 13, 1062, 1008)
    """
    if height < 1 or width < 1:
        raise TrainerError(f"a picture of {width} x {height} pixels", "give a picture with at least one pixel")
    side = config.side
    numbers = np.arange(side * side, dtype=np.int64).reshape(side, side)
    kinds, pooled = [_kinds(side // config.pool, side // config.pool)], [_pooled(numbers, config.pool)]
    whole = placed(height, width, (config.crop, config.crop))
    if config.mode == "global":
        return Layout(config, (0, 0), whole, None, kinds[0], pooled[0])
    rows, columns = grid_of(height, width, config)
    taken = _kept(numbers, rows, columns, config)
    kinds.append(_kinds(taken.shape[0] // config.pool, taken.shape[1] // config.pool))
    pooled.append(_pooled(taken, config.pool))
    canvas = (taken.shape[0] * config.patch, taken.shape[1] * config.patch)
    fine = placed(height, width, canvas)
    return Layout(config, (rows, columns), whole, fine, np.concatenate(kinds), np.concatenate(pooled))


def _kept(numbers: Ints, rows: int, columns: int, config: CropConfig) -> Ints:
    """The number of the patch that is kept at each place of the canvas."""
    side = config.side

    def span(place: int, count: int) -> slice:
        first, last = config.margins
        return slice(0 if place == 0 else first, side if place == count - 1 else side - last)

    lines = []
    for row in range(rows):
        crops = [1 + row * columns + column for column in range(columns)]
        parts = [
            crop * side * side + numbers[span(row, rows), span(column, columns)] for column, crop in enumerate(crops)
        ]
        lines.append(np.concatenate(parts, axis=1))
    return np.concatenate(lines, axis=0)


def _kinds(rows: int, columns: int) -> Ints:
    line = np.array([PATCH] * columns + [COLUMN], dtype=np.int64)
    return np.concatenate([[START], np.tile(line, rows), [END]]).astype(np.int64)


def _pooled(numbers: Ints, pool: int) -> Ints:
    high, wide = numbers.shape
    return numbers.reshape(high // pool, pool, wide // pool, pool).swapaxes(1, 2).reshape(-1, pool * pool)
