"""From samples to a batch: tokens, branches, loss weights and crops.

A row begins with the tokens of its picture; each annotation is a branch behind it (see model.py).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from trainers.process.errors import TrainerError
from trainers.serving.tokenizers import TextTokenizer
from trainers.vision.crops import PATCH, Layout
from trainers.vision.model import PADDING, Aims, Grounding, Inputs, Pictures
from trainers.vision.pictures import cut, decoded
from trainers.vision.shape import VisionLanguageConfig
from trainers.vision.shards import Annotation, Sample
from trainers.vision.words import answer, point_spans, question, turn

Weighting = Literal["tokens", "annotations", "molmo2"]


Shown = tuple[int, float, float]
"""A patch token of a picture that shows a point, and where in it the point is; see `Layout.shown_at`."""


@dataclass(frozen=True)
class Branch:
    """A turn in tokens."""

    tokens: tuple[int, ...]
    """Of question, answer and end."""
    asked: int
    """Those of the question."""
    weight: float = 0.0
    """Of each token of answer and end."""
    aims: tuple[tuple[int, tuple[float, float] | None], ...] = ()
    """Tokens that name points, by their place in the branch, with the point in percent; None where no point is left."""


@dataclass(frozen=True)
class Row:
    """A sample in tokens."""

    beginning: tuple[int, ...]
    """The token that begins a text, and those of the picture."""
    branches: tuple[Branch, ...]
    pixels_CHW3: np.ndarray | None = None
    inside_CS: np.ndarray | None = None
    layout: Layout | None = None
    grounded: tuple[tuple[tuple[int, ...], tuple[Shown, ...]], ...] = ()
    """The tokens of each label that is pointed at, and where the picture shows its points."""

    @property
    def length(self) -> int:
        """Positions of the row."""
        return len(self.beginning) + sum(len(branch.tokens) for branch in self.branches)

    @property
    def weight(self) -> float:
        """Sum of the weights of its targets."""
        return sum(branch.weight * (len(branch.tokens) - branch.asked) for branch in self.branches)


def weights_of(styles: Sequence[str], targets: Sequence[int], rule: Weighting) -> list[float]:
    """The weight of each target token of some annotations of one picture.

    Args:
        styles: of the annotations.
        targets: their numbers of tokens to learn.
        rule: "tokens": 1. "annotations": 1 / sqrt(annotations), as Molmo's second stage. "molmo2": that times
            2 / sqrt(tokens), but captions x 0.1 and pointing x 0.2 without roots (arXiv 2601.10611 and its code).

    Example:
        >>> weights_of(["question"] * 4, [3, 1, 1, 1], "annotations")
        [0.5, 0.5, 0.5, 0.5]
    """
    share = len(styles) ** -0.5 if styles else 1.0
    if rule == "tokens":
        return [1.0] * len(styles)
    if rule == "annotations":
        return [share] * len(styles)
    fixed = {"caption": 0.1, "transcript": 0.1, "pointing": 0.2, "counting": 0.2}
    return [fixed.get(s, share * 2.0 / max(1, count) ** 0.5) for s, count in zip(styles, targets, strict=True)]


class Examples:
    """Makes rows of samples, and batches of rows.

    Args:
        config: of the model.
        tokenizer: of its decoder.
        end: the token that ends an answer, and that begins a row.
        length: positions of a row at most; annotations that do not fit are left out.
        blind: leave the features of pictures out, for a baseline that never sees them.

    Attributes:
        always: whether a batch without a picture reads an empty one whose feature is not used. Ranks need it: FSDP
            gathers the transformer on all of them or on none.
    """

    def __init__(
        self, config: VisionLanguageConfig, tokenizer: TextTokenizer, end: int, length: int, *, blind: bool = False
    ) -> None:
        self.config, self.tokenizer, self.end, self.length, self.blind = config, tokenizer, end, length, blind
        # The marker that a kind of picture token has: see crops.START to PATCH.
        self._markers = np.array(config.markers, dtype=np.int64)
        self._known: dict[str, tuple[int, ...]] = {}
        self._aimed: dict[str, tuple[tuple[int, tuple[float, float] | None], ...]] = {}
        self.always = False

    def encoded(self, text: str) -> tuple[int, ...]:
        """Tokens of a text."""
        found = self._known.get(text)
        if found is None:
            found = tuple(self.tokenizer.encode(text, special=False))
            if len(self._known) < 100_000:
                self._known[text] = found
        return found

    def branch(self, annotation: Annotation, chance: random.Random | None) -> Branch:
        """A turn in tokens, with its answer."""
        asked, written = self.encoded(turn(question(annotation, chance))), f" {answer(annotation)}"
        aims = self._aims(written) if annotation.style in ("pointing", "counting") else ()
        found = (*asked, *self.encoded(written), self.end)
        return Branch(found, len(asked), aims=tuple((len(asked) + at, point) for at, point in aims))

    def _aims(self, written: str) -> tuple[tuple[int, tuple[float, float] | None], ...]:
        """The tokens of an answer that name points, with the point."""
        found = self._aimed.get(written)
        if found is None:
            spans = point_spans(written)
            begins = self.tokenizer.encode_placed([written])[0][1] if spans else ()
            found = tuple(
                (token, point) for token, at in enumerate(begins) for begin, end, point in spans if begin <= at < end
            )
            if len(self._aimed) < 100_000:
                self._aimed[written] = found
        return found

    def row(self, sample: Sample, rule: Weighting, seed: str) -> Row:
        """A sample in tokens.

        Args:
            rule: how its annotations are weighted; see `weights_of`.
            seed: names what is drawn: prompts, hints, and the order of the annotations.

        Raises:
            TrainerError: its picture cannot be read, or leaves no room for an annotation.
        """
        chance = random.Random(f"{seed} {sample.key}")
        found = self.of_picture(sample.picture, sample.key)
        annotations = list(sample.annotations)
        chance.shuffle(annotations)
        taken, left = [], self.length - len(found.beginning)
        for annotation in annotations:
            branch = self.branch(annotation, chance)
            if len(branch.tokens) <= left:
                taken.append((annotation.style, branch))
                left -= len(branch.tokens)
        targets = [len(branch.tokens) - branch.asked for _, branch in taken]
        weights = weights_of([style for style, _ in taken], targets, rule)
        branches = tuple(replace(b, weight=w) for (_, b), w in zip(taken, weights, strict=True))
        return replace(found, branches=branches, grounded=self._grounded(found.layout, sample.annotations))

    def picture_row(self, sample: Sample) -> Row:
        """The beginning of a row alone, with the labels that its picture shows.

        Raises:
            TrainerError: its picture cannot be read.
        """
        found = self.of_picture(sample.picture, sample.key)
        return replace(found, grounded=self._grounded(found.layout, sample.annotations))

    def _grounded(
        self, layout: Layout | None, annotations: Sequence[Annotation]
    ) -> tuple[tuple[tuple[int, ...], tuple[Shown, ...]], ...]:
        if layout is None:
            return ()
        wide, high = layout.whole.from_width / 100, layout.whole.from_height / 100
        found: dict[str, set[Shown]] = {}
        for each in annotations:
            if each.label and each.style in ("pointing", "counting"):
                shown = found.setdefault(each.label, set())
                for x, y in each.points:
                    shown.update(layout.shown_at(x * wide, y * high))
        return tuple((self.encoded(f" {label}"), tuple(sorted(shown))) for label, shown in found.items())

    def of_picture(self, data: bytes | None, name: str = "the picture") -> Row:
        """The beginning of a row.

        Raises:
            TrainerError: the picture cannot be read.
        """
        if data is None:
            return Row((self.end,), ())
        layout, pixels, inside = cut(decoded(data, name), self.config.crops)
        beginning = (self.end, *self._markers[layout.kinds].tolist())
        if len(beginning) >= self.length:
            raise TrainerError(
                f"{name} has {len(beginning):,} tokens, and a row {self.length:,}", "lower crops.most_crops"
            )
        return Row(beginning, (), pixels, inside, layout)

    def batch(self, rows: Sequence[Row], device: torch.device | str) -> tuple[Inputs, Tensor, Tensor]:
        """Inputs, targets (B, T) and their weights (B, T)."""
        B, T = len(rows), max(row.length for row in rows)
        tokens, position = np.full((B, T), self.end), np.zeros((B, T), dtype=np.int64)
        branch, target = np.full((B, T), PADDING), np.full((B, T), self.end)
        weight = np.zeros((B, T), dtype=np.float32)
        for b, row in enumerate(rows):
            at = len(row.beginning)
            tokens[b, :at], branch[b, :at], position[b, :at] = row.beginning, 0, np.arange(at)
            for number, each in enumerate(row.branches, start=1):
                size = len(each.tokens)
                tokens[b, at : at + size], branch[b, at : at + size] = each.tokens, number
                position[b, at : at + size] = len(row.beginning) + np.arange(size)
                target[b, at : at + size - 1] = each.tokens[1:]
                weight[b, at + each.asked - 1 : at + size - 1] = each.weight
                at += size

        def put(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(device)

        inputs = Inputs(put(tokens), put(position), put(branch), None if self.blind else self.pictures(rows, device))
        return inputs, put(target), put(weight)

    def pictures(self, rows: Sequence[Row], device: torch.device | str) -> Pictures | None:
        """The crops of some rows; None where no row has a picture, unless `always`."""
        pixels, inside, pooled, row_of, places, at, extent, crops = [], [], [], [], [], [], [], 0
        size = self.config.crops.side**2
        for b, row in enumerate(rows):
            if row.layout is None or row.pixels_CHW3 is None or row.inside_CS is None:
                continue
            pixels.append(row.pixels_CHW3)
            inside.append(row.inside_CS)
            pooled.append(row.layout.pooled + crops * size)
            crops += len(row.pixels_CHW3)
            # The token that begins the row comes before the picture.
            here = 1 + np.flatnonzero(row.layout.kinds == PATCH)
            places.append(here)
            row_of.append(np.full(len(here), b))
            at.append(row.layout.middles())
            extent.append(row.layout.extents())
        if not pixels:
            return self._unused(device) if self.always else None
        joined = [np.concatenate(each) for each in (pixels, inside, pooled, row_of, places, at, extent)]
        crops_CHW3, inside_CS, pooled_PW, row_P, place_P, at_P2, extent_P2 = (
            torch.from_numpy(e).to(device) for e in joined
        )
        return Pictures(crops_CHW3, inside_CS, pooled_PW, row_P, place_P, at_P2, extent_P2)

    def aims(self, rows: Sequence[Row], device: torch.device | str) -> Aims | None:
        """Where the positions before tokens that name points are to look; None for a batch that names none."""
        found: list[tuple[int, int, list[int]]] = []
        for b, row in enumerate(rows):
            if row.layout is None or self.blind:
                continue
            here = 1 + np.flatnonzero(row.layout.kinds == PATCH)
            wide, high = row.layout.whole.from_width / 100, row.layout.whole.from_height / 100
            start = len(row.beginning)
            for branch in row.branches:
                for token, point in branch.aims:
                    # The first token of a picture is the start of its first view: there is nothing more to see.
                    shown = [1] if point is None else here[row.layout.tokens_at(point[0] * wide, point[1] * high)]
                    found.append((b, start + token - 1, [int(each) for each in shown]))
                start += len(branch.tokens)
        if not found:
            return None
        views = max(len(shown) for _, _, shown in found)
        target = np.array([[*shown, *[0] * (views - len(shown))] for _, _, shown in found])
        used = np.array([[number < len(shown) for number in range(views)] for _, _, shown in found])
        given = (np.array([b for b, _, _ in found]), np.array([place for _, place, _ in found]), target, used)
        return Aims(*(torch.from_numpy(each).to(device) for each in given))

    def grounding(self, rows: Sequence[Row], device: torch.device | str) -> Grounding | None:
        """The labels of a batch and where they are shown; None for a batch without pictures or labels."""
        seen = [row for row in rows if row.layout is not None]
        labels = list(dict.fromkeys(label for row in seen for label, _ in row.grounded))
        if not labels or self.blind:
            return None
        place = {label: number for number, label in enumerate(labels)}
        sizes = [len(row.layout.pooled) for row in seen if row.layout is not None]
        shown, start = np.zeros((sum(sizes), len(labels)), dtype=np.float32), 0
        point, offset = [], []
        for row, size in zip(seen, sizes, strict=True):
            for label, points in row.grounded:
                for token, right, down in points:
                    shown[start + token, place[label]] = 1.0
                    point.append(start + token)
                    offset.append((right, down))
            start += size
        longest = max(map(len, labels))
        tokens, used = np.zeros((len(labels), longest), dtype=np.int64), np.zeros((len(labels), longest), np.float32)
        for number, label in enumerate(labels):
            tokens[number, : len(label)], used[number, : len(label)] = label, 1.0
        at = np.array(point, dtype=np.int64), np.array(offset, dtype=np.float32).reshape(-1, 2)
        return Grounding(*(torch.from_numpy(each).to(device) for each in (tokens, used, shown, *at)))

    def _unused(self, device: torch.device | str) -> Pictures:
        crops, numbers = self.config.crops, torch.zeros(1, dtype=torch.int64, device=device)
        pixels = torch.zeros(1, crops.crop, crops.crop, 3, dtype=torch.uint8, device=device)
        pooled = torch.zeros(1, crops.pool**2, dtype=torch.int64, device=device)
        inside, at = torch.ones(1, crops.side**2, device=device), torch.zeros(1, 2, device=device)
        return Pictures(pixels, inside, pooled, numbers, numbers, at, at, used=False)
