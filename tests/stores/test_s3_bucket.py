"""A bucket is tried before it is trusted, and refused when it cannot keep a registry."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator

import pytest
from botocore.credentials import Credentials

from registry_core.errors import (
    BackendError,
    NotPermittedError,
    RegisteredModelNotFoundError,
    SchemaOutOfDateError,
    StoreCorruptedError,
    UnsupportedBackendError,
)
from registry_core.models import NewRegisteredModel
from registry_core.stores.s3 import S3Store
from registry_core.testing.observing import model_names, models_query
from services.opened import open_s3_store as open_store
from services.s3 import (
    ACCESS_KEY,
    SECRET_KEY,
    ExternalS3Server,
    S3Server,
    bucket_name,
    store_url,
)
from services.s3_proxy import Fault, Request, S3Proxy

MODEL = NewRegisteredModel(name="m")


@pytest.fixture(scope="module")
def stripping(s3_server: S3Server) -> Iterator[S3Proxy]:
    """The real server behind a gateway that drops conditions, as some do."""
    credentials = Credentials(ACCESS_KEY, SECRET_KEY)
    with S3Proxy(s3_server.endpoint_url, strip_conditions=credentials).running() as proxy:
        yield proxy


@pytest.fixture
def store(s3_url: str) -> Iterator[S3Store]:
    store = open_store(s3_url)
    yield store
    store.close()


@pytest.fixture
def careless(stripping: S3Proxy, s3_prefix: str) -> Iterator[S3Store]:
    """The same prefix as `store`, through the gateway."""
    store = open_store(store_url(stripping.endpoint_url, s3_prefix))
    yield store
    store.close()


def keys(server: S3Server, prefix: str) -> list[str]:
    client = server.client()
    listed = client.list_objects_v2(Bucket=bucket_name(), Prefix=prefix).get("Contents", [])
    client.close()
    return [each["Key"].removeprefix(f"{prefix}/") for each in listed]


def put(server: S3Server, key: str, body: bytes) -> None:
    client = server.client()
    client.put_object(Bucket=bucket_name(), Key=key, Body=body)
    client.close()


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.create_registered_model(MODEL),
        lambda store: store.get_registered_model("m"),
        lambda store: store.search_registered_models(models_query()),
        lambda store: store.list_webhooks(),
    ],
    ids=["create", "get", "search", "webhooks"],
)
def test_a_bucket_that_ignores_conditions_is_refused_at_first_use(
    s3_server: S3Server, s3_prefix: str, careless: S3Store, use
) -> None:
    """Whatever the first use is; the message says what is missing, and nothing stays behind."""
    with pytest.raises(UnsupportedBackendError) as raised:
        use(careless)
    assert "does not support conditional writes" in str(raised.value)
    assert "If-None-Match" in str(raised.value)
    assert keys(s3_server, s3_prefix) == []


def test_a_gateway_that_ignores_conditions_is_refused_though_the_bucket_is_known(
    store: S3Store, careless: S3Store
) -> None:
    """Another door to a registry that works: it may read, and every write is refused."""
    store.create_registered_model(MODEL)
    assert careless.get_registered_model("m").name == "m"
    for _ in range(2):
        with pytest.raises(UnsupportedBackendError, match="If-None-Match"):
            careless.set_registered_model_tag("m", "k", "v")
    assert store.get_registered_model("m").tags == {}
    assert store.fsck().findings == ()


@pytest.mark.parametrize(
    ("condition", "message"),
    [("if-none-match", "If-None-Match"), ("if-match", "If-Match' with another ETag")],
)
def test_a_bucket_that_ignores_one_condition_is_refused(
    s3_server: S3Server, s3_prefix: str, condition: str, message: str
) -> None:
    """Services exist that know only one of the two."""
    credentials = Credentials(ACCESS_KEY, SECRET_KEY)
    only = S3Proxy(s3_server.endpoint_url, strip_conditions=credentials, conditions=(condition,))
    with only.running():
        store = open_store(store_url(only.endpoint_url, s3_prefix))
        with pytest.raises(UnsupportedBackendError, match=message):
            store.create_registered_model(MODEL)
        store.close()


def test_a_service_that_does_not_implement_conditions_is_refused(
    s3_server: S3Server, s3_prefix: str
) -> None:
    """501, as OpenStack Swift answers."""

    def plan(request: Request) -> Fault | None:
        return Fault.NOT_IMPLEMENTED if request.is_conditional_write else None

    with S3Proxy(s3_server.endpoint_url, plan).running() as proxy:
        store = open_store(store_url(proxy.endpoint_url, s3_prefix))
        with pytest.raises(UnsupportedBackendError, match="does not implement them"):
            store.create_registered_model(MODEL)
        store.close()


def test_a_service_whose_conditions_always_fail_is_refused(
    s3_server: S3Server, s3_prefix: str
) -> None:
    """As old Ceph gateways do with a quoted ETag."""

    def plan(request: Request) -> Fault | None:
        return Fault.FAILED_CONDITION if "if-match" in request.headers else None

    with S3Proxy(s3_server.endpoint_url, plan).running() as proxy:
        store = open_store(store_url(proxy.endpoint_url, s3_prefix))
        with pytest.raises(UnsupportedBackendError, match="with the ETag of the object"):
            store.create_registered_model(MODEL)
        store.close()


def test_the_marker_says_what_the_prefix_is(
    s3_server: S3Server, s3_prefix: str, store: S3Store
) -> None:
    """A person, and the next process, find out without trying."""
    store.create_registered_model(MODEL)
    assert keys(s3_server, s3_prefix) == ["models/m.json", "registry.json"]
    client = s3_server.client()
    key = f"{s3_prefix}/registry.json"
    marker = json.loads(client.get_object(Bucket=bucket_name(), Key=key)["Body"].read())
    client.close()
    assert marker.pop("creation_timestamp") > 0
    assert marker == {
        "format_version": 1,
        "kind": "registry",
        "conditional_writes": True,
        "conditional_deletes": True,
    }


def test_a_prefix_of_a_newer_release_is_refused(
    s3_server: S3Server, s3_prefix: str, store: S3Store
) -> None:
    """Before anything in it is misread."""
    put(s3_server, f"{s3_prefix}/registry.json", b'{"kind": "registry", "format_version": 2}')
    with pytest.raises(SchemaOutOfDateError, match="newer release"):
        store.get_registered_model("m")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"kind": "other", "format_version": 1}'])
def test_a_prefix_with_a_strange_marker_is_refused(
    s3_server: S3Server, s3_prefix: str, store: S3Store, body: bytes
) -> None:
    """It may be somebody else's prefix."""
    put(s3_server, f"{s3_prefix}/registry.json", body)
    with pytest.raises(StoreCorruptedError, match=r"registry\.json' is not the marker"):
        store.create_registered_model(MODEL)


def test_a_missing_bucket_is_named(s3_server: S3Server) -> None:
    """With what to do about it."""
    store = open_store(store_url(s3_server.endpoint_url, "p", bucket="no-such-bucket"))
    with pytest.raises(BackendError, match=r"no-such-bucket.*Create the bucket"):
        store.get_registered_model("m")
    store.close()


def test_refused_credentials_are_not_permitted_and_not_shown(
    s3_server: S3Server, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither half of them, in no form of the error."""
    if isinstance(s3_server, ExternalS3Server):
        pytest.skip("whether this server looks at signatures is not known")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASTRANGER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "topsecret")
    store = open_store(s3_url)
    with pytest.raises(NotPermittedError) as raised:
        store.get_registered_model("m")
    shown = "".join(traceback.format_exception(raised.value)) + repr(store)
    assert "topsecret" not in shown
    assert "AKIASTRANGER" not in f"{raised.value!r} {raised.value} {store!r}"
    store.close()


def test_absent_credentials_are_not_permitted(
    s3_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    """Rather than a crash of the SDK."""
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    store = open_store(s3_url)
    with pytest.raises(NotPermittedError, match="credentials"):
        store.get_registered_model("m")
    store.close()


def test_who_may_only_read_reads(s3_server: S3Server, s3_prefix: str, store: S3Store) -> None:
    """A marked prefix, and one that nobody has written to yet."""

    def plan(request: Request) -> Fault | None:
        return Fault.FORBIDDEN if request.is_write else None

    with S3Proxy(s3_server.endpoint_url, plan).running() as proxy:
        reader = open_store(store_url(proxy.endpoint_url, s3_prefix))
        assert model_names(reader, models_query()) == []
        with pytest.raises(RegisteredModelNotFoundError):
            reader.get_registered_model("m")
        store.create_registered_model(MODEL)
        assert model_names(reader, models_query()) == ["m"]
        with pytest.raises(NotPermittedError):
            reader.set_registered_model_tag("m", "k", "v")
        reader.close()


def test_two_processes_may_try_a_new_prefix_at_once(s3_url: str, store: S3Store) -> None:
    """One of them writes the marker."""
    other = open_store(s3_url)
    created = []

    def interfere(operation: str, key: str) -> None:
        if operation == "put" and key.endswith("registry.json") and not created:
            created.append(other.create_registered_model(NewRegisteredModel(name="other")))

    store.observe(interfere)
    store.create_registered_model(MODEL)
    assert model_names(other, models_query()) == ["m", "other"]
    other.close()
