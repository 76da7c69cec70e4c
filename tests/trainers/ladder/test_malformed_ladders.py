"""Ladders as they come: what is mended on reading and said, what is refused by name, and that no NaN is written."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from dagster_project.cli import main
from tests.trainers.ladder.test_scaling_ladder import BIG, MADE, write_made_ladder
from trainers.ladder.forecast import _loss_laws, fit_ladder
from trainers.ladder.protocols import Fitter, Protocol
from trainers.ladder.runs import read_ladder
from trainers.ladder.tasks import INTERMEDIATES, TASKS, VALIDATION
from trainers.process.errors import TrainerError

RUN = "370M-5xC.csv"
TOKENS = "throughput/total_tokens"
LOSS, LOGARITHM, C4, ACCURACY = (TASKS["arc_easy"].columns(kind)[0][0] for kind in (*INTERMEDIATES, "accuracy"))
Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ladder")
    write_made_ladder(folder)
    return folder


@pytest.fixture
def folder(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "ladder")


def change(folder: Path, edit: Callable[[Rows], Rows], run: str = RUN) -> None:
    path = folder / run
    with path.open(newline="") as file:
        rows = edit(list(csv.DictReader(file)))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def change_models(folder: Path, edit: Callable[[dict], object]) -> None:
    models = json.loads((folder / "models.json").read_text())
    edit(models)
    (folder / "models.json").write_text(json.dumps(models))


def same_run(folder: Path, made: Path) -> tuple[str, ...]:
    """What was said while the run was read, which is then the run as it was made."""
    found, wanted = (read_ladder(each, each / "models.json", ("arc_easy",)) for each in (folder, made))
    for mine, theirs in zip(found.runs, wanted.runs, strict=True):
        assert mine.tokens == theirs.tokens
        assert mine.accuracy["arc_easy"].tolist() == theirs.accuracy["arc_easy"].tolist()
    return found.notes


@pytest.mark.parametrize("edit", [lambda rows: rows[::-1], lambda rows: rows[7:] + rows[:7]], ids=["back", "shuffled"])
def test_checkpoints_in_another_order_are_sorted(folder, made, edit):
    change(folder, edit)
    assert same_run(folder, made) == (f"{RUN}: its checkpoints are not in the order of their tokens; they were sorted",)


def test_of_the_rows_that_a_restart_repeats_the_later_count(folder, made):
    change(folder, lambda rows: [*rows[:12], *({**row, ACCURACY: "0.11"} for row in rows[12:15]), *rows[12:]])
    assert f"{RUN}: 3 checkpoints are repeated, as after a restart; the later ones count" in same_run(folder, made)


def test_a_byte_order_mark_is_passed_by(folder, made):
    (folder / RUN).write_bytes(b"\xef\xbb\xbf" + (folder / RUN).read_bytes())
    assert same_run(folder, made) == ()


def set_cells(column: str, number: Callable[[float], float], first: int = 0, run: str = RUN) -> Callable[[Path], None]:
    def edit(rows: Rows) -> Rows:
        return [*rows[:first], *({**row, column: str(number(float(row[column])))} for row in rows[first:])]

    return lambda folder: change(folder, edit, run)


def copy_run(folder: Path) -> None:
    shutil.copy(folder / RUN, folder / "again.csv")
    change_models(folder, lambda models: models["models"]["370M"]["runs"].append("again.csv"))


def write_twice(name: str, value: str) -> Callable[[Path], object]:
    """The file of the models with `name` once more, which json.loads would pass by."""

    def edit(folder: Path) -> None:
        text = (folder / "models.json").read_text()
        (folder / "models.json").write_text(text.replace(f'"{name}":', f'"{name}": {value}, "{name}":', 1))

    return edit


def model(key: str, value: object) -> Callable[[Path], None]:
    return lambda folder: change_models(folder, lambda models: models["models"]["370M"].update({key: value}))


def targets(value: object) -> Callable[[Path], None]:
    return lambda folder: change_models(folder, lambda models: models.update({"targets": value}))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "percent": (
        set_cells(ACCURACY, lambda x: 100 * x),
        r"an accuracy of arc_easy is outside 0\.\.1: .* \(in percent\?\)",
    ),
    "negative bits": (set_cells(LOSS, lambda x: -x), "bits per byte of arc_easy are not above 0"),
    "NaN": (set_cells(LOSS, lambda x: float("nan"), 19), "line 21: .* is not finite"),
    "no tokens": (set_cells(TOKENS, lambda x: 0.0), "'throughput/total_tokens' is 0, not positive"),
    "diverged at its end": (
        set_cells(LOSS, lambda x: 3 * x, 12),
        "run 370M-5xC diverged: its bits per byte of arc_easy",
    ),
    "diverged from its start": (set_cells(LOSS, lambda x: 2 * x), "diverged.*that of the smaller"),
    "the smallest diverged": (
        set_cells(LOSS, lambda x: 3 * x, run="190M-1xC.csv"),
        "run 190M-1xC diverged: .* ends at .*, that of 190M-2xC at",
    ),
    "diverged on C4": (set_cells(C4, lambda x: 3 * x, 12), "run 370M-5xC diverged: its cross-entropy on C4 rose"),
    "negative cross-entropy": (set_cells(C4, lambda x: -x), "the cross-entropy on C4 is not above 0: -"),
    "logarithms above 0": (set_cells(LOGARITHM, lambda x: -x), "logarithms of probabilities of arc_easy are not"),
    "tokens in billions": (set_cells(TOKENS, lambda x: x / 1e9), "total_tokens' is 37 where params is 3.7e.08"),
    "parameters in millions": (model("params", 370), "flops_per_token is 2.22e.09 where params is 370"),
    "FLOPs 0 of a target": (
        targets({"big": {"params": 7e9, "tokens": 2e12, "flops_per_token": 0}}),
        "target big: flops_per_token is '0', not a positive number",
    ),
    "a target's tokens in billions": (targets({"big": {"params": 7e9, "tokens": 2e3}}), "target big: tokens is 2000"),
    "a run copied": (copy_run, "again.csv has the checkpoints of 370M-5xC"),
    "a size twice": (write_twice("370M", "{}"), "'370M' is given twice"),
    "a target twice": (write_twice("big", '{"params": 9e9, "tokens": 4e12}'), "'big' is given twice"),
    "FLOPs 0": (model("flops_per_token", 0), "model 370M: flops_per_token is '0', not a positive number"),
    "parameters in words": (model("params", "370M"), "model 370M: params is '370M', not a positive number"),
    "parameters true": (model("params", True), "model 370M: params is 'True'"),
    "too large a number": (model("params", 10**400), "not a positive number"),
    "no runs": (model("runs", []), "model 370M: `runs` is not a list of file names"),
    "runs in words": (model("runs", RUN), "`runs` is not a list of file names"),
    "a run of numbers": (model("runs", [1]), "`runs` is not a list of file names"),
    "a run twice": (model("runs", [RUN, RUN]), "two runs are called 370M-5xC"),
    "a run elsewhere": (model("runs", ["../../etc/passwd"]), "is not in the folder of the runs"),
    "a model of numbers": (
        lambda folder: change_models(folder, lambda models: models["models"].update({"370M": 3})),
        "model 370M is not an object",
    ),
    "a target called protocol": (targets({"protocol": {"params": 7e9, "tokens": 2e12}}), "target is called 'protocol'"),
    "a target without tokens": (targets({"big": {"params": 7e9}}), "target big lacks numbers"),
    "a target of negative tokens": (targets({"big": {"params": 7e9, "tokens": -2e12}}), "target big: tokens is"),
    "targets in a list": (targets([7e9]), "`targets` is not an object"),
    "tasks without columns": (
        lambda folder: change_models(folder, lambda models: models.update({"tasks": {"mine": {}}})),
        "task 'mine' lacks the columns",
    ),
    "no column twice": (
        lambda folder: (folder / RUN).write_text("a,a\n1,2\n"),
        "the column 'a' twice",
    ),
    "a short row": (
        lambda folder: (folder / RUN).write_text((folder / RUN).read_text() + "1,2\n"),
        "line 22: 2 cells under",
    ),
    "bytes": (lambda folder: (folder / RUN).write_bytes(b"\xff\xfe\x00"), "is not UTF-8"),
    "a quote that never ends": (lambda folder: (folder / RUN).write_text('a,b\n"1,2\n'), "not CSV"),
    "an empty file": (lambda folder: (folder / RUN).write_text(""), "is empty"),
    "a header alone": (lambda folder: (folder / RUN).write_text(f"{TOKENS},{LOSS}\n"), "holds no checkpoints"),
    "a folder": (lambda folder: ((folder / RUN).unlink(), (folder / RUN).mkdir()), "Is a directory"),
    "models of numbers": (lambda folder: (folder / "models.json").write_text("3"), "names no models"),
    "models too deep": (lambda folder: (folder / "models.json").write_text("[" * 100_000), "not JSON"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_ladder_that_cannot_be_is_refused_by_name(name, folder):
    spoil, cause = REFUSED[name]
    spoil(folder)
    with pytest.raises(TrainerError, match=cause):
        read_ladder(folder, folder / "models.json", ("arc_easy",))


def test_the_command_says_what_it_mended_takes_own_tasks_and_writes_no_nan(folder, tmp_path):
    change(folder, lambda rows: rows[::-1])
    for path in folder.glob("*.csv"):
        path.write_text(path.read_text().replace(LOSS, "my quiz_bpb").replace(ACCURACY, "my quiz_acc"))
    declared = {
        "flip": {"accuracy": TASKS["boolq"].columns("accuracy")[0][0], "bits_per_byte": "my quiz_bpb", "chance": 0.5}
    }
    change_models(folder, lambda models: models.update({"tasks": declared}))
    out = tmp_path / "predictions.json"
    arguments = ("ladder", "fit", "--runs", str(folder), "--mode", "paper", "--no-plots", "--out", str(out))
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "they were sorted" in result.stdout
    found = json.loads(out.read_text(), parse_constant=pytest.fail)
    assert set(found["big"]) == {"boolq", "my quiz", "flip"}
    refused = CliRunner().invoke(main, (*arguments, "--targets", "protocol=7e9,2e12"))
    assert refused.exit_code == 2
    assert "predictions.json uses itself" in refused.stderr


def test_a_task_loss_is_forecast_where_no_protocol_has_bits_per_byte(made):
    ladder = read_ladder(made, made / "models.json", MADE)
    protocols = [Protocol(intermediate=VALIDATION, step1="least-squares", points="blocks")]
    fitted = _loss_laws(Fitter(ladder.runs, dict(ladder.chance)), protocols, "arc_easy")
    assert [each.intermediate for each in fitted] == ["bits_per_byte"]
    assert 0.5 < fitted[0].loss(BIG) < 1.2


def test_a_band_that_says_nothing_is_never_called_predictable(folder):
    """A ladder whose sizes were exchanged, which no check of its numbers can see."""

    def exchange(models: dict) -> None:
        sizes = models["models"]
        sizes["370M"]["params"], sizes["760M"]["params"] = sizes["760M"]["params"], sizes["370M"]["params"]

    change_models(folder, exchange)
    ladder = read_ladder(folder, folder / "models.json", ("arc_easy",))
    found = fit_ladder(ladder, [BIG], "paper").targets["big"]["arc_easy"]
    assert found.high - found.low > 0.5
    assert not found.predictable
    assert "points wide" in found.reason


def test_a_note_says_too_few_runs_only_where_they_are_too_few(folder):
    """Sixteen runs of one checkpoint each, which no protocol of checkpoints can be fitted to."""
    for path in folder.glob("*.csv"):
        change(folder, lambda rows: rows[-1:], path.name)
    ladder = read_ladder(folder, folder / "models.json", ("arc_easy",))
    forecast = fit_ladder(ladder, [BIG], "paper")
    assert "few runs" not in forecast.note and "hold-outs need" not in forecast.note
    assert forecast.note.startswith("no protocol can be fitted to the runs of a hold-out")
    few = replace(ladder, runs=tuple(run for run in ladder.runs if run.multiple < 5))
    assert fit_ladder(few, [BIG]).note == (
        "8 runs of 4 sizes and 2 multiples, where hold-outs need 12 runs of 3 of each:"
        " laws of few parameters, bootstrap bands"
    )
