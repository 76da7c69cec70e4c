"""From prompts over completions and judgements to preference pairs."""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import boolean, column, integer, real, text
from catalog.contract import Contract, between, matches, one_of, references, row_count
from catalog.tables.tulu.mixtures import MESSAGES, OWNER, ROW_ID
from catalog.view import View

LICENCE = "as the terms of the models say"
ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")
INSTRUCTIONS = pa.list_(pa.struct([("id", pa.string()), ("kwargs", pa.string())]))
REQUEST = text("request", "Request of models.requests.", nullable=True, derived_from="models.requests.request")
FAILURE = text("failure", "Why there is no result: a kind of failure; null if there is one.", nullable=True)

COLLECTION = text("collection", "Name of the set of pairs, as `[tulu] collection` names it.")

PROMPTS = Contract(
    name="tulu.prompts",
    description="Prompts for preferences and verified rewards: given ones, and those that a model wrote for a persona.",
    columns=(
        COLLECTION,
        text("prompt_id", "16 hex digits made from the pool and the content."),
        text("pool", "Where the prompt comes from: used, unused, other, or persona."),
        text("source", "Source of a given prompt, or the skill of one that was written."),
        text("licence", "Licence of a given prompt; empty for one that was written."),
        column("messages", MESSAGES, "Messages, the user's last."),
        text("persona", "Persona that the prompt was written for; null for a given one.", nullable=True),
        column(
            "instructions", INSTRUCTIONS, "Verifiable instructions of the prompt, as `watershed score ifeval` reads."
        ),
        text("verifier", "Scorer that verifies replies; null for none.", nullable=True),
        text("answer", "What the scorer compares with.", nullable=True),
        REQUEST,
        FAILURE,
    ),
    primary_key=("collection", "prompt_id"),
    partition_by=("collection",),
    licence=LICENCE,
    licence_column="licence",
    owner=OWNER,
    expectations=(
        row_count(1),
        matches("prompt_id", ROW_ID),
        one_of("pool", ("used", "unused", "other", "persona")),
    ),
)

COMPLETIONS = Contract(
    name="tulu.completions",
    description="Replies of several models to the prompts, one for each model that was drawn for a prompt.",
    columns=(
        COLLECTION,
        text("model", "Entry of [models] that replied."),
        text("prompt_id", "The prompt.", derived_from="tulu.prompts.prompt_id"),
        text("completion", "The reply; empty if there is none."),
        boolean("on_policy", "Whether the model is the one to be trained."),
        boolean("truncated", "Whether the limit of tokens cut the reply off."),
        integer("tokens", "Tokens of the reply, as the server counted; null if it did not.", nullable=True),
        REQUEST,
        FAILURE,
    ),
    primary_key=("collection", "model", "prompt_id"),
    partition_by=("collection",),
    upstream=("tulu.prompts",),
    licence=LICENCE,
    owner=OWNER,
    expectations=(references("prompt_id", "tulu.prompts.prompt_id"),),
)

JUDGEMENTS = Contract(
    name="tulu.judgements",
    description="Scores of a judge: a row for each prompt, model and aspect; one call judges all replies to a prompt.",
    columns=(
        COLLECTION,
        text("prompt_id", "The prompt.", derived_from="tulu.prompts.prompt_id"),
        text("model", "Model whose reply is judged.", derived_from="tulu.completions.model"),
        text("aspect", "What is judged."),
        integer("score", "Score from 1 to 5; null if the judge says N/A or gives none.", bits=32, nullable=True),
        boolean("not_applicable", "Whether the judge says that the aspect does not apply."),
        text("reason", "The judge's reason; empty if it gives none."),
        text("judge", "Entry of [models] that judged."),
        integer("place", "Place of the reply in the judge's prompt, from 1; drawn at random.", bits=32),
        text("reply", "The judge's whole reply."),
        REQUEST,
        FAILURE,
    ),
    primary_key=("collection", "prompt_id", "model", "aspect"),
    partition_by=("collection",),
    upstream=("tulu.prompts", "tulu.completions"),
    licence=LICENCE,
    owner=OWNER,
    expectations=(one_of("aspect", ASPECTS), between("score", 1, 5), between("place", 1)),
)

PREFERENCES = Contract(
    name="tulu.preferences",
    description="Preference pairs with the rule that chose them.",
    columns=(
        COLLECTION,
        text("id", "Id of the pair: that of the prompt and the rule."),
        text("source", "Name of the data set in a mixture."),
        text("prompt_id", "The prompt.", derived_from="tulu.prompts.prompt_id"),
        column("prompt", MESSAGES, "Messages before the reply."),
        text("chosen", "Better reply.", derived_from="tulu.completions.completion"),
        text("rejected", "Worse reply.", derived_from="tulu.completions.completion"),
        text("chosen_model", "Model of the better reply.", derived_from="tulu.completions.model"),
        text("rejected_model", "Model of the worse reply.", derived_from="tulu.completions.model"),
        real("chosen_score", "Mean score of the better reply; null for pairs without a judge.", nullable=True),
        real("rejected_score", "Mean score of the worse reply.", nullable=True),
        text("rule", "How chosen and rejected were drawn: random_other, worst or delta."),
        boolean("on_policy", "Whether the model to be trained wrote one side."),
        integer("longer", "Words of the better reply minus words of the worse one."),
    ),
    primary_key=("collection", "id"),
    partition_by=("collection",),
    upstream=("tulu.prompts", "tulu.completions", "tulu.judgements"),
    licence=LICENCE,
    owner=OWNER,
    expectations=(
        one_of("rule", ("random_other", "worst", "delta")),
        references("prompt_id", "tulu.prompts.prompt_id"),
    ),
)

MODEL_SCORES = """
SELECT model, aspect, count(score) AS scored, avg(score) AS mean, count(*) FILTER (WHERE not_applicable) AS n_a,
       count(failure) AS failed
FROM tulu.judgements GROUP BY ALL ORDER BY aspect, mean DESC, model
"""
VIEWS = {
    "tulu.model_scores": View(
        "The judge's mean score of each model by aspect, without N/A, with what could not be read.",
        ("tulu.judgements",),
        MODEL_SCORES,
    ),
}
