"""Retrieval by experts: the tables of the family `router`.

Source: RouterRetriever (arXiv 2409.02685). One encoder is frozen and embeds every document; an expert is a set of
low-rank adapters of its queries' side, trained on one domain. A router chooses the expert of each query.
"""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import binary, boolean, column, integer, real, text, texts
from catalog.contract import Contract, between, matches, one_of
from catalog.family import Family, Models, Report, Searchable

OWNER = "router"
SPLITS = ("train", "dev", "test")
BASE, MULTI_TASK = "(base)", "(multi-task)"
"""The frozen encoder, and one set of adapters that is trained on all domains: what stands beside the experts."""
ORACLES = ("instance oracle", "dataset oracle")
ROUTERS = ("router", "router with base", "dataset router", "expert classifier", "classification head")
METHODS = (*ORACLES, *ROUTERS, "multi-task", "single base")
CONCLUSIONS = ("gain", "no significant difference", "loss")
LICENCE = "as the licence of each data set says"

DOMAINS = Contract(
    name="router.domains",
    description="Domains in BEIR's layout: a corpus, queries, and judgements.",
    columns=(
        text("domain", "Name of the domain: its folder's."),
        boolean("expert", "Whether an expert is trained on it."),
        integer("documents", "Documents of the corpus."),
        integer("train_queries", "Judged queries that experts are trained and pilots made on."),
        integer("test_queries", "Judged queries that methods are compared on."),
        text("digest", "SHA-256 of the files' digests, as 64 hex digits."),
    ),
    primary_key=("domain",),
    source="the folders of [router] domains and unseen",
    licence=LICENCE,
    owner=OWNER,
    expectations=(matches("digest", r"^[0-9a-f]{64}$"), between("documents", 0)),
)

DOCUMENTS = Contract(
    name="router.documents",
    description="The one index that all experts search: documents with their vectors by the frozen encoder.",
    columns=(
        text("domain", "Domain."),
        text("document", "Id of the document in its domain."),
        text("title", "Title; empty if it has none."),
        text("text", "Text."),
        binary("vector", "Vector as 32-bit floats, little-endian."),
        text(
            "stamp", "16 hex digits of what decides the vector: encoder, weights, prompts, and version of the library."
        ),
    ),
    primary_key=("domain", "document"),
    partition_by=("domain",),
    source="the folders of [router] domains and unseen",
    licence=LICENCE,
    owner=OWNER,
    expectations=(matches("stamp", r"^[0-9a-f]{16}$"),),
)

JUDGED = pa.list_(pa.struct([("document", pa.string()), ("grade", pa.int64())]))
QUERIES = Contract(
    name="router.queries",
    description="Queries with the grades of their documents.",
    columns=(
        text("domain", "Domain."),
        text("query", "Id of the query in its domain."),
        text("split", "train, dev or test."),
        text("text", "Text of the query; null if the folder judges a query that it does not have.", nullable=True),
        column("judged", JUDGED, "Documents that are judged, with their grades."),
        binary("vector", "Vector by the frozen encoder, as in router.documents.", nullable=True),
        text("stamp", "Stamp of the frozen encoder, as in router.documents."),
    ),
    primary_key=("domain", "split", "query"),
    partition_by=("domain",),
    source="the folders of [router] domains and unseen",
    licence=LICENCE,
    owner=OWNER,
    expectations=(one_of("split", SPLITS),),
)

EXPERTS = Contract(
    name="router.experts",
    description="Low-rank adapters of the encoder of queries: one set for each domain, and one for all domains.",
    columns=(
        text("run", "Expert and seed, as in `networks-0`."),
        text("expert", "Domain that it was trained on, or (multi-task)."),
        integer("seed", "Seed of the weights, the order of the pairs, and dropout."),
        integer("pairs", "Pairs of a query and its document."),
        integer("steps", "Optimiser steps."),
        integer("parameters", "Parameters of the adapters."),
        real("train_loss", "Mean contrastive loss at the end, in nats."),
        real("seconds", "Seconds of training."),
        text("path", "Folder of the adapters in peft's form, relative to the lake's files."),
        text("sha256", "SHA-256 of the file of the adapters, as 64 hex digits."),
        text("stamp", "Stamp of the frozen encoder.", derived_from="router.documents.stamp"),
    ),
    primary_key=("run",),
    partition_by=("run",),
    upstream=("router.documents", "router.queries"),
    licence=LICENCE,
    owner=OWNER,
    expectations=(matches("sha256", r"^[0-9a-f]{64}$"), between("steps", 1)),
)

RANKINGS = Contract(
    name="router.rankings",
    description="What each expert finds for each query in the domain of the query.",
    columns=(
        text("run", "Expert and seed.", derived_from="router.experts.run"),
        text("domain", "Domain of the query.", derived_from="router.queries.domain"),
        text("split", "train or test.", derived_from="router.queries.split"),
        text("query", "Query.", derived_from="router.queries.query"),
        texts("documents", "The first ten documents.", derived_from="router.documents.document"),
        column("scores", pa.list_(pa.float32()), "Their inner products with the query."),
        real("ndcg", "nDCG@10, as trec_eval computes it."),
        boolean("answered", "Whether the query has a text, so that anything was searched."),
    ),
    primary_key=("run", "domain", "split", "query"),
    partition_by=("run",),
    upstream=("router.documents", "router.queries", "router.experts"),
    licence=LICENCE,
    owner=OWNER,
    expectations=(between("ndcg", 0, 1), one_of("split", SPLITS)),
)

PILOTS = Contract(
    name="router.pilots",
    description="For each domain and expert, the centroid of the training queries that the expert answers best.",
    columns=(
        integer("seed", "Seed of the experts."),
        boolean("with_base", "Whether the frozen encoder competes with the experts."),
        text("domain", "Domain of the queries."),
        text("expert", "Expert whose nDCG@10 is the highest for them."),
        integer("queries", "Queries of the centroid."),
        binary("vector", "Mean of the queries' vectors by the frozen encoder, as 32-bit floats, little-endian."),
    ),
    primary_key=("seed", "with_base", "domain", "expert"),
    upstream=("router.documents", "router.queries", "router.rankings"),
    licence=LICENCE,
    owner=OWNER,
    expectations=(between("queries", 1),),
)

ROUTES = Contract(
    name="router.routes",
    description="The expert that each method chooses for each test query, and what it finds.",
    columns=(
        text("method", "Router, oracle or baseline."),
        integer("seed", "Seed of the experts."),
        text("domain", "Domain of the query.", derived_from="router.queries.domain"),
        text("query", "Query.", derived_from="router.queries.query"),
        text("expert", "Expert that was chosen."),
        real("ndcg", "nDCG@10 of that expert.", derived_from="router.rankings.ndcg"),
        boolean("answered", "Whether anything was searched.", derived_from="router.rankings.answered"),
    ),
    primary_key=("method", "seed", "domain", "query"),
    upstream=("router.documents", "router.queries", "router.rankings"),
    licence=LICENCE,
    owner=OWNER,
    expectations=(one_of("method", METHODS), between("ndcg", 0, 1)),
)

RESULTS = Contract(
    name="router.results",
    description="Mean nDCG@10 of each method on the test queries of each domain.",
    columns=(
        text("method", "Router, oracle or baseline.", derived_from="router.routes.method"),
        integer("seed", "Seed of the experts.", derived_from="router.routes.seed"),
        text("domain", "Domain.", derived_from="router.routes.domain"),
        boolean("expert", "Whether an expert was trained on the domain."),
        integer("queries", "Judged queries."),
        integer("answered", "Those with a text."),
        real("ndcg", "Mean nDCG@10 over all judged queries; one that is not answered counts 0."),
        real("ndcg_answered", "Mean nDCG@10 over the answered queries.", nullable=True),
        real("own_expert", "Share of the queries that went to the domain's own expert.", nullable=True),
    ),
    primary_key=("method", "seed", "domain"),
    upstream=("router.documents", "router.queries", "router.rankings"),
    licence=LICENCE,
    owner=OWNER,
    expectations=(between("ndcg", 0, 1), one_of("method", METHODS)),
)

COMPARISONS = Contract(
    name="router.comparisons",
    description="Paired tests of the router against each baseline, and what follows from them.",
    columns=(
        text("method", "Method that is compared."),
        text("baseline", "What it is compared with."),
        boolean("expert", "True: the domains that have an expert. False: those that have none."),
        integer("seeds", "Seeds. The differences of a query are averaged over them."),
        integer("queries", "Test queries."),
        real("difference", "Mean difference in nDCG@10: of the queries of a domain, then of the domains."),
        real("low", "Lower end of its 95% interval, by a bootstrap of the queries of each domain."),
        real("high", "Upper end."),
        real("p", "Share of 10,000 random changes of the differences' signs that give as large a difference."),
        integer("seeds_above", "Seeds in which the difference is above 0."),
        text("conclusion", "gain, no significant difference, or loss, at 5%."),
    ),
    primary_key=("method", "baseline", "expert"),
    upstream=("router.documents", "router.queries", "router.rankings"),
    licence="CC0-1.0",
    owner=OWNER,
    expectations=(between("p", 0, 1), one_of("conclusion", CONCLUSIONS)),
)

CONTRACTS = (DOMAINS, DOCUMENTS, QUERIES, EXPERTS, RANKINGS, PILOTS, ROUTES, RESULTS, COMPARISONS)
SEARCHABLE = (
    Searchable(
        kind="data set",
        tables=(DOMAINS.name,),
        sql=f"""
        SELECT domain AS name, ['text'] AS modalities,
               format('{{:,}} documents and {{:,}} test queries of retrieval', documents, test_queries) AS description
        FROM {DOMAINS.name}
        """,
    ),
    Searchable(
        kind="model",
        tables=(EXPERTS.name,),
        sql=f"""
        SELECT run AS name, ['text'] AS modalities, 'adapters of an encoder, an expert for ' || expert AS description
        FROM {EXPERTS.name}
        """,
    ),
)

FOUND = Report(
    title="Evaluations",
    tables=(RANKINGS.name,),
    sql=f"""
    SELECT domain, split, count(*) AS queries, round(avg(ndcg), 4) AS "nDCG@10" FROM {RANKINGS.name}
    WHERE run = $model GROUP BY ALL ORDER BY domain, split
    """,
)
INTENDED = ("It embeds queries, for search over the documents that the frozen encoder embedded.",)

FAMILY = Family(
    name="router",
    contracts=CONTRACTS,
    searchable=SEARCHABLE,
    models=(Models(table=EXPERTS.name, reports=(FOUND,), intended=INTENDED),),
)
