"""The kinds of IFEval beside the evaluation harness's copy of Google's checks, on replies drawn at random.

Left out are the kinds whose published check needs a model that is downloaded or random: sentences, words in capitals,
languages and letters' case. Theirs takes `<< >> << >>` for a title and a lone `*` for the beginning of a bullet point.
"""

from __future__ import annotations

import random
from types import ModuleType

import pytest

from trainers.verifiers.instructions.register import bind

PIECES = [
    *(
        "word",
        "Lake",
        "cat",
        "[name]",
        "*one*",
        "**two**",
        "* item",
        "- item",
        "***",
        "******",
        "\n",
        "\n\n",
        "\n\n",
        '"',
    ),
    *(
        "SECTION 1",
        "SECTION 2",
        "P.S. bye",
        "P.P.S more",
        "<<Title>>",
        ",",
        ".",
        "My answer is yes.",
        "{}",
        "[1]",
    ),
    *("```json", "```", "Any questions?", "Name a river.", "Qq", "then", "Then,", "'then"),
]
DRAWN = {
    "keywords:existence": {"keywords": ["lake", "cat"]},
    "keywords:frequency": {"keyword": "lake", "frequency": 2, "relation": "at least"},
    "keywords:forbidden_words": {"forbidden_words": ["cat"]},
    "keywords:letter_frequency": {"letter": "q", "let_frequency": 2, "let_relation": "less than"},
    "length_constraints:number_paragraphs": {"num_paragraphs": 2},
    "length_constraints:number_words": {"num_words": 6, "relation": "less than"},
    "length_constraints:nth_paragraph_first_word": {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"},
    "detectable_content:number_placeholders": {"num_placeholders": 1},
    "detectable_content:postscript": {"postscript_marker": "P.S."},
    "detectable_format:number_bullet_lists": {"num_bullets": 2},
    "detectable_format:constrained_response": {},
    "detectable_format:number_highlighted_sections": {"num_highlights": 2},
    "detectable_format:multiple_sections": {"section_spliter": "SECTION", "num_sections": 2},
    "detectable_format:json_format": {},
    "detectable_format:title": {},
    "combination:two_responses": {},
    "combination:repeat_prompt": {"prompt_to_repeat": "Name a river."},
    "startend:end_checker": {"end_phrase": "Any questions?"},
    "startend:quotation": {},
    "punctuation:no_comma": {},
}


@pytest.fixture(scope="module")
def published() -> ModuleType:
    """The harness's register. Its import downloads nothing here: the resource that it looks for is not used."""
    import nltk

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nltk, "download", lambda *arguments, **options: True)
        return pytest.importorskip("lm_eval.tasks.ifeval.instructions_registry")


@pytest.mark.parametrize("id", DRAWN)
def test_a_kind_agrees_with_the_published_check(id: str, published: ModuleType) -> None:
    draw = random.Random(id)
    theirs = published.INSTRUCTION_DICT[id](id)
    theirs.build_description(**DRAWN[id])
    ours = bind(id, DRAWN[id])
    followed = 0
    for _ in range(1500):
        reply = "".join(draw.choice(PIECES) + draw.choice(["", " "]) for _ in range(draw.randint(1, 8)))
        if not reply.strip() or any(line.strip() == "*" for line in reply.split("\n")):
            continue
        expected = bool(theirs.check_following(reply))
        assert (not ours.fault(reply)) == expected, (id, reply)
        followed += expected
    assert followed
