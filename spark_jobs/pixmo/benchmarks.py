"""The eleven benchmarks that Molmo is evaluated on (arXiv 2409.17146, section 5), and how each is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Metric = Literal["choice", "relaxed", "vqa", "anls", "exact", "count"]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A benchmark of questions about pictures."""

    name: str
    dataset: str
    """Where it is published."""
    split: str
    """The split that Molmo reports."""
    metric: Metric
    style: str = ""
    """What Molmo's prompts begin with."""


BENCHMARKS = (
    Benchmark(name="AI2D", dataset="lmms-lab/ai2d", split="test", metric="choice", style="ai2_diagram"),
    Benchmark(name="ChartQA", dataset="HuggingFaceM4/ChartQA", split="test", metric="relaxed", style="chart_qa"),
    Benchmark(name="VQA v2.0", dataset="HuggingFaceM4/VQAv2", split="test", metric="vqa", style="vqa2"),
    Benchmark(name="DocVQA", dataset="lmms-lab/DocVQA", split="test", metric="anls", style="doc_qa"),
    Benchmark(name="InfographicVQA", dataset="lmms-lab/DocVQA", split="test", metric="anls", style="info_qa"),
    Benchmark(name="TextVQA", dataset="facebook/textvqa", split="validation", metric="vqa", style="text_vqa"),
    Benchmark(name="RealWorldQA", dataset="xai-org/RealworldQA", split="test", metric="exact"),
    Benchmark(name="MMMU", dataset="MMMU/MMMU", split="validation", metric="choice", style="a_okvqa_mc"),
    Benchmark(name="MathVista", dataset="AI4Math/MathVista", split="testmini", metric="exact"),
    Benchmark(name="CountBenchQA", dataset="vikhyatk/CountBenchQA", split="test", metric="count", style="point_count"),
    Benchmark(name="PixMo-Count", dataset="allenai/pixmo-count", split="test", metric="count", style="point_count"),
)
"""In the order of the paper's table. The average of a model is the mean of the eleven scores."""
