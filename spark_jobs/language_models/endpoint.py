"""An endpoint: a language model behind an OpenAI-compatible server, with its prices and limits."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from catalog.errors import WatershedError
from catalog.names import close, find
from catalog.settings import EndpointSettings, Settings
from spark_jobs.language_models.request import Request

MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A model, the server to ask, and how. `EndpointSettings` describes the entries."""

    name: str
    """The entry of `[models]`."""
    url: str
    """Base URL, as in http://127.0.0.1:8000/v1."""
    model: str
    revision: str
    settings: EndpointSettings

    @property
    def priced(self) -> bool:
        """Whether a request costs money."""
        return self.settings.input_price > 0 or self.settings.output_price > 0

    @property
    def asks_lost(self) -> bool:
        """Whether a request whose reply was lost is sent again: no second charge is possible, or one is accepted."""
        return self.settings.idempotent or self.settings.ask_lost or not self.priced

    def cost(self, prompt_tokens: int, reply_tokens: int, share: float = 1.0) -> float:
        """Return the price of a request in US dollars; `share` is below one in batch mode."""
        prices = self.settings.input_price, self.settings.output_price
        return share * (prompt_tokens * prices[0] + reply_tokens * prices[1]) / MILLION

    def bound(self, request: Request, share: float = 1.0) -> float:
        """Return the most that an attempt can cost, in US dollars."""
        return self.cost(request.prompt_token_bound, request.settings.max_tokens, share)


def endpoint_of(settings: Settings, name: str, url: str = "") -> Endpoint:
    """Return the endpoint that `[models.NAME]` describes.

    Args:
        settings: the settings of the project.
        name: the entry of `[models]`.
        url: the base URL of a server that was started for an entry with `serve`.

    Raises:
        WatershedError: there is no such entry, or its URL cannot be used.
    """
    found = find(name, settings.models)
    if found is None:
        known = f"use one of {', '.join(settings.models)}, or a" if settings.models else "write a"
        raise WatershedError(
            f"no model is called {name!r}{close(name, settings.models)}",
            f"{known}dd a section [models.{name}] to watershed.toml"
            if settings.models
            else f"{known} section [models.{name}] with its url in watershed.toml",
        )
    entries = settings.models[found]
    return Endpoint(
        name=found,
        url=_checked(url or entries.url, found),
        model=entries.model or found,
        revision=entries.revision,
        settings=_bounded(entries, found),
    )


def _checked(url: str, name: str) -> str:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0
    except ValueError:
        sound, parts = False, urlsplit("")
    # The URL is not printed: a key may have been written into it.
    if not sound:
        raise WatershedError(
            f"[models.{name}] url is not an http or https URL", 'write url = "https://HOST/v1", or serve = "FOLDER"'
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise WatershedError(
            f"[models.{name}] url holds a user, a password or a query, which would be stored",
            "write the key into the environment, and the name of its variable into `key`",
        )
    return url.rstrip("/")


def _bounded(entries: EndpointSettings, name: str) -> EndpointSettings:
    least = {"concurrency": 1, "attempts": 1, "timeout": 0.001, "reply_bytes": 1000, "batch_share": 0}
    least |= dict.fromkeys(("input_price", "output_price", "cap", "requests_per_minute", "tokens_per_minute"), 0)
    for entry, low in least.items():
        value = getattr(entries, entry)
        # A value that is not a number is not at least `low` either.
        if not value >= low or value == float("inf"):
            raise WatershedError(f"[models.{name}] {entry} is {value}", f"write a number of at least {low}")
    return entries
