"""The assets of the family `moe` on the lake of the demo, and the documents that a training step read."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner
from demo_project import Project

from dagster_project.cli import main
from dagster_project.families.demo.sizes import SIZES
from dagster_project.families.moe import assets, training
from dagster_project.families.moe.analysis import RoutingRecipe
from dagster_project.families.moe.training import configurations
from dagster_project.jobs import DEMO, TABLES


def watershed(*words: str) -> str:
    """What the command line prints, in this process."""
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    return done.output


def with_few_held_out(recipe: training.MoERecipe) -> dict[str, dict[str, Any]]:
    """The configurations of both runs, whose held-out loss is measured on fewer sequences."""
    return {name: {**config, "heldout_sequences": 96} for name, config in configurations(recipe).items()}


@pytest.fixture(scope="module")
def moe(demo: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A copy of the demo's project in which a short run of the mixture was made, and which the command line finds."""
    folder = tmp_path_factory.mktemp("moe") / "project"
    shutil.copytree(demo.folder, folder, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WATERSHED_PROJECT", str(folder))
        patch.setenv("DAGSTER_HOME", "")
        patch.setitem(SIZES, "smoke", replace(SIZES["smoke"], moe_run="70k-0.05xC"))
        patch.setattr(assets, "RoutingRecipe", partial(RoutingRecipe, sequences=192))
        patch.setattr(training, "configurations", with_few_held_out)
        yield Project(folder, watershed("make", "moe.saturation"))


def test_the_demo_leaves_the_mixture_to_its_own_job(demo: Project) -> None:
    states = dict(demo.rows("SELECT name, state FROM watershed.tables"))
    assert {states[name] for name in DEMO} == {"made"}
    assert "made" not in {states[name] for name in TABLES["moe"]}


def test_both_models_took_the_same_batches_with_as_many_parameters_a_token(moe: Project) -> None:
    models = moe.rows("SELECT kind, steps, tokens, active_parameters, total_parameters FROM moe.models ORDER BY kind")
    (dense, *same_dense, dense_active, dense_all), (mixture, *same_mixture, active, total) = models
    assert (dense, mixture) == ("dense", "moe")
    assert same_dense == same_mixture
    assert dense_active == dense_all
    assert dense_active < active < 1.02 * dense_active, "the router alone is more"
    assert total > 1.2 * active
    runs = [run for (run,) in moe.rows("SELECT run FROM moe.models ORDER BY kind")]
    batches = [moe.rows(f"SELECT step, shard, sequences FROM moe.batches WHERE run = '{r}' ORDER BY ALL") for r in runs]
    assert batches[0] == batches[1]


def test_both_learn_and_the_curves_and_heat_maps_are_pictures_in_dagster(
    moe: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first, last in moe.rows(
        "SELECT first(loss ORDER BY step), last(loss ORDER BY step) FROM moe.metrics GROUP BY run"
    ):
        assert last < first - 1
    monkeypatch.setenv("DAGSTER_HOME", str(moe.settings.dagster_home))
    wanted = {
        "moe.models": {"training"},
        "moe.saturation": {"saturation", "coactivation", "domains", "vocabulary"},
    }
    with dg.DagsterInstance.get() as instance:
        for table, names in wanted.items():
            event = instance.get_latest_materialization_event(dg.AssetKey(table.split(".")))
            assert event and event.asset_materialization
            metadata = event.asset_materialization.metadata
            for name in names:
                assert "data:image/png;base64," in str(metadata[name].value)


def test_loads_are_those_of_the_last_steps_and_every_contract_holds(moe: Project) -> None:
    watershed("check", "moe")
    ((path, smallest, largest),) = moe.rows(
        "SELECT path, smallest_load, largest_load FROM moe.models WHERE kind = 'moe'"
    )
    metrics = (moe.folder / "lake" / "_files" / path).parent / "metrics.jsonl"
    load_SLE = np.array([json.loads(line)["expert_load"] for line in metrics.read_text().splitlines()])
    load_LE = load_SLE[-(len(load_SLE) // 4) :].mean(0) * 16 / 4
    assert (smallest, largest) == (pytest.approx(load_LE.min()), pytest.approx(load_LE.max()))
    assert load_LE.mean() == pytest.approx(1)


def test_every_token_of_a_domain_has_its_experts(moe: Project) -> None:
    shares = moe.rows("SELECT domain, layer, sum(share), count(*) FROM moe.domains GROUP BY ALL")
    assert {experts for *_, experts in shares} == {16}
    for *_, share, _ in shares:
        assert share == pytest.approx(4)
    hosts = {host for (host,) in moe.rows("SELECT DISTINCT host FROM dclm.documents")}
    domains = {domain for (domain,) in moe.rows("SELECT DISTINCT domain FROM moe.domains")}
    assert len(domains) > 2 and domains - {"(others)"} <= hosts


def test_routing_settles_towards_the_end(moe: Project) -> None:
    curve = [
        share for _, share in moe.rows("SELECT step, avg(saturation) FROM moe.saturation GROUP BY step ORDER BY step")
    ]
    assert len(curve) == 7
    assert curve[0] < curve[-1] < 1


def test_a_second_call_makes_nothing(moe: Project) -> None:
    assert "nothing was made again" in watershed("make", "moe.saturation")


@pytest.mark.parametrize("table", ["models.batches", "moe.batches"])
def test_sql_gives_the_documents_of_the_batch_that_the_loader_feeds(moe: Project, table: str) -> None:
    """The texts of the documents, cut by their spans and tokenised, are the tokens that the trainer read."""
    from tokenizers import Tokenizer

    from catalog.lake import Lake
    from dagster_project.families.models.training import shard_folder
    from trainers.data.loader import ShuffledLoader
    from trainers.data.shards import Sequences, check_manifest

    shards = shard_folder(Lake.of(moe.settings))
    models = "models.checkpoints" if table == "models.batches" else "moe.models"
    run, stored = moe.rows(f"SELECT run, config FROM {models} ORDER BY run DESC LIMIT 1")[0]
    config = json.loads(stored)
    loader = ShuffledLoader(Sequences(check_manifest(shards / "train")), config["seed"])
    for _ in range(3):
        fed = loader.next_batch(config["batch"])
    pieces = moe.rows(f"""
        WITH batch AS (
            SELECT split, shard, dataset, unnest(sequences)::BIGINT AS place
            FROM {table} WHERE run = '{run}' AND step = 3
        ), held AS (
            SELECT split, shard, place, place * (sequence_length + 1) AS start,
                   (place + 1) * (sequence_length + 1) AS stop
            FROM batch JOIN dclm.shards USING (split, shard, dataset)
        )
        SELECT shard, place, greatest(p.start, w.start), least(p.stop, w.stop), p.start, d.text
        FROM held w JOIN dclm.spans p USING (split, shard) JOIN dclm.texts d USING (doc_id)
        WHERE p.start < w.stop AND p.stop > w.start ORDER BY shard, place, p.start""")
    tokenizer = Tokenizer.from_file(str(shards / "tokenizer.json"))
    read: dict[tuple[str, int], list[int]] = {}
    for shard, place, begin, stop, start, text in pieces:
        tokens = [*tokenizer.encode(text, add_special_tokens=False).ids, loader.source.split.eot]
        read.setdefault((shard, place), []).extend(tokens[begin - start : stop - start])
    assert sorted(read.values()) == sorted(fed.tolist())
    traced = watershed("trace", "--run", run, "--step", "3")
    assert re.search(rf"read +{config['batch']} sequences", traced)
    assert np.array_equal(sorted(map(len, read.values())), [fed.shape[1]] * len(fed))
