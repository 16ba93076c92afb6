"""Our server in a thread of the tests' process, on a real socket: its store stays within reach."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from registry_core import Registry
from registry_core.store import Store
from registry_server import Settings, create_app
from services.serving import serving_app

LOCAL = Settings(
    store="http://elsewhere",
    threads=4,
    webhook_schemes=("https", "http"),
    webhook_private_addresses=True,
)
"""Settings under which a webhook's host is not looked up, and nothing is delivered to it: that would
be for the server elsewhere to do."""


class Replaceable:
    """A store that can be replaced by another one between two tests."""

    def __init__(self) -> None:
        self.store: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    # From Python 3.12 on, protocols look for methods in the class, and find none of `__getattr__`.
    @property
    def __class__(self) -> type:
        """The store's: what protocols the store fits, this does."""
        return type(self.store)


class LiveServer:
    """Serves whatever store it is given at the time."""

    def __init__(self, settings: Settings = LOCAL) -> None:
        self._current = Replaceable()
        app = create_app(Registry(self._current, local_sources=False), settings)
        self._serving = serving_app(app)
        self.url = ""
        self.port = 0

    def serve(self, store: Store) -> None:
        """From now on the server keeps everything in this store."""
        self._current.store = store

    def __enter__(self) -> Self:
        self.port = self._serving.__enter__().port
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._serving.__exit__(exc_type, exc, traceback)
