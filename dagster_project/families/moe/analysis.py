"""The routing analysis: which experts the mixture of experts chooses for tokens of held-out documents."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from catalog.errors import WatershedError
from catalog.settings import Settings
from dagster_project.engine.making import Making
from dagster_project.engine.trainer_process import start
from dagster_project.families.models.training import shard_folder
from dagster_project.families.moe.training import json_lines, run_folder

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class RoutingRecipe:
    """The choices of the routing analysis."""

    domains: int = 12
    """The number of hosts with the most held-out tokens. Each is a domain; all other hosts together are one more."""
    others: str = "(others)"
    """The name of the domain of all other hosts."""
    sequences: int = 1024
    """The maximum number of held-out sequences."""


SPANS_SQL = """
WITH token AS (
    SELECT s.shard, s.start, s.stop, coalesce(d.host, $others) AS host
    FROM dclm.spans s JOIN dclm.documents d USING (doc_id) WHERE s.split = 'heldout'
), largest AS (
    SELECT host FROM token GROUP BY host ORDER BY sum(stop - start) DESC, host LIMIT $domains
)
SELECT shard, start, stop, CASE WHEN l.host IS NULL THEN $others ELSE t.host END AS domain
FROM token t LEFT JOIN largest l USING (host) ORDER BY shard, start
"""


def analyse(making: Making, recipe: RoutingRecipe) -> dict[str, pa.Table]:
    """Return the rows of the routing tables by name, and add the pictures to the metadata of `making`.

    Raises:
        WatershedError: dclm.spans has no held-out document, or the process failed.
    """
    import pyarrow.parquet as pq

    run = next(
        row["run"] for row in making.lake.read("moe.models", ["run", "kind"]).to_pylist() if row["kind"] == "moe"
    )
    out = making.lake.folder("moe.saturation", making.fingerprint)
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(_spans(making.settings, recipe), out / "domains.parquet")
    config = {
        "checkpoint": str(run_folder(making, run)),
        "shards": [str(shard_folder(making.lake) / "heldout")],
        "out": str(out),
        "domains": str(out / "domains.parquet"),
        "sequences": recipe.sequences,
        "device": making.settings.trainer.device,
    }
    start(making, "trainers.analyse_routing", config, f"{run} routing", ranks=False)
    making.wrote(out)
    making.metadata |= _pictures(out)
    return _tables(run, out, shard_folder(making.lake) / "tokenizer.json")


def _spans(settings: Settings, recipe: RoutingRecipe) -> pa.Table:
    from catalog.sql.query import connect

    found = connect(settings).execute(SPANS_SQL, {"others": recipe.others, "domains": recipe.domains}).to_arrow_table()
    if not found.num_rows:
        raise WatershedError("dclm.spans names no held-out document", "materialise dclm.shards again")
    return found


def _pictures(out: Path) -> dict[str, dg.MarkdownMetadataValue]:
    from dagster_project.engine.pictures import markdown_file

    names = json.loads((out / "routing.json").read_text())["pictures"]
    return {name.removesuffix(".png"): markdown_file(out / name, name.removesuffix(".png")) for name in names}


def _tables(run: str, out: Path, tokenizer: Path) -> dict[str, pa.Table]:
    import pyarrow as pa
    from tokenizers import Tokenizer

    from catalog.tables.moe import COACTIVATION, DOMAINS, SATURATION, VOCABULARY

    words = Tokenizer.from_file(str(tokenizer))
    tables = {}
    for contract in (SATURATION, COACTIVATION, DOMAINS, VOCABULARY):
        rows = json_lines(out / f"{contract.table}.jsonl")
        for row in rows:
            row["run"] = run
            if contract is VOCABULARY:
                row["text"] = words.decode([row["token"]], skip_special_tokens=False)
        tables[contract.name] = pa.Table.from_pylist(rows, schema=contract.schema)
    return tables
