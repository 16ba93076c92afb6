"""The page about the server: what it is, where it keeps what, and what is switched on."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Final

import attrs

from registry_core import Registry
from registry_core.access.door import GuardedStore
from registry_core.redaction import redacted
from registry_core.retention import DAY_MILLISECONDS, retention
from registry_server.http.probes import MLFLOW_VERSION
from registry_server.pages.answers import View
from registry_server.pages.requests import PageRequest
from registry_server.process.settings import Settings

_DATABASES = (("postgres", "a PostgreSQL database"), ("sqlite", "a SQLite database"))

_STORES: Final[Mapping[str, str]] = {
    "S3Store": "a bucket (S3)",
    "MemoryStore": "the memory of this process: it is gone when the server ends",
    "RestStore": "another server",
}
"""What the stores of ours are called; others by the name of their class."""

LINKS = (
    ("openapi.json", "OpenAPI document", "every route, for programs"),
    ("metrics", "Metrics", "for Prometheus"),
    ("ready", "Ready", "whether the store answers"),
    ("version", "Version", "the MLflow release whose API this is"),
)
"""What else the server has at its address."""


@attrs.frozen
class Fact:
    """Something about the server, and a sentence on it."""

    label: str
    value: str
    note: str = ""
    is_code: bool = False


class AboutPage:
    """The page about a server with these settings."""

    def __init__(self, settings: Settings, *, keeps_secrets: bool) -> None:
        self._settings = settings
        self._keeps_secrets = keeps_secrets

    def show(self, request: PageRequest, registry: Registry) -> View:
        """Return what the server is."""
        groups = {
            "Software": [*_software()],
            "Where things are": [*self._places(registry)],
            "What is on": [*self._switches()],
        }
        public = self._settings.public_url
        host = request.headers.get(b"host", b"").decode("latin-1")
        return View(
            template="about.html",
            context={
                "groups": groups,
                "links_to": LINKS,
                "address": public.rstrip("/") if public else f"http://{host}",
            },
            data=lambda: {
                name: {fact.label: fact.value for fact in facts} for name, facts in groups.items()
            },
        )

    def _places(self, registry: Registry) -> Iterator[Fact]:
        yield Fact("store", self._store(registry))
        if registry.artifacts is None:
            yield Fact("artifact root", "none", "Files stay where versions say that they are.")
        else:
            yield Fact("artifact root", redacted(registry.artifacts.root), is_code=True)
        days = retention() // DAY_MILLISECONDS
        yield Fact("trash", f"{days} days", "So long what was deleted can be restored.")

    def _store(self, registry: Registry) -> str:
        store = registry.store
        kind = type(store.unguarded() if isinstance(store, GuardedStore) else store).__name__
        if kind == "SqlStore":
            url = self._settings.store.lower()
            named = (name for scheme, name in _DATABASES if url.startswith(scheme))
            return next(named, "a database")
        return _STORES.get(kind, kind)

    def _switches(self) -> Iterator[Fact]:
        settings = self._settings
        asks = settings.auth_file is not None or settings.access_file is not None
        yield Fact(
            "names and secrets",
            "asked for" if asks else "not asked for",
            "" if asks else "Anybody who reaches the server may change everything.",
        )
        yield Fact("forms on pages", "off" if settings.read_only_pages else "on")
        yield Fact(
            "signed webhooks",
            "on" if self._keeps_secrets else "off",
            "" if self._keeps_secrets else "There is no key to keep their secrets with.",
        )
        yield Fact("webhooks may use", ", ".join(settings.webhook_schemes))
        if settings.webhook_private_addresses:
            yield Fact("webhooks to private addresses", "on")
        yield Fact("workers", f"{settings.workers} with {settings.threads} threads each")


def _software() -> Iterator[Fact]:
    yield Fact("registry-server", version("registry-server"))
    yield Fact("registry-core", version("registry-core"))
    yield Fact("speaks the API of MLflow", MLFLOW_VERSION)
    yield Fact("Python", platform.python_version())
