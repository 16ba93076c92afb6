"""What an `s3://` URL and the standard variables say, and the client that follows from it."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from registry_core.errors import BackendError, InvalidArgumentError
from registry_core.s3_location import METADATA, POOL_CONNECTIONS, Location, connect, parse


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch, tmp_path):
    """No variables and files of the machine; credentials of nobody."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return tmp_path


def opened(url):
    """The client for a URL, closed after the test by nobody: it has no connection."""
    return connect(parse(url, environ={}), METADATA)


def presigned(client):
    """Where a request for an object goes."""
    return urlsplit(
        client.generate_presigned_url("get_object", Params={"Bucket": "abc", "Key": "k"})
    )


def test_url_says_everything():
    """Bucket, prefix and every option."""
    url = (
        "s3://b/some/prefix/?endpoint_url=http%3A%2F%2F127.0.0.1%3A9&region=eu-west-3&profile=prod"
        "&path_style=1&anonymous=yes"
    )
    assert parse(url, environ={}) == Location(
        bucket="b",
        prefix="some/prefix",
        endpoint_url="http://127.0.0.1:9",
        region="eu-west-3",
        profile="prod",
        path_style=True,
        anonymous=True,
    )


@pytest.mark.parametrize(
    ("url", "environ", "region"),
    [
        ("s3://b?region=a", {"AWS_REGION": "b", "AWS_DEFAULT_REGION": "c"}, "a"),
        ("s3://b", {"AWS_REGION": "b", "AWS_DEFAULT_REGION": "c"}, "b"),
        ("s3://b", {"AWS_DEFAULT_REGION": "c"}, "c"),
        ("s3://b", {}, None),
    ],
)
def test_url_beats_variables(url, environ, region):
    """Of the two variables, the newer one wins."""
    assert parse(url, environ=environ).region == region


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://", "s3://bucket/prefix"),
        ("s3://b/p#x", "s3://bucket/prefix"),
        ("s3://key:secret@b/p", "holds no credentials"),
        ("s3://b?endpoint_url=127.0.0.1:9", "http: or https:"),
        ("s3://b?endpoint_url=http://u:p@h", "without credentials"),
        ("s3://b?path_style=maybe", "'path_style' of an s3: URL is 1 or 0"),
        ("s3://b?region=a&region=b", "'region' of an s3: URL is given twice"),
        ("s3://b?endpoint=x", "Unknown option 'endpoint'"),
    ],
)
def test_what_is_no_location_is_refused(url, says):
    """With a sentence that says how it should be, and repeats no secret."""
    with pytest.raises(InvalidArgumentError) as raised:
        parse(url, environ={})
    assert says in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "host", "path"),
    [
        ("path_style=1&endpoint_url=http://s3.test:9", "s3.test", "/abc/k"),
        ("path_style=0&endpoint_url=http://s3.test:9", "abc.s3.test", "/k"),
        ("region=eu-west-3", "abc.s3.amazonaws.com", "/k"),
    ],
)
def test_addressing_is_as_asked(options, host, path):
    """In the path or in the host name."""
    url = presigned(opened(f"s3://abc?{options}"))
    assert (url.hostname, url.path) == (host, path)


def test_endpoint_comes_from_the_standard_variable(monkeypatch):
    """Unless the URL names one."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://variable.test:9")
    assert opened("s3://b").meta.endpoint_url == "http://variable.test:9"
    assert opened("s3://b?endpoint_url=http://url.test").meta.endpoint_url == "http://url.test"


def test_anonymous_requests_are_not_signed():
    """For public buckets."""
    assert "Signature" in presigned(opened("s3://b")).query
    assert presigned(opened("s3://b?anonymous=1")).query == ""


def test_profile_is_read_from_the_configuration(monkeypatch, no_configuration):
    """With its region and credentials."""
    (no_configuration / "config").write_text("[profile prod]\nregion = ap-south-1\n")
    (no_configuration / "credentials").write_text(
        "[prod]\naws_access_key_id = of-prod\naws_secret_access_key = s\n"
    )
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    client = opened("s3://b?profile=prod")
    assert client.meta.region_name == "ap-south-1"
    assert "of-prod" in presigned(client).query


def test_unknown_profile_is_named():
    """As an error of ours."""
    with pytest.raises(BackendError, match="nobody"):
        opened("s3://b?profile=nobody")


def test_pool_and_retries_are_the_stores():
    """One attempt: only the caller of a conditional write may repeat it."""
    config = opened("s3://b").meta.config
    assert config.max_pool_connections == POOL_CONNECTIONS
    assert config.retries["total_max_attempts"] == 1


def test_clients_do_not_share_what_is_added_to_one():
    """Its handlers are those of the SDK, copied."""
    one, other = opened("s3://b"), opened("s3://b")
    called = []
    one.meta.events.register("before-sign.s3", lambda **_: called.append("one"))
    for client in (other, opened("s3://b"), one):
        presigned(client)
    assert called == ["one"]


@pytest.mark.parametrize(
    "variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
)
@pytest.mark.parametrize("unfit", ["hunter2\n", "hunter2…", " hunter2"])
def test_credentials_that_cannot_be_sent_are_named_and_not_shown(monkeypatch, variable, unfit):
    """The SDK would sign with the line break of a file, or print the token with its complaint."""
    monkeypatch.setenv(variable, unfit)
    with pytest.raises(BackendError, match=f"{variable} cannot be sent") as caught:
        opened("s3://b")
    assert "hunter2" not in str(caught.value)
    opened("s3://b?anonymous=1")
