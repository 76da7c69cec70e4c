"""What the family `ladder` adds to the page of a model: its place on the ladder, and what was forecast of it."""

from __future__ import annotations

from typing import Any

from catalog.cards.site.charts import Line, lines
from catalog.cards.site.html import join, table
from catalog.cards.site.page import Section
from catalog.cards.site.reading import SiteLake
from catalog.tables.ladder import LAKE

LADDER = ("models.checkpoints", "models.targets")
"""The tables of models that stand on the ladder."""


def model_sections(site: SiteLake, table_name: str, row: dict[str, Any]) -> list[Section]:
    """A chart a task: accuracy over compute of the ladder's runs, with the forecast and the measurement of a target."""
    if table_name not in LADDER or not site.made("ladder.points"):
        return []
    points = site.rows(
        "SELECT run, task, flops, accuracy FROM ladder.points WHERE source = $source ORDER BY task, flops",
        {"source": LAKE},
    )
    forecasts = _of_target(site, "ladder.predictions", row)
    outcomes = {each["task"]: each for each in _of_target(site, "ladder.outcomes", row)}
    parts = []
    for task in dict.fromkeys(each["task"] for each in points):
        runs = [each for each in points if each["task"] == task]
        own = [(each["flops"], each["accuracy"]) for each in runs if each["run"] == row["run"]]
        forecast = [each for each in forecasts if each["task"] == task]
        own += [(row["flops"], outcomes[task]["measured"])] if task in outcomes else []
        if not own and not forecast:
            continue
        series = [Line(name="runs of the ladder", points=[(each["flops"], each["accuracy"]) for each in runs])]
        series.append(Line(name=str(row["run"]), points=own, style="points"))
        for each in forecast:
            band = [(each["flops"], each["low"]), (each["flops"], each["high"])]
            series.append(Line(name="forecast with its 90% band", points=[*band, (each["flops"], each["accuracy"])]))
        words = f"Accuracy of {task} over training FLOPs"
        parts.append(lines(series, x="training FLOPs", y=f"accuracy, {task}", label=words, log_x=True))
    parts += [_beside(forecasts, outcomes)] if forecasts else []
    if not parts:
        return []
    note = "The forecast was stored before the model was trained." if forecasts else "Runs of the same ladder."
    return [Section(title="Ladder", body=join(parts), note=note)]


def _of_target(site: SiteLake, name: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    if not site.made(name):
        return []
    return site.rows(f"FROM {name} WHERE target = $run ORDER BY task", {"run": row["run"]})


def _beside(forecasts: list[dict[str, Any]], outcomes: dict[str, dict[str, Any]]) -> Any:
    rows = []
    for each in forecasts:
        found = outcomes.get(each["task"])
        measured = (f"{found['measured']:.3f}", "yes" if found["in_band"] else "no") if found else ("–", "–")
        rows.append((each["task"], f"{each['accuracy']:.3f}", f"{each['low']:.3f} to {each['high']:.3f}", *measured))
    return table(("task", ">forecast", ">90% band", ">measured", "in the band"), rows, "Forecast and measurement")
