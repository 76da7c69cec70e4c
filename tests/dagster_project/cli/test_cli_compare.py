"""`watershed compare`: two mixtures of the demo's crawl, decided by small runs and checked with a larger one."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from demo_project import Project, watershed

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.tables.ladder import COMPARISONS
from dagster_project.cli import main
from dagster_project.families.ladder.comparison.decide import curation, share_right_before
from quality.gate import check
from spark_jobs.dclm.compared_mixtures import parse_mixture
from tests.small_lake import CURATED, row, settings_in, tables_of, write_lake

SMALL = ("--seeds", "2", "--sizes", "30k-0.02xC,30k-0.05xC", "--target", "30k-0.1xC")
ASKED = ("compare", "selected", "unselected", *SMALL)


@pytest.fixture(scope="module")
def compared(demo: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the demo's project after a comparison that trained no target, and its output."""
    folder = tmp_path_factory.mktemp("compare") / "project"
    shutil.copytree(demo.folder, folder, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    return Project(folder, watershed(folder, *ASKED, "--out", str(folder / "made" / "small.json")))


@pytest.fixture(scope="module")
def before(compared: Project) -> dict[str, Any]:
    """The decisions and runs of the lake before a target was trained."""
    return {
        "decisions": compared.rows("FROM ladder.comparisons ORDER BY task, measure"),
        "runs": finished(compared),
    }


@pytest.fixture(scope="module")
def checked(compared: Project, before: dict[str, Any]) -> Project:
    """The same project after --check."""
    return Project(compared.folder, inside(compared, *ASKED, "--check"))


def inside(project: Project, *words: str) -> str:
    """Run `watershed WORDS` in this process, which has imported everything already, and return its output."""
    # Click restores the variables of `env` afterwards. The command sets DAGSTER_HOME.
    home = str(project.settings.dagster_home)
    environment = {"WATERSHED_PROJECT": str(project.folder), "DAGSTER_HOME": home, "COLUMNS": "160"}
    result = CliRunner().invoke(main, words, env=environment)
    assert result.exit_code == 0, result.output
    return result.stdout


def finished(project: Project) -> dict[str, int]:
    """Return the time at which each run was finished, by its folder."""
    root = Lake.of(project.settings).folder("ladder.comparison_runs", "runs")
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.glob("*/*/result.json")}


def documents(project: Project, mixture: str) -> set[str]:
    """Return the ids of the documents in the shards of a mixture."""
    ((dataset,),) = project.rows(f"SELECT DISTINCT dataset FROM ladder.comparison_runs WHERE mixture = '{mixture}'")
    folder = Lake.of(project.settings).folder("ladder.comparison_runs", "datasets", dataset, "made", "train")
    return {doc_id for path in folder.glob("*.parquet") for doc_id in pq.read_table(path)["doc_id"].to_pylist()}


@pytest.mark.campaign
def test_a_decision_comes_with_its_probability_and_a_picture(compared: Project) -> None:
    out = compared.folder / "made" / "small.json"
    report = json.loads(out.read_text())
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in out.parent.iterdir() if path.suffix == ".part"] == []
    mean = report["tasks"]["mean"]["bits_per_byte"]
    sure = report["decision"]["probability"]
    answer = "better" if mean["probability"] >= 0.99 else "worse" if mean["probability"] <= 0.01 else "cannot tell"
    named = {"better": "selected", "worse": "unselected", "cannot tell": None}[answer]
    assert (report["decision"]["answer"], report["decision"]["better"]) == (answer, named)
    assert report["decision"]["smallest_visible_difference"] > 0
    assert sure == max(mean["probability"], 1 - mean["probability"])
    assert mean["low"] < mean["difference"] < mean["high"]
    assert mean["measured_low"] < mean["low"] and mean["high"] < mean["measured_high"]
    said = f"{named} is better at 30k-0.1xC than" if named else "cannot tell which is better at 30k-0.1xC"
    assert said in compared.output
    assert f"probability {sure:.1%}, by bits per byte" in compared.output
    assert "no earlier decision of this lake was checked" in compared.output


@pytest.mark.campaign
def test_differences_are_those_of_the_stored_runs(compared: Project) -> None:
    report = json.loads((compared.folder / "made" / "small.json").read_text())["tasks"]
    for measure, sign in (("bits_per_byte", -1), ("accuracy", 1)):
        rows = compared.rows(
            f"SELECT run, task, seed, {sign} * (max({measure}) FILTER (mixture = 'selected')"
            f" - max({measure}) FILTER (mixture = 'unselected')) FROM ladder.comparison_runs GROUP BY ALL"
        )
        tasks = {task for _, task, _, _ in rows}
        assert len(rows) == 2 * 2 * len(tasks)
        for run, task, seed, difference in rows:
            assert report[task][measure]["differences"][run][seed] == pytest.approx(difference)
            mean = [d for r, _, s, d in rows if (r, s) == (run, seed)]
            assert report["mean"][measure]["differences"][run][seed] == pytest.approx(sum(mean) / len(tasks))


@pytest.mark.campaign
def test_both_mixtures_are_as_large_and_train_on_as_many_tokens(compared: Project) -> None:
    report = json.loads((compared.folder / "made" / "small.json").read_text())["mixtures"]
    sizes = {mixture["text_bytes"] for mixture in report.values()}
    assert len(report) == 2 and len(sizes) == 1
    tokens = compared.rows("SELECT run, count(DISTINCT tokens) FROM ladder.comparison_runs GROUP BY run")
    assert {count for _, count in tokens} == {1}
    assert len({mixture["dataset"] for mixture in report.values()}) == 2


@pytest.mark.campaign
def test_neither_mixture_holds_a_held_out_document(compared: Project) -> None:
    heldout = {id_ for (id_,) in compared.rows("SELECT doc_id FROM dclm.mixture WHERE split = 'heldout'")}
    assert heldout
    for mixture in ("selected", "unselected"):
        assert documents(compared, mixture)
        assert not documents(compared, mixture) & heldout


@pytest.mark.campaign
def test_the_selected_are_the_best_scored_and_the_unselected_any(compared: Project) -> None:
    scores = dict(compared.rows("SELECT doc_id, score FROM dclm.scores ORDER BY score DESC, doc_id DESC"))
    best = set(list(scores)[: -(-3 * len(scores) // 10)])
    assert documents(compared, "selected") <= best
    others = documents(compared, "unselected")
    assert others <= set(scores)
    assert len(others - best) > len(others) / 4


@pytest.mark.campaign
def test_the_decision_is_stored_before_the_target_is_trained(before: dict[str, Any], checked: Project) -> None:
    now = checked.rows("FROM ladder.comparisons ORDER BY task, measure")
    names = [name for (name,) in checked.rows("SELECT column_name FROM (DESCRIBE ladder.comparisons)")]
    late = ("measured", "measured_error", "decided_right", "checked_at")
    for old, new in zip(before["decisions"], now, strict=True):
        was, is_ = dict(zip(names, old, strict=True)), dict(zip(names, new, strict=True))
        assert all(was.pop(name) is None for name in late)
        outcome = {name: is_.pop(name) for name in late}
        assert was == is_
        assert outcome["checked_at"] > is_["stored_at"]
        told = is_["decision"] != "cannot tell"
        right = (outcome["measured"] > 0) == (is_["probability"] >= 0.5)
        assert outcome["decided_right"] == (right if told else None)
        assert (is_["decision"] == is_["first"]) == (is_["probability"] >= 0.99)


@pytest.mark.campaign
def test_finished_runs_are_not_trained_again(before: dict[str, Any], checked: Project) -> None:
    now = finished(checked)
    assert len(before["runs"]) == 8 and len(now) == 12
    assert {name: now[name] for name in before["runs"]} == before["runs"]
    assert "8 of 8 runs were finished before" in checked.output
    said = ("the decision held", "the decision did not hold", "there was no decision to hold")
    assert any(each in checked.output for each in said)


@pytest.mark.campaign
def test_turned_round_the_pair_needs_no_run_and_gets_the_other_answer(checked: Project) -> None:
    runs = finished(checked)
    out = checked.folder / "turned.json"
    output = inside(checked, "compare", "unselected", "selected", *SMALL, "--out", str(out))
    assert finished(checked) == runs
    assert "earlier decision" in output
    first = json.loads((checked.folder / "made" / "small.json").read_text())["tasks"]["mean"]["bits_per_byte"]
    second = json.loads(out.read_text())["tasks"]["mean"]["bits_per_byte"]
    assert second["probability"] == pytest.approx(1 - first["probability"])
    assert second["difference"] == pytest.approx(-first["difference"])


@pytest.mark.campaign
def test_both_tables_hold_to_their_contracts_and_dagster_shows_them(
    checked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dagster as dg

    outcomes = check(checked.settings, ["ladder.comparisons", "ladder.comparison_runs"])
    assert outcomes and all(outcome.passed for outcome in outcomes)
    monkeypatch.setenv("DAGSTER_HOME", str(checked.settings.dagster_home))
    with dg.DagsterInstance.get() as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["ladder", "comparisons"]))
        assert event and event.asset_materialization
        assert "data:image/png;base64," in str(event.asset_materialization.metadata["differences"].value)


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("best", "no mixture is called 'best'"),
        ("top_fraction=2", "is not in \\(0, 1\\]"),
        ("top_fraction=some", "'some' is not a number"),
        ("rules=strict", "holds no verdicts of the recipe 'strict'"),
        ("top_fraction=0.1,host=a", "no mixture is called"),
    ],
)
def test_an_invalid_mixture_is_refused(name: str, cause: str) -> None:
    with pytest.raises(WatershedError, match=cause):
        parse_mixture(name, curation())


def test_mixtures_are_named_by_what_they_take() -> None:
    assert parse_mixture("selected", curation()).literals == parse_mixture("top_fraction=0.3", curation()).literals
    tenth = parse_mixture("rules=gopher,top_fraction=0.1", curation())
    assert tenth.literals == {
        "top_fraction": 0.1,
        "rules": "gopher",
    }


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("selected", "top_fraction=0.3"), "are the same mixture"),
        (("selected", "unselected", "--seeds", "1", "--sizes", "30k"), "too few to separate a difference from noise"),
        (("selected", "unselected", "--sizes", "500k"), "is not smaller than the target"),
        (("selected", "unselected", "--sizes", "31k"), "no model size is called '31k'"),
        (("selected", "unselected", "--tasks", "chess"), "no task 'chess' in evals.tasks"),
    ],
)
def test_what_cannot_be_decided_says_why_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], cause: str
) -> None:
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    write_lake(tmp_path, (*CURATED, *tables_of("ladder")))
    result = CliRunner().invoke(main, ["compare", *arguments])
    assert result.exit_code == 2
    assert cause in result.stderr


def test_past_decisions_count_the_last_checked_one_of_every_pair_and_target(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    nothing = share_right_before(settings)
    assert (nothing.right, nothing.of) == (0, 0)
    decisions = [
        {"comparison": "old", "first": "a", "second": "b", "decided_right": False},
        {"comparison": "new", "first": "b", "second": "a", "decided_right": True},
        {"comparison": "far", "first": "a", "second": "b", "target": "1M-1xC", "decided_right": False},
        {"comparison": "open", "first": "a", "second": "c", "decided_right": None},
        {"comparison": "again", "first": "a", "second": "b", "decided_right": None},
        {"comparison": "last", "first": "c", "second": "b", "decided_right": True},
    ]
    for hour, decision in enumerate(decisions):
        stored = datetime.datetime(2026, 1, 2, hour, tzinfo=datetime.UTC)
        rows = [
            row(COMPARISONS, **{"task": "mean", "measure": "bits_per_byte", "stored_at": stored, **decision}),
            row(COMPARISONS, **{"task": "mean", "measure": "accuracy", "stored_at": stored, **decision}),
            row(COMPARISONS, **{"task": "one", "measure": "bits_per_byte", "stored_at": stored, **decision}),
        ]
        table = pa.Table.from_pylist(rows, schema=COMPARISONS.schema)
        Lake.of(settings).replace(COMPARISONS, table, "f" * 16, {"comparison": decision["comparison"]})
    past, without_far = share_right_before(settings), share_right_before(settings, except_comparison="far")
    assert (past.right, past.of) == (2, 3)
    assert (without_far.right, without_far.of) == (2, 2)
