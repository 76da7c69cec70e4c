"""One query: the expert that the pilots choose, and the documents of all domains that it finds in the one index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.tables.router import DOCUMENTS, PILOTS
from spark_jobs.retrieval.experts import ExpertEncoder
from spark_jobs.router.routing import Pilot, Pilots
from spark_jobs.router.tables import adapter_folder, corpora_of, vectors_of


def routed_documents(
    lake: Lake,
    domains: Sequence[str],
    encoder: ExpertEncoder,
    query: str,
    *,
    seed: int,
    run_of: Callable[[str, int], str],
    top: int,
) -> dict[str, Any]:
    """Return the chosen expert, the similarity of the query to the pilots of each, and the nearest documents.

    Raises:
        WatershedError: there are no pilots of that seed.
    """
    rows = [row for row in lake.read(PILOTS.name).to_pylist() if row["seed"] == seed and not row["with_base"]]
    if not rows:
        raise WatershedError(
            f"router.pilots has no pilot of seed {seed}", "choose one of [router] seeds, or make router.pilots"
        )
    vectors = vectors_of(row["vector"] for row in rows)
    pilots = Pilots(
        [Pilot(row["domain"], row["expert"], row["queries"], vector) for row, vector in zip(rows, vectors, strict=True)]
    )
    (near,) = pilots.similarities(encoder.queries([query]))
    expert = pilots.experts[int(near.argmax())]
    (vector,) = encoder.queries_by(adapter_folder(lake, run_of(expert, seed)), [query])
    found = []
    for domain, corpus in corpora_of(lake, domains).items():
        scores = corpus.vectors @ vector
        found += [(float(scores[place]), domain, corpus.ids[place]) for place in np.argsort(-scores)[:top]]
    best = sorted(found, key=lambda each: (-each[0], each[1], each[2]))[:top]
    texts = {
        (row["domain"], row["document"]): f"{row['title']} {row['text']}".strip()
        for row in lake.read(DOCUMENTS.name, ["domain", "document", "title", "text"]).to_pylist()
    }
    return {
        "query": query,
        "expert": expert,
        "experts": dict(zip(pilots.experts, (round(float(value), 6) for value in near), strict=True)),
        "documents": [
            {"score": round(score, 6), "domain": domain, "document": document, "text": texts[domain, document]}
            for score, domain, document in best
        ],
    }
