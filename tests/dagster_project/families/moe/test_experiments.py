"""OLMoE's experiments: shapes that are compared fairly, and rows of runs."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from made_shards import make_shards  # ty: ignore[import-not-found]

from catalog.tables.moe import EXPERIMENTS
from dagster_project.families.moe.experiments import (
    VARIANTS,
    ExperimentsRecipe,
    configuration,
    variant_row,
    with_differences,
)
from trainers.models.config import active_parameter_count, total_parameter_count
from trainers.pretrain import pretrain
from trainers.pretraining.config import RunConfig, overridden_model
from trainers.pretraining.presets import preset
from trainers.process.config_file import from_mapping

RECIPE = ExperimentsRecipe(run="30k-0.2xC")
BY_NAME = {variant.name: variant for variant in VARIANTS}
SPARSE = replace(
    BY_NAME["expert_choice"], model={"experts": 16, "experts_per_token": 1, "choice": "expert", "hidden_shares": 4}
)
"""In sequences of 16 tokens, each expert takes one: many tokens are not taken."""


def test_variants_have_the_active_parameters_of_what_they_are_compared_with_but_for_the_router():
    run = ExperimentsRecipe(run="270k-0.8xC")
    shape = preset(run.run).model
    shapes = {
        name: overridden_model(configuration(run, each).get("model", {}), shape) for name, each in BY_NAME.items()
    }
    active = {name: active_parameter_count(model) for name, model in shapes.items()}
    for variant in VARIANTS:
        assert active[variant.name] == pytest.approx(active[variant.compared_with], rel=0.02), variant.name
    total = {name: total_parameter_count(model) for name, model in shapes.items()}
    for same in ("shared", "expert_choice", "coarse", "fine"):
        assert total[same] == pytest.approx(total["default"], rel=0.02), same
    assert total["more_experts"] > 1.3 * total["default"] > 1.3 * total["dense"]
    assert shapes["upcycled"] == shapes["top_2"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """The rows of four short runs."""
    folder = tmp_path_factory.mktemp("experiments")
    shards = make_shards(folder / "shards")
    found = []
    for name in ("dense", "default", "expert_choice", "top_2", "upcycled"):
        variant = SPARSE if name == "expert_choice" else BY_NAME[name]
        given = configuration(RECIPE, variant) | {"shards": str(shards), "out": str(folder / name), "steps": 4}
        given |= {"heldout_sequences": 8}
        given |= {"init": str(folder / "dense")} if name == "upcycled" else {}
        pretrain(from_mapping(given, RunConfig, "test"))
        found.append(variant_row(variant, folder / name, f"files/{name}"))
    table = pa.Table.from_pylist(with_differences(found), schema=EXPERIMENTS.schema)
    assert [column for column in table.schema.names if table[column].null_count == len(table)] == []
    return {row["variant"]: row for row in table.to_pylist()}


def test_a_run_is_compared_only_with_one_whose_loss_means_the_same(rows):
    assert rows["expert_choice"]["difference"] is None
    assert rows["default"]["difference"] == 0
    for name, other in (("dense", "default"), ("upcycled", "top_2")):
        assert rows[name]["difference"] == pytest.approx(
            rows[name]["heldout_bits_per_byte"] - rows[other]["heldout_bits_per_byte"]
        )
    assert rows["upcycled"]["heldout_bits_per_byte"] < rows["top_2"]["heldout_bits_per_byte"]


def test_rows_say_what_was_trained(rows):
    expert = rows["expert_choice"]
    assert (expert["choice"], expert["causal"], expert["smallest_load"], expert["largest_load"]) == (
        "expert",
        False,
        pytest.approx(1, abs=0.02),
        pytest.approx(1, abs=0.02),
    )
    assert 0.1 < expert["unread"] < 0.7
    assert [rows[name]["unread"] for name in ("dense", "default", "upcycled")] == [None] * 3
    assert rows["dense"]["experts"] == 0 and rows["dense"]["smallest_load"] is None
    assert rows["upcycled"]["upcycled"] and rows["upcycled"]["path"].startswith("files/upcycled/step_")
