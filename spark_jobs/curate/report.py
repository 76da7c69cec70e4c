"""An HTML page about a run: funnel, histograms with thresholds, samples of dropped documents."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from spark_jobs.curate.run import Outcome
from spark_jobs.recipes.recipe import STATE_RULE, Recipe, Rule
from spark_jobs.selection.recipe import Threshold

BINS = 60
WIDTH, HEIGHT = 360, 110
SHOWN = 200
"""Characters of a document's id that are shown beside a match."""
TAIL = 0.005
"""Share of documents at each end that the outer bars of a histogram gather."""

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1d2733;background:#fff;max-width:1160px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem;margin-bottom:0}h2{font-size:1.25rem;margin-top:2.4rem;border-bottom:1px solid #d9e0e7}
p.lead{color:#4b5a69;margin-top:.2rem}table{border-collapse:collapse;width:100%}
td,th{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #eef1f4;font-variant-numeric:tabular-nums}
td:first-child,th:first-child{text-align:left}td:nth-child(2){white-space:nowrap}td.bar{width:34%;text-align:left}
.fill{background:#2b7a9b;height:.8rem;border-radius:2px;min-width:1px}.lost{background:#d98c5f}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(360px,1fr));gap:1.2rem}
figure{margin:0}figcaption{font-size:.86rem;color:#4b5a69}svg{background:#f6f8fa;border-radius:4px;display:block}
.warn{background:#fff4e5;border-left:4px solid #e0952f;padding:.4rem .8rem;margin:.3rem 0}
details{margin:.4rem 0;border:1px solid #e3e8ed;border-radius:4px;padding:.3rem .7rem}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f6f8fa;padding:.5rem;font-size:.82rem;margin:.2rem 0 .6rem}
code{background:#f0f3f6;padding:0 .25rem;border-radius:3px}
"""


def write_report(out: Path, recipe: Recipe, outcome: Outcome) -> Path:
    """Write report.html beside the verdicts that it describes."""
    from catalog.files import write_whole
    from spark_jobs.curate.copies_report import copies_section

    body = [
        f"<h1>{_text(recipe.name)}</h1><p class=lead>{_text(recipe.description)}<br>{_text(recipe.source)}</p>",
        *(f"<div class=warn>{_text(warning)}</div>" for warning in outcome.warnings),
        "<h2>Funnel</h2>",
        _funnel(recipe, outcome),
        *copies_section(outcome),
        *_contamination(outcome),
        *_selection(recipe, outcome),
        "<h2>Statistics and thresholds</h2><p>All documents; the shaded side is dropped. "
        f"The outer bars gather the {TAIL:.1%} at each end; heights are square roots.</p>",
        "<div class=grid>",
        *_histograms(out / "verdicts.parquet", recipe),
        "</div><h2>What was dropped</h2><p>By the first rule that a document breaks; chosen by a hash of its id.</p>",
        *_samples(recipe, outcome),
    ]
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{_text(recipe.name)}</title>"
        f"<style>{_STYLE}</style><body>{''.join(body)}</body></html>"
    )
    path = out / "report.html"
    write_whole(path, page.encode())
    return path


def funnel(recipe: Recipe, outcome: Outcome) -> list[tuple[str, int, int, int]]:
    """For each step: name, documents that reach it, documents that it drops first, all documents that break it."""
    tally = outcome.tally
    left = tally.documents
    rows: list[tuple[str, int, int, int]] = []
    for name in (STATE_RULE, *(rule.name for rule in recipe.rules)):
        if name.startswith("empty_after_") and not tally.broken[name]:
            continue
        rows.append((name, left, tally.first[name], tally.broken[name]))
        left -= tally.first[name]
    for method, dropped in outcome.copies.dropped.items():
        rows.append((f"copies: {method}", left, dropped, dropped))
        left -= dropped
    if outcome.contamination:
        rows.append(("evaluation examples", left, outcome.contamination.dropped, outcome.contamination.dropped))
        left -= outcome.contamination.dropped
    if outcome.selected:
        rows.append(("quality model", left, outcome.selected.dropped, outcome.selected.dropped))
        left -= outcome.selected.dropped
    rows.append(("kept", left, 0, 0))
    return rows


def _funnel(recipe: Recipe, outcome: Outcome) -> str:
    most = max(outcome.tally.documents, 1)
    thresholds = {rule.name: f"{rule.keep} {_spelt(rule.threshold)}" for rule in recipe.rules}
    lines = ["<table><tr><th>step<th>keeps<th>documents in<th>dropped here<th>share<th>break the rule<th></tr>"]
    for name, before, dropped, broken in funnel(recipe, outcome):
        share = f"{dropped / before:.1%}" if before else ""
        bar = (
            f"<div style='display:flex;width:100%'><div class=fill style='width:{(before - dropped) / most:.2%}'></div>"
            f"<div class='fill lost' style='width:{dropped / most:.2%}'></div></div>"
        )
        lines.append(
            f"<tr><td><code>{_text(name)}</code><td>{_text(thresholds.get(name, ''))}<td>{before:,}<td>{dropped:,}"
            f"<td>{share}<td>{broken:,}<td class=bar>{bar}</tr>"
        )
    return "".join(lines) + "</table>"


def _contamination(outcome: Outcome) -> Iterator[str]:
    if outcome.contamination is None:
        return
    from spark_jobs.curate.contamination import held_share

    rows = held_share(outcome.contamination)
    yield (
        f"<h2>Evaluations</h2><p>Rule <code>{_text(outcome.contamination.rule)}</code>. The documents that hold an "
        "example are in contaminated.parquet.</p><table><tr><th>evaluation<th>examples<th>cannot be found"
        "<th>held by a document<th>share</tr>"
    )
    for name, examples, silent, hit, share in rows:
        yield (f"<tr><td><code>{_text(name)}</code><td>{examples:,}<td>{silent:,}<td>{hit:,}<td>{share:.1%}</tr>")
    yield "</table>"
    for name, *_ in rows:
        if matches := outcome.contamination.shown[name]:
            shown = "".join(_match(*match) for match in matches)
            yield f"<details><summary>matches of <code>{_text(name)}</code></summary>{shown}</details>"


def _match(document: str, dropped: bool, match: Mapping[str, Any]) -> str:
    """What a document holds of an example, and the text around it."""
    part = f", {_text(match['field'])}" if match["field"] else ""
    return (
        f"<div><b>{_text(document[:SHOWN])}</b> {'dropped' if dropped else 'kept'}: {match['share']:.1%} of example "
        f"{_text(match['example_id'])}{part}<pre>{_text(match['before'])}<mark>{_text(match['found'])}</mark>"
        f"{_text(match['after'])}</pre></div>"
    )


def _selection(recipe: Recipe, outcome: Outcome) -> Iterator[str]:
    if outcome.selected is None or recipe.select is None:
        return
    yield f"<h2>Selection</h2><p class=lead>{_text(recipe.select.source)}</p>"
    keep = recipe.select.choice["keep"]
    rules = []
    if isinstance(keep, Threshold):
        rules.append(Rule(name="quality", statistic="score", keep=keep.comparison, threshold=keep.threshold, source=""))
    if outcome.selected.scores.num_rows:
        yield _histogram("score", outcome.selected.scores["score"].to_numpy(), rules)
    yield (
        "<table><tr><th>topic<th>quantiles<th>documents<th>MB<th>times asked<th>times read<th>documents read"
        "<th>share asked<th>share read</tr>"
    )
    for row in outcome.selected.buckets.to_pylist():
        yield (
            f"<tr><td><code>{_text(row['topic'])}</code><td>{row['from_quantile']:g} to {row['to_quantile']:g}"
            f"<td>{row['documents']:,}<td>{row['bytes'] / 1e6:,.2f}<td>{row['requested_repeats']:g}"
            f"<td>{row['effective_repeats']:.3g}<td>{row['read_documents']:,}<td>{row['requested_share']:.1%}"
            f"<td>{row['effective_share']:.1%}</tr>"
        )
    yield "</table>"


def _histograms(verdicts: Path, recipe: Recipe) -> Iterator[str]:
    file = pq.ParquetFile(verdicts)
    rules: dict[str, list[Rule]] = {}
    for rule in recipe.rules:
        if not rule.text and not rule.name.startswith("empty_after_"):
            rules.setdefault(rule.column, []).append(rule)
    for column, judged in rules.items():
        values = file.read(columns=[column])[column].drop_null().to_numpy()
        if len(values):
            yield _histogram(column, values, judged)


def _histogram(column: str, values: np.ndarray, rules: Sequence[Rule]) -> str:
    low, high = (float(each) for each in np.quantile(values, [TAIL, 1 - TAIL]))
    spread = f"{low:.3g} to {high:.3g}"
    span = high - low or 1.0
    # A threshold far from all documents would squeeze them into one bar.
    near = [each for rule in rules for each in _numbers(rule) if low - 2 * span <= each <= high + 2 * span]
    low, high = min(low, *near, low), max(high, *near, high)
    span = high - low or 1.0
    low, high = low - 0.02 * span, high + 0.02 * span
    counts, edges = np.histogram(np.clip(values, low, high), BINS, (low, high))
    scale = (HEIGHT - 14) / math.sqrt(max(counts.max(), 1))
    bar = WIDTH / BINS
    drawn = "".join(
        f"<rect x='{place * bar:.1f}' y='{HEIGHT - math.sqrt(count) * scale:.1f}' width='{bar - 0.6:.1f}' "
        f"height='{math.sqrt(count) * scale:.1f}' fill='#2b7a9b'><title>{edges[place]:.4g} to {edges[place + 1]:.4g}: "
        f"{count:,} documents</title></rect>"
        for place, count in enumerate(counts)
        if count
    )
    for rule in rules:
        for threshold in (each for each in _numbers(rule) if each in near):
            at = (threshold - low) / (high - low) * WIDTH
            if rule.keep in (">=", ">", "<", "<="):
                start, width = (0.0, at) if rule.keep in (">=", ">") else (at, WIDTH - at)
                drawn += (
                    f"<rect x='{start:.1f}' y='0' width='{width:.1f}' height='{HEIGHT}' fill='#d98c5f' opacity='.22'/>"
                )
            drawn += (
                f"<line x1='{at:.1f}' x2='{at:.1f}' y1='0' y2='{HEIGHT}' stroke='#b4491b' stroke-dasharray='4 3'>"
                f"<title>{_text(rule.name)}: {rule.keep} {threshold:g}</title></line>"
            )
    kept = "; ".join(f"{rule.keep} {_spelt(rule.threshold)}" for rule in rules) or "by rank"
    return (
        f"<figure><svg width='{WIDTH}' height='{HEIGHT}' viewBox='0 0 {WIDTH} {HEIGHT}'>{drawn}</svg>"
        f"<figcaption><code>{_text(column)}</code> kept {_text(kept)} &middot; median {np.median(values):.4g} &middot; "
        f"{spread}</figcaption></figure>"
    )


def _samples(recipe: Recipe, outcome: Outcome) -> Iterator[str]:
    for name in (STATE_RULE, *(rule.name for rule in recipe.rules)):
        samples = outcome.tally.samples.get(name, [])
        if not samples:
            continue
        shown = "".join(_sample(sample) for sample in samples)
        yield (
            f"<details><summary><code>{_text(name)}</code> {outcome.tally.first[name]:,} documents</summary>"
            f"{shown}</details>"
        )


def _sample(sample: dict[str, Any]) -> str:
    broken = ", ".join(
        f"{each['rule']} ({each['value']:.4g} against {each['threshold']:.4g})"
        if each["value"] is not None and each["threshold"] is not None
        else each["rule"]
        for each in sample["broken"]
    )
    where = f" &middot; {_text(sample['url'])}" if sample["url"] else ""
    return f"<div><b>{_text(sample['id'])}</b>{where}<br>{_text(broken)}<pre>{_text(sample['text'])}</pre></div>"


def _numbers(rule: Rule) -> tuple[float, ...]:
    bounds = rule.threshold if isinstance(rule.threshold, tuple) else (rule.threshold,)
    return tuple(float(each) for each in bounds if not isinstance(each, str))


def _spelt(threshold: Any) -> str:
    if isinstance(threshold, tuple):
        return " ".join(_spelt(each) for each in threshold)
    return threshold if isinstance(threshold, str) else f"{threshold:g}"


def _text(value: object) -> str:
    return html.escape(str(value))
