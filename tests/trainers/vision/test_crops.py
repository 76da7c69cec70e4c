"""Crops: tokens and coordinates against a slow reference, and points drawn through crops and back."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from trainers.process.errors import TrainerError
from trainers.vision.crops import COLUMN, END, PATCH, START, CropConfig, grid_of, layout
from trainers.vision.pictures import cut, decoded

PUBLISHED = CropConfig()
SMALL = CropConfig(crop=56, patch=7, margins=(2, 2), most_crops=9)


def sizes(count: int, most: int) -> list[tuple[int, int]]:
    chance = np.random.default_rng(0)
    edges = [(1, 1), (1, most), (most, 1), (336, 336), (336, 560), (112, 113), (337, 335)]
    return [*edges, *((int(h), int(w)) for h, w in chance.integers(1, most, (count - len(edges), 2)))]


def slow_grid(height: int, width: int, config: CropConfig) -> tuple[int, int]:
    """The published rule, a grid at a time."""
    step, margin = config.window * config.patch, sum(config.margins) * config.patch
    high, wide = max(1, height - margin), max(1, width - margin)
    every = [(r, c) for r in range(1, 40) for c in range(1, 40) if r * c <= config.most_crops]
    scale = {
        grid: min(np.float32(grid[0] * step) / np.float32(high), np.float32(grid[1] * step) / np.float32(wide))
        for grid in every
    }
    large = [grid for grid in every if scale[grid] >= 1]
    best = min(scale[grid] for grid in large) if large else max(scale.values())
    return min((grid for grid in large or every if scale[grid] == best), key=lambda g: (g[0] * g[1], g[0]))


def slow_tokens(height: int, width: int, config: CropConfig) -> tuple[list[int], list[list[int]]]:
    """Kinds of tokens, and the patches of each, by walking over every patch of every crop."""
    side, pool = config.side, config.pool
    kinds: list[int] = []
    pooled: list[list[int]] = []

    def view(patch_at: dict[tuple[int, int], int]) -> None:
        rows, columns = (1 + max(place[axis] for place in patch_at) for axis in (0, 1))
        kinds.append(START)
        for row in range(0, rows, pool):
            for column in range(0, columns, pool):
                inside = [(row + r, column + c) for r in range(pool) for c in range(pool)]
                pooled.append([patch_at[place] for place in inside])
                kinds.append(PATCH)
            kinds.append(COLUMN)
        kinds.append(END)

    view({(r, c): r * side + c for r in range(side) for c in range(side)})
    rows, columns = slow_grid(height, width, config)
    first, last = config.margins
    kept: dict[tuple[int, int], int] = {}
    for i in range(rows):
        for j in range(columns):
            for r in range(side):
                for c in range(side):
                    margin = (
                        (i > 0 and r < first)
                        or (i < rows - 1 and r >= side - last)
                        or (j > 0 and c < first)
                        or (j < columns - 1 and c >= side - last)
                    )
                    if not margin:
                        place = (i * config.window + r, j * config.window + c)
                        assert place not in kept
                        kept[place] = (1 + i * columns + j) * side * side + r * side + c
    view(kept)
    return kinds, pooled


def test_tokens_and_patches_equal_a_slow_reference_for_200_sizes() -> None:
    for height, width in sizes(200, 2500):
        found = layout(height, width, PUBLISHED)
        assert found.grid == slow_grid(height, width, PUBLISHED), (height, width)
        kinds, pooled = slow_tokens(height, width, PUBLISHED)
        assert found.kinds.tolist() == kinds
        assert found.pooled.tolist() == pooled
        rows, columns = found.grid
        # The published count: 144 tokens and 12 column tokens of the global view, and those of the crops.
        assert len(kinds) == 158 + 2 + (8 + 16 * rows) // 2 * ((8 + 16 * columns) // 2 + 1)


def blob(height: int, width: int, x: float, y: float, spread: float) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    light = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * spread**2))
    return Image.fromarray(np.repeat((light * 255).round().astype(np.uint8)[..., None], 3, -1))


def centre(pixels_HW3: np.ndarray, near: tuple[float, float], reach: float) -> tuple[float, float]:
    """The centre of what is bright around a point, in pixels."""
    light = pixels_HW3[..., 0].astype(float)
    rows, columns = np.mgrid[0 : light.shape[0], 0 : light.shape[1]] + 0.5
    light *= (np.abs(columns - near[0]) < reach) & (np.abs(rows - near[1]) < reach)
    return float((light * columns).sum() / light.sum()), float((light * rows).sum() / light.sum())


def test_a_point_drawn_through_a_crop_and_back_lands_within_half_a_pixel() -> None:
    chance = np.random.default_rng(1)
    for height, width in [(int(h), int(w)) for h, w in chance.integers(60, 420, (200, 2))]:
        fine = layout(height, width, SMALL).fine
        assert fine is not None
        shrunk = max(1.0, height / fine.height)
        spread = 1.2 * shrunk
        x, y = (float(chance.uniform(5 * spread, size - 5 * spread)) for size in (width, height))
        found, crops_CHW3, inside = cut(blob(height, width, x, y, spread), SMALL)
        assert crops_CHW3.shape == (found.crops, 56, 56, 3)
        assert inside.shape == (found.crops, 64)
        crop = found.crop_of(x, y)
        expected = found.into(crop, x, y)
        assert 0 <= expected[0] <= 56 and 0 <= expected[1] <= 56
        scale = fine.width / width
        drawn = centre(crops_CHW3[crop], expected, 5.5 * spread * scale)
        back = found.out_of(crop, *drawn)
        assert abs(back[0] - x) < 0.5 and abs(back[1] - y) < 0.5, (height, width, x, y, back)
        # The token that stands for the point is made of the patch that holds it.
        row, column = int(expected[1] // 7), int(expected[0] // 7)
        patch = crop * 64 + min(7, row) * 8 + min(7, column)
        assert patch in found.pooled[found.tokens_at(x, y)[-1]]


def test_every_patch_of_the_canvas_is_kept_once_and_padding_is_marked() -> None:
    found, crops, inside = cut(Image.new("RGB", (100, 50), (255, 0, 0)), SMALL)
    fine = found.pooled[found.pooled >= 64]
    assert len(np.unique(fine)) == len(fine)
    assert found.fine is not None
    area = sum(inside[crop].sum() for crop in range(1)) * 49
    assert area == pytest.approx(found.whole.width * found.whole.height)
    assert set(np.unique(crops[0][..., 0])) == {127, 255}


def test_a_global_view_alone_has_no_crops() -> None:
    config = CropConfig(crop=128, patch=8, mode="global", margins=(0, 0))
    found = layout(128, 128, config)
    assert (found.grid, found.crops, len(found.pooled)) == ((0, 0), 1, 64)
    assert found.tokens_at(17, 33) == [2 * 8 + 1]
    assert found.out_of(0, *found.into(0, 12.25, 90.5)) == (12.25, 90.5)


def test_the_middle_of_a_token_is_a_point_that_the_token_shows() -> None:
    for height, width in [(56, 56), (90, 300), (301, 77)]:
        found = layout(height, width, SMALL)
        middles = found.middles()
        assert len(middles) == len(found.pooled)
        views = [(found.whole, 0), (found.fine, 1)]
        checked = 0
        for number, (x, y) in enumerate((middles * [width / 100, height / 100]).tolist()):
            # Tokens beside the picture have their middle outside of it.
            if 0 <= x < width and 0 <= y < height:
                assert number in found.tokens_at(x, y)
                checked += 1
        assert checked > len(views) * 4
    whole = layout(128, 128, CropConfig(crop=128, patch=8, mode="global", margins=(0, 0)))
    assert whole.middles()[2 * 8 + 1].tolist() == [100 * 24 / 128, 100 * 40 / 128]


def test_grids_are_chosen_as_published() -> None:
    # A picture that fits one crop is not cut; one larger than all grids takes the one that shrinks it least.
    assert grid_of(336, 336, PUBLISHED) == (1, 1)
    assert grid_of(768, 1024, PUBLISHED) == (3, 4)
    assert grid_of(5000, 5000, PUBLISHED) == (3, 3)


@pytest.mark.parametrize("wrong", [{"patch": 5}, {"margins": [3, 4]}, {"margins": [12, 12]}, {"most_crops": 0}])
def test_a_wrong_cut_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(TrainerError, match=r"crops\."):
        CropConfig(**wrong)  # ty: ignore[invalid-argument-type]


def test_damaged_and_huge_pictures_are_refused() -> None:
    import io
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    whole = io.BytesIO()
    Image.new("RGB", (64, 64), (1, 2, 3)).save(whole, "JPEG")
    for data, cause in ((b"GIF, or not", "no picture"), (bomb, "pixels"), (whole.getvalue()[:300], "damaged")):
        with pytest.raises(TrainerError, match=cause):
            decoded(data)
    with_alpha = io.BytesIO()
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(with_alpha, "PNG")
    assert decoded(with_alpha.getvalue()).getpixel((0, 0)) == (255, 255, 255)
