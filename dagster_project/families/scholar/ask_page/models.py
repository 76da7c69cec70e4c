"""The models of the page: which can be chosen, and the endpoints of those that are asked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from urllib.parse import urlsplit

from catalog.errors import WatershedError
from catalog.names import close, find
from catalog.settings import Settings
from dagster_project.engine.model_server import answering, with_url
from spark_jobs.language_models.endpoint import Endpoint


def models(settings: Settings) -> dict[str, str]:
    """Return the entries of [models], each with where it answers.

    Example:
        >>> models(load_settings())
        {'smollm2': 'started on this machine', 'hosted': 'api.example.org'}
    """
    return {
        name: "started on this machine" if entry.serve and not entry.url else urlsplit(entry.url).netloc or "no address"
        for name, entry in settings.models.items()
    }


def known_model(settings: Settings, name: str) -> str:
    """Return a model by the name of its entry as [models] spells it, or the address of a server as it is.

    Raises:
        WatershedError: there is no such entry.
    """
    if name.startswith(("http://", "https://")):
        return name
    if (found := find(name, settings.models)) is None:
        raise WatershedError(
            f"no model is called {name!r}{close(name, settings.models)}",
            "name an entry of [models] in watershed.toml, or the address of a server as http://HOST:PORT/v1",
        )
    return found


class Endpoints:
    """The endpoints of the models that were asked last. A server that was started for one runs until another is asked.

    Starting a server takes longer than many an answer.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._open: dict[str, tuple[ExitStack, Endpoint]] = {}

    def of(self, models: Sequence[str]) -> dict[str, Endpoint]:
        """Return the endpoints of entries of [models] or addresses, by name; those of other models are closed.

        Raises:
            WatershedError: there is no such entry, or its server does not become ready.
        """
        for name in [each for each in self._open if each not in models]:
            self._open.pop(name)[0].close()
        for name in models:
            if name not in self._open:
                settings, entry = with_url(self.settings, name)
                assert entry is not None
                with ExitStack() as stack:
                    endpoint = stack.enter_context(answering(settings, entry))
                    self._open[name] = stack.pop_all(), endpoint
        return {name: self._open[name][1] for name in models}

    def close(self) -> None:
        """End the servers that were started."""
        self.of([])
