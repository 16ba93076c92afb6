"""What is damaged in a bucket is named, and hides nothing else."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from registry_core import Registry
from registry_core.artifacts.backends.local import LocalArtifactStore
from registry_core.errors import (
    ConflictError,
    RegisteredModelNotFoundError,
    StoreCorruptedError,
    WebhookNotFoundError,
)
from registry_core.models import NewModelVersion, NewRegisteredModel
from registry_core.search import Query
from registry_core.stores.s3 import S3Store
from registry_core.testing.observing import (
    Search,
    model_names,
    models_query,
    plain,
    version_keys,
    versions_query,
)
from services.opened import open_s3_store as open_store
from services.s3 import S3Server
from services.s3_keys import Keys
from services.s3_mutations import furnish

pytestmark = pytest.mark.usefixtures("found_out")

OTHERS = ["a", "z"]


@pytest.fixture
def keys(s3_server: S3Server, s3_prefix: str) -> Iterator[Keys]:
    client = s3_server.client()
    yield Keys(client, s3_prefix)
    client.close()


@pytest.fixture
def store(s3_url: str) -> Iterator[S3Store]:
    """A registry of three models; `m` will be damaged."""
    store = open_store(s3_url)
    for name in ("m", *OTHERS):
        furnish(store, name)
    yield store
    store.close()


@pytest.fixture
def reader(s3_url: str) -> Iterator[S3Store]:
    """A process that has seen nothing yet."""
    reader = open_store(s3_url)
    yield reader
    reader.close()


def _arriving(keys: Keys) -> None:
    """A rename to `m` is under way from a document that cannot be read."""
    document = json.loads(keys.get("models/m.json"))
    document["kind"] = "arriving_registered_model"
    document["arriving"] = {"source": "s", "base": "0" * 19, "operation": "1" * 19}
    keys.put("models/m.json", json.dumps(document).encode())
    keys.put("models/s.json", b"{")


def _foreign(keys: Keys) -> None:
    """Another model's document lies under the key."""
    keys.put("models/m.json", keys.get("models/a.json"))


DOCUMENTS: dict[str, Callable[[Keys], None]] = {
    "empty": lambda keys: keys.put("models/m.json", b""),
    "cut short": lambda keys: keys.put("models/m.json", keys.get("models/m.json")[:-20]),
    "no JSON": lambda keys: keys.put("models/m.json", b"\xff\x00{"),
    "newer": lambda keys: keys.put("models/m.json", b'{"format_version": 99}'),
    "edited": lambda keys: keys.change("models/m.json", lambda doc: doc.update(versions=5)),
    "no id of an operation": lambda keys: keys.change(
        "models/m.json", lambda doc: doc.update(operations=["who knows"])
    ),
    "foreign": _foreign,
    "arriving from what is damaged": _arriving,
}
"""Ways in which the document of `m` cannot be read."""


def _texts_of_m(keys: Keys) -> list[str]:
    model_id = json.loads(keys.get("models/m.json"))["model_id"]
    return [key for key in keys.texts() if key.startswith(f"values/{model_id}/")]


def _remove_texts(keys: Keys) -> None:
    for key in _texts_of_m(keys):
        keys.delete(key)


def _change_texts(keys: Keys) -> None:
    for key in _texts_of_m(keys):
        keys.put(key, b"something else")


TEXTS = {"missing texts": _remove_texts, "changed texts": _change_texts}
"""Ways in which the document of `m` can be read, and what belongs to it cannot."""

damaged_documents = pytest.mark.parametrize("damage", DOCUMENTS.values(), ids=list(DOCUMENTS))
damaged = pytest.mark.parametrize(
    "damage", [*DOCUMENTS.values(), *TEXTS.values()], ids=[*DOCUMENTS, *TEXTS]
)


def unreadable(search: Search[Any], query: Query) -> int:
    """How many models the pages of a search say that they leave out."""
    page = search(query)
    more = page.next_page_token
    rest = unreadable(search, attrs.evolve(query, page_token=more)) if more else 0
    return max(page.unreadable, rest)


@damaged
def test_searches_leave_out_what_is_damaged(
    store: S3Store, reader: S3Store, keys: Keys, damage: Callable[[Keys], None]
) -> None:
    """All others are found, by any search, and its pages say that something is missing."""
    damage(keys)
    for query in (
        models_query(),
        models_query("tags.team = 'a'"),
        models_query("", ["last_updated_timestamp DESC", "name ASC"]),
        models_query(max_results=1),
    ):
        assert sorted(model_names(reader, query)) == OTHERS
        assert unreadable(reader.search_registered_models, query) in (1, 2)
    # Of a model with lost texts the versions that have none are whole.
    whole = [("m", 1)] if damage in TEXTS.values() else []
    for size in (1, 100):
        found = version_keys(reader, versions_query(max_results=size))
        assert sorted(found) == sorted(
            [*whole, *((name, version) for name in OTHERS for version in (1, 2))]
        )
    assert unreadable(reader.search_model_versions, versions_query(max_results=1)) in (1, 2)


@damaged_documents
def test_a_process_that_knew_the_model_leaves_it_out_too(
    store: S3Store, reader: S3Store, keys: Keys, damage: Callable[[Keys], None]
) -> None:
    """What it has seen before is not what is there."""
    assert model_names(reader, models_query()) == ["a", "m", "z"]
    damage(keys)
    assert model_names(reader, models_query()) == OTHERS
    with pytest.raises(StoreCorruptedError):
        reader.get_registered_model("m")


@damaged
def test_who_asks_for_what_is_damaged_is_told(
    store: S3Store, reader: S3Store, keys: Keys, damage: Callable[[Keys], None]
) -> None:
    """A search that names it is about it: empty would be a lie."""
    damage(keys)
    for call in (
        lambda: reader.get_registered_model("m"),
        lambda: reader.search_registered_models(models_query("name = 'm'")),
        lambda: reader.search_registered_models(models_query("name IN ('a', 'm')")),
        lambda: reader.search_model_versions(versions_query("name = 'm'")),
    ):
        with pytest.raises(StoreCorruptedError, match=r"models/[sm]\.json|values/"):
            call()
    many = ", ".join(f"'n{number}'" for number in range(40))
    with pytest.raises(StoreCorruptedError):
        reader.search_registered_models(models_query(f"name IN ({many}, 'm')"))
    for query in ("name = 'a'", f"name IN ({many}, 'a')"):
        page = reader.search_registered_models(models_query(query))
        assert ([model.name for model in page.items], page.unreadable) == (["a"], 0)


@damaged_documents
def test_writes_of_what_is_damaged_are_refused(
    store: S3Store, reader: S3Store, keys: Keys, damage: Callable[[Keys], None]
) -> None:
    """Nothing is written over it, by processes that knew it and by such that did not."""
    damage(keys)
    before = {key: keys.get(key) for key in keys.all() if not key.startswith("models/s")}
    for process in (store, reader):
        for write in (
            lambda s: s.create_registered_model(NewRegisteredModel(name="m")),
            lambda s: s.create_model_version(NewModelVersion(name="m", source="s3://b/1")),
            lambda s: s.set_registered_model_tag("m", "k", "v"),
            lambda s: s.set_registered_model_alias("m", "champion", version=2),
            lambda s: s.rename_registered_model("a", new_name="m"),
            lambda s: s.rename_registered_model("m", new_name="n"),
            lambda s: s.delete_registered_model("m"),
        ):
            with pytest.raises(StoreCorruptedError, match="models/"):
                write(process)
    after = {key: keys.get(key) for key in keys.all() if not key.startswith("models/s")}
    assert after == before


@damaged
def test_everything_else_goes_on(
    store: S3Store, reader: S3Store, keys: Keys, damage: Callable[[Keys], None]
) -> None:
    """Reads and writes of other models, of webhooks, and new models."""
    damage(keys)
    for process in (store, reader):
        assert process.get_registered_model("a").name == "a"
        assert len(process.list_webhooks()) == 3
        created = process.create_model_version(NewModelVersion(name="a", source="s3://b/1"))
        assert process.get_model_version("a", created.version) == created
        process.create_registered_model(NewRegisteredModel(name="new"))
        process.rename_registered_model("new", new_name="newer")
        process.delete_registered_model("newer")


def test_a_change_of_a_model_whose_texts_are_damaged_is_made_and_told(
    store: S3Store, reader: S3Store, keys: Keys
) -> None:
    """Its answer would have them in it. It is not said that the model does not exist."""
    _remove_texts(keys)
    with pytest.raises(StoreCorruptedError, match="The change was made"):
        reader.update_registered_model("m", description="new")
    keys_of_m = json.loads(keys.get("models/m.json"))
    assert keys_of_m["description"] == "new"
    with pytest.raises(RegisteredModelNotFoundError):
        reader.update_registered_model("nobody", description="new")


@damaged
def test_damage_is_logged_once_and_again_when_it_is_another_one(
    store: S3Store,
    reader: S3Store,
    keys: Keys,
    damage: Callable[[Keys], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As an error that names the object, not once per search."""
    damage(keys)
    for _ in range(3):
        model_names(reader, models_query())
        version_keys(reader, versions_query())
    logged = [record.getMessage() for record in caplog.records]
    assert all(record.levelno == logging.ERROR for record in caplog.records)
    assert 1 <= len(logged) <= 2
    assert len(set(logged)) == len(logged)
    assert all("models/" in line or "values/" in line for line in logged)
    keys.put("models/m.json", b"[]")
    model_names(reader, models_query())
    assert "models/m.json" in caplog.records[-1].getMessage()
    assert len(caplog.records) == len(logged) + 1


def test_what_is_restored_is_back(store: S3Store, reader: S3Store, keys: Keys) -> None:
    """At once, in every process, whether it knew it before or not."""
    whole = keys.get("models/m.json")
    keys.put("models/m.json", b"{")
    assert model_names(reader, models_query()) == OTHERS
    keys.put("models/m.json", whole)
    for process in (store, reader):
        assert model_names(process, models_query()) == ["a", "m", "z"]
        assert process.search_registered_models(models_query()).unreadable == 0
        process.set_registered_model_tag("m", "k", "v")


def test_a_damaged_document_is_read_once(store: S3Store, reader: S3Store, keys: Keys) -> None:
    """Its ETag tells that it is still the same one."""
    keys.put("models/m.json", b"{")
    model_names(reader, models_query())
    sent = []
    reader.observe(lambda operation, key: sent.append(operation))
    model_names(reader, models_query())
    assert sent == ["list"]


def test_a_message_says_no_more_than_is_needed(
    store: S3Store, reader: S3Store, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    """What somebody has put there neither forges a line of the log nor reaches a terminal."""
    keys.put(
        "models/m.json",
        b'{"format_version":1,"kind":"x\\u001b[2J\\nERROR forged","revision":1,"operations":["1a20894fbd9a9dd210e"]}',
    )
    model_names(reader, models_query())
    message = caplog.records[-1].getMessage()
    assert "models/m.json" in message
    assert message.isprintable()


def test_copies_of_a_document_are_two_models(store: S3Store, reader: S3Store, keys: Keys) -> None:
    """Somebody has brought an old document back under another name. `fsck` tells of it."""
    copy = json.loads(keys.get("models/m.json")) | {"name": "copy"}
    keys.put("models/copy.json", json.dumps(copy).encode())
    for process in (store, reader):
        assert model_names(process, models_query()) == ["a", "copy", "m", "z"]
        assert process.get_registered_model("copy").tags["team"] == "a"
    problems = Counter(each.problem for each in reader.fsck().findings)
    assert (problems.pop("duplicate-model"), {*problems}) == (2, {"untrue-history"})


def test_a_list_of_webhooks_leaves_out_what_is_damaged(
    store: S3Store, reader: S3Store, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are still told of what happens."""
    expected = [hook for hook in store.list_webhooks() if hook.webhook_id != "m"]
    keys.put("webhooks/m.json", b"{")
    for _ in range(2):
        assert plain(reader.list_webhooks()) == plain(expected)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    with pytest.raises(StoreCorruptedError, match=r"webhooks/m\.json"):
        reader.get_webhook("m")
    with pytest.raises(WebhookNotFoundError):
        reader.get_webhook("nobody")


@pytest.fixture
def registry(store: S3Store, tmp_path: Path) -> Registry:
    return _with_files(store, tmp_path)


def _with_files(store: S3Store, tmp_path: Path) -> Registry:
    return Registry(store, artifacts=LocalArtifactStore(tmp_path / "artifacts"))


def _push(registry: Registry, tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    source.mkdir()
    (source / "weights").write_text(name)
    registry.create_model_version(name, source=str(source))


@damaged
def test_no_file_is_collected_while_a_model_cannot_be_read(
    registry: Registry,
    reader: S3Store,
    keys: Keys,
    tmp_path: Path,
    damage: Callable[[Keys], None],
) -> None:
    """What it needs is not known. The files of the others are checked all the same."""
    for name in ("a", "m"):
        _push(registry, tmp_path, name)
    kept = sorted((tmp_path / "artifacts").rglob("weights"))
    assert len(kept) == 2
    damage(keys)
    registry = _with_files(reader, tmp_path)
    with pytest.raises(StoreCorruptedError, match="fsck"):
        registry.files.collect_garbage(grace_seconds=0, dry_run=False)
    report = registry.fsck(repair=True, grace_seconds=0)
    assert sorted((tmp_path / "artifacts").rglob("weights")) == kept
    assert not report.clean
    # A pushed version of which everything can be read is checked, whatever else its model has.
    assert report.checked["files"] == (2 if damage in TEXTS.values() else 1)
    assert report.not_checked["unreadable_models"] in (1, 2)


def test_the_damaged_model_alone_is_not_pushed_to(
    registry: Registry, keys: Keys, tmp_path: Path
) -> None:
    """A push to another one works."""
    keys.put("models/m.json", b"{")
    with pytest.raises(StoreCorruptedError):
        _push(registry, tmp_path, "m")
    _push(registry, tmp_path, "a")


def test_a_conflict_is_left_for_listings_that_never_hold_still(
    store: S3Store, s3_url: str, keys: Keys
) -> None:
    """Two documents of one model that keep changing places are a rename without end."""
    document = json.loads(keys.get("models/m.json"))
    reader, turns = open_store(s3_url), iter(range(1, 1_000))

    def interfere(operation: str, key: str) -> None:
        if operation == "list":
            revision = document["revision"] + next(turns)
            for name in ("m", "copy"):
                moved = document | {"name": name, "revision": revision}
                keys.put(f"models/{name}.json", json.dumps(moved).encode())

    reader.observe(interfere)
    with pytest.raises(ConflictError):
        reader.search_registered_models(models_query())
    reader.close()
