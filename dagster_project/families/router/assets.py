"""The assets of the family `router`: domains, one index, experts, what they find, and the comparison of routers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catalog.lake import Lake
from catalog.tables.router import (
    COMPARISONS,
    DOCUMENTS,
    DOMAINS,
    EXPERTS,
    PILOTS,
    QUERIES,
    RANKINGS,
    RESULTS,
    ROUTES,
)
from dagster_project.engine.making import Making
from dagster_project.engine.table_asset import table_asset
from dagster_project.families.router import recipes
from dagster_project.families.router.recipes import (
    DomainRecipe,
    domain_keys,
    domain_recipe,
    domain_recipes,
    experts_of,
    pairs_needed,
    project_experts,
    rankings_needed,
    run_keys,
    runs_of,
    training_recipe,
)


def _domain_literals(recipe: DomainRecipe) -> Any:
    return recipe.name, recipe.digest, recipe.encoder


@table_asset(
    DOCUMENTS,
    QUERIES,
    code_version="1",
    recipe=domain_recipe,
    identity=_domain_literals,
    cut=recipes.DOMAINS,
    keys=domain_keys,
)
def router_index(making: Making) -> dict[str, Any]:
    """Reads a domain, and embeds its documents and queries by the frozen encoder."""
    from catalog.progress import track
    from spark_jobs.router.beir import read_domain
    from spark_jobs.router.tables import domain_tables

    recipe: DomainRecipe = making.recipe
    domain = read_domain(recipe.folder)
    encoder = project_experts(making.settings)
    with track(f"{recipe.name}: documents", len(domain.documents), "documents") as task:
        documents, queries = domain_tables(domain, encoder, task.advance)
    making.replace(QUERIES, queries)
    making.replace(DOCUMENTS, documents)
    return {"documents": documents.num_rows, "queries": queries.num_rows}


@table_asset(
    DOMAINS,
    code_version="1",
    recipe=domain_recipes,
    identity=lambda found: [(each.name, each.expert, each.digest) for each in found],
)
def router_domain_counts(making: Making) -> dict[str, Any]:
    """Counts the documents and queries of the domains of `[router]`."""
    import pyarrow as pa

    from spark_jobs.router.beir import read_domain
    from spark_jobs.router.tables import domain_row

    rows = [domain_row(read_domain(each.folder), each.expert, each.digest) for each in making.recipe]
    making.replace(DOMAINS, pa.Table.from_pylist(rows, schema=DOMAINS.schema))
    return {"domains": len(rows)}


def _each_run(lake: Lake) -> Mapping[str, int]:
    # All runs that are due share a process, which imports torch and reads the encoder once.
    del lake
    return {}


@table_asset(
    EXPERTS,
    code_version="1",
    recipe=training_recipe,
    cut=recipes.RUNS,
    keys=run_keys,
    needs=pairs_needed,
    together=_each_run,
    engine="torch",
)
def router_experts(making: Making) -> list[dict[str, Any]]:
    """Trains low-rank adapters of the encoder of queries: on one domain, or on as many pairs of each domain."""
    from dagster_project.families.router.training import train_experts

    rows = train_experts(making)
    making.lake.replace_parts(EXPERTS, rows, making.parts)
    return [{"steps": row["steps"], "loss": row["train_loss"]} for row in rows.to_pylist()]


@table_asset(RANKINGS, code_version="1", cut=recipes.RUNS, keys=run_keys, needs=rankings_needed)
def router_rankings(making: Making) -> dict[str, Any]:
    """Searches with an expert for the training and test queries of every domain."""
    import pyarrow as pa

    from spark_jobs.router.tables import adapter_folder, corpora_of, queries_of, rankings

    lake, settings = making.lake, making.settings
    domains = list(domain_keys(settings))
    queries = queries_of(lake, domains, pilots=experts_of(settings))
    adapter = adapter_folder(lake, making.run)
    rows = rankings(making.run, queries, corpora_of(lake, domains), project_experts(settings), adapter)
    making.replace(RANKINGS, pa.Table.from_pylist(rows, schema=RANKINGS.schema))
    return {"queries": len(rows)}


def _compared(settings: Any, _: Any) -> dict[str, Any]:
    return {
        "experts": list(experts_of(settings)),
        "domains": list(domain_keys(settings)),
        "runs": list(run_keys(settings)),
    }


@table_asset(COMPARISONS, RESULTS, ROUTES, PILOTS, code_version="1", recipe=_compared, cheap=True)
def router_comparisons(making: Making) -> dict[str, Any]:
    """Makes pilots, routes the test queries by every method, and tests the router against the baselines."""
    import pyarrow as pa

    from spark_jobs.router.comparing import comparisons, results, routes
    from spark_jobs.router.tables import measured

    runs = runs_of(making.settings)
    routed: list[dict[str, Any]] = []
    made: list[dict[str, Any]] = []
    experts = making.recipe["experts"]
    for seed in dict.fromkeys(seed for _, seed in runs.values()):
        named = {expert: run for run, (expert, of_seed) in runs.items() if of_seed == seed}
        found = measured(making.lake, making.recipe["domains"], experts, named, seed)
        rows, of_seed = routes(found)
        routed += rows
        made += of_seed
    tables = {
        PILOTS: made,
        ROUTES: routed,
        RESULTS: results(routed, experts),
        COMPARISONS: comparisons(routed, experts),
    }
    for contract, rows in tables.items():
        making.replace(contract, pa.Table.from_pylist(rows, schema=contract.schema))
    return {
        f"{row['method']} against {row['baseline']}": row["conclusion"] for row in tables[COMPARISONS] if row["expert"]
    }
