"""Papers that a model names from memory: lists of references, mentions, and numbers, against the papers of a lake."""

from __future__ import annotations

import pytest

from spark_jobs.scholar.named import known_papers, named_papers

PAPERS = [
    {"title": "On the flow of ice", "doi": "10.1000/ice.1", "authors": ["Glen, A."], "year": 1955},
    {"title": "Ice", "doi": None, "authors": ["Ada Nye"], "year": 1953},
    {"title": None, "doi": None, "authors": [], "year": None},
]


@pytest.mark.parametrize(
    ("answer", "cited", "known"),
    [
        ("Ice flows [1].\n\nReferences:\n[1] On the Flow of Ice. A. Glen (1955).", 1, 1),
        ("Ice flows [1].\n\nReferences:\n[1] On the melting of ice. A. Glen (1955).", 1, 0),
        # A number without a reference is a paper that is not there.
        ("Ice flows [1, 4].\n\n**References**\n1. Glen: on the flow of ice", 2, 1),
        ("Ice flows.\n[1] Something, https://doi.org/10.1000/ICE.1.\n[2] Else, 10.1000/ice.2", 2, 1),
        # A title of one word is the whole reference, or none.
        ("It melts [1].\n\nSources:\n[1] Ice", 1, 1),
        ("It melts [1].\n\nSources:\n[1] Ice is cold. Me, 1999", 1, 0),
        (
            "It flows (Nye, 1953). Others disagree (Nye, 1954; no). See Glen et al. (1955) and Noether et al. (1918).",
            3,
            2,
        ),
        ("In 2019, as [1] says, all was well. Nothing more in (2019).", 1, 0),
        ("References:\n- On the flow of ice\n- The flow of rice", 2, 1),
        ("Nothing is cited here.", 0, 0),
        ("", 0, 0),
    ],
)
def test_named_papers_are_counted_and_found(answer: str, cited: int, known: int) -> None:
    found = named_papers(answer)
    assert (found.papers, known_papers([found], PAPERS)) == (cited, [known])


def test_answers_are_counted_apart_and_hostile_ones_are_bounded() -> None:
    one, other = named_papers("[1] On the flow of ice"), named_papers("[1] Nowhere at all, ever")
    assert known_papers([one, other, one], iter(PAPERS)) == [1, 0, 1]
    many = named_papers("References:\n" + "\n".join(f"[{n}] {'word ' * 900}{n}" for n in range(900)))
    assert many.papers == 200 and known_papers([many], PAPERS) == [0]
