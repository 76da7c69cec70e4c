"""A language model as a judge: scores of texts by a rubric, and preferences between two texts, asked in both orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, Field, create_model

from catalog.lake import Lake
from spark_jobs.language_models.attempt import Attempt
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.language_models.request import Request, Sampling
from spark_jobs.language_models.structured import ask_structured


@dataclass(frozen=True, kw_only=True)
class Rubric:
    """What a text is scored by.

    Attributes:
        name: the purpose in the ledger.
        question: what is judged, as an instruction.
        low: the worst score.
        high: the best score.
        levels: what each score means, from the worst to the best; may be empty.
        settings: how the judge's replies are sampled.
    """

    name: str
    question: str
    low: int = 1
    high: int = 5
    levels: tuple[str, ...] = ()
    settings: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=300))

    @property
    def text(self) -> str:
        """The rubric as it is shown to the judge."""
        meant = [f"{self.low + number}: {level}" for number, level in enumerate(self.levels)]
        scale = f"The score is a whole number from {self.low} (worst) to {self.high} (best)."
        return "\n".join([self.question, scale, *meant, "Give the reason before the score."])


@dataclass(frozen=True)
class Judgement:
    """A score and its reason; both are empty if the judge gave none that fits. `attempt` is the row of the ledger."""

    score: int | None
    reason: str
    attempt: Attempt


def judge(
    lake: Lake, endpoint: Endpoint, texts: Sequence[str], rubric: Rubric, *, cap: float | None = None
) -> list[Judgement]:
    """Return a judgement of each text, in the order of the texts.

    Raises:
        WatershedError: see `client.ask`.

    Example:
        >>> clear = Rubric(name="clarity", question="How clear is the text?")
        >>> [each.score for each in judge(lake, endpoint, ["Water runs downhill.", "asdf"], clear)]
        [5, 1]
    """
    score = Annotated[int, Field(ge=rubric.low, le=rubric.high)]
    verdict = create_model("Verdict", reason=(str, ...), score=(score, ...))
    requests = [
        Request.chat(f"Text to judge:\n<text>\n{text}\n</text>", system=rubric.text, settings=rubric.settings)
        for text in texts
    ]
    found = ask_structured(lake, endpoint, requests, verdict, purpose=rubric.name, cap=cap)
    return [
        Judgement(getattr(each.value, "score", None), getattr(each.value, "reason", ""), each.attempt) for each in found
    ]


class _Choice(BaseModel):
    reason: str
    better: Literal["first", "second", "equal"]


def prefer(
    lake: Lake,
    endpoint: Endpoint,
    pairs: Sequence[tuple[str, str]],
    question: str,
    *,
    purpose: str,
    settings: Sampling | None = None,
    cap: float | None = None,
) -> list[Literal[0, 1] | None]:
    """Return which text of each pair is better, 0 or 1. Each pair is asked in both orders.

    None stands for a pair that the judge finds equal, that it judges otherwise in the other order, or that it gives no
    reply for that fits.

    Raises:
        WatershedError: see `client.ask`.
    """
    shown = [shown for one, other in pairs for shown in ((one, other), (other, one))]
    requests = [
        Request.chat(
            f"<first>\n{one}\n</first>\n<second>\n{other}\n</second>",
            system=f"{question}\nGive the reason before the choice.",
            settings=settings or Sampling(temperature=0.0, max_tokens=300),
        )
        for one, other in shown
    ]
    found = ask_structured(lake, endpoint, requests, _Choice, purpose=purpose, cap=cap)
    chosen = [each.value.better if each.value else None for each in found]
    agreed: dict[tuple[str | None, str | None], Literal[0, 1]] = {("first", "second"): 0, ("second", "first"): 1}
    return [agreed.get(both) for both in zip(chosen[::2], chosen[1::2], strict=True)]
