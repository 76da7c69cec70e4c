"""Published runs in the lake: what an import writes, and that a fit from the lake equals the fit from the files."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import write_deltalake

from catalog.errors import WatershedError
from catalog.lake import WHOLE, Lake
from catalog.settings import Settings
from catalog.sql.query import connect
from catalog.tables.ladder import CHECKPOINTS, LAKE, POINTS, TARGETS
from dagster_project.cli import main
from dagster_project.families.ladder import tables as scaling
from dagster_project.families.ladder.published import import_ladder, published_ladder
from tests.small_lake import CURATED, RUNS, settings_in, tables_of, write_lake
from tests.trainers.ladder.test_scaling_ladder import MADE, write_made_ladder
from trainers.ladder.runs import LadderRuns, read_ladder
from trainers.ladder.tasks import SOFT_LOG, TASKS
from trainers.process.errors import TrainerError

SHARED = os.environ.get("WATERSHED_SHARED")


def watershed(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Sixteen made runs in the published form."""
    folder = tmp_path / "made-ladder"
    folder.mkdir()
    write_made_ladder(folder)
    return folder


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A project without a table, which the command line finds."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.setenv("WATERSHED_PROJECT", str(folder))
    return settings_in(folder)


def rows(settings: Settings, sql: str) -> list[tuple]:
    return connect(settings).execute(sql).fetchall()


def assert_same(found: LadderRuns, wanted: LadderRuns) -> None:
    """To the last bit, and in the same order."""
    assert found.targets == wanted.targets
    assert list(found.targets) == list(wanted.targets)
    assert found.chance == wanted.chance
    for mine, theirs in zip(found.runs, wanted.runs, strict=True):
        facts = ("name", "size", "parameters", "tokens", "flops_per_token")
        assert [getattr(mine, name) for name in facts] == [getattr(theirs, name) for name in facts]
        assert mine.intermediates.keys() == theirs.intermediates.keys()
        for kind, by_task in {"accuracy": theirs.accuracy, **theirs.intermediates}.items():
            for task, values in by_task.items():
                stored = mine.accuracy if kind == "accuracy" else mine.intermediates[kind]
                assert np.array_equal(stored[task], values), (mine.name, kind, task)


def test_what_was_imported_is_the_ladder_of_the_files(empty: Settings, files: Path) -> None:
    result = watershed("ladder", "import", str(files))
    assert result.exit_code == 0, result.output
    assert "made-ladder: 16 runs with 320 checkpoints, 1 targets, 2 tasks (arc_easy, boolq)" in result.stdout
    for tasks in (MADE, ("boolq",)):
        assert_same(published_ladder(empty, "made-ladder", tasks), read_ladder(files, files / "models.json", tasks))
    assert rows(empty, "SELECT count(*), count(DISTINCT run), min(chance) FROM ladder.points") == [(32, 16, 0.25)]
    last = (
        "SELECT avg(accuracy) FROM ladder.checkpoints WHERE run = '190M-1xC' AND task = 'arc_easy' AND checkpoint > 15"
    )
    point = "SELECT accuracy FROM ladder.points WHERE run = '190M-1xC' AND task = 'arc_easy'"
    assert rows(empty, last)[0] == pytest.approx(rows(empty, point)[0], abs=1e-12)
    checked = watershed("check", "ladder")
    assert checked.exit_code == 0, checked.output


def test_a_fit_from_the_lake_writes_the_same_bytes_as_a_fit_from_the_files(
    empty: Settings, files: Path, tmp_path: Path
) -> None:
    watershed("ladder", "import", str(files), "--name", "others")
    fit = ("ladder", "fit", "--mode", "paper", "--no-plots", "--tasks", "arc_easy", "--out")
    from_files, from_lake = tmp_path / "files.json", tmp_path / "lake.json"
    assert watershed(*fit, str(from_files), "--runs", str(files)).exit_code == 0
    result = watershed(*fit, str(from_lake), "--source", "others")
    assert result.exit_code == 0, result.output
    assert list(json.loads(from_lake.read_text())) == ["big", "protocol"]
    assert from_lake.read_bytes() == from_files.read_bytes()


def test_an_intermediate_that_was_not_published_is_null(empty: Settings, tmp_path: Path) -> None:
    name = TASKS["boolq"].columns(SOFT_LOG)[0][0]
    models = write_made_ladder(tmp_path, drop=name)
    run = tmp_path / "370M-5xC.csv"
    header, *lines = run.read_text().splitlines()
    run.write_text("\n".join([header, *lines[:12], *lines[9:]]) + "\n")
    said = "370M-5xC.csv: 3 checkpoints are repeated, as after a restart; the later ones count"
    assert import_ladder(empty, tmp_path, models, "others", ()).notes == (said,)
    assert rows(empty, "SELECT DISTINCT task FROM ladder.checkpoints WHERE soft_log IS NULL") == [("boolq",)]
    for tasks in (MADE, ("arc_easy",)):
        assert_same(published_ladder(empty, "others", tasks), read_ladder(tmp_path, models, tasks))


def test_the_same_files_leave_nothing_to_do_and_others_replace_their_own_source_alone(
    empty: Settings, files: Path
) -> None:
    lake = Lake.of(empty)
    for name in ("one", "other"):
        assert watershed("ladder", "import", str(files), "--name", name).exit_code == 0
    versions = [lake.version(table.name) for table in (POINTS, CHECKPOINTS, TARGETS)]
    assert "nothing to do" in watershed("ladder", "import", str(files), "--name", "one").stdout
    assert [lake.version(table.name) for table in (POINTS, CHECKPOINTS, TARGETS)] == versions
    models = json.loads((files / "models.json").read_text())
    del models["models"]["190M"]
    (files / "models.json").write_text(json.dumps(models))
    assert "12 runs" in watershed("ladder", "import", str(files), "--name", "one").stdout
    count = "SELECT source, count(DISTINCT run) FROM ladder.{} GROUP BY source ORDER BY source"
    for table in ("points", "checkpoints"):
        assert rows(empty, count.format(table)) == [("one", 12), ("other", 16)]
    assert rows(empty, "SELECT source, target FROM ladder.targets ORDER BY source") == [
        ("one", "big"),
        ("other", "big"),
    ]


def test_own_and_published_runs_stand_side_by_side(tmp_path: Path, files: Path) -> None:
    settings = write_lake(tmp_path / "project", (*CURATED, *tables_of("ladder")))
    lake = Lake.of(settings)
    import_ladder(settings, files, files / "models.json", "others", ())
    theirs = rows(settings, "FROM ladder.points WHERE source = 'others' ORDER BY run, task")
    assert len(theirs) == 32

    lake.replace(POINTS, scaling.points(settings, RUNS[:3]), "again", within={"source": LAKE})
    assert rows(settings, "SELECT count(*) FROM ladder.points WHERE source = 'lake'") == [(3,)]
    assert rows(settings, "FROM ladder.points WHERE source = 'others' ORDER BY run, task") == theirs
    assert lake.written(POINTS.name)[WHOLE].fingerprint == "again"
    assert {run.name for run in scaling.lake_ladder(settings).runs} == set(RUNS[:3])


def edit_run(row: int, column: str, value: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "190M-1xC.csv"
        with path.open(newline="") as file:
            found = list(csv.DictReader(file))
        found[row][column] = value
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(found[0]))
            writer.writeheader()
            writer.writerows(found)

    return edit


def twice(folder: Path) -> None:
    models = json.loads((folder / "models.json").read_text())
    models["models"]["370M"]["runs"].append("190M-1xC.csv")
    (folder / "models.json").write_text(json.dumps(models))


ACCURACY = TASKS["arc_easy"].columns("accuracy")[0][0]


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (edit_run(3, ACCURACY, "1.2"), "run 190M-1xC: an accuracy of arc_easy is outside 0..1"),
        (edit_run(3, ACCURACY, "good"), f"column {ACCURACY!r} is not all numbers"),
        (twice, "two runs are called 190M-1xC"),
        (lambda folder: (folder / "models.json").write_text("{"), "models.json: not JSON"),
        (lambda folder: (folder / "190M-1xC.csv").unlink(), "190M-1xC.csv: No such file"),
    ],
    ids=("accuracy above 1", "accuracy in words", "two of a name", "no JSON", "no file"),
)
def test_files_that_cannot_be_read_leave_the_lake_as_it_was(
    empty: Settings, files: Path, spoil: Callable[[Path], object], cause: str
) -> None:
    spoil(files)
    refused = watershed("ladder", "import", str(files))
    assert refused.exit_code == 2
    assert cause in refused.stderr
    assert "mend:" in refused.stderr
    assert not Lake.of(empty).exists(TARGETS.name)


@pytest.mark.parametrize("name", ["lake", "a/b", "", "a b"])
def test_a_name_that_cannot_be_a_source_is_refused(empty: Settings, files: Path, name: str) -> None:
    with pytest.raises(WatershedError, match="cannot be called"):
        import_ladder(empty, files, files / "models.json", name, ())


def test_a_task_that_the_runs_lack_is_refused_and_only_those_asked_for_are_read(empty: Settings, files: Path) -> None:
    with pytest.raises(TrainerError, match="no column"):
        import_ladder(empty, files, files / "models.json", "others", ("hellaswag",))
    assert import_ladder(empty, files, files / "models.json", "others", ("boolq",)).tasks == ("boolq",)


def test_the_error_of_an_unknown_ladder_names_the_imported_ones(empty: Settings, files: Path) -> None:
    fit = ("ladder", "fit", "--source", "nobody", "--out", str(files / "out.json"))
    refused = watershed(*fit)
    assert refused.exit_code == 2
    assert "the lake has no ladder 'nobody'" in refused.stderr
    assert "watershed ladder import DIR --name nobody" in refused.stderr
    watershed("ladder", "import", str(files), "--name", "others")
    assert "name one of others, or run" in watershed(*fit).stderr
    assert "both name runs" in watershed(*fit, "--runs", str(files)).stderr


def test_a_table_from_before_the_column_source_is_refused(empty: Settings, files: Path) -> None:
    old = {"run": ["10k-1xC"], "task": ["continuation"], "parameters": [1], "tokens": [1], "flops": [1.0]}
    write_deltalake(Lake.of(empty).path(POINTS.name), pa.table(old | {"task_loss": [1.0], "accuracy": [0.5]}))
    refused = watershed("ladder", "import", str(files))
    assert refused.exit_code == 2
    assert "ladder/points: stored columns differ from the contract: source, size" in refused.stderr
    assert "move the table's folder away" in refused.stderr
    assert not Lake.of(empty).exists(CHECKPOINTS.name)


@pytest.mark.skipif(not SHARED, reason="WATERSHED_SHARED names no folder of data")
def test_the_sixteen_published_runs_come_back_to_the_last_bit(empty: Settings) -> None:
    folder = Path(f"{SHARED}/data/ladder")
    found = import_ladder(empty, folder, folder / "models.json", "olmo-ladder", ())
    assert (found.runs, found.checkpoints, found.targets, len(found.tasks)) == (16, 1566, 2, 17)
    # Ten tasks of the ladder's paper, and the seven others that all files have columns of.
    assert_same(published_ladder(empty, "olmo-ladder"), read_ladder(folder, folder / "models.json", None))
