"""Requests of OpenAI's protocol, checked: chat completions, completions, and vLLM's fields for token ids.

A field that is not known is refused, because a reply that silently ignores one is wrong data. Fields that only concern
the asker's own records are taken and ignored.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

MOST_CHOICES, MOST_PROMPTS, MOST_TOP = 32, 256, 20
STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)
IGNORED = frozenset(
    ("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls")
)
"""Fields without influence on a reply."""

Seed = Annotated[int, Field(ge=-(2**63), lt=2**64)]
Stop = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Stops = Annotated[list[Stop], Field(max_length=16)]


class BadRequest(Exception):
    """A request that cannot be answered; status, message, the field that is wrong, and a code for programs."""

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message, self.status, self.param, self.code = message, status, param, code


class TextPart(BaseModel):
    """A text in a message's content."""

    model_config = STRICT
    type: Literal["text"]
    text: str


class PictureUrl(BaseModel):
    """Where a picture is: in the URL itself, which is a data: URL."""

    model_config = STRICT
    url: str
    detail: Literal["auto", "high"] = "auto"
    """A picture is read as the model was trained to read it; "low" is not available."""


class PicturePart(BaseModel):
    """A picture in a message's content."""

    model_config = STRICT
    type: Literal["image_url"]
    image_url: PictureUrl


Part = Annotated[TextPart | PicturePart, Field(discriminator="type")]


class Message(BaseModel):
    """A message of a conversation."""

    model_config = STRICT
    role: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    content: str | list[Part]
    name: str | None = None

    def plain(self) -> dict[str, Any]:
        """What a chat template reads."""
        texts = [self.content] if isinstance(self.content, str) else [p.text for p in self.content if p.type == "text"]
        return {"role": self.role, "content": "".join(texts)} | ({"name": self.name} if self.name else {})

    @property
    def urls(self) -> list[str]:
        """The URLs of its pictures.

        Raises:
            BadRequest: the message is not of the user.
        """
        parts = [] if isinstance(self.content, str) else self.content
        found = [part.image_url.url for part in parts if part.type == "image_url"]
        if found and self.role != "user":
            raise BadRequest("a picture stands in a message of the user alone", param="messages")
        return found


class StreamOptions(BaseModel):
    """What a stream holds beside the reply."""

    model_config = STRICT
    include_usage: bool = False


class ResponseFormat(BaseModel):
    """The form of a reply; "text" alone is available."""

    model_config = STRICT
    type: Literal["text"]


class Asked(BaseModel):
    """What both kinds of requests have."""

    model_config = STRICT
    model: str = ""
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    temperature: Annotated[float, Field(ge=0, le=100)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] = 1
    seed: Seed | None = None
    stop: Stop | Stops | None = None
    stop_token_ids: Annotated[list[int], Field(max_length=64)] = []
    ignore_eos: bool = False
    stream: bool = False
    stream_options: StreamOptions | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=1024)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    response_format: ResponseFormat | None = None
    return_token_ids: bool = False

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def first_seed(self) -> int:
        """The seed of the first choice; drawn if none was given. The others' are the numbers after it."""
        return secrets.randbits(63) if self.seed is None else self.seed % 2**64

    def biases(self, vocab_size: int) -> dict[int, float]:
        """Biases by token.

        Raises:
            BadRequest: a key is not a token of the vocabulary.
        """
        found = {}
        for key, bias in (self.logit_bias or {}).items():
            if not (key.isascii() and key.isdigit() and len(key) < 10 and int(key) < vocab_size):
                raise BadRequest(f"logit_bias: {key[:40]!r} is not a token id", param="logit_bias")
            if not -100 <= bias <= 100:
                raise BadRequest("logit_bias: a bias is not between -100 and 100", param="logit_bias")
            found[int(key)] = bias
        return found


class ChatRequest(Asked):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=10_000)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_TOP)] | None = None
    add_generation_prompt: bool = True


class CompletionRequest(Asked):
    """POST /v1/completions."""

    prompt: str | list[int] | list[str] | list[list[int]]
    logprobs: Annotated[int, Field(ge=0, le=MOST_TOP)] | None = None
    echo: bool = False
    add_special_tokens: bool = True

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """The prompts, each a text or token ids."""
        given: Any = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        return [given] if given and isinstance(given[0], int) else given


class TokenizeRequest(BaseModel):
    """POST /tokenize, as vLLM has it."""

    model_config = STRICT
    model: str = ""
    prompt: str | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=10_000)] | None = None
    add_special_tokens: bool = True
    add_generation_prompt: bool = True


class DetokenizeRequest(BaseModel):
    """POST /detokenize, as vLLM has it."""

    model_config = STRICT
    model: str = ""
    tokens: list[int]


def parsed(body: bytes, kind: type[BaseModel]) -> Any:
    """The request in a body.

    Raises:
        BadRequest: the body is not a JSON object, or a field of it is missing, unknown or wrong.
    """
    import orjson

    try:
        values = orjson.loads(body)
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise BadRequest("the body is not a JSON object")
    # null stands for a field's default, as in OpenAI's protocol.
    given = {name: value for name, value in values.items() if name not in IGNORED and value is not None}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise _bad_field(error) from None


def _bad_field(error: ValidationError) -> BadRequest:
    first = error.errors(include_url=False, include_input=False)[0]
    field = str(first["loc"][0])[:64] if first["loc"] else ""
    place = ".".join(str(part)[:64] for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return BadRequest(f"unknown field: {place}", param=field, code="unknown_parameter")
    if field == "response_format":
        return BadRequest('response_format: only {"type": "text"} is available', param=field, code="unsupported_value")
    return BadRequest(f"{place}: {first['msg']}", param=field)
