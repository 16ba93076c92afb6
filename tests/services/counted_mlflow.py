"""A store that stands for a server of MLflow's, which keeps no history, and counts its requests."""

from __future__ import annotations

from collections import Counter
from typing import Any

from registry_core import ModelVersion, Page, RegisteredModel
from registry_core.errors import UnsupportedBackendError
from registry_core.history import Event, EventQuery
from registry_core.search import Query
from registry_core.stores.memory import MemoryStore


class CountedMlflow(MemoryStore):
    """What it was asked for is in `asked`, by kind of request."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked: Counter[str] = Counter()

    def events(self, query: EventQuery) -> list[Event]:
        self.asked["events"] += 1
        raise UnsupportedBackendError("it keeps none")

    def get_registered_model(self, name: str) -> RegisteredModel:
        self.asked["get"] += 1
        return super().get_registered_model(name)

    def located(self, version: ModelVersion) -> ModelVersion:
        self.asked["located"] += 1
        return version

    def search_versions_alone(self, query: Query) -> Page[ModelVersion]:
        self.asked["versions"] += 1
        return super().search_model_versions(query)
