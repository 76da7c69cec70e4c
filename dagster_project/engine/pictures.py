"""Pictures inside Dagster: a PNG as a data URL in Markdown, so that no file server is needed."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg


def markdown_picture(draw: Callable[[Any], None], alt: str) -> dg.MarkdownMetadataValue:
    """What `draw` puts on Matplotlib axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=110)
    return _picture(written.getvalue(), alt)


def markdown_file(path: Path, alt: str) -> dg.MarkdownMetadataValue:
    """A PNG file."""
    return _picture(path.read_bytes(), alt)


def _picture(png: bytes, alt: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode()})")
