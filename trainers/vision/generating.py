"""Replies of a model of pictures, a batch at a time, each token being the likeliest.

A prompt is read once; its keys and values, and those of what is written, are kept (see serving/steps.py, whose
arithmetic this is). `trainers.serve` answers single requests by the same model with its own engine.

Shape suffixes: B rows, S positions that are read now, T positions in all; others as in models/dense.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.models.dense import Block
from trainers.serving.steps import queries_keys_values
from trainers.vision.examples import Branch, Examples, Row
from trainers.vision.model import PADDING, VisionLanguageModel
from trainers.vision.words import turn


@dataclass(frozen=True)
class Asked:
    """A picture and a question about it."""

    picture: bytes | None
    question: str
    """With its style before it, as `words.question` writes it."""


def replies(
    model: VisionLanguageModel,
    examples: Examples,
    asked: Sequence[Asked],
    *,
    most: int = 256,
    batch: int = 32,
    device: torch.device | str = "cpu",
) -> list[str]:
    """The reply to each question.

    Args:
        model: on the device.
        examples: makes rows of pictures and questions.
        asked: pictures with questions.
        most: tokens of a reply at most.
        batch: questions that are answered together.
        device: of the model.

    Raises:
        TrainerError: a picture cannot be read.
    """
    found: list[str] = []
    for start in range(0, len(asked), batch):
        rows = [prompt(examples, each) for each in asked[start : start + batch]]
        written = _written(model, examples, rows, most, device)
        found += [examples.tokenizer.decode(tokens).strip() for tokens in written]
    return found


def prompt(examples: Examples, asked: Asked) -> Row:
    """A picture and a question, up to where the reply begins."""
    begun = examples.of_picture(asked.picture)
    tokens = examples.encoded(turn(asked.question))
    return Row(begun.beginning, (Branch(tokens, len(tokens)),), begun.pixels_CHW3, begun.inside_CS, begun.layout)


@torch.inference_mode()
def _written(
    model: VisionLanguageModel, examples: Examples, rows: Sequence[Row], most: int, device: torch.device | str
) -> list[list[int]]:
    inputs, _, _ = examples.batch(rows, device)
    core = model.decoder
    most = min(most, core.config.sequence_length - max(row.length for row in rows))
    feature = model.features(inputs.pictures) if inputs.pictures is not None else None
    x_BSD = model.embedded(inputs, feature)
    B, S = inputs.tokens_BT.shape
    length_B = torch.tensor([row.length for row in rows], device=device)
    look_B1ST = F.pad(inputs.mask(both_ways=model.config.both_ways), (0, max(0, most)))
    shape = (B, core.config.groups, S + max(0, most), core.config.head_width)
    held = [(x_BSD.new_zeros(shape), x_BSD.new_zeros(shape)) for _ in core.blocks]

    def read(x_BSD: Tensor, position_BS: Tensor, look_B1ST: Tensor, start: int) -> Tensor:
        cos, sin = (table[position_BS].view(*x_BSD.shape[:2], 1, 1, -1) for table in (core.cos_T11P, core.sin_T11P))
        for (keys, values), each in zip(held, core.blocks, strict=True):
            block = cast(Block, each)

            def attend(y_BSD: Tensor, block: Block = block, keys: Tensor = keys, values: Tensor = values) -> Tensor:
                q, k, v = queries_keys_values(block.attention, y_BSD, cos, sin)
                end = start + y_BSD.shape[1]
                keys[:, :, start:end], values[:, :, start:end] = k.transpose(1, 2), v.transpose(1, 2)
                seen = F.scaled_dot_product_attention(
                    q.transpose(1, 2),
                    keys[:, :, :end],
                    values[:, :, :end],
                    attn_mask=look_B1ST[..., :end],
                    enable_gqa=block.attention.groups != block.attention.heads,
                )
                return block.attention.out(seen.transpose(1, 2).flatten(2))

            x_BSD = block.around(x_BSD, attend)
        return x_BSD

    last_BD = read(x_BSD, inputs.position_BT, look_B1ST, 0)[torch.arange(B, device=device), length_B - 1]
    found: list[list[int]] = [[] for _ in rows]
    open_rows = set(range(B))
    # What is written after padding sees its own row's prompt and what was written before.
    seen_BT = F.pad(inputs.branch_BT != PADDING, (0, max(0, most)))
    for number in range(most):
        chosen_B = F.linear(core.norm(last_BD), core.output_weight).argmax(-1)
        for row, token in enumerate(chosen_B.tolist()):
            if row in open_rows:
                if token == examples.end:
                    open_rows.discard(row)
                else:
                    found[row].append(token)
        if not open_rows or number == most - 1:
            break
        seen_BT[:, S + number] = True
        position_B1 = (length_B + number)[:, None]
        last_BD = read(core.embedding(chosen_B[:, None]), position_B1, seen_BT[:, None, None], S + number)[:, 0]
    return found
