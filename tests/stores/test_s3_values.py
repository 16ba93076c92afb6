"""Large texts lie beside their documents, and nobody who reads notices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_core import validation
from registry_core.errors import RegisteredModelNotFoundError
from registry_core.history import EventQuery
from registry_core.models import NewModelVersion, NewRegisteredModel, Status
from registry_core.stores.s3 import S3Store, blobs
from registry_core.stores.s3.large_text import INLINE_MAX_BYTES, LargeText, digest, is_large
from registry_core.testing.observing import model_names, models_query, version_keys, versions_query
from services.opened import open_s3_store as open_store
from services.s3 import S3Server, bucket_name

LARGE = "Grüße, 😀\n" * 2_000


@pytest.fixture
def store(s3_url: str) -> Iterator[S3Store]:
    store = open_store(s3_url)
    yield store
    store.close()


@pytest.fixture
def other(s3_url: str) -> Iterator[S3Store]:
    """A process that has read nothing yet."""
    store = open_store(s3_url)
    yield store
    store.close()


def texts(server: S3Server, prefix: str) -> dict[str, str]:
    """The texts beside the documents, by key."""
    client = server.client()
    listed = client.list_objects_v2(Bucket=bucket_name(), Prefix=f"{prefix}/values/")
    found = {
        each["Key"]: client.get_object(Bucket=bucket_name(), Key=each["Key"])["Body"].read()
        for each in listed.get("Contents", [])
    }
    client.close()
    return {key: body.decode() for key, body in found.items()}


def remove_texts(server: S3Server, prefix: str) -> None:
    """All of them."""
    client = server.client()
    for key in texts(server, prefix):
        client.delete_object(Bucket=bucket_name(), Key=key)
    client.close()


@given(st.integers(0, INLINE_MAX_BYTES + 10), st.sampled_from(["a", "é", "€", "😀"]))
def test_large_is_by_bytes(length: int, character: str) -> None:
    """Whatever the text is made of."""
    text = character * length
    assert is_large(text) is (len(text.encode()) > INLINE_MAX_BYTES)


def test_a_reference_equals_no_text() -> None:
    """And no legal text can look like one, so that none is ever taken for it."""
    reference = LargeText.to(model_id="id", value_id="digest-op", size=5)
    assert (reference.model_id, reference.value_id, reference.size) == ("id", "digest-op", 5)
    assert reference.digest == "digest"
    with pytest.raises(ValueError, match="cannot be stored"):
        validation.tag_value(str(reference))


def test_every_text_that_can_be_large_comes_back(store: S3Store, other: S3Store) -> None:
    """Of models and of versions; through gets and searches."""
    big = {name: f"{name} {LARGE}" for name in ("description", "tag", "message", "own")}
    store.create_registered_model(
        NewRegisteredModel(name="m", description=big["description"], tags={"k": big["tag"]})
    )
    new = NewModelVersion(
        name="m",
        source="s3://b/1",
        status=Status.PENDING_REGISTRATION,
        description=big["description"],
        tags={"own": big["own"]},
    )
    store.create_model_version(new)
    store.finalize_model_version(
        "m", 1, status=Status.FAILED_REGISTRATION, status_message=big["message"]
    )
    model, version = other.get_registered_model("m"), other.get_model_version("m", 1)
    assert (model.description, model.tags) == (big["description"], {"k": big["tag"]})
    assert (version.description, version.tags) == (big["description"], {"own": big["own"]})
    assert version.status_message == big["message"]
    assert model.latest_versions == (version,)
    assert other.search_registered_models(models_query()).items == [model]
    assert other.search_model_versions(versions_query()).items == [version]


def test_a_text_is_an_object_that_people_can_read(
    store: S3Store, s3_server: S3Server, s3_prefix: str
) -> None:
    """As it is, under its digest; the same text of one model is kept once."""
    store.create_registered_model(NewRegisteredModel(name="m", tags={"a": LARGE, "b": LARGE}))
    store.set_registered_model_tag("m", "c", LARGE)
    store.create_model_version(NewModelVersion(name="m", source="s3://b/1", tags={"d": LARGE}))
    ((key, text),) = texts(s3_server, s3_prefix).items()
    assert text == LARGE
    assert f"/{digest(LARGE.encode())}-" in key
    assert key.endswith(".txt")


def test_two_models_do_not_share_texts(store: S3Store, s3_server: S3Server, s3_prefix: str) -> None:
    """So that one can be removed with all it has. A deletion keeps its texts, for its history."""
    for name in ("m", "n"):
        store.create_registered_model(NewRegisteredModel(name=name, description=LARGE))
    assert len(texts(s3_server, s3_prefix)) == 2
    store.delete_registered_model("m")
    assert list(texts(s3_server, s3_prefix).values()) == [LARGE, LARGE]
    assert store.fsck(repair=True, grace_seconds=0).findings == ()
    assert list(texts(s3_server, s3_prefix).values()) == [LARGE, LARGE]
    assert store.get_registered_model("n").description == LARGE


def test_large_tags_can_be_searched(store: S3Store, other: S3Store) -> None:
    """A filter looks at the text, not at what stands for it."""
    for name, tag in (("a", f"{LARGE}x"), ("b", f"{LARGE}y"), ("c", "small")):
        store.create_registered_model(NewRegisteredModel(name=name, tags={"k": tag}))
        store.create_model_version(
            NewModelVersion(name=name, source="s3://b/1", tags={"k": tag, "other": LARGE})
        )
    assert model_names(other, models_query("tags.k LIKE '%x'")) == ["a"]
    assert model_names(other, models_query("tags.k != 'small'")) == ["a", "b"]
    assert model_names(other, models_query("tags.k ILIKE 'grü%'")) == ["a", "b"]
    assert version_keys(other, versions_query("tags.k LIKE '%y' AND tags.other LIKE 'Gr%'")) == [
        ("b", 1)
    ]


def test_a_filter_reads_only_the_texts_it_looks_at(store: S3Store, other: S3Store) -> None:
    """And the page's, not those of everything that does not match."""
    for name in ("a", "b", "c"):
        store.create_registered_model(
            NewRegisteredModel(name=name, description=f"{name}{LARGE}", tags={"k": name})
        )
    read = []
    other.observe(lambda operation, key: read.append(key) if "/values/" in key else None)
    assert model_names(other, models_query("tags.k = 'b'")) == ["b"]
    assert len(read) == 1


def test_setting_a_tag_to_the_large_text_that_it_has_changes_nothing(store: S3Store) -> None:
    """As with a small one: no request but the read, and no event."""
    store.create_registered_model(NewRegisteredModel(name="m", tags={"k": LARGE}))
    store.create_model_version(NewModelVersion(name="m", source="s3://b/1", tags={"k": LARGE}))
    before = store.get_registered_model("m")
    sent = []
    store.observe(lambda operation, key: sent.append(operation))
    store.set_registered_model_tag("m", "k", LARGE)
    store.set_model_version_tag("m", 1, "k", LARGE)
    assert sent == ["get", "get"]
    assert store.get_registered_model("m") == before
    assert len(store.events(EventQuery(name="m"))) == 2
    assert store.fsck(grace_seconds=0).findings == ()


def test_a_text_that_goes_while_it_is_read_went_with_its_model(
    store: S3Store, other: S3Store, s3_server: S3Server, s3_prefix: str
) -> None:
    """The reader looks again, and says what is true by then. Releases before history did so."""
    store.create_registered_model(NewRegisteredModel(name="m", description=LARGE))
    other.list_webhooks()

    def delete_before_the_text_is_read(operation: str, key: str) -> None:
        if "/values/" in key:
            other.observe(None)
            store.delete_registered_model("m")
            remove_texts(s3_server, s3_prefix)

    other.observe(delete_before_the_text_is_read)
    with pytest.raises(RegisteredModelNotFoundError):
        other.get_registered_model("m")


def test_a_text_that_goes_while_a_search_reads_it_is_searched_again(
    store: S3Store, other: S3Store
) -> None:
    """The model is not in the page any more."""
    for name in ("m", "n"):
        store.create_registered_model(NewRegisteredModel(name=name, description=LARGE))
    other.list_webhooks()

    def delete_before_the_text_is_read(operation: str, key: str) -> None:
        if "/values/" in key:
            other.observe(None)
            store.delete_registered_model("m")

    other.observe(delete_before_the_text_is_read)
    assert set(model_names(other, models_query())) in ({"n"}, {"m", "n"})
    assert model_names(other, models_query()) == ["n"]


def test_the_cache_of_texts_has_a_bound(store: S3Store) -> None:
    """What was used longest ago goes first; a text too large for it is not kept."""
    cache = blobs._Cache(10)
    first, second, third = (
        LargeText.to(model_id="m", value_id=str(number), size=4) for number in range(3)
    )
    cache.put(first, "1111")
    cache.put(second, "2222")
    assert cache.get(first) == "1111"
    cache.put(third, "3333")
    assert cache.get(second) is None
    assert (cache.get(first), cache.get(third)) == ("1111", "3333")
    cache.put(second, "2" * 11)
    assert cache.get(second) is None
