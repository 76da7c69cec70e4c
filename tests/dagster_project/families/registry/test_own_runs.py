"""Own runs as entries of DCLM's registry, and the ranking of models by scale and track."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from made_registry import dataset, evaluation, model, uuid, write, write_registry

from catalog.errors import WatershedError
from dagster_project.cli import main
from dagster_project.families.registry.own_runs import Names, export_run
from dagster_project.families.registry.ranked import ranked_tables
from spark_jobs.registry.ranking import SIZES, entries, ranking, scale_of, track_of
from trainers.icl.dclm_results import dclm_results
from trainers.icl.tasks import dclm_tasks
from trainers.process.files import canonical_json, sha256_file, sha256_text
from trainers.process.sealed import write_sealed

SHARED = os.environ.get("WATERSHED_SHARED")
M400 = SIZES["400M"]


def watershed(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def write_run(folder: Path, **changes: object) -> Path:
    """The files of a finished run of 400M-1x that an export reads."""
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}")
    (folder / "step_00000010").mkdir()
    identity = {
        "model": {"vocab_size": 50_432, "width": 1024, "qk_norm": True, "norm": "layer"},
        "optimiser": {
            "learning_rate": 3e-3,
            "warmup_steps": 2000,
            "weight_decay": 0.033,
            "final_fraction": 0.01,
            "z_loss": 1e-4,
        },
        "batch": 512,
        "seed": 7,
        "dataset": "d" * 16,
        "train": "t" * 16,
    }
    fingerprint = sha256_text(canonical_json(identity))
    write_sealed(folder / "config.json", {"fingerprint": fingerprint, "identity": identity})
    result = {
        "run": "dclm-400M-1xC",
        "preset": "dclm-400M-1xC",
        "parameters": M400 - 51_642_368,
        "total_parameters": M400,
        "active_parameters": M400,
        "tokens": 20 * M400,
        "steps": 10,
        "checkpoint": "/elsewhere/step_00000010",
        "checkpoint_sha256": "a" * 64,
        "fingerprint": fingerprint,
    }
    result = {name: value for name, value in (result | changes).items() if value is not ...}
    write_sealed(folder / "result.json", result)
    return folder


def write_summary(folder: Path, run: Path, centred: float, *, without: str = "", limit: int = 0) -> Path:
    """An evaluation whose tasks all have the same centred accuracy."""
    folder.mkdir(exist_ok=True)
    tasks = [
        {"task": task.name, "accuracy": task.baseline["v2"] + centred * (1 - task.baseline["v2"])}
        for task in dclm_tasks()
        if task.name != without
    ]
    digest = sha256_text("a" * 64 + sha256_file(run / "tokenizer.json"))
    summary = {"model_digest": digest, "limit": limit, "tasks": [*tasks, {"task": "quiz", "accuracy": 1.0}]}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published registry and the export of an own run, side by side."""
    folder = tmp_path_factory.mktemp("own")
    write_registry(folder / "published")
    run = write_run(folder / "run")
    evaluated = write_summary(folder / "results", run, 0.43)
    result = watershed(
        "registry", "export", run, "--evaluation", evaluated, "--dataset", "mine", "--out", folder / "own"
    )
    assert result.exit_code == 0, result.output
    assert "mine-dclm-400M-1xC: CORE 0.4300 (v2), 400M-1x, filtering" in result.stdout
    return folder


def test_an_own_run_is_ranked_between_the_published_ones(own: Path) -> None:
    result = watershed("registry", "rank", own / "published", own / "own", "--out", own / "rank.csv")
    assert result.exit_code == 0, result.output
    rows = [line.split(",") for line in (own / "rank.csv").read_text().splitlines()[1:]]
    # The published models have CORE .42 and .44; the third has no data set, and no evaluation.
    assert [(row[0], row[1], row[2], row[3], float(row[4]), row[7], row[9]) for row in rows] == [
        ("400M-1x", "filtering", "1", "3", 0.44, "False", "model12"),
        ("400M-1x", "filtering", "2", "3", 0.43, "True", "mine-dclm-400M-1xC"),
        ("400M-1x", "filtering", "3", "3", 0.42, "False", "model11"),
    ]
    assert "2 evaluations name no model of the registry" in result.stdout
    assert "1 models have no evaluation" in result.stdout
    only = watershed("registry", "rank", own / "published", own / "own", "--own", "--by", "extended")
    assert [line.split()[2:4] for line in only.stdout.splitlines() if "mine-" in line] == [["2", "3"]]


def test_an_export_has_the_published_form_and_is_imported_like_it(own: Path) -> None:
    (exported,) = (own / "own" / "models").iterdir()
    content, published = json.loads(exported.read_text()), model(11, uuid(1))
    assert published.keys() <= content.keys()
    assert published["hyperparameters"].keys() <= content["hyperparameters"].keys()
    assert content["hyperparameters"]["params_no_embed"] == 359_973_888
    assert content["hyperparameters"]["cd"] == pytest.approx(3e-5)
    assert "/elsewhere" not in exported.read_text()
    (scored,) = (own / "own" / "evals").iterdir()
    stored, like = json.loads(scored.read_text()), evaluation(21, 0.43)
    assert like.keys() - {"model_uuid"} <= stored.keys()
    assert stored["Core_v2"] == pytest.approx(0.43)
    assert stored["Extended_v1"] == pytest.approx(like["Extended_v1"])
    assert "quiz" not in stored["eval_metrics"]["icl"]
    tables = ranked_tables([own / "own"])
    assert [len(tables[name]) for name in ("models.registry", "models.registry_datasets")] == [1, 2]


def test_the_same_run_gives_the_same_files_and_a_new_evaluation_replaces_the_old(own: Path, tmp_path: Path) -> None:
    run = own / "run"
    first, second = tmp_path / "first", tmp_path / "second"
    for out in (first, second):
        export_run(run, own / "results", out, Names(dataset="mine"))
    files = sorted(path.relative_to(first) for path in first.rglob("*.json"))
    assert len(files) == 4
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in files)
    better = write_summary(tmp_path / "better", run, 0.5)
    assert export_run(run, better, first, Names(dataset="mine")).core == pytest.approx(0.5)
    assert len(list(first.rglob("*.json"))) == 4


def test_a_file_of_another_entry_is_kept(own: Path, tmp_path: Path) -> None:
    write(tmp_path, "models/taken.json", model(11, uuid(1)))
    before = (tmp_path / "models/taken.json").read_bytes()
    with pytest.raises(WatershedError, match="is the entry of something else"):
        export_run(own / "run", own / "results", tmp_path, Names(dataset="mine", model="taken"))
    assert (tmp_path / "models/taken.json").read_bytes() == before
    assert [path.name for path in tmp_path.rglob("*.json")] == ["taken.json"]


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "without an evaluation": ({}, "missing", "has no evaluation"),
    "of a part": ({"limit": 5}, "", "only the first 5 examples"),
    "without a task of CORE": ({"without": "copa"}, "", "has no CORE, by which models are ranked: it lacks copa"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_evaluation_that_cannot_be_ranked_is_refused(case: str, own: Path, tmp_path: Path) -> None:
    how, name, cause = REFUSED[case]
    results = tmp_path / name if name else write_summary(tmp_path / "results", own / "run", 0.3, **how)
    result = watershed(
        "registry", "export", own / "run", "--evaluation", results, "--dataset", "d", "--out", tmp_path / "o"
    )
    assert result.exit_code == 2
    assert cause in result.stderr
    assert "mend: " in result.stderr
    assert not (tmp_path / "o").exists()


def test_a_run_of_another_objective_or_other_weights_or_an_odd_name_is_refused(own: Path, tmp_path: Path) -> None:
    tuned = write_run(tmp_path / "tuned", parameters=..., total_parameters=...)
    other = write_run(tmp_path / "other", checkpoint_sha256="b" * 64)
    names = Names(dataset="mine")
    with pytest.raises(WatershedError, match="has no scale: its result lacks parameters, total_parameters"):
        export_run(tuned, own / "results", tmp_path / "out", names)
    with pytest.raises(WatershedError, match="evaluates other weights than the last checkpoint"):
        export_run(other, own / "results", tmp_path / "out", names)
    for wrong in (Names(dataset="../up"), Names(dataset="mine", sources=("a/b",)), Names(dataset="mine", track="both")):
        with pytest.raises(WatershedError):
            export_run(own / "run", own / "results", tmp_path / "out", wrong)
    missing = watershed("registry", "export", "nowhere", "--evaluation", ".", "--dataset", "d", "--out", tmp_path / "o")
    assert missing.exit_code == 2
    assert "nowhere is not a folder and not a run of the lake" in missing.stderr


def test_a_size_that_is_none_of_dclms_is_exported_and_named_in_place_of_a_rank(own: Path, tmp_path: Path) -> None:
    tiny = write_run(tmp_path / "run", total_parameters=70_000, parameters=60_000, tokens=1_400_000)
    args = ("--evaluation", own / "results", "--dataset", "d", "--out", tmp_path / "o")
    exported = watershed("registry", "export", tiny, *args)
    assert exported.exit_code == 0
    assert "no scale of DCLM" in exported.stdout
    ranked = watershed("registry", "rank", tmp_path / "o")
    assert "no model has a place" in ranked.stdout
    assert "d-dclm-400M-1xC has 70,000 parameters, which is no size of DCLM" in ranked.stdout


@pytest.mark.parametrize(
    ("parameters", "tokens", "scale"),
    [
        (M400, 20 * M400, "400M-1x"),
        (1_439_795_200, 143_979_520_000, "1B-5x"),
        (6_889_410_560, 270_064_893_952, "7B-2x"),
        (6_889_410_560, 200_619_635_507, "7B-1.46x"),
        (M400 * 109 // 100, 20 * M400, "400M-1x"),
        (M400 * 112 // 100, 20 * M400, None),
        (M400, M400, "400M-0.05x"),
        (1, 1, None),
    ],
)
def test_the_scale_is_dclms_size_and_the_multiple_of_its_tokens(parameters: int, tokens: int, scale: str) -> None:
    assert scale_of(parameters, tokens) == scale


def test_the_track_is_what_the_model_states_or_what_its_sources_say() -> None:
    one, two = dataset(1, True), dataset(1, True)
    two["sources"] = [*one["sources"], {"uuid": uuid(4), "name": "books"}]
    assert [track_of({}, each) for each in (one, two, dataset(3, False), None)] == [
        "filtering",
        "mixing",
        "unknown",
        "unknown",
    ]
    assert track_of({"track": "mixing"}, one) == "mixing"
    assert track_of({"track": "both"}, one) == "filtering"


def test_equal_scores_share_a_place_and_the_newest_evaluation_counts(tmp_path: Path) -> None:
    write_registry(tmp_path)
    write(tmp_path, "evals/eval31.json", evaluation(31, 0.44, model_uuid=uuid(11), creation_date="2024_05_01-00_00_00"))
    found, _ = entries(ranked_tables([tmp_path]))
    assert [(place.place, place.of) for place in ranking(found).places] == [(1, 2), (1, 2)]
    with pytest.raises(WatershedError, match="no evaluated model is of scale '9B-1x'"):
        ranking(found, scale="9B-1x")


@pytest.mark.skipif(not SHARED, reason="needs the published registry")
def test_the_published_registry_is_ranked_and_its_means_are_those_of_dclm() -> None:
    folder = Path(str(SHARED)) / "data" / "dclm_registry"
    found, notes = entries(ranked_tables([folder]))
    assert len(found) == 133
    assert notes == ["23 evaluations name no model of the registry"]
    places = ranking(found).places
    assert Counter(place.entry.scale for place in places if re.search(r"-[12]x$", str(place.entry.scale))) == {
        "400M-1x": 12,
        "1B-1x": 74,
        "7B-1x": 30,
        "7B-2x": 7,
    }
    best = next(place.entry for place in places if (place.entry.scale, place.entry.track) == ("7B-1x", "filtering"))
    assert (
        best.dataset == "rw_v2_cc_v3_f0.15_resiliparse_fasttext_openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train_0.1"
    )
    compared = 0
    for path in sorted((folder / "evals").iterdir()):
        stored = json.loads(path.read_text())
        ours = dclm_results(stored["eval_metrics"]["icl"])
        assert ours.pop("eval_metrics") == {"icl": stored["eval_metrics"]["icl"]}
        for name, value in ours.items():
            compared += 1
            assert stored[name] == (value if isinstance(value, str) else pytest.approx(value, abs=1e-12)), name
    assert compared == 156 * 19
