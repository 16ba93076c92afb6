"""`fsck` finds what is wrong in a bucket, repairs what can be, and leaves the rest alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from registry_core.errors import StoreCorruptedError
from registry_core.fsck import Fsck
from registry_core.models import NewModelVersion, NewRegisteredModel
from registry_core.stores.s3 import S3Store, inventory
from registry_core.testing.observing import model_names, models_query
from services.opened import open_s3_store as open_store
from services.s3 import S3Server
from services.s3_keys import Keys
from services.s3_mutations import LARGE, furnish, observe


@pytest.fixture
def keys(s3_server: S3Server, s3_prefix: str) -> Iterator[Keys]:
    client = s3_server.client()
    yield Keys(client, s3_prefix)
    client.close()


@pytest.fixture
def store(s3_url: str) -> Iterator[S3Store]:
    store = open_store(s3_url)
    furnish(store, "m")
    yield store
    store.close()


def problems(store: S3Store, **options: Any) -> list[tuple[str, bool, bool]]:
    """Kind, whether repairable, whether repaired, of what is wrong with the objects.

    A history tells of most changes that were made behind its back, too.
    """
    report = store.fsck(**{"grace_seconds": 0, **options})
    objects = [each for each in report.findings if each.problem != "untrue-history"]
    return [(each.problem, each.repairable, each.repaired) for each in objects]


def test_a_healthy_registry_is_clean(store: S3Store) -> None:
    """And the report says what was looked at."""
    assert isinstance(store, Fsck)
    store.create_registered_model(NewRegisteredModel(name="gone"))
    store.delete_registered_model("gone")
    report = store.fsck()
    assert report.clean
    assert report.findings == ()
    assert report.checked == {
        "registered_models": 1,
        "model_versions": 2,
        "webhooks": 1,
        "large_texts": 2,
        "tombstones": 1,
        "event_chunks": 0,
        "histories": 2,
        "events": 7,
    }


def test_an_empty_prefix_is_clean_and_stays_empty(s3_url: str, s3_server: S3Server) -> None:
    """A check that only looks writes nothing, not even the marker."""
    store = open_store(s3_url)
    sent = []
    store.observe(lambda operation, key: sent.append(operation))
    assert store.fsck().findings == ()
    assert set(sent) == {"list"}
    store.close()


def test_a_dry_run_writes_nothing(store: S3Store, keys: Keys) -> None:
    """Whatever it finds."""
    keys.change("models/m.json", lambda document: document["aliases"].update(bad=99))
    keys.put("probe/old", b"1")
    sent = []
    store.observe(lambda operation, key: sent.append(operation))
    assert len(problems(store)) == 2
    assert set(sent) <= {"get", "list"}


class DeathError(BaseException):
    """The process is gone."""


def write_a_text_and_die(store: S3Store) -> None:
    """Leave a large text that no document was written for."""

    def die(operation: str, key: str) -> None:
        if operation == "put" and "/models/" in key:
            raise DeathError(key)

    store.observe(die)
    with pytest.raises(DeathError):
        store.set_registered_model_tag("m", "card", f"{LARGE}never")
    store.observe(None)


def test_an_orphaned_text_is_removed_once_it_is_old(store: S3Store, keys: Keys) -> None:
    """Not while the writer may still be about to refer to it."""
    write_a_text_and_die(store)
    before = keys.texts()
    assert len(before) == 3
    assert problems(store, grace_seconds=3600, repair=True) == []
    assert keys.texts() == before
    assert problems(store) == [("orphaned-value", True, False)]
    assert problems(store, repair=True) == [("orphaned-value", True, True)]
    assert len(keys.texts()) == 2
    assert problems(store) == []
    assert len(store.get_model_version("m", 2).tags["prompt"]) > 10_000


def test_a_text_that_is_referred_to_again_is_kept(store: S3Store, keys: Keys) -> None:
    """Moving a text from one tag to another leaves it where it is."""
    card = store.get_registered_model("m").tags["card"]
    before = keys.texts()
    store.set_registered_model_tag("m", "copy", card)
    store.delete_registered_model_tag("m", "card")
    assert keys.texts() == before
    assert problems(store, repair=True) == []
    assert store.get_registered_model("m").tags["copy"] == card


def test_texts_stay_reachable_through_a_rename(store: S3Store) -> None:
    """They belong to the model, not to its name; a check agrees."""
    card = store.get_registered_model("m").tags["card"]
    store.rename_registered_model("m", new_name="n")
    assert problems(store, repair=True) == []
    assert store.get_registered_model("n").tags["card"] == card


def test_a_missing_text_is_found_and_said_by_a_read(
    store: S3Store, keys: Keys, s3_url: str
) -> None:
    """Nobody can repair it, and nobody is told that it was empty."""
    for key in keys.texts():
        keys.delete(key)
    assert problems(store, repair=True) == [("missing-value", False, False)] * 2
    reader = open_store(s3_url)
    with pytest.raises(StoreCorruptedError, match="which does not exist"):
        reader.get_registered_model("m")
    reader.close()


def test_a_damaged_text_is_not_handed_out(store: S3Store, keys: Keys, s3_url: str) -> None:
    """Its name is its digest; its size gives it away to a check."""
    for key in keys.texts():
        keys.put(key, b"something else")
    assert {kind for kind, *_ in problems(store)} == {"missing-value"}
    reader = open_store(s3_url)
    with pytest.raises(StoreCorruptedError, match="is damaged"):
        reader.get_registered_model("m")
    reader.close()


@pytest.mark.parametrize("body", [b"", b"{", b'{"format_version": 99}'])
def test_an_unreadable_document_is_found_and_left_alone(
    store: S3Store, keys: Keys, body: bytes
) -> None:
    """With everything it may refer to: a person may still save it."""
    furnish(store, "other")
    whole = keys.get("models/m.json")
    state = observe(store, "m")
    keys.put("models/m.json", body)
    report = store.fsck(repair=True, grace_seconds=0)
    (finding,) = report.findings
    assert (finding.problem, finding.repairable) == ("unreadable-document", False)
    assert finding.subject.endswith("models/m.json")
    assert not report.clean
    assert report.notes[0].startswith("No large text was judged")
    with pytest.raises(StoreCorruptedError, match=r"models/m\.json"):
        store.get_registered_model("m")
    assert keys.get("models/m.json") == body
    keys.put("models/m.json", whole)
    assert observe(store, "m") == state


def test_a_document_under_another_key_is_found(store: S3Store, keys: Keys) -> None:
    """A copy made by hand is not a model."""
    keys.put("models/copy.json", keys.get("models/m.json"))
    assert problems(store, repair=True) == [("unreadable-document", False, False)]
    with pytest.raises(StoreCorruptedError, match="another key"):
        store.get_registered_model("copy")


def test_a_renamed_copy_is_two_documents_of_one_model(store: S3Store, keys: Keys) -> None:
    """They would share their large texts."""
    keys.put(
        "models/copy.json", keys.get("models/m.json").replace(b'"name": "m"', b'"name": "copy"')
    )
    assert problems(store) == [("duplicate-model", False, False)] * 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: document["aliases"].update(dangling=9),
        lambda document: document.update(next_version=2),
    ],
)
def test_a_document_that_contradicts_itself_is_mended(
    store: S3Store, keys: Keys, damage: Callable[[dict[str, Any]], object]
) -> None:
    """What follows from the rest of it is put right; nothing else changes."""
    state = observe(store, "m")
    keys.change("models/m.json", damage)
    assert problems(store) == [("inconsistent-document", True, False)]
    assert problems(store, repair=True) == [("inconsistent-document", True, True)]
    assert problems(store) == []
    assert observe(store, "m") == state
    new = NewModelVersion(name="m", source="s3://b/3")
    assert store.create_model_version(new).version == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: document["tags"].update({"": "v"}),
        lambda document: document["aliases"].update({"not legal": 1}),
        lambda document: document["versions"][0].update(version=0),
        lambda document: document["versions"][0].update(tags={"../k": "v"}),
        lambda document: document.update(description="\x00"),
    ],
)
def test_what_no_call_could_have_written_is_found(
    store: S3Store, keys: Keys, damage: Callable[[dict[str, Any]], object]
) -> None:
    """Somebody edited the document; a check does not guess what was meant."""
    keys.change("models/m.json", damage)
    found = problems(store, repair=True)
    assert ("illegal-value", False, False) in found


def test_old_tombstones_are_removed_by_a_repair(store: S3Store, keys: Keys) -> None:
    """They are no problem, only objects that listings pass over."""
    store.rename_registered_model("m", new_name="n")
    store.create_registered_model(NewRegisteredModel(name="gone"))
    store.delete_registered_model("gone")
    store.delete_webhook("m")
    assert "models/gone.json" in keys.all()
    assert store.fsck(repair=True).notes == ()
    report = store.fsck(repair=True, grace_seconds=0)
    assert report.clean
    assert report.notes == ("3 old tombstones were removed",)
    gone, *others = [key for key in keys.all() if not key.startswith("values/")]
    assert others == ["models/n.json", "registry.json"]
    assert gone.startswith("events/")
    assert "/deleted-" in gone
    assert problems(store) == []
    assert model_names(store, models_query()) == ["n"]
    assert store.create_registered_model(NewRegisteredModel(name="gone")).name == "gone"


def test_a_tombstone_that_a_new_model_replaces_meanwhile_is_not_removed(
    store: S3Store, s3_url: str
) -> None:
    """The removal is on condition, as every write."""
    store.create_registered_model(NewRegisteredModel(name="gone"))
    store.delete_registered_model("gone")
    other = open_store(s3_url)
    created = []

    def interfere(operation: str, key: str) -> None:
        if operation == "delete" and key.endswith("gone.json"):
            created.append(other.create_registered_model(NewRegisteredModel(name="gone")))

    store.observe(interfere)
    store.fsck(repair=True, grace_seconds=0)
    assert len(created) == 1
    assert other.get_registered_model("gone") == created[0]
    other.close()


def test_a_lost_marker_is_written_again(store: S3Store, keys: Keys, s3_url: str) -> None:
    """The documents are what counts."""
    marker = json.loads(keys.get("registry.json"))
    keys.delete("registry.json")
    fresh = open_store(s3_url)
    assert problems(fresh) == [("missing-marker", True, False)]
    fresh.fsck(repair=True, grace_seconds=0)
    assert problems(fresh) == []
    again = json.loads(keys.get("registry.json"))
    assert {**again, "creation_timestamp": 0} == {**marker, "creation_timestamp": 0}
    fresh.close()


def test_what_is_left_of_a_trial_is_removed(store: S3Store, keys: Keys) -> None:
    """A process may die while it tries the bucket."""
    keys.put("probe/left", b"1")
    assert problems(store, repair=True) == [("orphaned-probe", True, True)]
    assert "probe/left" not in keys.all()


def test_foreign_objects_are_left_alone(store: S3Store, keys: Keys) -> None:
    """Whose they are is not known."""
    keys.put("values/readme.txt", b"hello")
    keys.put("models/readme", b"hello")
    assert problems(store, repair=True) == [("unreadable-document", False, False)]
    keys.delete("models/readme")
    assert problems(store, repair=True) == [("foreign-object", False, False)]
    assert keys.get("values/readme.txt") == b"hello"


def test_no_text_is_judged_while_documents_keep_changing(
    store: S3Store, s3_url: str, keys: Keys
) -> None:
    """Without a snapshot a text might be taken for orphaned that a renamed model refers to."""
    write_a_text_and_die(store)
    other = open_store(s3_url)
    turns = iter(range(100))

    def interfere(operation: str, key: str) -> None:
        if operation == "list" and key.endswith("models/"):
            other.set_registered_model_tag("m", "k", str(next(turns)))

    store.observe(interfere)
    report = store.fsck(repair=True, grace_seconds=0)
    assert report.findings == ()
    assert report.notes[0].startswith("No large text was judged")
    assert next(turns) == inventory.SNAPSHOT_ATTEMPTS + 1
    assert len(keys.texts()) == 3
    other.close()
