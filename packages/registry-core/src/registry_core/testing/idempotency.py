"""What a store promises about creations that are asked for again under an idempotency key."""

from __future__ import annotations

import functools
from collections.abc import Callable

import attrs
import pytest

from registry_core.changes import CreateModel, CreateVersion
from registry_core.errors import (
    AlreadyExistsError,
    IdempotencyKeyReusedError,
    RegisteredModelNotFoundError,
)
from registry_core.idempotency import Idempotency, new_key
from registry_core.models import ModelVersion, NewModelVersion, NewRegisteredModel, RegisteredModel
from registry_core.testing.calls import Calls
from registry_core.testing.cases import SOURCE, StoreCase, create_model, create_version
from registry_core.testing.observing import model_names, models_query, numbers
from registry_core.testing.racing import (
    Opener,
    assert_all_succeeded,
    race,
    race_processes,
    values,
)

CONTESTANTS = 8
"""Calls at once that ask for the same creation: more than any client has in flight."""

PROCESSES = 2


@attrs.frozen
class CreateOnce:
    """Creates a version of model `m` under a key, and gives it. Picklable."""

    key: str
    source: str = SOURCE

    def __call__(self, store: Calls) -> ModelVersion:
        new = NewModelVersion(name="m", source=self.source, tags={"k": "v"})
        return store.apply(CreateVersion(new, idempotency=_recognised(self.key, self.source)))


def _recognised(key: str, *asked: str) -> Idempotency:
    return Idempotency.of(key, what="create", asked={"all": asked})


def _create_model_once(store: Calls, key: str, description: str = "d") -> RegisteredModel:
    new = NewRegisteredModel(name="m", description=description)
    return store.apply(CreateModel(new, idempotency=_recognised(key, description)))


class IdempotencyTests(StoreCase):
    """Creations under an idempotency key."""

    def test_a_model_is_created_once_under_its_key(self, handles: tuple[Calls, Calls]) -> None:
        """The repeated call gets the model; one under another key hears that the name is taken."""
        key = new_key()
        created = _create_model_once(handles[0], key)
        assert _create_model_once(handles[1], key) == created
        with pytest.raises(AlreadyExistsError):
            _create_model_once(handles[1], new_key())
        assert model_names(handles[1], models_query()) == ["m"]

    def test_a_version_is_created_once_under_its_key(self, handles: tuple[Calls, Calls]) -> None:
        """The repeated call gets the number of the first, also when there are later ones."""
        create_model(handles[0])
        once = CreateOnce(new_key())
        first = once(handles[0])
        assert create_version(handles[0]).version == first.version + 1
        assert once(handles[1]) == first
        assert CreateOnce(new_key())(handles[0]).version == first.version + 2
        assert numbers(handles[1], "m") == [1, 2, 3]

    def test_another_request_under_a_key_is_refused(self, store: Calls) -> None:
        """Whatever it would create; nothing is written."""
        model_key, version_key = new_key(), new_key()
        _create_model_once(store, model_key)
        CreateOnce(version_key)(store)
        others: tuple[Callable[[], object], ...] = (
            lambda: _create_model_once(store, model_key, description="e"),
            lambda: _create_model_once(store, version_key),
            lambda: CreateOnce(version_key, source=f"{SOURCE}/other")(store),
            lambda: CreateOnce(model_key)(store),
        )
        for again in others:
            with pytest.raises(IdempotencyKeyReusedError):
                again()
        assert store.get_registered_model("m").description == "d"
        assert numbers(store, "m") == [1]
        assert create_version(store).version == 2

    def test_a_key_belongs_to_one_model(self, store: Calls) -> None:
        """The same key for a model of another name is another key."""
        key = new_key()
        _create_model_once(store, key)
        new = NewRegisteredModel(name="n")
        store.apply(CreateModel(new, idempotency=_recognised(key, "n")))
        assert sorted(model_names(store, models_query())) == ["m", "n"]

    def test_a_key_outlives_what_was_created(self, store: Calls) -> None:
        """A late copy of a call brings nothing back that was deleted since."""
        key, once = new_key(), CreateOnce(new_key())
        created = _create_model_once(store, key)
        first = once(store)
        store.delete_model_version("m", first.version)
        assert once(store) == first
        assert numbers(store, "m") == []
        store.delete_registered_model("m")
        assert once(store) == first
        assert _create_model_once(store, key) == created
        with pytest.raises(RegisteredModelNotFoundError):
            store.get_registered_model("m")

    def test_what_failed_under_a_key_may_be_asked_for_again(self, store: Calls) -> None:
        """Nothing was made, and nothing is kept."""
        once = CreateOnce(new_key())
        with pytest.raises(RegisteredModelNotFoundError):
            once(store)
        create_model(store)
        assert once(store).version == 1

    def test_racing_calls_under_one_key_create_one_version(
        self, handles: tuple[Calls, Calls]
    ) -> None:
        """All of them get it, in threads and through two handles."""
        create_model(handles[0])
        once = CreateOnce(new_key())
        outcomes = race(*(functools.partial(once, handles[i % 2]) for i in range(CONTESTANTS)))
        assert_all_succeeded(outcomes)
        assert {version.version for version in values(outcomes)} == {1}
        assert numbers(handles[0], "m") == [1]

    def test_racing_calls_under_one_key_create_one_model(
        self, handles: tuple[Calls, Calls]
    ) -> None:
        """Nobody hears that the name is taken."""
        once = functools.partial(_create_model_once, key=new_key())
        outcomes = race(*(functools.partial(once, handles[i % 2]) for i in range(CONTESTANTS)))
        assert_all_succeeded(outcomes)
        assert all(model == values(outcomes)[0] for model in values(outcomes))

    def test_racing_processes_under_one_key_create_one_version(
        self, opener: Opener, store: Calls
    ) -> None:
        """As calls that a client repeats through another server."""
        create_model(store)
        outcomes = race_processes(opener, *[CreateOnce(new_key())] * PROCESSES)
        assert_all_succeeded(outcomes)
        assert {version.version for version in values(outcomes)} == {1}
        assert numbers(store, "m") == [1]
