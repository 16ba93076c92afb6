"""What every part of the kit stands on: fixtures, declared differences, and drafts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, ClassVar, NoReturn

import pytest

from registry_core.models import (
    ModelVersion,
    NewModelVersion,
    NewRegisteredModel,
    NewWebhook,
    RegisteredModel,
    Stage,
    WebhookAction,
    WebhookEntity,
    WebhookEvent,
)
from registry_core.store import Store
from registry_core.testing.calls import Calls
from registry_core.testing.clocks import ManualClock, moving_wall_clock
from registry_core.testing.racing import Opener

SOURCE = "s3://bucket/path"
"""Where the artifacts of a version are, when a test does not care."""

CREATED = WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED)


class StoreCase:
    """Fixtures of the kit. A backend's test class overrides `backend`, and, unless it declares the
    difference, `reopen` and `opener`.
    """  # noqa: D205 one sentence

    durable: ClassVar[bool] = True
    """Whether what was written outlives the handle. If not, `reopen` and `opener` are not asked."""

    shared: ClassVar[bool] = True
    """Whether several handles, also in other processes, work on the same data at the same time."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The clock that the store under test goes by."""
        return ManualClock()

    @pytest.fixture
    def move_clocks(self, clock: ManualClock) -> Iterator[Callable[[int], None]]:
        """Sets `clock` forward, or back, by so many milliseconds, and so this process's wall clock.

        A backend whose server has a clock of its own, which can be set, overrides it.
        """
        with moving_wall_clock() as wall_clock:

            def move(milliseconds: int) -> None:
                clock.advance(milliseconds)
                wall_clock.advance(milliseconds)

            yield move

    @pytest.fixture
    def backend(self, clock: ManualClock) -> Store | Iterator[Store]:
        """The store under test: empty, and going by `clock`."""
        _missing(self, "backend", f"a fresh, empty store that goes by {clock}")

    @pytest.fixture
    def store(self, backend: Store) -> Calls:
        """The store under test, with a method for each change."""
        return Calls(backend)

    @pytest.fixture
    def reopen(self, backend: Store, clock: ManualClock) -> Callable[[], Store]:
        """Opens another, independent handle on the data of `store`, going by `clock` as well."""
        if not self.durable:
            pytest.skip("declared: what this store keeps does not outlive its handle")
        _missing(self, "reopen", f"a callable that opens the data of {backend} again, with {clock}")

    @pytest.fixture
    def opener(self, backend: Store) -> Opener:
        """As `reopen`, but picklable, for other processes, and going by the system's clock."""
        if not (self.durable and self.shared):
            pytest.skip("declared: other processes cannot see what this store keeps")
        _missing(self, "opener", f"a picklable callable that opens the data of {backend} again")

    @pytest.fixture
    def another(self, reopen: Callable[[], Store]) -> Iterator[Callable[[], Calls]]:
        """As `reopen`; the handles are closed after the test."""
        with ExitStack() as stack:

            def open_one() -> Calls:
                handle = Calls(reopen())
                stack.callback(handle.close)
                return handle

            yield open_one

    @pytest.fixture
    def handles(self, request: pytest.FixtureRequest, store: Calls) -> tuple[Calls, Calls]:
        """Two handles to race: independent ones if the store has them, else twice the same."""
        if not (self.durable and self.shared):
            return store, store
        return store, request.getfixturevalue("another")()


def _missing(case: StoreCase, fixture: str, what: str) -> NoReturn:
    pytest.fail(f"{type(case).__name__} must override the fixture `{fixture}`: {what}")


def create_model(store: Calls, name: str = "m", **fields: Any) -> RegisteredModel:
    """A registered model, created."""
    return store.create_registered_model(NewRegisteredModel(name=name, **fields))


def create_version(store: Calls, name: str = "m", **fields: Any) -> ModelVersion:
    """A model version, created."""
    return store.create_model_version(NewModelVersion(name=name, **{"source": SOURCE, **fields}))


def create_versions(store: Calls, count: int, name: str = "m") -> list[ModelVersion]:
    """Some model versions, created."""
    return [create_version(store, name) for _ in range(count)]


def transition(
    store: Calls, version: int, stage: Stage, *, name: str = "m", archive: bool = False
) -> ModelVersion:
    """A model version, moved to a stage."""
    return store.transition_model_version_stage(
        name, version, stage=stage, archive_existing_versions=archive
    )


def new_webhook(**fields: Any) -> NewWebhook:
    """A webhook to create, under a new id."""
    defaults = {
        "webhook_id": str(uuid.uuid4()),
        "name": "hook",
        "url": "https://example.com/hook",
        "events": (CREATED,),
    }
    return NewWebhook(**{**defaults, **fields})
