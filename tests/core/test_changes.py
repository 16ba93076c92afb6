"""Changes: every class is made by every store's way, by its author, and seen by observers."""

from __future__ import annotations

import inspect
from typing import Any

import attrs
import pytest

from registry_core import Registry, changes
from registry_core.authors import Author, Origin, process_actor
from registry_core.changes import (
    CHANGES,
    Change,
    RestoreLargeModel,
    RestoreModel,
    SetAlias,
)
from registry_core.errors import InvalidArgumentError, RegisteredModelNotFoundError
from registry_core.history import Action
from registry_core.stores.memory import MemoryStore
from registry_core.stores.rest.routes import APPROVALS, REFUSED
from registry_core.stores.sql.makers import MAKERS
from registry_core.testing.calls import Calls
from registry_core.topics import Topics
from registry_core.wire import requests
from registry_core.wire.routes import ROUTES
from registry_server.http.operations import operations_that_change

CLASSES = {
    each
    for _, each in inspect.getmembers(changes, inspect.isclass)
    if issubclass(each, Change)
    and not inspect.isabstract(each)
    and not each.__name__.startswith("_")
}


class Recorder:
    """A memory store that remembers what it was asked, and by whom."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.made: list[tuple[Change[Any], Author]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def apply(self, change: Change[Any], *, by: Author) -> Any:
        self.made.append((change, by))
        return self.store.apply(change, by=by)


def test_there_are_twenty_two_changes():
    """A new class reaches the tests below by itself."""
    assert len(CLASSES) == 22


@pytest.mark.parametrize(
    "table",
    [MAKERS, {*ROUTES, *REFUSED, *APPROVALS, RestoreModel}],
    ids=["sql", "rest"],
)
def test_every_store_that_dispatches_knows_every_change(table):
    """A class that a store forgot would only be noticed when somebody uses it."""
    assert set(table) == CLASSES


def test_every_change_but_a_snapshot_has_an_action_of_its_own():
    """Or nobody could play its event back."""
    assert {each for each in CLASSES if each.action is None} == {RestoreModel, RestoreLargeModel}
    assert {*CHANGES.values()} == CLASSES - {RestoreModel, RestoreLargeModel}


def test_a_change_that_forgets_its_webhooks_is_not_a_class():
    with pytest.raises(TypeError, match="Forgetful does not say which webhook events it is"):
        type("Forgetful", (SetAlias,), {"action": Action.SET_ALIAS})


def test_two_changes_are_not_called_the_same():
    """The history could not tell which of them an event comes from."""
    fields = {"action": Action.SET_ALIAS, "topics": Topics()}
    with pytest.raises(TypeError, match="Other has the action set_alias of SetAlias"):
        type("Other", (SetAlias,), fields)
    assert CHANGES[Action.SET_ALIAS] is SetAlias


def test_a_route_that_forgets_a_field_names_it(monkeypatch):
    """When it is written down, or when a server makes its operations."""
    row = ROUTES[SetAlias]
    with pytest.raises(TypeError, match="key of a SetModelVersionTag is, which SetAlias"):
        attrs.evolve(row, request=requests.SetModelVersionTag)
    monkeypatch.setitem(ROUTES, SetAlias, attrs.evolve(row, call="delete_registered_model"))
    with pytest.raises(TypeError, match="delete_registered_model does not take alias, version"):
        list(operations_that_change(row.prefix))


def test_the_kit_has_a_call_for_every_change():
    """What the kit cannot call, it cannot test."""
    source = inspect.getsource(Calls)
    assert [each.__name__ for each in CLASSES if f"{each.__name__}(" not in source] == []


def test_the_author_of_a_change_reaches_the_store(monkeypatch):
    """The process's claim, the view's name, and a reason given to a method."""
    monkeypatch.setenv("REGISTRY_ACTOR", "ci-bot")
    recorder = Recorder()
    registry = Registry(recorder)
    registry.create_registered_model("m")
    ann = registry.acting_as("ann", reason="release", origin=Origin.HTTP, is_authenticated=True)
    ann.create_model_version("m", source="s3://b/1")
    ann.set_registered_model_alias("m", "champion", 1, reason="passed the review")
    registry.delete_registered_model("m", reason="a trial")
    assert [by for _, by in recorder.made] == [
        Author(actor="ci-bot"),
        Author(actor="ann", reason="release", origin=Origin.HTTP, is_authenticated=True),
        Author(actor="ann", reason="passed the review", origin=Origin.HTTP, is_authenticated=True),
        Author(actor="ci-bot", reason="a trial"),
    ]


def test_the_actor_is_the_systems_user_when_nobody_is_named(monkeypatch):
    """And a name all the same where the system knows none."""
    monkeypatch.delenv("REGISTRY_ACTOR", raising=False)
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    assert process_actor() == "ann"

    def unknown() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr("getpass.getuser", unknown)
    assert process_actor() == "unknown"


@pytest.mark.parametrize("fields", [{"actor": ""}, {"actor": "a\x00"}, {"actor": "x" * 257}])
def test_an_actor_that_cannot_be_kept_is_refused(fields):
    """As any text that a store could not hold."""
    with pytest.raises(InvalidArgumentError, match="actor"):
        Author(**fields)


def test_a_reason_that_cannot_be_kept_changes_nothing():
    """It is refused before the change is made."""
    registry = Registry(MemoryStore())
    with pytest.raises(InvalidArgumentError, match="reason"):
        registry.create_registered_model("m", reason="x" * 2_001)
    with pytest.raises(RegisteredModelNotFoundError):
        registry.get_registered_model("m")


def test_observers_see_changes_of_every_view_and_nothing_that_failed():
    """After the commit, with the result and the author."""
    registry = Registry(MemoryStore())
    seen: list[tuple[Change[Any], Any, str]] = []
    registry.observe(lambda change, result, by: seen.append((change, result, by.actor)))
    model = registry.acting_as("ann").create_registered_model("m")
    with pytest.raises(RegisteredModelNotFoundError):
        registry.delete_registered_model("other")
    version = registry.acting_as("bob").create_model_version("m", source="s3://b/1")
    registry.acting_as("ann").set_registered_model_alias("m", "champion", 1)
    assert [(result, actor) for _, result, actor in seen] == [
        (model, "ann"),
        (version, "bob"),
        (None, "ann"),
    ]
    assert seen[-1][0] == SetAlias(name="m", alias="champion", version=1)


def test_an_observer_that_fails_does_not_touch_the_change(caplog):
    """The change has been made, so its caller gets the result, and other observers see it."""
    registry = Registry(MemoryStore())
    seen: list[object] = []

    def failing(*_: object) -> None:
        raise RuntimeError("out of order")

    registry.observe(failing)
    registry.observe(lambda change, *_: seen.append(change))
    assert registry.create_registered_model("m").name == "m"
    assert len(seen) == 1
    assert "An observer of changes failed" in caplog.text
