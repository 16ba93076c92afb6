"""How a memory store is opened."""

import time

import pytest

from registry_core.errors import BackendError
from registry_core.models import NewRegisteredModel
from registry_core.redaction import redacted
from registry_core.stores.memory import open_store
from registry_core.testing.calls import Calls
from registry_core.testing.observing import model_names, models_query


def test_open_store_gives_an_empty_store_each_time():
    """Nothing is shared between two of them."""
    first, second = Calls(open_store("memory:")), Calls(open_store())
    first.create_registered_model(NewRegisteredModel(name="m"))
    assert model_names(first, models_query()) == ["m"]
    assert model_names(second, models_query()) == []


def test_open_store_goes_by_the_clock_given():
    """Or else by the machine's, in milliseconds."""
    created = Calls(open_store(clock=lambda: 5)).create_registered_model(
        NewRegisteredModel(name="m")
    )
    assert created.creation_timestamp == 5
    created = Calls(open_store()).create_registered_model(NewRegisteredModel(name="m"))
    assert abs(created.creation_timestamp - time.time() * 1000) < 60_000


@pytest.mark.parametrize("url", ["memory", "memory:name", "memory://", "memory:?x=1", "MEMORY:"])
def test_open_store_refuses_what_it_could_not_honour(url):
    """A name would promise that two of them share it."""
    with pytest.raises(BackendError) as raised:
        open_store(url)
    assert str(raised.value) == (
        f"A memory store has no name or options: '{redacted(url)}' must be 'memory:'"
    )
