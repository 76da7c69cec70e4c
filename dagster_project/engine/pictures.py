"""Pictures in Dagster's metadata: a PNG as a data URL in Markdown, which needs no file server."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg


def markdown_picture(draw: Callable[[Any], None], alt: str) -> dg.MarkdownMetadataValue:
    """Return a picture of Matplotlib axes that `draw` has drawn on. `alt` is the alternative text."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    return _picture(png_of(figure), alt)


def markdown_figure(figure: Any, alt: str) -> dg.MarkdownMetadataValue:
    """Return a whole figure of Matplotlib as a picture. `alt` is the alternative text."""
    return _picture(png_of(figure), alt)


def png_of(figure: Any) -> bytes:
    """Return a figure of Matplotlib as PNG."""
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=110)
    return written.getvalue()


def markdown_file(path: Path, alt: str) -> dg.MarkdownMetadataValue:
    """Return the PNG file `path` as a picture. `alt` is the alternative text."""
    return _picture(path.read_bytes(), alt)


def _picture(png: bytes, alt: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode()})")
